"""Do two sets share people, recordings, or frames that look the same? Asked before training and before evaluation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.accepted_labels import AcceptedLabels
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.perceptual_hash import pairs_within, perceptual_hash
from hoiray.datasets.sample import AnnotatedDataset, Sample
from hoiray.errors import ContractError, InputError

DEFAULT_MAX_DISTANCE: Final = 6
"""Bits. A JPEG of quality 50, a resize by half and a change of brightness by 15 % (highlights clipped) stay within
it; unrelated images are 32 bits apart on average, and the nearest of 11,000 random pairs more than 7."""
MAX_EXAMPLES: Final = 5


@dataclass(frozen=True, eq=False)
class SetIdentity:
    """Who and what is in a set, and what it looks like.

    Attributes:
        name: for messages.
        sample_ids: (N,) one a hashed frame.
        subjects, recordings: qualified by the data set's family (`ho3d/ABF`), since every data set has a "subject 1".
        hashes: (N,) perceptual hashes.
        num_flat: frames without enough contrast for a hash.
        num_unreadable: frames that could not be read.
    """

    name: str
    sample_ids: tuple[str, ...]
    subjects: frozenset[str]
    recordings: frozenset[str]
    hashes: NDArray[np.uint64]
    num_flat: int = 0
    num_unreadable: int = 0


@dataclass(frozen=True)
class NearDuplicate:
    """Two frames, one of each set, whose hashes differ in `distance` bits."""

    first_id: str
    second_id: str
    distance: int


@dataclass(frozen=True)
class LeakReport:
    """What two sets have in common; empty means that nothing was found, with what was looked at beside it."""

    first: str
    second: str
    shared_subjects: tuple[str, ...]
    shared_recordings: tuple[str, ...]
    num_near_duplicates: int
    examples: tuple[NearDuplicate, ...]
    num_compared: tuple[int, int]
    num_without_hash: tuple[int, int]

    @property
    def is_clean(self) -> bool:
        """Nothing is shared."""
        return not (self.shared_subjects or self.shared_recordings or self.num_near_duplicates)

    def describe(self) -> str:
        """Say what is shared, with the worst examples, or what was compared without a finding."""
        compared = f"{self.num_compared[0]} frames of {self.first} with {self.num_compared[1]} of {self.second}"
        if self.is_clean:
            return f"no leak found between {self.first} and {self.second} (compared {compared})"
        lines = [f"{self.first} and {self.second} are not independent (compared {compared}):"]
        for kind, shared in (("subjects", self.shared_subjects), ("recordings", self.shared_recordings)):
            if shared:
                more = ", ..." if len(shared) > MAX_EXAMPLES else ""
                lines.append(f"  {len(shared)} shared {kind}: {', '.join(shared[:MAX_EXAMPLES])}{more}")
        if self.num_near_duplicates:
            lines.append(f"  {self.num_near_duplicates} pairs of frames that look the same, the closest:")
            lines += [f"    {pair.first_id} ~ {pair.second_id} ({pair.distance} of 64 bits)" for pair in self.examples]
        return "\n".join(lines)


def identify(dataset: AnnotatedDataset, samples: Iterable[Sample], *, name: str | None = None) -> SetIdentity:
    """Collect subjects, recordings and image hashes of some samples of a data set.

    Args:
        dataset: read for its images.
        samples: those of the set in question; a part of a data set is checked by passing that part.
        name: for messages; default: the data set's name and split.
    """
    family = dataset.name.split("_")[0]
    subjects, recordings = set(), set()

    def pictures() -> Iterator[tuple[str, NDArray[np.uint8] | InputError]]:
        for sample in samples:
            recordings.add(f"{family}/{sample.recording_id}")
            if sample.subject_id is not None:
                subjects.add(f"{family}/{sample.subject_id}")
            try:
                yield sample.sample_id, dataset.image(sample)
            except InputError as error:
                yield sample.sample_id, error

    hashed = _hash_pictures(pictures())
    name = name or f"{dataset.name}/{dataset.split}"
    return hashed.identity(name, frozenset(subjects), frozenset(recordings))


def identify_labels(labels: AcceptedLabels, num_frames: int, *, families: Iterable[str] = ()) -> SetIdentity:
    """Collect what is known of the videos of labels: their names, and what some of their frames look like.

    Nobody knows whose hands they show.

    Args:
        labels: as they are trained on.
        num_frames: at most so many, spread over all, are decoded and hashed.
        families: data sets a video of a plain folder might be of; its name counts as a recording's of each.
    """
    recordings = set()
    for video in labels.videos.values():
        stem = video.video_id.rpartition("/")[2].partition(".")[0]
        owners = families if video.dataset is None else (video.dataset.split("_")[0],)
        recordings |= {f"{owner}/{stem}" for owner in owners}
    entries = spread_indices(len(labels), num_frames)
    hashed = _hash_pictures((str(entry), image) for entry, image in labels.images(entries))
    return hashed.identity(labels.name, frozenset(), frozenset(recordings))


@dataclass
class _Hashed:
    """Hashes of pictures, and counts of those that have none."""

    ids: list[str] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    num_flat: int = 0
    num_unreadable: int = 0

    def identity(self, name: str, subjects: frozenset[str], recordings: frozenset[str]) -> SetIdentity:
        """Put names beside the hashes."""
        hashes = np.array(self.hashes, dtype=np.uint64)
        return SetIdentity(name, tuple(self.ids), subjects, recordings, hashes, self.num_flat, self.num_unreadable)


def _hash_pictures(pictures: Iterable[tuple[str, NDArray[np.uint8] | InputError]]) -> _Hashed:
    found = _Hashed()
    for name, picture in pictures:
        value = None if isinstance(picture, InputError) else perceptual_hash(picture)
        if isinstance(picture, InputError):
            found.num_unreadable += 1
        elif value is None:
            found.num_flat += 1
        else:
            found.ids.append(name)
            found.hashes.append(value)
    return found


def check_leaks(first: SetIdentity, second: SetIdentity, *, max_distance: int = DEFAULT_MAX_DISTANCE) -> LeakReport:
    """Compare two sets.

    Args:
        first: from `identify`.
        second: likewise.
        max_distance: bits by which two hashes may differ and still count as the same picture.
    """
    left, right, distance = pairs_within(first.hashes, second.hashes, max_distance)
    examples = tuple(
        NearDuplicate(first.sample_ids[i], second.sample_ids[j], int(bits))
        for i, j, bits in zip(left[:MAX_EXAMPLES], right[:MAX_EXAMPLES], distance[:MAX_EXAMPLES], strict=True)
    )
    return LeakReport(
        first=first.name,
        second=second.name,
        shared_subjects=tuple(sorted(first.subjects & second.subjects)),
        shared_recordings=tuple(sorted(first.recordings & second.recordings)),
        num_near_duplicates=len(left),
        examples=examples,
        num_compared=(len(first.hashes), len(second.hashes)),
        num_without_hash=(first.num_flat + first.num_unreadable, second.num_flat + second.num_unreadable),
    )


def refuse_leaks(report: LeakReport) -> None:
    """Raise where two sets share anything.

    Raises:
        ContractError: with the report's text.
    """
    if not report.is_clean:
        raise ContractError(report.describe())
