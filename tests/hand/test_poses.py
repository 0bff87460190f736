import numpy as np
import numpy.typing as npt
import pytest
import torch

from hoiray.errors import ConfigError
from hoiray.hand.anatomy import ARTICULATED_NAMES, NORMAL_RANGES, AnatomicalAxes, anatomical_axes, joint_angles
from hoiray.hand.joints import SIMPLE_NAMES
from hoiray.hand.model import HandModel
from hoiray.hand.poses import (
    NAMED_POSES,
    FingerAngles,
    HandAngles,
    ThumbAngles,
    named_pose,
    pose_from_angles,
    random_angles,
)

FloatArray = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load(None, flat_hand_mean=True, tip_set="smplx", dtype=torch.float64)


@pytest.fixture(scope="module")
def axes(model: HandModel) -> AnatomicalAxes:
    return anatomical_axes(model.arrays)


def joints_of(model: HandModel, pose: FloatArray) -> dict[str, FloatArray]:
    """Joints in metres by name; the right hand's fingers point to -x, its back to +y, its thumb to +z."""
    with torch.no_grad():
        joints = model.joints_only(torch.zeros(3).double(), torch.tensor(pose), torch.zeros(10).double())
    return dict(zip(SIMPLE_NAMES, joints.numpy(), strict=True))


def gap_m(joints: dict[str, FloatArray], first: str, second: str) -> float:
    return float(np.linalg.norm(joints[first] - joints[second]))


def test_the_flat_pose_is_zero(axes: AnatomicalAxes) -> None:
    np.testing.assert_array_equal(named_pose("flat", axes), np.zeros(45))


@pytest.mark.parametrize("name", NAMED_POSES)
def test_a_named_pose_measures_as_the_angles_it_was_made_of(name: str, axes: AnatomicalAxes) -> None:
    measured = joint_angles(named_pose(name, axes), axes)
    pose = NAMED_POSES[name]
    for finger in ("index", "middle", "ring", "pinky"):
        angles: FingerAngles = getattr(pose, finger)
        base = ARTICULATED_NAMES.index(f"{finger}_mcp")
        np.testing.assert_allclose(
            np.degrees(measured.flexion[base : base + 3]), [angles.mcp, angles.pip, angles.dip], atol=1e-9
        )
        np.testing.assert_allclose(np.degrees(measured.abduction[base : base + 3]), [angles.abduction, 0, 0], atol=1e-9)
    thumb = pose.thumb
    np.testing.assert_allclose(np.degrees(measured.flexion[:3]), [thumb.cmc, thumb.mcp, thumb.ip], atol=1e-9)
    assert np.degrees(measured.abduction[0]) == pytest.approx(thumb.abduction, abs=1e-9)
    assert np.degrees(measured.twist[0]) == pytest.approx(thumb.twist, abs=1e-9)


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "pinky"])
def test_flexion_takes_a_tip_to_the_palm_and_abduction_to_the_thumb(
    finger: str, model: HandModel, axes: AnatomicalAxes
) -> None:
    flat = joints_of(model, np.zeros(45))[f"{finger}_tip"]
    bent = HandAngles(**{finger: FingerAngles(mcp=40)})
    spread = HandAngles(**{finger: FingerAngles(abduction=10)})
    assert joints_of(model, pose_from_angles(bent, axes))[f"{finger}_tip"][1] < flat[1] - 0.03
    assert joints_of(model, pose_from_angles(spread, axes))[f"{finger}_tip"][2] > flat[2] + 0.008


def test_the_thumb_bends_across_the_palm_and_abducts_away_from_the_index(
    model: HandModel, axes: AnatomicalAxes
) -> None:
    flat = joints_of(model, np.zeros(45))
    bent = joints_of(model, pose_from_angles(HandAngles(thumb=ThumbAngles(cmc=30)), axes))
    away = joints_of(model, pose_from_angles(HandAngles(thumb=ThumbAngles(abduction=20)), axes))
    assert bent["thumb_tip"][2] < flat["thumb_tip"][2] - 0.02
    assert gap_m(away, "thumb_tip", "index_pip") > gap_m(flat, "thumb_tip", "index_pip") + 0.01


def test_poses_look_as_they_are_called(model: HandModel, axes: AnatomicalAxes) -> None:
    poses = {name: joints_of(model, named_pose(name, axes)) for name in NAMED_POSES}
    for finger in ("index", "middle", "ring", "pinky"):
        assert gap_m(poses["fist"], f"{finger}_tip", "wrist") < 0.6 * gap_m(poses["flat"], f"{finger}_tip", "wrist")
    assert gap_m(poses["pinch"], "thumb_tip", "index_tip") < 0.022
    assert gap_m(poses["tripod"], "thumb_tip", "index_tip") < 0.03
    assert gap_m(poses["tripod"], "thumb_tip", "middle_tip") < 0.03
    assert gap_m(poses["flat"], "thumb_tip", "index_tip") > 0.08
    assert gap_m(poses["spread"], "index_tip", "pinky_tip") > 1.25 * gap_m(poses["flat"], "index_tip", "pinky_tip")
    assert gap_m(poses["point"], "index_tip", "wrist") > 0.97 * gap_m(poses["flat"], "index_tip", "wrist")
    assert gap_m(poses["point"], "middle_tip", "wrist") < 0.6 * gap_m(poses["flat"], "middle_tip", "wrist")
    assert poses["thumb up"]["thumb_tip"][2] > poses["thumb up"]["index_mcp"][2] + 0.04
    assert poses["fist"]["thumb_tip"][2] < poses["fist"]["index_mcp"][2]


def degrees_outside_norms(angles: HandAngles, axes: AnatomicalAxes) -> float:
    """Largest excess over a clinical range, measured on the pose."""
    measured = joint_angles(pose_from_angles(angles, axes), axes)
    excess = [0.0]
    for place, name in enumerate(ARTICULATED_NAMES):
        norm = NORMAL_RANGES.get(name)
        for angle, limits in (
            (measured.flexion[place], norm and norm.flexion_rad),
            (measured.abduction[place], norm and norm.abduction_rad),
        ):
            excess += [limits[0] - angle, angle - limits[1]] if limits else []
    return float(np.degrees(max(excess)))


@pytest.mark.parametrize("name", NAMED_POSES)
def test_named_poses_stay_inside_the_clinics_ranges(name: str, axes: AnatomicalAxes) -> None:
    assert degrees_outside_norms(NAMED_POSES[name], axes) < 1e-9


def test_random_poses_stay_inside_the_clinics_ranges(axes: AnatomicalAxes) -> None:
    drawn = [random_angles(np.random.default_rng(seed)) for seed in range(300)]
    assert max(degrees_outside_norms(angles, axes) for angles in drawn) < 1e-9
    thumbs = np.array([[angles.thumb.cmc, angles.thumb.abduction, angles.thumb.twist] for angles in drawn])
    assert len(np.unique(thumbs, axis=0)) == 300  # what has no norm is not pushed to a common end


def test_random_poses_differ_and_stay_between_the_named_ones(axes: AnatomicalAxes) -> None:
    drawn = [random_angles(np.random.default_rng(seed)) for seed in range(40)]
    assert drawn[0] == random_angles(np.random.default_rng(0))
    assert drawn[0] != drawn[1]
    flexion = np.degrees([joint_angles(pose_from_angles(angles, axes), axes).flexion for angles in drawn])
    assert flexion.min() > -35
    assert flexion.max() < 105
    fingers = flexion[:, 3:].reshape(40, 4, 3)[:, :, 0]
    assert np.corrcoef(fingers.T)[1, 2] > 0.7  # middle and ring close together


def test_an_unknown_pose_is_refused_with_a_suggestion(axes: AnatomicalAxes) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'pinch'"):
        named_pose("pinhc", axes)
