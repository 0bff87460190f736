"""The synthetic world in the formats of real data sets: one module a format, and the truth beside each."""
