"""Track: which rows of a video are one hand, from the boxes and sides of a table."""

import numpy as np
import pyarrow as pa

from hoiray.filters.tracks import TrackRule, Tracks, track_hands
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.group import VideoGroups


def track(groups: VideoGroups, rule: TrackRule | None = None) -> Tracks:
    """Find the tracks of every video; see :mod:`hoiray.filters.tracks` for the rule."""
    frame, is_right, boxes = (
        unpack_column(groups.table, LABELS[name]) for name in ("frame_index", "is_right", "bbox_xyxy")
    )
    return track_hands(frame, is_right, boxes, groups.starts, rule)


def global_track_numbers(tracks: Tracks, groups: VideoGroups) -> np.ndarray:
    """Return (N,) int64 numbers of tracks that are unique over all videos, from 0, none left out."""
    videos = np.diff(groups.starts)
    if not len(videos):
        return np.zeros(0, dtype=np.int64)
    num_tracks = np.maximum.reduceat(tracks.track_index.astype(np.int64), groups.starts[:-1]) + 1
    first_of_video = np.concatenate([[0], np.cumsum(num_tracks)[:-1]])
    return np.asarray(tracks.track_index + np.repeat(first_of_video, videos), dtype=np.int64)


def track_columns(tracks: Tracks, frame_index: np.ndarray) -> dict[str, pa.Array]:
    """Return the columns ``track_index`` and ``predecessor_gap_frames``."""
    gap, is_first = tracks.gap_frames(frame_index).astype(np.int32), tracks.predecessor < 0
    return {
        "track_index": pack_column(LABELS["track_index"], tracks.track_index),
        "predecessor_gap_frames": pack_column(LABELS["predecessor_gap_frames"], gap, is_first),
    }
