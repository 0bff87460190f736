"""Parquet with the same bytes for the same rows: what a digest can stand for."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hoiray.errors import ContractError, describe
from hoiray.io.ranged import RangedReader

ROW_GROUP_ROWS: Final = 65536

_OPTIONS: Final[dict[str, Any]] = {
    # every option that decides bytes is written down: a library's new default must not change a digest
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": True,
    "write_statistics": True,
    "write_page_checksum": True,
    "store_schema": True,
    "data_page_size": 1 << 20,
    "dictionary_pagesize_limit": 1 << 20,
}


def parquet_bytes(
    table: pa.Table, metadata: Mapping[str, str] | None = None, *, groups: Sequence[int] | None = None
) -> bytes:
    """Write a table into memory: the same rows and metadata give the same bytes, whoever wrote them.

    How the table is cut into chunks makes no difference, nor which of the many NaNs it holds; nothing of the clock,
    the machine or a path goes in. The version of pyarrow does: its name stands in the file.

    Args:
        table: rows in the order in which they are written.
        metadata: added to the schema's own.
        groups: rows of each row group; None for groups of `ROW_GROUP_ROWS`.
    """
    table = _with_one_nan(table.combine_chunks())
    extra = {key.encode(): value.encode() for key, value in sorted((metadata or {}).items())}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **extra})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **_OPTIONS) as writer:
        if groups is None:
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        else:
            start = 0
            for count in groups:
                # an empty group is written too, so that the n-th group is the n-th shard's
                writer.write_table(table.slice(start, count), row_group_size=max(count, 1))
                start += count
    return bytes(sink.getvalue())


def read_parquet(data: bytes, *, name: str) -> pa.Table:
    """Read a whole file, page checksums included.

    Raises:
        ContractError: it is no Parquet or damaged.
    """
    try:
        return pq.read_table(pa.BufferReader(data), page_checksum_verification=True, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from error


def open_parquet(source: RangedReader, *, name: str) -> pq.ParquetFile:
    """Open a file of a store, to read some of its row groups.

    Raises:
        ContractError: it is no Parquet.
    """
    try:
        return pq.ParquetFile(pa.PythonFile(source, mode="r"), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from error


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _damaged(name: str, error: Exception) -> ContractError:
    fix = "It is damaged: restore it, or make it again."
    return ContractError(describe(what=name, expected="a Parquet file", found=str(error), fix=fix))


def _with_one_nan(table: pa.Table) -> pa.Table:
    """Write every NaN as the same NaN: 0 / 0 and sqrt(-1) differ in their sign bit on some machines."""
    for index, column in enumerate(table.columns):
        kind = column.type
        is_vector = pa.types.is_fixed_size_list(kind)
        if not pa.types.is_floating(kind.value_type if is_vector else kind):
            continue
        values = column.combine_chunks()
        size = kind.list_size if is_vector else 1
        flat = values.values.slice(values.offset * size, len(values) * size) if is_vector else values
        is_nan = pc.is_nan(flat)
        if not pc.any(is_nan).as_py():
            continue
        clean = pc.if_else(is_nan, pa.scalar(float("nan"), flat.type), flat)
        if is_vector:
            mask = values.is_null() if values.null_count else None
            clean = pa.FixedSizeListArray.from_arrays(clean, type=kind, mask=mask)
        table = table.set_column(index, table.schema.field(index), clean)
    return table
