"""Indexing: from a place full of videos to an immutable plan, in a stream.

Three steps, so that memory does not grow with the number of videos:

1. Videos and boxes are written to sorted runs on local disk as they are listed, by a hash of the video's name.
2. The space of hashes is cut into windows of some thousand videos. Window by window, boxes are joined, lengths are
   found or estimated, and videos are packed into shards; each window becomes one part of the plan.
3. The shards' ids, sorted, give the plan's id; index and head are written, the head last.

The hash, not the listing, decides who is packed with whom: the plan is the same for any order of listing.
"""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hoiray.config.what import RunConfig, Sharding, Videos
from hoiray.datasets.box_tables import iterate_boxes
from hoiray.errors import ConfigError, describe
from hoiray.io.external_sort import ExternalSorter
from hoiray.io.parquet import digest, parquet_bytes
from hoiray.io.store import Store
from hoiray.schema.columns import TableSchema
from hoiray.schema.conform import conform
from hoiray.schema.marker import MARKER_DIGEST_DIGITS
from hoiray.schema.tables import BOXES, REFUSALS, SHARD_INDEX, SHARDS, VIDEOS
from hoiray.stages.listing import Found, Refusal, list_videos, require_videos
from hoiray.stages.packing import ID_DIGITS
from hoiray.stages.plan import (
    CURRENT_KEY,
    PART_TABLES,
    PartHead,
    Plan,
    PlanHead,
    current_plan_id,
    index_key,
    open_plan,
    part_key,
    plan_key,
    refusals_key,
)
from hoiray.stages.plan_window import OldWindow, Part, WindowSettings, plan_window

WINDOW_VIDEOS: Final = 4096
"""Most videos that are packed together: 40 shards of Something-Something, 800,000 boxes."""

DEFAULT_BYTES_PER_FRAME: Final = 2500.0
"""A frame of Something-Something (240 px high) takes about 2 KB. An estimate only evens out shards."""

CHUNK_ROWS: Final = 4096
REFUSALS_PER_FILE: Final = 1 << 18

ProbeMode: TypeAlias = Literal["none", "long", "all"]
Progress: TypeAlias = Callable[[str, int], None]
"""Told the step, and how much of it is done."""

FOUND: Final = pa.schema(
    [("video_id", pa.string()), ("uri", pa.string()), ("size_bytes", pa.int64()), ("etag", pa.string()),
     ("dataset", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class IndexRequest:
    """What to index, and how.

    Attributes:
        videos: place of the videos and boxes, and the rate at which frames are counted.
        sharding: how shards are packed.
        probe: which videos are opened for their length: none, those that look long by their size, all.
        bytes_per_frame: with which lengths are estimated.
    """

    videos: Videos
    sharding: Sharding = field(default_factory=Sharding)
    probe: ProbeMode = "long"
    bytes_per_frame: float = DEFAULT_BYTES_PER_FRAME

    @classmethod
    def of_run(cls, run: RunConfig) -> "IndexRequest":
        """Return the request of a run file.

        Where boxes do not tell how long videos are, all are opened: by their bytes alone, 815 frames of plain clips
        were taken for 1902, and so was the time that was said to be left.
        """
        return cls(run.videos, run.sharding, probe="long" if run.videos.box_format != "none" else "all")


def make_plan(
    request: IndexRequest,
    store: Store,
    *,
    update: bool = False,
    listing: Iterator[Found] | None = None,
    on_progress: Progress = lambda _step, _count: None,
) -> Plan:
    """Index a place, and write the plan.

    Args:
        request: what, and how.
        store: the plan's folder.
        update: replace the plan that is there by one for what is there now: shards whose videos have not changed keep
            their ids, and with them their results.
        listing: what to plan, instead of what is found at the place.
        on_progress: told of every step.

    Returns:
        The plan, which now counts. Where the same is there already, nothing changes.

    Raises:
        ConfigError: another plan is there and `update` is not asked for, or it was packed otherwise.
        InputError: there are no videos, or the place cannot be read.
        ContractError: the boxes are not of their format.
    """
    old = open_plan(store) if current_plan_id(store) is not None else None
    if update and old is not None:
        _require_same_packing(request, old)
    with tempfile.TemporaryDirectory(prefix="hoiray-index-") as folder:
        maker = _Maker(request, store, Path(folder), old if update else None, on_progress)
        head = maker.make(listing)
    if old is not None and not update and head.plan_id != old.plan_id:
        expected, fix = f"plan {head.plan_id}, as the videos are now", "Add --update, or name another folder."
        raise ConfigError(describe(what=store.uri, expected=expected, found=f"plan {old.plan_id}", fix=fix))
    store.put_if_absent(plan_key(head.plan_id), (head.model_dump_json(indent=1) + "\n").encode())
    if old is None or old.plan_id != head.plan_id:
        store.write(CURRENT_KEY, json.dumps({"plan_id": head.plan_id}).encode(), durable=True)
    return open_plan(store, head.plan_id)


def _require_same_packing(request: IndexRequest, old: Plan) -> None:
    wanted = (request.sharding.target_frames, request.sharding.max_video_frames, request.videos.sample_rate_hz)
    found = (old.head.target_frames, old.head.max_video_frames, old.head.sample_rate_hz)
    if wanted != found:
        expected = "the same target_frames, max_video_frames and sample_rate_hz"
        fix = "An update keeps them: give the same, or index into another folder."
        raise ConfigError(describe(what=old.store.uri, expected=expected, found=f"{found}, not {wanted}", fix=fix))


@dataclass
class _Refusals:
    """Refusals on their way into files; a file's worth in memory."""

    store: Store
    counts: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)
    _waiting: list[Refusal] = field(default_factory=list)
    _num_written: int = 0

    def add(self, refusal: Refusal) -> None:
        self.counts[f"{refusal.kind}: {refusal.reason}"] += 1
        self._waiting.append(refusal)
        if len(self._waiting) >= REFUSALS_PER_FILE:
            self.flush()

    def add_box(self, where: str, reason: str, found: str) -> None:
        self.add(Refusal("box", where, reason, found))

    def flush(self) -> None:
        if not self._waiting:
            return
        numbers = range(self._num_written, self._num_written + len(self._waiting))
        rows = [
            {"refusal_index": number, "kind": it.kind, "name": it.name, "reason": it.reason, "message": it.message}
            for number, it in zip(numbers, self._waiting, strict=True)
        ]
        data = parquet_bytes(_table(REFUSALS, rows))
        name = digest(data)[:MARKER_DIGEST_DIGITS]
        self.store.write(refusals_key(name), data, durable=True)
        self.names.append(name)
        self._num_written += len(self._waiting)
        self._waiting = []


@dataclass
class _Totals:
    """Sums over the windows."""

    parts: list[PartHead] = field(default_factory=list)
    num_videos: int = 0
    num_buckets: int = 0
    num_boxes: int = 0
    num_unboxed: int = 0
    total_bytes: int = 0
    cost_frames: int = 0
    changes: Counter[str] = field(default_factory=Counter)


class _Maker:
    """One indexing, with its temporary folder."""

    def __init__(
        self, request: IndexRequest, store: Store, folder: Path, old: Plan | None, on_progress: Progress
    ) -> None:
        self._request, self._store, self._folder, self._old = request, store, folder, old
        self._on_progress = on_progress
        self._refusals = _Refusals(store)
        self._totals = _Totals()
        self._videos = ExternalSorter(FOUND, folder, "videos")
        self._boxes = ExternalSorter(BOXES.to_arrow().with_metadata(None), folder, "boxes", run_rows=1 << 17)
        self._index = ExternalSorter(SHARD_INDEX.to_arrow().with_metadata(None), folder, "index")

    def make(self, listing: Iterator[Found] | None) -> PlanHead:
        videos = self._request.videos
        ids: Literal["key", "stem"] = "stem" if videos.box_format == "something_else" else "key"
        self._collect_videos(list_videos(videos.uri, ids=ids) if listing is None else listing)
        require_videos(self._videos.num_rows, videos.uri)
        if videos.box_format != "none" and videos.boxes_uri is not None:
            self._collect_boxes(videos)
        num_windows = self._old.head.num_windows if self._old else _num_windows(self._videos.num_rows)
        self._plan_windows(num_windows)
        self._refusals.flush()
        index_name, plan_id = self._write_index()
        return self._head(index_name, plan_id, num_windows)

    def _collect_videos(self, listing: Iterator[Found]) -> None:
        rows: list[tuple[str, str, int, str, str | None]] = []
        for found in listing:
            if isinstance(found, Refusal):
                self._refusals.add(found)
                continue
            rows.append((found.video_id, found.uri, found.size_bytes, found.etag, found.dataset))
            if len(rows) == CHUNK_ROWS:
                self._spill_videos(rows)
                rows = []
        if rows:
            self._spill_videos(rows)

    def _spill_videos(self, rows: list[tuple[str, str, int, str, str | None]]) -> None:
        columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), FOUND.types, strict=True)]
        self._videos.add(name_keys([row[0] for row in rows]), pa.table(columns, schema=FOUND))
        self._on_progress("videos", self._videos.num_rows)

    def _collect_boxes(self, videos: Videos) -> None:
        assert videos.boxes_uri is not None
        assert videos.box_format != "none"
        for table in iterate_boxes(videos.boxes_uri, videos.box_format, self._refusals.add_box):
            self._boxes.add(name_keys(table["video_id"].to_pylist()), table)
            self._on_progress("boxes", self._boxes.num_rows)

    def _plan_windows(self, num_windows: int) -> None:
        request, sharding = self._request, self._request.sharding
        rate = request.videos.sample_rate_hz
        settings = WindowSettings(sharding, rate, request.probe, request.bytes_per_frame)
        old_parts = {part.window: part for part in self._old.head.parts} if self._old else {}
        both = zip(self._videos.ranges(num_windows), self._boxes.ranges(num_windows), strict=True)
        for window, (videos, boxes) in enumerate(both):
            old = None
            if self._old is not None and window in old_parts:
                name = old_parts[window].name
                old = OldWindow(self._old.part_table(name, "shards"), self._old.part_table(name, "videos"))
            part = plan_window(videos, boxes, settings, old, self._refusals.add)
            self._totals.changes.update(part.changes)
            if part.shards:
                self._write_part(window, part, old_parts.get(window))
            self._on_progress("windows", window + 1)

    def _write_part(self, window: int, part: Part, old: PartHead | None) -> None:
        tables = {"shards": (SHARDS, part.segments), "videos": (VIDEOS, part.videos), "boxes": (BOXES, part.boxes)}
        data = {
            name: parquet_bytes(conform(rows.table, schema), groups=rows.group_sizes)
            for name, (schema, rows) in tables.items()
        }
        name = digest("".join(digest(data[table]) for table in PART_TABLES).encode())[:MARKER_DIGEST_DIGITS]
        if old is None or old.name != name:
            for table in PART_TABLES:
                self._store.write(part_key(name, table), data[table], durable=True)
        rows = [
            {
                "shard_id": shard.shard_id, "bucket_id": shard.bucket_id, "part": name, "row_group_index": group,
                "video_row_group_index": part.video_groups[group], "num_videos": len(shard.segments),
                "cost_frames": shard.cost_frames,
            }
            for group, shard in enumerate(part.shards)
        ]  # fmt: skip
        keys = np.array([int(shard.shard_id[:16], 16) for shard in part.shards], dtype=np.uint64)
        self._index.add(keys, _table(SHARD_INDEX, rows).replace_schema_metadata(None))
        totals = self._totals
        totals.parts.append(PartHead(name=name, window=window, num_shards=len(part.shards)))
        totals.num_videos += part.videos.table.num_rows
        totals.num_buckets += len({shard.bucket_id for shard in part.shards})
        totals.num_boxes += part.boxes.table.num_rows
        if self._request.videos.box_format != "none":  # a video lies in one window, its boxes too
            hands = part.boxes.table.filter(pc.field("kind") == "hand")
            totals.num_unboxed += part.videos.table.num_rows - pc.count_distinct(hands["video_id"]).as_py()
        totals.total_bytes += int(sum(part.videos.table["size_bytes"].to_pylist()))
        totals.cost_frames += sum(shard.cost_frames for shard in part.shards)

    def _write_index(self) -> tuple[str, str]:
        """Write the index of shards, sorted by id; return its name and the plan's id."""
        request = self._request
        sharding = [request.sharding.target_frames, request.sharding.max_video_frames, request.videos.sample_rate_hz]
        hasher = hashlib.sha256(json.dumps(["plan", *sharding]).encode())
        path = self._folder / "index.parquet"
        with pq.ParquetWriter(path, SHARD_INDEX.to_arrow(), compression="zstd", write_page_checksum=True) as writer:
            for rows in self._index.ranges(_num_windows(self._index.num_rows)):
                table = rows.sort_by("shard_id")
                hasher.update("".join(table["shard_id"].to_pylist()).encode())
                if table.num_rows:
                    writer.write_table(table.cast(SHARD_INDEX.to_arrow()))
        data = path.read_bytes()
        name = digest(data)[:MARKER_DIGEST_DIGITS]
        self._store.write(index_key(name), data, durable=True)
        return name, hasher.hexdigest()[:ID_DIGITS]

    def _head(self, index_name: str, plan_id: str, num_windows: int) -> PlanHead:
        request, totals = self._request, self._totals
        return PlanHead(
            plan_id=plan_id,
            videos_uri=request.videos.uri,
            boxes_uri=request.videos.boxes_uri,
            box_format=request.videos.box_format,
            sample_rate_hz=request.videos.sample_rate_hz,
            target_frames=request.sharding.target_frames,
            max_video_frames=request.sharding.max_video_frames,
            bytes_per_frame=request.bytes_per_frame,
            num_windows=num_windows,
            num_videos=totals.num_videos,
            num_shards=self._index.num_rows,
            num_buckets=totals.num_buckets,
            num_boxes=totals.num_boxes,
            num_unboxed=totals.num_unboxed,
            total_bytes=totals.total_bytes,
            cost_frames=totals.cost_frames,
            refused=dict(sorted(self._refusals.counts.items())),
            changes=dict(sorted(totals.changes.items())),
            index=index_name,
            parts=totals.parts,
            refusals=self._refusals.names,
        )


def name_keys(video_ids: list[str]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Hash names to (N,) 64-bit keys: videos and their boxes meet in one window."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in video_ids)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def _num_windows(num_rows: int) -> int:
    """The least power of two that leaves at most `WINDOW_VIDEOS` rows to a window on average."""
    return 1 << max(0, (max(num_rows, 1) - 1) // WINDOW_VIDEOS).bit_length()


def _table(schema: TableSchema, rows: list[dict[str, Any]]) -> pa.Table:
    return conform(pa.Table.from_pylist(rows, schema=schema.to_arrow()), schema)
