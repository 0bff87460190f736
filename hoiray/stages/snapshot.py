"""Snapshots: an immutable list of markers with a digest, which is what training consumes and a paper can cite."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hoiray.errors import ContractError, InputError, describe
from hoiray.io.parquet import digest, open_parquet, read_parquet
from hoiray.io.store import Store
from hoiray.schema.marker import CommitMarker
from hoiray.stages.markers import committed_units, read_markers
from hoiray.stages.packing import id_of
from hoiray.stages.plan import Plan
from hoiray.stages.run_layout import Area, snapshot_keys

CHUNK_ROWS: Final = 4096

_ENTRIES: Final = pa.schema(
    [("shard_id", pa.string()), ("data_key", pa.string()), ("data_sha256", pa.string()), ("data_bytes", pa.int64()),
     ("num_rows", pa.int64()), ("num_accepted", pa.int64()), ("num_videos", pa.int64()), ("num_dead", pa.int64())]
)  # fmt: skip


class SnapshotHead(BaseModel):
    """What a snapshot is, in short. The same results give the same head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    snapshot_version: Literal[1] = Field(default=1, description="Version of this format.")
    snapshot_id: str = Field(description="Digest of the shards and their data.")
    table: Literal["predictions", "labels"] = Field(description="Schema of the rows.")
    id: str = Field(description="predict_id or judge_id.")
    plan_id: str = Field(description="The plan whose shards are listed.")
    list_sha256: str = Field(description="Digest of the list.")
    num_shards: int = Field(description="Listed.")
    num_missing: int = Field(description="Shards of the plan that were not committed yet.")
    num_rows: int = Field(description="Rows in all.")
    num_accepted: int = Field(description="Accepted rows; 0 for predictions.")
    num_videos: int = Field(description="Videos, dead ones included.")
    num_dead: int = Field(description="Dead letters.")


@dataclass(frozen=True)
class SnapshotEntry:
    """One shard of a snapshot: where its rows lie, and their digest."""

    shard_id: str
    data_key: str
    data_sha256: str
    data_bytes: int
    num_rows: int
    num_accepted: int | None
    num_videos: int
    num_dead: int


@dataclass(frozen=True)
class Snapshot:
    """An opened snapshot."""

    store: Store
    head: SnapshotHead

    def entries(self) -> Iterator[SnapshotEntry]:
        """Walk the shards, sorted by id.

        Raises:
            ContractError: the list is damaged.
        """
        key = snapshot_keys(self.head.snapshot_id)[1]
        with self.store.open_input(key) as source:
            file = open_parquet(source, name=self.store.url(key))
            for batch in file.iter_batches(CHUNK_ROWS):
                yield from (SnapshotEntry(**row) for row in batch.to_pylist())

    def tables(self) -> Iterator[pa.Table]:
        """Read the rows, shard by shard, every digest checked.

        Raises:
            InputError, ContractError: rows are missing or damaged.
        """
        for entry in self.entries():
            data = self.store.read(entry.data_key, sha256=entry.data_sha256)
            yield read_parquet(data, name=self.store.url(entry.data_key))


def make_snapshot(store: Store, plan: Plan, area: Area, *, allow_partial: bool = False) -> Snapshot:
    """List the committed shards of a plan, for ever.

    Args:
        store: the run's folder.
        plan: whose shards.
        area: predictions or labels.
        allow_partial: list what there is while shards are missing.

    Raises:
        InputError: shards are missing and that is not allowed.
        ContractError: a marker is damaged.
    """
    done = [0, 0]

    def committed() -> Iterator[str]:
        for unit_id, is_done in committed_units(plan, store, area):
            done[is_done] += 1
            if is_done:
                yield unit_id

    with tempfile.TemporaryDirectory(prefix="hoiray-snapshot-") as folder:
        path = Path(folder) / "list.parquet"
        totals, snapshot_id = _write_list(path, read_markers(store, area, committed()), area)
        if done[0] and not allow_partial:
            expected, found = f"all {sum(done)} shards committed", f"{done[0]} that are not"
            fix = "Run the job again to finish them, or allow a partial snapshot."
            raise InputError(describe(what=f"{store.url(area.prefix)}", expected=expected, found=found, fix=fix))
        data = path.read_bytes()
    head_key, list_key = snapshot_keys(snapshot_id)
    ids = {"snapshot_id": snapshot_id, "table": area.table, "id": area.id, "plan_id": plan.plan_id}
    sums = {"list_sha256": digest(data), "num_missing": done[0], **totals}
    head = SnapshotHead.model_validate(ids | sums)
    store.put_if_absent(list_key, data)
    store.put_if_absent(head_key, (head.model_dump_json(indent=1) + "\n").encode())
    return open_snapshot(store, snapshot_id)


def open_snapshot(store: Store, snapshot_id: str) -> Snapshot:
    """Open a snapshot and check its list's digest.

    Raises:
        InputError: there is none.
        ContractError: it is damaged.
    """
    head_key, list_key = snapshot_keys(snapshot_id)
    try:
        head = SnapshotHead.model_validate_json(store.read(head_key))
    except ValidationError as error:
        found = str(error.errors(include_url=False)[0]["msg"])
        fix = "Make the snapshot again."
        raise ContractError(
            describe(what=store.url(head_key), expected="the head of a snapshot", found=found, fix=fix)
        ) from error
    store.read(list_key, sha256=head.list_sha256)
    return Snapshot(store, head)


def _write_list(path: Path, markers: Iterator[CommitMarker], area: Area) -> tuple[dict[str, int], str]:
    """Write the list; return its sums and the snapshot's id."""
    totals = dict.fromkeys(("num_shards", "num_rows", "num_accepted", "num_videos", "num_dead"), 0)
    chain = id_of([area.table, area.id])
    with pq.ParquetWriter(path, _ENTRIES, compression="zstd", write_page_checksum=True) as writer:
        while chunk := list(islice(markers, CHUNK_ROWS)):
            rows = [_entry(marker) for marker in chunk]
            writer.write_table(pa.Table.from_pylist(rows, schema=_ENTRIES))
            chain = id_of([chain, [[row["shard_id"], row["data_sha256"]] for row in rows]])
            totals["num_shards"] += len(rows)
            for name in list(totals)[1:]:
                totals[name] += sum(row[name] or 0 for row in rows)
    return totals, chain


def _entry(marker: CommitMarker) -> dict[str, Any]:
    names = ("shard_id", "data_key", "data_sha256", "data_bytes", "num_rows", "num_accepted", "num_videos")
    return {name: getattr(marker, name) for name in names} | {"num_dead": len(marker.dead_letters)}


def list_snapshots(store: Store) -> Iterator[SnapshotHead]:
    """Walk the heads of all snapshots, by id."""
    for info in store.objects("snapshots"):
        if info.key.endswith(".json"):
            yield SnapshotHead.model_validate(json.loads(store.read(info.key)))
