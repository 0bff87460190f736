"""Object poses of a request from the network's proposals: solved in each crop, said in the frame.

A left hand's crop shows the mirrored world. In it the pose of the *mirrored* model is solved, T', whose control points
are those of the model with x negated; the real pose is M T' M with M = diag(-1, 1, 1).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hoiray.config.network import PnpConfig
from hoiray.datasets.crop_plan import CropSpec
from hoiray.geometry.crops import apply_affine, from_unit_box, invert_affine
from hoiray.geometry.rotations import mirror_rotation
from hoiray.geometry.transforms import make_transform
from hoiray.hand.sides import mirror_intrinsics, mirror_points
from hoiray.models.pnp import ObjectPose, solve_object_pose
from hoiray.predictors.protocol import FloatArray, HandRequest
from hoiray.predictors.request_crops import Crops, points_to_frame

UNIT_BOX: Final = (0.0, 0.0, 1.0, 1.0)
"""In this box, px are unit coordinates."""

MIN_EXTENT_UNIT: Final = 0.2
"""Proposals closer together than this say nothing about the object's shape, and are not stretched."""

MAX_TURN_RAD: Final = 1e-6
"""A picture turned further has an object box that is not tight."""


@dataclass(frozen=True, eq=False)
class Proposed:
    """What every cell proposes: (B, C, 21, 2) in the unit square of the object box, (B, C, 21) confidences."""

    points_unit: FloatArray
    confidences: FloatArray


@dataclass(frozen=True, eq=False)
class SolvedObjects:
    """The objects of B hands.

    Attributes:
        T_cam_obj: (B, 4, 4); NaN where there is no pose.
        control_points_2d_px: (B, 21, 2) px of the frame, each control point's most confident proposal; NaN without
            an object's box.
        failures: (B,) why not; None where there is a pose.
    """

    T_cam_obj: FloatArray
    control_points_2d_px: FloatArray
    failures: tuple[str | None, ...]


def solve_objects(
    proposed: Proposed, request: HandRequest, crops: Crops, config: PnpConfig, *, spec: CropSpec
) -> SolvedObjects:
    """Solve every object that can be asked for.

    Args:
        proposed: of the request's rows.
        request: K and control points.
        crops: what the network saw.
        config: how poses are solved.
        spec: how the crops were cut.
    """
    if config.spans_box:
        proposed = spanning_box(proposed, crops, spec.object_box_factor)
    poses = np.full((len(request), 4, 4), np.nan)
    failures = list(request.object_obstacles())
    for row, obstacle in enumerate(failures):
        if obstacle is None:
            solved = _solve(row, proposed, request, crops, crop_px=spec.size_px, config=config)
            failures[row] = solved.failure
            if solved.T_cam_obj is not None:
                T_cam_obj = solved.T_cam_obj
                poses[row] = _unmirrored(T_cam_obj) if crops.is_mirrored[row] else T_cam_obj
    points = from_unit_box(best_proposals(proposed), crops.object_boxes_xyxy, expand=1.0)
    seen = np.where((crops.has_object & crops.is_inside)[:, None, None], points, np.nan)
    return SolvedObjects(poses, points_to_frame(seen, crops, request.image_size_wh[0]), tuple(failures))


def spanning_box(proposed: Proposed, crops: Crops, box_factor: float) -> Proposed:
    """Stretch proposals such that each control point's best ones span the tight object box, along x and y apart.

    An object's box is that of its control points, so the true ones do. Rows whose picture is turned are left as they
    are, since a turned box is not tight; so are rows whose proposals hardly spread along an axis.

    Args:
        proposed: of B hands.
        crops: what the network saw.
        box_factor: of the object's box about the tight one.
    """
    best = best_proposals(proposed)
    lower, upper = best.min(axis=1), best.max(axis=1)
    extent, middle = upper - lower, (lower + upper) / 2.0
    is_usable = (extent >= MIN_EXTENT_UNIT).all(axis=1) & (np.abs(crops.rotations_rad) < MAX_TURN_RAD)
    scale = np.where(is_usable[:, None], 1.0 / box_factor / np.where(extent > 0.0, extent, 1.0), 1.0)
    shift = np.where(is_usable[:, None], 0.5, middle)
    stretched = (proposed.points_unit - middle[:, None, None]) * scale[:, None, None] + shift[:, None, None]
    return Proposed(stretched, proposed.confidences)


def best_proposals(proposed: Proposed) -> FloatArray:
    """Return the most confident proposal (B, 21, 2) of each control point; NaN where there are none."""
    trust = np.where(np.isnan(proposed.confidences), -1.0, proposed.confidences)
    best = trust.argmax(axis=1)
    return np.asarray(np.take_along_axis(proposed.points_unit, best[:, None, :, None], axis=1)[:, 0])


def _solve(
    row: int, proposed: Proposed, request: HandRequest, crops: Crops, *, crop_px: int, config: PnpConfig
) -> ObjectPose:
    """Solve one row in the world its crop shows, unturned.

    Proposals are taken back to the (mirrored) frame and scaled as the crop is, so that the tolerance keeps its unit.
    In the turned crop itself a camera of unequal focal lengths would be sheared, which OpenCV's solver ignores.
    """
    model: FloatArray = np.array(request.control_points_m[row], dtype=np.float64)
    K: FloatArray = np.array(request.K[row], dtype=np.float64)
    if crops.is_mirrored[row]:
        model, K = mirror_points(model), mirror_intrinsics(K, request.image_size_wh[0])
    scale = float(np.hypot(crops.A[row, 0, 0], crops.A[row, 1, 0]))
    in_crop = from_unit_box(proposed.points_unit[row], crops.object_boxes_xyxy[row], expand=1.0)
    return solve_object_pose(
        apply_affine(invert_affine(crops.A[row]), in_crop) * scale,
        proposed.confidences[row],
        UNIT_BOX,
        model,
        np.diag([scale, scale, 1.0]) @ K,
        crop_px=crop_px,
        config=config,
    )


def _unmirrored(T_cam_obj: FloatArray) -> FloatArray:
    """Return M T M of a pose (4, 4)."""
    return make_transform(mirror_rotation(T_cam_obj[:3, :3]), mirror_points(T_cam_obj[:3, 3]))
