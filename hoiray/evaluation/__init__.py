"""Judging predictions against annotations: tables with intervals, the constant hand beside them, submissions."""
