"""Bring predicted points onto true ones before they are compared: similarity, scale and root, root only.

Points are (..., N, 3) in any one unit; the result is in the target's frame and unit, and in float64 for float32 too
(:mod:`hoiray.geometry.arrays` says why).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.arrays import BoolArray, FloatArray, all_finite, as_floats, require_broadcast

OFFICIAL_NORM_OFFSET = 1e-8
"""Added to both Frobenius norms by the official HO-3D and FreiHAND evaluation, which keeps a collapsed hand finite."""

_RANK_TOLERANCE = 1e-9
"""Singular values below this fraction of the largest are taken as zero when asking whether the rotation is unique."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """A batch of similarities p -> scale * rotation @ p + translation.

    Attributes:
        rotation: (..., 3, 3) orthogonal; determinant -1 is possible only where reflections were allowed.
        scale: (...,) not negative.
        translation: (..., 3) in the target's unit.
        is_rotation_unique: (...,) False where the points lie on a line or in a point (or, when reflections are
            allowed, in a plane): the aligned source is the best one all the same, but other rotations give it too.
    """

    rotation: FloatArray
    scale: FloatArray
    translation: FloatArray
    is_rotation_unique: BoolArray

    def apply(self, points: npt.ArrayLike) -> FloatArray:
        """Return the points (..., N, 3) in the target's frame."""
        values = as_floats(points, (None, 3), "points")
        require_broadcast("similarity and points", self.scale.shape, values.shape[:-2])
        turned = values @ np.swapaxes(self.rotation, -1, -2)
        return np.asarray(turned * self.scale[..., None, None] + self.translation[..., None, :])


def align_similarity(source: npt.ArrayLike, target: npt.ArrayLike, *, allow_reflection: bool) -> Similarity:
    """Find the similarity that brings `source` closest to `target` (least squares; Procrustes, Umeyama 1991).

    With `allow_reflection=True` this is `align_w_scale` of the official HO-3D and FreiHAND evaluation, its 1e-8
    included: a mirrored hand then scores a perfect 0. With `allow_reflection=False` the determinant is held at +1 and
    nothing is added to the norms. There is no default, because the two numbers must never be mixed up.

    A source whose points coincide has no orientation and no size: scale 0, so that the aligned points are the target's
    centroid, which is their least-squares answer. A target whose points coincide gives scale 0 likewise.

    Args:
        source: (..., N, 3) points to move, N >= 1.
        target: (..., N, 3) points to reach, same order; the batch shapes broadcast.
        allow_reflection: True for leaderboard parity, False for a rigid hand.

    Returns:
        The similarities, NaN and not unique where an input is not finite. Use `.apply(source)` for the aligned points.

    Raises:
        ContractError: the numbers of points differ or are zero.
    """
    moved, fixed = _checked_pair(source, target)
    is_finite = np.asarray(all_finite(moved, 2) & all_finite(fixed, 2))
    mask = is_finite[..., None, None]
    moved_centroid, moved_unit, moved_norm = _standardised(np.where(mask, moved, 0.0), allow_reflection)
    fixed_centroid, fixed_unit, fixed_norm = _standardised(np.where(mask, fixed, 0.0), allow_reflection)
    # maximise tr(R^T C) with C = target^T source, so that R acts on source columns
    left, singular, right = np.linalg.svd(np.swapaxes(fixed_unit, -1, -2) @ moved_unit)
    sign = np.ones_like(singular)
    if not allow_reflection:
        sign[..., 2] = np.where(np.linalg.det(left) * np.linalg.det(right) < 0.0, -1.0, 1.0)
    rotation = (left * sign[..., None, :]) @ right
    overlap = (singular * sign).sum(axis=-1)
    scale = overlap * fixed_norm / np.where(moved_norm > 0.0, moved_norm, 1.0)
    translation = fixed_centroid - scale[..., None] * (rotation @ moved_centroid[..., None])[..., 0]
    gap = singular[..., 2] if allow_reflection else singular[..., 1] + sign[..., 2] * singular[..., 2]
    return Similarity(
        rotation=np.where(mask, rotation, np.nan),
        scale=np.where(is_finite, scale, np.nan),
        translation=np.where(is_finite[..., None], translation, np.nan),
        is_rotation_unique=np.asarray(is_finite & (gap > _RANK_TOLERANCE * singular[..., 0])),
    )


def align_root(source: npt.ArrayLike, target: npt.ArrayLike, *, root_index: int) -> FloatArray:
    """Shift `source` (..., N, 3) so that its root joint lies on the target's; nothing is turned or scaled.

    Raises:
        ContractError: the numbers of points differ, or the index names none of them.
    """
    moved, fixed = _checked_pair(source, target)
    _require_index(root_index, moved.shape[-2], "root_index")
    # subtracted first, so that the root lands on the target's root to the last bit (PCK counts errors of exactly 0)
    return np.asarray((moved - moved[..., None, root_index, :]) + fixed[..., None, root_index, :])


def align_scale_translation(
    source: npt.ArrayLike, target: npt.ArrayLike, *, root_index: int, length_index: int
) -> FloatArray:
    """Give `source` the target's hand size and root, without turning it (HO-3D's "scale-translation" alignment).

    The size is the distance between two joints, in the benchmark wrist and knuckle of the middle finger. The
    benchmark's script counts in MANO's joint order (indices 0 and 4); in any other order index 4 is another joint, so
    both are named.

    Args:
        source: (..., N, 3) points to move.
        target: (..., N, 3) points to reach, same order.
        root_index: the joint laid on the target's, the wrist.
        length_index: the joint whose distance from the root is the size, the middle finger's knuckle.

    Returns:
        (..., N, 3). Where the source's length is 0 there is nothing to scale by and, as in the benchmark, only the
        shift is applied.

    Raises:
        ContractError: the numbers of points differ, an index names none of them, or both are the same.
    """
    moved, fixed = _checked_pair(source, target)
    _require_index(root_index, moved.shape[-2], "root_index")
    _require_index(length_index, moved.shape[-2], "length_index")
    if root_index % moved.shape[-2] == length_index % moved.shape[-2]:
        raise ContractError(
            describe(
                what="length_index",
                expected="another joint than root_index",
                found=str(length_index),
                fix="Name the wrist and the middle finger's knuckle in the joint order of these points.",
            )
        )
    moved_length = np.linalg.norm(moved[..., length_index, :] - moved[..., root_index, :], axis=-1)
    fixed_length = np.linalg.norm(fixed[..., length_index, :] - fixed[..., root_index, :], axis=-1)
    has_length = moved_length != 0.0
    scale = np.where(has_length, fixed_length, 1.0) / np.where(has_length, moved_length, 1.0)
    return align_root(moved * scale[..., None, None], fixed, root_index=root_index)


def _standardised(points: FloatArray, with_offset: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return centroid (..., 3), centred points of Frobenius norm one (or all zero), and that norm (...,)."""
    centroid = points.mean(axis=-2)
    centred = points - centroid[..., None, :]
    norm = np.sqrt(np.sum(centred * centred, axis=(-2, -1)))
    # what subtracting the mean of equal numbers leaves is rounding of their size, not extent
    has_extent = norm > 4.0 * np.finfo(np.float64).eps * np.sqrt(np.sum(points * points, axis=(-2, -1)))
    norm = np.where(has_extent, norm, 0.0) + (OFFICIAL_NORM_OFFSET if with_offset else 0.0)
    divisor = np.where(norm > 0.0, norm, 1.0)[..., None, None]
    return centroid, np.where(has_extent[..., None, None], centred, 0.0) / divisor, norm


def _checked_pair(source: npt.ArrayLike, target: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both in float64, broadcast to one shape."""
    moved = as_floats(source, (None, 3), "source").astype(np.float64)
    fixed = as_floats(target, (None, 3), "target").astype(np.float64)
    if moved.shape[-2] != fixed.shape[-2] or moved.shape[-2] == 0:
        raise ContractError(
            describe(
                what="source and target",
                expected="the same number of points, at least one",
                found=f"{moved.shape[-2]} and {fixed.shape[-2]}",
                fix="Align joints with joints and vertices with vertices.",
            )
        )
    shape = require_broadcast("source and target", moved.shape, fixed.shape)
    return np.broadcast_to(moved, shape), np.broadcast_to(fixed, shape)


def _require_index(index: int, num_points: int, name: str) -> None:
    if not -num_points <= index < num_points:
        raise ContractError(
            describe(
                what=name,
                expected=f"an index of one of {num_points} points",
                found=str(index),
                fix="Give the position of the joint in the order of these points.",
            )
        )
