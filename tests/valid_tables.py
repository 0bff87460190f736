"""Any valid rows of any table: what a test breaks in one place to see that the break is noticed."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hoiray.schema.columns import Column, TableSchema, pack_column
from hoiray.schema.tables import TABLES

every_table = pytest.mark.parametrize("schema", TABLES.values(), ids=TABLES.keys())


def column_of(column: Column, num_rows: int, rng: np.random.Generator) -> pa.Array:
    """Any valid values for a column; keys are counted up so that they are unique."""
    if column.is_list:
        return pa.array([[] for _ in range(num_rows)], column.arrow_type)
    if column.dtype == "string":
        words = column.vocabulary or tuple(f"{column.name}-{i}" for i in range(num_rows))
        return pa.array([words[i % len(words)] for i in range(num_rows)])
    if column.dtype == "bool":
        return pa.array([True] * num_rows)
    if column.dtype.startswith("int"):
        return pa.array(range(num_rows), column.arrow_type)
    return pack_column(column, rng.random((num_rows, *column.shape)).astype(column.dtype))


def table_of(schema: TableSchema, num_rows: int = 5) -> pa.Table:
    rng = np.random.default_rng(7)
    return pa.table({column.name: column_of(column, num_rows, rng) for column in schema.columns})


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
