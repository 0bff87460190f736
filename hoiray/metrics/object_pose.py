"""Errors of an object's 6D pose: ADD, ADD-S, MSSD and the reprojection error.

All take one object, N frames, and poses ``T_cam_obj`` that move object coordinates (metres) into the camera. A pose
that could not be estimated is NaN; its error is NaN, and :func:`is_within` calls it wrong. It is never left out.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from hoiray.errors import ContractError, describe
from hoiray.geometry.cameras import project_points
from hoiray.geometry.transforms import compose_transforms, invert_transform, transform_points
from hoiray.metrics.inputs import (
    AnyFloats,
    Floats,
    is_missing,
    predicted_poses,
    require_truth_points,
    require_truth_poses,
)
from hoiray.metrics.object_model import hull_vertex_indices

REP_5_LIMIT_PX = 5.0
"""Limit of the 2D projection metric (Brachmann et al., CVPR 2016). Pixels of which image is the protocol's choice:
the HO-3D object scores count them in the 512 x 512 crop."""

_LAST_ROW_OF_K = np.array([0.0, 0.0, 1.0])

_MAX_BLOCK_POINTS = 1 << 19
"""Transformed points held at a time: 12 MB per float64 array, however many frames there are."""


def add_m(points_m: AnyFloats, T_predicted: AnyFloats, T_truth: AnyFloats) -> Floats:
    """Measure the mean distance between corresponding model points (ADD; Hinterstoisser et al., ACCV 2012).

    Args:
        points_m: (P, 3) model points, object coordinates.
        T_predicted: (N, 4, 4); non-finite where the estimate failed.
        T_truth: (N, 4, 4).

    Returns:
        (N,) metres, NaN where the estimate failed.

    Raises:
        ContractError: wrong shapes, poses that are not rigid, or a truth that is not finite.
    """
    points, predicted, truth = _require_inputs(points_m, T_predicted, T_truth)
    errors = np.full(len(truth), np.nan)
    for rows in _present_blocks(predicted, len(points)):
        errors[rows] = _displacements(points, predicted[rows], truth[rows]).mean(axis=1)
    return errors


def add_s_m(points_m: AnyFloats, T_predicted: AnyFloats, T_truth: AnyFloats) -> Floats:
    """Measure the mean distance from each true point to the nearest predicted one (ADD-S; Xiang et al., RSS 2018).

    Never larger than ADD. Distances do not change under the inverse of the predicted pose, so the search runs in
    object coordinates and one tree over the model serves all frames.

    Args:
        points_m: (P, 3) model points, object coordinates.
        T_predicted: (N, 4, 4); non-finite where the estimate failed.
        T_truth: (N, 4, 4).

    Returns:
        (N,) metres, NaN where the estimate failed.

    Raises:
        ContractError: wrong shapes, poses that are not rigid, or a truth that is not finite.
    """
    points, predicted, truth = _require_inputs(points_m, T_predicted, T_truth)
    tree = KDTree(points)
    errors = np.full(len(truth), np.nan)
    for rows in _present_blocks(predicted, len(points)):
        T_predicted_obj_true_obj = compose_transforms(invert_transform(predicted[rows]), truth[rows])
        true_in_predicted_obj = transform_points(T_predicted_obj_true_obj, points)
        errors[rows] = np.asarray(tree.query(true_in_predicted_obj)[0]).mean(axis=1)
    return errors


def mssd_m(points_m: AnyFloats, T_predicted: AnyFloats, T_truth: AnyFloats, symmetries: AnyFloats) -> Floats:
    """Measure the largest displacement of a model point under the best symmetry (MSSD; Hodan et al., BOP 2020).

    For a fixed symmetry the displacement is the norm of an affine function of the point, hence convex, hence largest
    on a vertex of the convex hull: only those are moved, and the result is exact.

    Args:
        points_m: (P, 3) model points, object coordinates.
        T_predicted: (N, 4, 4); non-finite where the estimate failed.
        T_truth: (N, 4, 4).
        symmetries: (S, 4, 4) from :func:`hoiray.metrics.symmetry.symmetry_transforms`.

    Returns:
        (N,) metres, NaN where the estimate failed.

    Raises:
        ContractError: wrong shapes, no symmetry (not even the identity), poses that are not rigid, or a truth that is
            not finite.
    """
    points, predicted, truth = _require_inputs(points_m, T_predicted, T_truth)
    transforms = require_truth_poses(symmetries, what="symmetry transforms")
    if not len(transforms):
        raise ContractError(
            describe(
                what="symmetry transforms",
                expected="the identity at least",
                found="none",
                fix="Use symmetry_transforms(NO_SYMMETRY).",
            )
        )
    corners = points[hull_vertex_indices(points)]
    errors = np.full(len(truth), np.nan)
    for rows in _present_blocks(predicted, len(corners)):
        best = np.full(len(rows), np.inf)
        for transform in transforms:
            best = np.minimum(best, _displacements(corners, predicted[rows], truth[rows] @ transform).max(axis=1))
        errors[rows] = best
    return errors


def reprojection_error_px(points_m: AnyFloats, T_predicted: AnyFloats, T_truth: AnyFloats, K: AnyFloats) -> Floats:
    """Measure the mean distance between the images of corresponding model points (REP).

    Args:
        points_m: (P, 3) model points, object coordinates.
        T_predicted: (N, 4, 4); non-finite where the estimate failed.
        T_truth: (N, 4, 4).
        K: (3, 3) or (N, 3, 3) intrinsics of the image whose pixels count; for a crop, of the crop.

    Returns:
        (N,) pixels. NaN where the estimate failed or puts a point on or behind the camera plane: it has no image.

    Raises:
        ContractError: wrong shapes, poses that are not rigid, or a truth that is not finite or not in front of the
            camera.
    """
    points, predicted, truth = _require_inputs(points_m, T_predicted, T_truth)
    intrinsics = _require_intrinsics(K, len(truth))
    errors = np.full(len(truth), np.nan)
    for rows in _present_blocks(predicted, len(points)):
        true_px = project_points(transform_points(truth[rows], points), intrinsics[rows])
        if np.isnan(true_px).any():
            raise ContractError(
                describe(
                    what="true object poses",
                    expected="every model point in front of the camera (z > 0)",
                    found="points at z <= 0",
                    fix="Convert OpenGL poses (HO-3D files) to OpenCV axes first.",
                )
            )
        predicted_px = project_points(transform_points(predicted[rows], points), intrinsics[rows])
        errors[rows] = np.linalg.norm(predicted_px - true_px, axis=2).mean(axis=1)
    return errors


def is_within(errors: AnyFloats, limit: float) -> npt.NDArray[np.bool_]:
    """Tell which errors are at most the limit; a NaN, an estimate that failed, is not."""
    return np.asarray(np.asarray(errors, dtype=np.float64) <= limit)


def _require_inputs(points_m: AnyFloats, T_predicted: AnyFloats, T_truth: AnyFloats) -> tuple[Floats, Floats, Floats]:
    points = require_truth_points(points_m, what="object model points")
    predicted = predicted_poses(T_predicted, what="predicted object poses")
    truth = require_truth_poses(T_truth, what="true object poses")
    if points.ndim != 2 or len(predicted) != len(truth):
        raise ContractError(
            describe(
                what="object pose evaluation",
                expected="(P, 3) model points and as many predicted as true poses",
                found=f"{points.shape} points, {len(predicted)} predicted, {len(truth)} true",
                fix="Evaluate one object at a time; mark a failed estimate with NaN instead of leaving it out.",
            )
        )
    return points, predicted, truth


def _require_intrinsics(K: AnyFloats, num_frames: int) -> Floats:
    intrinsics = np.asarray(K, dtype=np.float64)
    if intrinsics.shape not in ((3, 3), (num_frames, 3, 3)):
        found = f"shape {intrinsics.shape}"
    else:
        is_camera = np.isfinite(intrinsics).all(axis=(-2, -1)) & (intrinsics[..., 2, :] == _LAST_ROW_OF_K).all(axis=-1)
        if is_camera.all():
            return np.broadcast_to(intrinsics, (num_frames, 3, 3))
        found = str(intrinsics[~is_camera][0].tolist())
    raise ContractError(
        describe(
            what="intrinsics K",
            expected=f"finite, shape (3, 3) or ({num_frames}, 3, 3), last row 0 0 1",
            found=found,
            fix="Give one matrix, or one per frame; transpose one that was stored column by column.",
        )
    )


def _present_blocks(predicted: Floats, num_points: int) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the indices of the frames that have an estimate, a bounded number of points at a time."""
    present = np.flatnonzero(~is_missing(predicted))
    step = max(1, _MAX_BLOCK_POINTS // num_points)
    for start in range(0, len(present), step):
        yield present[start : start + step]


def _displacements(points: Floats, T_a: Floats, T_b: Floats) -> Floats:
    """Measure how far (P, 3) points move between two poses of each frame -> (N, P)."""
    # T p is linear in T, so the difference of two poses moves a point by the displacement between them
    distances: Floats = np.linalg.norm(transform_points(T_a - T_b, points), axis=2)
    return distances
