"""The whole loop on the synthetic world: data, teacher, labels, student, scores on four worlds, and a report.

What it shows is how the parts work together, with honest numbers; it is no measure of what the method does with real
data at size. Its seed is fixed and its result is whatever it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from hoiray.config.dump import dump
from hoiray.config.self_training import Audit as AuditConfig
from hoiray.config.self_training import SelfTraining
from hoiray.config.what import RunConfig
from hoiray.io.store import Store
from hoiray.selftrain.audit import Audit, read_audit
from hoiray.selftrain.phases import Done, Phase, Runner
from hoiray.selftrain.rounds import Rounds, RoundsRequest, Story
from hoiray.selftrain.twin import (
    FINE_TUNING,
    LAX_LIMITS,
    WORLDS,
    Amounts,
    render_phase,
    score_arguments,
    twin_run,
    write_video_list,
)

if TYPE_CHECKING:
    from pydantic import JsonValue

RUN_FILE: Final = "demo.yaml"

SIZES: Final[Mapping[str, Amounts]] = MappingProxyType(
    {
        "tiny": Amounts(dict.fromkeys(WORLDS, "tiny"), 2, 5, 16, 64, 40, LAX_LIMITS),
        "demo": Amounts(dict.fromkeys(WORLDS, "demo"), 5, 110, 32, 512, 500, init_parts="all", optimiser=FINE_TUNING),
    }
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
    def amounts(self) -> Amounts:
        """How much of everything."""
        return SIZES[self.size]

    @property
    def label_options(self) -> tuple[str, ...]:
        """Where `hoiray label` runs."""
        return () if self.uses_ray else ("--no-ray",)

    @property
    def train_options(self) -> tuple[str, ...]:
        """Where `hoiray train` runs."""
        return ("--workers", str(self.workers)) if self.uses_ray else ("--no-ray",)


@dataclass(frozen=True)
class Demo:
    """A demo that has ended.

    Attributes:
        story: of the self-training.
        scores: student against teacher, by the name of the world.
        phases: every command, in order.
    """

    story: Story
    scores: Mapping[str, Audit]
    phases: Sequence[Done]


def run_demo(request: DemoRequest, runner: Runner) -> Demo:
    """Do what is not done yet.

    Args:
        request: what is asked for.
        runner: of a local folder.

    Raises:
        ConfigError: the folder holds a demo of another size.
        PhaseFailedError: a command failed.
    """
    store, amounts = runner.store, request.amounts
    for world in WORLDS:
        runner.do(render_phase(store, world, amounts, request.workers if request.uses_ray else 1))
    write_video_list(store)
    run = demo_run(request, store)
    store.write(RUN_FILE, dump(run).encode())
    rounds_request = RoundsRequest(
        run, store.url(RUN_FILE), label_options=request.label_options, train_options=request.train_options
    )
    story = Rounds(rounds_request, runner).run()
    scores = {}
    for world in WORLDS:
        runner.do(_score_phase(store, world, amounts, story))
        scores[world] = read_audit(store.below(f"tests/{world}"))
    return Demo(story, scores, tuple(runner.finished))


def demo_run(request: DemoRequest, store: Store) -> RunConfig:
    """Write the run file of the demo: what `hoiray self-train` is asked for."""
    audit = AuditConfig(
        uri=store.url("data/wild"),
        format="synthetic_truth",
        split="validation",
        max_samples=request.amounts.max_samples,
    )
    return twin_run(store, "demo", request.amounts, self_training=SelfTraining(max_rounds=1, audit=audit))


def _score_phase(store: Store, world: str, amounts: Amounts, story: Story) -> Phase:
    student, out = story.rounds[-1].student, f"tests/{world}"
    arguments = score_arguments(store, world, amounts, student, out, against=story.teacher)
    settings: dict[str, JsonValue] = {"student": student, "teacher": story.teacher, "samples": amounts.max_samples}
    return Phase(out, f"score teacher and student: {WORLDS[world].says}", arguments, settings)
