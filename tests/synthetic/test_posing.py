import numpy as np
import torch

from hoiray.hand.anatomy import ARTICULATED_NAMES, anatomical_axes, joint_angles
from hoiray.hand.joints import MANO_ROTATION_NAMES
from hoiray.hand.load import load_hand_arrays, mirror_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.synthetic.posing import ABDUCTION, FLEXION, TWIST, hand_pose_of_angles, make_rig, pose_rig

ARRAYS = load_hand_arrays()
BETAS = np.random.default_rng(0).normal(size=10)
RIG = make_rig(ARRAYS, BETAS)
ANGLES = np.random.default_rng(1).normal(0.0, 0.3, (16, 3))


def test_it_poses_the_same_hand_as_the_hand_model() -> None:
    model = HandModel(ARRAYS, flat_hand_mean=True, tip_set="smplx", dtype=torch.float64)
    pose = torch.tensor(hand_pose_of_angles(RIG, ANGLES))
    expected = model(torch.zeros(3, dtype=torch.float64), pose, torch.tensor(BETAS))
    vertices, joints = pose_rig(RIG, ANGLES)
    np.testing.assert_allclose(vertices, expected.vertices.numpy(), atol=1e-7)
    np.testing.assert_allclose(joints[0], expected.joints.numpy()[0], atol=1e-7)
    np.testing.assert_allclose(joints[4:7], expected.joints.numpy()[9:12], atol=1e-7)


def test_the_angles_are_those_anatomy_measures() -> None:
    measured = joint_angles(hand_pose_of_angles(RIG, ANGLES), anatomical_axes(ARRAYS))
    rows = [MANO_ROTATION_NAMES.index(name) for name in ARTICULATED_NAMES]
    np.testing.assert_allclose(measured.flexion, ANGLES[rows, FLEXION], atol=1e-9)
    np.testing.assert_allclose(measured.abduction, ANGLES[rows, ABDUCTION], atol=1e-9)
    np.testing.assert_allclose(measured.twist, ANGLES[rows, TWIST], atol=1e-9)


def test_zero_angles_are_the_flat_hand() -> None:
    vertices, joints = pose_rig(RIG, np.zeros((16, 3)))
    np.testing.assert_allclose(vertices, RIG.rest_vertices, atol=1e-12)
    np.testing.assert_allclose(joints, RIG.rest_joints, atol=1e-12)


def test_a_left_model_gives_the_right_rig() -> None:
    rig = make_rig(mirror_hand_arrays(ARRAYS), BETAS)
    np.testing.assert_allclose(rig.rest_vertices, RIG.rest_vertices, atol=1e-12)
    np.testing.assert_allclose(rig.flexion_axes, RIG.flexion_axes, atol=1e-12)


def test_flexion_brings_a_finger_tip_to_the_palm() -> None:
    angles = np.zeros((16, 3))
    angles[[1, 2, 3], FLEXION] = 0.7
    vertices, _ = pose_rig(RIG, angles)
    assert vertices[320, 1] < RIG.rest_vertices[320, 1] - 0.02
