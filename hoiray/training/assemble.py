"""From a configuration to one worker's part of a training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from pydantic import JsonValue
from torch import nn

import hoiray
from hoiray.config.fingerprint import fingerprint
from hoiray.config.what import Optimiser, Training, TrainRun
from hoiray.config.where import TrainWorkers
from hoiray.datasets.batch_loader import BatchLoader
from hoiray.datasets.crop_cache import CacheOptions
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.epoch_sampler import EpochSampler
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.training_set import TrainingSet
from hoiray.errors import ConfigError, describe
from hoiray.hand.load import HandArrays, load_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.models.batch import Batch
from hoiray.models.checkpoint import hand_digest, write_checkpoint
from hoiray.models.losses import TrainedNetwork
from hoiray.models.network import HandObjectNetwork
from hoiray.predictors.load import CROP_NOTE, crop_note, network_crops
from hoiray.training.average import WeightAverage
from hoiray.training.data_plan import DataPlan, open_annotated
from hoiray.training.history import last_scores
from hoiray.training.job import Prepared
from hoiray.training.loop import LoopSettings
from hoiray.training.precision import Precision
from hoiray.training.schedule import Schedule
from hoiray.training.scoring import Scorer
from hoiray.training.state import TrainState
from hoiray.training.world import World

MODEL_FILE: Final = "model.safetensors"
"""The trained network below a training's output."""

OnPart = Callable[[int, int], None]
"""Told parts done and parts in all while crops are cut."""


@dataclass(frozen=True)
class LoadedBatches:
    """A loader as the loop wants it."""

    loader: BatchLoader

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch, the same on every worker."""
        return self.loader.sampler.steps_per_epoch

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        """The batches of an epoch from a step on."""
        return self.loader.epoch(epoch, first_step)


def prepare(world: World, *, run: TrainRun, plan: DataPlan, workers: TrainWorkers, cache: str) -> Prepared:
    """Build one worker's part.

    Args:
        world: this worker among the others.
        run: what is trained, with absolute locations: workers have other working directories.
        plan: which samples; see :func:`hoiray.training.data_plan.plan_data`.
        workers: threads, and how often what.
        cache: folder of the cut crops; built by whoever comes first.

    Raises:
        ConfigError: the workers do not fit the batch, or half precision was asked for on a CPU.
        ContractError: the data are not what they should be.
    """
    import cv2

    # its own threads only get in the way of the loader's
    cv2.setNumThreads(1)
    training = run.training
    require_divisible_batch(training, world.size)
    arrays = load_hand_arrays(run.hand.model_uri)
    train, held_out = open_sets(run, plan, arrays, cache)
    sampler = EpochSampler(train.source_indices(), batch_size=training.batch_size, seed=run.seed)
    loader_of = partial(
        BatchLoader,
        sampler=sampler,
        rank=world.rank,
        world_size=world.size,
        num_threads=workers.loader_threads,
        pin_memory=world.device.type == "cuda",
    )
    precision = Precision.choose(training.precision, world.device)
    validate: Callable[[nn.Module], Mapping[str, float]] = _no_scores
    if held_out is not None:
        validate = Scorer(loader_of(held_out), train, training.batch_size, world, precision)
    identity = identity_of(run, train, held_out, arrays)
    return Prepared(
        state=make_state(run, precision, world.device),
        data=LoadedBatches(loader_of(train)),
        settings=loop_settings(training, workers, sampler.steps_per_epoch, precision),
        validate=validate,
        publish=partial(publish_network, run, identity=identity),
        identity=identity,
    )


def loop_settings(
    training: Training, workers: TrainWorkers, steps_per_epoch: int, precision: Precision
) -> LoopSettings:
    """Settings of the loop from both halves of the configuration."""
    return LoopSettings(
        epochs=training.epochs,
        schedule=Schedule(training.optimiser, steps_per_epoch, training.epochs),
        max_grad_norm=training.optimiser.max_grad_norm,
        precision=precision,
        report_every=workers.report_every_steps,
        save_every=workers.checkpoint_every_steps,
        validate_every=workers.validate_every_epochs,
    )


def require_divisible_batch(training: Training, num_workers: int) -> None:
    """Refuse a batch that cannot be dealt out evenly.

    Raises:
        ConfigError: it is no multiple of the number of workers.
    """
    if training.batch_size % num_workers:
        expected, found = f"a multiple of the {num_workers} workers", str(training.batch_size)
        fix = "Choose another batch size or number of workers."
        raise ConfigError(describe(what="training.batch_size", expected=expected, found=found, fix=fix))


def crop_spec(training: Training) -> CropSpec:
    """What the network wants to be shown."""
    return network_crops(training.network, integer_centers=training.integer_crop_centers)


def open_sets(
    run: TrainRun, plan: DataPlan, arrays: HandArrays, cache: str, *, on_part: OnPart | None = None
) -> tuple[TrainingSet, TrainingSet | None]:
    """Open the samples to train on and those held out, and cut their crops unless that has been done.

    Raises:
        ContractError: too many samples cannot be used.
    """
    datasets = [open_annotated(planned.annotated, arrays) for planned in plan.sets]
    options = CacheOptions(Path(cache))

    def opened(indices: list[tuple[int, ...]]) -> TrainingSet:
        sources = [
            AnnotatedSource(dataset, chosen) for dataset, chosen in zip(datasets, indices, strict=True) if chosen
        ]
        return TrainingSet.open(
            sources,
            crop_spec(run.training),
            run.training.augmentation,
            seed=run.seed,
            cache=options,
            on_part=on_part,
        )

    train = opened([planned.train for planned in plan.sets])
    return train, opened([planned.validation for planned in plan.sets]) if plan.num_validation else None


def make_state(run: TrainRun, precision: Precision, device: torch.device) -> TrainState:
    """Build network and optimiser; the seed decides the weights, the same on every worker and device."""
    torch.manual_seed(run.seed)
    hand = HandModel.load(run.hand.model_uri, flat_hand_mean=True, tip_set=run.hand.tip_set)
    model = TrainedNetwork(HandObjectNetwork(run.training.network, hand)).to(device)
    decay = run.training.optimiser.average_decay
    return TrainState(
        model,
        make_optimiser(model, run.training.optimiser),
        average=None if decay is None else WeightAverage(model, decay),
        scaler=precision.scaler(),
        seed=run.seed,
    )


def make_optimiser(model: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """Build the optimiser; its rate is set anew at every step."""
    kind = torch.optim.AdamW if settings.method == "adamw" else torch.optim.Adam
    return kind(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


def identity_of(
    run: TrainRun, train: TrainingSet, held_out: TrainingSet | None, arrays: HandArrays
) -> dict[str, JsonValue]:
    """Name what the losses depend on.

    Not the number of epochs where the schedule does not depend on it: such a training may be prolonged.
    """
    training = run.training
    parts: dict[str, JsonValue] = {
        "network": fingerprint(training.network)[:16],
        "optimiser": fingerprint(training.optimiser)[:16],
        "batch_size": training.batch_size,
        "precision": training.precision,
        "seed": run.seed,
        "training samples": train.fingerprint()[:16],
        "validation samples": held_out.fingerprint()[:16] if held_out is not None else None,
        "hand model": hand_digest(arrays)[:16],
        "tip_set": run.hand.tip_set,
    }
    if training.optimiser.schedule == "cosine":
        parts["epochs"] = training.epochs
    return parts


def publish_network(run: TrainRun, state: TrainState, *, identity: Mapping[str, JsonValue]) -> str:
    """Write the network as a checkpoint that tells how it came about; return its URI."""
    assert isinstance(state.model, TrainedNetwork)
    training = run.training
    sets = (training.annotated, *training.also_annotated)
    scores: dict[str, JsonValue] = dict(last_scores(state.rows))
    notes: dict[str, JsonValue] = {
        "hoiray": hoiray.__version__,
        "data": [f"{annotated.format}/{annotated.split}" for annotated in sets],
        "epochs": state.epoch,
        "steps": state.num_steps,
        "seed": run.seed,
        "has_averaged_weights": state.average is not None,
        "validation": scores,
        "identity": dict(identity),
        CROP_NOTE: crop_note(crop_spec(training), training.augmentation.interpolation),
    }
    uri = f"{run.output_uri.rstrip('/')}/{MODEL_FILE}"
    write_checkpoint(uri, state.model.network, notes=notes)
    return uri


def _no_scores(_: nn.Module) -> Mapping[str, float]:
    return {}
