from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiray.hand.openhand.assemble import NO_PARENT
from hoiray.hand.openhand.quality import HandFile


def test_the_hand_has_manos_keys_shapes_and_types(hand_arrays: dict[str, NDArray[Any]]) -> None:
    expected = {
        "v_template": ((778, 3), "f"),
        "shapedirs": ((778, 3, 10), "f"),
        "posedirs": ((778, 3, 135), "f"),
        "weights": ((778, 16), "f"),
        "J_regressor": ((16, 778), "f"),
        "J": ((16, 3), "f"),
        "kintree_table": ((2, 16), "i"),
        "f": ((1538, 3), "u"),
        "hands_components": ((45, 45), "f"),
        "hands_coeffs": ((500, 45), "f"),
        "hands_mean": ((45,), "f"),
        "flexion_axes": ((16, 3), "f"),
        "abduction_axes": ((16, 3), "f"),
        "twist_axes": ((16, 3), "f"),
    }
    assert {key: (array.shape, array.dtype.kind) for key, array in hand_arrays.items() if array.ndim} == expected
    assert str(hand_arrays["bs_style"]) == "lbs"
    assert str(hand_arrays["bs_type"]) == "lrotmin"


def test_the_root_of_the_joint_tree_is_marked_as_mano_marks_it(hand_arrays: dict[str, NDArray[Any]]) -> None:
    parents, joints = hand_arrays["kintree_table"]
    assert parents.tolist() == [NO_PARENT, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]
    assert joints.tolist() == list(range(16))


def test_stored_joints_are_those_of_the_regressor(hand_arrays: dict[str, NDArray[Any]], hand: HandFile) -> None:
    np.testing.assert_allclose(hand_arrays["J"], hand.joint_regressor @ hand.vertices, atol=1e-7)


def test_the_hand_lies_flat_in_manos_rest_frame(hand: HandFile) -> None:
    joints = hand.skin().joints
    np.testing.assert_allclose(joints[0], [0.095, 0.0064, 0.0062], atol=1e-3)
    assert hand.vertices[443, 0] < joints[4, 0] < joints[0, 0], "fingers along -x"
    assert hand.vertices[744, 2] > joints[1, 2] > joints[7, 2], "the thumb on +z, the pinky farthest from it"


def test_the_arm_is_textured_corner_by_corner(arm_arrays: dict[str, NDArray[Any]]) -> None:
    num_faces = len(arm_arrays["f"])
    assert arm_arrays["f_uv"].shape == (num_faces, 3)
    assert len(arm_arrays["uv"]) == len(arm_arrays["nail_mask"]) == arm_arrays["f_uv"].max() + 1
    assert 0.0 <= arm_arrays["nail_mask"].min() < arm_arrays["nail_mask"].max() <= 1.0
    assert 0.0 <= arm_arrays["uv"].min() < arm_arrays["uv"].max() <= 1.0


def test_nails_lie_at_the_finger_ends_and_on_their_backs(arm_arrays: dict[str, NDArray[Any]], hand: HandFile) -> None:
    faces, nails = arm_arrays["f"], arm_arrays["nail_mask"][arm_arrays["f_uv"]] > 0.5
    vertices = np.unique(faces[nails])
    owner = arm_arrays["weights"][vertices].argmax(axis=1)
    assert set(owner.tolist()) == {3, 6, 9, 12, 15}
    for joint in (3, 6, 9, 12, 15):
        middle = arm_arrays["v_template"][vertices[owner == joint]].mean(axis=0)
        assert (middle - hand.skin().joints[joint]) @ hand.axes.abduction[joint] > 0


def test_the_forearm_does_not_follow_the_wrist(arm_arrays: dict[str, NDArray[Any]], hand: HandFile) -> None:
    behind = arm_arrays["v_template"][:, 0] - hand.skin().joints[0, 0]
    assert (arm_arrays["forearm_weights"][behind > 0.06] > 0.99).all()
    assert (arm_arrays["forearm_weights"][behind < -0.04] < 0.01).all()
