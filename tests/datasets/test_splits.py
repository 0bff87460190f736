import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.datasets.sample import Sample
from hoiray.datasets.splits import SampleKey, group_samples, keys_of, split_samples
from hoiray.errors import ConfigError

HALVES = {"train": 0.5, "test": 0.5}


def _keys(*rows: tuple[str, str | None, int]) -> list[SampleKey]:
    """Recording, subject, number of samples."""
    return [SampleKey(f"{rec}/{i}", rec, subject) for rec, subject, count in rows for i in range(count)]


def test_sister_cameras_of_a_recording_are_never_cut() -> None:
    keys = _keys(*((f"rec{i}", None, 7) for i in range(10)))
    split = split_samples(keys, {"train": 0.7, "val": 0.1, "test": 0.2}, seed=0, keep_subjects_together=False)
    where = {part: {keys[i].recording_id for i in indices} for part, indices in split.indices.items()}
    assert not where["train"] & where["test"]
    assert not where["train"] & where["val"]
    assert split.achieved == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2})
    assert split.num_groups == {"train": 7, "val": 1, "test": 2}


def test_subjects_tie_recordings_together_even_through_a_third() -> None:
    # rec0 and rec1 share Ann; rec1 and rec2 share Bob: all three are one group
    keys = [*_keys(("rec0", "Ann", 2), ("rec1", "Ann", 1), ("rec1", "Bob", 1), ("rec2", "Bob", 2), ("rec3", None, 3))]
    assert group_samples(keys, keep_subjects_together=True) == [[0, 1, 2, 3, 4, 5], [6, 7, 8]]
    assert len(group_samples(keys, keep_subjects_together=False)) == 4


def test_every_sample_lands_in_exactly_one_part() -> None:
    keys = _keys(*((f"rec{i}", f"subject{i % 4}", 1 + i % 5) for i in range(40)))
    split = split_samples(keys, HALVES, seed=3, keep_subjects_together=True)
    assert sorted(i for part in split.indices.values() for i in part) == list(range(len(keys)))


def test_the_samples_order_does_not_matter_and_the_seed_does() -> None:
    keys = _keys(*((f"rec{i}", None, 3) for i in range(20)))
    order = np.random.default_rng(0).permutation(len(keys))

    def parts(rows: list[SampleKey], seed: int) -> dict[str, set[str]]:
        split = split_samples(rows, HALVES, seed=seed, keep_subjects_together=False)
        return {part: {rows[i].sample_id for i in indices} for part, indices in split.indices.items()}

    assert parts(keys, 1) == parts([keys[i] for i in order], 1)
    assert parts(keys, 1) != parts(keys, 2)


@given(st.lists(st.integers(1, 30), min_size=3, max_size=30), st.integers(0, 5))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_part_is_empty_and_none_is_off_by_more_than_the_largest_group(sizes: list[int], seed: int) -> None:
    keys = _keys(*((f"rec{i:02}", None, size) for i, size in enumerate(sizes)))
    fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
    split = split_samples(keys, fractions, seed=seed, keep_subjects_together=False)
    for part, fraction in fractions.items():
        assert split.indices[part]
        assert abs(len(split.indices[part]) - fraction * len(keys)) <= max(sizes)


def test_too_few_groups_are_refused_with_their_number() -> None:
    keys = _keys(("rec0", "Ann", 5), ("rec1", "Ann", 5))
    with pytest.raises(ConfigError, match=r"at least 2 independent groups, found 1 \(recordings tied"):
        split_samples(keys, HALVES, seed=0, keep_subjects_together=True)


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": 0.0, "b": 1.0}])
def test_fractions_that_are_none_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        split_samples(_keys(("r", None, 4)), fractions, seed=0, keep_subjects_together=False)


def test_keys_come_from_samples() -> None:
    sample = Sample("a/1", "a", "Ann", "0", 1, "a/1.png", None)
    assert keys_of([sample]) == [SampleKey("a/1", "a", "Ann")]
