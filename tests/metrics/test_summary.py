"""An average says what it could not see."""

import math

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.metrics.summary import Summary, mean_distance, mean_rate


def test_a_distance_is_averaged_over_what_was_measured_and_the_rest_is_counted() -> None:
    assert mean_distance(np.array([1.0, np.nan, 3.0])) == Summary(mean=2.0, num_samples=3, num_missing=1)


def test_a_missing_sample_scores_zero_in_a_rate() -> None:
    assert mean_rate(np.array([1.0, np.nan, 0.5, 0.5])) == Summary(mean=0.5, num_samples=4, num_missing=1)


def test_with_nothing_measured_a_distance_has_no_mean_and_a_rate_is_zero() -> None:
    nothing = np.array([np.nan, np.nan])
    distance = mean_distance(nothing)
    assert math.isnan(distance.mean)
    assert (distance.num_samples, distance.num_missing) == (2, 2)
    assert mean_rate(nothing) == Summary(0.0, 2, 2)


def test_a_summary_changes_unit_but_not_counts() -> None:
    assert Summary(0.5, 4, 1).scaled(1000.0) == Summary(500.0, 4, 1)


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros((2, 2)), np.float64(1.0)])
def test_only_one_value_per_sample_can_be_averaged(values: np.ndarray) -> None:
    for mean in (mean_distance, mean_rate):
        with pytest.raises(ContractError, match=r"\(N,\) with N >= 1"):
            mean(np.asarray(values))
