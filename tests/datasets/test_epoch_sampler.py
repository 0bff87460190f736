import numpy as np
import pytest

from hoiray.datasets.epoch_sampler import Draws, EpochSampler, batches_in_order
from hoiray.errors import ConfigError

ONE = np.zeros(50, dtype=np.int64)
TWO = np.array([0] * 30 + [1] * 7, dtype=np.int64)


def drawn(sampler: EpochSampler, epoch: int, first_step: int = 0, **world: int) -> list[Draws]:
    return list(sampler.batches(epoch, first_step, **world))


def all_indices(draws: list[Draws]) -> np.ndarray:
    return np.concatenate([one.indices for one in draws])


def test_no_sample_comes_twice_in_an_epoch_and_the_rest_changes() -> None:
    sampler = EpochSampler(ONE, batch_size=8)
    left_out = []
    for epoch in range(20):
        indices = all_indices(drawn(sampler, epoch))
        assert len(indices) == len(set(indices)) == 48
        left_out.append(frozenset(set(range(50)) - set(indices)))
    assert len(set(left_out)) > 10


def test_epochs_are_shuffled_differently_and_repeatably() -> None:
    sampler = EpochSampler(ONE, batch_size=8, seed=5)
    first = all_indices(drawn(sampler, 0))
    np.testing.assert_array_equal(first, all_indices(drawn(EpochSampler(ONE, batch_size=8, seed=5), 0)))
    assert not np.array_equal(first, all_indices(drawn(sampler, 1)))
    assert not np.array_equal(first, all_indices(drawn(EpochSampler(ONE, batch_size=8, seed=6), 0)))


@pytest.mark.parametrize("shares", [None, [0.5, 0.5]])
def test_every_number_of_workers_sees_the_same_steps(shares: list[float] | None) -> None:
    sampler = EpochSampler(TWO, batch_size=12, shares=shares)
    alone = drawn(sampler, 3)
    for world_size in (2, 3, 4):
        parts = [drawn(sampler, 3, rank=rank, world_size=world_size) for rank in range(world_size)]
        for step, whole in enumerate(alone):
            assert {len(part[step].indices) for part in parts} == {12 // world_size}
            dealt = np.concatenate([np.stack([part[step].indices, part[step].epochs], axis=1) for part in parts])
            whole_pairs = np.stack([whole.indices, whole.epochs], axis=1)
            assert sorted(map(tuple, dealt.tolist())) == sorted(map(tuple, whole_pairs.tolist()))


@pytest.mark.parametrize("shares", [None, [0.25, 0.75]])
def test_a_resumed_epoch_goes_on_where_it_was(shares: list[float] | None) -> None:
    sampler = EpochSampler(TWO, batch_size=4, shares=shares)
    whole, resumed = drawn(sampler, 2), drawn(sampler, 2, first_step=5)
    assert [one.step for one in resumed] == list(range(5, sampler.steps_per_epoch))
    for one, other in zip(whole[5:], resumed, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.epochs, other.epochs)


def test_shares_hold_in_every_batch_and_within_a_source_all_come_equally_often() -> None:
    sampler = EpochSampler(TWO, batch_size=6, shares=[1 / 3, 2 / 3])
    assert sampler.counts_per_batch == (2, 4)
    seen = np.zeros(len(TWO), dtype=int)
    for epoch in range(7):
        for draws in drawn(sampler, epoch):
            np.testing.assert_array_equal(np.bincount(TWO[draws.indices]), [2, 4])
            np.add.at(seen, draws.indices, 1)
    for source in (0, 1):
        counts = seen[source == TWO]
        assert counts.max() - counts.min() <= 1


def test_a_sample_that_comes_again_is_augmented_differently() -> None:
    sampler = EpochSampler(TWO, batch_size=6, shares=[0.0, 1.0])
    pairs = [pair for one in drawn(sampler, 0) for pair in zip(one.indices.tolist(), one.epochs.tolist(), strict=True)]
    assert len(pairs) == len(set(pairs)) == 36
    assert {index for index, _ in pairs} == set(range(30, 37))


def test_counts_are_rounded_by_largest_remainder() -> None:
    three = np.repeat([0, 1, 2], 20)
    assert EpochSampler(three, batch_size=10, shares=[0.5, 0.25, 0.25]).counts_per_batch in {(5, 3, 2), (5, 2, 3)}
    assert EpochSampler(three, batch_size=7, shares=[0.9, 0.1, 0.0]).counts_per_batch == (6, 1, 0)


@pytest.mark.parametrize("num_steps", [2, 20])
def test_steps_of_an_epoch_may_be_fixed_whatever_the_size_of_the_union(num_steps: int) -> None:
    sampler = EpochSampler(ONE, batch_size=8, num_steps=num_steps)
    draws = [one for epoch in range(25) for one in drawn(sampler, epoch)]
    assert len(draws) == 25 * num_steps
    counts = np.bincount(all_indices(draws))
    # every sample is seen equally often, though an epoch is more than a pass or less
    assert counts.max() - counts.min() <= 1
    pairs = {pair for one in draws for pair in zip(one.indices.tolist(), one.epochs.tolist(), strict=True)}
    assert len(pairs) == 25 * num_steps * 8
    np.testing.assert_array_equal(drawn(sampler, 3, first_step=1)[0].indices, drawn(sampler, 3)[1].indices)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"batch_size": 51}, "batch size"),
        ({"batch_size": 0}, "batch size"),
        ({"batch_size": 8, "shares": [0.5, 0.4]}, "shares"),
        ({"batch_size": 8, "shares": [0.5, 0.5]}, "shares"),
    ],
)
def test_what_cannot_be_sampled_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        EpochSampler(ONE, **options)  # type: ignore[arg-type]  # a test


def test_a_batch_that_cannot_be_dealt_out_evenly_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of the 3 workers"):
        drawn(EpochSampler(ONE, batch_size=8), 0, rank=0, world_size=3)


def test_an_evaluation_takes_every_sample_once() -> None:
    for world_size in (1, 2, 3):
        parts = [list(batches_in_order(11, 4, rank=rank, world_size=world_size)) for rank in range(world_size)]
        assert sorted(np.concatenate([batch for part in parts for batch in part]).tolist()) == list(range(11))
