"""Which samples a network is trained on, and which are held out: decided once, before any worker starts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hoiray.config.what import AnnotatedSet, Training, TrainRun
from hoiray.config.where import TrainWorkers
from hoiray.datasets.iterate import iterate, spread_indices
from hoiray.datasets.label_run import LabelRun
from hoiray.datasets.leaks import check_leaks, identify, identify_labels, refuse_leaks
from hoiray.datasets.open import open_dataset
from hoiray.datasets.sample import AnnotatedDataset, Sample
from hoiray.datasets.splits import SampleKey, split_samples
from hoiray.errors import ConfigError, describe
from hoiray.hand.load import HandArrays
from hoiray.training.label_plan import LabelPlan, open_labels, plan_labels

MAX_COMPARED_FRAMES: Final = 400
"""Frames of each side that are compared by what they look like; people and recordings are compared for all."""

MAX_COMPARED_LABELS: Final = 64
"""Frames of labelled videos that are compared by what they look like: each has to be decoded."""

FORMATS: Final[Mapping[str, str]] = {"ho3d_v2": "ho3d", "ho3d_v3": "ho3d"}
"""Names of formats in a configuration that the opening of data sets knows by another name."""


@dataclass(frozen=True)
class PlannedSet:
    """One annotated set, and how its samples are dealt out.

    Attributes:
        annotated: where it lies and what it is.
        train, validation: indices of its samples.
    """

    annotated: AnnotatedSet
    train: tuple[int, ...]
    validation: tuple[int, ...]


@dataclass(frozen=True)
class DataPlan:
    """What is trained on and what is held out.

    Attributes:
        sets: in the order of the configuration.
        num_groups: independent groups (people, or recordings where people are not known) in each part.
        is_by_subject: whether every set tells its people.
        labels: what is trained on beside the annotated sets, if anything.
    """

    sets: tuple[PlannedSet, ...]
    num_groups: Mapping[str, int]
    is_by_subject: bool
    labels: LabelPlan | None = None

    @property
    def num_train(self) -> int:
        """Samples trained on."""
        return sum(len(planned.train) for planned in self.sets)

    @property
    def num_validation(self) -> int:
        """Samples held out."""
        return sum(len(planned.validation) for planned in self.sets)


def open_annotated(annotated: AnnotatedSet, hand: HandArrays) -> AnnotatedDataset:
    """Open a configured data set.

    Raises:
        ConfigError: it is of another format than configured.
        ContractError: it cannot be what it should be.
    """
    name = FORMATS.get(annotated.format, annotated.format)
    dataset = open_dataset(annotated.uri, name, annotated.split, hand)
    if dataset.name != annotated.format:
        fix = "Correct the format in the configuration."
        what = f"data set {annotated.uri}"
        raise ConfigError(describe(what=what, expected=annotated.format, found=dataset.name, fix=fix))
    return dataset


def plan_training(run: TrainRun, hand: HandArrays, labels: LabelRun | None = None) -> DataPlan:
    """Decide on all data of a training: annotated sets, what is held out of them, and labels.

    Args:
        run: what is trained.
        hand: the model the annotations were made with.
        labels: what `run.training.labels_uri` names, opened; None where it names nothing.

    Raises:
        ConfigError, ContractError: see :func:`plan_data` and :func:`hoiray.training.label_plan.plan_labels`.
    """
    return plan_data(run.training, hand, seed=run.seed, labels=plan_labels(run, labels, hand))


def plan_data(training: Training, hand: HandArrays, *, seed: int, labels: LabelPlan | None = None) -> DataPlan:
    """Hold annotated samples out such that nobody and nothing is on both sides, over all sets together.

    Args:
        training: sets, and the fraction to hold out.
        hand: the model the labels were made with.
        seed: of the deal.
        labels: what is trained on beside.

    Raises:
        ConfigError: there are too few people or recordings to hold any out.
        ContractError: the two sides share people, recordings, or pictures that look the same.
    """
    configured = (training.annotated, *training.also_annotated)
    datasets = [open_annotated(annotated, hand) for annotated in configured]
    places, keys = _keys_of(datasets)
    fraction = training.validation_fraction
    if not fraction:
        everything = _dealt(configured, places, range(len(places)), ())
        return DataPlan(everything, {}, is_by_subject=False, labels=labels)
    wished = {"train": 1.0 - fraction, "validation": fraction}
    try:
        split = split_samples(keys, wished, seed=seed, keep_subjects_together=True)
    except ConfigError as error:
        fix = "Add data, or set training.validation_fraction to 0 and score by hoiray evaluate."
        raise ConfigError(f"{error} {fix}") from error
    sets = _dealt(configured, places, split.indices["train"], split.indices["validation"])
    for dataset, planned in zip(datasets, sets, strict=True):
        _refuse_shared(dataset, planned)
    if labels is not None:
        _refuse_shared_with_labels(datasets, sets, labels, hand)
    is_by_subject = all(key.subject_id is not None for key in keys)
    return DataPlan(sets, dict(split.num_groups), is_by_subject, labels)


def _keys_of(datasets: Sequence[AnnotatedDataset]) -> tuple[list[tuple[int, int]], list[SampleKey]]:
    """List (set, index) and key of every readable sample; names are told apart by the family of their data set."""
    places, keys = [], []
    for number, dataset in enumerate(datasets):
        family = dataset.name.split("_")[0]
        for index, sample in enumerate(iterate(dataset)):
            if isinstance(sample, Sample):
                subject = None if sample.subject_id is None else f"{family}/{sample.subject_id}"
                places.append((number, index))
                keys.append(SampleKey(sample.sample_id, f"{family}/{sample.recording_id}", subject))
    return places, keys


def _dealt(
    configured: Sequence[AnnotatedSet],
    places: Sequence[tuple[int, int]],
    train: Sequence[int],
    validation: Sequence[int],
) -> tuple[PlannedSet, ...]:
    def of(number: int, chosen: Sequence[int]) -> tuple[int, ...]:
        return tuple(index for owner, index in (places[position] for position in chosen) if owner == number)

    return tuple(
        PlannedSet(annotated, of(number, train), of(number, validation)) for number, annotated in enumerate(configured)
    )


def _refuse_shared(dataset: AnnotatedDataset, planned: PlannedSet) -> None:
    """Refuse a set whose two parts have people, recordings, or pictures in common.

    Raises:
        ContractError: with what they share.
    """
    if not planned.train or not planned.validation:
        return
    sides = [
        identify(dataset, _spread_samples(dataset, indices), name=f"{dataset.name} ({part})")
        for part, indices in (("training", planned.train), ("validation", planned.validation))
    ]
    refuse_leaks(check_leaks(*sides))


def _refuse_shared_with_labels(
    datasets: Sequence[AnnotatedDataset], sets: Sequence[PlannedSet], labels: LabelPlan, hand: HandArrays
) -> None:
    """Refuse labels of videos that are held out: recordings of their name, or frames that look the same.

    Raises:
        ContractError: with what they share.
    """
    families = {dataset.name.split("_")[0] for dataset in datasets}
    trained_on = identify_labels(open_labels(labels, hand, TrainWorkers()), MAX_COMPARED_LABELS, families=families)
    for dataset, planned in zip(datasets, sets, strict=True):
        if planned.validation:
            samples = _spread_samples(dataset, planned.validation)
            refuse_leaks(check_leaks(trained_on, identify(dataset, samples, name=f"{dataset.name} (validation)")))


def _spread_samples(dataset: AnnotatedDataset, indices: Sequence[int]) -> Iterator[Sample]:
    chosen = [indices[position] for position in spread_indices(len(indices), MAX_COMPARED_FRAMES)]
    return (sample for sample in iterate(dataset, chosen) if isinstance(sample, Sample))
