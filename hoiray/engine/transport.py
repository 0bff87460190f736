"""A shard between two stages of the plan: one row of one block, however many rows it has itself.

Ray Data cuts and joins blocks as it likes, and a shard of dead videos has no rows at all; one row that holds a shard's
whole table as Arrow bytes is neither cut nor lost.
"""

import json
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from hoiray.schema.marker import CommitMarker, DeadLetter
from hoiray.stages.label_shard import BucketResult, Measured, Predicted, ShardResult
from hoiray.stages.plan import ShardEntry

_SCHEMA = pa.schema([("facts", pa.string()), ("rows", pa.large_binary())])


def pack_predicted(predicted: Predicted) -> pa.Table:
    """Put a predicted shard into a row."""
    facts = {
        "entry": asdict(predicted.entry),
        "num_frames": predicted.num_frames,
        "dead_letters": [letter.model_dump() for letter in predicted.dead_letters],
        "attempt": predicted.attempt,
        "timings_s": predicted.timings_s,
        "costs_s": predicted.costs_s,
    }
    return _row(facts, predicted.fused)


def unpack_predicted(batch: pa.Table) -> list[Predicted]:
    """Take predicted shards out of rows."""
    return [
        Predicted(
            entry=ShardEntry(**facts["entry"]),
            fused=rows,
            num_frames=facts["num_frames"],
            dead_letters=tuple(DeadLetter(**letter) for letter in facts["dead_letters"]),
            attempt=facts["attempt"],
            timings_s=facts["timings_s"],
            costs_s=facts["costs_s"],
        )
        for facts, rows in _rows(batch)
    ]


def pack_measured(measured: Measured) -> pa.Table:
    """Put a measured shard into a row."""
    facts = {
        "entry": asdict(measured.entry),
        "marker": measured.marker.model_dump(mode="json"),
        "num_frames": measured.num_frames,
    }
    return _row(facts, measured.rows)


def unpack_measured(batch: pa.Table) -> list[Measured]:
    """Take measured shards out of rows."""
    return [
        Measured(ShardEntry(**facts["entry"]), CommitMarker(**facts["marker"]), rows, facts["num_frames"])
        for facts, rows in _rows(batch)
    ]


def pack_result(result: ShardResult | BucketResult) -> pa.Table:
    """Put what is told of a finished shard, or of a judged bucket, into a row."""
    return _row({type(result).__name__: asdict(result)}, None)


def unpack_result(row: dict[str, Any]) -> ShardResult | BucketResult:
    """Take it out again."""
    ((kind, facts),) = json.loads(row["facts"]).items()
    if kind == BucketResult.__name__:
        return BucketResult(**facts)
    judged = facts.pop("judged")
    return ShardResult(**facts, judged=None if judged is None else BucketResult(**judged))


def packed_together(rows: list[pa.Table]) -> pa.Table:
    """Put rows one after another; there may be none."""
    return pa.concat_tables([_SCHEMA.empty_table(), *rows])


def _row(facts: dict[str, Any], rows: pa.Table | None) -> pa.Table:
    data = None if rows is None else _bytes_of(rows)
    return pa.table({"facts": [json.dumps(facts)], "rows": pa.array([data], pa.large_binary())}, schema=_SCHEMA)


def _rows(batch: pa.Table) -> list[tuple[dict[str, Any], pa.Table | None]]:
    pairs = zip(batch["facts"].to_pylist(), batch["rows"], strict=True)
    return [(json.loads(facts), _table_of(rows)) for facts, rows in pairs]


def _bytes_of(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _table_of(value: pa.LargeBinaryScalar) -> pa.Table | None:
    if not value.is_valid:
        return None
    with pa.ipc.open_stream(value.as_buffer()) as reader:
        return reader.read_all()
