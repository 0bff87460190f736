"""The whole loop on the synthetic world: data, teacher, labels, student, scores on four worlds, and a report.

What it shows is how the parts work together, with honest numbers; it is no measure of what the method does with real
data at size. Its seed is fixed and its result is whatever it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from pydantic import JsonValue

from hoiray.config.dump import dump
from hoiray.config.self_training import Audit as AuditConfig
from hoiray.config.self_training import SelfTraining
from hoiray.config.training_presets import training_preset
from hoiray.config.what import RunConfig
from hoiray.datasets.something import SomethingDataset
from hoiray.io.store import Store
from hoiray.selftrain.audit import Audit, read_audit
from hoiray.selftrain.phases import Done, Phase, Watch, run_phase
from hoiray.selftrain.rounds import Rounds, RoundsRequest, Story

RUN_FILE: Final = "demo.yaml"
VIDEO_LIST: Final = "data/videos.txt"
SEED: Final = 0


@dataclass(frozen=True)
class DemoSize:
    """How much of everything.

    Attributes:
        size: of the data sets, as of `hoiray synth`.
        epochs, steps_per_epoch: of either training; teacher and student take the same number of steps.
        batch_size: crops of a step.
        shard_frames: frames of a shard.
        max_samples: images of each test set at most.
        limits: of the labels, where they are not the paper's.
    """

    size: str
    epochs: int
    steps_per_epoch: int
    batch_size: int
    shard_frames: int
    max_samples: int
    limits: Mapping[str, JsonValue] = field(default_factory=dict)


LAX_LIMITS: Final[Mapping[str, JsonValue]] = {
    "min_box_iou": None,
    "max_reprojection_box_sides": None,
    "max_motion_2d_box_sides": None,
    "max_motion_pose": None,
    "predecessor_must_pass_spatial": False,
}

SIZES: Final[Mapping[str, DemoSize]] = MappingProxyType(
    {
        # a look at the machinery: nothing is learnt in ten steps, and by the paper's limits nothing would be accepted
        "tiny": DemoSize("tiny", 2, 5, 16, 64, 40, LAX_LIMITS),
        "demo": DemoSize("demo", 5, 110, 32, 512, 500),
    }
)


@dataclass(frozen=True)
class TestSet:
    """A world networks are scored on.

    Attributes:
        name: of the domain.
        format, split: as of `hoiray evaluate`.
        says: what it is to the networks.
    """

    name: str
    format: str | None
    split: str | None
    says: str


TEST_SETS: Final = (
    TestSet("lab", None, "evaluation", "other people in the laboratory the annotated data are from"),
    TestSet("wild", "synthetic_truth", "test", "other people in videos like those that were labelled"),
    TestSet("ego", None, "test", "a world neither has seen, from a camera on the head"),
    TestSet("studio", None, "evaluation", "a world neither has seen, hands held still before a camera"),
)


@dataclass(frozen=True)
class DemoRequest:
    """What is asked for.

    Attributes:
        size: a key of :data:`SIZES`.
        workers: processes of rendering and training.
        uses_ray: False does everything in one process after the other.
    """

    size: str = "demo"
    workers: int = 2
    uses_ray: bool = True

    @property
    def amounts(self) -> DemoSize:
        """How much of everything."""
        return SIZES[self.size]

    @property
    def where(self) -> tuple[str, ...]:
        """Options of `hoiray label`."""
        return () if self.uses_ray else ("--no-ray",)

    @property
    def where_trained(self) -> tuple[str, ...]:
        """Options of `hoiray train`."""
        return ("--workers", str(self.workers)) if self.uses_ray else ("--no-ray",)


@dataclass(frozen=True)
class Demo:
    """A demo that has ended.

    Attributes:
        story: of the self-training.
        scores: student against teacher, by the name of the test set.
        phases: every command, in order.
    """

    story: Story
    scores: Mapping[str, Audit]
    phases: Sequence[Done]


def run_demo(
    request: DemoRequest,
    store: Store,
    watch: Watch,
    *,
    on_done: Callable[[Done], None],
    inherited: Sequence[int] = (),
) -> Demo:
    """Do what is not done yet.

    Args:
        request: what is asked for.
        store: a local folder, held by the caller.
        watch: told what the commands print.
        on_done: told of each command that has ended, or had before.
        inherited: file descriptors the commands keep open.

    Raises:
        ConfigError: the folder holds a demo of another size.
        PhaseFailedError: a command failed.
    """
    finished: list[Done] = []

    def do(phase: Phase) -> None:
        done = run_phase(store, phase, watch, inherited)
        finished.append(done)
        on_done(done)

    for number, test_set in enumerate(TEST_SETS):
        do(_data_phase(request, store, test_set.name, SEED + number))
    write_video_list(store)
    run = demo_run(request, store)
    store.write(RUN_FILE, dump(run).encode())
    rounds_request = RoundsRequest(
        run, store.url(RUN_FILE), label_options=request.where, train_options=request.where_trained
    )
    rounds = Rounds(rounds_request, store, watch, on_done=on_done, inherited=inherited)
    story = rounds.run()
    finished += rounds.finished
    scores = {}
    for test_set in TEST_SETS:
        do(_test_phase(request, store, test_set, story))
        scores[test_set.name] = read_audit(store.below(f"tests/{test_set.name}"))
    return Demo(story, scores, tuple(finished))


def demo_run(request: DemoRequest, store: Store) -> RunConfig:
    """Write the run file of the demo: what `hoiray self-train` is asked for."""
    amounts = request.amounts
    training: dict[str, Any] = dict(training_preset("nano")) | {
        "annotated": {"format": "ho3d_v2", "uri": store.url("data/lab"), "split": "train"},
        "epochs": amounts.epochs,
        "steps_per_epoch": amounts.steps_per_epoch,
        "batch_size": amounts.batch_size,
        # nothing is chosen by held-out scores here: the audit and the tests are sets of their own
        "validation_fraction": 0.0,
    }
    values = {
        "name": "demo",
        "output_uri": store.uri,
        "seed": SEED,
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
        "self_training": SelfTraining(
            max_rounds=1,
            audit=AuditConfig(
                uri=store.url("data/wild"),
                format="synthetic_truth",
                split="validation",
                max_samples=amounts.max_samples,
            ),
        ),
    }
    return RunConfig.model_validate(values)


def write_video_list(store: Store) -> None:
    """List the training videos of the wild set: those of its other splits are for the audit and the test."""
    dataset = SomethingDataset.open(store.url("data/wild"), "train")
    lines = sorted(store.url(f"data/wild/{video.key}") for video in dataset.videos)
    store.write(VIDEO_LIST, ("\n".join(lines) + "\n").encode())


def _data_phase(request: DemoRequest, store: Store, name: str, seed: int) -> Phase:
    arguments = (
        *("synth", name, "--out", store.url(f"data/{name}"), "--size", request.amounts.size, "--seed", str(seed)),
        *("--workers", str(request.workers if request.uses_ray else 1), "--resume"),
    )
    return Phase(f"data/{name}", f"render the {name} world", arguments, {"size": request.amounts.size, "seed": seed})


def _test_phase(request: DemoRequest, store: Store, test_set: TestSet, story: Story) -> Phase:
    student = story.rounds[-1].student
    arguments = [
        *("evaluate", "--model", student, "--against", story.teacher, "--data", store.url(f"data/{test_set.name}")),
        *("--samples", str(request.amounts.max_samples), "--out", store.url(f"tests/{test_set.name}")),
        *("--baseline-from", store.url("data/lab"), "--baseline-split", "train"),
    ]
    for option, value in (("--format", test_set.format), ("--split", test_set.split)):
        arguments += [] if value is None else [option, value]
    settings: dict[str, JsonValue] = {
        "student": student,
        "teacher": story.teacher,
        "samples": request.amounts.max_samples,
    }
    says = f"score teacher and student: {test_set.says}"
    return Phase(f"tests/{test_set.name}", says, tuple(arguments), settings)
