"""hoiray: pseudo-labels for 3D hand-object pose, each with the reason it may be trusted."""

__version__ = "0.1.0.dev0"
