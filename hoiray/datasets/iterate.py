"""Going through a data set to its end, whatever single files are like."""

from collections.abc import Iterable, Iterator
from typing import Final

from hoiray.datasets.sample import AnnotatedDataset, DeadLetter, Sample
from hoiray.errors import InputError

ANNOTATION_STAGE: Final = "read annotation"


def iterate(dataset: AnnotatedDataset, indices: Iterable[int] | None = None) -> Iterator[Sample | DeadLetter]:
    """Read every sample's annotation; one that cannot be read becomes a dead letter in its place.

    Args:
        dataset: an opened data set.
        indices: which samples, in which order; None for all.

    Yields:
        One entry per index. The dead letter's reason names the file, what was expected and what was found.
    """
    for index in range(len(dataset)) if indices is None else indices:
        try:
            yield dataset.sample(index)
        except InputError as error:
            yield DeadLetter(key=f"{dataset.name}/{dataset.split}/{index}", stage=ANNOTATION_STAGE, reason=str(error))


def spread_indices(length: int, count: int) -> list[int]:
    """Return at most `count` indices spread evenly over `range(length)`, first and last included."""
    if length <= count:
        return list(range(length))
    return sorted({round(step * (length - 1) / (count - 1)) for step in range(count)}) if count > 1 else [0]
