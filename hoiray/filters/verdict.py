"""From measurements and limits to verdicts: every reason of every row, in one pass over columns.

A row is accepted when no reason stands against it. A measurement that is NaN while a limit applies to it is a reason by
itself, ``not_measured``: what could not be checked is not trusted. Two kinds of NaN mean that a limit does not apply,
and have reasons of their own or none:

* motion where the track has no neighbouring frame: ``no_predecessor``;
* shape in a track of which no frame passed the earlier limits (its rows are refused by those anyway).

Everything is compared in float32, measurement and limit alike, which is how measurements are stored: the same verdict
follows from the table, bit for bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hoiray.filters.rules import REASON_INDEX, Limit, Rules
from hoiray.filters.shape import deviates
from hoiray.filters.tracks import NONE, Tracks
from hoiray.filters.unmeasured import NOT_ATTEMPTED, CodeArray

Measured = Mapping[str, npt.NDArray[np.float32]]
"""(N,) measurements by the name of their column."""

BoolArray = npt.NDArray[np.bool_]

_NOT_MEASURED = REASON_INDEX["not_measured"]


def no_reasons(num_rows: int) -> BoolArray:
    """Return an (N, R) table of reasons, columns in the order of ``REJECT_REASONS``, with nothing against any row."""
    return np.zeros((num_rows, len(REASON_INDEX)), dtype=np.bool_, order="F")


def passes(reasons: BoolArray) -> BoolArray:
    """Return (N,) True where no reason stands against a row."""
    return np.asarray(~reasons.any(axis=1))


def fails(values: npt.NDArray[np.float32], limit: Limit, factor: npt.NDArray[np.float64] | float = 1.0) -> BoolArray:
    """Say for (N,) values where they are beyond a limit; never where they are NaN.

    Args:
        values: the measurement.
        limit: the limit.
        factor: of the limit's value, (N,) or one for all.
    """
    threshold = np.asarray(limit.value * np.asarray(factor, dtype=np.float64)).astype(np.float32)
    if limit.bound == "min":
        return np.asarray(values < threshold)
    if limit.bound == "max":
        return np.asarray(values > threshold)
    return np.asarray(values >= threshold)


def judge_spatial(measured: Measured, rules: Rules, reasons: BoolArray) -> None:
    """Add the reasons that one frame by itself gives."""
    for limit in rules.of("spatial"):
        values = measured[limit.measurement]
        reasons[:, REASON_INDEX[limit.filter.reason]] |= fails(values, limit)
        reasons[:, _NOT_MEASURED] |= np.isnan(values)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which pair of frames a row's motion is judged by.

    Attributes:
        neighbour: (N,) the other frame's row; -1 where there is none.
        later: (N,) the later row of the two, at which the pair's motion is stored; -1 where there is none.
        gap_frames: (N,) frame numbers between them; 0 where there is none.
    """

    neighbour: npt.NDArray[np.int64]
    later: npt.NDArray[np.int64]
    gap_frames: npt.NDArray[np.int64]


def choose_pairs(tracks: Tracks, frame_index: npt.NDArray[np.integer], rules: Rules) -> Pairs:
    """Pair every row with its predecessor or, where the rules allow it and there is none near, with its successor."""
    gap = tracks.gap_frames(frame_index)
    is_near = (tracks.predecessor != NONE) & (gap <= rules.max_predecessor_gap_frames)
    rows = np.arange(len(gap), dtype=np.int64)
    neighbour = np.where(is_near, tracks.predecessor, NONE)
    later = np.where(is_near, rows, NONE)
    if rules.allows_successor:
        successor = tracks.successor()
        takes_next = ~is_near & (successor != NONE) & is_near[successor]
        neighbour, later = np.where(takes_next, successor, neighbour), np.where(takes_next, successor, later)
    return Pairs(neighbour, later, np.where(later != NONE, gap[later], 0))


def judge_duplicates(tracks: Tracks, reasons: BoolArray) -> None:
    """Add the reason that a hand is in its frame once already."""
    reasons[:, REASON_INDEX["duplicate"]] |= tracks.is_duplicate


def judge_pairs(measured: Measured, pairs: Pairs, tracks: Tracks, rules: Rules, reasons: BoolArray) -> None:
    """Add the reasons that motion gives; `reasons` holds the spatial ones. A duplicate has no motion to judge."""
    passes_spatial = passes(reasons)
    judge_duplicates(tracks, reasons)
    limits = rules.of("pair")
    if not limits:
        return
    is_paired = pairs.later != NONE
    reasons[:, REASON_INDEX["no_predecessor"]] |= ~is_paired & ~tracks.is_duplicate
    if rules.neighbour_must_pass_spatial:
        reasons[:, REASON_INDEX["predecessor_refused"]] |= is_paired & ~passes_spatial[pairs.neighbour]
    for limit in limits:
        values = measured[limit.measurement][pairs.later]
        factor = pairs.gap_frames.astype(np.float64) ** limit.filter.degree
        reasons[:, REASON_INDEX[limit.filter.reason]] |= is_paired & fails(values, limit, factor)
        reasons[:, _NOT_MEASURED] |= is_paired & np.isnan(values)


def judge_shape(
    measured: Measured,
    unmeasured: CodeArray,
    set_size: npt.NDArray[np.integer],
    rules: Rules,
    reasons: BoolArray,
) -> None:
    """Add the reasons that the track's shape gives.

    Args:
        measured: with ``shape_deviation_sigma`` and ``shape_sigma``.
        unmeasured: (N,) why a row has no deviation.
        set_size: (N,) confident frames of the row's track.
        rules: the limits.
        reasons: those of the earlier families.
    """
    for limit in rules.of("shape"):
        deviation = measured[limit.measurement]
        is_off = deviates(deviation, measured["shape_sigma"], set_size, float(np.float32(limit.value)))
        reasons[:, REASON_INDEX[limit.filter.reason]] |= is_off
        reasons[:, _NOT_MEASURED] |= np.isnan(deviation) & (unmeasured != NOT_ATTEMPTED)


def judge_guards(measured: Measured, limits: Sequence[Limit], reasons: BoolArray) -> None:
    """Add the reasons of limits that are guards: each is held against the row's own number, and NaN is within it."""
    for limit in limits:
        reasons[:, REASON_INDEX[limit.filter.reason]] |= fails(measured[limit.measurement], limit)


def judge_confidence(confidence: npt.NDArray[np.floating], min_confidence: float, reasons: BoolArray) -> None:
    """Add the reasons that calibrated confidence gives: below its limit, or unknown."""
    stored = confidence.astype(np.float32)
    reasons[:, REASON_INDEX["confidence"]] |= stored < np.float32(min_confidence)
    reasons[:, _NOT_MEASURED] |= np.isnan(stored)
