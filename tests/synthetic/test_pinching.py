import numpy as np
import pytest

from hoiray.hand.load import load_hand_arrays
from hoiray.synthetic.closing import CHAINS
from hoiray.synthetic.grasp import measure_grasp
from hoiray.synthetic.holding import make_hand
from hoiray.synthetic.objects import GraspKind, build_object
from hoiray.synthetic.pinching import try_pinch
from hoiray.synthetic.posing import pose_rig

HAND = make_hand(load_hand_arrays(), np.zeros(10))


def _first(name: str, kind: GraspKind) -> tuple[np.ndarray, ...]:
    target = build_object(name)
    grip = next(grip for grip in target.grips if kind in grip.kinds)
    for seed in range(20):
        made = try_pinch(HAND, target, grip, kind, np.random.default_rng(seed))
        if made is not None:
            return made
    raise AssertionError(f"no {kind} of {name}")


@pytest.mark.parametrize(("name", "kind"), [("box", "precision"), ("ball", "precision"), ("ball", "tripod")])
def test_thumb_and_finger_stand_on_opposite_sides(name: str, kind: GraspKind) -> None:
    closed, _, T_hand_obj, _ = _first(name, kind)
    vertices, _ = pose_rig(HAND.rig, closed)
    in_object = (vertices - T_hand_obj[:3, 3]) @ T_hand_obj[:3, :3]
    thumb, index = in_object[744], in_object[320]
    assert thumb[:2] @ index[:2] < 0.0 or thumb @ index < 0.0


def test_the_open_hand_is_free_and_its_pads_are_wider_apart() -> None:
    ball = build_object("ball")
    closed, opened, T_hand_obj, _ = _first("ball", "precision")
    assert measure_grasp(HAND, ball, opened, T_hand_obj).max_penetration_m < 0.0015
    gaps = []
    for angles in (opened, closed):
        vertices, _ = pose_rig(HAND.rig, angles)
        gaps.append(np.linalg.norm(vertices[744] - vertices[320]))
    assert gaps[0] > gaps[1] + 0.002


def test_what_is_too_wide_is_not_pinched() -> None:
    cracker_box = build_object("003_cracker_box")
    for grip in cracker_box.grips:
        assert try_pinch(HAND, cracker_box, grip, "lateral", np.random.default_rng(0)) is None


def test_a_key_grip_curls_the_fingers_and_moves_the_thumb_only() -> None:
    closed, opened, _, _ = _first("marker", "lateral")
    assert np.degrees(closed[CHAINS["middle"][1], 0]) > 40
    assert not np.array_equal(closed[list(CHAINS["thumb"])], opened[list(CHAINS["thumb"])])


def test_the_way_back_leads_to_the_palm() -> None:
    _, opened, T_hand_obj, back = _first("ball", "precision")
    assert np.linalg.norm(back) == pytest.approx(1.0)
    _, joints = pose_rig(HAND.rig, opened)
    assert (joints[4] - T_hand_obj[:3, 3]) @ back > 0.02
