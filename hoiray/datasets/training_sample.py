"""One crop with its labels: what a training step and an evaluation read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.sample import FloatArray


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """A square crop and what is true of it. Px of the crop, metres, OpenCV camera axes of the turned crop.

    Left hands come mirrored, as right ones: `is_mirrored` tells. Everything the targets of a step need is as
    :mod:`hoiray.models.batch` describes it; the rest leads back to the image.

    Attributes:
        sample_id: unique within its set.
        image: (S, S, 3) uint8 RGB, own memory.
        hand_box_xyxy: (4,) float32, expanded by the spec's factor.
        object_box_xyxy: (4,) float32; the hand's box where there is no object.
        rotations: (16, 3, 3) float32 of the wrist and MANO's joints; identity where not `has_mano`.
        betas: (10,) float32; zeros where not `has_mano`.
        joints_3d_m: (21, 3) float32 relative to the wrist; NaN where not `has_joints`.
        joints_2d_unit: (21, 2) float32 in the unit square of `hand_box_xyxy`; NaN where not `has_joints`.
        has_mano, has_joints: what the source knows; without joints only predictions can be made.
        is_object_supervised: mask B; False also where the source has no mask of the object.
        control_points_unit: (21, 2) float32 in the unit square of `object_box_xyxy`; zeros where unsupervised.
        object_cells: (R, R) bool cells of the object's RoI grid that show it; False where unsupervised.
        weight: factor on the sample's losses.
        K: (3, 3) float64 camera of the crop, for the turned labels; NaN where the source knows no camera.
        A_crop_image: (3, 3) float64 from px of the full image (mirrored, where `is_mirrored`) to px of the crop.
        rotation_rad: how far the crop, and with it every 3D label, was turned: p_crop = R_z p_image.
        wrist_3d_m: (3,) float64 of the turned camera; NaN where not known.
        T_cam_obj: (4, 4) float64, turned; NaN where not known. Of a mirrored sample: of the mirrored model.
        is_mirrored: a left hand, shown as a right one.
        is_pseudo: the label is a teacher's.
    """

    sample_id: str
    image: NDArray[np.uint8]
    hand_box_xyxy: FloatArray
    object_box_xyxy: FloatArray
    rotations: FloatArray
    betas: FloatArray
    joints_3d_m: FloatArray
    joints_2d_unit: FloatArray
    has_mano: bool
    has_joints: bool
    is_object_supervised: bool
    control_points_unit: FloatArray
    object_cells: NDArray[np.bool_]
    weight: float
    K: FloatArray
    A_crop_image: FloatArray
    rotation_rad: float
    wrist_3d_m: FloatArray
    T_cam_obj: FloatArray
    is_mirrored: bool
    is_pseudo: bool
