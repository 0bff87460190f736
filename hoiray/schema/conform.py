"""Does a table fit its schema? Exactly, or an error says which column does not."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.errors import ContractError, describe
from hoiray.schema.columns import Column, TableSchema, schema_of


def empty_table(schema: TableSchema) -> pa.Table:
    """Return a table of the schema without rows."""
    return schema.to_arrow().empty_table()


def completed(table: pa.Table, schema: TableSchema) -> pa.Table:
    """Return a table of an older version that can be read as one of the present version: new columns are null.

    A table of the present version, or of one that cannot be read, is returned as it is: ``conform`` says what is wrong.
    """
    version = schema_of(table)[1]
    if version not in {str(number) for number in schema.reads}:
        return table
    for column in schema.columns:
        if column.name not in table.column_names and column.nullable:
            table = table.append_column(column.name, pa.nulls(table.num_rows, column.arrow_type))
    return table


def conform(table: pa.Table, schema: TableSchema) -> pa.Table:
    """Check a table against its schema, exactly, and put its columns in order.

    Checked are: names, types, lengths of vectors, nulls, NaN and infinity (allowed in measurements with a reason),
    vocabularies, unique keys, and the schema's rules between columns. Nothing is converted.

    Returns:
        The table with the schema's column order, nullability and metadata; other metadata of the table is kept.

    Raises:
        ContractError: names the table, the column, what was expected and what was found.
    """
    _check_names(table, schema)
    for column in schema.columns:
        _check_column(table[column.name], column, schema)
    arrow = schema.to_arrow()
    metadata = {**(table.schema.metadata or {}), **(arrow.metadata or {})}
    ordered = table.select(schema.names).cast(arrow.with_metadata(metadata))
    _check_key(ordered, schema)
    for rule in schema.rules:
        wrong = rule(ordered) if ordered.num_rows else ""
        if wrong:
            raise ContractError(f"table {schema.name}: {wrong}. Correct the stage that wrote the row.")
    return ordered


def _violation(schema: TableSchema, column: str, expected: str, found: str, fix: str) -> ContractError:
    what = f"table {schema.name} (version {schema.version}), column {column!r}"
    return ContractError(describe(what=what, expected=expected, found=found, fix=fix))


def _check_names(table: pa.Table, schema: TableSchema) -> None:
    found = table.column_names
    for name in found:
        if found.count(name) > 1:
            raise _violation(schema, name, "one column of this name", str(found.count(name)), "Drop the others.")
        if name not in schema.names:
            fix = "Drop it, or add it to its table in hoiray/schema with a new version."
            raise _violation(schema, name, "no such column", "one", fix)
    for name in schema.names:
        if name not in found:
            raise _violation(schema, name, str(schema[name].arrow_type), "no such column", "Write it; null is a value.")


def _check_column(values: pa.ChunkedArray, column: Column, schema: TableSchema) -> None:
    if not _is_same_type(values.type, column):
        fix = "Cast where the column is made; nothing is converted here."
        raise _violation(schema, column.name, _type_text(column), str(values.type), fix)
    if values.null_count and not column.nullable:
        found = f"{values.null_count} null(s) in {len(values)} rows"
        raise _violation(schema, column.name, "no null", found, "Leave the row out, or write what is missing.")
    # list_flatten skips the rows that are null, so what is left must be whole
    flat = pc.list_flatten(values) if column.shape or column.is_list else pc.drop_null(values)
    if flat.null_count:
        fix = "Make the whole row null, where the column allows it."
        raise _violation(schema, column.name, "no null inside a row", f"{flat.null_count}", fix)
    if column.dtype in ("float32", "float64"):
        _check_finite(flat, column, schema)
    if column.vocabulary:
        unknown = sorted(set(pc.unique(flat).to_pylist()) - set(column.vocabulary))
        if unknown:
            expected = f"only {', '.join(column.vocabulary)}"
            raise _violation(schema, column.name, expected, ", ".join(map(repr, unknown)), "Use a word of the list.")


def _check_finite(flat: pa.ChunkedArray, column: Column, schema: TableSchema) -> None:
    numbers = flat.to_numpy()
    num_bad = int(np.isinf(numbers).sum()) if column.is_measurement else int((~np.isfinite(numbers)).sum())
    if num_bad:
        expected = "finite numbers or NaN with a reason" if column.is_measurement else "finite numbers"
        fix = "Absence is a null or a missing row, never a number."
        raise _violation(schema, column.name, expected, f"{num_bad} other(s)", fix)


def _is_same_type(found: pa.DataType, column: Column) -> bool:
    """Compare types; names and nullability of a list's inner field differ by writer and mean nothing."""
    value = column.value_type
    if column.is_list:
        return bool(pa.types.is_list(found) and found.value_type == value)
    if column.shape:
        is_vector = pa.types.is_fixed_size_list(found)
        return bool(is_vector and found.value_type == value and found.list_size == column.length)
    return bool(found == value)


def _type_text(column: Column) -> str:
    if column.is_list:
        return f"list<{column.dtype}>"
    return f"fixed_size_list<{column.dtype}>[{column.length}]" if column.shape else column.dtype


def _check_key(table: pa.Table, schema: TableSchema) -> None:
    counts = table.select(schema.key).group_by(list(schema.key)).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        row = repeated.slice(0, 1).to_pylist()[0]
        found = f"{row.pop('count_all')} rows with {row}"
        raise _violation(schema, " + ".join(schema.key), "a unique key", found, "Write every row once.")
