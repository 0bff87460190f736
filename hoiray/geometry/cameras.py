"""Perspective and weak-perspective projection, and what an intrinsic matrix must look like.

OpenCV camera axes, metres and pixels; pixel centres lie at integer coordinates (see :mod:`hoiray.geometry.crops`).
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.arrays import BoolArray, FloatArray, all_finite, as_floats, require_broadcast, require_image_size

MIN_JOINT_SPREAD_M = 1e-4
"""Joints whose rms distance from their centroid, seen along the optical axis, is below this fix no scale. The smallest
spread of a real hand is that of fingers pointing at the camera, about 1e-2 m."""

MIN_PROJECTED_SPREAD_PX = 1e-6
"""A positive scale that spreads the projected joints by less than this rms is rounding of coinciding 2D joints."""

MAX_FOCAL_RATIO = 2.0
"""Largest fx / fy or fy / fx taken for a camera. Real ones are within a few per cent; a swapped row is not."""

MIN_FOCAL_PER_SIDE = 0.2
"""Smallest focal length per longer image side: a field of view of 136 deg, past which no lens is near a pinhole."""

MAX_FOCAL_PER_SIDE = 50.0
"""Largest focal length per longer image side: a field of view of 1.1 deg."""


class WeakPerspectiveStatus(IntEnum):
    """Why a weak-perspective camera has no numbers."""

    SOLVED = 0
    DEGENERATE = 1
    """The 3D joints coincide when seen along the optical axis, or none has a weight: no scale is determined."""
    NON_POSITIVE_SCALE = 2
    """The best scale is zero or negative: the 2D joints coincide, or show the hand turned half round."""
    NON_FINITE = 3
    """A joint that counts has a NaN or infinite coordinate."""


@dataclass(frozen=True, eq=False)
class WeakPerspective:
    """A batch of cameras x = scale * X[:2] + translation.

    Attributes:
        scale_px_per_m: (...,) positive; NaN where not solved.
        translation_px: (..., 2) where the 3D origin lands; NaN where not solved.
        status: (...,) int8 values of :class:`WeakPerspectiveStatus`.
    """

    scale_px_per_m: FloatArray
    translation_px: FloatArray
    status: npt.NDArray[np.int8]

    @property
    def is_solved(self) -> BoolArray:
        """(...,) True where scale and translation are numbers."""
        return np.asarray(self.status == WeakPerspectiveStatus.SOLVED)

    def project(self, points_3d: npt.ArrayLike) -> FloatArray:
        """Return the pixels (..., N, 2) of camera-oriented points (..., N, 3); NaN where the camera is not solved."""
        points = as_floats(points_3d, (None, 3), "points_3d")
        require_broadcast("camera and points_3d", self.scale_px_per_m.shape, points.shape[:-2])
        scaled = points[..., :2] * self.scale_px_per_m[..., None, None]
        return np.asarray(scaled + self.translation_px[..., None, :])

    def residual_px(self, joints_3d: npt.ArrayLike, joints_2d_px: npt.ArrayLike) -> FloatArray:
        """Return projected minus observed joints, (..., N, 2) pixels; NaN where the camera is not solved."""
        projected, observed = self.project(joints_3d), as_floats(joints_2d_px, (None, 2), "joints_2d_px")
        require_broadcast("joints_3d and joints_2d_px", projected.shape, observed.shape)
        return np.asarray(projected - observed)


def solve_weak_perspective(
    joints_3d: npt.ArrayLike, joints_2d_px: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> WeakPerspective:
    """Fit scale and translation of a weak-perspective camera to joints (Liu et al. 2021, Eq. 7), in closed form.

    The three unknowns minimise sum w |s X + t - x|^2 over X = joints_3d[:, :2]. With weighted centroids taken off,
    s = sum(w X . x) / sum(w |X|^2) and t = mean(x) - s mean(X). There is no free rotation on purpose: it would absorb a
    wrong global orientation, which is what the residual is for.

    Args:
        joints_3d: (..., N, 3) metres, already in camera orientation; any origin.
        joints_2d_px: (..., N, 2) pixels, same joint order. Not coordinates of an anisotropic unit box: one scale cannot
            serve two axes.
        weights: (..., N), finite and not negative; None weighs all alike. A joint of weight 0 may be NaN.

    Returns:
        One camera per batch entry, with the reason where there is none; computed in float64.

    Raises:
        ContractError: the joint counts differ, or a weight is negative or not finite.
    """
    points, pixels, weight = _checked_correspondences(joints_3d, joints_2d_px, weights)
    counts = weight[..., None] > 0.0
    is_finite = all_finite(np.where(counts, points, 0.0), 2) & all_finite(np.where(counts, pixels, 0.0), 2)
    is_used = counts & is_finite[..., None, None]
    points, pixels = np.where(is_used, points, 0.0), np.where(is_used, pixels, 0.0)
    total = weight.sum(axis=-1)
    share = (weight / np.where(total > 0.0, total, 1.0)[..., None])[..., None]
    point_mean, pixel_mean = (share * points).sum(axis=-2), (share * pixels).sum(axis=-2)
    centred = points - point_mean[..., None, :]
    variance_m2 = (share * centred * centred).sum(axis=(-2, -1))
    covariance = (share * centred * (pixels - pixel_mean[..., None, :])).sum(axis=(-2, -1))
    is_degenerate = ~(variance_m2 > MIN_JOINT_SPREAD_M**2)
    scale = covariance / np.where(is_degenerate, 1.0, variance_m2)
    is_positive = scale * np.sqrt(variance_m2) > MIN_PROJECTED_SPREAD_PX
    status = np.select(
        [~is_finite, is_degenerate, ~is_positive],
        [
            WeakPerspectiveStatus.NON_FINITE,
            WeakPerspectiveStatus.DEGENERATE,
            WeakPerspectiveStatus.NON_POSITIVE_SCALE,
        ],
        default=WeakPerspectiveStatus.SOLVED,
    ).astype(np.int8)
    solved_scale = np.where(status == WeakPerspectiveStatus.SOLVED, scale, np.nan)
    return WeakPerspective(solved_scale, pixel_mean - solved_scale[..., None] * point_mean, status)


def project_points(points_cam: npt.ArrayLike, K: npt.ArrayLike) -> FloatArray:
    """Project points (..., N, 3) in camera axes by intrinsics (..., 3, 3) to pixels (..., N, 2).

    Any K with last row (0, 0, 1) is served: skew, and the rotated ones of :func:`crops.crop_intrinsics`. A point at or
    behind the camera plane (z <= 0), one with a coordinate that is not finite, and one whose image no float can hold
    (z of 1e-310) have no image: NaN.
    """
    points = as_floats(points_cam, (None, 3), "points_cam")
    matrix = as_floats(K, (3, 3), "K")
    require_broadcast("points_cam and K", points.shape[:-2], matrix.shape[:-2])
    k = matrix[..., None, :, :]
    depth = np.where(points[..., 2] > 0.0, points[..., 2], np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        # one coordinate at a time: three times as fast as a product with (2, 2) matrices
        x, y = points[..., 0] / depth, points[..., 1] / depth
        u = k[..., 0, 0] * x + k[..., 0, 1] * y + k[..., 0, 2]
        v = k[..., 1, 0] * x + k[..., 1, 1] * y + k[..., 1, 2]
    has_image = np.isfinite(u) & np.isfinite(v)
    return np.stack([np.where(has_image, u, np.nan), np.where(has_image, v, np.nan)], axis=-1)


def unproject_points(points_2d_px: npt.ArrayLike, depth_m: npt.ArrayLike, K: npt.ArrayLike) -> FloatArray:
    """Lift pixels (..., N, 2) at depths z (..., N) to camera points (..., N, 3); inverts :func:`project_points`.

    Where the depth is not positive the point is NaN, as its projection is.

    Raises:
        ContractError: a K cannot be inverted, or the numbers of points or the batch shapes do not fit together.
    """
    pixels = as_floats(points_2d_px, (None, 2), "points_2d_px")
    depth = as_floats(depth_m, (None,), "depth_m")
    matrix = as_floats(K, (3, 3), "K")
    require_broadcast("points_2d_px, depth_m and K", pixels.shape[:-1], depth.shape, (*matrix.shape[:-2], 1))
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    if not np.all(determinant != 0.0):
        raise ContractError(
            describe(
                what="K", expected="focal lengths that are not 0", found=f"{matrix.tolist()}", fix="Check the camera."
            )
        )
    adjugate = np.stack([np.stack([d, -b], axis=-1), np.stack([-c, a], axis=-1)], axis=-2)
    centred = pixels - matrix[..., None, :2, 2]
    rays = centred @ np.swapaxes(adjugate / determinant[..., None, None], -1, -2)
    scaled = rays * depth[..., None]
    z = np.broadcast_to(depth[..., None], (*scaled.shape[:-1], 1))
    return np.asarray(np.where(z > 0.0, np.concatenate([scaled, z], axis=-1), np.nan))


def transform_intrinsics(K: npt.ArrayLike, A: npt.ArrayLike) -> FloatArray:
    """Return `A K`, the camera of an image warped by the affine A (..., 3, 3): crop, shift, resize.

    Exact for every A, but with an in-plane rotation in A the camera axes stay those of the unrotated image; use
    :func:`crops.crop_intrinsics` to turn them along.
    """
    matrix, affine = as_floats(K, (3, 3), "K"), as_floats(A, (3, 3), "A")
    require_broadcast("K and A", matrix.shape[:-2], affine.shape[:-2])
    return np.asarray(affine @ matrix)


def check_intrinsics(K: npt.ArrayLike, image_size_wh: tuple[int, int] | None = None) -> None:
    """Refuse an intrinsic matrix (..., 3, 3) that no camera of this image can have.

    Args:
        K: one or many.
        image_size_wh: width and height in px. Given, the focal length must fit the image, and the principal point lie
            in it: a matrix of the full-size video used on resized frames is the commonest mistake.

    Raises:
        ContractError: names the first entry that is wrong, or the image has no pixels.
    """
    matrices = as_floats(K, (3, 3), "K").reshape(-1, 3, 3)
    fx, fy = matrices[:, 0, 0], matrices[:, 1, 1]
    _refuse(~all_finite(matrices, 2), matrices, "finite entries", "Look for a failed calibration.")
    bottom = np.any(matrices[:, 2] != np.array([0.0, 0.0, 1.0]), axis=-1) | (matrices[:, 1, 0] != 0.0)
    _refuse(
        bottom, matrices, "0 below the diagonal and 1 at its end", "Transpose it if it was stored column by column."
    )
    _refuse((fx <= 0.0) | (fy <= 0.0), matrices, "positive focal lengths", "OpenCV axes need no sign in K.")
    ratio = np.maximum(fx, fy) / np.minimum(fx, fy)
    _refuse(ratio > MAX_FOCAL_RATIO, matrices, f"fx and fy within a factor {MAX_FOCAL_RATIO}", "Check the units.")
    if image_size_wh is None:
        return
    width, height = require_image_size(image_size_wh)
    per_side = np.maximum(fx, fy) / max(width, height)
    _refuse(
        (per_side < MIN_FOCAL_PER_SIDE) | (per_side > MAX_FOCAL_PER_SIDE),
        matrices,
        f"a focal length of {MIN_FOCAL_PER_SIDE} to {MAX_FOCAL_PER_SIDE} sides of the {width}x{height} image",
        "Scale K with the image.",
    )
    cx, cy = matrices[:, 0, 2], matrices[:, 1, 2]
    is_outside = (cx < 0.0) | (cx > width - 1) | (cy < 0.0) | (cy > height - 1)
    _refuse(is_outside, matrices, f"a principal point in the {width}x{height} image", "Scale K with the image.")


def _refuse(is_bad: BoolArray, matrices: FloatArray, expected: str, fix: str) -> None:
    if np.any(is_bad):
        position = int(np.argmax(is_bad))
        raise ContractError(
            describe(what=f"K number {position}", expected=expected, found=str(matrices[position].tolist()), fix=fix)
        )


def _checked_correspondences(
    joints_3d: npt.ArrayLike, joints_2d_px: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (..., N, 2), (..., N, 2) and (..., N) in float64 with one batch shape."""
    points = as_floats(joints_3d, (None, 3), "joints_3d")[..., :2].astype(np.float64)
    pixels = as_floats(joints_2d_px, (None, 2), "joints_2d_px").astype(np.float64)
    if points.shape[-2] != pixels.shape[-2]:
        raise ContractError(
            describe(
                what="joints_3d and joints_2d_px",
                expected="the same joints",
                found=f"{points.shape[-2]} and {pixels.shape[-2]}",
                fix="Bring both to one joint order first.",
            )
        )
    weight = np.ones(points.shape[-2]) if weights is None else as_floats(weights, (points.shape[-2],), "weights")
    if not np.all(np.isfinite(weight) & (weight >= 0.0)):
        raise ContractError(
            describe(
                what="weights",
                expected="finite numbers, none below 0",
                found=f"values from {weight.min()} to {weight.max()}",
                fix="Weigh a joint that must not count with 0.",
            )
        )
    shape = require_broadcast("joints and weights", points.shape[:-1], pixels.shape[:-1], weight.shape)
    return (
        np.broadcast_to(points, (*shape, 2)),
        np.broadcast_to(pixels, (*shape, 2)),
        np.broadcast_to(weight.astype(np.float64), shape),
    )
