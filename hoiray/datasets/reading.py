"""Reading every file of a data set once, so that a damaged one is known before a training run meets it."""

from collections.abc import Iterable, Iterator
from typing import Any

from hoiray.datasets.sample import AnnotatedDataset, DeadLetter, Sample
from hoiray.errors import InputError


def read_through(dataset: AnnotatedDataset, entries: Iterable[Sample | DeadLetter]) -> Iterator[Sample | DeadLetter]:
    """Read what belongs to each sample: image, masks, depth where the data set has it, object models.

    Args:
        dataset: an opened data set.
        entries: as `hoiray.datasets.iterate.iterate` yields them.

    Yields:
        Each entry, or the dead letter it turned into; the reason names the file. An object model that cannot be read
        is told once, as a dead letter of its own beside the sample.
    """
    known_models: set[str] = set()
    for entry in entries:
        if isinstance(entry, DeadLetter):
            yield entry
            continue
        for item in entry.objects:
            if item.name not in known_models:
                known_models.add(item.name)
                yield from _try("read object model", item.name, dataset.object_model, item.name)
        yield next(_read_files(dataset, entry), entry)


def _read_files(dataset: AnnotatedDataset, sample: Sample) -> Iterator[DeadLetter]:
    yield from _try("read image", sample.sample_id, dataset.image, sample)
    yield from _try("read masks", sample.sample_id, dataset.masks, sample)
    for reader in ("depth_m", "depth_view"):  # HO-3D, DexYCB; FPHA: the protocol does not ask for them
        depth = getattr(dataset, reader, None)
        if depth is not None:
            yield from _try("read depth", sample.sample_id, depth, sample)


def _try(stage: str, key: str, read: Any, argument: object) -> Iterator[DeadLetter]:  # noqa: ANN401 - any of the readers
    try:
        read(argument)
    except InputError as error:
        yield DeadLetter(key=key, stage=stage, reason=str(error))
