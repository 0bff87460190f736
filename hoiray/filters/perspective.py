"""Where the wrist is, when the camera is known: the translation that makes the 3D hand project onto its 2D joints.

The spatial measurements do not use it (:mod:`hoiray.filters.spatial` says why); it fills the absolute place of a hand.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.geometry.arrays import FloatArray, all_finite, as_floats
from hoiray.geometry.cameras import MIN_JOINT_SPREAD_M, unproject_points

NUM_REWEIGHTINGS: Final = 5
"""Rounds after which the place of a noisy hand moves by less than 1e-6 of its distance."""


def wrist_from_camera(
    joints_3d_m: npt.ArrayLike, joints_2d_px: npt.ArrayLike, K: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Find the translation t that minimises the squared distance of ``(X + t) / z`` to the observed rays.

    With rays ``(a, b, 1) = K^-1 x``, the equations ``X + tx = a (Z + tz)`` and ``Y + ty = b (Z + tz)`` are linear in t
    and solved in closed form. Their residual is the distance on the image plane times the depth of the joint, so they
    are weighted by ``1 / z^2`` and solved again.

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
    weight = np.ones(joints.shape[:-1])
    translation = np.full((len(joints), 3), np.nan)
    for _ in range(NUM_REWEIGHTINGS + 1):
        share = (weight / weight.sum(axis=-1, keepdims=True))[..., None]
        offset = rays * joints[..., 2:] - joints[..., :2]  # = t_xy - ray * t_z
        ray_mean, offset_mean = (share * rays).sum(axis=-2), (share * offset).sum(axis=-2)
        centred = rays - ray_mean[..., None, :]
        spread = (share * centred * centred).sum(axis=(-2, -1))
        slope = -(share * centred * (offset - offset_mean[..., None, :])).sum(axis=(-2, -1))
        depth = slope / np.where(spread > 0.0, spread, np.nan)
        translation = np.concatenate([offset_mean + depth[..., None] * ray_mean, depth[..., None]], axis=-1)
        z = joints[..., 2] + depth[..., None]
        is_in_front = (z > MIN_JOINT_SPREAD_M).all(axis=-1)
        translation = np.where(is_in_front[..., None], translation, np.nan)
        weight = 1.0 / np.where(is_in_front[..., None], z, 1.0) ** 2
    return translation
