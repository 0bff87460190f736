"""The truth beside every generated data set: what its format cannot say, of every hand and object of every frame.

The layout is in :mod:`hoiray.datasets.formats.truth`.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hoiray.datasets.formats.truth import TRUTH_TIP_SET, hands_key, objects_key, read_truth
from hoiray.geometry.boxes import from_points
from hoiray.geometry.cameras import project_points
from hoiray.hand.joints import TIP_JOINTS, tip_vertices
from hoiray.io.encode import encode_rle
from hoiray.io.store import Store
from hoiray.render.raster import rasterise
from hoiray.schema.columns import Column, TableSchema
from hoiray.schema.conform import conform
from hoiray.schema.tables import TRUTH_HANDS, TRUTH_OBJECTS
from hoiray.synthetic.writers.shot import (
    FloatArray,
    HandTruth,
    ObjectTruth,
    Placement,
    Shot,
    box_of_mask,
    truth_model,
)

if TYPE_CHECKING:
    from hoiray.synthetic.world import SplitName

MIN_DEPTH_M: Final = 0.01
"""What lies closer has no image: a hand that reaches this close has no silhouette to compare with."""

MAX_CANVAS_PX: Final = 256
"""Silhouettes are measured at most this large: one pixel of the outline in 256 is 0.4 % of the visible fraction."""

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ShotTruth:
    """Rows of one frame, measured once and shared by all formats; its place in the format is still missing."""

    hands: tuple[Row, ...]
    objects: tuple[Row, ...]


def measure_truth(shot: Shot) -> ShotTruth:
    """Describe the hands and objects of a frame."""
    place = _place(shot)
    hands = [place | _hand_row(shot, index, hand) for index, hand in enumerate(shot.hands)]
    objects = [place | _object_row(shot, index, target) for index, target in enumerate(shot.objects)]
    return ShotTruth(tuple(hands), tuple(objects))


class TruthRecorder:
    """Collects the truth of a recording and writes it."""

    def __init__(self, split: "SplitName") -> None:
        """Begin a recording of a split."""
        self._split = split
        self._hands: list[Row] = []
        self._objects: list[Row] = []

    def add(self, truth: ShotTruth, placement: Placement) -> None:
        """Append a frame under the name the format gave it."""
        name = {"sample_id": placement.sample_id, "video_id": placement.video_id, "split": self._split}
        self._hands += [row | name for row in truth.hands]
        self._objects += [row | name for row in truth.objects]

    def close(self, store: Store, recording_id: str) -> tuple[str, ...]:
        """Write both tables; return their keys."""
        store.write(hands_key(recording_id), _parquet(self._hands, TRUTH_HANDS))
        store.write(objects_key(recording_id), _parquet(self._objects, TRUTH_OBJECTS))
        return hands_key(recording_id), objects_key(recording_id)


@dataclass(frozen=True, eq=False)
class PosedTargets:
    """The target hands of some samples, posed again from their parameters.

    Attributes:
        sample_ids: N names.
        vertices: (N, 778, 3) metres, camera axes.
        chain_joints: (N, 21, 3) metres, camera axes, simple order, tips of :data:`TRUTH_TIP_SET`.
        betas, global_orient, hand_pose: (N, 10), (N, 3), (N, 45).
        K: (N, 3, 3).
    """

    sample_ids: tuple[str, ...]
    vertices: FloatArray
    chain_joints: FloatArray
    betas: FloatArray
    global_orient: FloatArray
    hand_pose: FloatArray
    K: FloatArray

    def joints_3d(self, tip_set: str) -> FloatArray:
        """Return (N, 21, 3) with other tips; right hands."""
        joints = self.chain_joints.copy()
        joints[:, list(TIP_JOINTS)] = self.vertices[:, list(tip_vertices(tip_set, is_right=True))]
        return joints


def posed_targets(store: Store, recording_id: str) -> PosedTargets:
    """Pose the first target hand of every frame of a recording that is a sample, in the order of the table.

    Lists that hold a mesh per sample are written at the end from the parameters, so that no worker has to hand its
    meshes to the driver.
    """
    import torch

    table = read_truth(store, hands_key(recording_id), TRUTH_HANDS)
    rows, seen = [], set[str]()
    names = table["sample_id"].to_pylist()
    for index, (name, is_target) in enumerate(zip(names, table["is_target"].to_pylist(), strict=True)):
        if name is not None and is_target and name not in seen:
            seen.add(name)
            rows.append(index)
    chosen = table.take(rows)
    values = {
        name: column_array(chosen, TRUTH_HANDS[name]) for name in ("betas", "global_orient", "hand_pose", "transl")
    }
    order = ("global_orient", "hand_pose", "betas", "transl")
    with torch.no_grad():
        posed = truth_model()(
            *(torch.from_numpy(values[name]) for name in order), is_right=torch.tensor(chosen["is_right"].to_pylist())
        )
    return PosedTargets(
        sample_ids=tuple(names[index] for index in rows),
        vertices=posed.vertices.numpy(),
        chain_joints=posed.joints.numpy(),
        betas=values["betas"],
        global_orient=values["global_orient"],
        hand_pose=values["hand_pose"],
        K=column_array(chosen, TRUTH_HANDS["K"]),
    )


def column_array(table: pa.Table, column: Column) -> NDArray[Any]:
    """Return a column without nulls as an array (rows, *shape), writable."""
    values = table[column.name].combine_chunks()
    flat = values.flatten() if column.shape else values
    return np.array(flat.to_numpy(zero_copy_only=False)).reshape(len(table), *column.shape)


# --- rows -------------------------------------------------------------------------------------------------------------


def _place(shot: Shot) -> Row:
    height, width = shot.view.image_size
    return {
        "recording_id": shot.view.recording_id,
        "camera_id": shot.view.camera_id,
        "frame_index": shot.view.frame_index,
        "time_s": shot.view.time_s,
        "image_width_px": width,
        "image_height_px": height,
        "K": shot.view.K,
    }


def _hand_row(shot: Shot, index: int, hand: HandTruth) -> Row:
    joints = hand.joints_3d(TRUTH_TIP_SET)
    K = shot.view.K
    is_in_front = bool(hand.vertices[:, 2].min() > MIN_DEPTH_M)
    faces = truth_model().faces(is_right=hand.view.is_right).numpy()
    return {
        "hand_index": index,
        "subject_id": hand.view.subject_id,
        "is_right": hand.view.is_right,
        "holds_object": bool(hand.view.holds_object),
        "betas": hand.view.mano.betas,
        "global_orient": hand.view.mano.global_orient,
        "hand_pose": hand.view.mano.hand_pose,
        "transl": hand.view.mano.transl,
        "joints_3d": joints,
        "joints_2d": project_points(joints, K) if joints[:, 2].min() > MIN_DEPTH_M else None,
        "mesh_bbox_xyxy": from_points(project_points(hand.vertices, K)) if is_in_front else None,
        **_seen_row(shot.hand_mask(index), hand.view.is_target, hand.vertices, faces, K),
    }


def _object_row(shot: Shot, index: int, target: ObjectTruth) -> Row:
    pose = target.view.T_cam_obj
    vertices = target.mesh.vertices @ pose[:3, :3].T + pose[:3, 3]
    return {
        "object_index": index,
        "name": target.view.name,
        "T_cam_obj": pose,
        **_seen_row(shot.object_mask(index), target.view.is_target, vertices, target.mesh.faces, shot.view.K),
    }


def _seen_row(
    mask: NDArray[np.bool_], is_target: bool, vertices: FloatArray, faces: NDArray[np.integer], K: FloatArray
) -> Row:
    visible = int(np.count_nonzero(mask))
    whole = silhouette_px(vertices, faces, K) if vertices[:, 2].min() > MIN_DEPTH_M else None
    return {
        "is_target": is_target,
        "bbox_xyxy": box_of_mask(mask),
        "visible_px": visible,
        # outlines are sampled at pixel centres, once in the image and once apart: the ratio may exceed one by a hair
        "visible_fraction": None if not whole else min(visible / whole, 1.0),
        "mask_rle": encode_rle(mask),
    }


def silhouette_px(vertices: FloatArray, faces: NDArray[np.integer], K: FloatArray) -> float:
    """Measure how many pixels a mesh would cover in an image without borders.

    Args:
        vertices: (V, 3) metres, all in front of the camera.
        faces: (F, 3).
        K: (3, 3).
    """
    box = from_points(project_points(vertices, K))
    sides = np.maximum(box[2:] - box[:2], 1.0)
    scale = min(1.0, MAX_CANVAS_PX / float(sides.max()))
    canvas_from_image = np.array([[scale, 0.0, -scale * box[0]], [0.0, scale, -scale * box[1]], [0.0, 0.0, 1.0]])
    width, height = (int(side) for side in np.ceil(scale * sides) + 2)
    covered = rasterise(vertices, faces, canvas_from_image @ K, (height, width)).covered
    return float(np.count_nonzero(covered)) / scale**2


def _parquet(rows: Sequence[Row], schema: TableSchema) -> bytes:
    arrow = schema.to_arrow()
    columns = [_arrow_column([row[column.name] for row in rows], column) for column in schema.columns]
    table = conform(pa.Table.from_arrays(columns, schema=arrow), schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _arrow_column(values: list[Any], column: Column) -> pa.Array:
    if column.shape or column.is_list:
        values = [None if value is None else np.ravel(value).tolist() for value in values]
    return pa.array(values, type=column.arrow_type)
