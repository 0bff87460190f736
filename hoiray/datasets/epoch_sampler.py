"""Which samples make up each optimiser step, decided by (seed, epoch) before anybody asks how many workers there are.

The *global* batch of a step is fixed first and then dealt out, so every number of workers trains on the same steps, and
a resumed run goes on exactly where it was: its position is (epoch, step) and nothing else.

Two modes:

* Uniform over the union: one permutation of all samples an epoch. No sample comes twice in an epoch; the `N mod
  batch_size` left over at the end of a permutation are skipped, others in each epoch. Skipping was chosen over filling
  up because a sample repeated to fill the last step would count twice. Where the number of steps is given, so that an
  epoch need not be a pass, permutations are read on from epoch to epoch, as below.
* With shares: every batch holds a fixed number of samples of each source. Each source is an endless row of
  permutations of its own, read on from epoch to epoch, so within a source all samples are seen equally often, plus or
  minus one, however unequal the sources are. The number of the permutation goes with the sample, as the epoch of its
  augmentation: a sample that comes twice in an epoch is shown differently each time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ConfigError, describe

IntArray = NDArray[np.int64]

_SHUFFLE_SALT = 0x5AFE
"""Keeps the shuffling's random numbers apart from the augmentation's, which are keyed by (seed, epoch, index)."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Samples of one step (of all workers, or of one).

    Attributes:
        step: of the epoch, from 0.
        indices: (B,) into the training set.
        epochs: (B,) what each sample's augmentation is drawn for.
    """

    step: int
    indices: IntArray
    epochs: IntArray

    def of_worker(self, rank: int, world_size: int) -> "Draws":
        """Return every `world_size`-th sample, from `rank` on: each worker gets each source's share."""
        return Draws(self.step, self.indices[rank::world_size], self.epochs[rank::world_size])


@dataclass(frozen=True, eq=False)
class EpochSampler:
    """Deterministic batches over one or several sources.

    Attributes:
        source_indices: (N,) which source each sample of the set is of: `TrainingSet.source_indices()`.
        batch_size: samples of one step over all workers together.
        seed: of the shuffling.
        shares: fraction of every batch that each source gives, by source; None for uniform over the union.
        num_steps: steps of an epoch; None for as many as the union fills, `N // batch_size`.
    """

    source_indices: IntArray
    batch_size: int
    seed: int = 0
    shares: Sequence[float] | None = None
    num_steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled.

        Raises:
            ConfigError: the batch is larger than the set, shares do not fit the sources, or an epoch has no step.
        """
        num_samples = len(self.source_indices)
        if self.batch_size < 1 or self.steps_per_epoch < 1:
            self._refuse("batch size", f"at least 1 and at most the {num_samples} samples", str(self.batch_size))
        if self.shares is None:
            return
        if len(self.shares) != self._num_sources or min(self.shares) < 0.0 or abs(sum(self.shares) - 1.0) > 1e-6:
            expected = f"{self._num_sources} fractions that sum to 1, one for each source"
            self._refuse("shares", expected, str(list(self.shares)))
        empty = [source for source in range(self._num_sources) if self.shares[source] > 0 and not len(self._of(source))]
        if empty or min(self.counts_per_batch, default=0) < 0:
            self._refuse("shares", "samples in every source that has one", f"none in source {empty}")

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, the same for every number of workers."""
        return len(self.source_indices) // self.batch_size if self.num_steps is None else self.num_steps

    @property
    def counts_per_batch(self) -> tuple[int, ...]:
        """Samples of each source in every batch: the shares, rounded by largest remainder; () in uniform mode."""
        if self.shares is None:
            return ()
        wished = np.asarray(self.shares, dtype=np.float64) * self.batch_size
        counts = np.floor(wished + 1e-9).astype(np.int64)
        missing = self.batch_size - int(counts.sum())
        counts[np.argsort(-(wished - counts), kind="stable")[:missing]] += 1
        return tuple(counts.tolist())

    def batches(self, epoch: int, first_step: int = 0, *, rank: int = 0, world_size: int = 1) -> Iterator[Draws]:
        """Yield the steps of an epoch.

        Args:
            epoch: from 0.
            first_step: where a resumed run goes on.
            rank: which part of every global batch.
            world_size: number of equal parts.

        Raises:
            ConfigError: the batch cannot be dealt out evenly; uneven parts would weigh samples unequally.
        """
        if not 0 <= rank < world_size or self.batch_size % world_size:
            expected = f"a multiple of the {world_size} workers, so that every sample weighs the same"
            self._refuse("batch size", expected, f"{self.batch_size} (rank {rank})")
        is_one_pass = self.shares is None and self.num_steps is None
        for draws in self._uniform(epoch, first_step) if is_one_pass else self._shared(epoch, first_step):
            yield draws.of_worker(rank, world_size)

    def _uniform(self, epoch: int, first_step: int) -> Iterator[Draws]:
        order = _permutation(self.seed, epoch, 0, len(self.source_indices))
        for step in range(first_step, self.steps_per_epoch):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield Draws(step, chosen, np.full(len(chosen), epoch, dtype=np.int64))

    def _shared(self, epoch: int, first_step: int) -> Iterator[Draws]:
        if self.shares is None:
            everything = np.arange(len(self.source_indices), dtype=np.int64)
            rows, counts = [_EndlessRow(self.seed, 0, everything)], [self.batch_size]
        else:
            rows = [_EndlessRow(self.seed, source, self._of(source)) for source in range(self._num_sources)]
            counts = list(self.counts_per_batch)
        for step in range(first_step, self.steps_per_epoch):
            position = epoch * self.steps_per_epoch + step
            parts = [row.take(position * count, count) for row, count in zip(rows, counts, strict=True) if count]
            indices, passes = (np.concatenate(column) for column in zip(*parts, strict=True))
            yield Draws(step, indices, passes)

    @property
    def _num_sources(self) -> int:
        return max(int(self.source_indices.max(initial=-1)) + 1, 0 if self.shares is None else len(self.shares))

    def _of(self, source: int) -> IntArray:
        return np.flatnonzero(self.source_indices == source).astype(np.int64)

    def _refuse(self, what: str, expected: str, found: str) -> None:
        fix = "Change it in the training configuration."
        raise ConfigError(describe(what=what, expected=expected, found=found, fix=fix))


class _EndlessRow:
    """One source's permutations, one after the other; the latest are kept."""

    def __init__(self, seed: int, source: int, members: IntArray) -> None:
        self._seed, self._source, self._members = seed, source, members
        self._kept: dict[int, IntArray] = {}

    def take(self, first: int, count: int) -> tuple[IntArray, IntArray]:
        """Return the samples at positions first to first + count, and the number of the permutation of each."""
        passes, places = np.divmod(np.arange(first, first + count, dtype=np.int64), len(self._members))
        indices = np.empty(count, dtype=np.int64)
        for number in np.unique(passes).tolist():
            is_of = passes == number
            indices[is_of] = self._members[self._order(number)[places[is_of]]]
        return indices, passes

    def _order(self, number: int) -> IntArray:
        if number not in self._kept:
            self._kept = {key: value for key, value in self._kept.items() if key >= number - 1}
            self._kept[number] = _permutation(self._seed, number, self._source, len(self._members))
        return self._kept[number]


def _permutation(seed: int, number: int, source: int, length: int) -> IntArray:
    rng = np.random.default_rng((seed, number, source, _SHUFFLE_SALT))
    return rng.permutation(length).astype(np.int64)


def batches_in_order(num_samples: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> Iterator[IntArray]:
    """Yield indices for an evaluation: every sample once over all workers, the last batch as short as it is.

    Args:
        num_samples: of the set.
        batch_size: of one worker.
        rank: this worker's first sample.
        world_size: it takes every so many-th sample from there on.
    """
    mine = np.arange(rank, num_samples, world_size, dtype=np.int64)
    for start in range(0, len(mine), batch_size):
        yield mine[start : start + batch_size]
