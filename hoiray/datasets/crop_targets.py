"""From records and crop affines to what a network is taught: a batch at a time, no record changed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.crop_plan import CropSpec, cell_centers_px, hand_boxes, object_boxes, turned_box
from hoiray.datasets.label_records import Records
from hoiray.geometry import boxes
from hoiray.geometry.arrays import FloatArray
from hoiray.geometry.crops import apply_affine, crop_intrinsics, invert_affine, to_unit_box
from hoiray.geometry.rotations import rotation_z


@dataclass(frozen=True, eq=False)
class CropTargets:
    """Labels of B crops, in px of the crop and camera axes of the turned crop.

    Attributes:
        K: (B, 3, 3) camera of the crop for the turned 3D labels; NaN where the source knows no camera.
        hand_boxes_xyxy: (B, 4) expanded.
        object_boxes_xyxy: (B, 4); the hand's where there is none.
        rotations: (B, 16, 3, 3).
        joints_3d_m: (B, 21, 3) relative to the wrist.
        wrist_3d_m: (B, 3); NaN where not known.
        joints_2d_px, joints_2d_unit: (B, 21, 2).
        control_points_unit: (B, 21, 2) in the unit square of the object's box; NaN where there are none.
        T_cam_obj: (B, 4, 4); NaN where not known.
    """

    K: FloatArray
    hand_boxes_xyxy: FloatArray
    object_boxes_xyxy: FloatArray
    rotations: FloatArray
    joints_3d_m: FloatArray
    wrist_3d_m: FloatArray
    joints_2d_px: FloatArray
    joints_2d_unit: FloatArray
    control_points_unit: FloatArray
    T_cam_obj: FloatArray


def crop_targets(
    records: Records, A: FloatArray, rotations_rad: FloatArray, spec: CropSpec, *, takes_annotated_box: bool
) -> CropTargets:
    """Take the labels of records (B,) into their crops.

    Args:
        records: see `hoiray.datasets.label_records`.
        A: (B, 3, 3) image to crop.
        rotations_rad: (B,) the turn in A, which the 3D labels follow.
        spec: factors of the boxes.
        takes_annotated_box: the hand's box is the annotated one where there is one, as in an evaluation; otherwise
            that of the turned joints.
    """
    turn = rotation_z(rotations_rad)
    joints_2d_px = apply_affine(A, records["joints_2d_px"])
    points_px = apply_affine(A, records["control_points_px"])
    hand_xyxy = hand_boxes(_tight_hand_boxes(records, A, rotations_rad, joints_2d_px, takes_annotated_box), spec)
    of_points = boxes.from_points(points_px)
    of_box = turned_box(records["object_box_xyxy"], A, rotations_rad)
    object_xyxy = object_boxes(np.where(np.isfinite(of_points), of_points, of_box), hand_xyxy, spec)
    rotations = records["rotations"].copy()
    rotations[:, 0] = turn @ rotations[:, 0]
    T_turn = np.zeros((len(records), 4, 4))
    T_turn[:, :3, :3], T_turn[:, 3, 3] = turn, 1.0
    return CropTargets(
        K=crop_intrinsics(records["K"], A, rotations_rad),
        hand_boxes_xyxy=hand_xyxy,
        object_boxes_xyxy=object_xyxy,
        rotations=rotations,
        joints_3d_m=records["joints_3d_m"] @ np.swapaxes(turn, -1, -2),
        wrist_3d_m=(turn @ records["wrist_3d_m"][..., None])[..., 0],
        joints_2d_px=joints_2d_px,
        joints_2d_unit=to_unit_box(joints_2d_px, hand_xyxy, expand=1.0),
        control_points_unit=to_unit_box(points_px, object_xyxy, expand=1.0),
        T_cam_obj=T_turn @ records["T_cam_obj"],
    )


def _tight_hand_boxes(
    records: Records, A: FloatArray, rotations_rad: FloatArray, joints_2d_px: FloatArray, takes_annotated_box: bool
) -> FloatArray:
    """Return tight hand boxes (B, 4) in the crops."""
    of_joints = boxes.from_points(joints_2d_px)
    annotated = turned_box(records["annotated_hand_box_xyxy"], A, rotations_rad)
    first, second = (annotated, of_joints) if takes_annotated_box else (of_joints, annotated)
    return np.where(boxes.is_valid(first)[:, None], first, second)


def cell_places(A: FloatArray, object_boxes_xyxy: FloatArray, num_cells: int) -> NDArray[np.int64]:
    """Find the image pixel at the centre of every cell of the objects' RoI grids.

    Args:
        A: (B, 3, 3) image to crop.
        object_boxes_xyxy: (B, 4) px of the crops.
        num_cells: R.

    Returns:
        (B, R, R, 2) column and row, rows of cells downwards in the crop; may lie outside the image.
    """
    centers = apply_affine(invert_affine(A), cell_centers_px(object_boxes_xyxy, num_cells))
    return np.rint(centers).astype(np.int64).reshape(len(A), num_cells, num_cells, 2)


def shown_cells(mask: NDArray[np.bool_], corner_xy: tuple[int, int], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which cells of the object's RoI grid show the object: the pixel at each cell's centre decides.

    The released code warps the mask to the crop, cuts the box out and resizes it, each time to the nearest pixel; here
    the image's own mask is looked up once.

    Args:
        mask: (h, w) part of the image's mask, mirrored as the image was; nothing outside it is the object.
        corner_xy: column and row of the part's first pixel in the image.
        places: (R, R, 2) from :func:`cell_places`.

    Returns:
        (R, R).
    """
    columns, rows = places[..., 0] - corner_xy[0], places[..., 1] - corner_xy[1]
    height, width = mask.shape
    is_inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    shown = np.zeros(is_inside.shape, dtype=np.bool_)
    shown[is_inside] = mask[rows[is_inside], columns[is_inside]]
    return shown
