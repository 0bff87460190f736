"""Heatmaps over a region's grid: from logits to probabilities to coordinates, and the true ones."""

import torch
from torch import Tensor


def cell_centers(num_cells: int, like: Tensor) -> Tensor:
    """Return the (R,) centres of cells along a side of the unit square: (i + 0.5) / R."""
    return (torch.arange(num_cells, dtype=torch.float32, device=like.device) + 0.5) / num_cells


def normalised(logits: Tensor) -> Tensor:
    """Softmax over the cells of (B, J, R, R), in float32."""
    return torch.softmax(logits.float().flatten(2), dim=-1).reshape(logits.shape)


def expected_points(heatmaps: Tensor) -> Tensor:
    """Return the mean positions (B, J, 2), x and y in the unit square, of heatmaps (B, J, R, R) (paper, appendix A).

    They lie between the outermost cell centres: in (0.5 / R, 1 - 0.5 / R).
    """
    centers = cell_centers(heatmaps.shape[-1], heatmaps)
    # sums of products, not a matrix product: autocast would round that to half precision, 1/256 of a box
    return torch.stack([(heatmaps.sum(dim=axis) * centers).sum(dim=-1) for axis in (-2, -1)], dim=-1)


def pooled(features: Tensor, heatmaps: Tensor) -> Tensor:
    """Return the features (B, J, C) under each joint's heatmap, of features (B, C, R, R)."""
    return heatmaps.flatten(2).to(features.dtype) @ features.flatten(2).transpose(1, 2)


def gaussians(points_unit: Tensor, num_cells: int, sigma_cells: float) -> Tensor:
    """Return heatmaps (B, J, R, R) of sum 1 around points (B, J, 2) of the unit square.

    A point outside the square has all its weight at the nearest cells.
    """
    centers = cell_centers(num_cells, points_unit)
    squared = ((centers - points_unit.float()[..., None]) * (num_cells / sigma_cells)) ** 2  # (B, J, 2, R)
    along = torch.softmax(-0.5 * squared, dim=-1)
    return along[..., 1, :, None] * along[..., 0, None, :]
