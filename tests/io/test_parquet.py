import io

import numpy as np
import pyarrow as pa
import pytest
from valid_tables import table_of

from hoiray.errors import ContractError
from hoiray.io.parquet import digest, open_parquet, parquet_bytes, read_parquet
from hoiray.io.ranged import RangedReader
from hoiray.schema.tables import LABELS


def vectors(values: list[list[float] | None]) -> pa.Array:
    return pa.array(values, pa.list_(pa.float32(), 2))


def test_the_same_rows_give_the_same_bytes_however_they_are_cut() -> None:
    table = table_of(LABELS, 50)
    whole = parquet_bytes(table, {"id": "x"})
    pieces = pa.concat_tables([table.slice(0, 7), table.slice(7, 30), table.slice(37)])
    assert parquet_bytes(pieces, {"id": "x"}) == whole
    assert parquet_bytes(pa.concat_tables([table, table]).slice(50), {"id": "x"}) == whole
    assert parquet_bytes(table, {"id": "y"}) != whole
    assert read_parquet(whole, name="x").equals(table)


def test_one_nan_is_as_good_as_another() -> None:
    positive, negative = np.float32("nan"), -np.float32("nan")
    assert np.signbit(negative) != np.signbit(positive)
    tables = [
        pa.table({
            "x": pa.array(np.array([1.0, nan, 2.0], np.float32), mask=np.array([False, False, True])),
            "v": pa.FixedSizeListArray.from_arrays(
                pa.array(np.array([1, nan, nan, 4, 5, 6], np.float32)), type=pa.list_(pa.float32(), 2),
                mask=pa.array([False, False, True]),
            ),
        })
        for nan in (positive, negative)
    ]  # fmt: skip
    assert parquet_bytes(tables[0]) == parquet_bytes(tables[1])
    found = read_parquet(parquet_bytes(tables[1]), name="x")
    assert str(found.to_pylist()) == str(tables[0].to_pylist())


def test_a_number_that_differs_in_its_last_bit_gives_other_bytes() -> None:
    table = pa.table({"x": pa.array([1.0], pa.float32())})
    other = pa.table({"x": pa.array([np.nextafter(np.float32(1), np.float32(2))], pa.float32())})
    assert digest(parquet_bytes(table)) != digest(parquet_bytes(other))


def test_row_groups_are_those_asked_for_empty_ones_included() -> None:
    table = pa.table({"v": vectors([[1, 2], None, [3, 4]])})
    data = parquet_bytes(table, groups=[1, 0, 2])
    file = open_parquet(RangedReader(lambda start, end: data[start:end], len(data)), name="x")
    assert [file.read_row_group(index).num_rows for index in range(file.num_row_groups)] == [1, 0, 2]
    assert file.read_row_group(2)["v"].to_pylist() == [None, [3, 4]]


def test_a_flipped_bit_anywhere_in_the_pages_is_noticed() -> None:
    data = bytearray(parquet_bytes(pa.table({"x": pa.array(range(1000), pa.int64())})))
    assert read_parquet(bytes(data), name="x").num_rows == 1000
    data[200] ^= 1
    with pytest.raises(ContractError, match="expected a Parquet file"):
        read_parquet(bytes(data), name="x")


@pytest.mark.parametrize("data", [b"", b"PAR1", io.BytesIO(b"junk" * 100).getvalue()])
def test_what_is_no_parquet_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ContractError, match=r"a/b\.parquet: expected a Parquet file"):
        read_parquet(data, name="a/b.parquet")
    with pytest.raises(ContractError, match=r"a/b\.parquet: expected a Parquet file"):
        open_parquet(RangedReader(lambda start, end: data[start:end], len(data)), name="a/b.parquet")
