"""Storage and video."""
