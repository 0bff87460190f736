import numpy as np
import pytest

from hoiray.hand.openhand.layout import PARENTS
from hoiray.hand.openhand.regress import convex_combination, fit_joint_regressor


def test_a_convex_combination_is_found_again() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(scale=0.1, size=(40, 12, 3))
    truth = np.zeros(12)
    truth[[1, 4, 9]] = 0.2, 0.5, 0.3
    np.testing.assert_allclose(convex_combination(points, np.einsum("scx,c->sx", points, truth)), truth, atol=1e-9)


def test_a_target_outside_gets_the_nearest_point_and_no_negative_weight() -> None:
    points = np.tile(np.array([[[0.0, 0, 0], [0.1, 0, 0]]]), (5, 1, 1))
    coefficients = convex_combination(points, np.full((5, 3), [0.5, 0, 0]))
    np.testing.assert_array_equal(coefficients, [0, 1])


def hands(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sixteen clouds of eight vertices around sixteen joints, bone by bone."""
    joints = rng.normal(scale=0.1, size=(30, 16, 3))
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * 0.008
    vertices = (joints[:, :, None] + corners).reshape(30, -1, 3)
    return vertices, joints, np.repeat(np.eye(16), 8, axis=0)


def test_joints_are_regressed_from_their_own_neighbourhood() -> None:
    vertices, joints, weights = hands(np.random.default_rng(2))
    regressor = fit_joint_regressor(vertices, joints, weights)
    np.testing.assert_allclose(np.einsum("jv,nvc->njc", regressor, vertices), joints, atol=1e-9)
    assert (regressor >= 0).all()
    np.testing.assert_allclose(regressor.sum(axis=1), 1.0)
    owner = weights.argmax(axis=1)
    for joint in range(16):
        assert set(owner[regressor[joint] > 0]) <= {joint, PARENTS[joint]}


@pytest.mark.parametrize("joint", [1, 15])
def test_a_vertex_below_both_weight_limits_takes_no_part(joint: int) -> None:
    vertices, joints, weights = hands(np.random.default_rng(2))
    stranger = weights.copy()
    stranger[8 * joint] = 0.0
    stranger[8 * joint, [joint, PARENTS[joint]]] = 0.02, 0.05
    assert fit_joint_regressor(vertices, joints, stranger)[joint, 8 * joint] == 0.0
