"""Where the wrist is, when the camera is known: the translation that makes the 3D hand project onto its 2D joints.

The spatial measurements do not use it (:mod:`hoiray.filters.spatial` says why); it fills the absolute place of a hand.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.geometry.arrays import FloatArray, all_finite, as_floats
from hoiray.geometry.cameras import MIN_JOINT_SPREAD_M, unproject_points

NUM_STEPS: Final = 6
"""Gauss-Newton steps from the closed form; the fourth one moves a noisy hand by less than a micrometre."""


def wrist_from_camera(
    joints_3d_m: npt.ArrayLike, joints_2d_px: npt.ArrayLike, K: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Find the translation t that minimises the squared distance of ``(X + t) / z`` to the observed rays.

    Distances are taken on the plane at depth 1, between ``(X + t) / z`` and the rays ``(a, b, 1) = K^-1 x``. The
    equations ``X + tx = a (Z + tz)`` and ``Y + ty = b (Z + tz)`` are linear in t; their closed solution weighs far
    joints more than the image does, and Gauss-Newton goes on from there.

    Args:
        joints_3d_m: (N, 21, 3) relative to the wrist, camera axes.
        joints_2d_px: (N, 21, 2) of the full image.
        K: (N, 3, 3) of the full image, or one for all; NaN where unknown.

    Returns:
        (N, 3) metres, camera axes: where the wrist is. NaN where something is not finite, where the rays coincide, or
        where the best place is not in front of the camera.
    """
    joints = as_floats(joints_3d_m, (None, 3), "joints_3d_m").astype(np.float64)
    pixels = as_floats(joints_2d_px, (None, 2), "joints_2d_px").astype(np.float64)
    matrices = np.broadcast_to(as_floats(K, (3, 3), "K").astype(np.float64), (len(joints), 3, 3))
    is_known = all_finite(joints, 2) & all_finite(pixels, 2) & all_finite(matrices, 2)
    wrist = np.full((len(joints), 3), np.nan)
    if is_known.any():
        joints, pixels, matrices = joints[is_known], pixels[is_known], matrices[is_known]
        rays = unproject_points(pixels, np.ones(pixels.shape[:-1]), matrices)[..., :2]
        wrist[is_known] = _solve(joints, rays)
    return wrist


def _solve(joints: FloatArray, rays: FloatArray) -> FloatArray:
    wrist = _linear_solution(joints, rays)
    for _ in range(NUM_STEPS):
        wrist = _where_in_front(wrist, joints)
        x, y, z = np.moveaxis(joints + wrist[:, None], -1, 0)
        zero = np.zeros_like(z)
        residual = np.concatenate([x / z - rays[..., 0], y / z - rays[..., 1]], axis=-1)
        slope_x = np.stack([1.0 / z, zero, -x / z**2], axis=-1)
        slope_y = np.stack([zero, 1.0 / z, -y / z**2], axis=-1)
        jacobian = np.concatenate([slope_x, slope_y], axis=-2)
        normal = np.einsum("nij,nik->njk", jacobian, jacobian)
        gradient = np.einsum("nij,ni->nj", jacobian, residual)
        wrist = wrist - np.linalg.solve(normal, gradient[..., None])[..., 0]
    return _where_in_front(wrist, joints)


def _linear_solution(joints: FloatArray, rays: FloatArray) -> FloatArray:
    """Least squares of ``offset = t_xy - ray * t_z``: a line through the rays; NaN where they coincide."""
    offset = rays * joints[..., 2:] - joints[..., :2]
    ray_mean, offset_mean = rays.mean(axis=-2), offset.mean(axis=-2)
    centred = rays - ray_mean[..., None, :]
    spread = (centred * centred).sum(axis=(-2, -1))
    slope = (centred * (offset - offset_mean[..., None, :])).sum(axis=(-2, -1))
    depth = -slope / np.where(spread > 0.0, spread, np.nan)
    return np.concatenate([offset_mean + depth[..., None] * ray_mean, depth[..., None]], axis=-1)


def _where_in_front(wrist: FloatArray, joints: FloatArray) -> FloatArray:
    """Return the places at which every joint is in front of the camera, NaN for the others."""
    is_in_front = (joints[..., 2] + wrist[:, 2:] > MIN_JOINT_SPREAD_M).all(axis=-1, keepdims=True)
    return np.where(is_in_front, wrist, np.nan)
