"""Intervals against a slow oracle that copies whole groups of rows."""

import numpy as np
import pytest
from group_resamples import GROUPS, N, slow_resamples

from hoiray.errors import ContractError
from hoiray.evaluation.bootstrap import GroupBootstrap


def values(seed: int, missing: tuple[int, ...] = ()) -> np.ndarray:
    rng = np.random.default_rng(seed)
    of_group = {name: rng.normal(0, 2) for name in dict.fromkeys(GROUPS)}
    made = np.array([of_group[name] for name in GROUPS]) + rng.normal(0, 0.1, N) + 5
    made[list(missing)] = np.nan
    return made


def quantiles(statistics: list[float]) -> tuple[float, float]:
    finite = sorted(value for value in statistics if np.isfinite(value))
    return float(np.quantile(finite, 0.025)), float(np.quantile(finite, 0.975))


def nan_mean(sequence: list[float]) -> float:
    kept = [value for value in sequence if not np.isnan(value)]
    return sum(kept) / len(kept) if kept else float("nan")


def test_the_interval_of_a_mean_is_that_of_copied_groups() -> None:
    data = values(1, missing=(0, 14, 20))
    found = GroupBootstrap(GROUPS, seed=4, num_resamples=300).mean(data)
    slow = [nan_mean([data[row] for row in rows]) for rows in slow_resamples(4, 300)]
    assert found.value == pytest.approx(np.nanmean(data))
    assert (found.low, found.high) == pytest.approx(quantiles(slow))


def test_the_mean_over_objects_weighs_each_object_alike_in_every_resample() -> None:
    data = values(2, missing=(3,))
    objects = ["can" if row % 5 else "bottle" for row in range(N)]
    found = GroupBootstrap(GROUPS, seed=5, num_resamples=200).mean_of_means(data, objects)

    def statistic(rows: list[int]) -> float:
        means = [nan_mean([data[row] for row in rows if objects[row] == name]) for name in ("can", "bottle")]
        return nan_mean(means)

    assert found.value == pytest.approx(statistic(list(range(N))))
    assert (found.low, found.high) == pytest.approx(quantiles([statistic(r) for r in slow_resamples(5, 200)]))


def test_a_paired_difference_uses_one_draw_for_both_and_only_samples_of_both() -> None:
    first, second = values(1, missing=(0,)), values(1, missing=(5,)) + 1.0
    bootstrap = GroupBootstrap(GROUPS, seed=0, num_resamples=500)
    found = bootstrap.paired_difference(first, second)
    # each alone varies by metres between recordings, their difference not at all
    assert found.low == pytest.approx(-1.0)
    assert found.high == pytest.approx(-1.0)
    assert found.excludes_zero()
    alone = bootstrap.mean(first)
    assert alone.high - alone.low > 0.5


def test_the_share_by_which_one_mean_is_smaller_comes_from_the_sums() -> None:
    first, second = values(3, missing=(2,)), values(4)
    found = GroupBootstrap(GROUPS, seed=1, num_resamples=200).relative_difference(first, second)
    kept = [row for row in range(N) if row != 2]

    def statistic(rows: list[int]) -> float:
        rows = [row for row in rows if row in kept]
        return 1 - sum(first[row] for row in rows) / sum(second[row] for row in rows)

    assert found.value == pytest.approx(statistic(list(range(N))))
    assert (found.low, found.high) == pytest.approx(quantiles([statistic(r) for r in slow_resamples(1, 200)]))


def test_doubling_every_frame_leaves_the_interval_as_wide() -> None:
    """Frames are no evidence of their own: copying them must not narrow anything."""
    data = values(6)
    once = GroupBootstrap(GROUPS, seed=2, num_resamples=400).mean(data)
    twice = GroupBootstrap([*GROUPS, *GROUPS], seed=2, num_resamples=400).mean(np.concatenate([data, data]))
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))


def test_the_order_of_the_samples_changes_nothing() -> None:
    data, order = values(7), np.random.default_rng(0).permutation(N)
    there = GroupBootstrap(GROUPS, seed=3, num_resamples=100).mean(data)
    back = GroupBootstrap([GROUPS[i] for i in order], seed=3, num_resamples=100).mean(data[order])
    assert (back.value, back.low, back.high) == pytest.approx((there.value, there.low, there.high))


def test_one_group_has_a_mean_and_no_interval() -> None:
    found = GroupBootstrap(["a"] * 4, seed=0, num_resamples=50).mean(np.array([1.0, 2.0, 3.0, np.nan]))
    assert found.value == 2.0
    assert np.isnan([found.low, found.high]).all()
    assert not found.excludes_zero()


def test_a_group_without_any_value_does_not_count_as_one() -> None:
    found = GroupBootstrap(["a", "a", "b"], seed=0, num_resamples=50).mean(np.array([1.0, 3.0, np.nan]))
    assert found.value == 2.0
    assert np.isnan(found.low)


def test_nothing_measured_has_no_mean() -> None:
    bootstrap = GroupBootstrap(["a", "b"], seed=0, num_resamples=50)
    assert np.isnan(bootstrap.mean(np.full(2, np.nan)).value)
    assert np.isnan(bootstrap.mean_of_means(np.full(2, np.nan), ["x", "y"]).value)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((N, 1))])
def test_one_value_per_sample_is_demanded(wrong: np.ndarray) -> None:
    with pytest.raises(ContractError, match="one value for every sample"):
        GroupBootstrap(GROUPS, seed=0).mean(wrong)
    with pytest.raises(ContractError, match="categories"):
        GroupBootstrap(GROUPS, seed=0).mean_of_means(values(0), ["x"])


def test_a_ratio_of_means_compares_two_parts_of_a_set() -> None:
    second = values(4)
    is_first = np.arange(N) % 2 == 0
    first_part, second_part = np.where(is_first, 3.0 * second, np.nan), np.where(is_first, np.nan, second)
    found = GroupBootstrap(GROUPS, seed=1, num_resamples=200).ratio_of_means(first_part, second_part)
    assert found.value == pytest.approx(np.nanmean(first_part) / np.nanmean(second_part))
    assert found.low <= found.value <= found.high


def test_a_ratio_to_a_part_of_one_group_has_no_interval() -> None:
    is_alone = np.array(GROUPS) == GROUPS[0]
    ones = np.ones(N)
    found = GroupBootstrap(GROUPS, seed=1, num_resamples=50).ratio_of_means(ones, np.where(is_alone, ones, np.nan))
    assert found.value == pytest.approx(1.0)
    assert np.isnan(found.low)


def test_a_difference_of_means_compares_two_parts_of_a_set() -> None:
    is_first = np.arange(N) % 2 == 0
    first, second = np.where(is_first, values(4) + 5.0, np.nan), np.where(is_first, np.nan, values(4))
    found = GroupBootstrap(GROUPS, seed=1, num_resamples=200).difference_of_means(first, second)
    assert found.value == pytest.approx(np.nanmean(first) - np.nanmean(second))
    assert found.low <= found.value <= found.high
    assert found.excludes_zero()


def test_statistics_of_weights_that_are_means_have_the_means_intervals() -> None:
    bootstrap = GroupBootstrap(GROUPS, seed=1, num_resamples=200)
    both = np.stack([values(2), values(3)])
    for found, one in zip(bootstrap.of_weights(lambda weights: both @ weights / weights.sum(), 200), both, strict=True):
        wanted = bootstrap.mean(one)
        assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))
