"""One window of a plan: the videos whose hashed names fall into one range, with their boxes, packed into shards."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.config.what import Sharding
from hoiray.datasets.box_tables import box_digests, usable
from hoiray.errors import HoirayError
from hoiray.io.store import open_uri
from hoiray.io.video import ContainerFacts, container_facts
from hoiray.schema.columns import TableSchema
from hoiray.schema.tables import BOXES, SHARDS, VIDEOS
from hoiray.stages.listing import Refusal
from hoiray.stages.packing import Candidate, PackedShard, Segment, pack, shard_id

NUM_PROBES_AT_ONCE: Final = 8

OnRefused = Callable[[Refusal], None]
Version = tuple[int, str | None, str | None]


@dataclass(frozen=True)
class WindowSettings:
    """How a window is packed; see `IndexRequest`."""

    sharding: Sharding
    sample_rate_hz: float | None
    probe: Literal["none", "long", "all"]
    bytes_per_frame: float


@dataclass(frozen=True)
class OldWindow:
    """The same window in the plan before: tables ``shards`` and ``videos``."""

    shards: pa.Table
    videos: pa.Table


@dataclass(frozen=True)
class Rows:
    """A table and the number of its rows that belong to each shard."""

    table: pa.Table
    group_sizes: list[int]


@dataclass(frozen=True)
class Part:
    """A window, packed.

    Attributes:
        shards: sorted by id.
        segments, videos, boxes: the tables' rows, by shard.
        video_groups: for each shard, which group holds its videos.
        changes: videos new, changed, removed and unchanged against the plan before; empty without one.
    """

    shards: list[PackedShard]
    segments: Rows
    videos: Rows
    boxes: Rows
    video_groups: list[int]
    changes: Counter[str]


@dataclass(frozen=True)
class _Boxes:
    """A window's boxes, sorted, and where each video's lie."""

    table: pa.Table
    starts: dict[str, tuple[int, int]]
    digests: dict[str, str]
    frames: npt.NDArray[np.int32]

    def num_frames(self, video_id: str) -> int:
        """Frames up to the last one with a box; 0 without any."""
        start, end = self.starts.get(video_id, (0, 0))
        return int(self.frames[end - 1]) + 1 if end > start else 0

    def of(self, segment: Segment) -> range:
        """Rows of the boxes of a segment."""
        start, end = self.starts.get(segment.video.video_id, (0, 0))
        first, count = segment.first_frame_index, segment.num_frames
        if first == 0 and count is None:
            return range(start, end)
        frames = self.frames[start:end]
        stop = end - start if count is None else int(np.searchsorted(frames, first + count))
        return range(start + int(np.searchsorted(frames, first)), start + stop)


def plan_window(
    videos: pa.Table, boxes: pa.Table, settings: WindowSettings, old: OldWindow | None, on_refused: OnRefused
) -> Part:
    """Join, measure and pack the videos of a window.

    Args:
        videos: as found (video_id, uri, size_bytes, etag, dataset), in any order; may name a video twice.
        boxes: columns of ``boxes``, in any order; may hold some twice, or of other videos.
        settings: how to pack.
        old: the window before; its shards are kept where all their videos have kept their version.
        on_refused: told of doubles, and of boxes without video.
    """
    rows = _without_doubles(videos, on_refused)
    joined = _join(boxes, rows, on_refused)
    known = {row["video_id"]: row for row in old.videos.to_pylist()} if old else {}
    versions = {name: (row["size_bytes"], row["etag"], joined.digests.get(name)) for name, row in rows.items()}
    facts = _lengths(rows, versions, known, joined, settings)
    candidates = {name: _candidate(name, versions[name], facts[name], joined, settings) for name in rows}
    kept = _kept(old, candidates, settings) if old else []
    is_kept = {segment.video.video_id for shard in kept for segment in shard.segments}
    fresh = [candidate for name, candidate in candidates.items() if name not in is_kept]
    shards = sorted([*kept, *pack(fresh, settings.sharding, settings.sample_rate_hz)], key=lambda it: it.shard_id)
    records = [_record(row, versions[name], facts[name]) for name, row in rows.items()]
    changes = Counter[str]() if old is None and not known else _changes(versions, known)
    return _part(shards, records, joined, facts, changes=changes, on_refused=on_refused)


def _without_doubles(videos: pa.Table, on_refused: OnRefused) -> dict[str, dict[str, Any]]:
    """Return the videos by id; of several of one id, the first by its URI."""
    rows: dict[str, dict[str, Any]] = {}
    for row in sorted(videos.to_pylist(), key=lambda row: (row["video_id"], row["uri"])):
        first = rows.setdefault(row["video_id"], row)
        if first is not row:
            message = f"{row['video_id']!r} is also the name of {first['uri']}"
            on_refused(Refusal("video", row["uri"], "duplicate", message))
    return rows


def _join(boxes: pa.Table, rows: dict[str, dict[str, Any]], on_refused: OnRefused) -> _Boxes:
    known = pc.is_in(boxes["video_id"], value_set=pa.array(list(rows), pa.string()))
    if boxes.num_rows:
        for group in boxes.filter(pc.invert(known)).group_by("video_id").aggregate([([], "count_all")]).to_pylist():
            on_refused(Refusal("box", group["video_id"], "no_video", f"{group['count_all']} boxes"))
    # the box itself comes last in the order: which of two doubles is kept must not depend on the listing
    table = boxes.filter(known).select(BOXES.names).combine_chunks()
    corners = table["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    keyed = table
    for index in range(4):
        keyed = keyed.append_column(f"corner_{index}", pa.array(corners[:, index]))
    order = [*BOXES.key, *(f"corner_{index}" for index in range(4))]
    table = table.take(pc.sort_indices(keyed, [(name, "ascending") for name in order]))
    table = _without_double_boxes(table, on_refused)
    names = table["video_id"].to_pylist()
    starts = np.flatnonzero([index == 0 or names[index - 1] != name for index, name in enumerate(names)])
    ends = np.append(starts[1:], len(names))[: len(starts)]
    spans = {names[start]: (start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)}
    digests = dict(zip(spans, box_digests(table, starts), strict=True))
    return _Boxes(table, spans, digests, table["frame_index"].to_numpy())


def _without_double_boxes(table: pa.Table, on_refused: OnRefused) -> pa.Table:
    if table.num_rows < 2:
        return table
    is_double = np.ones(table.num_rows, dtype=bool)
    is_double[0] = False
    for name in BOXES.key:
        column = table[name].combine_chunks()
        is_double[1:] &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    if not is_double.any():
        return table
    for row in table.filter(pa.array(is_double)).to_pylist():
        where = f"{row['video_id']}, frame {row['frame_index']}"
        on_refused(Refusal("box", where, "duplicate", f"{row['kind']} {row['box_index']} a second time"))
    return table.filter(pa.array(~is_double))


def _lengths(
    rows: dict[str, dict[str, Any]],
    versions: dict[str, Version],
    known: dict[str, dict[str, Any]],
    boxes: _Boxes,
    settings: WindowSettings,
) -> dict[str, ContainerFacts | None]:
    """Return what containers say: from the plan before where the file is the same, by opening it where asked for."""
    facts: dict[str, ContainerFacts | None] = dict.fromkeys(rows)
    wanted: list[str] = []
    for name, row in rows.items():
        before = known.get(name)
        is_same = before is not None and (before["size_bytes"], before["etag"]) == versions[name][:2]
        if before is not None and is_same and before["width_px"] is not None:
            facts[name] = ContainerFacts(*(before[key] for key in _FACTS))
        elif settings.probe == "all" or (settings.probe == "long" and _looks_long(row, boxes, settings)):
            wanted.append(name)
    with ThreadPoolExecutor(NUM_PROBES_AT_ONCE) as pool:
        facts.update(zip(wanted, pool.map(lambda name: _probe(rows[name]["uri"], settings), wanted), strict=True))
    return facts


_FACTS: Final = ("num_frames", "frame_rate_hz", "width_px", "height_px")


def _looks_long(row: dict[str, Any], boxes: _Boxes, settings: WindowSettings) -> bool:
    guess = max(row["size_bytes"] / settings.bytes_per_frame, boxes.num_frames(row["video_id"]))
    return bool(guess > settings.sharding.max_video_frames)


def _probe(uri: str, settings: WindowSettings) -> ContainerFacts | None:
    """Open a container. One that cannot be read stays in the plan: decoding will say what is wrong with it."""
    try:
        store, key = open_uri(uri)
        with store.open_input(key) as source:
            facts = container_facts(source, name=uri)
    except HoirayError:
        return None
    rate, count = settings.sample_rate_hz, facts.num_frames
    if rate is not None and facts.frame_rate_hz and count is not None and rate < facts.frame_rate_hz:
        count = max(1, round(count * rate / facts.frame_rate_hz))
    return ContainerFacts(count, facts.frame_rate_hz, facts.width_px, facts.height_px)


def _candidate(
    name: str, version: Version, facts: ContainerFacts | None, boxes: _Boxes, settings: WindowSettings
) -> Candidate:
    known = facts.num_frames if facts is not None else None
    guess = boxes.num_frames(name) or round(version[0] / settings.bytes_per_frame)
    return Candidate(name, version, known, max(1, guess if known is None else known))


def _kept(old: OldWindow, candidates: dict[str, Candidate], settings: WindowSettings) -> list[PackedShard]:
    """Return the shards before whose id would be the same today."""
    by_shard: dict[str, list[dict[str, Any]]] = {}
    for row in old.shards.to_pylist():
        by_shard.setdefault(row["shard_id"], []).append(row)
    kept = []
    for name, members in by_shard.items():
        if not all(row["video_id"] in candidates for row in members):
            continue
        segments = tuple(Segment(candidates[row["video_id"]], *(row[key] for key in _SEGMENT)) for row in members)
        if shard_id(segments, settings.sample_rate_hz) == name:
            kept.append(PackedShard(name, members[0]["bucket_id"], segments))
    return kept


_SEGMENT: Final = ("segment_index", "first_frame_index", "num_frames", "cost_frames")


def _changes(versions: dict[str, Version], known: dict[str, dict[str, Any]]) -> Counter[str]:
    before = {name: (row["size_bytes"], row["etag"], row["boxes_sha256"]) for name, row in known.items()}
    changes = Counter[str]()
    for name, version in versions.items():
        changes["new" if name not in before else "unchanged" if before[name] == version else "changed"] += 1
    changes["removed"] += len(before.keys() - versions.keys())
    return changes


def _record(row: dict[str, Any], version: Version, facts: ContainerFacts | None) -> dict[str, Any]:
    measured = {name: None if facts is None else getattr(facts, name) for name in _FACTS}
    return row | measured | {"boxes_sha256": version[2], "K": None}


def _part(
    shards: list[PackedShard],
    records: list[dict[str, Any]],
    boxes: _Boxes,
    facts: dict[str, ContainerFacts | None],
    *,
    changes: Counter[str],
    on_refused: OnRefused,
) -> Part:
    by_name = {record["video_id"]: record for record in records}
    home: dict[str, int] = {}
    video_rows: list[list[dict[str, Any]]] = [[] for _ in shards]
    for group, shard in enumerate(shards):
        for segment in shard.segments:
            name = segment.video.video_id
            if home.setdefault(name, group) == group:
                video_rows[group].append(by_name[name])
    segment_rows = [_segment_row(shard, segment) for shard in shards for segment in shard.segments]
    return Part(
        shards=shards,
        segments=Rows(_rows(SHARDS, segment_rows), [len(shard.segments) for shard in shards]),
        videos=Rows(_rows(VIDEOS, [row for rows in video_rows for row in rows]), [len(rows) for rows in video_rows]),
        boxes=_box_rows(shards, boxes, facts, on_refused),
        video_groups=[home[shard.segments[0].video.video_id] for shard in shards],
        changes=changes,
    )


def _segment_row(shard: PackedShard, segment: Segment) -> dict[str, Any]:
    values = {name: getattr(segment, name) for name in _SEGMENT}
    return {"shard_id": shard.shard_id, "bucket_id": shard.bucket_id, "video_id": segment.video.video_id} | values


def _rows(schema: TableSchema, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema.to_arrow())


def _box_rows(
    shards: Sequence[PackedShard], boxes: _Boxes, facts: dict[str, ContainerFacts | None], on_refused: OnRefused
) -> Rows:
    """Put the boxes into the shards' order, clipped to their videos where the size is known."""
    taken = [[row for segment in shard.segments for row in boxes.of(segment)] for shard in shards]
    table = boxes.table.take(pa.array([row for rows in taken for row in rows], pa.int64()))
    group = np.repeat(np.arange(len(shards)), [len(rows) for rows in taken])
    sizes = {name: (it.width_px, it.height_px) for name, it in facts.items() if it is not None}
    unknown = (float("nan"), float("nan"))
    size = np.array([sizes.get(name, unknown) for name in table["video_id"].to_pylist()], dtype=np.float64)
    size = size.reshape(-1, 2)
    corners = table["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4).astype(np.float64)
    rest = table.drop_columns(["bbox_xyxy"]).append_column("group", pa.array(group))

    def note(where: str, reason: str, found: str) -> None:
        on_refused(Refusal("box", where, reason, found))

    kept = usable(rest, corners, size[:, 0], size[:, 1], note, extra=("group",))
    counts = np.bincount(kept["group"].to_numpy(), minlength=len(shards))
    return Rows(kept.select(BOXES.names), counts.tolist())
