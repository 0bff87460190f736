"""Group rows by video without a loop over videos: the rows in the order of their keys, and where each video begins."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import PREDICTIONS

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class VideoGroups:
    """Rows of whole videos.

    Attributes:
        table: the rows by video, frame and hand.
        starts: (V + 1,) first row of each video, and the number of rows at the end.
    """

    table: pa.Table
    starts: IntArray


def group_by_video(table: pa.Table) -> VideoGroups:
    """Sort rows by ``video_id`` (as bytes), ``frame_index`` and ``hand_index``, and find where videos begin.

    Rows that are in order already, as committed shards are, are not copied.

    Args:
        table: with these three columns; any others travel along.
    """
    keys = (
        _video_ranks(table["video_id"]),
        unpack_column(table, PREDICTIONS["frame_index"]),
        unpack_column(table, PREDICTIONS["hand_index"]),
    )
    if not _is_sorted(*keys):
        order = np.lexsort(keys[::-1])
        table = table.take(pa.array(order))
        keys = (keys[0][order], keys[1], keys[2])
    starts = np.flatnonzero(np.diff(keys[0], prepend=-1, append=len(keys[0]) + 1))
    return VideoGroups(table, starts.astype(np.int64) if table.num_rows else np.zeros(1, dtype=np.int64))


def _video_ranks(video_id: pa.ChunkedArray) -> IntArray:
    """Number the videos in the order of their names: (N,) the number of each row's video."""
    encoded = video_id.combine_chunks().dictionary_encode()
    in_order = np.asarray(pc.sort_indices(encoded.dictionary), dtype=np.int64)
    rank = np.empty(len(in_order), dtype=np.int64)
    rank[in_order] = np.arange(len(in_order))
    return np.asarray(rank[np.asarray(encoded.indices)])


def _is_sorted(video: IntArray, frame: npt.NDArray[np.int32], hand: npt.NDArray[np.int16]) -> bool:
    video_step, frame_step, hand_step = (np.diff(key.astype(np.int64)) for key in (video, frame, hand))
    is_later_hand = (frame_step > 0) | ((frame_step == 0) & (hand_step >= 0))
    return bool(np.all((video_step > 0) | ((video_step == 0) & is_later_hand)))
