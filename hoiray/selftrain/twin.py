"""The synthetic twin of the paper's experiment: its four worlds, and the commands and the run file over them.

Networks learn from people in the laboratory (`lab`, the twin of HO-3D), label the training videos of `wild` (that of
Something-Something), and are scored on other people of both, and on two worlds that nobody trains on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import JsonValue

from hoiray.config.training_presets import training_preset
from hoiray.config.what import InitParts, RunConfig
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.something import SomethingDataset
from hoiray.io.store import Store
from hoiray.selftrain.phases import Phase

PRESET: Final = "nano"

PACKAGED_TEACHER: Final = Path(__file__).resolve().parent.parent / "predictors" / "assets" / "nano.safetensors"
"""Trained on other people of the laboratory and the studio; see the card beside it."""

VIDEO_LIST: Final = "data/videos.txt"

FINE_TUNING: Final[Mapping[str, JsonValue]] = MappingProxyType({"learning_rate": 5e-4, "warmup_steps": 20})
"""Of trainings that start from the packaged weights: the preset's rate, 2e-3, is for random ones, and within 200 steps
it makes these worse on videos."""

LAX_LIMITS: Final[Mapping[str, JsonValue]] = {
    "min_box_iou": None,
    "max_reprojection_box_sides": None,
    "max_motion_2d_box_sides": None,
    "max_motion_pose": None,
    "predecessor_must_pass_spatial": False,
}
"""For a look at the machinery: after ten steps of training, nothing would be accepted by the paper's limits."""


@dataclass(frozen=True)
class World:
    """A world of `hoiray synth`, and how networks are scored on it.

    Attributes:
        seed: of its set.
        split: the held-out part.
        says: what it is to the networks.
        format: as of `hoiray evaluate`; None is told by the files.
    """

    seed: int
    split: str
    says: str
    format: str | None = None


WORLDS: Final[Mapping[str, World]] = MappingProxyType(
    {
        "lab": World(10, "evaluation", "other people in the laboratory the annotated data are from"),
        "wild": World(1, "test", "other people in videos like those that were labelled", "synthetic_truth"),
        "ego": World(2, "test", "a world neither has seen, from a camera on the head"),
        "studio": World(3, "evaluation", "a world neither has seen, hands held still before a camera"),
    }
)


@dataclass(frozen=True)
class Amounts:
    """How much of everything.

    Attributes:
        sizes: of the worlds' sets, as of `hoiray synth`.
        epochs, steps_per_epoch, batch_size: of every training; all networks take the same number of steps.
        shard_frames: frames of a shard of a label run.
        max_samples: images of each test set at most.
        limits: of the labels, where they are not the paper's.
        max_videos: labelled at most, spread over the training split; None: all of it.
        init_parts: which weights of the packaged teacher every training starts from; None: none.
        optimiser: of every training, where it is not the preset's.
    """

    sizes: Mapping[str, str]
    epochs: int
    steps_per_epoch: int
    batch_size: int
    shard_frames: int
    max_samples: int
    limits: Mapping[str, JsonValue] = field(default_factory=dict)
    max_videos: int | None = None
    init_parts: InitParts | None = None
    optimiser: Mapping[str, JsonValue] = field(default_factory=dict)


def render_phase(store: Store, world: str, amounts: Amounts, workers: int) -> Phase:
    """Render the set of a world."""
    size, seed = amounts.sizes[world], WORLDS[world].seed
    arguments = (
        *("synth", world, "--out", store.url(f"data/{world}"), "--size", size, "--seed", str(seed)),
        *("--workers", str(workers), "--resume"),
    )
    return Phase(f"data/{world}", f"render the {world} world", arguments, {"size": size, "seed": seed})


def score_arguments(
    store: Store, world: str, amounts: Amounts, model: str, out: str, *, against: str | None = None
) -> tuple[str, ...]:
    """Return the command that scores a network on a world, beside the constant hand of the annotated data.

    Args:
        store: where the worlds are.
        world: which one.
        amounts: of everything.
        model: checkpoint.
        out: folder of the tables, below the store.
        against: another checkpoint, compared on the same hands.
    """
    about = WORLDS[world]
    return (
        *("evaluate", "--model", model, *_given("--against", against), "--data", store.url(f"data/{world}")),
        *("--split", about.split, *_given("--format", about.format), "--samples", str(amounts.max_samples)),
        *("--baseline-from", store.url("data/lab"), "--baseline-split", "train", "--out", store.url(out)),
    )


def _given(option: str, value: str | None) -> Sequence[str]:
    return () if value is None else (option, value)


def write_video_list(store: Store, max_videos: int | None = None) -> None:
    """List the training videos of the wild set: those of its other splits are for audits and tests.

    Args:
        store: where the worlds are, and where the list goes.
        max_videos: an even choice of so many; None: all.
    """
    dataset = SomethingDataset.open(store.url("data/wild"), "train")
    lines = sorted(store.url(f"data/wild/{video.key}") for video in dataset.videos)
    if max_videos is not None:
        lines = [lines[index] for index in spread_indices(len(lines), max_videos)]
    store.write(VIDEO_LIST, ("\n".join(lines) + "\n").encode())


def twin_run(store: Store, name: str, amounts: Amounts, **more: Any) -> RunConfig:  # noqa: ANN401 - any section
    """Write the run file: what is labelled, how it is judged, and what networks are trained on.

    Args:
        store: where the worlds are, and where everything goes.
        name: of the run.
        amounts: of everything.
        more: further sections.
    """
    training: dict[str, Any] = dict(training_preset(PRESET)) | {
        "annotated": {"format": "ho3d_v2", "uri": store.url("data/lab"), "split": "train"},
        "epochs": amounts.epochs,
        "steps_per_epoch": amounts.steps_per_epoch,
        "batch_size": amounts.batch_size,
        # nothing is chosen by held-out scores here: audits and tests are sets of their own
        "validation_fraction": 0.0,
    }
    training["optimiser"] = {**training["optimiser"], **amounts.optimiser}
    if amounts.init_parts is not None:
        training |= {"init_uri": str(PACKAGED_TEACHER), "init_parts": amounts.init_parts}
    values = {
        "name": name,
        "output_uri": store.uri,
        "videos": {
            "uri": store.url(VIDEO_LIST),
            "boxes_uri": store.url("data/wild/annotations"),
            "box_format": "something_else",
            "sample_rate_hz": 12,
            "hand_side": "both",
        },
        "sharding": {"target_frames": amounts.shard_frames},
        "hand": {"flat_hand_mean": True},
        "teacher": {"predictor": "network"},
        "limits": {"preset": "paper", **amounts.limits},
        "training": training,
        **more,
    }
    return RunConfig.model_validate(values)
