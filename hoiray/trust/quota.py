"""A quota on accepted labels: fewer of what there is plenty of, so that what is rare is not drowned.

Selection keeps slow, large, flat hands and loses the others; a training on the accepted labels sees that mixture. A
quota parts labels into cells by side, size, view and bend, and takes at most so many of a cell that its share of what
is left is near its share of **all** labels. Labels are dropped from the crowded cells and never added: what is refused
stays refused. Crowded cells are the easy ones, so what is left might be right less often. Where confidence is known it
may not be: the least confident of a cell go first, and as little is dropped as it takes to keep the mean confidence.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from hoiray.evaluation.tables import Cell, Column, Table

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

PARTED_BY: Final = ("side", "longer side of the box", "view", "largest bend")
"""Parts, of :func:`hoiray.trust.gauges.parts_of`, whose combinations are the cells."""

NUM_STEPS: Final = 20
"""Amounts that are tried, where dropping all that is allowed would cost precision."""


def cells_of(parts: Mapping[str, Sequence[str]], parted_by: Sequence[str] = PARTED_BY) -> list[str]:
    """Return (N,) the name of each label's cell: its parts, joined."""
    return [", ".join(names) for names in zip(*(parts[title] for title in parted_by), strict=True)]


def keep_by_quota(
    cells: Sequence[str],
    accepted: Bools,
    confidence: Floats,
    *,
    max_dropped: float,
    seed: int,
) -> Bools:
    """Choose which accepted labels are kept.

    A cell keeps at most a common multiple of its number among all labels; the multiple is the smallest that drops no
    more than is allowed. So the cells that selection favours most give most, and those it starves give nothing. In a
    cell the most confident labels stay; where confidence is equal or not known, the lot decides.

    Args:
        cells: (N,) name of each label's cell.
        accepted: (N,).
        confidence: (N,) NaN where not known.
        max_dropped: share of the accepted labels that may be dropped, 0 to 1.
        seed: of the lot.

    Returns:
        (N,) a part of `accepted`, whose mean confidence is no lower.
    """
    for step in range(NUM_STEPS):
        share = max_dropped * (1.0 - step / NUM_STEPS)
        kept = _kept(cells, accepted, confidence, share, np.random.default_rng(seed))
        if not mean_confidence(kept, confidence) < mean_confidence(accepted, confidence):
            return kept
    return accepted.copy()


def mean_confidence(part: Bools, confidence: Floats) -> float:
    """Return the share of a part's labels that is good, as confidence says; NaN where it is not known of all."""
    return float(confidence[part].mean()) if part.any() else float("nan")


def _kept(cells: Sequence[str], accepted: Bools, confidence: Floats, share: float, rng: np.random.Generator) -> Bools:
    """Keep all of a quota that drops at most a share."""
    _, cell = np.unique(np.asarray(cells, dtype=np.str_), return_inverse=True)
    num_all = np.bincount(cell)
    num_accepted = np.bincount(cell, weights=accepted).astype(np.int64)
    quota = _quotas(num_all, num_accepted, share)
    kept = np.zeros(len(accepted), dtype=np.bool_)
    rows = np.flatnonzero(accepted)
    lot = rng.permutation(len(rows))
    order = rows[np.lexsort((lot, -np.nan_to_num(confidence[rows], nan=-1.0), cell[rows]))]
    start = np.searchsorted(cell[order], np.arange(len(num_all)))
    place = np.arange(len(order)) - start[cell[order]]
    kept[order[place < quota[cell[order]]]] = True
    return kept


def _quotas(
    num_all: npt.NDArray[np.int64], num_accepted: npt.NDArray[np.int64], max_dropped: float
) -> npt.NDArray[np.int64]:
    """(C,) labels a cell may keep: the smallest common multiple of its size that drops no more than allowed."""
    least = num_accepted.sum() * (1.0 - max_dropped)
    rates = np.unique(num_accepted / np.maximum(num_all, 1))

    def kept_at(rate: float) -> npt.NDArray[np.int64]:
        return np.asarray(np.minimum(num_accepted, np.ceil(rate * num_all - 1e-9).astype(np.int64)))

    low, high = 0.0, float(rates.max(initial=0.0))
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (low, middle) if kept_at(middle).sum() >= least else (middle, high)
    return kept_at(high)


def quota_table(cells: Sequence[str], accepted: Bools, kept: Bools, confidence: Floats) -> Table:
    """Show each cell's share of all, of the accepted and of the kept labels; the largest cells first."""
    names, cell = np.unique(np.asarray(cells, dtype=np.str_), return_inverse=True)
    counts = [np.bincount(cell, weights=part, minlength=len(names)) for part in (np.ones(len(cell)), accepted, kept)]
    rows: dict[str, dict[str, Cell]] = {}
    for index in np.argsort(-counts[0], kind="stable").tolist():
        of_all, of_accepted, of_kept = (100.0 * count[index] / max(1.0, count.sum()) for count in counts)
        rows[str(names[index])] = {
            "all": of_all, "accepted": of_accepted, "kept": of_kept, "labels": int(counts[2][index]),
        }  # fmt: skip
    columns = {
        "all": Column("of all labels", "%", 1), "accepted": Column("of the accepted", "%", 1),
        "kept": Column("of the kept", "%", 1), "labels": Column("kept"),
    }  # fmt: skip
    off = [imbalance(cells, part) for part in (accepted, kept)]
    sure = [mean_confidence(part, confidence) for part in (accepted, kept)]
    said = "" if np.isnan(sure).any() else f" Mean confidence: {sure[0]:.3f} accepted, {sure[1]:.3f} kept."
    note = (
        f"Kept {int(kept.sum()):,} of {int(accepted.sum()):,} accepted labels. Distance of the mixture to that of all"
        f" labels (0 to 1): {off[0]:.3f} accepted, {off[1]:.3f} kept.{said}"
    )
    return Table("quota", "What the quota keeps", note, columns, rows)


def imbalance(cells: Sequence[str], part: Bools) -> float:
    """Return the total variation, 0 to 1, between the cells' shares of a part and of all labels; NaN for none."""
    _, cell = np.unique(np.asarray(cells, dtype=np.str_), return_inverse=True)
    if not part.any():
        return float("nan")
    of_all = np.bincount(cell) / len(cell)
    of_part = np.bincount(cell, weights=part, minlength=len(of_all)) / part.sum()
    return 0.5 * float(np.abs(of_all - of_part).sum())
