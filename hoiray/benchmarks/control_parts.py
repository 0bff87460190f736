"""Measurements of the control plane, each in a process of its own: `python -m hoiray.benchmarks.control_parts ...`.

A part prints one line of JSON. What it measures goes through the code that a user's run goes through; only videos,
boxes and markers come from here instead of from a disk full of them.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from hoiray import __version__
from hoiray.benchmarks.processes import forget_peak, peak_memory_mib, resident_memory_mib
from hoiray.config.what import Sharding, Videos
from hoiray.datasets.formats.something import LabelledBox, frame_to_file
from hoiray.io.store import Store
from hoiray.schema.marker import CommitMarker
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.listing import FoundVideo, list_videos
from hoiray.stages.packing import id_of
from hoiray.stages.pending import pending_table
from hoiray.stages.plan import Plan, ShardEntry, load_shard, open_plan
from hoiray.stages.run_layout import PLAN_FOLDER, Area, predictions_area
from hoiray.stages.status import run_status

FRAMES_A_CLIP: Final = 43
"""Boxed frames of a Something-Something clip, mean."""

BYTES_A_FRAME: Final = 2500.0
MIXED: Final = 0x9E3779B97F4A7C15
WORD: Final = 1 << 64
PUTS_AT_ONCE: Final = 16
NUM_LOADED: Final = 1000
MAX_LINKS: Final = 50_000
"""Names of one file; ext4 allows 65,000."""

Figures = dict[str, float | int | str]


def lister(count: int, *, frames: int = FRAMES_A_CLIP, suffix: str = ".webm") -> Iterator[FoundVideo]:
    """List videos that are nowhere: name, size and version of each follow from its number."""
    for number in range(count):
        mixed = (number + 1) * MIXED % WORD
        size = round((0.5 + (mixed >> 32) / 2**32) * frames * BYTES_A_FRAME)
        name = f"{number:08d}{suffix}"
        yield FoundVideo(name, f"s3://nowhere/{name}", size, f"{mixed:016x}", None)


def index(folder: str, count: int) -> Figures:
    """Plan so many videos."""
    _warm_up(folder)
    begin_mib, begin_s, begin_cpu_s = _begin_mib(), time.monotonic(), time.process_time()
    plan = make_plan(_request(), _plan_store(folder, count), listing=lister(count))
    return {
        "videos": plan.head.num_videos, "shards": plan.head.num_shards,
        "seconds": time.monotonic() - begin_s, "cpu_s": time.process_time() - begin_cpu_s,
        "start_mib": begin_mib, "grown_mib": peak_memory_mib() - begin_mib,
    }  # fmt: skip


def opening(folder: str, count: int) -> Figures:
    """Do to a plan what the driver of a labelling does before its first shard, and what workers do with it."""
    _warm_up(folder)
    begin_mib, begin_s = _begin_mib(), time.monotonic()
    plan = open_plan(_plan_store(folder, count))
    queue = pending_table(plan, Store.open(f"{folder}/nothing"), predictions_area("0" * 32))
    planned_s, grown_mib = time.monotonic() - begin_s, peak_memory_mib() - begin_mib
    begin_s = time.monotonic()
    step = max(1, queue.num_rows // NUM_LOADED)
    picked = queue.take(list(range(0, queue.num_rows, step))[:NUM_LOADED]).to_pylist()
    num_videos = sum(load_shard(plan, ShardEntry(**row)).segments.num_rows for row in picked)
    return {
        "videos": plan.head.num_videos, "shards": queue.num_rows, "seconds": planned_s,
        "start_mib": begin_mib, "grown_mib": grown_mib, "loaded_shards": len(picked), "loaded_videos": num_videos,
        "seconds_a_shard": (time.monotonic() - begin_s) / len(picked),
        "grown_after_loading_mib": peak_memory_mib() - begin_mib,
    }  # fmt: skip


def listing(uri: str, count: int) -> Figures:
    """Put real, empty-ish objects into a store and index them by listing it."""
    store = Store.open(f"{uri}/listed")
    _put_all(store, ((f"{number % 100:02d}/{number:06d}.mp4", b"x" * 64) for number in range(count)))
    begin_mib, begin_s = _begin_mib(), time.monotonic()
    found = sum(1 for _ in list_videos(store.uri))
    return {
        "keys": found, "seconds": time.monotonic() - begin_s,
        "start_mib": begin_mib, "grown_mib": peak_memory_mib() - begin_mib,
    }  # fmt: skip


def boxes(folder: str, megabytes: int) -> Figures:
    """Write a file of boxes as Something-Else has it, and plan its videos with it: boxes end as Parquet."""
    path = Path(folder, f"boxes-{megabytes}.json")
    num_videos = write_boxes(path, megabytes)
    _warm_up(folder)
    found = (
        FoundVideo(it.video_id.removesuffix(".webm"), it.uri, it.size_bytes, it.etag, "something")
        for it in lister(num_videos)
    )
    videos = Videos(uri="s3://nowhere", boxes_uri=str(path), box_format="something_else", sample_rate_hz=12)
    begin_mib, begin_s = _begin_mib(), time.monotonic()
    plan = make_plan(IndexRequest(videos, probe="none"), Store.open(f"{folder}/boxes-plan-{megabytes}"), listing=found)
    parquet_bytes = sum(it.size_bytes for it in plan.store.objects("parts") if it.key.endswith("-boxes.parquet"))
    return {
        "json_mb": path.stat().st_size / 1e6, "parquet_mb": parquet_bytes / 1e6, "videos": num_videos,
        "boxes": plan.head.num_boxes, "seconds": time.monotonic() - begin_s,
        "start_mib": begin_mib, "grown_mib": peak_memory_mib() - begin_mib,
    }  # fmt: skip


def write_boxes(path: Path, megabytes: int) -> int:
    """Write a file of about that size; return how many videos are in it. Every fifth frame has no box and is absent."""
    rng = np.random.default_rng(0)
    num_videos, size = 0, 1
    with path.open("w") as file:
        file.write("{")
        while size < megabytes * 1_000_000:
            name = f"{num_videos:08d}"
            frames = [
                frame_to_file(name, number, _labelled(rng)) for number in range(1, FRAMES_A_CLIP + 12) if number % 5
            ]
            size += file.write(f"{', ' if num_videos else ''}{json.dumps(name)}: {json.dumps(frames)}")
            num_videos += 1
        file.write("}")
    return num_videos


def resume(uri: str, count: int) -> Figures:
    """Commit every shard of a plan but ten, then plan what is left, and say how far the run is."""
    store, area = Store.open(uri), predictions_area("0" * 32)
    request = IndexRequest(Videos(uri="s3://nowhere"), Sharding(target_frames=40), "none", BYTES_A_FRAME)
    plan = make_plan(request, store.below(PLAN_FOLDER), listing=lister(count))
    entries = list(plan.shards())
    begin_s = time.monotonic()
    _put_all(store, ((area.commit_key(it.shard_id), _marker(plan, it, area)) for it in entries[:-10]))
    written_s, num_shards = time.monotonic() - begin_s, len(entries)
    del entries
    begin_mib, begin_s = _begin_mib(), time.monotonic()
    pending = pending_table(plan, store, area)
    planned_s, begin_s = time.monotonic() - begin_s, time.monotonic()
    (status,) = run_status(store, plan).areas
    if (pending.num_rows, status.num_done) != (10, num_shards - 10):
        raise RuntimeError(f"{pending.num_rows} pending, {status.num_done} done of {num_shards}: not what was written")
    return {
        "shards": num_shards, "committed": status.num_done, "written_in_s": written_s, "planned_in_s": planned_s,
        "status_in_s": time.monotonic() - begin_s, "grown_mib": peak_memory_mib() - begin_mib,
    }  # fmt: skip


def planning(folder: str, count: int) -> Figures:
    """Plan what is left beside so many committed shards, whose markers are a few files under many names.

    Planning reads the names of markers and none of them, so that this is what it takes; `resume` writes and reads whole
    ones, which takes minutes for as many.
    """
    store, area = Store.open(folder), predictions_area("0" * 32)
    request = IndexRequest(Videos(uri="s3://nowhere"), Sharding(target_frames=40), "none", BYTES_A_FRAME)
    plan = make_plan(request, store.below(PLAN_FOLDER), listing=lister(count))
    names = [it.shard_id for it in plan.shards()]
    for start in range(0, len(names) - 10, MAX_LINKS):
        first, *others = names[start : min(start + MAX_LINKS, len(names) - 10)]
        store.write(area.commit_key(first), b"{}")
        for name in others:
            os.link(Path(folder, area.commit_key(first)), Path(folder, area.commit_key(name)))
    begin_mib, begin_s = _begin_mib(), time.monotonic()
    pending = pending_table(plan, store, area)
    planned_s = time.monotonic() - begin_s
    if pending.num_rows != 10:
        raise RuntimeError(f"{pending.num_rows} shards are pending, not the 10 that have no marker")
    return {
        "shards": len(names), "committed": len(names) - 10, "planned_in_s": planned_s,
        "grown_mib": peak_memory_mib() - begin_mib,
    }  # fmt: skip


def _begin_mib() -> float:
    """Give back what is free, and return what is left: from here on growth counts."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    forget_peak()
    return resident_memory_mib()


def _request() -> IndexRequest:
    return IndexRequest(Videos(uri="s3://nowhere"), probe="none", bytes_per_frame=BYTES_A_FRAME)


def _plan_store(folder: str, count: int) -> Store:
    return Store.open(f"{folder}/plan-{count}")


def _warm_up(folder: str) -> None:
    """Plan and open something small, so that imports and caches are there before anything is measured."""
    store = Store.open(f"{folder}/small")
    plan = make_plan(_request(), store, listing=lister(2000))
    pending_table(plan, Store.open(f"{folder}/nothing"), predictions_area("0" * 32))
    load_shard(plan, next(plan.shards()))


def _labelled(rng: np.random.Generator) -> list[LabelledBox]:
    corners = rng.uniform(0.0, 200.0, (3, 2))
    corners = np.concatenate([corners, corners + rng.uniform(10.0, 40.0, (3, 2))], axis=1)
    names = (("hand", "hand"), ("cup", "0000"), ("table", "0001"))
    return [LabelledBox(*name, box) for name, box in zip(names, corners, strict=True)]


def _marker(plan: Plan, entry: ShardEntry, area: Area) -> bytes:
    sha256 = id_of(entry.shard_id) * 2
    return CommitMarker(
        hoiray_version=__version__, table="predictions", schema_version=1, plan_id=plan.plan_id, predict_id=area.id,
        judge_id=None, shard_id=entry.shard_id, data_key=area.data_key(entry.shard_id, sha256), data_sha256=sha256,
        data_bytes=4_000_000, num_videos=entry.num_videos, num_rows=4096, num_accepted=None, reasons={},
        dead_letters=[], attempt=1, timings_s={"input_wait": 0.1, "predict": 8.0, "measure": 0.2},
    ).to_json().encode()  # fmt: skip


def _put_all(store: Store, items: Iterator[tuple[str, bytes]]) -> None:
    with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
        while block := list(islice(items, 64 * PUTS_AT_ONCE)):
            list(pool.map(lambda item: store.write(*item), block))


PARTS: Final[dict[str, Callable[[str, int], Figures]]] = {
    "index": index, "opening": opening, "listing": listing, "boxes": boxes, "resume": resume,
    "planning": planning,
}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Run the part of that name at a place with a size."""
    name, place, size = arguments
    sys.stdout.write(json.dumps(PARTS[name](place, int(size))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
