from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.errors import ContractError
from hoiray.schema.columns import Column, TableSchema, pack_column, schema_of, unpack_column

VECTOR = Column("x", "float32", "Points; null if absent.", "m", (21, 3), nullable=True, frame="camera")
TABLE = TableSchema(
    "points",
    3,
    "Points.",
    ("k",),
    (Column("k", "int32", "Count."), VECTOR, Column("e", "float64", "Error.", "m", is_measurement=True)),
)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (Column("x", "float32", "Number.", "1"), pa.float32()),
        (VECTOR, pa.list_(pa.float32(), 63)),
        (Column("x", "string", "Words.", is_list=True), pa.list_(pa.string())),
        (Column("x", "int32", "Counts.", is_list=True), pa.list_(pa.int32())),
    ],
)
def test_a_vector_is_a_fixed_size_list_and_a_list_is_not(column: Column, expected: pa.DataType) -> None:
    assert column.arrow_type == expected


def test_a_field_carries_what_there_is_to_say_and_no_more() -> None:
    expected = {b"hoiray.shape": b"21,3", b"hoiray.unit": b"m", b"hoiray.frame": b"camera"}
    assert VECTOR.to_arrow().metadata == expected | {b"hoiray.doc": b"Points; null if absent."}
    word = Column("w", "string", "Word.", vocabulary=("a", "b")).to_arrow()
    assert word.metadata == {b"hoiray.doc": b"Word.", b"hoiray.vocabulary": b"a,b"}
    assert (VECTOR.to_arrow().nullable, word.nullable) == (True, False)


def test_a_table_finds_its_columns_by_name() -> None:
    assert TABLE.names == ["k", "x", "e"]
    assert TABLE["x"] is VECTOR
    assert TABLE.measurements == ["e"]
    with pytest.raises(KeyError):
        TABLE["limit"]


def test_a_table_tells_its_name_and_version_in_arrow() -> None:
    assert TABLE.to_arrow().names == TABLE.names
    assert TABLE.to_arrow().metadata == {b"hoiray.schema": b"points", b"hoiray.schema_version": b"3"}
    assert schema_of(TABLE.to_arrow().empty_table()) == ("points", "3")
    assert schema_of(TABLE.to_arrow().empty_table().replace_schema_metadata(None)) == ("", "")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.sampled_from([(), (4,), (21, 3)]),
    dtype=st.sampled_from(["float32", "float64"]),
    is_null=st.lists(st.booleans(), max_size=6),
    num_chunks=st.integers(1, 3),
)
def test_packing_and_unpacking_give_back_the_array(
    shape: tuple[int, ...], dtype: Any, is_null: list[bool], num_chunks: int
) -> None:
    column = Column("x", dtype, "Numbers; null if absent.", "1", shape, nullable=True)
    values = np.random.default_rng(3).random((len(is_null), *shape)).astype(dtype)
    mask = np.array(is_null, dtype=bool)
    packed = pa.chunked_array([pack_column(column, values, mask)] * num_chunks)
    unpacked = unpack_column(pa.table({"x": packed}).slice(len(is_null) // 2), column)
    expected = np.concatenate([np.where(mask.reshape(-1, *[1] * len(shape)), np.nan, values)] * num_chunks)
    np.testing.assert_array_equal(unpacked, expected[len(is_null) // 2 :])
    assert unpacked.dtype == np.dtype(dtype)


def test_whole_numbers_and_flags_are_unpacked_without_nulls_only() -> None:
    column = Column("x", "int32", "Count; null if absent.", nullable=True)
    values = np.array([3, 4], np.int32)
    np.testing.assert_array_equal(unpack_column(pa.table({"x": pack_column(column, values)}), column), values)
    with pytest.raises(ContractError, match="column 'x': expected no null, found some"):
        unpack_column(pa.table({"x": pack_column(column, values, np.array([True, False]))}), column)
    flags = Column("x", "bool", "Flag.")
    unpacked = unpack_column(pa.table({"x": pack_column(flags, np.array([True, False]))}), flags)
    np.testing.assert_array_equal(unpacked, [True, False])


def test_packing_refuses_what_it_would_have_to_convert() -> None:
    column = Column("x", "float32", "Numbers.", "1", (4,))
    with pytest.raises(ContractError, match=r"column 'x': expected float32 \(2, 4\), found float64 \(2, 4\)"):
        pack_column(column, np.zeros((2, 4)))
    with pytest.raises(ContractError, match=r"expected float32 \(2, 4\), found float32 \(2, 5\)"):
        pack_column(column, np.zeros((2, 5), np.float32))
    with pytest.raises(ContractError, match="column 'x': expected no null, found 1"):
        pack_column(column, np.zeros((2, 4), np.float32), np.array([True, False]))
