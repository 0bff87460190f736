import pytest

from hoiray.hand.joints import FINGERS as SIMPLE_FINGERS
from hoiray.hand.joints import TIP_SETS
from hoiray.hand.openhand.layout import (
    FINGER_JOINTS,
    FINGERS,
    NUM_BOUNDARY_EDGES,
    NUM_FACES,
    NUM_VERTICES,
    TIP_IDS,
    subtree,
    tip_id,
)


def test_a_disc_of_these_counts_has_euler_characteristic_one() -> None:
    num_edges = (3 * NUM_FACES + NUM_BOUNDARY_EDGES) // 2
    assert NUM_VERTICES - num_edges + NUM_FACES == 1


def test_fingers_are_in_manos_order() -> None:
    assert FINGERS == ("index", "middle", "pinky", "ring", "thumb")
    assert FINGER_JOINTS["pinky"] == (7, 8, 9)
    assert FINGER_JOINTS["thumb"] == (13, 14, 15)


def test_every_published_tip_belongs_to_one_finger() -> None:
    ids = [vertex for finger in FINGERS for vertex in TIP_IDS[finger]]
    assert len(ids) == len(set(ids)) == 19
    for tips in TIP_SETS.values():
        for side in (tips.right, tips.left):
            assert all(vertex in TIP_IDS[finger] for finger, vertex in zip(SIMPLE_FINGERS, side, strict=True))


def test_the_first_id_is_smplxs_and_the_last_is_ho3ds() -> None:
    assert TIP_IDS["middle"] == (443, 444, 445, 442)
    assert TIP_IDS["thumb"] == (744, 745, 728)
    assert tip_id("pinky") == 671


@pytest.mark.parametrize(("joint", "expected"), [(1, (1, 2, 3)), (6, (6,)), (14, (14, 15)), (0, tuple(range(16)))])
def test_a_subtree_is_the_joint_and_all_that_follows_it(joint: int, expected: tuple[int, ...]) -> None:
    assert subtree(joint) == expected
