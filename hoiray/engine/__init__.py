"""Everything that talks to Ray, and nothing else."""
