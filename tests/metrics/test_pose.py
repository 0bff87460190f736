"""Point errors and alignments, against scipy's Procrustes and loops."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.metrics.pose import (
    mpjpe_m,
    pa_mpjpe_m,
    pa_mpvpe_m,
    point_errors_m,
    procrustes_aligned,
    root_aligned,
    root_aligned_mpjpe_m,
    scale_translation_aligned,
    scale_translation_aligned_mpjpe_m,
)

WRIST, MIDDLE_KNUCKLE = 0, 9


def _hands(num: int, seed: int = 0, num_points: int = 21) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(scale=0.04, size=(num, num_points, 3)) + rng.normal(scale=0.1, size=(num, 1, 3)) + [0, 0, 0.6]


def _noisy(truth: np.ndarray, scale_m: float = 0.01, seed: int = 5) -> np.ndarray:
    return truth + np.random.default_rng(seed).normal(scale=scale_m, size=truth.shape)


def _oracle_official_procrustes(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The benchmark's recipe for one sample: unit-norm both, rotate (or mirror) with scipy, restore the true size."""
    truth_centred, predicted_centred = truth - truth.mean(axis=0), predicted - predicted.mean(axis=0)
    size = np.linalg.norm(truth_centred) + 1e-8
    unit = predicted_centred / (np.linalg.norm(predicted_centred) + 1e-8)
    R, scale = orthogonal_procrustes(truth_centred / size, unit)
    return unit @ R.T * scale * size + truth.mean(axis=0)


def _oracle_proper_error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Numerical search over rotation and scale for the smallest squared distance; then the mean distance there."""
    a, b = predicted - predicted.mean(axis=0), truth - truth.mean(axis=0)

    def moved(parameters: np.ndarray) -> np.ndarray:
        return math.exp(parameters[3]) * a @ Rotation.from_rotvec(parameters[:3]).as_matrix().T

    starts = [[*axis, 0.0] for axis in itertools.product((-1.5, 0.0, 1.5), repeat=3)]
    options = {"gtol": 1e-12, "maxiter": 500}
    solutions = [minimize(lambda p: 1e3 * np.sum((moved(p) - b) ** 2), s, options=options) for s in starts]
    best = min(solutions, key=lambda solution: solution.fun)
    return float(np.linalg.norm(moved(best.x) - b, axis=1).mean())


def test_errors_are_euclidean_distances_and_their_mean() -> None:
    truth = _hands(3)
    predicted = _noisy(truth)
    expected = [[math.dist(p, t) for p, t in zip(*pair, strict=True)] for pair in zip(predicted, truth, strict=True)]
    np.testing.assert_allclose(point_errors_m(predicted, truth), expected, rtol=1e-12)
    np.testing.assert_allclose(mpjpe_m(predicted, truth), np.mean(expected, axis=1), rtol=1e-12)


@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
def test_every_metric_works_on_every_batch_shape(batch: tuple[int, ...]) -> None:
    truth = _hands(6)[: int(np.prod(batch))].reshape(*batch, 21, 3)
    predicted = _noisy(truth)
    for values in (
        mpjpe_m(predicted, truth),
        pa_mpjpe_m(predicted, truth, allow_reflection=True),
        pa_mpjpe_m(predicted, truth, allow_reflection=False),
        root_aligned_mpjpe_m(predicted, truth, root_index=0),
        scale_translation_aligned_mpjpe_m(predicted, truth, root_index=0, length_index=9),
    ):
        assert values.shape == batch
        assert np.isfinite(values).all()


def test_the_leaderboard_alignment_agrees_with_the_published_recipe() -> None:
    truth = _hands(20)
    # Every second hand is also mirrored and resized, so that both branches of the determinant are taken.
    predicted = _noisy(truth, 0.02) * np.where(np.arange(20) % 2, 1.0, -1.7)[:, None, None]
    expected = np.stack([_oracle_official_procrustes(p, t) for p, t in zip(predicted, truth, strict=True)])
    aligned = procrustes_aligned(predicted, truth, allow_reflection=True)
    np.testing.assert_allclose(aligned, expected, atol=1e-12)


def test_the_proper_alignment_agrees_with_a_numerical_search() -> None:
    truth = _hands(2, seed=3)
    predicted = _noisy(truth, 0.02)
    predicted[1] *= [-1.0, 1.0, 1.0]
    found = pa_mpjpe_m(predicted, truth, allow_reflection=False)
    expected = [_oracle_proper_error(p, t) for p, t in zip(predicted, truth, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_mirrored_hand_is_perfect_on_the_leaderboard_and_wrong_with_a_proper_rotation() -> None:
    truth = _hands(8)
    mirrored = truth * [-1.0, 1.0, 1.0]
    assert pa_mpjpe_m(mirrored, truth, allow_reflection=True).max() < 1e-7
    assert pa_mpjpe_m(mirrored, truth, allow_reflection=False).min() > 0.01


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 1000),
    st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3),
    st.floats(0.1, 10.0),
    st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3),
    st.booleans(),
)
def test_procrustes_errors_do_not_see_a_similarity_of_the_prediction(
    seed: int, rotvec: list[float], scale: float, shift: list[float], allow_reflection: bool
) -> None:
    truth = _hands(1, seed)
    predicted = _noisy(truth, 0.015, seed + 1)
    moved = scale * predicted @ Rotation.from_rotvec(rotvec).as_matrix().T + shift
    before = pa_mpjpe_m(predicted, truth, allow_reflection=allow_reflection)
    # 1e-8 in the benchmark's norms is worth up to 1e-7 of a hand.
    np.testing.assert_allclose(pa_mpjpe_m(moved, truth, allow_reflection=allow_reflection), before, atol=1e-7)


def test_reflections_can_only_bring_the_squared_error_down() -> None:
    truth, predicted = _hands(50, 1), _hands(50, 2)
    free = (point_errors_m(procrustes_aligned(predicted, truth, allow_reflection=True), truth) ** 2).sum(axis=1)
    proper = (point_errors_m(procrustes_aligned(predicted, truth, allow_reflection=False), truth) ** 2).sum(axis=1)
    assert (free <= proper + 1e-9).all()
    assert (free < 0.99 * proper).any()


def test_vertices_are_aligned_by_themselves() -> None:
    truth = _hands(2, num_points=100)
    predicted = _noisy(truth)
    expected = [
        np.linalg.norm(_oracle_official_procrustes(p, t) - t, axis=1).mean()
        for p, t in zip(predicted, truth, strict=True)
    ]
    np.testing.assert_allclose(pa_mpvpe_m(predicted, truth, allow_reflection=True), expected, rtol=1e-9)


@pytest.mark.parametrize("allow_reflection", [True, False])
def test_a_prediction_of_zeros_is_laid_on_the_centroid(allow_reflection: bool) -> None:
    truth = _hands(4)
    expected = np.linalg.norm(truth - truth.mean(axis=1, keepdims=True), axis=2).mean(axis=1)
    found = pa_mpjpe_m(np.zeros_like(truth), truth, allow_reflection=allow_reflection)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_prediction_of_zeros_is_laid_on_the_wrist_by_scale_and_translation() -> None:
    truth = _hands(4)
    expected = np.linalg.norm(truth - truth[:, :1], axis=2).mean(axis=1)
    found = scale_translation_aligned_mpjpe_m(
        np.zeros_like(truth), truth, root_index=WRIST, length_index=MIDDLE_KNUCKLE
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_scale_and_translation_take_the_palm_for_the_size() -> None:
    truth = _hands(5)
    predicted = _noisy(truth)
    expected = []
    for p, t in zip(predicted, truth, strict=True):
        ratio = math.dist(t[MIDDLE_KNUCKLE], t[WRIST]) / math.dist(p[MIDDLE_KNUCKLE], p[WRIST])
        moved = [ratio * point - ratio * p[WRIST] + t[WRIST] for point in p]
        expected.append(np.mean([math.dist(a, b) for a, b in zip(moved, t, strict=True)]))
    found = scale_translation_aligned_mpjpe_m(predicted, truth, root_index=WRIST, length_index=MIDDLE_KNUCKLE)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_size_and_place_vanish_under_scale_and_translation_but_orientation_does_not() -> None:
    truth = _hands(3)
    indices = {"root_index": WRIST, "length_index": MIDDLE_KNUCKLE}
    assert scale_translation_aligned_mpjpe_m(1.3 * truth + 0.2, truth, **indices).max() < 1e-12
    turned = truth @ Rotation.from_rotvec([0.0, 0.0, 0.5]).as_matrix().T
    assert scale_translation_aligned_mpjpe_m(turned, truth, **indices).min() > 0.005


def test_the_aligned_root_is_the_true_root_to_the_last_bit() -> None:
    truth = _hands(40)
    predicted = _noisy(truth)
    for aligned, root in (
        (root_aligned(predicted, truth, root_index=4), 4),
        (scale_translation_aligned(predicted, truth, root_index=WRIST, length_index=MIDDLE_KNUCKLE), WRIST),
    ):
        np.testing.assert_array_equal(aligned[:, root], truth[:, root])


def test_root_alignment_takes_away_a_shift_and_nothing_else() -> None:
    truth = _hands(3)
    assert root_aligned_mpjpe_m(truth + np.array([0.3, 0.0, 0.0]), truth, root_index=WRIST).max() < 1e-12
    assert root_aligned_mpjpe_m(1.1 * truth, truth, root_index=WRIST).min() > 1e-3
    predicted = _noisy(truth)
    expected = [
        np.mean([math.dist(a - p[4] + t[4], b) for a, b in zip(p, t, strict=True)])
        for p, t in zip(predicted, truth, strict=True)
    ]
    np.testing.assert_allclose(root_aligned_mpjpe_m(predicted, truth, root_index=4), expected, rtol=1e-12)


def test_a_missing_prediction_is_nan_in_every_metric_and_leaves_its_neighbours_alone() -> None:
    truth = _hands(3)
    predicted = _noisy(truth)
    complete = predicted.copy()
    predicted[1, 20, 2] = np.inf
    before = predicted.copy()
    for measure in (
        mpjpe_m,
        lambda p, t: pa_mpjpe_m(p, t, allow_reflection=True),
        lambda p, t: pa_mpjpe_m(p, t, allow_reflection=False),
        lambda p, t: root_aligned_mpjpe_m(p, t, root_index=0),
        lambda p, t: scale_translation_aligned_mpjpe_m(p, t, root_index=0, length_index=9),
    ):
        found, expected = measure(predicted, truth), measure(complete, truth)
        assert np.isnan(found).tolist() == [False, True, False]
        np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
    np.testing.assert_array_equal(predicted, before)


def test_an_incomplete_truth_is_refused_by_every_metric() -> None:
    predicted = _hands(2)
    truth = predicted.copy()
    truth[1, 3] = np.nan
    for measure in (mpjpe_m, lambda p, t: pa_mpjpe_m(p, t, allow_reflection=True)):
        with pytest.raises(ContractError, match="finite ground truth"):
            measure(predicted, truth)
