"""Verifying a run: every marker, every digest, every row against its schema and its plan."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pyarrow.compute as pc

from hoiray.errors import ContractError, HoirayError, describe
from hoiray.io.store import Store
from hoiray.schema.conform import completed, conform
from hoiray.schema.marker import CommitMarker
from hoiray.stages.commit import read_marker, read_rows, schema_of
from hoiray.stages.markers import in_order, unit_ids
from hoiray.stages.pending import committed_ids
from hoiray.stages.plan import Plan, ShardEntry, load_shard
from hoiray.stages.run_layout import Area

FindingKind: TypeAlias = Literal["damaged", "nondeterministic", "foreign"]
NUM_SHARDS_AT_ONCE = 4
"""A shard's rows take some megabytes."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        kind: `damaged`: what a marker promises is not there; `nondeterministic`: a shard was computed twice with
            different rows; `foreign`: committed, but of no shard of this plan (kept from an earlier one).
        name: the object or shard.
        message: what was found.
    """

    kind: FindingKind
    name: str
    message: str


@dataclass
class Verification:
    """What was looked at. Complete when the findings have been walked."""

    num_committed: int = 0
    num_pending: int = 0
    num_rows: int = 0
    num_bytes: int = 0
    num_videos: int = 0
    num_dead: int = 0


def verify_area(store: Store, plan: Plan, area: Area, result: Verification) -> Iterator[Finding]:
    """Check everything a plan has committed under one id, and yield what is wrong.

    Checked: the marker and its ids, digest and size of the data, page checksums, the schema with all its rules, the
    number of rows, accepted rows and videos, and that every row is of a video and frame of its shard.

    Args:
        store: the run's folder.
        plan: of the run.
        area: predictions or labels.
        result: receives the counts.
    """
    members = _members(plan, area)
    done = committed_ids(store, area)
    current = next(done, None)
    present: list[str] = []
    for unit_id in unit_ids(plan, area):
        while current is not None and current < unit_id:
            yield _foreign(area, current)
            current = next(done, None)
        if current == unit_id:
            present.append(unit_id)
            current = next(done, None)
        else:
            result.num_pending += 1
    for rest in [current, *done] if current is not None else []:
        yield _foreign(area, str(rest))

    def check(unit_id: str) -> tuple[str, CommitMarker | None, str]:
        try:
            return unit_id, _verified(store, plan, area, unit_id, members.get(unit_id, [])), ""
        except HoirayError as error:
            return unit_id, None, str(error)

    for unit_id, marker, message in in_order(check, present, num_threads=NUM_SHARDS_AT_ONCE):
        if marker is None:
            yield Finding("damaged", unit_id, message)
            continue
        result.num_committed += 1
        result.num_rows += marker.num_rows
        result.num_bytes += marker.data_bytes
        result.num_videos += marker.num_videos
        result.num_dead += len(marker.dead_letters)
    for info in store.objects(f"nondeterminism/{area.prefix}"):
        yield Finding("nondeterministic", info.key, "a second result that differs from the committed one")


def _members(plan: Plan, area: Area) -> dict[str, list[ShardEntry]]:
    """The shards behind every id under which results are committed."""
    members: dict[str, list[ShardEntry]] = {}
    for entry in plan.shards():
        members.setdefault(entry.shard_id if area.table == "predictions" else entry.bucket_id, []).append(entry)
    return members


def _verified(store: Store, plan: Plan, area: Area, unit_id: str, entries: list[ShardEntry]) -> CommitMarker:
    marker = read_marker(store, area, unit_id)
    if marker is None:
        raise ContractError(f"marker of {unit_id} vanished while it was verified")
    what, schema = store.url(marker.data_key), schema_of(area)
    table = read_rows(store, marker)
    if marker.schema_version not in schema.reads:
        _require(what, "schema version", marker.schema_version, schema.version)
    conform(completed(table, schema), schema)
    _require(what, "rows", table.num_rows, marker.num_rows)
    if marker.num_accepted is not None:
        _require(what, "accepted rows", int(pc.sum(table["accepted"]).as_py() or 0), marker.num_accepted)
    segments = [row for entry in entries for row in load_shard(plan, entry).segments.to_pylist()]
    videos = {row["video_id"] for row in segments}
    _require(what, "videos of the shard", marker.num_videos, len(videos))
    strangers = set(pc.unique(table["video_id"]).to_pylist()) - videos
    _require(what, "rows of videos that are not in the shard", sorted(strangers), [])
    for row in segments if len(videos) == 1 and area.table == "predictions" else []:
        first = pc.min(table["frame_index"]).as_py()
        last = pc.max(table["frame_index"]).as_py()
        end = None if row["num_frames"] is None else row["first_frame_index"] + row["num_frames"]
        is_inside = first is None or (first >= row["first_frame_index"] and (end is None or last < end))
        _require(what, f"frames inside the segment of {row['video_id']}", is_inside, True)
    return marker


def _require(what: str, name: str, found: object, expected: object) -> None:
    if found != expected:
        fix = "The object or its marker was changed: delete the marker to redo the shard."
        raise ContractError(describe(what=f"{what}, {name}", expected=str(expected), found=str(found), fix=fix))


def _foreign(area: Area, unit_id: str) -> Finding:
    return Finding("foreign", area.commit_key(unit_id), "committed, but no shard of this plan: left by an earlier one")
