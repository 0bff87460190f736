"""Rotations, transforms, cameras, crops, boxes and alignment: pure functions on arrays."""
