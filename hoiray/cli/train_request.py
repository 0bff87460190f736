"""What `hoiray train` is asked for: command line, file, presets and `--set`, as one configuration of each half."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hoiray.config.halves import route_overrides
from hoiray.config.load import load_cluster, load_training, parse_cluster, parse_training
from hoiray.config.training_presets import training_preset
from hoiray.config.what import AnnotatedSet, Training, TrainRun
from hoiray.config.where import ClusterConfig
from hoiray.errors import ConfigError, describe
from hoiray.io.store import Store

if TYPE_CHECKING:
    from pydantic import JsonValue

DEFAULT_PRESET: Final = "nano"


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; see `hoiray train --help`."""

    data: Sequence[str] = ()
    labels: str | None = None
    labels_fraction: float | None = None
    init: str | None = None
    out: str | None = None
    preset: str | None = None
    config: Path | None = None
    cluster: Path | None = None
    epochs: int | None = None
    minutes: float | None = None
    workers: int | None = None
    seed: int | None = None
    uses_ray: bool = True
    ray_address: str | None = None
    resume: bool = False
    cache: Path | None = None
    overrides: Sequence[str] = ()


def read_request(request: Request) -> tuple[TrainRun, ClusterConfig]:
    """Resolve a request into both halves of a configuration, with absolute locations.

    The command line comes behind the file, `--set` behind both.

    Raises:
        ConfigError: what is asked for contradicts itself, is not valid, or names nothing to train on.
    """
    routed = route_overrides(request.overrides)
    if routed.problems:
        raise ConfigError("\n".join(routed.problems))
    run = _read_run(request, routed.run)
    return _with_absolute_places(run), _read_cluster(request, routed.cluster)


def _read_run(request: Request, overrides: Sequence[str]) -> TrainRun:
    if request.config is not None:
        if request.preset is not None:
            fix = "Say training.network in the file, or leave one of the two out."
            raise ConfigError(
                describe(what="--preset", expected="no --config beside it", found=str(request.config), fix=fix)
            )
        return load_training(request.config, [*_own_overrides(request), *overrides])
    if not request.data or request.out is None:
        missing = "--data" if not request.data else "--out"
        fix = "Name data sets with --data and an output with --out, or a file that has them with --config."
        raise ConfigError(describe(what="hoiray train", expected=f"{missing} or --config", found="neither", fix=fix))
    preset = training_preset(request.preset or DEFAULT_PRESET)
    values: dict[str, JsonValue] = {"output_uri": request.out, "training": dict(preset)}
    return parse_training(json.dumps(values), [*_own_overrides(request), *overrides], source="the command line")


def _own_overrides(request: Request) -> list[str]:
    """Write options as what `--set` would take."""
    annotated = [detect_set(uri).model_dump() for uri in request.data]
    values = {
        "output_uri": request.out,
        "seed": request.seed,
        "training.epochs": request.epochs,
        "training.labels_uri": request.labels,
        "training.pseudo_label_fraction": request.labels_fraction,
        "training.init_uri": request.init,
        "training.annotated": annotated[0] if annotated else None,
        "training.also_annotated": annotated[1:] if annotated else None,
    }
    return [f"{key}={json.dumps(value)}" for key, value in values.items() if value is not None]


def detect_set(uri: str) -> AnnotatedSet:
    """Tell the format of a data set by its files.

    Raises:
        ConfigError: it is one of unlabelled pictures or videos, or of a format that cannot be trained on.
        ContractError: it is no data set at all.
    """
    from hoiray.datasets.open import FORMATS, detect_format, open_dataset

    known = AnnotatedSet.model_fields["format"].annotation
    name = detect_format(uri)
    # HO-3D's version shows only inside; the others are named by their files
    found = open_dataset(uri, name).name if name == "ho3d" else name
    choices = getattr(known, "__args__", ())
    if found not in choices:
        fix = "Name an annotated set, or use hoiray label for pictures and videos."
        expected = f"one of {', '.join(choices)}"
        raise ConfigError(describe(what=f"--data {uri}", expected=expected, found=found, fix=fix))
    split = FORMATS[name].default_split(Store.open(uri))
    return AnnotatedSet.model_validate({"format": found, "uri": uri, "split": split})


def _read_cluster(request: Request, overrides: Sequence[str]) -> ClusterConfig:
    own = [] if request.workers is None else [f"train.num_workers={request.workers}"]
    if request.cluster is not None:
        return load_cluster(request.cluster, [*own, *overrides])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    # every worker an equal part of the cores; more workers than cores are left to be refused with the arithmetic
    num_cpus = max(1, cores // max(request.workers or 1, 1))
    values = {"head": {"num_cpus": cores, "memory_gib": memory_gib}, "train": {"num_cpus": num_cpus, **_gpu()}}
    return parse_cluster(json.dumps(values), [*own, *overrides], source="this machine")


def _gpu() -> dict[str, float]:
    import torch

    return {"num_gpus": 1.0} if torch.cuda.is_available() else {}


def _with_absolute_places(run: TrainRun) -> TrainRun:
    """Workers have working directories of their own."""
    training, hand = run.training, run.hand
    places = {name: getattr(training, name) for name in ("labels_uri", "pseudo_label_list_uri", "init_uri")}
    values = {
        **dict(run),
        "output_uri": _absolute(run.output_uri),
        "hand": {**dict(hand), "model_uri": None if hand.model_uri is None else _absolute(hand.model_uri)},
        "training": Training(
            **{
                **dict(training),
                "annotated": _absolute_set(training.annotated),
                "also_annotated": [_absolute_set(each) for each in training.also_annotated],
                **{name: None if uri is None else _absolute(uri) for name, uri in places.items()},
            }
        ),
    }
    return TrainRun.model_validate(values)


def _absolute_set(annotated: AnnotatedSet) -> AnnotatedSet:
    return AnnotatedSet(format=annotated.format, uri=_absolute(annotated.uri), split=annotated.split)


def _absolute(uri: str) -> str:
    return Store.open(uri).uri
