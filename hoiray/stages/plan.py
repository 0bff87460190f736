"""A plan: which frames of which videos belong to which shard. Immutable; read a shard at a time.

The files of a plan (:mod:`hoiray.stages.run_layout`) are named by their content, so two plans that share a part share
the file. `<plan_id>.json` is written last: a plan that can be opened is whole.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hoiray.errors import ContractError, InputError, describe
from hoiray.io.parquet import open_parquet
from hoiray.io.store import Store
from hoiray.schema.tables import BOXES, SHARDS, VIDEOS

CURRENT_KEY: Final = "current.json"
PART_TABLES: Final = ("shards", "videos", "boxes")
BATCH_ROWS: Final = 1024


class PartHead(BaseModel):
    """One part of a plan: the shards of one range of hashed video names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="First 16 digits of the digest of its three files.")
    window: int = Field(description="Which range, from 0 to num_windows - 1.")
    num_shards: int = Field(description="Row groups of its files.")


class PlanHead(BaseModel):
    """What a plan is, in short."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan_version: Literal[1] = Field(default=1, description="Version of this format.")
    plan_id: str = Field(description="Digest of the shards' ids and of what they were packed with.")
    videos_uri: str = Field(description="Where the videos were found.")
    boxes_uri: str | None = Field(description="Where the boxes were found.")
    box_format: str = Field(description="Format of the boxes.")
    sample_rate_hz: float | None = Field(description="Rate at which frames are counted; null: every frame.")
    target_frames: int = Field(description="Frames a shard aims at.")
    max_video_frames: int = Field(description="Longer videos were cut.")
    bytes_per_frame: float = Field(description="With which lengths were estimated.")
    num_windows: int = Field(description="Ranges of hashed names that were packed apart from each other.")
    num_videos: int = Field(description="Videos to label.")
    num_shards: int = Field(description="Shards.")
    num_buckets: int = Field(description="Groups of shards that are judged together.")
    num_boxes: int = Field(description="Boxes of these videos.")
    num_unboxed: int = Field(default=0, description="Videos without a box of a hand, where boxes are given.")
    total_bytes: int = Field(description="Size of the videos.")
    cost_frames: int = Field(description="Frames the planner reckons with.")
    refused: dict[str, int] = Field(description="How many were refused, by 'kind: reason'.")
    changes: dict[str, int] = Field(description="Videos new, changed, removed, unchanged against the plan before.")
    index: str = Field(description="Name of the shard index.")
    parts: list[PartHead] = Field(description="The parts, by window.")
    refusals: list[str] = Field(description="Names of the files of refusals.")

    @property
    def num_not_planned(self) -> int:
        """Videos that were refused."""
        return sum(count for name, count in self.refused.items() if name.startswith("video: "))


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard in short; see table ``shard_index``."""

    shard_id: str
    bucket_id: str
    part: str
    row_group_index: int
    video_row_group_index: int
    num_videos: int
    cost_frames: int


@dataclass(frozen=True)
class Shard:
    """All that is needed to work on a shard.

    Attributes:
        entry: the shard in short.
        segments: table ``shards``: its rows.
        videos: table ``videos``: theirs.
        boxes: table ``boxes``: those of these frames, sorted by the table's key.
    """

    entry: ShardEntry
    segments: pa.Table
    videos: pa.Table
    boxes: pa.Table


@dataclass(frozen=True)
class Plan:
    """An opened plan. It can be pickled.

    Attributes:
        store: the plan's folder.
        head: what it is.
    """

    store: Store
    head: PlanHead

    @property
    def plan_id(self) -> str:
        """The plan's id."""
        return self.head.plan_id

    def shards(self) -> Iterator[ShardEntry]:
        """Walk all shards, sorted by shard_id, some thousand in memory at a time."""
        key = index_key(self.head.index)
        with self.store.open_input(key) as source:
            file = open_parquet(source, name=self.store.url(key))
            for batch in file.iter_batches(BATCH_ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                yield from (ShardEntry(*values) for values in zip(*columns, strict=True))

    def refusals(self) -> Iterator[dict[str, Any]]:
        """Walk what was refused when the plan was made; rows of table ``refusals``."""
        for name in self.head.refusals:
            key = refusals_key(name)
            with self.store.open_input(key) as source:
                file = open_parquet(source, name=self.store.url(key))
                for batch in file.iter_batches(BATCH_ROWS):
                    yield from batch.to_pylist()

    def part_table(self, part: str, table: Literal["shards", "videos", "boxes"]) -> pa.Table:
        """Read one table of a whole part."""
        return _read_part(self.store, part, table)


def plan_key(plan_id: str) -> str:
    """Where the head of a plan lies."""
    return f"plans/{plan_id}.json"


def index_key(name: str) -> str:
    """Where the index of shards lies."""
    return f"index/{name}.parquet"


def part_key(name: str, table: str) -> str:
    """Where a table of a part lies."""
    return f"parts/{name}-{table}.parquet"


def refusals_key(name: str) -> str:
    """Where a file of refusals lies."""
    return f"refusals/{name}.parquet"


def current_plan_id(store: Store) -> str | None:
    """Return which plan of a folder counts; None where there is none yet.

    Raises:
        ContractError: the file that says so is damaged.
    """
    if not store.exists(CURRENT_KEY):
        return None
    try:
        return str(json.loads(store.read(CURRENT_KEY))["plan_id"])
    except (ValueError, KeyError, TypeError) as error:
        expected, fix = '{"plan_id": ...}', "Write it by hand with the name of a file in plans/, or index again."
        raise ContractError(
            describe(what=store.url(CURRENT_KEY), expected=expected, found=str(error), fix=fix)
        ) from error


def open_plan(store: Store, plan_id: str | None = None) -> Plan:
    """Open a plan.

    Args:
        store: the plan's folder.
        plan_id: which; None for the one that counts.

    Raises:
        InputError: there is none.
        ContractError: its head is damaged or of another version.
    """
    plan_id = plan_id or current_plan_id(store)
    if plan_id is None:
        fix = "Make one: hoiray index VIDEOS --out PLAN."
        raise InputError(describe(what=store.uri, expected="a plan", found="none", fix=fix))
    key = plan_key(plan_id)
    try:
        return Plan(store, PlanHead.model_validate_json(store.read(key)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        found = f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
        fix = "Was it written by another version of hoiray? Index again."
        raise ContractError(
            describe(what=store.url(key), expected="the head of a plan", found=found, fix=fix)
        ) from error


def load_shard(plan: Plan, entry: ShardEntry) -> Shard:
    """Read what is needed to work on a shard: one row group of each table of its part.

    Raises:
        InputError, ContractError: the part is missing or damaged.
    """
    groups = (entry.row_group_index, entry.video_row_group_index, entry.row_group_index)
    segments, videos, boxes = (
        _read_part(plan.store, entry.part, table, group) for table, group in zip(PART_TABLES, groups, strict=True)
    )
    found = set(segments["shard_id"].to_pylist())
    if found != {entry.shard_id}:
        what, fix = plan.store.url(part_key(entry.part, "shards")), "The plan is damaged: index again."
        raise ContractError(
            describe(what=what, expected=f"shard {entry.shard_id}", found=", ".join(sorted(found)), fix=fix)
        )
    order = [(name, "ascending") for name in BOXES.key]
    return Shard(entry, segments.select(SHARDS.names), videos.select(VIDEOS.names), boxes.sort_by(order))


def _read_part(store: Store, part: str, table: str, group: int | None = None) -> pa.Table:
    """Read one row group of a file of a part, or all of it."""
    key = part_key(part, table)
    with store.open_input(key) as source:
        file = open_parquet(source, name=store.url(key))
        try:
            return file.read() if group is None else file.read_row_group(group)
        except (pa.ArrowException, OSError) as error:
            fix = "The plan is damaged: restore it, or index again."
            raise ContractError(
                describe(what=store.url(key), expected=f"row group {group}", found=str(error), fix=fix)
            ) from error
