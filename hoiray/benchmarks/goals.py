"""What is asked of every row of the table of speeds, in one place; and what a row holds.

A row is a figure that was measured, most often a ratio of two things that were measured in turns. Its goal stands here
and nowhere else, and beside it, where a goal was missed and somebody looked, what a profiler said is the cause.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from hoiray.benchmarks.timing import Comparison, Spread


@dataclass(frozen=True)
class Goal:
    """What is asked of a row.

    Attributes:
        section: which part of the table it belongs to.
        what: is measured.
        against: which it is divided by; empty where the figure stands for itself.
        value: the goal.
        is_least: the figure has to be at least that; False: at most.
        unit: of figure and goal; empty for a ratio.
        cause: why it is missed, where it is: found with a profiler, not guessed.
    """

    section: str
    what: str
    against: str
    value: float
    is_least: bool
    unit: str = ""
    cause: str = ""

    def is_met(self, figure: float) -> bool:
        """Whether a figure is good enough."""
        return figure >= self.value if self.is_least else figure <= self.value

    @property
    def text(self) -> str:
        """The goal for people."""
        return f"{'at least' if self.is_least else 'at most'} {number(self.value)}{self.unit and ' ' + self.unit}"


@dataclass(frozen=True)
class Row:
    """A figure.

    Attributes:
        key: of :data:`GOALS`.
        figure: median and extremes.
        count: measurements, pairs where it is a ratio.
        note: what else there is to say.
    """

    key: str
    figure: Spread
    count: int
    note: str = ""

    @classmethod
    def of(cls, key: str, comparison: Comparison, note: str = "") -> "Row":
        """Make the row of a comparison whose ratio is the figure."""
        return cls(key, comparison.ratio, comparison.pairs, note)

    @classmethod
    def inverse(cls, key: str, comparison: Comparison, note: str = "") -> "Row":
        """Make the row of a comparison of times whose figure is a ratio of speeds."""
        ratio = comparison.ratio
        return cls(key, Spread(1 / ratio.median, 1 / ratio.maximum, 1 / ratio.minimum), comparison.pairs, note)

    @classmethod
    def single(cls, key: str, value: float, note: str = "") -> "Row":
        """Make the row of something that was measured once, or counted."""
        return cls(key, Spread.of([value]), 1, note)

    @classmethod
    def parsed(cls, values: Mapping[str, Any]) -> "Row":
        """Read what :meth:`plain` wrote."""
        return cls(values["key"], Spread(**values["figure"]), int(values["count"]), str(values["note"]))

    def plain(self) -> dict[str, Any]:
        """Return it for JSON, with its goal and whether that is met."""
        goal = GOALS[self.key]
        return asdict(self) | {"goal": goal.value, "is_least": goal.is_least, "is_met": goal.is_met(self.figure.median)}

    def line(self) -> str:
        """Return it as a line of the table."""
        goal = GOALS[self.key]
        is_met = goal.is_met(self.figure.median)
        figure = number(self.figure.median) + (f" {goal.unit}" if goal.unit else "")
        if self.count > 1:
            figure += f" ({number(self.figure.minimum)} - {number(self.figure.maximum)})"
        missed = f"Cause: {goal.cause or 'not known yet'}." if not is_met else ""
        said = " ".join(it for it in (missed, self.note) if it)
        verdict = "yes" if is_met else "**no**"
        cells = (goal.what, goal.against or "-", figure, str(self.count), goal.text, verdict, said)
        return "| " + " | ".join(cells) + " |"


def number(value: float) -> str:
    """Write a figure with three digits that count, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


_BARE: Final = "a bare loop without Ray: decord, the same network, the same views, the same threads"
_PIPELINE, _ENSEMBLE, _FILTERS, _JUDGE = "Pipeline", "Ensemble", "Filters", "Judge"
_CONTROL, _BYTES, _PEER, _TRAIN, _ADAPTIVE = "Control plane", "Bytes", "Peer", "Training", "Adaptive ensemble"

_NETWORKS: Final = (
    "three quarters of the time are the networks (py-spy): torch's kernels take 20 ms of a core for a full reading,"
    " MediaPipe's 13; a quarter of the hands are read a second time, where they lie off the middle of their square;"
    " palms are a fifth. Fit, measurements, table and verdict, which MediaPipe does not have, are most of the rest."
    " Half precision moves points by 1.4 px and OpenCV's own inference is slower, so neither is taken"
)

_BUFFERS: Final = (
    "chance: what else lies in memory at the peak of so small a plan moves the figure by some MiB a million. From"
    " 100,000 to ten million videos results/control.md has 3.5 MiB a million for the index, 3.8 for an opened plan"
)

_ONE: Final = (
    "its actor never waits for frames, and is nine tenths of its time in the network and its views (py-spy, idle time"
    " counted); the tenth is what the bare loop does not do: a child that decodes and hands frames over, how much the"
    " picture changed, the rows. The other processes take a quarter of a processor, and caches, beside it"
)
_SHARED: Final = (
    "processors. Two bare loops fill this machine's two; the predictors of a labelling share them with its command,"
    " decoders, the actors that measure and judge, and Ray's own, which together take the CPUs that this table"
    " names (by their clocks). Where there are more cores than predictors, as beside a GPU, that falls away"
)

GOALS: Final[Mapping[str, Goal]] = MappingProxyType(
    {
        "pipeline_1": Goal(
            _PIPELINE, "`hoiray label` on Ray, one predictor, steady state: frames/s", _BARE, 0.95, True, cause=_ONE,
        ),
        "pipeline_1_job": Goal(
            _PIPELINE, "the same as a job of ten minutes, start and end included", _BARE, 0.85, True, cause=_ONE,
        ),
        "pipeline_2": Goal(
            _PIPELINE, "`hoiray label` on Ray, two predictors, steady state: frames/s",
            "two bare loops at the same time", 0.95, True, cause=_SHARED,
        ),
        "pipeline_2_job": Goal(
            _PIPELINE, "the same as a job of ten minutes, start and end included",
            "two bare loops at the same time", 0.85, True, cause=_SHARED,
        ),
        "views": Goal(_ENSEMBLE, "time of 8 views in one call", "8 times one view of the same hands", 1.10, False),
        "precision": Goal(
            _ENSEMBLE, "time of 8 views as this device computes them best", "8 views in float32", 1.05, False
        ),
        "crops": Goal(
            _ENSEMBLE, "time to cut 64 crops in one batched warp", "cutting them one by one with OpenCV", 1.0, False,
            cause="on a CPU OpenCV's warp works in 8 bits with instructions made for it, the batched one in floating"
            " point; hoiray takes OpenCV there and the batched warp on a GPU only",
        ),
        "decode": Goal(
            _ENSEMBLE, "time to decode a clip as a predictor's actor does, in a child that may hang or die",
            "decord alone in the same process", 1.15, False,
        ),
        "filters": Goal(_FILTERS, "all filters together, of one core", "", 300_000, True, "rows/s"),
        "solver": Goal(
            _FILTERS, "all eight spatial measurements, the camera among them: speed",
            "scipy.optimize for the camera alone, frame by frame", 1000, True,
            cause="nine tenths of the time are in the compiled kernel (cProfile), 1.2 to 1.7 us a hand for all eight"
            " measurements; the other side, 0.4 to 0.9 ms, does one of them",
        ),
        "loop": Goal(_FILTERS, "motion of all videos in one pass: speed", "a Python loop over videos", 1.0, True),
        "judge_sql": Goal(
            _JUDGE, "time from predictions to labels, Parquet to Parquet, one thread",
            "the same verdicts by DuckDB on the same file, one thread", 1.5, False,
        ),
        "judge_groupby": Goal(
            _JUDGE, "the same on Ray, whole shards", "the same function behind Ray's `groupby().map_groups`", 1.0, False
        ),
        "judge_10": Goal(_JUDGE, "time a row at 10 times the rows", "time a row", 1.1, False),
        "judge_100": Goal(_JUDGE, "time a row at 100 times the rows", "time a row", 1.1, False),
        "judge_memory": Goal(_JUDGE, "peak memory at 100 times the rows", "peak memory", 1.2, False),
        "dispatch": Goal(
            _CONTROL, "driver's processor time a video, at 100 videos a shard", "", 0.3, False, "ms",
            cause="it is the loop of Ray Data's executor (py-spy): four tasks a shard, a quarter of the loop's time in"
            " submitting them, a quarter in waiting for Ray, a fifth in its accounts of resources. Handing shards over"
            " as blocks instead of by a read saved 7 % (median of three pairs). Shards of more videos cost no more",
        ),
        "resume": Goal(_CONTROL, "planning what is left beside 100,000 committed shards", "", 30.0, False, "s"),
        "driver_memory": Goal(
            _CONTROL, "memory of an opened plan, a million videos more", "", 5.0, False, "MiB", cause=_BUFFERS
        ),
        "index_memory": Goal(
            _CONTROL, "memory of `hoiray index`, a million videos more", "", 5.0, False, "MiB", cause=_BUFFERS
        ),
        "bytes_ray": Goal(
            _BYTES, "through Ray's object store, a hand", "", 1500, False, "bytes",
            cause="every row passes twice, fused from predicting to measuring and measured from there to judging",
        ),
        "bytes_stored": Goal(_BYTES, "predictions written to storage, a hand", "", 1500, False, "bytes"),
        "peer": Goal(
            _PEER, "`hoiray label --teacher landmarks`, one view: frames/s",
            "a plain script around MediaPipe Hands, the same networks, the same clips", 2.0, True, cause=_NETWORKS,
        ),
        "peer_images": Goal(
            _PEER, "the same", "MediaPipe Hands image by image, as daft-physical-ai's track_hands calls it", 2.0, True,
            cause=_NETWORKS,
        ),
        "train_step": Goal(_TRAIN, "time of a step, batches ready", "a bare PyTorch step", 1.1, False),
        "train_loading": Goal(_TRAIN, "time of a bare step with loading", "batches ready", 1.1, False),
        "train_ray_1": Goal(_TRAIN, "time of a step of Ray Train, one worker", "a bare loop, one thread", 1.1, False),
        "train_ray_2": Goal(_TRAIN, "the same, two workers", "a bare loop, two threads", 1.1, False),
        "adaptive_kept": Goal(
            _ADAPTIVE, "accepted labels of all views that the cascade accepts too", "", 0.98, True
        ),
        "adaptive_views": Goal(
            _ADAPTIVE, "views", "all views", 1.0 / 3.0, False,
            cause="verdicts hang on every view, as motion between frames is held against a limit that most hands are"
            " near: on two synthetic wild sets 7 of the 8 views keep 91 % of the accepted labels, 4 keep 68 and 74 %, 2"
            " keep 57 %; deciding a guessed side by one view loses another 7 %; with perfect foresight of which hands"
            " are accepted a third would just suffice. What is left to save are hands that are refused anyway, and"
            " whose single view says so with a margin",
        ),
    }
)  # fmt: skip
"""Every row there may be, in the order of the table."""
