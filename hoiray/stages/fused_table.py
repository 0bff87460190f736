"""From arrays of fused predictions to the table FUSED that is measured next."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.filters.perspective import wrist_from_camera
from hoiray.filters.spatial import mesh_extent
from hoiray.geometry.rotations import matrix_to_axis_angle
from hoiray.predictors.ensemble import Fused
from hoiray.predictors.meshes import mesh_about_wrist
from hoiray.schema.columns import Column, pack_column
from hoiray.schema.conform import conform
from hoiray.stages.measure import FUSED

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class HandFacts:
    """What is known of B hands beside their prediction; names and units are those of the table.

    Attributes:
        columns: arrays (B, ...) or lists of texts by name: video_id, frame_index, hand_index, time_s, is_right,
            side_source, bbox_xyxy, box_source, upright_px and object_bbox_xyxy (NaN where there is none), crop_change.
        K: (B, 3, 3); NaN where unknown.
        image_size_wh: of all of them.
        shard_id, predict_id: ids of all of them.
    """

    columns: dict[str, Any]
    K: FloatArray
    image_size_wh: tuple[int, int]
    shard_id: str
    predict_id: str


def fused_table(facts: HandFacts, fused: Fused, hand: "HandModel | None", *, num_rows: int) -> pa.Table:
    """Pack predictions as rows of FUSED; a hand without an answer is a row of nulls with its reason.

    Args:
        facts: of the hands.
        fused: their predictions.
        hand: the model of the parameters; None: joints only, there is no mesh.
        num_rows: the first so many of the B hands; the others only fill up a batch.

    Raises:
        ContractError: the predictor's numbers do not fit the schema.
    """
    mean, count = fused.mean, len(fused.mean)
    is_right = np.asarray(facts.columns["is_right"])
    known = facts.columns | _parameters(fused, hand, is_right, facts.K)
    known |= {
        "shard_id": [facts.shard_id] * count,
        "predict_id": [facts.predict_id] * count,
        "image_width_px": np.full(count, facts.image_size_wh[0]),
        "image_height_px": np.full(count, facts.image_size_wh[1]),
        "K": facts.K,
        "failure": list(mean.failures),
        "joints_3d": mean.joints_3d_m,
        "joints_2d": mean.joints_2d_px,
        "joint_confidence": mean.joint_confidence,
        # told when the frames of a track have been asked together
        "side_lead": None,
        "object_id": None,
        "T_cam_obj": mean.T_cam_obj,
        "object_confidence": None,
        "num_members": fused.num_members,
        "spread_joints_2d_px": fused.spread_joints_2d_px,
        "spread_joints_3d_m": fused.spread_joints_3d_m,
        "rotation_consensus": fused.rotation_consensus,
        "spread_rotation_rad": fused.spread_rotation_rad,
    }
    packed = {column.name: _packed(column, known[column.name], count) for column in FUSED.columns}
    return conform(pa.table(packed).slice(0, num_rows), FUSED)


def _parameters(
    fused: Fused, hand: "HandModel | None", is_right: npt.NDArray[np.bool_], K: FloatArray
) -> dict[str, Any]:
    """Return pose and shape as they are stored, the extent of the mesh, and the place where the camera is known."""
    mean, count = fused.mean, len(fused.mean)
    if mean.rotations is None or mean.betas is None:
        absent = dict.fromkeys(("betas", "global_orient", "hand_pose", "transl"))
        return {**absent, "mesh_extent_m": np.full((count, 4), np.nan)}
    pose = matrix_to_axis_angle(mean.rotations)
    known: dict[str, Any] = {
        "betas": mean.betas,
        "global_orient": pose[:, 0],
        "hand_pose": pose[:, 1:].reshape(count, 45),
        "transl": None,
        "mesh_extent_m": np.full((count, 4), np.nan),
    }
    if hand is not None:
        vertices, rest_root = mesh_about_wrist(hand, mean.rotations, mean.betas, is_right)
        known["mesh_extent_m"] = mesh_extent(vertices)
        known["transl"] = wrist_from_camera(mean.joints_3d_m, mean.joints_2d_px, K) - rest_root
    return known


def _packed(column: Column, values: Any, count: int) -> pa.Array:  # noqa: ANN401 - arrays, texts or nothing
    """Make a column of what there is; rows that are not finite are null where the column has nulls."""
    if values is None:
        return pa.nulls(count, column.arrow_type)
    if column.dtype == "string":
        return pa.array(values, column.arrow_type)
    array = np.ascontiguousarray(np.asarray(values).astype(column.dtype))
    if not column.nullable:
        return pack_column(column, array)
    is_null = ~np.isfinite(array.reshape(count, -1)).all(axis=1)
    return pack_column(column, array, is_null)
