"""Facts about joint orders and finger tips."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.errors import ConfigError, ContractError
from hoiray.hand import joints

ORDERS = ("simple", "mano", "fpha")

# Written out by hand from the public sources, independent of the names the module derives its permutations from.
SIMPLE_FROM_MANO = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
MANO_FROM_SIMPLE = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20]
SIMPLE_FROM_FPHA = [0, 1, 6, 7, 8, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20]
FPHA_FROM_SIMPLE = [0, 1, 5, 9, 13, 17, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19, 20]


@pytest.mark.parametrize(
    ("source", "target", "published"),
    [
        ("mano", "simple", SIMPLE_FROM_MANO),
        ("simple", "mano", MANO_FROM_SIMPLE),
        ("fpha", "simple", SIMPLE_FROM_FPHA),
        ("simple", "fpha", FPHA_FROM_SIMPLE),
    ],
)
def test_permutations_are_the_published_ones(
    source: joints.JointOrder, target: joints.JointOrder, published: list[int]
) -> None:
    assert joints.permutation(source, target).tolist() == published


@pytest.mark.parametrize("source", ORDERS)
@pytest.mark.parametrize("target", ORDERS)
def test_there_and_back_is_the_identity(source: joints.JointOrder, target: joints.JointOrder) -> None:
    points = np.random.default_rng(0).normal(size=(2, 21, 3))
    there = joints.reorder(points, source, target)
    np.testing.assert_array_equal(joints.reorder(there, target, source), points)


@given(st.permutations(ORDERS))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_a_detour_over_a_third_order_changes_nothing(orders: Any) -> None:
    points = np.arange(21.0)[:, None]
    first, second, third = orders
    detour = joints.reorder(joints.reorder(points, first, second), second, third)
    np.testing.assert_array_equal(detour, joints.reorder(points, first, third))


def test_every_joint_keeps_its_name_through_a_reordering() -> None:
    names = np.array(joints.MANO_NAMES)
    assert tuple(joints.reorder(names, "mano", "simple", axis=-1)) == joints.SIMPLE_NAMES


def test_pinky_comes_before_ring_in_mano_and_after_it_in_simple() -> None:
    assert joints.MANO_NAMES.index("pinky_mcp") == 7
    assert joints.MANO_NAMES.index("ring_mcp") == 10
    assert joints.SIMPLE_NAMES.index("ring_mcp") == 13
    assert joints.SIMPLE_NAMES.index("pinky_mcp") == 17


def test_mano_order_ends_with_tips_from_thumb_to_pinky() -> None:
    assert joints.MANO_NAMES[16:] == ("thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip")


def test_reorder_returns_a_copy_and_leaves_its_argument_alone() -> None:
    points = np.arange(63.0).reshape(21, 3)
    before = points.copy()
    joints.reorder(points, "simple", "simple")[0] = 7
    np.testing.assert_array_equal(points, before)


def test_reorder_keeps_integers_and_serves_one_number_per_joint() -> None:
    visible = np.arange(21, dtype=np.int8)
    moved = joints.reorder(visible, "mano", "simple", axis=-1)
    assert moved.dtype == np.int8
    assert moved.tolist() == SIMPLE_FROM_MANO


@pytest.mark.parametrize("shape", [(16, 3), (20, 3), (22, 3), (3, 20), (21,), ()])
def test_anything_but_21_joints_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ContractError, match="21 on axis -2"):
        joints.reorder(np.zeros(shape), "mano", "simple")


def test_a_misspelt_order_is_answered_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mano'"):
        joints.permutation("manos", "simple")
    with pytest.raises(ConfigError, match="one of simple, mano, fpha"):
        joints.permutation("simple", "openpose-with-body")


def test_parents_are_the_published_tree() -> None:
    published = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
    assert published == joints.PARENTS
    assert joints.MANO_PARENTS == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)


def test_both_trees_agree_on_every_joint_that_rotates() -> None:
    for child, parent in enumerate(joints.MANO_PARENTS[1:], start=1):
        name = joints.MANO_NAMES[child]
        simple_parent = joints.PARENTS[joints.SIMPLE_NAMES.index(name)]
        assert joints.SIMPLE_NAMES[simple_parent] == joints.MANO_NAMES[parent]


def test_there_are_twenty_bones_and_bone_i_ends_at_joint_i_plus_one() -> None:
    assert len(joints.BONES) == len(joints.BONE_NAMES) == 20
    assert [child for _, child in joints.BONES] == list(range(1, 21))
    assert joints.BONE_NAMES[0] == "wrist-thumb_cmc"
    assert joints.BONE_NAMES[7] == "index_dip-index_tip"


def test_fingers_partition_the_joints_without_the_wrist() -> None:
    members = [joint for finger in joints.FINGERS for joint in joints.FINGER_JOINTS[finger]]
    assert members == list(range(1, 21))
    assert joints.TIP_JOINTS == (4, 8, 12, 16, 20)
    assert joints.MIDDLE_MCP == 9


def test_a_palm_reaches_from_the_wrist_to_the_middle_knuckle() -> None:
    hands = np.zeros((2, 3, 21, 3), dtype=np.float32)
    hands[..., 0, :] = [1.0, 1.0, 1.0]
    hands[..., 9, :] = [4.0, 5.0, 1.0]
    assert (joints.palm_length(hands) == 5.0).all()
    assert joints.palm_length(hands).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("ho3d", (728, 353, 442, 576, 694)),
        ("ho3d_viewer", (744, 333, 444, 555, 672)),
        ("manopth", (745, 317, 444, 556, 673)),
        ("freihand", (744, 320, 443, 555, 672)),
        ("kypt", (745, 320, 444, 555, 672)),
        ("smplx", (744, 320, 443, 554, 671)),
    ],
)
def test_tip_sets_are_the_published_ones(name: str, published: tuple[int, ...]) -> None:
    assert joints.tip_vertices(name, is_right=True) == published


def test_there_are_exactly_six_tip_sets_each_with_a_source() -> None:
    assert len(joints.TIP_SETS) == 6
    assert all(tips.source and tips.name == name for name, tips in joints.TIP_SETS.items())


def test_only_manopth_has_another_tip_on_the_left_and_it_is_445() -> None:
    assert joints.tip_vertices("manopth", is_right=False) == (745, 317, 445, 556, 673)
    others = [tips for tips in joints.TIP_SETS.values() if tips.name != "manopth"]
    assert all(tips.left == tips.right for tips in others)


def test_the_tip_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        joints.TIP_SETS["mine"] = joints.TIP_SETS["ho3d"]
    with pytest.raises(AttributeError):
        joints.TIP_SETS["ho3d"].right = (1, 2, 3, 4, 5)


@pytest.mark.parametrize(("typo", "meant"), [("ho3", "ho3d"), ("manopht", "manopth"), ("frei_hand", "freihand")])
def test_a_misspelt_tip_set_is_answered_with_the_right_one(typo: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean '{meant}'"):
        joints.tip_vertices(typo, is_right=True)


def test_a_foreign_tip_set_is_answered_with_the_list() -> None:
    with pytest.raises(ConfigError, match="one of ho3d, ho3d_viewer, manopth, freihand, kypt, smplx"):
        joints.tip_vertices("???", is_right=True)
