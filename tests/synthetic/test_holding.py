import numpy as np
import pytest

from hoiray.synthetic.holding import depth_along, draw_place, turn_and_put
from hoiray.synthetic.objects import Grip, build_object


def test_a_place_is_a_right_handed_frame_on_the_grips_line() -> None:
    grip = Grip(("power",), (0.0, 0.01, -0.05), (0.0, 0.01, 0.05))
    for seed in range(30):
        place = draw_place(grip, np.random.default_rng(seed))
        frame = np.stack([place.along, place.out, place.across], axis=1)
        np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
        assert np.linalg.det(frame) == pytest.approx(1.0)
        assert place.centre[1] == 0.01
        assert -0.05 <= place.centre[2] <= 0.05


def test_a_direction_is_kept_within_its_free_turn() -> None:
    grip = Grip(("power",), (0.0, 0.0, -0.05), (0.0, 0.0, 0.05), ((1.0, 0.0, 0.0),), 0.3)
    turns = [np.arccos(np.clip(draw_place(grip, np.random.default_rng(seed)).out[0], -1, 1)) for seed in range(40)]
    assert max(turns) <= 0.3 + 1e-9
    assert max(turns) > 0.2


def test_the_thumb_is_mostly_up() -> None:
    grip = Grip(("power",), (0.0, 0.0, -0.05), (0.0, 0.0, 0.05))
    ups = [draw_place(grip, np.random.default_rng(seed)).along[2] > 0 for seed in range(200)]
    assert 0.8 < np.mean(ups) < 0.95


def test_depth_is_measured_to_the_surface() -> None:
    box = build_object("box")
    assert depth_along(box, np.zeros(3), np.array([1.0, 0.0, 0.0])) == pytest.approx(0.022, abs=1e-4)
    assert depth_along(box, np.array([0.2, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])) == 0.0


def test_turn_and_put_takes_the_object_point_to_the_hand_point() -> None:
    R = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    T = turn_and_put(R, np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    np.testing.assert_allclose((T @ [1.0, 2.0, 3.0, 1.0])[:3], [4.0, 5.0, 6.0])
