from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hoiray.io import external_sort
from hoiray.io.external_sort import ExternalSorter

SCHEMA = pa.schema([("name", pa.string()), ("n", pa.int64())])


@pytest.mark.parametrize("num_ranges", [1, 2, 8])
@pytest.mark.parametrize("run_rows", [5, 64, 10_000])
def test_rows_come_back_once_in_order_of_their_keys(
    tmp_path: Path, num_ranges: int, run_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_sort, "BATCH_ROWS", 4)
    rng = np.random.default_rng(0)
    keys = np.concatenate([rng.integers(0, 2**64, 300, dtype=np.uint64), np.array([0, 2**64 - 1, 2**63], np.uint64)])
    sorter = ExternalSorter(SCHEMA, tmp_path, "x", run_rows=run_rows)
    for part in np.array_split(np.arange(len(keys)), 40):
        sorter.add(keys[part], pa.table({"name": [str(keys[i]) for i in part], "n": part.tolist()}))
    ranges = list(sorter.ranges(num_ranges))
    assert len(ranges) == num_ranges
    found = [int(name) for table in ranges for name in table["name"].to_pylist()]
    assert found == sorted(keys.tolist())
    for index, table in enumerate(ranges):
        assert table.schema.names == SCHEMA.names
        assert all(int(name) * num_ranges // 2**64 == index for name in table["name"].to_pylist())
    assert sorter.num_rows == len(keys)


def test_nothing_comes_back_as_empty_tables(tmp_path: Path) -> None:
    assert [table.num_rows for table in ExternalSorter(SCHEMA, tmp_path, "x").ranges(4)] == [0, 0, 0, 0]
