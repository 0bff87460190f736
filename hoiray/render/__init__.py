"""A small software renderer: z-buffer, deferred shading, overlays and contact sheets."""
