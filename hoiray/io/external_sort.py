"""Sorting more rows than fit into memory, by a 64-bit key, with sorted runs in a folder of this machine."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

RUN_ROWS: Final = 1 << 16
"""Rows sorted at once in memory."""

BATCH_ROWS: Final = 512
"""Rows read back at once of every run: 160 runs (1e7 rows) hold 160 x 512 rows in memory."""

SORT_KEY: Final = "sort_key"
KeyArray = npt.NDArray[np.uint64]


@dataclass
class ExternalSorter:
    """Takes tables in any order, gives their rows back by ascending key, a range of keys at a time.

    Memory: one run while adding, `BATCH_ROWS` of every run while reading. Rows of equal keys come back in no order
    that may be relied on.

    Attributes:
        schema: of the tables, without the key.
        folder: where runs are written; the owner removes it.
        name: begins the files' names.
    """

    schema: pa.Schema
    folder: Path
    name: str
    run_rows: int = RUN_ROWS
    num_rows: int = 0
    _waiting: list[pa.Table] = field(default_factory=list)
    _num_waiting: int = 0
    _runs: list[Path] = field(default_factory=list)

    def add(self, keys: KeyArray, table: pa.Table) -> None:
        """Take the rows of a table and their keys, (N,)."""
        # writers differ in metadata and in what may be null; the runs must not
        table = pa.Table.from_arrays([table[name] for name in self.schema.names], schema=self.schema)
        self._waiting.append(table.append_column(SORT_KEY, pa.array(keys, pa.uint64())))
        self._num_waiting += table.num_rows
        self.num_rows += table.num_rows
        if self._num_waiting >= self.run_rows:
            self._spill()

    def ranges(self, num_ranges: int) -> Iterator[pa.Table]:
        """Cut the space of keys into equal ranges (a power of two) and yield the rows of each, sorted by key."""
        if self._num_waiting:
            self._spill()
        cursors = [_Cursor(path) for path in self._runs]
        empty = self.schema.append(pa.field(SORT_KEY, pa.uint64())).empty_table()
        for index in range(num_ranges):
            end = (index + 1) * (1 << 64) // num_ranges
            pieces = [piece for cursor in cursors for piece in cursor.take_until(end)]
            table = pa.concat_tables([empty, *pieces]) if pieces else empty
            yield table.sort_by(SORT_KEY).drop_columns([SORT_KEY]) if pieces else table.drop_columns([SORT_KEY])

    def _spill(self) -> None:
        table = pa.concat_tables(self._waiting).sort_by(SORT_KEY).combine_chunks()
        path = self.folder / f"{self.name}-{len(self._runs):06d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=BATCH_ROWS)
        self._runs.append(path)
        self._waiting, self._num_waiting = [], 0


class _Cursor:
    """A position in a sorted run; the file is opened for each batch, so that no number of runs runs out of files."""

    def __init__(self, path: Path) -> None:
        self._path, self._next, self._num_batches = path, 0, -1
        self._batch: pa.Table | None = None
        self._keys: KeyArray = np.empty(0, dtype=np.uint64)

    def take_until(self, end: int) -> Iterator[pa.Table]:
        """Yield the rows with keys below `end` that were not yielded before."""
        while self._load():
            assert self._batch is not None
            count = len(self._keys) if end > int(self._keys[-1]) else int(np.searchsorted(self._keys, np.uint64(end)))
            if count:
                # a copy, so that a small slice does not keep a whole batch alive
                yield self._batch.slice(0, count).take(pa.array(np.arange(count)))
            if count < len(self._keys):
                self._batch, self._keys = self._batch.slice(count), self._keys[count:]
                return
            self._batch, self._keys = None, self._keys[:0]

    def _load(self) -> bool:
        if self._batch is not None:
            return True
        if self._next == self._num_batches:
            return False
        with pa.OSFile(str(self._path)) as source:
            reader = pa.ipc.open_file(source)
            self._num_batches = reader.num_record_batches
            self._batch = pa.Table.from_batches([reader.get_batch(self._next)])
        self._next += 1
        self._keys = self._batch[SORT_KEY].to_numpy()
        return True
