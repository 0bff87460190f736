"""Chaos: real labellings that are killed, and fed with faults and bad files; `PYTHONPATH=tests python -m chaos -h`."""
