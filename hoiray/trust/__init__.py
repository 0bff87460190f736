"""Trust: how often a label is right, proved on labelled data, and what every filter does."""
