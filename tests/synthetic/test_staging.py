import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoiray.geometry.transforms import is_rigid
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.staging import (
    bend_wrist,
    carry_groups,
    rest_on_table,
    scatter,
    stand_for_grasp,
    towards_person,
    waiting_hand,
)

CAN = build_object("can")
PERSON = towards_person(0.7)


def _lowest(vertices: np.ndarray, T: np.ndarray) -> float:
    return float((vertices @ T[1, :3] + T[1, 3]).min())


def test_things_stand_on_the_table() -> None:
    for seed in range(5):
        T = rest_on_table(CAN.vertices, Rotation.random(random_state=seed).as_matrix(), np.array([0.1, -0.2]))
        assert _lowest(CAN.vertices, T) == pytest.approx(0.0, abs=1e-12)
        np.testing.assert_array_equal(T[[0, 2], 3], [0.1, -0.2])


@pytest.mark.parametrize("side", [1, -1])
def test_the_forearm_comes_from_the_person_and_the_hand_is_above_the_table(side: int) -> None:
    """The hand holds a standing can from its side: palm towards the axis, thumb up."""
    T_hand_obj = np.eye(4)
    T_hand_obj[:3, 3] = [0.0, -0.05, 0.0]
    T_obj_hand = np.linalg.inv(T_hand_obj)
    points = np.array([[0.09 * side, 0.0, 0.0], [-0.08 * side, 0.0, 0.0]])
    T = stand_for_grasp(CAN, T_obj_hand, hand_points=points, side=side, person=PERSON, rng=np.random.default_rng(0))
    T_world_hand = T @ T_obj_hand
    assert side * T_world_hand[:3, 0] @ PERSON > 0.7
    assert ((points @ T_world_hand[:3, :3].T + T_world_hand[:3, 3])[:, 1]).min() > 0.0
    assert T[1, 2] == pytest.approx(1.0)  # upright


@pytest.mark.parametrize("side", [1, -1])
def test_a_waiting_hand_lies_palm_down_with_the_forearm_to_the_person(side: int) -> None:
    T = waiting_hand(side, PERSON, np.array([0.1, 0.05, 0.2]), np.zeros(3))
    assert is_rigid(T)
    np.testing.assert_allclose(side * T[:3, 0], PERSON, atol=1e-12)
    np.testing.assert_allclose(T[:3, 1], [0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose((T @ [0.04 * side, 0.0, 0.0, 1.0])[:3], [0.1, 0.05, 0.2])


def test_what_is_carried_is_lifted_and_put_down_again() -> None:
    start = rest_on_table(CAN.vertices, Rotation.from_euler("x", -90, degrees=True).as_matrix(), np.zeros(2))
    groups = carry_groups(
        start, CAN, pivot_world=np.array([0.0, 0.1, 0.1]), forearm_world=PERSON, reach=(0.1, 1.0), num_groups=3,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert len(groups) == 4
    assert all(is_rigid(group).all() for group in groups)
    assert _lowest(CAN.vertices, groups[-1][-1]) == pytest.approx(0.0, abs=1e-12)
    assert max(group[:, 1, 3].max() for group in groups) > start[1, 3] + 0.05
    assert np.linalg.norm(groups[-1][-1][[0, 2], 3]) < 0.15


@pytest.mark.parametrize("side", [1, -1])
def test_a_wrist_bends_towards_the_elbow_and_not_beyond_its_limit(side: int) -> None:
    rng = np.random.default_rng(0)
    hands = np.stack([waiting_hand(side, PERSON, rng.normal(0, 0.1, 3), rng.normal(0, 1.0, 3)) for _ in range(60)])
    bend = bend_wrist(hands, hands[:, :3, 3], PERSON, side)
    assert np.linalg.norm(bend, axis=1).max() <= 0.9 + 1e-12
    straight = np.array([float(side), 0.0, 0.0])
    elbow = hands[:, :3, 3].mean(axis=0) + 0.3 * (PERSON + np.array([0.0, 0.1, 0.0]))
    for T, turn in zip(hands, bend, strict=True):
        wanted = (elbow - T[:3, 3]) @ T[:3, :3]
        wanted /= np.linalg.norm(wanted)
        bent = Rotation.from_rotvec(turn).apply(straight)
        assert bent @ wanted >= straight @ wanted - 1e-9


def test_clutter_is_away_from_the_middle_and_apart() -> None:
    places = np.stack(scatter(3, np.random.default_rng(1)))
    assert np.linalg.norm(places, axis=1).min() >= 0.2
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(3, 1)]
    assert apart.min() > 0.16


def test_an_object_that_would_put_the_hand_into_the_table_is_stood_otherwise() -> None:
    """Held below its foot, a can is not left upright, however well the forearm would then point."""
    T_obj_hand = np.eye(4)
    T_obj_hand[:3, 3] = [0.0, 0.0, -0.08]
    points = np.array([[0.09, 0.0, 0.0], [-0.08, 0.0, 0.0]])
    T = stand_for_grasp(CAN, T_obj_hand, hand_points=points, side=1, person=PERSON, rng=np.random.default_rng(0))
    T_world_hand = T @ T_obj_hand
    assert (points @ T_world_hand[1, :3] + T_world_hand[1, 3]).min() > 0.0
