"""The labels of one sample as one fixed-size record, before any augmentation.

A record holds everything a crop's targets are computed from, in px of the full image, with left hands mirrored to right
ones already. Records of many samples are one structured array: they are gathered by index, transformed a batch at a
time (:mod:`hoiray.datasets.crop_targets`), written to a file and mapped back as they are. What is not known is NaN.
"""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.crop_plan import CropSpec, base_crops
from hoiray.datasets.label_source import LabelledHand
from hoiray.datasets.sample import FloatArray, HandAnnotation
from hoiray.errors import InputError, describe
from hoiray.geometry import boxes
from hoiray.geometry.cameras import project_points
from hoiray.geometry.rotations import axis_angle_to_matrix, mirror_rotation
from hoiray.hand import sides
from hoiray.hand.joints import NUM_JOINTS, NUM_MANO_JOINTS, WRIST

Records: TypeAlias = NDArray[np.void]
"""A structured array of :data:`RECORD`."""

RECORD: Final = np.dtype(
    [
        ("source", "<i4"),
        ("entry", "<i8"),
        ("hand_index", "<i4"),
        ("is_pseudo", "?"),
        ("is_mirrored", "?"),
        ("image_size_wh", "<i4", (2,)),
        ("K", "<f8", (3, 3)),
        ("crop_center_px", "<f8", (2,)),
        ("crop_side_px", "<f8"),
        ("evaluation_center_px", "<f8", (2,)),
        ("evaluation_side_px", "<f8"),
        ("has_joints", "?"),
        ("has_mano", "?"),
        ("rotations", "<f4", (NUM_MANO_JOINTS, 3, 3)),
        ("betas", "<f4", (10,)),
        ("joints_3d_m", "<f4", (NUM_JOINTS, 3)),
        ("wrist_3d_m", "<f8", (3,)),
        ("joints_2d_px", "<f8", (NUM_JOINTS, 2)),
        ("annotated_hand_box_xyxy", "<f8", (4,)),
        ("control_points_px", "<f8", (21, 2)),
        ("object_box_xyxy", "<f8", (4,)),
        ("T_cam_obj", "<f8", (4, 4)),
        ("is_object_supervised", "?"),
        ("weight", "<f4"),
    ]
)
"""Fields by name; `joints_3d_m` is relative to the wrist, `wrist_3d_m` in camera axes, `object_box_xyxy` tight.

`T_cam_obj` of a mirrored sample is the pose of the *mirrored* model (x of its points negated)."""


def measure_record(
    labelled: LabelledHand, image_size_wh: tuple[int, int], spec: CropSpec, *, needs_joints: bool
) -> Records:
    """Turn what a source tells into a record, () of :data:`RECORD`.

    Args:
        labelled: unmirrored, as the source has it.
        image_size_wh: of the image, px.
        spec: how the square around the hand is found.
        needs_joints: whether a hand of which only the box is known is refused; False where only predictions are made.

    Raises:
        InputError: the hand cannot be used; the message says what it lacks.
    """
    record = _empty_record(image_size_wh, labelled)
    _put_hand(record, labelled)
    _put_object(record, labelled)
    if record["is_mirrored"]:
        _mirror(record)
    if needs_joints and not record["has_joints"]:
        refuse_hand(labelled, "21 joints, in 3D and in the image", "only a wrist or a box")
    _put_crops(record, labelled, spec)
    return record


def _put_crops(record: Records, labelled: LabelledHand, spec: CropSpec) -> None:
    """Place the square of a training, around the joints, and that of an evaluation, around the annotated box.

    Where a source has only one of the two, both squares are placed around it.
    """
    annotated = record["annotated_hand_box_xyxy"]
    of_joints = boxes.from_points(record["joints_2d_px"]) if record["has_joints"] else annotated
    annotated = annotated if boxes.is_valid(annotated) else of_joints
    width, height = (int(length) for length in record["image_size_wh"])
    for name, box in (("crop", of_joints), ("evaluation", annotated)):
        if not boxes.is_valid(boxes.clip_to_image(box, width, height)):
            found = f"one with the box {np.round(box, 1).tolist()}"
            refuse_hand(labelled, f"a hand in the image of {width} x {height} px", found)
        crop = base_crops(box, record["object_box_xyxy"], record["image_size_wh"], spec)
        record[f"{name}_center_px"], record[f"{name}_side_px"] = crop.centers_px, crop.sides_px


def refuse_hand(labelled: LabelledHand, expected: str, found: str) -> None:
    """Raise the InputError of a hand that cannot be used."""
    fix = "Leave this sample out or restore its annotation."
    raise InputError(describe(what=f"sample {labelled.sample_id}", expected=expected, found=found, fix=fix))


def _empty_record(image_size_wh: tuple[int, int], labelled: LabelledHand) -> Records:
    record = np.zeros((), dtype=RECORD)
    for name in RECORD.names or ():
        if RECORD[name].base.kind == "f":
            record[name] = np.nan
    record["rotations"], record["betas"] = np.eye(3), 0.0
    record["image_size_wh"] = image_size_wh
    record["weight"] = labelled.weight
    record["is_pseudo"] = labelled.kind == "pseudo"
    if labelled.K is not None:
        record["K"] = labelled.K
    if labelled.hand.is_right is None:
        refuse_hand(labelled, "a right or a left hand", "a hand of unknown side")
    record["is_mirrored"] = not labelled.hand.is_right
    return record


def _put_hand(record: Records, labelled: LabelledHand) -> None:
    """Write what is known of the hand, on its own side."""
    hand = labelled.hand
    if hand.bbox_xyxy is not None:
        record["annotated_hand_box_xyxy"] = hand.bbox_xyxy
    is_pseudo = labelled.kind == "pseudo"
    wrist = hand.wrist_3d if is_pseudo or hand.joints_3d is None else hand.joints_3d[WRIST]
    if wrist is not None:
        record["wrist_3d_m"] = wrist
    pixels = hand.joints_2d_px if is_pseudo else _joints_2d(hand, labelled.K)
    record["has_joints"] = hand.joints_3d is not None and pixels is not None
    if hand.joints_3d is not None and pixels is not None:
        record["joints_3d_m"] = hand.joints_3d - hand.joints_3d[WRIST]
        record["joints_2d_px"] = pixels
        if not (np.all(np.isfinite(pixels)) and np.all(np.isfinite(record["joints_3d_m"]))):
            refuse_hand(labelled, "joints in front of the camera", "joints without an image")
    record["has_mano"] = hand.mano is not None
    if hand.mano is not None:
        pose = np.concatenate([hand.mano.global_orient, hand.mano.hand_pose]).reshape(NUM_MANO_JOINTS, 3)
        record["rotations"] = axis_angle_to_matrix(pose.astype(np.float64))
        record["betas"] = hand.mano.betas


def _joints_2d(hand: HandAnnotation, K: FloatArray | None) -> FloatArray | None:
    """Return the image of the 3D joints; where the camera is not known, the 2D joints the source has."""
    if hand.joints_3d is not None and K is not None:
        return project_points(hand.joints_3d, K)
    return hand.joints_2d_px


def _put_object(record: Records, labelled: LabelledHand) -> None:
    if labelled.obj is None:
        return
    if labelled.obj.T_cam_obj is not None:
        record["T_cam_obj"] = labelled.obj.T_cam_obj
    points, box = labelled.control_points_px, labelled.obj.bbox_xyxy
    if points is not None:
        record["control_points_px"] = points
        box = boxes.from_points(points)
    if box is None or not boxes.is_valid(box):
        return
    record["object_box_xyxy"] = box
    record["is_object_supervised"] = labelled.is_object_supervised and points is not None


def _mirror(record: Records) -> None:
    """Make a left hand's record that of the right hand seen in the mirror."""
    width = int(record["image_size_wh"][0])
    for name in ("joints_2d_px", "control_points_px"):
        record[name] = sides.mirror_points_2d(record[name], width)
    for name in ("annotated_hand_box_xyxy", "object_box_xyxy"):
        record[name] = sides.mirror_boxes_xyxy(record[name], width)
    for name in ("joints_3d_m", "wrist_3d_m"):
        record[name] = sides.mirror_points(record[name])
    record["K"] = sides.mirror_intrinsics(record["K"], width)
    record["rotations"] = mirror_rotation(record["rotations"])
    record["T_cam_obj"] = _mirrored_pose(record["T_cam_obj"])


def _mirrored_pose(T_cam_obj: FloatArray) -> FloatArray:
    """Return M T M: where the mirrored model lies in the mirrored camera."""
    M = np.diag([*sides.MIRRORED_POINT_SIGNS, 1.0])
    return np.asarray(M @ T_cam_obj @ M)


def concatenate_records(parts: list[Records]) -> Records:
    """Join records into one read-only array (N,)."""
    joined: NDArray[Any] = np.concatenate([np.atleast_1d(part) for part in parts]) if parts else np.zeros(0, RECORD)
    joined.setflags(write=False)
    return joined
