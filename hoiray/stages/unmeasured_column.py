"""The column ``unmeasured``: one code per row and measurement in arrays, lists of ``<measurement>:<why>`` in tables."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.errors import ContractError, describe
from hoiray.filters.unmeasured import WORDS, CodeArray


def pack_words(flags: npt.NDArray[np.bool_], words: Sequence[str]) -> pa.Array:
    """Turn (N, W) flags into N lists of the words whose flag is set, in the order of `words`."""
    rows, columns = np.nonzero(flags)
    offsets = np.zeros(len(flags) + 1, dtype=np.int32)
    np.cumsum(np.bincount(rows, minlength=len(flags)), out=offsets[1:])
    texts = pa.array(words, pa.string()).take(pa.array(columns))
    return pa.ListArray.from_arrays(pa.array(offsets), texts)


def unpack_words(column: pa.ChunkedArray, words: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Invert :func:`pack_words`; a word that is not among `words` sets nothing."""
    rows, indices = _flat_indices(column, words)
    flags = np.zeros((len(column), len(words)), dtype=np.bool_)
    is_known = indices >= 0
    flags[rows[is_known], indices[is_known]] = True
    return flags


def pack_unmeasured(codes: CodeArray, measurements: Sequence[str]) -> pa.Array:
    """Turn (N, M) codes into the column.

    Args:
        codes: 0 where measured; see :mod:`hoiray.filters.unmeasured`.
        measurements: the M names.
    """
    rows, columns = np.nonzero(codes)
    offsets = np.zeros(len(codes) + 1, dtype=np.int32)
    np.cumsum(np.bincount(rows, minlength=len(codes)), out=offsets[1:])
    entries = pa.array([f"{name}:{word}" for name in measurements for word in WORDS], pa.string())
    index = columns * len(WORDS) + codes[rows, columns].astype(np.int64) - 1
    return pa.ListArray.from_arrays(pa.array(offsets), entries.take(pa.array(index)))


def unpack_unmeasured(column: pa.ChunkedArray, measurements: Sequence[str]) -> CodeArray:
    """Return the (N, M) codes of some measurements; entries of others are left out.

    Raises:
        ContractError: an entry has another form.
    """
    entries = [f"{name}:{word}" for name in measurements for word in WORDS]
    rows, indices = _flat_indices(column, entries)
    codes = np.zeros((len(column), len(measurements)), dtype=np.uint8)
    is_known = indices >= 0
    place = indices[is_known]
    codes[rows[is_known], place // len(WORDS)] = place % len(WORDS) + 1
    return codes


def _flat_indices(column: pa.ChunkedArray, words: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the row of every text in a list column, and its place among `words` (-1: none of them)."""
    lists = column.combine_chunks()
    if not pa.types.is_list(lists.type):
        expected, fix = "lists of words", "Read a table that hoiray wrote."
        raise ContractError(describe(what="list column", expected=expected, found=str(lists.type), fix=fix))
    rows = np.asarray(pc.list_parent_indices(lists), dtype=np.int64)
    found = pc.index_in(pc.list_flatten(lists), value_set=pa.array(words, pa.string()))
    return rows, np.asarray(pc.fill_null(found, -1), dtype=np.int64)
