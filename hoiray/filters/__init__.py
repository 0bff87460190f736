"""Measurements of predicted hands, and the verdict over them: arrays in, arrays out; no table, file or cluster."""
