import numpy as np
import pytest

from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS, TIP_IDS
from hoiray.hand.openhand.region import TIP_LANDMARK
from hoiray.hand.openhand.tips import choose_tips, order_with_tips


def finger_caps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Five half balls of 8 mm radius, pointing along -x, 30 mm apart in z."""
    a, b = (g.reshape(-1) for g in np.meshgrid(np.linspace(0, np.pi / 2, 8), np.linspace(0, 2 * np.pi, 13)[:-1]))
    cap = 0.008 * np.stack([-np.cos(a), np.sin(a) * np.cos(b), np.sin(a) * np.sin(b)], axis=1)
    cap = np.unique(cap.round(9), axis=0)
    vertices, weights, landmarks = [], [], np.zeros((21, 3))
    for k, finger in enumerate(FINGERS):
        centre = np.array([0.0, 0.0, 0.03 * k])
        row = np.zeros(16)
        row[FINGER_JOINTS[finger][2]] = 1.0
        vertices.append(centre + cap)
        weights.append(np.tile(row, (len(cap), 1)))
        landmarks[FINGER_JOINTS[finger][2]] = centre
        landmarks[TIP_LANDMARK[finger]] = centre - [0.008, 0, 0]
    return np.concatenate(vertices), landmarks, np.concatenate(weights)


def test_tips_are_distinct_and_on_their_own_finger() -> None:
    vertices, landmarks, weights = finger_caps()
    tips = choose_tips(vertices, landmarks, weights, dict.fromkeys(FINGERS, np.array([0.0, 1.0, 0.0])))
    for finger, ids in tips.items():
        assert len(set(ids)) == len(TIP_IDS[finger])
        assert (weights[list(ids), FINGER_JOINTS[finger][2]] == 1.0).all()
        np.testing.assert_allclose(vertices[ids[0], 0], -0.008)


def test_ho3ds_tip_lies_lower_on_the_pad_and_none_on_the_nail() -> None:
    vertices, landmarks, weights = finger_caps()
    tips = choose_tips(vertices, landmarks, weights, dict.fromkeys(FINGERS, np.array([0.0, 1.0, 0.0])))
    for ids in tips.values():
        down = vertices[ids[0], 1] - vertices[list(ids), 1]
        back = vertices[list(ids), 0] - vertices[ids[0], 0]
        assert (down >= -1e-12).all()
        assert down[-1] > 0.002
        assert back[-1] > 0.0005


@pytest.mark.parametrize("dorsal", [[0.0, 0.0, 1.0], [0.0, -0.8, 0.6], [0.0, 0.6, -0.8]])
def test_the_dorsal_direction_says_where_the_pad_is(dorsal: list[float]) -> None:
    vertices, landmarks, weights = finger_caps()
    tips = choose_tips(vertices, landmarks, weights, dict.fromkeys(FINGERS, np.array(dorsal)))
    for ids in tips.values():
        up = (vertices[list(ids)] - vertices[ids[0]]) @ dorsal
        assert up[-1] < -0.002
        assert (up < 1e-12).all()


def test_tips_get_their_public_ids_and_all_others_keep_their_order() -> None:
    kept = np.arange(0, 1556, 2)
    tips = {finger: tuple(40 * k + 4 * n for n in range(len(TIP_IDS[finger]))) for k, finger in enumerate(FINGERS)}
    order = order_with_tips(kept, tips)
    for finger, ids in TIP_IDS.items():
        assert tuple(order[list(ids)]) == tips[finger]
    rest = np.delete(order, [vertex for ids in TIP_IDS.values() for vertex in ids])
    assert (np.diff(rest) > 0).all()
    np.testing.assert_array_equal(np.sort(order), kept)
