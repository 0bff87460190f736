"""Rotations as matrices, axis-angles, 6D vectors and quaternions, and the mean of several.

Conventions: a matrix acts on columns (`R @ p`); axis-angles are radians along a unit axis; quaternions are
`(w, x, y, z)` with `w >= 0`; 6D vectors are the first two *columns* of the matrix, one after the other (Zhou et al.,
CVPR 2019).
Batch-first and dtype preserving, see :mod:`hoiray.geometry.arrays`. A rotation that cannot be computed (a NaN came in,
a 6D vector without direction) is NaN.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.arrays import BoolArray, FloatArray, all_finite, as_floats, broadcast_onto, require_broadcast

ROTATION_TOLERANCE = 1e-5
"""Largest accepted entry of |R^T R - I|: 40 times what rounding a matrix to float32 leaves (2.4e-7)."""

_ROUNDING_MARGIN = 16.0
"""Quantities below this many machine epsilons of their terms are rounding, not signal."""

_MIRROR_X = np.array([-1.0, 1.0, 1.0])


class RotationMean(NamedTuple):
    """A mean rotation and how far its samples agree.

    Attributes:
        rotation: (..., 3, 3); NaN where no unique mean exists.
        consensus: (...,) in [0, 1]; 1 when all samples are equal, 0 when the mean is not unique or nothing was
            averaged.
    """

    rotation: FloatArray
    consensus: FloatArray


def axis_angle_to_matrix(axis_angle: npt.ArrayLike) -> FloatArray:
    """Rodrigues' formula, exact to rounding at every angle, 0 included.

    Args:
        axis_angle: (..., 3) radians; any length, angles beyond pi wrap.

    Returns:
        (..., 3, 3) rotation matrices; NaN where the input is not finite.
    """
    vector = as_floats(axis_angle, (3,), "axis_angle")
    with np.errstate(invalid="ignore", over="ignore"):
        angle = np.sqrt(np.sum(vector * vector, axis=-1))
        sin_over_angle = _sin_ratio(angle, angle)
        # (1 - cos t) / t^2 as a square: the difference itself has lost every digit at t = 1e-8
        half_ratio = _sin_ratio(0.5 * angle, angle)
        matrix = (2.0 * half_ratio * half_ratio)[..., None, None] * vector[..., :, None] * vector[..., None, :]
        matrix += np.cos(angle)[..., None, None] * np.eye(3, dtype=vector.dtype)
        return np.asarray(matrix + _cross_matrix(vector * sin_over_angle[..., None]), dtype=vector.dtype)


def matrix_to_axis_angle(matrix: npt.ArrayLike) -> FloatArray:
    """Invert :func:`axis_angle_to_matrix`, with a stable axis up to and at pi.

    The way leads over the quaternion: the textbook formula divides the skew part by sin(angle), which at pi - 1e-7
    leaves no digit of the axis in float32.

    Args:
        matrix: (..., 3, 3) rotations.

    Returns:
        (..., 3) radians with length in [0, pi]. At exactly pi both signs of the axis are right; one of them is
        returned.
    """
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def axis_angle_to_quaternion(axis_angle: npt.ArrayLike) -> FloatArray:
    """Return the unit quaternion `(w, x, y, z)`, `w >= 0`, of an axis-angle (..., 3) in radians."""
    vector = as_floats(axis_angle, (3,), "axis_angle")
    with np.errstate(invalid="ignore", over="ignore"):
        angle = np.sqrt(np.sum(vector * vector, axis=-1))
        imaginary = vector * _sin_ratio(0.5 * angle, angle)[..., None]
        return _with_non_negative_real(np.concatenate([np.cos(0.5 * angle)[..., None], imaginary], axis=-1))


def quaternion_to_axis_angle(quaternion: npt.ArrayLike) -> FloatArray:
    """Return the axis-angle (..., 3) in radians, length in [0, pi], of quaternions (..., 4) `(w, x, y, z)`.

    The quaternion is normalised first, and q and -q give the same result; a zero quaternion gives NaN.
    """
    unit = _with_non_negative_real(_normalised(as_floats(quaternion, (4,), "quaternion")))
    imaginary = unit[..., 1:]
    sine = np.sqrt(np.sum(imaginary * imaginary, axis=-1))
    # atan2 keeps full relative precision at both ends, where arccos(w) and arcsin(|v|) each lose half the digits at one
    half_angle = np.arctan2(sine, unit[..., 0])
    is_zero = sine == 0.0
    ratio = np.where(is_zero, 1.0, half_angle) / np.where(is_zero, 1.0, sine)
    return np.asarray(imaginary * (2.0 * ratio)[..., None], dtype=unit.dtype)


def quaternion_to_matrix(quaternion: npt.ArrayLike) -> FloatArray:
    """Return the rotation (..., 3, 3) of quaternions (..., 4) `(w, x, y, z)`.

    The quaternion is normalised first; a zero quaternion gives NaN.
    """
    w, x, y, z = np.moveaxis(_normalised(as_floats(quaternion, (4,), "quaternion")), -1, 0)
    rows = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quaternion(matrix: npt.ArrayLike) -> FloatArray:
    """Return the unit quaternion `(w, x, y, z)`, `w >= 0`, of rotations (..., 3, 3).

    The entries of R give all products `4 q_i q_j`; the row with the largest square is normalised (Shepperd's choice),
    so no small number is ever divided by.
    """
    values = as_floats(matrix, (3, 3), "matrix")
    r = np.where(all_finite(values, 2)[..., None, None], values, np.nan)
    r00, r11, r22 = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    wx, wy, wz = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    xy, xz, yz = r[..., 1, 0] + r[..., 0, 1], r[..., 0, 2] + r[..., 2, 0], r[..., 2, 1] + r[..., 1, 2]
    products = [
        [1.0 + r00 + r11 + r22, wx, wy, wz],
        [wx, 1.0 + r00 - r11 - r22, xy, xz],
        [wy, xy, 1.0 - r00 + r11 - r22, yz],
        [wz, xz, yz, 1.0 - r00 - r11 + r22],
    ]
    table = np.stack([np.stack(row, axis=-1) for row in products], axis=-2)
    largest = np.argmax(np.diagonal(table, axis1=-2, axis2=-1), axis=-1)
    row = np.take_along_axis(table, largest[..., None, None], axis=-2)[..., 0, :]
    return _with_non_negative_real(_normalised(row))


def matrix_to_6d(matrix: npt.ArrayLike) -> FloatArray:
    """Return the first two columns of (..., 3, 3), one after the other, as (..., 6) (Zhou et al. 2019, Eq. 13).

    Not every library means the same six numbers: PyTorch3D stacks the first two *rows*, SPIN interleaves the columns.
    """
    r = as_floats(matrix, (3, 3), "matrix")
    return np.concatenate([r[..., :, 0], r[..., :, 1]], axis=-1)


def sixd_to_matrix(sixd: npt.ArrayLike) -> FloatArray:
    """Orthonormalise two columns into a rotation (Zhou et al. 2019, Eq. 14, Gram-Schmidt).

    The second column is orthogonalised twice: with columns 1e-3 rad apart one pass leaves them 2e-4 rad from square in
    float32, the second one none of it.

    Args:
        sixd: (..., 6), the two columns one after the other; they need not be normalised.

    Returns:
        (..., 3, 3) rotations; NaN throughout where a column is zero or both are parallel, because no rotation is meant
        then.
    """
    columns = as_floats(sixd, (6,), "sixd")
    first, second = _normalised(columns[..., :3]), _normalised(columns[..., 3:])
    residue = _without_component(second, first)
    sine = np.sqrt(np.sum(residue * residue, axis=-1, keepdims=True))
    residue = np.where(sine > _ROUNDING_MARGIN * np.finfo(columns.dtype).eps, residue, np.nan)
    second = _normalised(_without_component(_normalised(residue), first))
    # a first column alone would pass for half a rotation; the second is NaN wherever the first is
    first = np.where(np.isnan(second), np.nan, first).astype(columns.dtype)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def geodesic_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """Return the angle in [0, pi] between rotations (..., 3, 3), exact to rounding at every angle.

    arccos of the trace is blind below 3e-4 rad in float32 (and as close to pi); here the sine comes from the skew part
    and the cosine from the trace.

    Args:
        first: (..., 3, 3) rotations.
        second: (..., 3, 3) rotations; the batch shapes broadcast.

    Returns:
        (...,) radians; NaN where either is NaN.
    """
    a, b = as_floats(first, (3, 3), "first"), as_floats(second, (3, 3), "second")
    require_broadcast("first and second", a.shape[:-2], b.shape[:-2])
    with np.errstate(invalid="ignore"):
        relative = np.swapaxes(a, -1, -2) @ b
    skew = _skew_vector(relative)
    cosine = 0.5 * (np.trace(relative, axis1=-2, axis2=-1) - 1.0)
    return np.asarray(np.arctan2(0.5 * np.sqrt(np.sum(skew * skew, axis=-1)), cosine), dtype=relative.dtype)


def chordal_mean(rotations: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, axis: int = -1) -> RotationMean:
    """Average rotations in the chordal metric: the rotation next to the mean matrix in the Frobenius norm.

    With M = sum(w R) / sum(w) = U diag(s1 >= s2 >= s3) V^T and d = sign(det(U V^T)), the mean is U diag(1, 1, d) V^T.
    It is unique exactly when s2 + d s3 > 0, and half of that sum is the consensus: 1 for equal samples, |cos a| for
    samples split evenly between +a and -a about one axis, about 1 - a^2 / 3 for an isotropic scatter of rms angle a
    (0.99 at 10 deg, 0.85 at 39 deg), 0 for two rotations half a turn apart. Averaging axis-angles instead breaks near
    pi, where a small rotation flips the vector's sign.

    Args:
        rotations: (..., 3, 3). A sample with a non-finite entry is left out, as if its weight were 0.
        weights: broadcast against the batch shape; finite, not negative. None weighs all alike.
        axis: the batch axis averaged over; -1 is the last axis before the matrix.

    Returns:
        The means, the axis removed. Rotation NaN and consensus 0 where no sample is left or the mean is not unique.

    Raises:
        ContractError: no such batch axis, weights of another shape, or a negative or non-finite weight.
    """
    samples = as_floats(rotations, (3, 3), "rotations")
    batch_shape = samples.shape[:-2]
    if not -len(batch_shape) <= axis < len(batch_shape):
        raise ContractError(
            describe(
                what="axis of chordal_mean",
                expected=f"one of the {len(batch_shape)} batch axes of shape {batch_shape}",
                found=str(axis),
                fix="Count the axes before the matrix only.",
            )
        )
    is_used = all_finite(samples, 2)
    weight = np.where(is_used, _checked_weights(weights, batch_shape), 0.0)
    position = axis % len(batch_shape)
    total = weight.sum(axis=position)
    summed = (weight[..., None, None] * np.where(is_used[..., None, None], samples, 0.0).astype(np.float64)).sum(
        axis=position
    )
    mean = summed / np.where(total > 0.0, total, 1.0)[..., None, None]
    rotation, gap = _nearest_rotation(mean, float(np.finfo(samples.dtype).eps))
    consensus = np.where(np.isnan(rotation[..., 0, 0]), 0.0, np.clip(0.5 * gap, 0.0, 1.0))
    return RotationMean(rotation.astype(samples.dtype), consensus.astype(samples.dtype))


def project_to_so3(matrix: npt.ArrayLike) -> FloatArray:
    """Return the rotation nearest to each matrix (..., 3, 3) in the Frobenius norm.

    NaN where there is no unique one: a non-finite entry, rank below two, or a pure reflection.
    """
    values = as_floats(matrix, (3, 3), "matrix")
    return _nearest_rotation(values, float(np.finfo(values.dtype).eps))[0].astype(values.dtype)


def is_rotation(matrix: npt.ArrayLike, tolerance: float = ROTATION_TOLERANCE) -> BoolArray:
    """Say for each (..., 3, 3) whether it is orthonormal within `tolerance` and keeps handedness; False for NaN."""
    values = as_floats(matrix, (3, 3), "matrix").astype(np.float64)
    is_finite = all_finite(values, 2)
    safe = np.where(is_finite[..., None, None], values, 0.0)
    deviation = np.abs(np.swapaxes(safe, -1, -2) @ safe - np.eye(3)).max(axis=(-2, -1))
    return np.asarray(is_finite & (deviation <= tolerance) & (np.linalg.det(safe) > 0.0))


def mirror_rotation(matrix: npt.ArrayLike) -> FloatArray:
    """Return `M R M`, M = diag(-1, 1, 1): the same motion seen in a mirror across x = 0.

    It turns a left hand's rotations (..., 3, 3) into a right hand's, and back.
    """
    values = as_floats(matrix, (3, 3), "matrix")
    signs = _MIRROR_X.astype(values.dtype)
    return np.asarray(values * signs[:, None] * signs[None, :])


def mirror_axis_angle(axis_angle: npt.ArrayLike) -> FloatArray:
    """Return `(x, -y, -z)`: :func:`mirror_rotation` for axis-angles (..., 3)."""
    values = as_floats(axis_angle, (3,), "axis_angle")
    return np.asarray(values * -_MIRROR_X.astype(values.dtype))


def rotation_z(angle_rad: npt.ArrayLike) -> FloatArray:
    """Return the rotation (..., 3, 3) about the optical axis; positive turns x towards y, clockwise on the screen."""
    angle = as_floats(angle_rad, (), "angle_rad")
    cosine, sine, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = [[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def random_rotations(
    rng: np.random.Generator, shape: tuple[int, ...] = (), dtype: npt.DTypeLike = np.float64
) -> FloatArray:
    """Draw rotations (*shape, 3, 3) uniformly (Haar measure): normalised Gaussian quaternions (Shoemake 1992)."""
    return quaternion_to_matrix(rng.standard_normal((*shape, 4))).astype(dtype)


def _sin_ratio(angle: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return sin(angle) / denominator with the limit angle / denominator = 1 or 1/2 where both are zero."""
    is_zero = denominator == 0.0
    limit = 1.0 if angle is denominator else 0.5
    return np.asarray(np.where(is_zero, limit, np.sin(angle) / np.where(is_zero, 1.0, denominator)), dtype=angle.dtype)


def _cross_matrix(vector: FloatArray) -> FloatArray:
    """Return the skew matrix (..., 3, 3) with `_cross_matrix(v) @ p == cross(v, p)`."""
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _skew_vector(matrix: FloatArray) -> FloatArray:
    """Return (r21 - r12, r02 - r20, r10 - r01): twice the sine times the axis."""
    upper = np.stack([matrix[..., 1, 2], matrix[..., 2, 0], matrix[..., 0, 1]], axis=-1)
    lower = np.stack([matrix[..., 2, 1], matrix[..., 0, 2], matrix[..., 1, 0]], axis=-1)
    return np.asarray(lower - upper)


def _without_component(vector: FloatArray, unit: FloatArray) -> FloatArray:
    """Return the part of `vector` (..., 3) at right angles to the unit vectors (..., 3)."""
    return np.asarray(vector - np.sum(vector * unit, axis=-1, keepdims=True) * unit)


def _with_non_negative_real(quaternion: FloatArray) -> FloatArray:
    return np.asarray(np.where(quaternion[..., :1] < 0.0, -quaternion, quaternion))


def _normalised(vector: FloatArray) -> FloatArray:
    """Scale the last axis to length one; NaN where there is no length to scale."""
    # the largest entry goes first: squares of 1e-23 underflow in float32
    largest = np.abs(vector).max(axis=-1, keepdims=True)
    is_usable = (largest > 0.0) & np.isfinite(largest)
    shrunk = np.where(is_usable, vector, np.nan) / np.where(is_usable, largest, 1.0)
    return np.asarray(shrunk / np.sqrt(np.sum(shrunk * shrunk, axis=-1, keepdims=True)), dtype=vector.dtype)


def _nearest_rotation(matrix: FloatArray, eps: float) -> tuple[FloatArray, FloatArray]:
    """Return the nearest rotation (..., 3, 3), NaN where not unique to the input's `eps`, and s2 + d s3, in float64."""
    is_finite = all_finite(matrix, 2)
    left, singular, right = np.linalg.svd(np.where(is_finite[..., None, None], matrix, 0.0).astype(np.float64))
    sign = np.where(np.linalg.det(left) * np.linalg.det(right) < 0.0, -1.0, 1.0)
    flipped = left * np.stack([np.ones_like(sign), np.ones_like(sign), sign], axis=-1)[..., None, :]
    gap = singular[..., 1] + sign * singular[..., 2]
    smallest = _ROUNDING_MARGIN * eps * singular[..., 0]
    is_unique = is_finite & (gap > smallest)
    return np.where(is_unique[..., None, None], flipped @ right, np.nan), np.where(is_unique, gap, 0.0)


def _checked_weights(weights: npt.ArrayLike | None, batch_shape: tuple[int, ...]) -> FloatArray:
    """Return weights in float64, broadcast to the batch shape."""
    if weights is None:
        return np.ones(batch_shape)
    values = as_floats(weights, (), "weights").astype(np.float64)
    weight = broadcast_onto(values, batch_shape, "weights")
    if not (np.isfinite(values).all() and (values >= 0.0).all()):
        raise ContractError(
            describe(
                what="weights",
                expected="finite numbers, none below 0",
                found=f"values from {values.min()} to {values.max()}",
                fix="Weigh a sample that must not count with 0.",
            )
        )
    return weight
