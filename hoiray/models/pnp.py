"""The object's pose from the network's proposals: RANSAC over the most confident ones (paper, section 4.3)."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hoiray.config.network import PnpConfig
from hoiray.geometry.arrays import FloatArray, as_floats
from hoiray.geometry.transforms import make_transform

PnpFailure = Literal["too_few_proposals", "not_finite", "no_extent", "no_consensus", "behind_camera"]

MIN_DISTINCT_POINTS: Final = 4
"""Distinct control points EPnP needs, however many proposals there are for each."""


@dataclass(frozen=True, eq=False)
class ObjectPose:
    """The outcome of one solve.

    Attributes:
        T_cam_obj: (4, 4) OpenCV camera axes, metres; None where the solve failed. There is no stand-in pose.
        failure: why not; None where it succeeded.
        num_pairs: proposals that were used.
        num_inliers: those within the tolerance.
    """

    T_cam_obj: FloatArray | None
    failure: PnpFailure | None
    num_pairs: int
    num_inliers: int


def solve_object_pose(
    points_unit: npt.ArrayLike,
    confidences: npt.ArrayLike,
    object_box_xyxy: npt.ArrayLike,
    control_points_m: npt.ArrayLike,
    K: npt.ArrayLike,
    *,
    crop_px: int,
    config: PnpConfig,
) -> ObjectPose:
    """Solve one object's pose. The same input gives the same pose: OpenCV's RANSAC starts from a fixed seed.

    Args:
        points_unit: (N, 21, 2) proposals in the unit square of the object box.
        confidences: (N, 21) in [0, 1].
        object_box_xyxy: (4,) px of the crop: the box the network was given.
        control_points_m: (21, 3) of the object's model, see :mod:`hoiray.geometry.control_points`.
        K: (3, 3) camera of the crop.
        crop_px: side of the crop, the unit of the tolerance.
        config: which proposals, which tolerance.

    Raises:
        ContractError: an array has another shape.
    """
    proposals = as_floats(points_unit, (None, 21, 2), "points_unit").astype(np.float64)
    trust = as_floats(confidences, (None, 21), "confidences").astype(np.float64)
    box = as_floats(object_box_xyxy, (4,), "object_box_xyxy").astype(np.float64)
    model = as_floats(control_points_m, (21, 3), "control_points_m").astype(np.float64)
    camera = as_floats(K, (3, 3), "K").astype(np.float64)
    if not all(np.isfinite(values).all() for values in (proposals, trust, box, model, camera)):
        return ObjectPose(None, "not_finite", 0, 0)
    rows, columns = most_confident(trust, config)
    if len(rows) < config.min_pairs or len(np.unique(columns)) < MIN_DISTINCT_POINTS:
        return ObjectPose(None, "too_few_proposals", len(rows), 0)
    points_px = box[:2] + proposals[rows, columns] * (box[2:] - box[:2])
    max_error_px = config.max_error_crop_sides * crop_px
    if np.sqrt(points_px.var(axis=0).sum()) <= max_error_px:
        # within the tolerance everything is one point, and that fits any pose that is far enough away
        return ObjectPose(None, "no_extent", len(rows), 0)
    return _solve(model[columns], points_px, camera, max_error_px, config)


def most_confident(confidences: FloatArray, config: PnpConfig) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Choose proposals (row, control point): of each control point the best ones that are confident enough.

    Ties go to the lower row, so that the choice does not depend on the machine.
    """
    best = np.argsort(-confidences, axis=0, kind="stable")[: config.num_proposals]
    columns = np.broadcast_to(np.arange(confidences.shape[1]), best.shape)
    is_good = np.take_along_axis(confidences, best, axis=0) > config.min_confidence
    return best[is_good], columns[is_good]


def _solve(
    points_m: FloatArray, points_px: FloatArray, K: FloatArray, max_error_px: float, config: PnpConfig
) -> ObjectPose:
    import cv2

    num_pairs = len(points_m)
    try:
        is_solved, turn, shift, inliers = cv2.solvePnPRansac(
            np.ascontiguousarray(points_m),
            np.ascontiguousarray(points_px),
            K,
            None,
            flags=cv2.SOLVEPNP_EPNP,
            iterationsCount=config.max_iterations,
            reprojectionError=max_error_px,
            confidence=config.success_probability,
        )
    except cv2.error:  # raised where every sample of points is degenerate, e.g. all on one line
        return ObjectPose(None, "no_consensus", num_pairs, 0)
    if not is_solved or inliers is None or len(inliers) < MIN_DISTINCT_POINTS:
        return ObjectPose(None, "no_consensus", num_pairs, 0)
    chosen = inliers[:, 0]
    if config.refines:
        turn, shift = cv2.solvePnPRefineLM(points_m[chosen], points_px[chosen], K, None, turn, shift)
    if not (np.isfinite(turn).all() and np.isfinite(shift).all()):
        return ObjectPose(None, "not_finite", num_pairs, len(chosen))
    R_cam_obj, _ = cv2.Rodrigues(turn)
    T_cam_obj = make_transform(R_cam_obj, shift[:, 0])
    depths_m = (points_m @ R_cam_obj.T + shift[:, 0])[:, 2]
    if not (depths_m > 0.0).all():
        return ObjectPose(None, "behind_camera", num_pairs, len(chosen))
    return ObjectPose(T_cam_obj, None, num_pairs, len(chosen))
