"""Ranks against scipy, on copied rows."""

import numpy as np
import pytest
from group_resamples import GROUPS, N, slow_resamples
from scipy import stats

from hoiray.errors import ContractError
from hoiray.evaluation.bootstrap import GroupBootstrap
from hoiray.evaluation.ranking import concordance, rank_correlation


def numbers(seed: int, missing: tuple[int, ...] = ()) -> np.ndarray:
    made = np.random.default_rng(seed).integers(0, 12, N).astype(float)  # few values: many ties
    made[list(missing)] = np.nan
    return made


def test_rank_correlation_is_that_of_scipy_on_copied_groups() -> None:
    first, second = numbers(0, missing=(4, 20)), numbers(1, missing=(7,))
    found = rank_correlation(GroupBootstrap(GROUPS, seed=3, num_resamples=150), first, second)
    kept = ~(np.isnan(first) | np.isnan(second))

    def slow(rows: list[int]) -> float:
        used = [row for row in rows if kept[row]]
        return float(stats.spearmanr(first[used], second[used]).statistic)

    assert found.value == pytest.approx(slow(list(range(N))))
    expected = np.quantile([slow(rows) for rows in slow_resamples(3, 150)], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_concordance_counts_pairs_of_a_bad_and_a_good_sample() -> None:
    scores, is_bad = numbers(2, missing=(0, 9)), np.random.default_rng(5).random(N) < 0.4
    found = concordance(GroupBootstrap(GROUPS, seed=4, num_resamples=150), scores, is_bad)

    def slow(rows: list[int]) -> float:
        bad = [scores[row] for row in rows if is_bad[row] and not np.isnan(scores[row])]
        good = [scores[row] for row in rows if not is_bad[row] and not np.isnan(scores[row])]
        won = [1.0 if one > other else 0.5 if one == other else 0.0 for one in bad for other in good]
        return sum(won) / len(won)

    assert found.value == pytest.approx(slow(list(range(N))))
    expected = np.quantile([slow(rows) for rows in slow_resamples(4, 150)], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_the_ends_of_the_scales() -> None:
    bootstrap, rising = GroupBootstrap(GROUPS, seed=0, num_resamples=50), np.arange(N, dtype=float)
    assert rank_correlation(bootstrap, rising, rising**3).value == pytest.approx(1.0)
    assert rank_correlation(bootstrap, rising, -rising).value == pytest.approx(-1.0)
    assert concordance(bootstrap, rising, rising > 20).value == 1.0
    assert concordance(bootstrap, -rising, rising > 20).value == 0.0
    assert concordance(bootstrap, np.zeros(N), rising > 20).value == 0.5


def test_what_does_not_vary_has_no_order() -> None:
    bootstrap, rising = GroupBootstrap(GROUPS, seed=0, num_resamples=50), np.arange(N, dtype=float)
    nothing = np.full(N, np.nan)
    assert np.isnan(rank_correlation(bootstrap, np.ones(N), rising).value)
    assert np.isnan(rank_correlation(bootstrap, nothing, rising).value)
    assert np.isnan(concordance(bootstrap, rising, np.zeros(N, dtype=bool)).value)
    assert np.isnan(concordance(bootstrap, nothing, rising > 20).value)


def test_doubling_every_frame_leaves_the_interval_as_wide() -> None:
    first, second = numbers(0), numbers(0) + np.random.default_rng(6).normal(0, 3, N)
    once = rank_correlation(GroupBootstrap(GROUPS, seed=2, num_resamples=200), first, second)
    twice = rank_correlation(
        GroupBootstrap([*GROUPS, *GROUPS], seed=2, num_resamples=200), np.tile(first, 2), np.tile(second, 2)
    )
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))


def test_one_group_has_no_interval_and_a_wrong_length_is_refused() -> None:
    alone = rank_correlation(GroupBootstrap(["a"] * 4, seed=0, num_resamples=50), np.arange(4.0), np.arange(4.0))
    assert np.isnan([alone.low, alone.high]).all()
    with pytest.raises(ContractError, match="one value for every sample"):
        rank_correlation(GroupBootstrap(GROUPS, seed=0), np.zeros(3), np.zeros(3))
