"""Axis-aligned boxes `(x0, y0, x1, y1)` in absolute pixels: overlap, union, clipping, size.

Coordinates are continuous and pixel centres lie at integers (:mod:`hoiray.geometry.crops`), so a width is `x1 - x0`,
with no "+ 1", and an image of width W reaches from -0.5 to W - 0.5.

Three kinds of bad box, kept apart on purpose. A box with a NaN is *absent*: what is computed from it is NaN. A box of
zero width or height is a real, collapsed one: its area is 0 and its overlap with a proper box is 0, so that a
collapsed prediction is measured and refused. An inverted box (`x1 < x0`) is nobody's box: it counts as absent.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.arrays import (
    BoolArray,
    FloatArray,
    as_floats,
    broadcast_onto,
    require_broadcast,
    require_image_size,
)


class Intersection(NamedTuple):
    """The overlap of boxes.

    Attributes:
        boxes_xyxy: (..., 4); NaN where there is no common area.
        is_empty: (...,) True where both boxes are there and share no area; False where either is absent.
    """

    boxes_xyxy: FloatArray
    is_empty: BoolArray


def is_valid(boxes_xyxy: npt.ArrayLike) -> BoolArray:
    """Say for each box (..., 4) whether it is finite and has a positive area."""
    boxes = as_floats(boxes_xyxy, (4,), "boxes_xyxy")
    return np.asarray(_is_present(boxes) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1]))


def area(boxes_xyxy: npt.ArrayLike) -> FloatArray:
    """Return the area (...,) in px^2; 0 for a collapsed box, NaN for an absent or inverted one."""
    boxes = _absent_as_nan(as_floats(boxes_xyxy, (4,), "boxes_xyxy"))
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def intersection(first_xyxy: npt.ArrayLike, second_xyxy: npt.ArrayLike) -> Intersection:
    """Return the common part of boxes (..., 4), batch shapes broadcast."""
    first, second = _checked_pair(first_xyxy, second_xyxy)
    lower, upper = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    has_area = np.all(upper > lower, axis=-1, keepdims=True)
    is_measured = ~np.isnan(lower[..., 0])
    return Intersection(
        np.where(has_area, np.concatenate([lower, upper], axis=-1), np.nan).astype(lower.dtype),
        np.asarray(is_measured & ~has_area[..., 0]),
    )


def union(first_xyxy: npt.ArrayLike, second_xyxy: npt.ArrayLike) -> FloatArray:
    """Return the smallest box (..., 4) around both; NaN where either is absent."""
    first, second = _checked_pair(first_xyxy, second_xyxy)
    lower, upper = np.minimum(first[..., :2], second[..., :2]), np.maximum(first[..., 2:], second[..., 2:])
    return np.concatenate([lower, upper], axis=-1)


def iou(first_xyxy: npt.ArrayLike, second_xyxy: npt.ArrayLike) -> FloatArray:
    """Return intersection over union (...,) in [0, 1] of boxes (..., 4), aligned or broadcast.

    NaN where either is absent, and where both are collapsed: 0 / 0 measures nothing.
    """
    first, second = _checked_pair(first_xyxy, second_xyxy)
    lower, upper = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    common = np.prod(np.maximum(upper - lower, 0.0), axis=-1)
    total = area(first) + area(second) - common
    has_area = total > 0.0
    return np.asarray(np.where(has_area, common, np.nan) / np.where(has_area, total, 1.0), dtype=lower.dtype)


def iou_matrix(first_xyxy: npt.ArrayLike, second_xyxy: npt.ArrayLike) -> FloatArray:
    """Return the overlaps (..., N, M) of all pairs of boxes (..., N, 4) and (..., M, 4); see :func:`iou`."""
    first = as_floats(first_xyxy, (None, 4), "first_xyxy")
    second = as_floats(second_xyxy, (None, 4), "second_xyxy")
    return iou(first[..., :, None, :], second[..., None, :, :])


def image_box(width: int, height: int) -> FloatArray:
    """Return the box (4,) an image covers, from the outer edge of its first pixel to that of its last."""
    require_image_size((width, height))
    return np.array([-0.5, -0.5, width - 0.5, height - 0.5])


def clip_to_image(boxes_xyxy: npt.ArrayLike, width: int, height: int) -> FloatArray:
    """Cut boxes (..., 4) to what an image of this size covers; NaN for a box wholly outside it.

    Annotated boxes end at the image's edge, so a predicted box is cut before the two are compared.

    Raises:
        ContractError: the image has no pixels.
    """
    boxes = _absent_as_nan(as_floats(boxes_xyxy, (4,), "boxes_xyxy"))
    limits = image_box(width, height).astype(boxes.dtype)
    lower, upper = np.maximum(boxes[..., :2], limits[:2]), np.minimum(boxes[..., 2:], limits[2:])
    is_inside = np.all(upper >= lower, axis=-1, keepdims=True)
    return np.where(is_inside, np.concatenate([lower, upper], axis=-1), np.nan).astype(boxes.dtype)


def expand(boxes_xyxy: npt.ArrayLike, factor: npt.ArrayLike) -> FloatArray:
    """Scale boxes (..., 4) about their centres by `factor` (...,), each side alike.

    Raises:
        ContractError: a factor is not positive, or the batch shapes do not fit together.
    """
    boxes = as_floats(boxes_xyxy, (4,), "boxes_xyxy")
    scale = as_floats(factor, (), "factor")
    require_broadcast("boxes_xyxy and factor", boxes.shape[:-1], scale.shape)
    if not np.all(scale > 0.0):
        raise ContractError(
            describe(
                what="factor", expected="numbers above 0", found=str(scale.tolist()), fix="1 leaves boxes as they are."
            )
        )
    center, size = to_center_size(boxes)
    return from_center_size(center, size * scale[..., None].astype(boxes.dtype))


def square(boxes_xyxy: npt.ArrayLike) -> FloatArray:
    """Return the square boxes (..., 4) about the same centres with the longer side of each."""
    center, size = to_center_size(boxes_xyxy)
    return from_center_size(center, np.broadcast_to(size.max(axis=-1, keepdims=True), size.shape))


def from_points(points_px: npt.ArrayLike, valid: npt.ArrayLike | None = None) -> FloatArray:
    """Return the smallest boxes (..., 4) around points (..., N, 2).

    Args:
        points_px: pixels.
        valid: True for the points that count; (..., N), or a shape that broadcasts to it. None counts all.

    Returns:
        NaN where no point counts or one that counts is not finite: a box around the rest would be too small.

    Raises:
        ContractError: `valid` does not broadcast to the points.
    """
    points = as_floats(points_px, (None, 2), "points_px")
    mask = np.ones((), dtype=np.bool_) if valid is None else np.asarray(valid, dtype=np.bool_)
    mask = broadcast_onto(mask, points.shape[:-1], "valid")[..., None]
    lower = np.min(np.where(mask, points, np.inf), axis=-2, initial=np.inf)
    upper = np.max(np.where(mask, points, -np.inf), axis=-2, initial=-np.inf)
    return _absent_as_nan(np.concatenate([lower, upper], axis=-1).astype(points.dtype))


def to_center_size(boxes_xyxy: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return centres (..., 2) and sizes (width, height) (..., 2) in px; NaN for absent or inverted boxes."""
    boxes = _absent_as_nan(as_floats(boxes_xyxy, (4,), "boxes_xyxy"))
    size = boxes[..., 2:] - boxes[..., :2]
    return np.asarray(boxes[..., :2] + 0.5 * size), np.asarray(size)


def from_center_size(center_px: npt.ArrayLike, size_px: npt.ArrayLike) -> FloatArray:
    """Return boxes (..., 4) from centres (..., 2) and sizes (width, height) (..., 2); batch shapes broadcast."""
    center, size = as_floats(center_px, (2,), "center_px"), as_floats(size_px, (2,), "size_px")
    require_broadcast("center_px and size_px", center.shape, size.shape)
    return np.concatenate([center - 0.5 * size, center + 0.5 * size], axis=-1)


def to_xywh(boxes_xyxy: npt.ArrayLike) -> FloatArray:
    """Return `(x0, y0, width, height)`, COCO's form, of boxes (..., 4)."""
    boxes = as_floats(boxes_xyxy, (4,), "boxes_xyxy")
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def from_xywh(boxes_xywh: npt.ArrayLike) -> FloatArray:
    """Return xyxy boxes (..., 4) from `(x0, y0, width, height)`."""
    boxes = as_floats(boxes_xywh, (4,), "boxes_xywh")
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def _is_present(boxes: FloatArray) -> BoolArray:
    is_finite = np.all(np.isfinite(boxes), axis=-1)
    return np.asarray(is_finite & (boxes[..., 2] >= boxes[..., 0]) & (boxes[..., 3] >= boxes[..., 1]))


def _absent_as_nan(boxes: FloatArray) -> FloatArray:
    return np.where(_is_present(boxes)[..., None], boxes, np.nan).astype(boxes.dtype)


def _checked_pair(first_xyxy: npt.ArrayLike, second_xyxy: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both broadcast to one shape, absent boxes all NaN."""
    first = _absent_as_nan(as_floats(first_xyxy, (4,), "first_xyxy"))
    second = _absent_as_nan(as_floats(second_xyxy, (4,), "second_xyxy"))
    shape = require_broadcast("first_xyxy and second_xyxy", first.shape, second.shape)
    return np.broadcast_to(first, shape), np.broadcast_to(second, shape)
