"""What the machinery around the model costs: `hoiray label` on Ray beside the bare loop that does the same to pixels.

Clips of Something-Something's size, one hand a frame, the packaged network in 8 views. A labelling is a process of its
own from the command to its end; its steady state is the time between the commits of its shards, but for the first
rounds, while Ray still starts workers, and for the end, when a predictor is done before the others. The bare loops
(:mod:`hoiray.benchmarks.bare_loop`) are processes too, loaded once and told when to start; with two predictors, two of
them run at the same time.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hoiray.benchmarks.control_run import CLUSTER, RUN_OF_VIDEOS, Look, role_of, write_videos
from hoiray.benchmarks.goals import Row
from hoiray.benchmarks.processes import descendants, usage
from hoiray.benchmarks.timing import Spread
from hoiray.config.load import load_cluster, load_run
from hoiray.io.encode import VP9_WEBM

VIEWS: Final = 8
BATCH_SIZE: Final = 8
FRAMES_A_VIDEO: Final = 48
"""Of a Something-Something clip, boxed or not, about."""

VIDEOS_A_SHARD: Final = 2
ROUNDS: Final = 5
"""Shards of every predictor."""

FIRST_ROUNDS: Final = 2
"""Of them, not counted."""

BARE_ROUNDS: Final = 2
WATCH_S: Final = 0.1

JOB_S: Final = 600.0
WEBM: Final = Look((427, 240), (150.0, 70.0, 260.0, 190.0), VP9_WEBM, ".webm")

_NETWORK: Final = """
name: pipeline
teacher: {{predictor: network, checkpoint_uri: "{checkpoint}"}}
ensemble: {{num_views: {views}}}
"""
RUN: Final = RUN_OF_VIDEOS + _NETWORK


@dataclass(frozen=True)
class Labelled:
    """A labelling from its command to its end.

    Attributes:
        num_frames: of all of it.
        wall_s: from the command to the end of its process.
        steady_frames_per_s: between the commits of its first rounds and its last one.
        beside_cpus: processors that all processes but the predictors took in that time: command, decoders, actors that
            measure and judge, and Ray's own.
    """

    num_frames: int
    wall_s: float
    steady_frames_per_s: float
    beside_cpus: float

    @property
    def around_s(self) -> float:
        """Time before and after the frames: imports, Ray's start, actors, weights, the end."""
        return self.wall_s - self.num_frames / self.steady_frames_per_s

    @property
    def job_frames_per_s(self) -> float:
        """Frames a second of a job of `JOB_S` with this start, pace and end."""
        return max(JOB_S - self.around_s, 0.0) / JOB_S * self.steady_frames_per_s


@dataclass(frozen=True)
class Pair:
    """A labelling, and the bare loops beside it."""

    labelled: Labelled
    bare_frames_per_s: float


def write_scene(folder: Path, num_predictors: int, *, rounds: int = ROUNDS) -> None:
    """Write the videos, their boxes, and both files of a run with so many predictors."""
    from hoiray.selftrain.twin import PACKAGED_TEACHER

    write_videos(folder, rounds * num_predictors * VIDEOS_A_SHARD, FRAMES_A_VIDEO, WEBM)
    values = {"folder": folder, "checkpoint": PACKAGED_TEACHER, "views": VIEWS}
    (folder / "run.yaml").write_text(RUN.format(target_frames=FRAMES_A_VIDEO * VIDEOS_A_SHARD, **values))
    (folder / "cluster.yaml").write_text(CLUSTER.format(count=num_predictors, batch_size=BATCH_SIZE))


def measure(folder: Path, num_predictors: int, *, pairs: int) -> list[Row]:
    """Measure so many predictors, and of a single one count bytes too; `folder` is empty."""
    write_scene(folder, num_predictors)
    counted = count_bytes(folder) if num_predictors == 1 else []
    return [*rows_of(num_predictors, measure_pairs(folder, num_predictors, pairs)), *counted]


def measure_pairs(folder: Path, num_predictors: int, pairs: int) -> list[Pair]:
    """Label and loop in turns."""
    found = []
    with ExitStack() as stack:
        loops = [stack.enter_context(_bare_loop(folder)) for _ in range(num_predictors)]
        for pair in range(pairs):
            is_bare_first = pair % 2 == 1
            before = _bare_frames_per_s(loops) if is_bare_first else 0.0
            labelled = label_once(folder, num_predictors, folder / f"out-{pair}")
            found.append(Pair(labelled, before if is_bare_first else _bare_frames_per_s(loops)))
    return found


def rows_of(num_predictors: int, pairs: Sequence[Pair]) -> list[Row]:
    """Make the rows of so many predictors: steady state, and the job with its start and end."""
    steady = [it.labelled.steady_frames_per_s / it.bare_frames_per_s for it in pairs]
    job = [it.labelled.job_frames_per_s / it.bare_frames_per_s for it in pairs]
    labelled = Spread.of([it.labelled.steady_frames_per_s for it in pairs])
    bare, around = Spread.of([it.bare_frames_per_s for it in pairs]), Spread.of([it.labelled.around_s for it in pairs])
    beside = Spread.of([it.labelled.beside_cpus for it in pairs])
    notes = (
        f"{labelled.median:.1f} against {bare.median:.1f} frames/s, one hand each, {VIEWS} views. All processes beside"
        f" the predictors took {beside.median:.2f} CPUs ({beside.minimum:.2f} - {beside.maximum:.2f}).",
        f"Start and end took {around.median:.0f} s ({around.minimum:.0f} - {around.maximum:.0f}); reckoned with the"
        " steady pace of the same run.",
    )
    return [
        Row(f"pipeline_{num_predictors}", Spread.of(steady), len(pairs), notes[0]),
        Row(f"pipeline_{num_predictors}_job", Spread.of(job), len(pairs), notes[1]),
    ]


def label_once(folder: Path, num_predictors: int, out: Path) -> Labelled:
    """Label the scene into a new folder.

    Raises:
        RuntimeError: the labelling failed; with what it said last.
    """
    command = [sys.executable, "-m", "hoiray.benchmarks.pipeline", str(folder), str(out)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    begin = time.monotonic()
    clocks = _Clocks(num_predictors, num_shards=ROUNDS * num_predictors)
    with (folder / "said.txt").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        while process.poll() is None:
            clocks.look(process.pid, len(_commit_times(out)))
            time.sleep(WATCH_S)
        wall_s = time.monotonic() - begin
        if process.returncode != 0:
            said.seek(0)
            raise RuntimeError(f"the labelling ended with {process.returncode}: {said.read()[-3000:]}")
    times = _commit_times(out)
    frames_a_shard = FRAMES_A_VIDEO * VIDEOS_A_SHARD
    rate = steady_rate(times, num_predictors) * frames_a_shard
    return Labelled(len(times) * frames_a_shard, wall_s, rate, clocks.beside_cpus())


def _commit_times(out: Path) -> list[float]:
    return sorted(path.stat().st_mtime for path in out.glob("predictions/*/commit/*.json"))


class _Clocks:
    """CPU clocks of a labelling's processes, read when its steady state begins and when it ends."""

    def __init__(self, num_predictors: int, num_shards: int) -> None:
        self._begin, self._end = FIRST_ROUNDS * num_predictors, num_shards - num_predictors + 1
        self._read: list[tuple[float, dict[int, float]]] = []

    def look(self, pid: int, num_committed: int) -> None:
        """Read the clocks of a process and all below it, but for predictors, where it is time to."""
        if num_committed >= (self._begin, self._end, math.inf)[len(self._read)]:
            now_s, found = time.monotonic(), [usage(pid), *descendants(pid)]
            beside = {it.pid: it.cpu_s for it in found if it is not None and role_of(it.title) != "predict"}
            self._read.append((now_s, beside))

    def beside_cpus(self) -> float:
        """Processors between both readings; NaN where one is missing, as the labelling ended before it."""
        if len(self._read) < 2:
            return math.nan
        (begin_s, before), (end_s, after) = self._read
        return sum(cpu_s - before.get(pid, 0.0) for pid, cpu_s in after.items()) / (end_s - begin_s)


def steady_rate(times_s: Sequence[float], num_predictors: int) -> float:
    """Return shards a second from the times of their commits, in order.

    The first ones of each predictor are left out, and so are the last ones but one: once a predictor finds nothing more
    to do, the state is no longer steady.
    """
    first, last = FIRST_ROUNDS * num_predictors - 1, len(times_s) - num_predictors
    return (last - first) / (times_s[last] - times_s[first])


@contextmanager
def _bare_loop(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """Start a bare loop and wait until it has loaded its network."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hoiray.benchmarks.bare_loop", str(folder / "run.yaml"), str(BATCH_SIZE)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError("the bare loop ended before it was ready; what it said is above")
            yield process
        finally:
            process.kill()


def _bare_frames_per_s(loops: "Sequence[subprocess.Popen[str]]") -> float:
    """Let all loops run at the same time, over some rounds of the labelling each; frames a second together."""
    for loop in loops:
        assert loop.stdin is not None
        loop.stdin.write(f"{BARE_ROUNDS * VIDEOS_A_SHARD}\n")
        loop.stdin.flush()
    rates = []
    for loop in loops:
        assert loop.stdout is not None
        seconds, num_hands = loop.stdout.readline().split()
        rates.append(float(num_hands) / float(seconds))
    return sum(rates)


def count_bytes(folder: Path) -> list[Row]:
    """Label one shard without Ray and count what would pass through its object store, and what is written."""
    from hoiray.engine.session import settle_threads
    from hoiray.engine.transport import pack_measured, pack_predicted, pack_result
    from hoiray.stages.frame_source import DecodeSettings, LocalFrames
    from hoiray.stages.label_job import open_label_job
    from hoiray.stages.label_shard import Tools, judge_shard, measure_shard, predict_shard
    from hoiray.stages.pending import pending_shards
    from hoiray.stages.teacher import open_teacher

    job = open_label_job(load_run(str(folder / "run.yaml"), [f"output_uri={folder}/bytes"]))
    settle_threads()
    frames = LocalFrames(DecodeSettings(None))
    try:
        tools = Tools(open_teacher(job.run, device="cpu", batch_size=BATCH_SIZE), frames, BATCH_SIZE)
        entry = pending_shards(job.plan, job.store, job.predictions)[0]
        predicted = predict_shard(job, entry, tools)
    finally:
        frames.close()
    measured = measure_shard(job, predicted)
    result = judge_shard(job, measured)
    through = sum(it.nbytes for it in (pack_predicted(predicted), pack_measured(measured), pack_result(result)))
    hands = measured.marker.num_rows
    return [
        Row.single("bytes_ray", through / hands, "Fused rows, measured rows, and a line of counts a shard; no pixels."),
        Row.single("bytes_stored", measured.marker.data_bytes / hands, "Parquet, zstd; labels come to about the same."),
    ]


def main(arguments: Sequence[str]) -> None:
    """Label a scene with exactly as many predictors as its cluster file has.

    As `hoiray label` does, without its check of the cluster file: that refuses a pool of one, which would hang should
    its only actor die, and a larger one would grow here.
    """
    from hoiray.engine.label import label_on_ray
    from hoiray.engine.native_noise import native_noise_hidden
    from hoiray.engine.session import ray_session
    from hoiray.stages.label_job import open_label_job
    from hoiray.stages.label_summary import summarise

    folder, out = Path(arguments[0]), arguments[1]
    cluster = load_cluster(str(folder / "cluster.yaml"))
    job = open_label_job(load_run(str(folder / "run.yaml"), [f"output_uri={out}"]))
    with native_noise_hidden(), ray_session(None, cluster.head):
        for _event in label_on_ray(job, cluster, device="cpu", by_groupby=False):
            pass
    if not summarise(job).is_finished:
        raise RuntimeError("the labelling ended, and shards are left")


if __name__ == "__main__":
    main(sys.argv[1:])
