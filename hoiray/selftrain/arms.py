"""The arms of the paper's tables on the synthetic twin: what each network is trained on, and the commands that do it.

All arms of a seed have the same annotated images, optimiser steps, batch and schedule; students of one teacher see the
labels of one label run. Nothing but what an arm is about differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from hoiray.config.training_presets import training_preset
from hoiray.config.what import RunConfig
from hoiray.io.store import Store
from hoiray.selftrain.demo import LAX_LIMITS, write_video_list
from hoiray.selftrain.phases import Phase

MODEL_FILE: Final = "model.safetensors"


@dataclass(frozen=True)
class Arm:
    """One way to train a network.

    Attributes:
        says: what it is, for a table.
        queries: who attends in the contextual reasoning.
        labels: name of a selection of :mod:`hoiray.selftrain.selections`; None is trained on annotated images only.
    """

    says: str
    queries: str = "object"
    labels: str | None = None

    @property
    def teacher(self) -> str | None:
        """The arm whose network labels for it."""
        return None if self.labels is None else f"sup_{self.queries}"


ARMS: Final[Mapping[str, Arm]] = MappingProxyType(
    {
        "sup_none": Arm("supervised, without CR", "none"),
        "sup_hand": Arm("supervised, h+", "hand"),
        "sup_hand_object": Arm("supervised, h+o+", "hand_object"),
        "sup_object": Arm("supervised, o+"),
        "semi_none": Arm("semi-supervised, without CR", "none", "accepted"),
        "semi_object": Arm("semi-supervised, all filters", "object", "accepted"),
        "no_spatial": Arm("without spatial filters", "object", "no_spatial"),
        "no_temporal": Arm("without temporal filters", "object", "no_temporal"),
        "random": Arm("by lot, no filters", "object", "random"),
        "low_spread": Arm("lowest spread of the ensemble", "object", "low_spread"),
        "oracle": Arm("lowest true error (oracle)", "object", "oracle"),
        "part_20": Arm("20 % of the labels", "object", "part_20"),
        "part_40": Arm("40 % of the labels", "object", "part_40"),
        "part_60": Arm("60 % of the labels", "object", "part_60"),
        "part_80": Arm("80 % of the labels", "object", "part_80"),
        "unfiltered": Arm("data distillation: every label", "object", "unfiltered"),
    }
)


@dataclass(frozen=True)
class Amounts:
    """How much of everything.

    Attributes:
        lab, wild, ego, studio: sizes of the sets, as of `hoiray synth`.
        epochs, steps_per_epoch, batch_size: of every training.
        shard_frames: frames of a shard of a label run.
        max_samples: images of each test set.
        preset: of the network.
        limits: where they are not the paper's.
    """

    lab: str
    wild: str
    ego: str
    studio: str
    epochs: int
    steps_per_epoch: int
    batch_size: int
    shard_frames: int
    max_samples: int
    preset: str = "nano"
    limits: Mapping[str, Any] = field(default_factory=dict)


AMOUNTS: Final[Mapping[str, Amounts]] = MappingProxyType(
    {
        # a look at the machinery: nothing is learnt in ten steps, and by the paper's limits nothing would be accepted
        "tiny": Amounts(*("tiny",) * 4, epochs=2, steps_per_epoch=5, batch_size=16, shard_frames=64, max_samples=24,
                        limits=LAX_LIMITS),
        "nano": Amounts("demo", "medium", "demo", "demo", epochs=4, steps_per_epoch=100, batch_size=32,
                        shard_frames=1024, max_samples=500),
    }
)  # fmt: skip
"""How much there is of everything, by name."""


@dataclass(frozen=True)
class Bench:
    """Where an experiment lies and how much it does.

    Attributes:
        store: its folder, local.
        amounts: of everything.
        label_options, train_options: of the commands, where they run.
    """

    store: Store
    amounts: Amounts
    label_options: tuple[str, ...] = ()
    train_options: tuple[str, ...] = ()

    def model(self, seed: int, arm: str) -> str:
        """The checkpoint of an arm."""
        return self.store.url(f"seed-{seed}/{arm}/train/{MODEL_FILE}")

    def labels_folder(self, seed: int, teacher: str) -> str:
        """The label run of a teacher, below the folder."""
        return f"seed-{seed}/{teacher}/labels"

    def list_key(self, seed: int, teacher: str, selection: str) -> str:
        """The list of a selection of a teacher's labels."""
        return f"seed-{seed}/{teacher}/lists/{selection}.parquet"


DATA_SEEDS: Final[Mapping[str, int]] = MappingProxyType({"lab": 0, "wild": 1, "ego": 2, "studio": 3})


def data_phases(bench: Bench, domains: Sequence[str], workers: int) -> list[Phase]:
    """Render the sets an experiment needs."""
    return [
        Phase(
            f"data/{name}",
            f"render the {name} world",
            (
                *("synth", name, "--out", bench.store.url(f"data/{name}"), "--size", getattr(bench.amounts, name)),
                *("--seed", str(DATA_SEEDS[name]), "--workers", str(workers), "--resume"),
            ),
            {"size": getattr(bench.amounts, name), "seed": DATA_SEEDS[name]},
        )
        for name in domains
    ]


def prepare_lists(bench: Bench) -> None:
    """List the videos that are labelled, once they are rendered."""
    write_video_list(bench.store)


def base_run(bench: Bench) -> RunConfig:
    """Write what all arms have in common as a run file."""
    amounts = bench.amounts
    training: dict[str, Any] = dict(training_preset(amounts.preset)) | {
        "annotated": {"format": "ho3d_v2", "uri": bench.store.url("data/lab"), "split": "train"},
        "epochs": amounts.epochs,
        "steps_per_epoch": amounts.steps_per_epoch,
        "batch_size": amounts.batch_size,
        "validation_fraction": 0.0,
    }
    return RunConfig.model_validate(
        {
            "name": "reproduce",
            "output_uri": bench.store.uri,
            "videos": {
                "uri": bench.store.url("data/videos.txt"),
                "boxes_uri": bench.store.url("data/wild/annotations"),
                "box_format": "something_else",
                "sample_rate_hz": 12,
                "hand_side": "both",
            },
            "sharding": {"target_frames": amounts.shard_frames, "max_video_frames": max(16384, amounts.shard_frames)},
            "hand": {"flat_hand_mean": True},
            "teacher": {"predictor": "network"},
            "limits": {"preset": "paper", **amounts.limits},
            "training": training,
        }
    )


def train_phase(bench: Bench, run_file: str, seed: int, name: str) -> Phase:
    """Train an arm."""
    arm, amounts = ARMS[name], bench.amounts
    changes: dict[str, Any] = {"seed": seed, "training.network.reasoning.queries": arm.queries}
    if arm.labels is not None and arm.teacher is not None:
        changes |= {
            "training.labels_uri": bench.store.url(bench.labels_folder(seed, arm.teacher)),
            "training.pseudo_label_rows": "all",
            "training.pseudo_label_list_uri": bench.store.url(bench.list_key(seed, arm.teacher, arm.labels)),
            # crops of every row are cut once, for all students of this teacher
            "train.cut_labels": "all",
        }
    arguments = (
        *("train", "--config", run_file, "--out", bench.store.url(f"seed-{seed}/{name}/train"), "--resume"),
        *[word for key, value in changes.items() for word in ("--set", f"{key}={value}")],
        *bench.train_options,
    )
    settings: dict[str, Any] = {
        "seed": seed,
        "queries": arm.queries,
        "labels": arm.labels,
        "steps": [amounts.epochs, amounts.steps_per_epoch, amounts.batch_size],
        "preset": amounts.preset,
    }
    return Phase(f"seed-{seed}/{name}/train", f"train: {arm.says}", arguments, settings)


def label_phase(bench: Bench, run_file: str, seed: int, teacher: str) -> Phase:
    """Label the videos with an arm's network."""
    changes = (
        f"output_uri={bench.store.url(bench.labels_folder(seed, teacher))}",
        f"teacher.checkpoint_uri={bench.model(seed, teacher)}",
    )
    arguments = ("label", run_file, *[word for change in changes for word in ("--set", change)], *bench.label_options)
    settings: dict[str, Any] = {"teacher": teacher, "seed": seed, "limits": dict(bench.amounts.limits)}
    return Phase(f"seed-{seed}/{teacher}/label", f"label: {ARMS[teacher].says}", arguments, settings)


@dataclass(frozen=True)
class TestSet:
    """What an arm is scored on."""

    name: str
    split: str


TESTS: Final[Mapping[str, TestSet]] = MappingProxyType(
    {
        "lab": TestSet("lab", "evaluation"),
        "wild": TestSet("wild", "test"),
        "ego": TestSet("ego", "test"),
        "studio": TestSet("studio", "evaluation"),
    }
)


def score_phase(bench: Bench, seed: int, name: str, test: str) -> Phase:
    """Score an arm."""
    test_set = TESTS[test]
    arguments = [
        *("evaluate", "--model", bench.model(seed, name), "--data", bench.store.url(f"data/{test}")),
        *("--split", test_set.split, "--samples", str(bench.amounts.max_samples)),
        *("--baseline-from", bench.store.url("data/lab"), "--baseline-split", "train"),
        *("--out", bench.store.url(f"seed-{seed}/{name}/{test}")),
    ]
    if test == "wild":
        arguments += ["--format", "synthetic_truth"]
    settings: dict[str, Any] = {"seed": seed, "arm": name, "test": test, "samples": bench.amounts.max_samples}
    return Phase(f"seed-{seed}/{name}/{test}", f"score on {test}: {ARMS[name].says}", tuple(arguments), settings)
