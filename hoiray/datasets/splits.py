"""Splits that cannot leak: whoever and whatever was recorded together stays together.

HO-3D films a recording with five synchronised cameras (ABF10 to ABF14): cut at random, the student is tested on the
very instant it was trained on, seen from half a metre beside. Here samples are first tied into groups, over shared
subjects and shared recordings, and only whole groups are dealt out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hoiray.datasets.sample import Sample
from hoiray.errors import ConfigError, describe


@dataclass(frozen=True)
class SampleKey:
    """What a split needs to know of a sample; `subject_id` is None where the data set does not tell."""

    sample_id: str
    recording_id: str
    subject_id: str | None

    @classmethod
    def of(cls, sample: Sample) -> "SampleKey":
        """Take the key from a sample."""
        return cls(sample.sample_id, sample.recording_id, sample.subject_id)


@dataclass(frozen=True)
class Split:
    """Indices of the samples, by name of the part, in their original order.

    Attributes:
        indices: part to indices.
        achieved: part to the fraction of all samples it got; whole groups rarely meet the wish exactly.
        num_groups: part to the number of independent groups in it, the number that intervals depend on.
    """

    indices: Mapping[str, tuple[int, ...]]
    achieved: Mapping[str, float]
    num_groups: Mapping[str, int]


def split_samples(
    keys: Sequence[SampleKey], fractions: Mapping[str, float], *, seed: int, keep_subjects_together: bool
) -> Split:
    """Deal samples out into parts without cutting a recording or, if asked for, a person.

    Groups are dealt largest first, each to the part that is furthest below its wish, so fractions are met as well as
    whole groups allow. The seed decides among groups of equal size. The order of the samples has no influence on
    which group goes where.

    Args:
        keys: every sample's key.
        fractions: part to wished fraction, positive, summing to 1.
        seed: of the order among equals.
        keep_subjects_together: also keep a person's recordings in one part. With few people the fractions suffer:
            look at `achieved`.

    Raises:
        ConfigError: the fractions are no fractions, or there are fewer groups than parts.
    """
    _check_fractions(fractions)
    groups = group_samples(keys, keep_subjects_together=keep_subjects_together)
    if len(groups) < len(fractions):
        raise ConfigError(
            describe(
                what=f"split into {', '.join(fractions)}",
                expected=f"at least {len(fractions)} independent groups",
                found=f"{len(groups)} (recordings{' tied by their subjects' if keep_subjects_together else ''})",
                fix="Ask for fewer parts, or keep recordings together only.",
            )
        )
    parts = _deal([len(group) for group in groups], fractions, np.random.default_rng(seed))
    indices = {
        part: tuple(
            sorted(index for group, owner in zip(groups, parts, strict=True) if owner == part for index in group)
        )
        for part in fractions
    }
    return Split(
        indices=indices,
        achieved={part: len(chosen) / len(keys) for part, chosen in indices.items()},
        num_groups={part: parts.count(part) for part in fractions},
    )


def group_samples(keys: Sequence[SampleKey], *, keep_subjects_together: bool) -> list[list[int]]:
    """Tie samples into the smallest groups that share no recording (and no subject) with each other.

    Returns:
        Lists of indices, ordered by the groups' smallest recording, so independent of the samples' order.
    """
    parents: dict[str, str] = {}

    def root(node: str) -> str:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for key in keys:
        recording = root(f"recording {key.recording_id}")
        if keep_subjects_together and key.subject_id is not None:
            parents[recording] = root(f"subject {key.subject_id}")
    members: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(root(f"recording {key.recording_id}"), []).append(index)
    return sorted(members.values(), key=lambda group: min(keys[index].recording_id for index in group))


def _check_fractions(fractions: Mapping[str, float]) -> None:
    values = list(fractions.values())
    if not values or min(values) <= 0.0 or abs(sum(values) - 1.0) > 1e-9:
        raise ConfigError(
            describe(
                what="fractions of a split",
                expected="positive numbers that sum to 1",
                found=str(dict(fractions)),
                fix="Correct them.",
            )
        )


def _deal(sizes: Sequence[int], fractions: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    """Return the part of each group."""
    order = sorted(rng.permutation(len(sizes)), key=lambda group: -sizes[group])
    names, wished = list(fractions), np.array(list(fractions.values())) * sum(sizes)
    dealt = np.zeros(len(names))
    parts = [""] * len(sizes)
    for position, group in enumerate(order):
        empty = dealt == 0
        # as many groups left as parts without any: each of these must get one now
        must_fill = int(empty.sum()) >= len(sizes) - position
        lack = np.where(empty | (not must_fill), (wished - dealt) / wished, -np.inf)
        chosen = int(np.argmax(lack))
        dealt[chosen] += sizes[group]
        parts[group] = names[chosen]
    return parts


def keys_of(samples: Iterable[Sample]) -> list[SampleKey]:
    """Take the keys of many samples."""
    return [SampleKey.of(sample) for sample in samples]
