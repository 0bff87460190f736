"""No other constant is better on the hands the constant was fitted to."""

import dataset_files as files
import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.evaluation.constant_hand import (
    as_right_hands,
    fit_constant_hand,
    geometric_median,
    procrustes_mean,
)
from hoiray.metrics.pose import mpjpe_m, procrustes_aligned

N = 60


def hands() -> files.Hands:
    return files.hands(N, tip_set="ho3d", seed=11)


def mean_root_relative_error(constant: np.ndarray, joints: np.ndarray) -> float:
    return float(np.linalg.norm(constant - (joints - joints[:, :1]), axis=-1).mean())


def summed_squares_after_alignment(shape: np.ndarray, points: np.ndarray) -> float:
    aligned = procrustes_aligned(np.broadcast_to(shape, points.shape), points, allow_reflection=True)
    return float(((aligned - points) ** 2).sum())


def test_no_perturbed_pose_has_a_smaller_root_relative_error() -> None:
    joints = hands().joints
    constant = fit_constant_hand(joints, None, np.ones(N, bool), source="x").joints.pose
    best = mean_root_relative_error(constant, joints)
    rng = np.random.default_rng(0)
    for scale_m in (1e-4, 1e-3, 1e-2):
        for _ in range(40):
            moved = constant + rng.normal(0, scale_m, constant.shape)
            moved[0] = 0.0
            assert mean_root_relative_error(moved, joints) > best
    for candidate in (joints[0] - joints[0, 0], (joints - joints[:, :1]).mean(axis=0)):
        assert mean_root_relative_error(candidate, joints) > best


def test_no_perturbed_shape_is_closer_after_alignment() -> None:
    joints = hands().joints
    shape = fit_constant_hand(joints, None, np.ones(N, bool), source="x").joints.shape
    best = summed_squares_after_alignment(shape, joints)
    rng = np.random.default_rng(1)
    for scale_m in (1e-4, 1e-3, 1e-2):
        for _ in range(40):
            assert summed_squares_after_alignment(shape + rng.normal(0, scale_m, shape.shape), joints) > best
    assert all(summed_squares_after_alignment(hand, joints) > best for hand in joints)


def test_no_perturbed_mesh_shape_is_closer_after_alignment() -> None:
    vertices = hands().vertices
    shape = procrustes_mean(vertices)
    best = summed_squares_after_alignment(shape, vertices)
    rng = np.random.default_rng(2)
    for _ in range(10):
        assert summed_squares_after_alignment(shape + rng.normal(0, 3e-4, shape.shape), vertices) > best
    assert summed_squares_after_alignment(hands().vertices[3], vertices) > 1.05 * best


def test_a_median_need_not_be_where_the_mean_starts() -> None:
    """Two thirds of the samples at one place: the median is there, though the first iterate is not."""
    points = np.zeros((9, 1, 3))
    points[6:] = [[[0.3, 0.0, 0.0]], [[0.0, 0.3, 0.0]], [[0.2, 0.2, 0.1]]]
    np.testing.assert_allclose(geometric_median(points), np.zeros((1, 3)), atol=1e-6)


def test_an_iterate_on_a_sample_goes_on_where_the_median_is_elsewhere() -> None:
    """The mean of these is the fifth sample, whose pull of one the four others overcome: (0, 0) is not the median."""
    corners = np.array([[4.0, 1, 0], [4.0, -1, 0], [-1, 0, 0], [-7.0, 0, 0]])
    points = np.concatenate([corners, [[0.0, 0, 0]]])[:, None]
    found = geometric_median(points)[0]
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 81), np.linspace(-1, 1, 81), indexing="ij"), axis=-1).reshape(-1, 2)
    costs = [np.linalg.norm(points[:, 0, :2] - place, axis=1).sum() for place in grid]
    assert np.linalg.norm(points[:, 0] - found, axis=1).sum() <= min(costs) + 1e-9


def test_one_hand_is_its_own_constant() -> None:
    hand = hands().joints[:1]
    fitted = fit_constant_hand(hand, hands().vertices[:1], np.ones(1, bool), source="x")
    np.testing.assert_allclose(fitted.joints.pose, hand[0] - hand[0, 0], atol=1e-9)
    assert summed_squares_after_alignment(fitted.joints.shape, hand) < 1e-14  # the official 1e-8 on the norms
    assert fitted.vertices is not None
    assert summed_squares_after_alignment(fitted.vertices.shape, hands().vertices[:1]) < 1e-14


def test_left_hands_are_fitted_as_their_mirror_images() -> None:
    right = hands()
    is_right = np.arange(N) % 3 != 0
    mixed_joints, mixed_vertices = (as_right_hands(p, is_right) for p in (right.joints, right.vertices))
    assert np.abs(mixed_joints - right.joints).max() > 0.05
    expected = fit_constant_hand(right.joints, right.vertices, np.ones(N, bool), source="x")
    found = fit_constant_hand(mixed_joints, mixed_vertices, is_right, source="x")
    np.testing.assert_allclose(found.joints.pose, expected.joints.pose, atol=1e-12)
    assert expected.vertices is not None
    assert found.vertices is not None
    np.testing.assert_allclose(found.vertices.pose, expected.vertices.pose, atol=1e-12)


def test_the_constant_is_relative_to_the_wrist_wherever_the_hands_are() -> None:
    joints = hands().joints
    there = fit_constant_hand(joints, None, np.ones(N, bool), source="x").joints.pose
    moved = fit_constant_hand(joints + np.array([0.1, -0.2, 0.4]), None, np.ones(N, bool), source="x").joints.pose
    np.testing.assert_allclose(moved, there, atol=1e-7)
    assert mpjpe_m(there[None, :1], np.zeros((1, 1, 3)))[0] == 0.0


@pytest.mark.parametrize("broken", [np.full((2, 21, 3), np.nan), np.zeros((0, 21, 3))])
def test_hands_that_are_none_are_refused(broken: np.ndarray) -> None:
    with pytest.raises(ContractError, match="annotated samples only"):
        fit_constant_hand(broken, None, np.ones(len(broken), bool), source="x")
