"""The configuration in two halves: what is done (hashed) and where (never hashed)."""
