"""Time lines: every measurement of a video's hands over its frames, beside limit and verdict, as the page draws it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hoiray.report.label_rows import LabelRows
from hoiray.report.lots import draw_evenly, window
from hoiray.report.measures import Measure

Rows = npt.NDArray[np.intp]

MAX_TRACKS: Final = 6
"""Tracks of a video that are shown, besides those of labels in the gallery: the longest."""

NUM_STILLS: Final = 240
"""Small frames of the longest tracks of all videos together, or so."""

MIN_STILLS, MAX_STILLS = 3, 8
"""Small frames of the longest track of a video."""

NUM_OTHER_STILLS: Final = 2
"""Small frames of every other track with a label in the gallery."""

NUM_ROWS: Final = 30_000
"""Rows of all time lines together, or so: 130 bytes each in the page."""

MIN_TRACK_FRAMES, MAX_TRACK_FRAMES = 30, 400
"""Frames of a track that are shown at most, by how many tracks there are."""

DIGITS: Final = 9
"""Significant digits that keep different float32 numbers different: what is drawn is on the side of its limit."""


@dataclass(frozen=True, eq=False, slots=True)
class Track:
    """A hand of a video over its frames.

    Attributes:
        title: in words.
        rows: (T,) row numbers, one a frame, by frame.
        still_rows: some of them, of which a small frame is shown.
        is_cut: frames before or behind are left out.
    """

    title: str
    rows: Rows
    still_rows: Sequence[int]
    is_cut: bool


@dataclass(frozen=True, eq=False, slots=True)
class Timeline:
    """A video whose hands are shown over time; `video` is its index, `num_tracks` counts those left out, too."""

    video: int
    name: str
    tracks: Sequence[Track]
    num_tracks: int

    def place_of(self, row: int) -> int:
        """Return the number of the track a row lies in; 0 where it lies in none (a hand found twice)."""
        return next((number for number, track in enumerate(self.tracks) if row in track.rows), 0)


def lay_out_timelines(rows: LabelRows, shown: Rows) -> list[Timeline]:
    """Choose what the time lines of the videos of some labels show.

    Args:
        rows: every row that was read.
        shown: the labels of the gallery; their videos get time lines, by name.
    """
    of_video: dict[int, list[int]] = {}
    for row in shown.tolist():
        of_video.setdefault(int(rows.video[row]), []).append(row)
    chosen = {video: _tracks_of(rows, video, wanted) for video, wanted in sorted(of_video.items())}
    num_tracks = sum(len(parts) for parts, _ in chosen.values())
    length = max(MIN_TRACK_FRAMES, min(MAX_TRACK_FRAMES, NUM_ROWS // max(1, num_tracks)))
    num_stills = max(MIN_STILLS, min(MAX_STILLS, NUM_STILLS // max(1, len(chosen))))
    timelines = []
    for video, (parts, number) in chosen.items():
        tracks: list[Track] = []
        for part in parts:
            asked = [row for row in of_video[video] if row in part]
            others = NUM_OTHER_STILLS if asked else 0
            around = int(rows.frame[asked[0] if asked else part[0]])
            kept = part[window(rows.frame[part], around, length)]
            is_cut = len(kept) < len(part)
            tracks.append(_track(rows, kept, num_stills if not tracks else others, is_cut=is_cut))
        timelines.append(Timeline(video, rows.video_names[video], tracks, number))
    return timelines


def _tracks_of(rows: LabelRows, video: int, wanted: Sequence[int]) -> tuple[list[Rows], int]:
    """Return the rows of each track that is shown, longest first, and the number of tracks there are."""
    own = np.flatnonzero(rows.video == video)
    own = own[np.lexsort((rows.hand[own], rows.frame[own], rows.track[own]))]
    numbers, starts = np.unique(rows.track[own], return_index=True)
    parts = dict(zip(numbers.tolist(), np.split(own, starts[1:]), strict=True))
    ordered = sorted(parts, key=lambda number: (-len(parts[number]), number))
    asked = {int(rows.track[row]) for row in wanted}
    shown = [number for place, number in enumerate(ordered) if place < MAX_TRACKS or number in asked]
    # of a hand that was found twice, the first row stands for both
    return [parts[number][np.unique(rows.frame[parts[number]], return_index=True)[1]] for number in shown], len(parts)


def _track(rows: LabelRows, part: Rows, num_stills: int, *, is_cut: bool) -> Track:
    side = "right" if rows.is_right[part].mean() >= 0.5 else "left"
    first, last = int(rows.frame[part[0]]), int(rows.frame[part[-1]])
    frames = f"frames {first} to {last}" if last > first else f"frame {first}"
    title = f"{side} hand, track {int(rows.track[part[0]])}, {frames}"
    answered = part[rows.is_answered[part]]
    return Track(title, part, [int(answered[place]) for place in draw_evenly(len(answered), num_stills)], is_cut)


def timeline_data(
    timeline: Timeline, rows: LabelRows, measures: Sequence[Measure], pictures: Mapping[int, str], note: str
) -> dict[str, Any]:
    """Return what the page's script draws of a video.

    Args:
        timeline: what is shown.
        rows: every row that was read.
        measures: those that are drawn, in the order of the values.
        pictures: small frames by row, as data URIs; those that could not be shown are missing.
        note: what else must be said, such as why there are no frames.
    """
    left_out = timeline.num_tracks - len(timeline.tracks)
    notes = [note] if note else []
    if left_out:
        notes.append(f"{left_out} shorter tracks of this video are left out.")
    if any(track.is_cut for track in timeline.tracks):
        notes.append("Of long tracks a part is shown.")
    return {
        "name": timeline.name,
        "note": " ".join(notes),
        "tracks": [_track_data(track, rows, measures, pictures) for track in timeline.tracks],
    }


def _track_data(
    track: Track, rows: LabelRows, measures: Sequence[Measure], pictures: Mapping[int, str]
) -> dict[str, Any]:
    own = track.rows
    return {
        "title": track.title,
        "frames": rows.frame[own].tolist(),
        "accepted": rows.is_accepted[own].astype(int).tolist(),
        "reasons": [np.flatnonzero(rows.reasons[row]).tolist() for row in own],
        "confidence": [rounded(value, 4) for value in rows.confidence[own].tolist()],
        "values": [[rounded(value) for value in measure.shown(rows.values(measure.name)[own])] for measure in measures],
        "stills": [
            {"frame": int(rows.frame[row]), "picture": pictures[row]} for row in track.still_rows if row in pictures
        ],
    }


def rounded(value: float, digits: int = DIGITS) -> float | None:
    """Return a number with so many significant digits; None where it is not known."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
