"""What every metric demands of its arguments, and how a missing prediction is marked.

The rule of the whole package:

* the **truth** is complete. A NaN or an infinity in it is a broken data set and raises ``ContractError``;
* a **prediction** may be missing. One non-finite coordinate makes the whole sample missing, its per-sample value is
  NaN, and the averages of :mod:`hoiray.metrics.summary` count it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.arrays import all_finite

AnyFloats = npt.NDArray[np.floating[Any]]
"""What a metric accepts: any floating point array; all arithmetic is done in float64."""

Floats = npt.NDArray[np.float64]
"""What a metric returns."""

MAX_ROTATION_DEFECT = 1e-4
"""Largest entry of ``R.T @ R - I`` and of ``det R - 1`` that still counts as a rotation.

A chain of float32 rotations is off by about 1e-6; 1e-4 moves a point 0.3 m from the origin by 0.03 mm at most.
"""


def require_truth_points(truth_m: AnyFloats, *, what: str) -> Floats:
    """Return annotated points as float64, or refuse them.

    Args:
        truth_m: (..., K, 3) points, K >= 1.
        what: how the caller names the array in a message.

    Raises:
        ContractError: wrong shape, no points, or a value that is not finite.
    """
    truth = _as_points(truth_m, what)
    bad = np.flatnonzero(~all_finite(truth, 2))
    if bad.size:
        raise ContractError(
            describe(
                what=what,
                expected="finite ground truth",
                found=f"{bad.size} of {_num_samples(truth)} samples with NaN or infinity, the first is sample {bad[0]}",
                fix="Leave samples without annotation out of both arrays; only predictions may be missing.",
            )
        )
    return truth


def predicted_points(predicted_m: AnyFloats, *, what: str) -> Floats:
    """Return predicted points as float64 in which a missing sample is NaN throughout.

    Args:
        predicted_m: (..., K, 3) points, K >= 1.
        what: how the caller names the array in a message.

    Returns:
        The argument itself where it is complete float64 already, otherwise a copy.

    Raises:
        ContractError: wrong shape or no points.
    """
    predicted = _as_points(predicted_m, what)
    missing = ~all_finite(predicted, 2)
    if not missing.any():
        return predicted
    return np.where(missing[..., None, None], np.nan, predicted)


def paired_points(predicted_m: AnyFloats, truth_m: AnyFloats) -> tuple[Floats, Floats]:
    """Check two arrays of corresponding points.

    Args:
        predicted_m: (..., K, 3) metres; non-finite values mark a missing sample.
        truth_m: (..., K, 3) metres, same shape and frame.

    Returns:
        Both as float64; missing predicted samples are NaN throughout.

    Raises:
        ContractError: the shapes differ or are not (..., K, 3), or the truth is not finite.
    """
    if np.shape(predicted_m) != np.shape(truth_m):
        raise ContractError(
            describe(
                what="predicted and true points",
                expected="two arrays of one shape, (..., K, 3)",
                found=f"{np.shape(predicted_m)} and {np.shape(truth_m)}",
                fix="Pair every prediction with its annotation, in the same point order.",
            )
        )
    return predicted_points(predicted_m, what="predicted points"), require_truth_points(truth_m, what="true points")


def is_missing(predicted: Floats) -> npt.NDArray[np.bool_]:
    """Tell which samples of a checked prediction are missing.

    Args:
        predicted: (..., K, 3) from :func:`predicted_points` or (N, 4, 4) from :func:`predicted_poses`, in which a
            missing sample is NaN throughout, so that one entry tells.

    Returns:
        (...) True where missing.
    """
    return np.asarray(np.isnan(predicted[..., 0, 0]))


def require_truth_poses(T_cam_obj: AnyFloats, *, what: str) -> Floats:
    """Return annotated rigid transforms (N, 4, 4) as float64, or refuse them.

    Raises:
        ContractError: wrong shape, a value that is not finite, or a matrix that is not a rigid transform.
    """
    poses = predicted_poses(T_cam_obj, what=what)
    num_bad = int(is_missing(poses).sum())
    if num_bad:
        raise ContractError(
            describe(
                what=what,
                expected="finite ground truth",
                found=f"{num_bad} of {len(poses)} poses with NaN or infinity",
                fix="Leave frames without annotated object pose out; only predictions may be missing.",
            )
        )
    return poses


def predicted_poses(T_cam_obj: AnyFloats, *, what: str) -> Floats:
    """Return predicted rigid transforms as float64 in which a failed estimate is NaN throughout.

    Args:
        T_cam_obj: (N, 4, 4), object to camera; non-finite values mark a pose that could not be estimated.
        what: how the caller names the array in a message.

    Raises:
        ContractError: wrong shape, or a finite matrix that is not a rigid transform.
    """
    poses = np.asarray(T_cam_obj, dtype=np.float64)
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise ContractError(
            describe(what=what, expected="shape (N, 4, 4)", found=f"{poses.shape}", fix="Stack one pose per frame.")
        )
    missing = ~all_finite(poses, 2)
    defect = _rigidity_defect(poses[~missing])
    if defect > MAX_ROTATION_DEFECT:
        raise ContractError(
            describe(
                what=what,
                expected=f"rigid transforms (rotation defect <= {MAX_ROTATION_DEFECT:g}, last row 0 0 0 1)",
                found=f"a matrix with defect {defect:.3g}",
                fix="Check for a transposed, scaled or mirrored pose.",
            )
        )
    return np.where(missing[:, None, None], np.nan, poses)


def _rigidity_defect(poses: Floats) -> float:
    """Return how far the worst of (N, 4, 4) finite matrices is from a rigid transform; 0 for N = 0."""
    if not len(poses):
        return 0.0
    R = poses[:, :3, :3]
    orthogonality = np.abs(np.swapaxes(R, 1, 2) @ R - np.eye(3)).max()
    handedness = np.abs(np.linalg.det(R) - 1.0).max()
    last_row = np.abs(poses[:, 3] - np.array([0.0, 0.0, 0.0, 1.0])).max()
    return float(max(orthogonality, handedness, last_row))


def _as_points(points: AnyFloats, what: str) -> Floats:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim < 2 or array.shape[-1] != 3 or array.shape[-2] == 0:
        raise ContractError(
            describe(
                what=what,
                expected="shape (..., K, 3) with K >= 1",
                found=f"{array.shape}",
                fix="Give 3D points in metres, one row per point.",
            )
        )
    return array


def _num_samples(points: Floats) -> int:
    return int(np.prod(points.shape[:-2], dtype=np.int64))
