"""Going through a data set to its end, whatever single files are like."""

from collections.abc import Iterable, Iterator
from typing import Final

from hoiray.datasets.annotation_checks import sample_problem
from hoiray.datasets.sample import AnnotatedDataset, DeadLetter, Sample
from hoiray.errors import InputError, describe

ANNOTATION_STAGE: Final = "read annotation"
PLAUSIBILITY_STAGE: Final = "check annotation"


def iterate(
    dataset: AnnotatedDataset, indices: Iterable[int] | None = None, *, only_plausible: bool = True
) -> Iterator[Sample | DeadLetter]:
    """Read every sample's annotation; one that cannot be read or be true becomes a dead letter in its place.

    Args:
        dataset: an opened data set.
        indices: which samples, in which order; None for all.
        only_plausible: False keeps samples that no hand or object can have, for checks of a whole set, which name its
            error better than any one sample can.

    Yields:
        One entry per index. The dead letter's reason names the file, what was expected and what was found.
    """
    for index in range(len(dataset)) if indices is None else indices:
        key = f"{dataset.name}/{dataset.split}/{index}"
        try:
            sample = dataset.sample(index)
        except InputError as error:
            yield DeadLetter(key=key, stage=ANNOTATION_STAGE, reason=str(error))
            continue
        problem = sample_problem(sample) if only_plausible else None
        if problem is None:
            yield sample
            continue
        reason = describe(
            what=f"sample {sample.sample_id} ({sample.image_key}), {problem.subject}",
            expected=problem.expected,
            found=f"{problem.measured}: looks like {problem.looks_like}",
            fix="Restore this sample's annotation or leave it out.",
        )
        yield DeadLetter(key=key, stage=PLAUSIBILITY_STAGE, reason=reason)


def spread_indices(length: int, count: int) -> list[int]:
    """Return at most `count` indices spread evenly over `range(length)`, first and last included."""
    if length <= count:
        return list(range(length))
    return sorted({round(step * (length - 1) / (count - 1)) for step in range(count)}) if count > 1 else [0]
