"""F-scores against all pairwise distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from hoiray.errors import ContractError
from hoiray.metrics.fscore import OFFICIAL_F_THRESHOLDS_M, f_scores


def _oracle(predicted: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    """All distances, then counting."""
    distances = cdist(predicted, truth)
    recall = sum(row.min() < threshold for row in distances) / len(predicted)
    precision = sum(column.min() < threshold for column in distances.T) / len(truth)
    return 0.0 if recall + precision == 0 else 2 * recall * precision / (recall + precision)


def _cloud(seed: int, num_points: int, spread_m: float = 0.03) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=spread_m, size=(num_points, 3))


def test_the_official_thresholds_are_5_and_15_mm() -> None:
    assert OFFICIAL_F_THRESHOLDS_M == (0.005, 0.015)


@pytest.mark.parametrize(("num_predicted", "num_true"), [(200, 200), (150, 231), (1, 40), (1, 1)])
def test_scores_agree_with_all_pairs(num_predicted: int, num_true: int) -> None:
    predicted, truth = _cloud(0, num_predicted), _cloud(1, num_true)
    expected = [_oracle(predicted, truth, t) for t in OFFICIAL_F_THRESHOLDS_M]
    np.testing.assert_allclose(f_scores(predicted, truth), expected, atol=1e-15)


def test_a_perfect_prediction_scores_one_and_a_distant_one_zero() -> None:
    truth = _cloud(0, 50)
    np.testing.assert_array_equal(f_scores(truth, truth), [1.0, 1.0])
    np.testing.assert_array_equal(f_scores(truth + 10.0, truth), [0.0, 0.0])


@pytest.mark.parametrize("thresholds", [(0.25,), (0.25, 0.5)])
def test_a_point_at_exactly_the_threshold_is_not_matched(thresholds: tuple[float, ...]) -> None:
    truth = np.zeros((1, 3))
    predicted = np.array([[0.25, 0.0, 0.0]])  # exact in binary
    assert f_scores(predicted, truth, thresholds)[0] == 0.0
    assert f_scores(predicted, truth, (np.nextafter(0.25, 1.0),))[0] == 1.0


def test_strictness_holds_for_either_set() -> None:
    one, two = np.zeros((1, 3)), np.array([[0.0, 0.0, 0.0], [0.25, 0.0, 0.0]])
    for predicted, truth in ((one, two), (two, one)):
        # The second point is exactly 0.25 away: half of one set and all of the other are matched.
        assert f_scores(predicted, truth, (0.25, 0.5)).tolist() == pytest.approx([2 / 3, 1.0])


def test_matched_fractions_are_combined_by_their_harmonic_mean() -> None:
    # Both predictions near the one true point that is found; the other three are not.
    truth = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
    predicted = np.array([[0.001, 0, 0], [0, 0.001, 0]])
    assert f_scores(predicted, truth, (0.005,))[0] == pytest.approx(2 * 1.0 * 0.25 / 1.25)


def test_a_missing_prediction_has_no_score() -> None:
    truth = np.stack([_cloud(i, 20) for i in range(3)])
    predicted = truth.copy()
    predicted[1, 4, 2] = np.nan
    scores = f_scores(predicted, truth)
    assert np.isnan(scores[1]).all()
    np.testing.assert_array_equal(scores[[0, 2]], np.ones((2, 2)))


def test_a_batch_of_any_shape_gives_the_scores_of_its_samples() -> None:
    truth = np.stack([_cloud(i, 30) for i in range(6)]).reshape(2, 3, 30, 3)
    predicted = truth + np.random.default_rng(9).normal(scale=0.005, size=truth.shape)
    scores = f_scores(predicted, truth)
    assert scores.shape == (2, 3, 2)
    for index in np.ndindex(2, 3):
        np.testing.assert_array_equal(scores[index], f_scores(predicted[index], truth[index]))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 25), st.integers(1, 25), st.floats(0.001, 0.05))
def test_the_score_is_symmetric_bounded_and_grows_with_the_threshold(
    seed: int, num_predicted: int, num_true: int, threshold: float
) -> None:
    a, b = _cloud(seed, num_predicted), _cloud(seed + 1, num_true)
    score, wider = f_scores(a, b, (threshold, 2.0 * threshold))
    assert 0.0 <= score <= wider <= 1.0
    assert f_scores(b, a, (threshold,))[0] == score
    assert score == pytest.approx(_oracle(a, b, threshold), abs=1e-15)


@pytest.mark.parametrize("thresholds", [(), (0.0,), (-0.1, 0.1), (np.nan,)])
def test_thresholds_that_are_no_distance_are_refused(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(ContractError, match="F-score thresholds"):
        f_scores(np.zeros((1, 3)), np.zeros((1, 3)), thresholds)


def test_an_incomplete_truth_and_unequal_batches_are_refused() -> None:
    truth = np.zeros((2, 4, 3))
    with pytest.raises(ContractError, match="same number of samples"):
        f_scores(truth[:1], truth)
    truth[1, 0, 0] = np.nan
    with pytest.raises(ContractError, match="finite ground truth"):
        f_scores(np.zeros((2, 4, 3)), truth)
