"""What a column and a table are, and how a column becomes an array and an array a column."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from hoiray.errors import ContractError, describe

Dtype: TypeAlias = Literal["string", "bool", "int8", "int16", "int32", "int64", "float32", "float64"]

_METADATA_PREFIX: Final = "hoiray."
"""Keys of the Parquet metadata that the schemas own."""

_ARROW_TYPES: Final[dict[Dtype, pa.DataType]] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: of the column; carries unit and frame where it has them.
        dtype: of one number or text.
        doc: what it holds, and when it is null.
        unit: ``1`` for pure numbers; empty for text, flags and counts.
        shape: of the fixed-size value of one row, empty for a scalar; stored flattened row by row.
        is_list: a row holds any number of texts or numbers.
        nullable: null is allowed and means absence.
        is_measurement: NaN is allowed and is explained in ``unmeasured``.
        frame: the coordinate frame, where there is one.
        vocabulary: the only texts allowed; empty for free text.
    """

    name: str
    dtype: Dtype
    doc: str
    unit: str = ""
    shape: tuple[int, ...] = ()
    is_list: bool = False
    nullable: bool = False
    is_measurement: bool = False
    frame: str = ""
    vocabulary: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Numbers in one row: the product of the shape."""
        return math.prod(self.shape)

    @property
    def value_type(self) -> pa.DataType:
        """The Arrow type of one number or text, whatever the shape."""
        return _ARROW_TYPES[self.dtype]

    @property
    def arrow_type(self) -> pa.DataType:
        """The column's Arrow type.

        Elements stay nullable in the type, as Arrow refuses to cast a null row into a list of non-nullable elements;
        ``conform`` checks that none is null.
        """
        if self.is_list:
            return pa.list_(self.value_type)
        return pa.list_(self.value_type, self.length) if self.shape else self.value_type

    def to_arrow(self) -> pa.Field:
        """Return the Arrow field, with shape, unit, frame and meaning as metadata."""
        metadata = {
            "shape": ",".join(map(str, self.shape)),
            "unit": self.unit,
            "frame": self.frame,
            "doc": self.doc,
            "vocabulary": ",".join(self.vocabulary),
        }
        kept = {f"{_METADATA_PREFIX}{key}": value for key, value in metadata.items() if value}
        return pa.field(self.name, self.arrow_type, nullable=self.nullable, metadata=kept)

    def to_json(self) -> dict[str, object]:
        """Return the column as it is published in ``schemas/``."""
        kind = f"list<{self.dtype}>" if self.is_list else self.dtype
        required: dict[str, object] = {"name": self.name, "type": kind, "nullable": self.nullable, "doc": self.doc}
        optional: dict[str, object] = {
            "shape": list(self.shape),
            "unit": self.unit,
            "frame": self.frame,
            "measurement": self.is_measurement,
            "vocabulary": list(self.vocabulary),
        }
        return required | {key: value for key, value in optional.items() if value}


@dataclass(frozen=True)
class TableSchema:
    """One table: its columns in order, and what makes a row unique.

    ``version`` grows whenever a column is added, removed or changes its meaning.

    Attributes:
        reads: older versions that lack only columns which may be null: their tables are read as if those were.
    """

    name: str
    version: int
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[Callable[[pa.Table], str], ...] = field(default=(), compare=False)
    """Rules between columns: each returns what is wrong, or the empty text."""
    reads: tuple[int, ...] = field(default=(), compare=False)

    def __getitem__(self, name: str) -> Column:
        return {column.name: column for column in self.columns}[name]

    @property
    def names(self) -> list[str]:
        """Names of the columns in order."""
        return [column.name for column in self.columns]

    @property
    def measurements(self) -> list[str]:
        """Names of the columns that may be NaN with a reason."""
        return [column.name for column in self.columns if column.is_measurement]

    @property
    def readable_versions(self) -> tuple[int, ...]:
        """The version, and older ones that can be read."""
        return (self.version, *self.reads)

    def to_arrow(self) -> pa.Schema:
        """Return the Arrow schema, with the table's name and version as metadata."""
        metadata = {f"{_METADATA_PREFIX}schema": self.name, f"{_METADATA_PREFIX}schema_version": str(self.version)}
        return pa.schema([column.to_arrow() for column in self.columns], metadata=metadata)

    def to_json(self) -> str:
        """Return the table as it is published: readable, and the same bytes every time."""
        content = {
            "name": self.name,
            "version": self.version,
            "doc": self.doc,
            "key": list(self.key),
            "columns": [column.to_json() for column in self.columns],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def schema_of(table: pa.Table) -> tuple[str, str]:
    """Return the name and version of the schema that a table was written in; empty where it does not say."""
    metadata = table.schema.metadata or {}
    name, version = (metadata.get(f"{_METADATA_PREFIX}{key}".encode(), b"") for key in ("schema", "schema_version"))
    return name.decode(), version.decode()


def pack_column(column: Column, values: np.ndarray, is_null: np.ndarray | None = None) -> pa.Array:
    """Turn an array into a column.

    Args:
        column: the column to make; its dtype must be that of ``values``: nothing is converted.
        values: (N, *shape).
        is_null: (N,) rows that hold nothing; their values are not stored.

    Raises:
        ContractError: wrong shape or dtype, or nulls where none are allowed.
    """
    expected = (len(values), *column.shape)
    if values.shape != expected or values.dtype != np.dtype(column.dtype):
        found = f"{values.dtype} {values.shape}"
        text = f"{column.dtype} {expected}"
        raise ContractError(
            describe(what=f"column {column.name!r}", expected=text, found=found, fix="Convert it first.")
        )
    if is_null is not None and is_null.any() and not column.nullable:
        found = f"{int(is_null.sum())}"
        raise ContractError(describe(what=f"column {column.name!r}", expected="no null", found=found, fix="Drop rows."))
    if not column.shape:
        return pa.array(values, column.value_type, mask=is_null)
    mask = None if is_null is None else pa.array(is_null)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), column.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=column.arrow_type, mask=mask)


def unpack_column(table: pa.Table, column: Column) -> np.ndarray:
    """Turn a column of numbers into an array.

    Returns:
        (N, *shape) of the column's dtype; rows that are null are NaN.

    Raises:
        ContractError: there are nulls, and the dtype has no NaN.
    """
    values = table[column.name].combine_chunks()
    present = values.is_valid().to_numpy(zero_copy_only=False)
    dtype = np.dtype(column.dtype)
    if not present.all() and dtype.kind != "f":
        fix = "Filter the nulls first."
        raise ContractError(describe(what=f"column {column.name!r}", expected="no null", found="some", fix=fix))
    out = np.full((len(values), *column.shape), np.nan if dtype.kind == "f" else 0, dtype=dtype)
    flat = values.flatten() if column.shape else values.drop_null()
    out[present] = flat.to_numpy(zero_copy_only=False).reshape(-1, *column.shape)
    return out
