"""Labels in the formats that other tools read: nothing is smoothed, filled in or left unsaid on the way."""
