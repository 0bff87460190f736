"""Facts about telling a hand from numbers of a hand's shapes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.hand.joints import MANO_ROTATION_NAMES
from hoiray.hand.load import load_hand_arrays, mirror_hand_arrays
from hoiray.hand.plausible import check_hand

HAND = load_hand_arrays()
KEYS = ("v_template", "shapedirs", "posedirs", "weights", "J_regressor", "hands_mean", "hands_components")


def check(**changes: Any) -> None:
    arrays = {key: changes.get(key, getattr(HAND, key)) for key in KEYS}
    check_hand(Path("x.npz"), arrays, changes.get("faces", HAND.faces))


def refused(key: str, reason: str, **changes: Any) -> None:
    with pytest.raises(ContractError, match=rf"x\.npz, key '{key}': expected .*{reason}"):
        check(**changes)


def test_a_hand_is_a_hand_of_either_side_and_many_shapes() -> None:
    check()
    left = mirror_hand_arrays(HAND)
    check(**{key: getattr(left, key) for key in (*KEYS, "faces")})
    for beta in 4 * np.concatenate([np.eye(10), -np.eye(10)]):
        check(v_template=HAND.v_template + HAND.shapedirs @ beta)


def test_a_hand_may_be_turned_and_stand_a_metre_away() -> None:
    turned = HAND.v_template[:, [2, 0, 1]] + 1.0
    check(v_template=turned)


def test_faces_with_a_corner_twice_are_refused() -> None:
    for corners in ([0, 0, 1], [0, 1, 0], [1, 0, 0], [2, 2, 2]):
        faces = HAND.faces.copy()
        faces[7] = corners
        refused("f", "three different corners in every face, found 1 faces", faces=faces)


def test_a_vertex_in_no_face_is_refused() -> None:
    faces = np.where(HAND.faces == 5, 700, HAND.faces)
    faces[(faces == 700).sum(axis=1) > 1] = [1, 2, 3]
    refused("f", "found 1 vertices in no face", faces=faces)


def test_a_hand_as_narrow_as_a_pencil_is_refused() -> None:
    vertices = HAND.v_template * [1.0, 0.3, 0.15]
    refused("v_template", "thick, found 0.1[0-4]. and 0.0[5-9]", v_template=vertices)


@pytest.mark.parametrize(
    ("flattened", "reason"),
    [([1, 2], "found 0 and 0"), ([1], "thick, found 0.6.* and 0"), ([0, 1, 2], "m long, found 0 m")],
    ids=["a line", "a plane", "a point"],
)
def test_a_hand_without_width_or_thickness_is_refused(flattened: list[int], reason: str) -> None:
    vertices = HAND.v_template.copy()
    vertices[:, flattened] = 0.0
    refused("v_template", reason, v_template=vertices)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("v_template", None),
        ("shapedirs", 1.01),
        ("posedirs", 1e30),
        ("posedirs", -1.01),
        ("hands_mean", 1e300),
        ("hands_mean", 6.3),
        ("hands_components", 101.0),
    ],
)
def test_a_number_no_hand_has_is_refused(key: str, value: float | None) -> None:
    changed = getattr(HAND, key) + 10.0 if value is None else getattr(HAND, key).copy()
    if value is not None:
        changed.flat[3] = value
    refused(key, "numbers up to .*, found one of", **{key: changed})


def test_a_huge_regressor_is_refused_although_its_rows_sum_to_one() -> None:
    regressor = HAND.J_regressor.copy()
    regressor[3, [100, 101]] += [11.0, -11.0]
    refused("J_regressor", "numbers up to 10, found one of 11", J_regressor=regressor)


def test_joints_that_are_the_first_vertices_are_refused() -> None:
    refused("J_regressor", "where their skin bends, found 0.2", J_regressor=np.eye(16, 778))


def test_joints_of_other_fingers_are_refused() -> None:
    names = MANO_ROTATION_NAMES
    for first, second in (("index_mcp", "pinky_mcp"), ("thumb_ip", "index_dip"), ("wrist", "middle_pip")):
        swapped = list(range(16))
        swapped[names.index(first)], swapped[names.index(second)] = names.index(second), names.index(first)
        refused("J_regressor", "where their skin bends", J_regressor=HAND.J_regressor[swapped])


def test_a_joint_outside_the_hand_is_refused_by_name() -> None:
    right, left = HAND.v_template[:, 0].argmax(), HAND.v_template[:, 0].argmin()
    for shares in ((1.5, -0.5), (-0.5, 1.5)):
        regressor = HAND.J_regressor.copy()
        regressor[0] = 0.0
        regressor[0, [right, left]] = shares
        refused("J_regressor", "joints inside the rest hand, found outside it: wrist", J_regressor=regressor)


def test_a_joint_without_skin_of_its_own_is_refused() -> None:
    weights = HAND.weights.copy()
    weights[:, 0] += weights[:, 5]
    weights[:, 5] = 0.0
    refused("weights", "no vertex that follows both middle_pip and its parent", weights=weights)


def test_a_pose_space_with_a_direction_missing_is_refused() -> None:
    refused("hands_components", "45 independent components, found 0", hands_components=np.zeros((45, 45)))
    repeated = HAND.hands_components.copy()
    repeated[44] = repeated[0]
    refused("hands_components", "found 44 independent", hands_components=repeated)
