"""Committing a shard: once, whatever dies, whoever else works on it.

1. The rows are put into one form (sorted, one encoding) and written whole, under a name with their digest.
2. The marker is created with put-if-absent. Who is late compares digests and leaves.

A process killed before 2 leaves an object that no marker names: harmless, and written again with the same name by the
next attempt. A zombie that commits after its run was given up commits the same bytes.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hoiray import __version__
from hoiray.errors import ContractError, describe
from hoiray.io.parquet import digest, parquet_bytes, read_parquet
from hoiray.io.store import Store
from hoiray.schema.columns import TableSchema
from hoiray.schema.conform import conform
from hoiray.schema.marker import CommitMarker, DeadLetter, parse_marker
from hoiray.schema.tables import LABELS, PREDICTIONS
from hoiray.schema.vocabularies import REJECT_REASONS
from hoiray.stages.ledger import JUDGE, MEASURE, STORE, Costs, Spending
from hoiray.stages.run_layout import Area, labels_area, letters_key, predictions_area

_log = logging.getLogger(__name__)

_SCHEMAS: dict[str, TableSchema] = {"predictions": PREDICTIONS, "labels": LABELS}


@dataclass(frozen=True)
class CommitFields:
    """What a marker says beyond the rows themselves.

    Attributes:
        plan_id: the plan the run follows.
        predict_id: of the predictions.
        judge_id: of the labels; None for predictions.
        shard_id: the shard; for labels its bucket.
        num_videos: videos of the shard, dead ones included.
        dead_letters: videos that were given up.
        attempt: which attempt at the shard this is, from 1.
        timings_s: seconds by stage.
        costs_s: seconds of each resource by stage; what encoding and writing the rows takes is added here.
    """

    plan_id: str
    predict_id: str
    judge_id: str | None
    shard_id: str
    num_videos: int
    dead_letters: Sequence[DeadLetter] = ()
    attempt: int = 1
    timings_s: dict[str, float] = field(default_factory=dict)
    costs_s: Costs = field(default_factory=dict)

    @property
    def area(self) -> Area:
        """Where the shard is committed."""
        return predictions_area(self.predict_id) if self.judge_id is None else labels_area(self.judge_id)


@dataclass(frozen=True)
class Commit:
    """How a commit ended.

    Attributes:
        marker: the marker that counts: ours, or that of who was first.
        is_first: ours counts.
        is_same_data: the rows that count are ours, byte for byte; False is nondeterminism, and has been noted.
    """

    marker: CommitMarker
    is_first: bool
    is_same_data: bool


def commit_shard(store: Store, table: pa.Table, fields: CommitFields) -> Commit:
    """Write the rows of a shard and make them count, unless another already has.

    Args:
        store: the run's folder, as `Store.probed` returned it.
        table: rows of `predictions` (of `labels` where `fields` has a judge_id), in any order; may be empty.
        fields: the rest of the marker. Accepted rows and reasons are counted here.

    Raises:
        ContractError: the rows do not fit their schema, or the marker that is there is damaged.
        InputError: the place cannot be written.
    """
    area = fields.area
    spending = Spending(fields.costs_s)
    # the marker itself is not in it: it would have to be written before it is
    with spending.timed(MEASURE if fields.judge_id is None else JUDGE, STORE):
        data, num_rows, counts = _encoded(table, fields)
        sha256 = digest(data)
        store.write(area.data_key(fields.shard_id, sha256), data, durable=True)
        if fields.dead_letters:
            letters = "\n".join(letter.model_dump_json() for letter in fields.dead_letters)
            store.write(letters_key(fields.predict_id, fields.shard_id), letters.encode(), durable=True)
    marker = _marker(sha256, len(data), num_rows, counts, replace(fields, costs_s=spending.costs_s()))
    if store.put_if_absent(area.commit_key(fields.shard_id), marker.to_json().encode()):
        return Commit(marker, is_first=True, is_same_data=True)
    first = read_marker(store, area, fields.shard_id)
    if first is None:
        found, fix = "one that was there and is gone", "Was `hoiray dead retry` run beside this job? Run it again."
        what = store.url(area.commit_key(fields.shard_id))
        raise ContractError(describe(what=what, expected="a marker", found=found, fix=fix))
    is_same = first.data_sha256 == marker.data_sha256
    if not is_same:
        _note_nondeterminism(store, area, first, marker)
    return Commit(first, is_first=False, is_same_data=is_same)


def is_committed(store: Store, area: Area, shard_id: str) -> bool:
    """Whether a shard has its marker; worth asking before hours of work."""
    return store.exists(area.commit_key(shard_id))


def read_marker(store: Store, area: Area, shard_id: str) -> CommitMarker | None:
    """Read the marker of a shard, None where it is not committed.

    Raises:
        ContractError: it is damaged, or that of another shard or table.
    """
    key = area.commit_key(shard_id)
    text = store.read_if_there(key)
    if text is None:
        return None
    marker = parse_marker(text, store.url(key))
    found_id = marker.predict_id if marker.table == "predictions" else marker.judge_id
    if (marker.table, found_id, marker.shard_id) != (area.table, area.id, shard_id):
        found = f"{marker.table} {found_id} {marker.shard_id}"
        fix = "Markers must not be moved or renamed: delete it to redo the shard."
        raise ContractError(
            describe(what=store.url(key), expected=f"{area.table} {area.id} {shard_id}", found=found, fix=fix)
        )
    return marker


def read_rows(store: Store, marker: CommitMarker) -> pa.Table:
    """Read the rows a marker stands for, their digest checked.

    Raises:
        InputError: they are missing.
        ContractError: they are damaged.
    """
    data = store.read(marker.data_key, sha256=marker.data_sha256)
    return read_parquet(data, name=store.url(marker.data_key))


def schema_of(area: Area) -> TableSchema:
    """Return the schema of an area's rows."""
    return _SCHEMAS[area.table]


def _encoded(table: pa.Table, fields: CommitFields) -> tuple[bytes, int, Counter[str]]:
    """Return the one form of the rows as bytes, their number, and the counts of reasons (`accepted` among them)."""
    schema = schema_of(fields.area)
    # the ids of the shard only: a plan that grew must not change the bytes of a shard it kept
    ids = {"shard_id": fields.shard_id, "predict_id": fields.predict_id, "judge_id": fields.judge_id}
    table = conform(table, schema).sort_by([(name, "ascending") for name in schema.key])
    counts = Counter[str]()
    if fields.judge_id is not None:
        counts.update(pc.list_flatten(table["reasons"]).to_pylist())
        counts["accepted"] = int(pc.sum(table["accepted"]).as_py() or 0)
    metadata = {f"hoiray.{name}": value for name, value in ids.items() if value is not None}
    return parquet_bytes(table, metadata), table.num_rows, counts


def _marker(sha256: str, num_bytes: int, num_rows: int, counts: Counter[str], fields: CommitFields) -> CommitMarker:
    schema = schema_of(fields.area)
    values: dict[str, Any] = {
        "hoiray_version": __version__,
        "table": fields.area.table,
        "schema_version": schema.version,
        "plan_id": fields.plan_id,
        "predict_id": fields.predict_id,
        "judge_id": fields.judge_id,
        "shard_id": fields.shard_id,
        "data_key": fields.area.data_key(fields.shard_id, sha256),
        "data_sha256": sha256,
        "data_bytes": num_bytes,
        "num_videos": fields.num_videos,
        "num_rows": num_rows,
        "num_accepted": None if fields.judge_id is None else counts["accepted"],
        "reasons": {reason: counts[reason] for reason in REJECT_REASONS if counts[reason]},
        "dead_letters": list(fields.dead_letters),
        "attempt": fields.attempt,
        "timings_s": dict(fields.timings_s),
        "costs_s": fields.costs_s,
    }
    return CommitMarker(**values)


def _note_nondeterminism(store: Store, area: Area, first: CommitMarker, second: CommitMarker) -> None:
    key = area.nondeterminism_key(second.shard_id, second.data_sha256)
    store.write(key, second.to_json().encode(), durable=True)
    _log.error(
        "NONDETERMINISM: shard %s was committed with data %s (%d rows), and computed again as %s (%d rows). The first"
        " counts. Both are kept for comparison; noted in %s.",
        first.shard_id,
        first.data_key,
        first.num_rows,
        second.data_key,
        second.num_rows,
        store.url(key),
    )
