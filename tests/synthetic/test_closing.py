import numpy as np
import pytest

from hoiray.hand.joints import FINGERS
from hoiray.hand.load import load_hand_arrays
from hoiray.synthetic.closing import (
    CHAINS,
    CONTACT_M,
    FINGER_LIMITS_RAD,
    SKIN_PRESS_M,
    Obstacles,
    close_digit,
    digit_clearance,
    make_digit,
)
from hoiray.synthetic.distance import build_tree
from hoiray.synthetic.posing import FLEXION, make_rig, pose_rig
from hoiray.synthetic.solids import revolve, transformed

RIG = make_rig(load_hand_arrays(), np.zeros(10))
INDEX = make_digit(RIG, "index")


def _rod_across_the_palm(height_m: float, radius_m: float = 0.012, forward_m: float = -0.035) -> Obstacles:
    """A rod along z below the fingers, `height_m` under the palm."""
    rod = revolve([(radius_m, -0.1), (radius_m, 0.1)])
    rod = transformed(rod, np.eye(3), (forward_m, -height_m, 0.0))
    return Obstacles(build_tree([(rod.vertices, rod.faces)]), np.eye(3), np.zeros(3), np.empty((0, 7)))


@pytest.mark.parametrize("height_m", [0.03, 0.035, 0.04])
def test_a_finger_closes_until_it_touches_and_no_further(height_m: float) -> None:
    obstacles = _rod_across_the_palm(height_m)
    closed = close_digit(RIG, INDEX, np.zeros((16, 3)), obstacles, stop_at_contact=True)
    clearance, link = digit_clearance(RIG, INDEX, closed, obstacles)
    assert -SKIN_PRESS_M - 1e-6 <= clearance < CONTACT_M
    assert link >= 0
    further = closed.copy()
    further[INDEX.joints, FLEXION] += 0.05
    assert digit_clearance(RIG, INDEX, further, obstacles)[0] < clearance


def test_the_links_beyond_the_first_contact_go_on_closing() -> None:
    obstacles = _rod_across_the_palm(0.025)
    pinched = close_digit(RIG, INDEX, np.zeros((16, 3)), obstacles, stop_at_contact=True)
    wrapped = close_digit(RIG, INDEX, np.zeros((16, 3)), obstacles, stop_at_contact=False)
    assert wrapped[INDEX.joints[2], FLEXION] > pinched[INDEX.joints[2], FLEXION] + 0.05
    assert digit_clearance(RIG, INDEX, wrapped, obstacles)[0] > -SKIN_PRESS_M - 1e-6


def test_a_finger_that_finds_nothing_stops_at_its_limits() -> None:
    closed = close_digit(RIG, INDEX, np.zeros((16, 3)), _rod_across_the_palm(0.5), stop_at_contact=False)
    np.testing.assert_allclose(closed[INDEX.joints, FLEXION], FINGER_LIMITS_RAD, atol=1e-12)


def test_only_the_flexion_of_one_finger_changes_and_the_argument_stays() -> None:
    start = np.zeros((16, 3))
    closed = close_digit(RIG, INDEX, start, _rod_across_the_palm(0.035), stop_at_contact=False)
    assert not start.any()
    changed = np.argwhere(closed != start)
    assert set(changed[:, 0]) <= set(CHAINS["index"])
    assert set(changed[:, 1]) == {FLEXION}


def test_a_capsule_stops_a_finger_as_the_object_does() -> None:
    far = _rod_across_the_palm(0.5)
    capsule = np.array([[-0.035, -0.035, -0.1, -0.035, -0.035, 0.1, 0.012]])
    by_capsule = close_digit(RIG, INDEX, np.zeros((16, 3)), far._replace(capsules=capsule), stop_at_contact=True)
    by_rod = close_digit(RIG, INDEX, np.zeros((16, 3)), _rod_across_the_palm(0.035), stop_at_contact=True)
    np.testing.assert_allclose(by_capsule[INDEX.joints, FLEXION], by_rod[INDEX.joints, FLEXION], atol=0.01)


@pytest.mark.parametrize("finger", FINGERS)
def test_a_digit_is_moved_by_no_joint_farther_than_its_reach(finger: str) -> None:
    """The step of the closing loop is safe only if this bound holds."""
    digit = make_digit(RIG, finger)  # type: ignore[arg-type]  # parametrised over the literals themselves
    rng = np.random.default_rng(0)
    for k in range(3):
        angles = np.zeros((16, 3))
        angles[digit.joints, FLEXION] = rng.uniform(0, 0.8, 3)
        moved = angles.copy()
        moved[digit.joints[k], FLEXION] += 0.02
        before, after = pose_rig(RIG, angles)[0], pose_rig(RIG, moved)[0]
        travel = np.linalg.norm(after - before, axis=1)[digit.skin_ids].max()
        assert travel <= 0.02 * digit.reach_m[k] * 1.05
