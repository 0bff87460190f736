"""From a configuration to one worker's part of a training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

import hoiray
from hoiray.config.fingerprint import fingerprint
from hoiray.config.what import InitParts, Optimiser, Training, TrainRun
from hoiray.config.where import TrainWorkers
from hoiray.datasets.batch_loader import BatchLoader
from hoiray.datasets.crop_cache import CacheOptions
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.epoch_sampler import EpochSampler
from hoiray.datasets.label_source import AnnotatedSource, Source
from hoiray.datasets.training_set import TrainingSet
from hoiray.errors import ConfigError, describe
from hoiray.hand.load import HandArrays, load_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.io.store import open_uri
from hoiray.models.backbone import weights_of
from hoiray.models.batch import Batch
from hoiray.models.checkpoint import hand_digest, inspect_checkpoint, read_checkpoint, write_checkpoint
from hoiray.models.losses import TrainedNetwork
from hoiray.models.network import HandObjectNetwork
from hoiray.models.precision import Precision
from hoiray.models.pretrained import local_path
from hoiray.predictors.load import CROP_NOTE, crop_note, network_crops
from hoiray.training.average import WeightAverage
from hoiray.training.data_plan import DataPlan, open_annotated
from hoiray.training.history import last_scores
from hoiray.training.job import Prepared
from hoiray.training.label_plan import LabelPlan, open_labels
from hoiray.training.loop import LoopSettings
from hoiray.training.schedule import Schedule
from hoiray.training.scoring import Scorer
from hoiray.training.state import TrainState
from hoiray.training.world import World

MODEL_FILE: Final = "model.safetensors"
"""The trained network below a training's output."""

_PARTS: Final[Mapping[InitParts, tuple[str, ...]]] = {
    "all": ("",),
    "all_but_reasoning": ("backbone", "hand_decoder", "object_decoder"),
    "backbone": ("backbone",),
}
"""What is loaded, by `training.init_parts`: modules of the network; "" is the whole."""

_NOT_ARCHITECTURE: Final[dict[str, Any]] = {
    "preset": True,
    "losses": True,
    "pnp": True,
    "batch_norm_momentum": True,
    "backbone": {"weights_uri": True, "allows_partial_weights": True},
}
"""Parts of a network's configuration that its weights do not depend on."""

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
        plan: which samples; see :func:`hoiray.training.data_plan.plan_training`.
        workers: threads, and how often what.
        cache: folder of the cut crops; built by whoever comes first.

    Raises:
        ConfigError: the workers do not fit the batch, or float16 was asked for on a CPU.
        ContractError: the data are not what they should be.
    """
    import cv2

    # its own threads only get in the way of the loader's
    cv2.setNumThreads(1)
    training = run.training
    require_divisible_batch(training, world.size)
    arrays = load_hand_arrays(run.hand.model_uri)
    train, held_out = open_sets(run, plan, arrays, cache, workers)
    sampler = make_sampler(run, train)
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
        publish=partial(publish_network, run, identity=identity, labels=plan.labels),
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
    run: TrainRun,
    plan: DataPlan,
    arrays: HandArrays,
    cache: str,
    workers: TrainWorkers | None = None,
    *,
    on_part: OnPart | None = None,
) -> tuple[TrainingSet, TrainingSet | None]:
    """Open the samples to train on and those held out, and cut their crops unless that has been done.

    Args:
        run: what is trained.
        plan: which samples: annotated sets come first, labels last.
        arrays: the hand model.
        cache: folder of the cut crops.
        workers: of which labels crops are cut, and how much room they have; None for the defaults.
        on_part: told parts done and parts in all of each source.

    Raises:
        ConfigError: the crops have no room.
        ContractError: too many samples cannot be used.
    """
    workers = workers or TrainWorkers()
    datasets = [open_annotated(planned.annotated, arrays) for planned in plan.sets]
    options = CacheOptions(Path(cache), max_gib=workers.max_cache_gib)

    def annotated(indices: list[tuple[int, ...]]) -> list[Source]:
        return [AnnotatedSource(dataset, chosen) for dataset, chosen in zip(datasets, indices, strict=True) if chosen]

    def opened(sources: list[Source]) -> TrainingSet:
        return TrainingSet.open(
            sources,
            crop_spec(run.training),
            run.training.augmentation,
            seed=run.seed,
            max_dead_fraction=run.training.max_dead_fraction,
            cache=options,
            on_part=on_part,
        )

    labels: list[Source] = [] if plan.labels is None else [open_labels(plan.labels, arrays, workers)]
    train = opened([*annotated([planned.train for planned in plan.sets]), *labels])
    held_out = annotated([planned.validation for planned in plan.sets])
    return train, opened(held_out) if held_out else None


def make_sampler(run: TrainRun, train: TrainingSet) -> EpochSampler:
    """Decide which samples make up each step.

    Raises:
        ConfigError: a batch has no room for the fraction of labels asked for, or is larger than the set.
    """
    training = run.training
    shares = None
    if training.pseudo_label_fraction is not None:
        shares = label_shares(train, training.pseudo_label_fraction)
    sampler = EpochSampler(train.source_indices(), training.batch_size, run.seed, shares, training.steps_per_epoch)
    if shares is not None and shares[-1] > 0.0 and not sampler.counts_per_batch[-1]:
        expected, found = f"at least {0.5 / training.batch_size:.3g}", f"{training.pseudo_label_fraction}"
        fix = f"A batch of {training.batch_size} has no room for less than one label."
        raise ConfigError(describe(what="training.pseudo_label_fraction", expected=expected, found=found, fix=fix))
    return sampler


def label_shares(train: TrainingSet, fraction: float) -> list[float]:
    """Return the share of every source of a batch: labels, which come last, as asked for, the others by their sizes."""
    sizes = np.bincount(train.source_indices(), minlength=len(train.sources)).astype(np.float64)
    annotated = (1.0 - fraction) * sizes[:-1] / sizes[:-1].sum()
    return [*annotated.tolist(), 1.0 - float(annotated.sum())]


def make_state(run: TrainRun, precision: Precision, device: torch.device) -> TrainState:
    """Build network and optimiser; the seed decides the weights, the same on every worker and device."""
    torch.manual_seed(run.seed)
    hand = HandModel.load(run.hand.model_uri, flat_hand_mean=True, tip_set=run.hand.tip_set)
    # every part that can be started from brings the trunk's weights along
    network = HandObjectNetwork(run.training.network, hand, loads_weights=run.training.init_uri is None)
    model = TrainedNetwork(network).to(device)
    if run.training.init_uri is not None:
        start_from(model.network, run.training.init_uri, run.training.init_parts)
    decay = run.training.optimiser.average_decay
    return TrainState(
        model,
        make_optimiser(model, run.training.optimiser),
        average=None if decay is None else WeightAverage(model, decay),
        scaler=precision.scaler(),
        seed=run.seed,
    )


def start_from(network: HandObjectNetwork, uri: str, init_parts: InitParts) -> None:
    """Put a checkpoint's weights, or those of some of its parts, into a network that is the same there.

    Raises:
        InputError: it is not there.
        ConfigError: it is of another network or backbone.
        ContractError: it is damaged, or was trained with another hand model.
    """
    found, info = read_checkpoint(uri, network.hand)
    kinds = (info.config.model_dump(exclude=_NOT_ARCHITECTURE), network.config.model_dump(exclude=_NOT_ARCHITECTURE))
    needed = {"all": list(kinds[1]), "backbone": ["backbone"]}
    compared = needed.get(init_parts, [name for name in kinds[1] if name != "reasoning"])
    differing = [name for name in compared if kinds[0][name] != kinds[1][name]]
    if differing:
        expected, fix = "the network that is trained", "Start from a checkpoint of this network, or from nothing."
        found_text = f"one with other settings of {', '.join(differing)} (preset {info.config.preset})"
        raise ConfigError(describe(what=f"training.init_uri {uri}", expected=expected, found=found_text, fix=fix))
    for part in _PARTS[init_parts]:
        network.get_submodule(part).load_state_dict(found.get_submodule(part).state_dict())


def require_backbone_weights(training: Training) -> None:
    """Refuse a training whose pre-trained weights are not on this machine, before anything is cut or started.

    Raises:
        ConfigError: the file it names is not there, or is no local one.
        InputError: the landmark network is not fetched; the message names the command that does.
    """
    uri = None if training.init_uri is not None else weights_of(training.network.backbone)
    if uri is not None:
        local_path(uri)


def checkpoint_digest(uri: str) -> str:
    """Return the digest that names a checkpoint's network.

    Raises:
        InputError, ContractError: it is not there, or damaged.
    """
    store, key = open_uri(uri)
    return inspect_checkpoint(store.read(key), source=uri).digest


def make_optimiser(model: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """Build the optimiser; its rate is set anew at every step."""
    kind = torch.optim.AdamW if settings.method == "adamw" else torch.optim.Adam
    return kind(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


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
    changes: dict[str, JsonValue] = {
        "pseudo_label_fraction": training.pseudo_label_fraction,
        "steps_per_epoch": training.steps_per_epoch,
        "init": None if training.init_uri is None else checkpoint_digest(training.init_uri),
        "init_parts": None if training.init_uri is None or training.init_parts == "all" else training.init_parts,
    }
    return parts | {name: value for name, value in changes.items() if value is not None}


def publish_network(
    run: TrainRun, state: TrainState, *, identity: Mapping[str, JsonValue], labels: LabelPlan | None = None
) -> str:
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
    if labels is not None:
        notes["labels"] = {**labels.notes(), "fraction": training.pseudo_label_fraction}
    if training.init_uri is not None:
        notes["started_from"] = identity["init"]
    uri = f"{run.output_uri.rstrip('/')}/{MODEL_FILE}"
    write_checkpoint(uri, state.model.network, notes=notes)
    return uri


def _no_scores(_: nn.Module) -> Mapping[str, float]:
    return {}
