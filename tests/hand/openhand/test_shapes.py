import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.hand.openhand import shapes, source
from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS
from hoiray.hand.openhand.region import TIP_LANDMARK

ANGLES_DEG = {"index": 10.0, "middle": 0.0, "ring": -10.0, "pinky": -20.0, "thumb": 50.0}


def relaxed_landmarks(side: float = 1.0) -> np.ndarray:
    """A right hand (side 1) whose fingers bend down by 10, 20 and 30 degrees, thumb on +z."""
    marks = np.zeros((21, 3))
    for finger, angle in ANGLES_DEG.items():
        a = np.radians(angle)
        flat = np.array([-np.cos(a), 0.0, side * np.sin(a)])
        base, middle, end = FINGER_JOINTS[finger]
        marks[base] = (0.03 if finger == "thumb" else 0.09) * flat
        for previous, joint, down in (
            (base, middle, 10.0),
            (middle, end, 20.0),
            (end, TIP_LANDMARK[finger], 30.0),
        ):
            d = np.radians(down)
            marks[joint] = marks[previous] + 0.03 * (np.cos(d) * flat - np.sin(d) * np.array([0.0, 1.0, 0.0]))
    return marks


def chain(finger: str) -> list[int]:
    return [*FINGER_JOINTS[finger], TIP_LANDMARK[finger]]


def test_straight_fingers_lie_in_the_palm_plane_at_their_rest_angle() -> None:
    marks = relaxed_landmarks()
    _, straight = shapes.straighten(marks[:16], marks, np.eye(16))
    for finger, angle in shapes.REST_SPREAD_DEG.items():
        bones = np.diff(straight[chain(finger)], axis=0)
        a = np.radians(angle)
        expected = np.array([-np.cos(a), 0.0, np.sin(a)])
        np.testing.assert_allclose(bones / np.linalg.norm(bones, axis=1, keepdims=True), [expected] * 3, atol=1e-12)


def test_straightening_keeps_bone_lengths_and_pins_the_wrist() -> None:
    marks = relaxed_landmarks()
    _, straight = shapes.straighten(marks[:16], marks, np.eye(16))
    np.testing.assert_allclose(straight[0], shapes.WRIST_ORIGIN_M, atol=1e-15)
    for finger in FINGERS:
        ids = [0, *chain(finger)]
        before, after = (np.linalg.norm(np.diff(m[ids], axis=0), axis=1) for m in (marks, straight))
        np.testing.assert_allclose(after, before, rtol=1e-12)


def test_vertices_go_where_their_joints_go() -> None:
    marks = relaxed_landmarks()
    vertices, straight = shapes.straighten(marks[:16], marks, np.eye(16))
    np.testing.assert_allclose(vertices, straight[:16], atol=1e-14)


def test_straightening_does_not_depend_on_where_the_hand_was() -> None:
    marks = relaxed_landmarks()
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7])
    moved = turn.apply(marks) + np.array([0.3, 1.2, -0.4])
    for here, there in zip(
        shapes.straighten(marks[:16], marks, np.eye(16)), shapes.straighten(moved[:16], moved, np.eye(16)), strict=True
    ):
        np.testing.assert_allclose(there, here, atol=1e-12)


def test_a_straight_hand_stays_as_it_is() -> None:
    marks = relaxed_landmarks()
    _, once = shapes.straighten(marks[:16], marks, np.eye(16))
    _, twice = shapes.straighten(once[:16], once, np.eye(16))
    four = [joint for finger in shapes.REST_SPREAD_DEG for joint in chain(finger)]
    np.testing.assert_allclose(twice[four], once[four], atol=1e-12)


def test_a_left_hand_is_refused() -> None:
    marks = relaxed_landmarks(side=-1.0)
    marks[list(chain("thumb"))] *= [1, 1, -1]
    with pytest.raises(ContractError, match="right hand"):
        shapes.straighten(marks[:16], marks, np.eye(16))


def test_a_swing_turns_one_direction_into_the_other_by_the_shortest_way() -> None:
    a, b = np.array([1.0, 2.0, -0.5]), np.array([-0.3, 1.0, 4.0])
    rotation = shapes.swing(a, b)
    np.testing.assert_allclose(rotation @ a / np.linalg.norm(a), b / np.linalg.norm(b), atol=1e-14)
    expected = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert Rotation.from_matrix(rotation).magnitude() == pytest.approx(expected)
    np.testing.assert_array_equal(shapes.swing(a, 2 * a), np.eye(3))
    with pytest.raises(ContractError, match="opposite"):
        shapes.swing(a, -a)


def test_anchor_weights_interpolate_and_clamp() -> None:
    weights = shapes.interpolate_anchors(np.array([0.0, 0.5, 2 / 3, 0.9, 7.0]), shapes.AGE_ANCHORS)
    np.testing.assert_allclose(weights, [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.3, 0.7], [0, 0, 1]], atol=1e-12)


def test_alternatives_of_a_factor_sum_to_one() -> None:
    factors = shapes.sample_factors(50, np.random.default_rng(3))
    for names in (source.GENDERS, source.AGES, source.MUSCLES, source.WEIGHTS, source.HEIGHTS, source.RACES):
        np.testing.assert_allclose(sum(factors[name] for name in names), 1.0)


def tiny_space() -> shapes.ShapeSpace:
    """Two arm vertices and 21 landmarks of one point; the male target lifts, the scale morph stretches."""
    base = np.arange(23.0 * 3).reshape(23, 3)
    lift, more, less = (np.full((23, 3), value) for value in (100.0, 7.0, -3.0))
    return shapes.ShapeSpace(
        base=base,
        targets=np.stack([lift, less, more]),
        macro_keys=(("male", "young"),),
        local_keys=(("scale", "decr"), ("scale", "incr")),
        num_arm_vertices=2,
        landmark_slices=tuple(slice(2 + k, 3 + k) for k in range(21)),
    )


def test_a_sample_is_the_base_plus_its_weighted_targets() -> None:
    space = tiny_space()
    vertices, landmarks = shapes.sample_shapes(space, 40, np.random.default_rng(5))
    factors = shapes.sample_factors(40, rng := np.random.default_rng(5))
    scale = shapes.sample_local(40, rng)["scale"]
    shift = 100 * factors["male"] * factors["young"] + np.where(scale > 0, 7 * scale, -3 * -scale)
    np.testing.assert_allclose(vertices, space.base[:2] + shift[:, None, None])
    np.testing.assert_allclose(landmarks, space.base[2:] + shift[:, None, None])
    assert (scale > 0).any()
    assert (scale < 0).any()


def test_scaling_gives_the_mean_length_and_keeps_the_wrist() -> None:
    marks = np.stack([shapes.straighten(m[:16], m, np.eye(16))[1] for m in (relaxed_landmarks(), relaxed_landmarks())])
    scaled, same, factor = shapes.scale_to_mean_length(marks, marks)
    assert shapes.hand_length_m(same).mean() == pytest.approx(shapes.MEAN_HAND_LENGTH_M)
    assert factor == pytest.approx(shapes.MEAN_HAND_LENGTH_M / 0.18)
    np.testing.assert_allclose(scaled[:, 0], [shapes.WRIST_ORIGIN_M] * 2)


def test_the_basis_rebuilds_shapes_of_ten_directions_and_its_scores_are_standard() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(30, 3, 10)) * 0.01
    betas = rng.normal(size=(200, 10))
    vertices = rng.normal(size=(30, 3)) + np.einsum("vck,nk->nvc", truth, betas)
    is_hand = np.arange(30) < 20
    basis = shapes.fit_shape_basis(vertices, is_hand)
    np.testing.assert_allclose(
        basis.mean + np.einsum("vck,nk->nvc", basis.directions, basis.scores), vertices, atol=1e-12
    )
    np.testing.assert_allclose(np.cov(basis.scores.T), np.eye(10), atol=1e-12)
    assert basis.explained.sum() == pytest.approx(1.0)
    assert (np.diff(basis.explained) <= 0).all()


def test_a_larger_first_beta_is_a_larger_hand() -> None:
    rng = np.random.default_rng(1)
    shape = rng.normal(size=(12, 3))
    vertices = shapes.WRIST_ORIGIN_M + shape * rng.uniform(0.8, 1.2, 50)[:, None, None]
    vertices = vertices + rng.normal(scale=1e-6, size=vertices.shape)
    basis = shapes.fit_shape_basis(vertices, np.ones(12, dtype=bool))
    larger = basis.mean + basis.directions[..., 0]
    assert np.linalg.norm(larger - shapes.WRIST_ORIGIN_M) > np.linalg.norm(basis.mean - shapes.WRIST_ORIGIN_M)
