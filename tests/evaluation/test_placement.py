import dataset_files as files
import numpy as np
import pytest
from scipy.optimize import least_squares

from hoiray.errors import ContractError
from hoiray.evaluation.placement import guessed_intrinsics, reprojection_px, wrist_from_image

K = np.array([[610.0, 1.5, 318.0], [0.0, 590.0, 251.0], [0.0, 0.0, 1.0]])
N = 5


def hand() -> files.Hands:
    return files.hands(N, tip_set="ho3d", seed=8)


def images(joints: np.ndarray) -> np.ndarray:
    pixels = joints @ K.T
    return pixels[..., :2] / pixels[..., 2:]


def test_consistent_joints_give_their_wrist_exactly() -> None:
    joints = hand().joints
    wrist = wrist_from_image(joints - joints[:, :1], images(joints), K)
    np.testing.assert_allclose(wrist, joints[:, 0], atol=1e-9)
    np.testing.assert_allclose(reprojection_px(joints - joints[:, :1], wrist, images(joints), K), 0.0, atol=1e-6)


def test_noisy_joints_give_a_wrist_near_the_best_reprojection() -> None:
    joints = hand().joints
    noisy = images(joints) + np.random.default_rng(0).normal(0, 2, (N, 21, 2))
    relative = joints - joints[:, :1]
    wrist = wrist_from_image(relative, noisy, K)
    found = reprojection_px(relative, wrist, noisy, K)
    for i in range(N):
        best = least_squares(lambda w, i=i: (images(relative[i] + w) - noisy[i]).ravel(), joints[i, 0])
        assert found[i] < 1.02 * np.linalg.norm(best.fun.reshape(21, 2), axis=1).mean()


def test_what_is_missing_has_no_place_and_spoils_no_other() -> None:
    joints, cameras = hand().joints, np.tile(K, (N, 1, 1))
    relative, pixels = joints - joints[:, :1], images(joints)
    relative[1, 3], pixels[2, 0], cameras[3, 0, 0] = np.nan, np.nan, np.nan
    wrist = wrist_from_image(relative, pixels, cameras)
    assert np.isnan(wrist).all(axis=1).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(wrist[[0, 4]], joints[[0, 4], 0], atol=1e-9)


def test_joints_seen_as_in_a_mirror_of_depth_are_not_put_behind_the_camera() -> None:
    joints = hand().joints[:1]
    relative = joints - joints[:, :1]
    assert np.isnan(wrist_from_image(-relative, images(joints), K)).all()
    collapsed = np.broadcast_to(images(joints)[:, :1], (1, 21, 2))
    place = wrist_from_image(relative, collapsed, K)
    assert np.isnan(place).all() or place[0, 2] > 5.0


def test_a_guessed_camera_puts_a_hand_where_it_is_seen() -> None:
    camera = guessed_intrinsics((640, 480))
    joints = hand().joints[:1]
    pixels = images(joints)
    wrist = wrist_from_image(joints - joints[:, :1], pixels, camera)
    assert reprojection_px(joints - joints[:, :1], wrist, pixels, camera)[0] < 5.0


def test_unpaired_joints_are_refused() -> None:
    with pytest.raises(ContractError, match="one 2D joint for every 3D joint"):
        wrist_from_image(np.zeros((21, 3)), np.zeros((20, 2)), K)
