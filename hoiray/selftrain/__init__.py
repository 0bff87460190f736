"""Rounds of self-training: a teacher labels, a student learns from what survives, an audit says if it is better."""
