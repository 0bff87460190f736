"""Readers of the field's data sets, each for its exact format, all returning the same samples."""
