"""A world of our own with perfect truth, hard where real video is hard, written in the real data sets' formats."""
