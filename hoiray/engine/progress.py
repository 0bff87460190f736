"""How far a labelling is: what is counted, the one line that says it, and Ray's metrics."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hoiray.engine.label import Tick
from hoiray.stages.dead import dead_budget_message
from hoiray.stages.label_shard import BucketResult, ShardResult


@dataclass
class LabelProgress:
    """Counts of one run of the command.

    Attributes:
        num_shards: that were pending at the start.
        cost_frames: what the planner reckoned with for them.
        now_s: a clock that never jumps.
    """

    num_shards: int
    cost_frames: int
    now_s: Callable[[], float] = time.monotonic
    num_done: int = 0
    num_videos: int = 0
    num_dead: int = 0
    num_judged: int = 0
    num_accepted: int = 0
    num_frames: int = 0
    cost_done: int = 0
    _begin_s: float = field(default=0.0, repr=False)
    _has_begun: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._begin_s = self.now_s()

    def begin(self) -> None:
        """Say that workers have started: the time until then tells nothing about their pace."""
        if not self._has_begun:
            self._begin_s, self._has_begun = self.now_s(), True

    def count_frames(self, num_frames: int) -> None:
        """Count frames that were predicted in this process."""
        self.begin()
        self.num_frames += num_frames

    def count(self, event: ShardResult | BucketResult | Tick) -> None:
        """Count what has come."""
        if isinstance(event, Tick):
            if event.has_begun:
                self.begin()
            self.num_frames = max(self.num_frames, event.num_frames)
            return
        judged = event if isinstance(event, BucketResult) else event.judged
        if judged is not None:
            self.num_judged += judged.num_rows
            self.num_accepted += judged.num_accepted
        if isinstance(event, ShardResult):
            self.num_done += 1
            self.num_videos += event.num_videos
            self.num_dead += event.num_dead
            self.cost_done += event.cost_frames

    def over_budget(self, max_dead_fraction: float, *, is_over: bool = False) -> str | None:
        """Say why the run has to stop, None where it may go on."""
        return dead_budget_message(self.num_dead, self.num_videos, max_dead_fraction, is_over=is_over)

    @property
    def frames_per_s(self) -> float:
        """Frames predicted a second since the workers have started."""
        return self.num_frames / max(self.now_s() - self._begin_s, 1e-9)

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end, should it go on as so far; None where nothing is known yet."""
        if self.num_frames == 0 and self.cost_done == 0:
            return None
        done = min(max(self.cost_done, self.num_frames), self.cost_frames)
        return (self.cost_frames - done) * (self.now_s() - self._begin_s) / done

    def line(self) -> str:
        """Say it in one line."""
        if self.num_shards and not (self._has_begun or self.num_done or self.num_judged):
            waited = duration(self.now_s() - self._begin_s)
            return f"0 of {self.num_shards} shards, workers are starting ({waited})"
        accepted = f", {self.num_accepted / self.num_judged:.0%} accepted" if self.num_judged else ""
        dead = f", {self.num_dead} videos given up" if self.num_dead else ""
        to_go = "" if self.eta_s is None or self.num_done == self.num_shards else f", {duration(self.eta_s)} to go"
        return f"{self.num_done} of {self.num_shards} shards, {self.frames_per_s:.1f} frames/s{accepted}{dead}{to_go}"


def duration(seconds: float) -> str:
    """Write a time for a person."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"


class Metrics:
    """The same counts as Ray's metrics, which its Prometheus endpoint shows."""

    def __init__(self, run_name: str) -> None:
        """Register them.

        Args:
            run_name: tag of every metric.
        """
        from ray.util.metrics import Counter, Gauge

        tags = {"run": run_name}
        self._counted: dict[str, float] = {}
        self._counters: dict[str, Any] = {
            name: Counter(f"hoiray_label_{name}", text, tag_keys=("run",))
            for name, text in (
                ("shards", "Shards finished."),
                ("frames", "Frames predicted."),
                ("videos", "Videos finished, given up ones included."),
                ("dead_videos", "Videos given up."),
                ("judged_hands", "Hands with a verdict."),
                ("accepted_hands", "Hands accepted."),
            )
        }
        self._gauges: dict[str, Any] = {
            name: Gauge(f"hoiray_label_{name}", text, tag_keys=("run",))
            for name, text in (("pending_shards", "Shards to do."), ("frames_per_second", "Since the start."))
        }
        for metric in (*self._counters.values(), *self._gauges.values()):
            metric.set_default_tags(tags)

    def show(self, progress: LabelProgress) -> None:
        """Bring the metrics up to the counts."""
        totals = {
            "shards": progress.num_done,
            "frames": progress.num_frames,
            "videos": progress.num_videos,
            "dead_videos": progress.num_dead,
            "judged_hands": progress.num_judged,
            "accepted_hands": progress.num_accepted,
        }
        for name, total in totals.items():
            new = total - self._counted.get(name, 0)
            if new > 0:
                self._counters[name].inc(new)
                self._counted[name] = total
        self._gauges["pending_shards"].set(progress.num_shards - progress.num_done)
        self._gauges["frames_per_second"].set(progress.frames_per_s)
