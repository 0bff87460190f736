"""PCK and its area, against the definition written with loops and scipy's trapezoid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import trapezoid

from hoiray.errors import ContractError
from hoiray.metrics.curves import official_thresholds_m, pck_auc, pck_auc_per_sample, pck_curve


def _oracle_curve(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """One keypoint and one threshold at a time, as the official class does."""
    return np.array([[np.mean(errors[:, k] <= t) for t in thresholds] for k in range(errors.shape[1])])


def _oracle_auc(errors: np.ndarray, thresholds: np.ndarray) -> float:
    norm = trapezoid(np.ones_like(thresholds), thresholds)
    return float(np.mean([trapezoid(row, thresholds) / norm for row in _oracle_curve(errors, thresholds)]))


def test_the_official_thresholds_are_100_from_0_to_5_cm() -> None:
    thresholds = official_thresholds_m()
    assert thresholds.shape == (100,)
    assert thresholds[0] == 0.0
    assert thresholds[-1] == 0.05
    assert thresholds[1] == pytest.approx(0.05 / 99)


def test_curve_and_area_agree_with_the_definition() -> None:
    errors = np.random.default_rng(0).gamma(2.0, 0.012, size=(37, 21))
    errors[3] = np.nan
    errors[5, 7] = official_thresholds_m()[31]
    thresholds = official_thresholds_m()
    np.testing.assert_array_equal(pck_curve(errors), _oracle_curve(errors, thresholds))
    assert pck_auc(errors) == pytest.approx(_oracle_auc(errors, thresholds), abs=1e-14)


def test_uneven_thresholds_agree_with_the_definition() -> None:
    errors = np.random.default_rng(1).uniform(0.0, 0.06, size=(11, 5))
    thresholds = np.array([0.004, 0.005, 0.02, 0.021, 0.05])
    np.testing.assert_array_equal(pck_curve(errors, thresholds), _oracle_curve(errors, thresholds))
    assert pck_auc(errors, thresholds) == pytest.approx(_oracle_auc(errors, thresholds), abs=1e-14)


def test_a_perfect_prediction_scores_exactly_one() -> None:
    assert pck_auc(np.zeros((4, 21))) == 1.0


def test_an_error_of_exactly_the_last_threshold_still_counts_half_a_step() -> None:
    assert pck_auc(np.full((1, 1), 0.05)) == pytest.approx(0.5 / 99)
    assert pck_auc(np.full((1, 1), np.nextafter(0.05, 1.0))) == 0.0


def test_the_smallest_error_above_zero_costs_half_a_step() -> None:
    assert pck_auc(np.full((1, 1), 1e-12)) == pytest.approx(1.0 - 0.5 / 99)


def test_a_missing_sample_counts_as_wrong_at_every_threshold() -> None:
    errors = np.zeros((4, 3))
    errors[2] = np.nan
    assert pck_auc(errors) == pytest.approx(0.75)
    assert (pck_curve(errors) == 0.75).all()
    assert np.isnan(pck_auc_per_sample(errors)).tolist() == [False, False, True, False]


def test_a_sample_with_one_missing_keypoint_is_missing_in_the_curve_as_in_the_area() -> None:
    errors = np.random.default_rng(3).gamma(2.0, 0.01, size=(50, 21))
    before = errors.copy()
    errors[3, 4] = np.nan
    without = np.where(np.arange(50)[:, None] == 3, np.inf, before)
    thresholds = official_thresholds_m()
    np.testing.assert_array_equal(pck_curve(errors), _oracle_curve(without, thresholds))
    curve_area = np.mean([trapezoid(row, thresholds) for row in pck_curve(errors)]) / thresholds[-1]
    assert pck_auc(errors) == pytest.approx(curve_area, abs=1e-14)
    assert pck_auc(errors) < pck_auc(before)
    assert np.flatnonzero(np.isnan(pck_auc_per_sample(errors))).tolist() == [3]
    assert np.isnan(errors).sum() == 1


def test_the_mean_of_the_samples_is_the_area() -> None:
    errors = np.random.default_rng(2).gamma(2.0, 0.01, size=(50, 21))
    assert pck_auc_per_sample(errors).mean() == pytest.approx(_oracle_auc(errors, official_thresholds_m()), abs=1e-14)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(0.0, 0.1)),
    st.floats(0.0, 0.02),
)
def test_the_area_lies_in_0_to_1_and_falls_as_errors_grow(errors: np.ndarray, extra: float) -> None:
    area = pck_auc(errors)
    assert 0.0 <= area <= 1.0
    assert pck_auc(errors + extra) <= area
    assert area == pytest.approx(_oracle_auc(errors, official_thresholds_m()), abs=1e-12)
    curve = pck_curve(errors)
    assert (np.diff(curve, axis=1) >= 0.0).all()


@pytest.mark.parametrize("thresholds", [[0.0], [0.0, 0.0], [0.02, 0.01], [[0.0, 0.1]], [0.0, np.nan]])
def test_thresholds_out_of_order_are_refused(thresholds: list[float]) -> None:
    with pytest.raises(ContractError, match="strictly ascending"):
        pck_auc(np.zeros((1, 1)), np.array(thresholds))


@pytest.mark.parametrize("errors", [np.zeros(3), np.zeros((0, 21)), np.zeros((3, 0)), np.full((1, 1), -0.01)])
def test_what_is_no_table_of_distances_is_refused(errors: np.ndarray) -> None:
    with pytest.raises(ContractError, match="keypoint errors"):
        pck_curve(errors)
