import numpy as np
import pytest
from filter_scenes import hands
from scipy.optimize import least_squares

from hoiray.filters.perspective import wrist_from_camera
from hoiray.geometry.cameras import project_points

K = np.array([[600.0, 0, 320], [0, 610.0, 240], [0, 0, 1]])
PLACES = np.array([[0.0, 0.0, 0.5], [0.2, -0.1, 0.4], [-0.3, 0.2, 1.5], [0.05, 0.05, 0.2]])


def test_the_place_of_a_hand_is_found_again() -> None:
    joints = hands(np.random.default_rng(0), 4)
    pixels = project_points(joints + PLACES[:, None], K)
    np.testing.assert_allclose(wrist_from_camera(joints, pixels, K), PLACES, atol=1e-9)


def test_a_skewed_camera_of_each_row_is_served() -> None:
    joints = hands(np.random.default_rng(1), 4)
    cameras = np.stack([K * scale for scale in (1, 2, 0.5, 1)])
    cameras[:, 2] = [0, 0, 1]
    cameras[:, 0, 1] = 3.0
    pixels = project_points(joints + PLACES[:, None], cameras)
    np.testing.assert_allclose(wrist_from_camera(joints, pixels, cameras), PLACES, atol=1e-9)


def test_noise_is_taken_as_an_iterative_solver_of_the_reprojection_takes_it() -> None:
    rng = np.random.default_rng(2)
    joints = hands(rng, 4)
    focal = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])
    pixels = project_points(joints + PLACES[:, None], focal) + rng.normal(scale=2.0, size=(4, 21, 2))
    found = wrist_from_camera(joints, pixels, focal)

    def error_px(wrist: np.ndarray, row: int) -> np.ndarray:
        return np.asarray(project_points(joints[row] + wrist, focal) - pixels[row]).ravel()

    for row in range(4):
        best = least_squares(error_px, PLACES[row], args=(row,)).x
        rms_found, rms_best = (np.sqrt((error_px(wrist, row) ** 2).mean()) for wrist in (found[row], best))
        assert rms_found <= 1.01 * rms_best
        np.testing.assert_allclose(found[row], best, rtol=0.03, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_without_numbers_there_is_no_place(bad: float) -> None:
    joints = hands(np.random.default_rng(0), 4)
    pixels = project_points(joints + PLACES[:, None], K)
    cameras = np.tile(K, (4, 1, 1))
    joints[0, 3, 1], pixels[1, 20, 0], cameras[2, 0, 2] = bad, bad, bad
    assert np.isnan(wrist_from_camera(joints, pixels, cameras)).all(axis=1).tolist() == [True, True, True, False]


def test_joints_seen_in_one_point_or_inside_out_have_no_place() -> None:
    joints = hands(np.random.default_rng(0), 2)
    point = np.full((1, 21, 2), 100.0)
    inside_out = np.array([320.0, 240.0]) - 300 * joints[1:, :, :2]
    assert np.isnan(wrist_from_camera(joints, np.concatenate([point, inside_out]), K)).all()


def test_no_hands_have_no_places() -> None:
    assert wrist_from_camera(np.zeros((0, 21, 3)), np.zeros((0, 21, 2)), K).shape == (0, 3)
