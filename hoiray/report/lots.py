"""Which labels are shown: drawn by lot, the same for the same seed, blind to everything but video and verdict."""

import numpy as np
import numpy.typing as npt

from hoiray.report.label_rows import Ints, LabelRows

Rows = npt.NDArray[np.intp]


def draw_labels_by_lot(rows: LabelRows, num_accepted: int, num_refused: int, *, seed: int) -> Rows:
    """Draw labels to show: accepted ones from as many videos as there are, refused ones reason by reason.

    Among the refused, those with few reasons come first, as they show what their reason means, and videos take turns.
    Rows without a prediction have nothing to show and are left out. Where there are too few accepted ones, refused
    ones take their place, and the other way round.

    Returns:
        Row numbers, accepted ones first.
    """
    order = np.random.default_rng(seed).permutation(len(rows)).astype(np.intp)
    order = order[rows.is_answered[order]]
    accepted = _in_turns(order[rows.is_accepted[order]], rows.video)
    refused = _by_reasons(order[~rows.is_accepted[order]], rows)
    total = num_accepted + num_refused
    num_refused = min(len(refused), max(num_refused, total - len(accepted)))
    return np.concatenate([accepted[: total - num_refused], refused[:num_refused]])


def draw_evenly(count: int, wanted: int) -> list[int]:
    """Return at most `wanted` of the numbers 0 to count - 1, evenly spread, first and last among them."""
    return sorted({round(float(place)) for place in np.linspace(0, count - 1, min(count, wanted))}) if count else []


def window(frames: Ints, wanted: int, length: int) -> npt.NDArray[np.bool_]:
    """Say which of (T,) growing frames are shown: all, or those of `length` numbers around the wanted one."""
    first = wanted - length // 2
    first = max(int(frames[0]), min(first, int(frames[-1]) - length + 1))
    return np.asarray((frames >= first) & (frames < first + length))


def _in_turns(order: Rows, video: Ints) -> Rows:
    """Reorder rows so that every video comes once before any comes twice."""
    return order[np.argsort(_rank_within(video[order]), kind="stable")]


def _rank_within(groups: Ints) -> Ints:
    """(N,) how many of the same group came before."""
    by_group = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[by_group]) != 0]) if len(groups) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, len(groups)])
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[by_group] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return ranks


def _by_reasons(order: Rows, rows: LabelRows) -> Rows:
    """Reorder refused rows: one for each reason in turn."""
    num_reasons = np.minimum(rows.reasons[order].sum(axis=1), 3)
    turns, ranks, picked = [], [], []
    for reason in range(rows.reasons.shape[1]):
        is_of = rows.reasons[order, reason]
        own = order[is_of][np.argsort(num_reasons[is_of], kind="stable")]
        few = num_reasons[is_of][np.argsort(num_reasons[is_of], kind="stable")]
        # within the same number of reasons videos take turns
        own = own[np.lexsort((np.arange(len(own)), _rank_within(rows.video[own] * 4 + few), few))]
        picked.append(own)
        ranks.append(np.arange(len(own)))
        turns.append(np.full(len(own), reason))
    joined, rank, turn = (np.concatenate(parts) for parts in (picked, ranks, turns))
    joined = joined[np.lexsort((turn, rank))]
    _, first = np.unique(joined, return_index=True)
    return np.asarray(joined[np.sort(first)], dtype=np.intp)
