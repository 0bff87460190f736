"""The arms of the paper's tables on the synthetic twin: what each network is trained on, and the commands that do it.

All arms of a seed have the same annotated images, optimiser steps, batch and schedule; students of one teacher see the
labels of one label run. Nothing but what an arm is about differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import JsonValue

from hoiray.io.store import Store
from hoiray.selftrain.phases import MODEL_FILE, Phase
from hoiray.selftrain.twin import FINE_TUNING, LAX_LIMITS, PRESET, WORLDS, Amounts, score_arguments


@dataclass(frozen=True)
class Arm:
    """One way to train a network.

    Attributes:
        says: what it is, for a table.
        queries: who attends in the contextual reasoning.
        labels: name of a selection of :mod:`hoiray.selftrain.selections`; None is trained on annotated images only.
        fraction: of each batch drawn from the labels; None: as many as their share in all there is to draw from.
    """

    says: str
    queries: str = "object"
    labels: str | None = None
    fraction: float | None = None

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
        "semi_few": Arm("semi-supervised, 15 % of each batch", "object", "accepted", 0.15),
        "no_spatial": Arm("without spatial filters", "object", "no_spatial"),
        "no_temporal": Arm("without temporal filters", "object", "no_temporal"),
        "random": Arm("at random, no filters", "object", "random"),
        "low_spread": Arm("lowest spread of the ensemble", "object", "low_spread"),
        "oracle": Arm("lowest true error (oracle)", "object", "oracle"),
        "part_20": Arm("20 % of the labels", "object", "part_20"),
        "part_40": Arm("40 % of the labels", "object", "part_40"),
        "part_60": Arm("60 % of the labels", "object", "part_60"),
        "part_80": Arm("80 % of the labels", "object", "part_80"),
        "unfiltered": Arm("data distillation: every label", "object", "unfiltered"),
    }
)


AMOUNTS: Final[Mapping[str, Amounts]] = MappingProxyType(
    {
        "tiny": Amounts(dict.fromkeys(WORLDS, "tiny"), 2, 5, 16, 64, 24, LAX_LIMITS),
        "nano": Amounts(
            {"lab": "demo", "wild": "medium", "ego": "demo", "studio": "demo"},
            2,
            # a network that has seen the laboratory alone for so long begins to forget videos
            300,
            32,
            1024,
            500,
            max_videos=150,
            # what an arm lacks (who attends to whom) must not have been learnt before
            init_parts="all_but_reasoning",
            optimiser=FINE_TUNING,
        ),
    }
)
"""How much there is of everything, by name."""


@dataclass(frozen=True)
class Bench:
    """Where an experiment lies and how much it does.

    Attributes:
        store: its folder, local.
        amounts: of everything.
        changes: of the run file, `KEY=VALUE` each, for every arm.
        label_options, train_options: of the commands, where they run.
    """

    store: Store
    amounts: Amounts
    changes: tuple[str, ...] = ()
    label_options: tuple[str, ...] = ()
    train_options: tuple[str, ...] = ()

    @property
    def changed(self) -> dict[str, JsonValue]:
        """The changes as part of a phase's settings; nothing where there are none."""
        return {"changes": list(self.changes)} if self.changes else {}

    def model(self, seed: int, arm: str) -> str:
        """The checkpoint of an arm."""
        return self.store.url(f"seed-{seed}/{arm}/train/{MODEL_FILE}")

    def labels_folder(self, seed: int, teacher: str) -> str:
        """The label run of a teacher, below the folder."""
        return f"seed-{seed}/{teacher}/labels"

    def list_key(self, seed: int, teacher: str, selection: str) -> str:
        """The list of a selection of a teacher's labels."""
        return f"seed-{seed}/{teacher}/lists/{selection}.parquet"


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
    if arm.fraction is not None:
        changes["training.pseudo_label_fraction"] = arm.fraction
    arguments = (
        *("train", "--config", run_file, "--out", bench.store.url(f"seed-{seed}/{name}/train"), "--resume"),
        *[word for key, value in changes.items() for word in ("--set", f"{key}={value}")],
        *bench.train_options,
    )
    settings: dict[str, JsonValue] = {
        "seed": seed,
        "queries": arm.queries,
        "labels": arm.labels,
        "steps": [amounts.epochs, amounts.steps_per_epoch, amounts.batch_size],
        "preset": PRESET,
        "init_parts": amounts.init_parts,
        "optimiser": dict(amounts.optimiser),
        **({} if arm.fraction is None else {"fraction": arm.fraction}),
        **bench.changed,
    }
    return Phase(f"seed-{seed}/{name}/train", f"train: {arm.says}", arguments, settings)


def label_phase(bench: Bench, run_file: str, seed: int, teacher: str) -> Phase:
    """Label the videos with an arm's network."""
    changes = (
        f"output_uri={bench.store.url(bench.labels_folder(seed, teacher))}",
        f"teacher.checkpoint_uri={bench.model(seed, teacher)}",
    )
    arguments = ("label", run_file, *[word for change in changes for word in ("--set", change)], *bench.label_options)
    settings: dict[str, JsonValue] = {
        "teacher": teacher,
        "seed": seed,
        "limits": dict(bench.amounts.limits),
        **bench.changed,
    }
    if bench.amounts.max_videos is not None:
        settings["max_videos"] = bench.amounts.max_videos
    return Phase(f"seed-{seed}/{teacher}/label", f"label: {ARMS[teacher].says}", arguments, settings)


def score_phase(bench: Bench, seed: int, name: str, world: str) -> Phase:
    """Score an arm."""
    out = f"seed-{seed}/{name}/{world}"
    arguments = score_arguments(bench.store, world, bench.amounts, bench.model(seed, name), out)
    settings: dict[str, JsonValue] = {"seed": seed, "arm": name, "test": world, "samples": bench.amounts.max_samples}
    return Phase(out, f"score on {world}: {ARMS[name].says}", arguments, settings)
