import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoiray.hand.joints import Finger
from hoiray.hand.openhand.axes import AnatomicalAxes, anatomical_axes, dorsal_directions, nail_normals
from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS, tip_id
from hoiray.hand.openhand.quality import HandFile

UP = np.array([0.0, 1.0, 0.0])


def test_axes_are_perpendicular_unit_vectors(hand: HandFile) -> None:
    triads = np.stack([hand.axes.flexion, hand.axes.abduction, hand.axes.twist], axis=1)
    np.testing.assert_allclose(triads @ triads.transpose(0, 2, 1), np.tile(np.eye(3), (16, 1, 1)), atol=1e-6)


def turn_tip(hand: HandFile, axes: np.ndarray, joint: int, tip: int) -> np.ndarray:
    """How the tip moves, in metres, when one joint turns by 0.1 rad about its axis."""
    arm = hand.vertices[tip] - hand.skin().joints[joint]
    return Rotation.from_rotvec(0.1 * axes[joint]).apply(arm) - arm


@pytest.mark.parametrize("finger", [f for f in FINGERS if f != "thumb"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_flexion_goes_to_the_palm_and_abduction_to_the_thumb(hand: HandFile, finger: Finger, level: int) -> None:
    joint = FINGER_JOINTS[finger][level]
    down, side = (turn_tip(hand, axes, joint, tip_id(finger)) for axes in (hand.axes.flexion, hand.axes.abduction))
    assert down @ -UP > 0.9 * np.linalg.norm(down)
    assert side[2] > 0.9 * np.linalg.norm(side)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_thumb_flexes_across_the_palm_and_abducts_from_the_index_finger(hand: HandFile, level: int) -> None:
    joint, tip = FINGER_JOINTS["thumb"][level], tip_id("thumb")
    palm_centre = hand.skin().joints[[0, FINGER_JOINTS["middle"][0], FINGER_JOINTS["pinky"][0]]].mean(axis=0)
    index_knuckle = hand.skin().joints[FINGER_JOINTS["index"][0]]

    def distance_gained(axes: np.ndarray, point: np.ndarray) -> float:
        moved = hand.vertices[tip] + turn_tip(hand, axes, joint, tip)
        return float(np.linalg.norm(moved - point) - np.linalg.norm(hand.vertices[tip] - point))

    assert distance_gained(hand.axes.flexion, palm_centre - 0.03 * UP) < 0
    assert distance_gained(hand.axes.abduction, index_knuckle) > 0


def test_twist_runs_along_the_bone(hand: HandFile) -> None:
    joints = hand.skin().joints
    for finger, (base, middle, end) in FINGER_JOINTS.items():
        for start, stop in ((joints[base], joints[middle]), (joints[end], hand.vertices[tip_id(finger)])):
            joint = base if start is joints[base] or np.array_equal(start, joints[base]) else end
            np.testing.assert_allclose(hand.axes.twist[joint], (stop - start) / np.linalg.norm(stop - start), atol=1e-5)


def test_a_tilted_back_still_gives_perpendicular_axes() -> None:
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(16, 3))
    tips = {finger: rng.normal(size=3) for finger in FINGERS}
    axes: AnatomicalAxes = anatomical_axes(joints, tips, dict.fromkeys(FINGERS, UP))
    for left, right in ((axes.flexion, axes.abduction), (axes.flexion, axes.twist), (axes.abduction, axes.twist)):
        np.testing.assert_allclose(np.sum(left * right, axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cross(axes.twist, axes.flexion), axes.abduction, atol=1e-12)
    assert (np.cross(axes.flexion, axes.twist) @ UP < 0).all(), "flexion turns every bone away from the back"


def test_a_nail_counts_for_the_finger_whose_end_carries_it() -> None:
    weights = np.zeros((10, 16))
    normals = np.zeros((10, 3))
    for k, finger in enumerate(FINGERS):
        weights[2 * k : 2 * k + 2, FINGER_JOINTS[finger][2]] = 1.0
        normals[2 * k] = [0, 0.6, 0.8]
        normals[2 * k + 1] = [0, -1, 0]
    is_nail = np.arange(10) % 2 == 0
    found = nail_normals(normals, is_nail, weights)
    for finger in FINGERS:
        np.testing.assert_allclose(found[finger], [0, 0.6, 0.8])
    dorsal = dorsal_directions(found)
    np.testing.assert_allclose(dorsal["thumb"], [0, 0.6, 0.8])
    np.testing.assert_allclose(dorsal["ring"], UP)
