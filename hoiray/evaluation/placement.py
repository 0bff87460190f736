"""Where a hand is: predictors answer relative to the wrist, pictures and submissions want camera coordinates."""

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.cameras import project_points

Floats = npt.NDArray[np.float64]


def wrist_from_image(
    joints_3d_m: npt.NDArray[np.floating], joints_2d_px: npt.NDArray[np.floating], K: npt.NDArray[np.floating]
) -> Floats:
    """Find the wrist for which the joints' images come closest to the predicted 2D joints.

    Multiplied by its depth, a joint's projection is linear in the unknown wrist w: with normalised image coordinates
    (x, y), `X + w_x = x (Z + w_z)` and `Y + w_y = y (Z + w_z)`. Two equations a joint, three unknowns, least squares.
    Nothing is turned: a wrong orientation stays visible. Exact where 2D and 3D agree.

    Args:
        joints_3d_m: (..., 21, 3) relative to the wrist, OpenCV camera axes.
        joints_2d_px: (..., 21, 2).
        K: (..., 3, 3), upper triangular.

    Returns:
        (..., 3) metres; NaN where an input is not finite or the wrist would not lie in front of the camera.
    """
    points, pixels, camera = (np.asarray(values, dtype=np.float64) for values in (joints_3d_m, joints_2d_px, K))
    _require_shapes(points, pixels, camera)
    homogeneous = np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], axis=-1)
    is_known = np.isfinite(points).all(axis=(-2, -1)) & np.isfinite(homogeneous).all(axis=(-2, -1))
    is_known &= np.isfinite(camera).all(axis=(-2, -1))
    safe = np.where(is_known[..., None, None], camera, np.eye(3))
    rays = np.where(is_known[..., None, None], homogeneous, 1.0) @ np.swapaxes(np.linalg.inv(safe), -1, -2)
    points = np.where(is_known[..., None, None], points, 0.0)
    x, y = rays[..., 0], rays[..., 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = np.stack([np.stack([one, zero, -x], axis=-1), np.stack([zero, one, -y], axis=-1)], axis=-2)
    right = np.stack([x * points[..., 2] - points[..., 0], y * points[..., 2] - points[..., 1]], axis=-1)
    matrix = rows.reshape(*rows.shape[:-3], -1, 3)
    vector = right.reshape(*right.shape[:-2], -1)
    transposed = np.swapaxes(matrix, -1, -2)
    normal = transposed @ matrix
    is_solvable = is_known & (np.linalg.det(normal) > 1e-12)
    normal = np.where(is_solvable[..., None, None], normal, np.eye(3))
    wrist = np.linalg.solve(normal, transposed @ vector[..., None])[..., 0]
    is_in_front = is_solvable & (wrist[..., 2] > 0.0)
    return np.asarray(np.where(is_in_front[..., None], wrist, np.nan))


def guessed_intrinsics(image_size_wh: tuple[int, int]) -> Floats:
    """Return a plausible K (3, 3) of an unknown camera: 60 degrees over the longer side, the centre in the middle.

    For pictures only: with it a hand lands where it is seen, at a distance that means nothing.
    """
    width, height = image_size_wh
    focal = max(width, height) / (2.0 * np.tan(np.radians(30.0)))
    return np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])


def reprojection_px(
    joints_3d_m: npt.NDArray[np.floating],
    wrist_m: npt.NDArray[np.floating],
    joints_2d_px: npt.NDArray[np.floating],
    K: npt.NDArray[np.floating],
) -> Floats:
    """Measure the mean distance (...,) between projected 3D and predicted 2D joints, px."""
    projected = project_points(joints_3d_m + wrist_m[..., None, :], K)
    return np.asarray(np.linalg.norm(projected - joints_2d_px, axis=-1).mean(axis=-1), dtype=np.float64)


def _require_shapes(points: Floats, pixels: Floats, camera: Floats) -> None:
    if points.shape[-1:] == (3,) and pixels.shape == (*points.shape[:-1], 2) and camera.shape[-2:] == (3, 3):
        return
    expected = "joints (..., N, 3) and (..., N, 2), K (..., 3, 3)"
    found = f"{points.shape}, {pixels.shape} and {camera.shape}"
    fix = "Give one 2D joint for every 3D joint."
    raise ContractError(describe(what="joints to place", expected=expected, found=found, fix=fix))
