"""A simulated world labelled for real: planned whole, labelled in part or whole, stopped, gone on with, and checked."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc
import yaml

from hoiray.benchmarks.simulate_world import BYTES_A_FRAME, World, WorldFrames, WorldPredictor, number_of
from hoiray.config.load import parse_run
from hoiray.config.what import RunConfig
from hoiray.io.store import Store
from hoiray.schema.marker import CommitMarker
from hoiray.stages.commit import read_marker, read_rows
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import ShardResult, Tools, label_here
from hoiray.stages.ledger import Ledger, ledger_of
from hoiray.stages.pending import Portion, pending_table
from hoiray.stages.plan import load_shard
from hoiray.stages.run_layout import PLAN_FOLDER
from hoiray.stages.snapshot import make_snapshot

TEACHER: Final = "hoiray.benchmarks.simulate_world.make"
BATCH_SIZE: Final = 64


@dataclass(frozen=True)
class ShardTime:
    """A shard that was labelled: its planned frames, and the processor time of all of it."""

    planned: int
    cpu_s: float


@dataclass(frozen=True)
class Simulated:
    """What a simulated labelling came to.

    Attributes:
        num_videos, num_shards, num_sampled: of the world, of its plan, and shards that were labelled.
        num_frames: that were predicted.
        num_rows, num_accepted, num_dead: labels and dead videos of the sampled shards; all of them as planted.
        plan_s, queue_s, resume_s, snapshot_s: seconds of the control plane; resume and snapshot with what is committed.
        cpu_s: processor time of the labelling itself, in one process.
        shards: each, in order.
        ledger: what the markers say of its cost.
    """

    num_videos: int
    num_shards: int
    num_sampled: int
    num_frames: int
    num_rows: int
    num_accepted: int
    num_dead: int
    plan_s: float
    queue_s: float
    resume_s: float
    snapshot_s: float
    cpu_s: float
    shards: tuple[ShardTime, ...]
    ledger: Ledger


def run_of(world: World, folder: Path, *, target_frames: int) -> RunConfig:
    """Return the run that labels a world: by the paper's limits, as far as they are on joints."""
    values: dict[str, Any] = {
        "name": "simulated",
        "output_uri": str(folder),
        "videos": {"uri": "s3://nowhere", "box_format": "none", "hand_side": "boxes"},
        "sharding": {"target_frames": target_frames, "max_video_frames": 1_000_000},
        "hand": {"flat_hand_mean": True},
        "teacher": {"predictor": TEACHER, "options": {"seed": world.seed, "num_videos": world.num_videos}},
        "ensemble": {"num_views": 1},
        "limits": {"min_box_iou": None, "max_shape_deviation_sigma": None, "max_motion_pose": None},
    }
    return parse_run(yaml.safe_dump(values))


def plan_world(world: World, run: RunConfig) -> float:
    """Plan a world into its run's folder through the code of `hoiray index`; return the seconds."""
    begin = time.monotonic()
    request = IndexRequest(run.videos, run.sharding, "none", BYTES_A_FRAME)
    make_plan(request, Store.open(run.output_uri).below(PLAN_FOLDER), listing=world.listing())
    return time.monotonic() - begin


def simulate_run(world: World, folder: Path, *, target_frames: int, max_shards: int) -> Simulated:
    """Plan a world, label shards of it in two goes, and check every verdict.

    Args:
        world: what there is.
        folder: an empty one.
        target_frames: of a shard.
        max_shards: that are labelled: all, or every so many of the queue where there are more.

    Raises:
        RuntimeError: a label, a dead video or a resumed shard is not what the world says.
    """
    run = run_of(world, folder, target_frames=target_frames)
    plan_s = plan_world(world, run)
    job = open_label_job(run)
    begin = time.monotonic()
    queue = pending_table(job.plan, job.store, job.predictions)
    queue_s = time.monotonic() - begin
    names = queue["shard_id"].to_pylist()
    step = max(1, -(-len(names) // max_shards))
    sampled = frozenset(names[::step])
    tools = Tools(WorldPredictor(world), WorldFrames(world), BATCH_SIZE)
    first = list(_labelled(job, tools, sampled, at_most=len(sampled) // 2))
    begin = time.monotonic()
    num_left = pending_table(job.plan, job.store, job.predictions, Portion(sampled)).num_rows
    resume_s = time.monotonic() - begin
    rest = list(_labelled(job, tools, sampled, at_most=len(sampled)))
    if (len(first) + num_left, len(rest)) != (len(sampled), num_left):
        raise RuntimeError(f"{len(first)} shards, then {len(rest)} of {num_left}, are not {len(sampled)} in all")
    begin = time.monotonic()
    make_snapshot(job.store, job.plan, job.labels, allow_partial=True)
    snapshot_s = time.monotonic() - begin
    markers = [_marker(job, name, is_label=False) for name in sorted(sampled)]
    judged = [_marker(job, name, is_label=True) for name in sorted(sampled)]
    num_dead = check_verdicts(world, job, sampled)
    results = [*first, *rest]
    return Simulated(
        num_videos=job.plan.head.num_videos,
        num_shards=len(names),
        num_sampled=len(sampled),
        num_frames=sum(result.num_frames for result, _ in results),
        num_rows=sum(marker.num_rows for marker in judged),
        num_accepted=sum(marker.num_accepted or 0 for marker in judged),
        num_dead=num_dead,
        plan_s=plan_s,
        queue_s=queue_s,
        resume_s=resume_s,
        snapshot_s=snapshot_s,
        cpu_s=sum(seconds for _, seconds in results),
        shards=tuple(ShardTime(result.cost_frames, seconds) for result, seconds in results),
        ledger=ledger_of(markers, judged),
    )


def _labelled(
    job: LabelJob, tools: Tools, only: frozenset[str], *, at_most: int
) -> Iterator[tuple[ShardResult, float]]:
    """Label some shards; yield each with the processor time it took. Not more are begun than `at_most`."""
    num_begun = 0

    def ask() -> bool:
        nonlocal num_begun
        num_begun += 1
        return num_begun <= at_most

    begin = time.process_time()
    for result in label_here(job, tools, lambda _count: None, Portion(only, ask)):
        if isinstance(result, ShardResult):
            yield result, time.process_time() - begin
        begin = time.process_time()


def check_verdicts(world: World, job: LabelJob, shard_ids: frozenset[str]) -> int:
    """Hold the labels of some shards against what was planted; return how many videos were given up.

    Raises:
        RuntimeError: names the first video whose labels are others, or are there twice.
    """
    num_dead = 0
    for entry in job.plan.shards():
        if entry.shard_id not in shard_ids:
            continue
        labels, predictions = (_marker(job, entry.shard_id, is_label=it) for it in (True, False))
        dead = {letter.video_id for letter in predictions.dead_letters}
        num_dead += len(dead)
        rows = read_rows(job.store, labels)
        for name in load_shard(job.plan, entry).segments["video_id"].to_pylist():
            own = rows.filter(pc.equal(rows["video_id"], name))
            _check_video(world, name, own, is_dead=name in dead)
    return num_dead


def _check_video(world: World, name: str, rows: Any, *, is_dead: bool) -> None:  # noqa: ANN401 - a table of labels
    wanted = world.verdict(number_of(name))
    reasons = Counter(pc.list_flatten(rows["reasons"]).to_pylist())
    planted = {reason: reasons[reason] for reason in wanted.reasons}
    accepted = int(pc.sum(rows["accepted"]).as_py() or 0)
    num_keys = len(set(rows["frame_index"].to_pylist()))
    found = (rows.num_rows, num_keys, accepted, is_dead, planted)
    expected = (wanted.num_rows, wanted.num_rows, wanted.num_accepted, wanted.is_dead, dict(wanted.reasons))
    if found != expected:
        fault = world.fault(number_of(name))
        raise RuntimeError(f"{name} ({fault}): rows, frames, accepted, dead, reasons {found}, planted {expected}")


def _marker(job: LabelJob, shard_id: str, *, is_label: bool) -> CommitMarker:
    marker = read_marker(job.store, job.labels if is_label else job.predictions, shard_id)
    if marker is None:
        raise RuntimeError(f"shard {shard_id} was labelled and has no marker")
    return marker
