"""Labelled hands with objects and the request that asks for them: what a perfect network would have to answer."""

from dataclasses import dataclass

import dataset_files as files
import numpy as np

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import Views, draw_views
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_records import Records, concatenate_records, measure_record
from hoiray.datasets.label_source import LabelledHand
from hoiray.datasets.sample import HandAnnotation, ManoParameters, ObjectAnnotation
from hoiray.geometry.boxes import from_points
from hoiray.geometry.cameras import project_points
from hoiray.geometry.control_points import control_points
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.geometry.transforms import make_transform, transform_points
from hoiray.predictors.protocol import HandRequest

N = 6
K = np.array([[610.0, 0, 318.0], [0, 605.0, 242.0], [0, 0, 1.0]])
SIZE_WH = (640, 480)
SPEC = CropSpec(size_px=128, roi_cells=16)
IS_RIGHT = np.array([True, False, True, False, False, True])


@dataclass(frozen=True, eq=False)
class Scenes:
    request: HandRequest
    records: Records
    joints_3d_m: np.ndarray
    joints_2d_px: np.ndarray
    rotations: np.ndarray
    betas: np.ndarray
    T_cam_obj: np.ndarray
    control_points_px: np.ndarray


def views(max_rotation_deg: float = 180.0) -> Views:
    return draw_views(Augmentation(max_rotation_deg=max_rotation_deg), seed=3, epochs=[0] * N, indices=list(range(N)))


def model_points() -> np.ndarray:
    rng = np.random.default_rng(4)
    return rng.uniform(-1, 1, (200, 3)) * [0.03, 0.05, 0.09] + [0.01, 0.0, 0.02]


def scenes(chosen: Views | None = None) -> Scenes:
    right, left = (files.hands(N, tip_set="ho3d", seed=9, is_right=side) for side in (True, False))
    points_m = control_points(model_points())
    labelled, poses, points_px = [], [], []
    for i in range(N):
        hand = right if IS_RIGHT[i] else left
        mano = ManoParameters(hand.global_orient[i], hand.hand_pose[i], hand.betas[i], hand.transl[i])
        joints = hand.joints[i]
        turn = axis_angle_to_matrix(np.array([0.3 * i, 0.5, -0.2 * i]))
        pose = make_transform(turn, joints[9] + [0.02, 0.01, 0.03])
        pixels = project_points(transform_points(pose, points_m), K)
        box = from_points(project_points(joints, K))
        annotation = HandAnnotation(bool(IS_RIGHT[i]), mano, joints, bbox_xyxy=box, tip_set="ho3d")
        thing = ObjectAnnotation("thing", pose, bbox_xyxy=from_points(pixels))
        labelled.append(LabelledHand(str(i), K, annotation, thing, pixels, True, 1.0))
        poses.append(pose)
        points_px.append(pixels)
    joints = np.stack([one.hand.joints_3d for one in labelled if one.hand.joints_3d is not None])
    pose = [np.concatenate([one.hand.mano.global_orient, one.hand.mano.hand_pose]) for one in labelled if one.hand.mano]
    frames = np.random.default_rng(0).integers(0, 255, (2, SIZE_WH[1], SIZE_WH[0], 3)).astype(np.uint8)
    request = HandRequest.make(
        frames,
        [0, 1, 0, 1, 0, 1],
        np.stack([one.hand.bbox_xyxy for one in labelled if one.hand.bbox_xyxy is not None]),
        IS_RIGHT,
        object_boxes_xyxy=np.stack([from_points(pixels) for pixels in points_px]),
        K=K,
        control_points_m=points_m,
        views=chosen,
    )
    records = concatenate_records([measure_record(one, SIZE_WH, SPEC, needs_joints=True) for one in labelled])
    return Scenes(
        request,
        records,
        joints - joints[:, :1],
        project_points(joints, K),
        axis_angle_to_matrix(np.stack(pose).reshape(N, 16, 3)),
        np.stack([one.hand.mano.betas for one in labelled if one.hand.mano]),
        np.stack(poses),
        np.stack(points_px),
    )
