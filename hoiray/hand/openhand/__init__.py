"""The build of the free hand model from CC0 data."""
