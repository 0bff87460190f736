"""Facts about bones, bends and anatomical angles."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.hand import anatomy
from hoiray.hand.joints import FINGER_JOINTS, FINGERS, MANO_ROTATION_NAMES, PARENTS, SIMPLE_NAMES
from hoiray.hand.load import HandArrays, load_hand_arrays, mirror_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.hand.sides import mirror_axis_angle

facts = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def arrays() -> HandArrays:
    return load_hand_arrays()


@pytest.fixture(scope="module")
def axes(arrays: HandArrays) -> anatomy.AnatomicalAxes:
    return anatomy.anatomical_axes(arrays)


@pytest.fixture(scope="module")
def model(arrays: HandArrays) -> HandModel:
    return HandModel(arrays, flat_hand_mean=True, tip_set="freihand", dtype=torch.float64)


def pose_of(rotations: Mapping[str, Rotation]) -> npt.NDArray[Any]:
    """(45,) hand pose with the given {joint name: rotation}, MANO order."""
    pose = np.zeros((15, 3))
    for name, rotation in rotations.items():
        pose[MANO_ROTATION_NAMES.index(name) - 1] = rotation.as_rotvec()
    return pose.reshape(-1)


def joints_of(model: HandModel, pose: npt.NDArray[Any], is_right: bool = True) -> npt.NDArray[Any]:
    zeros = torch.zeros(13, dtype=torch.float64)
    joints = model.joints_only(zeros[:3], torch.tensor(pose), zeros[:10], is_right=torch.tensor(is_right))
    return joints.numpy()


def slot(name: str) -> int:
    return anatomy.ARTICULATED_NAMES.index(name)


# --- bones ------------------------------------------------------------------------------------------------------------


def test_bone_lengths_are_distances_to_the_parent() -> None:
    joints = np.random.default_rng(0).normal(size=(2, 3, 21, 3))
    lengths = anatomy.bone_lengths(joints)
    assert lengths.shape == (2, 3, 20)
    for child in range(1, 21):
        expected = np.linalg.norm(joints[..., child, :] - joints[..., PARENTS[child], :], axis=-1)
        np.testing.assert_allclose(lengths[..., child - 1], expected, atol=1e-12)


def test_posing_does_not_change_bones_between_joints(model: HandModel) -> None:
    rng = np.random.default_rng(0)
    rest = anatomy.bone_lengths(joints_of(model, np.zeros(45)))
    posed = anatomy.bone_lengths(joints_of(model, rng.normal(scale=0.5, size=45)))
    carried = [i for i in range(20) if not SIMPLE_NAMES[i + 1].endswith("tip")]
    np.testing.assert_allclose(posed[carried], rest[carried], atol=1e-9)


def test_the_open_hand_has_a_grown_ups_bones(model: HandModel) -> None:
    lengths = anatomy.bone_lengths(joints_of(model, np.zeros(45)))
    middle = [joint - 1 for joint in FINGER_JOINTS["middle"]]
    # Palm, proximal, middle and distal phalanx of an adult's middle finger, metres.
    assert np.all(lengths[middle] > [0.08, 0.025, 0.018, 0.015])
    assert np.all(lengths[middle] < [0.11, 0.055, 0.04, 0.035])


def test_a_missing_joint_leaves_only_its_own_bones_unmeasured() -> None:
    joints = np.random.default_rng(0).normal(size=(21, 3))
    joints[6] = np.nan
    assert np.flatnonzero(np.isnan(anatomy.bone_lengths(joints))).tolist() == [5, 6]


@pytest.mark.parametrize("shape", [(21,), (16, 3), (21, 2), (3,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for measure in (anatomy.bone_lengths, anatomy.bend_angles):
        with pytest.raises(ContractError, match=r"joints_3d: expected \(\.\.\., 21, 3\)"):
            measure(np.zeros(shape))


def test_empty_batches_are_measured() -> None:
    assert anatomy.bone_lengths(np.zeros((0, 21, 3))).shape == (0, 20)
    assert anatomy.bend_angles(np.zeros((0, 21, 3))).shape == (0, 15)


# --- bends ------------------------------------------------------------------------------------------------------------


def test_bends_are_measured_at_the_15_joints_between_two_bones() -> None:
    assert anatomy.ARTICULATED_JOINTS == (1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19)
    assert anatomy.ARTICULATED_NAMES[slot("ring_pip")] == "ring_pip"


def test_bends_are_the_angles_between_the_bones() -> None:
    joints = np.random.default_rng(0).normal(size=(4, 21, 3))
    bends = anatomy.bend_angles(joints)
    for hand in range(4):
        for place, joint in enumerate(anatomy.ARTICULATED_JOINTS):
            before = joints[hand, joint] - joints[hand, PARENTS[joint]]
            after = joints[hand, joint + 1] - joints[hand, joint]
            cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
            assert bends[hand, place] == pytest.approx(math.acos(cosine), abs=1e-9)


def straight_hand() -> npt.NDArray[Any]:
    directions = np.array([[0.6, 0.0, 0.8], [1, 0, 0.2], [1, 0, 0], [1, 0, -0.2], [1, 0, -0.4]])
    joints = np.zeros((21, 3))
    for finger, direction in zip(FINGERS, directions, strict=True):
        for place, joint in enumerate(FINGER_JOINTS[finger]):
            joints[joint] = (0.08 + 0.03 * place) * direction
    return joints


def test_a_straight_hand_bends_nowhere() -> None:
    assert anatomy.bend_angles(straight_hand()).max() < 1e-7


@given(st.sampled_from([0.0, 1e-9, 1e-7, 0.1, math.pi / 2, 3.0, math.pi - 1e-7, math.pi]), st.integers(0, 14))
@facts
def test_a_bend_is_measured_exactly_also_near_straight_and_folded(angle: float, place: int) -> None:
    joints = straight_hand()
    joint = anatomy.ARTICULATED_JOINTS[place]
    along = joints[joint + 1] - joints[joint]
    turned = Rotation.from_rotvec([0, angle, 0]).apply(along)
    joints[joint + 1] = joints[joint] + turned
    assert anatomy.bend_angles(joints)[place] == pytest.approx(angle, abs=1e-10 + 1e-7 * (angle > 3))


def test_bends_do_not_depend_on_frame_or_unit() -> None:
    joints = np.random.default_rng(0).normal(size=(21, 3))
    turned = 1000 * Rotation.random(random_state=1).apply(joints) + 5.0
    np.testing.assert_allclose(anatomy.bend_angles(turned), anatomy.bend_angles(joints), atol=1e-9)
    np.testing.assert_allclose(anatomy.bend_angles(1e-100 * joints), anatomy.bend_angles(joints), atol=1e-9)


def test_a_bone_without_length_has_no_bend() -> None:
    joints = straight_hand()
    joints[7] = joints[6]
    unmeasured = np.flatnonzero(np.isnan(anatomy.bend_angles(joints)))
    assert [anatomy.ARTICULATED_NAMES[place] for place in unmeasured] == ["index_pip", "index_dip"]


# --- anatomical axes --------------------------------------------------------------------------------------------------


def assert_triads(axes: anatomy.AnatomicalAxes) -> None:
    frame = np.stack([axes.flexion, axes.abduction, axes.twist], axis=-1)
    np.testing.assert_allclose(np.swapaxes(frame, 1, 2) @ frame, np.broadcast_to(np.eye(3), (15, 3, 3)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(frame), 1.0, atol=1e-9)


def without_axes(arrays: HandArrays) -> HandArrays:
    return dataclasses.replace(arrays, flexion_axes=None, abduction_axes=None, twist_axes=None)


def with_axes(arrays: HandArrays, axes: anatomy.AnatomicalAxes) -> HandArrays:
    rows = [MANO_ROTATION_NAMES.index(name) for name in anatomy.ARTICULATED_NAMES]
    stored = {}
    for key in ("flexion", "abduction", "twist"):
        full = np.zeros((16, 3))
        full[rows] = getattr(axes, key)
        stored[f"{key}_axes"] = full
    return dataclasses.replace(arrays, **stored)


def test_axes_are_right_handed_triads(arrays: HandArrays) -> None:
    assert_triads(anatomy.anatomical_axes(arrays))
    assert_triads(anatomy.anatomical_axes(without_axes(arrays)))


def test_computed_axes_follow_the_rest_hand(arrays: HandArrays) -> None:
    axes = anatomy.anatomical_axes(without_axes(arrays))
    for finger in FINGERS[1:]:
        place = slot(f"{finger}_mcp")
        # MANO's rest hand: fingers to -x, back of the hand to +y, thumb to +z.
        assert axes.twist[place] @ [-1, 0, 0] > 0.95
        assert axes.abduction[place] @ [0, 1, 0] > 0.95
        assert axes.flexion[place] @ [0, 0, 1] > 0.95


def test_computed_axes_agree_with_those_the_open_hand_stores(arrays: HandArrays) -> None:
    stored, computed = anatomy.anatomical_axes(arrays), anatomy.anatomical_axes(without_axes(arrays))
    assert arrays.flexion_axes is not None
    for key in ("flexion", "abduction", "twist"):
        apart = np.degrees(np.arccos(np.clip(np.sum(getattr(stored, key) * getattr(computed, key), axis=1), -1, 1)))
        assert apart[:3].max() < 8  # the thumb's pad is estimated from the shape of its last segment
        assert apart[3:].max() < 1


def test_stored_axes_are_used(arrays: HandArrays) -> None:
    tilt = Rotation.from_rotvec([0.3, -0.2, 0.1])
    computed = anatomy.anatomical_axes(without_axes(arrays))
    tilted = anatomy.AnatomicalAxes(
        *(tilt.apply(getattr(computed, key).copy()) for key in ("flexion", "abduction", "twist"))
    )
    found = anatomy.anatomical_axes(with_axes(arrays, tilted))
    for key in ("flexion", "abduction", "twist"):
        np.testing.assert_allclose(getattr(found, key), getattr(tilted, key), atol=1e-9)


def test_axes_of_the_other_hand_are_refused(arrays: HandArrays) -> None:
    computed = anatomy.anatomical_axes(without_axes(arrays))
    swapped = dataclasses.replace(computed, abduction=-computed.abduction)
    with pytest.raises(ContractError, match="abduction_axes"):
        anatomy.anatomical_axes(with_axes(arrays, swapped))


@pytest.mark.parametrize("joint", [None, "thumb_ip", "ring_dip", "index_mcp"])
@pytest.mark.parametrize(
    "negated", [("flexion", "abduction"), ("flexion", "twist"), ("abduction", "twist")], ids="+".join
)
def test_two_negated_axes_are_refused_although_they_are_a_triad(
    arrays: HandArrays, negated: tuple[str, str], joint: str | None
) -> None:
    computed = anatomy.anatomical_axes(without_axes(arrays))
    rows = slice(None) if joint is None else slot(joint)
    changed = {key: getattr(computed, key).copy() for key in negated}
    for axis in changed.values():
        axis[rows] *= -1
    with pytest.raises(ContractError, match=rf"key '{negated[0]}_axes': expected axes whose cosine"):
        anatomy.anatomical_axes(with_axes(arrays, dataclasses.replace(computed, **changed)))


def test_a_left_file_with_a_right_hands_axes_is_refused(arrays: HandArrays) -> None:
    left = mirror_hand_arrays(arrays)
    mixed = dataclasses.replace(
        left,
        flexion_axes=arrays.flexion_axes,
        abduction_axes=arrays.abduction_axes,
        twist_axes=arrays.twist_axes,
    )
    anatomy.anatomical_axes(left)
    with pytest.raises(
        ContractError, match="key 'flexion_axes': expected axes whose cosine with that of the rest mesh"
    ):
        anatomy.anatomical_axes(mixed)


def test_parallel_axes_are_refused(arrays: HandArrays) -> None:
    computed = anatomy.anatomical_axes(without_axes(arrays))
    parallel = dataclasses.replace(computed, twist=computed.flexion)
    with pytest.raises(ContractError, match="perpendicular"):
        anatomy.anatomical_axes(with_axes(arrays, parallel))


@pytest.mark.parametrize("stored", [True, False])
def test_a_left_file_has_the_axes_of_its_mirrored_right_hand(arrays: HandArrays, stored: bool) -> None:
    bare = without_axes(arrays)
    right = with_axes(bare, anatomy.anatomical_axes(bare)) if stored else bare
    expected, found = anatomy.anatomical_axes(right), anatomy.anatomical_axes(mirror_hand_arrays(right))
    np.testing.assert_allclose(found.flexion, expected.flexion, atol=1e-9)
    np.testing.assert_allclose(found.twist, expected.twist, atol=1e-9)


def test_axes_cannot_be_changed(axes: anatomy.AnatomicalAxes) -> None:
    with pytest.raises(ValueError, match="read-only"):
        axes.flexion[0] = 0


# --- joint angles -----------------------------------------------------------------------------------------------------

angles = st.floats(-1.4, 1.4)


@given(st.sampled_from(anatomy.ARTICULATED_NAMES), st.floats(-3.0, 3.0), angles, angles, st.booleans())
@facts
def test_a_composed_rotation_is_split_into_what_it_was_made_of(
    name: str, flexion: float, abduction: float, twist: float, is_right: bool
) -> None:
    axes = anatomy.anatomical_axes(load_hand_arrays())
    place = slot(name)
    rotation = (
        Rotation.from_rotvec(flexion * axes.flexion[place])
        * Rotation.from_rotvec(abduction * axes.abduction[place])
        * Rotation.from_rotvec(twist * axes.twist[place])
    )
    pose = pose_of({name: rotation})
    pose = pose if is_right else mirror_axis_angle(pose)
    found = anatomy.joint_angles(pose, axes, is_right=is_right)
    expected = np.zeros((3, 15))
    expected[:, place] = flexion, abduction, twist
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-7)


@pytest.mark.parametrize("degrees", [90.0, 110.0, -30.0])
def test_flexion_past_a_right_angle_is_measured(axes: anatomy.AnatomicalAxes, degrees: float) -> None:
    place = slot("middle_pip")
    pose = pose_of({"middle_pip": Rotation.from_rotvec(np.radians(degrees) * axes.flexion[place])})
    found = anatomy.joint_angles(pose, axes)
    assert np.degrees(found.flexion[place]) == pytest.approx(degrees, abs=1e-6)
    assert abs(found.abduction[place]) < 1e-9
    assert abs(found.twist[place]) < 1e-9


@pytest.mark.parametrize("sign", [1, -1])
def test_at_an_abduction_of_a_right_angle_all_turning_is_flexion(axes: anatomy.AnatomicalAxes, sign: int) -> None:
    place = slot("index_mcp")
    rotation = Rotation.from_rotvec(0.4 * axes.flexion[place]) * Rotation.from_rotvec(
        sign * np.pi / 2 * axes.abduction[place]
    )
    found = anatomy.joint_angles(pose_of({"index_mcp": rotation}), axes)
    assert found.flexion[place] == pytest.approx(0.4, abs=1e-6)
    assert found.abduction[place] == pytest.approx(sign * np.pi / 2, abs=1e-6)
    assert found.twist[place] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.parametrize("finger", FINGERS)
def test_positive_flexion_moves_the_tip_towards_the_palm(
    model: HandModel, axes: anatomy.AnatomicalAxes, finger: str, is_right: bool
) -> None:
    turns = {
        SIMPLE_NAMES[joint]: Rotation.from_rotvec(0.5 * axes.flexion[slot(SIMPLE_NAMES[joint])])
        for joint in FINGER_JOINTS[finger][:3]
    }
    pose = pose_of(turns) if is_right else mirror_axis_angle(pose_of(turns))
    rest, bent = joints_of(model, np.zeros(45), is_right), joints_of(model, pose, is_right)
    tip = FINGER_JOINTS[finger][3]
    assert bent[tip, 1] < rest[tip, 1] - 0.01 if finger != "thumb" else True
    palm = rest[[FINGER_JOINTS["index"][0], FINGER_JOINTS["pinky"][0], 0]].mean(axis=0) - [0, 0.03, 0]
    assert np.linalg.norm(bent[tip] - palm) < np.linalg.norm(rest[tip] - palm) - 0.005


@pytest.mark.parametrize("finger", FINGERS[1:])
def test_positive_abduction_moves_the_finger_towards_the_thumb(
    model: HandModel, axes: anatomy.AnatomicalAxes, finger: str
) -> None:
    name = f"{finger}_mcp"
    pose = pose_of({name: Rotation.from_rotvec(0.3 * axes.abduction[slot(name)])})
    rest, moved = joints_of(model, np.zeros(45)), joints_of(model, pose)
    tip, thumb = FINGER_JOINTS[finger][3], FINGER_JOINTS["thumb"][3]
    assert np.linalg.norm(moved[tip] - rest[thumb]) < np.linalg.norm(rest[tip] - rest[thumb])


def test_bends_of_a_flexed_straight_finger_are_its_flexions(model: HandModel, axes: anatomy.AnatomicalAxes) -> None:
    names = ("middle_pip", "middle_dip")
    pose = pose_of({name: Rotation.from_rotvec(0.7 * axes.flexion[slot(name)]) for name in names})
    rest, bent = (anatomy.bend_angles(joints_of(model, p)) for p in (np.zeros(45), pose))
    for name in names:
        assert bent[slot(name)] == pytest.approx(0.7, abs=rest[slot(name)] + 1e-9)


def test_angles_keep_the_batch_and_each_hand_its_side(axes: anatomy.AnatomicalAxes) -> None:
    poses = np.random.default_rng(0).normal(scale=0.3, size=(2, 3, 45))
    side = np.array([[True], [False]])
    found = anatomy.joint_angles(poses, axes, is_right=side)
    assert all(part.shape == (2, 3, 15) for part in found)
    alone = anatomy.joint_angles(mirror_axis_angle(poses[1, 2]), axes)
    np.testing.assert_allclose(found.flexion[1, 2], alone.flexion, atol=1e-12)
    assert anatomy.joint_angles(np.zeros((0, 45)), axes).flexion.shape == (0, 15)


def test_a_pose_that_is_not_there_has_no_angles(axes: anatomy.AnatomicalAxes) -> None:
    pose = np.zeros(45)
    pose[3 * (MANO_ROTATION_NAMES.index("ring_pip") - 1)] = np.nan
    found = anatomy.joint_angles(pose, axes)
    for part in found:
        assert np.flatnonzero(np.isnan(part)).tolist() == [slot("ring_pip")]


def test_a_pose_of_48_numbers_is_refused(axes: anatomy.AnatomicalAxes) -> None:
    with pytest.raises(ContractError, match=r"hand_pose: expected \(\.\.\., 45\)"):
        anatomy.joint_angles(np.zeros(48), axes)


# --- norms ------------------------------------------------------------------------------------------------------------


def test_norms_are_the_published_ones() -> None:
    degrees = {name: np.degrees(norm.flexion_rad).round(6).tolist() for name, norm in anatomy.NORMAL_RANGES.items()}
    assert degrees["index_mcp"] == [-45, 90]
    assert degrees["ring_pip"] == [0, 100]
    assert degrees["pinky_dip"] == [0, 90]
    assert degrees["thumb_mcp"] == [0, 50]
    assert degrees["thumb_ip"] == [-20, 80]
    assert np.degrees(anatomy.NORMAL_RANGES["middle_mcp"].abduction_rad).round(6).tolist() == [-20, 20]


def test_every_joint_but_the_base_of_the_thumb_has_a_norm() -> None:
    assert set(anatomy.NORMAL_RANGES) == set(anatomy.ARTICULATED_NAMES) - {"thumb_cmc"}
    hinges = [name for name, norm in anatomy.NORMAL_RANGES.items() if norm.abduction_rad is None]
    assert all(name.endswith(("_pip", "_dip", "_ip")) or name == "thumb_mcp" for name in hinges)
