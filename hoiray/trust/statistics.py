"""What every filter of a verdict does: how many labels it refuses, alone and with others, and whether they were bad.

A filter's worth is not how much it refuses but what: the rows that it alone refuses, beside those that are accepted.
Whether there is truth or not, every number is of verdicts that were really made again without the filter, or with it
alone; none is derived from the reasons, because a filter also decides which frames others are compared with.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.evaluation.tables import Cell, Column, Table
from hoiray.schema.vocabularies import REJECT_REASONS

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LITTLE_SHARE: Final = 0.01
"""A filter that removes a smaller share of the bad labels is asked what it is for."""

USELESS_DIFFERENCE: Final = 0.15
"""Where what a filter refuses is surely less than this more often bad than what is accepted, it is of no use."""

REASONS: Final = tuple(REJECT_REASONS)


@dataclass(frozen=True, eq=False)
class Variant:
    """A filter, and the verdicts without it and with it alone.

    Attributes:
        name: of the filter.
        without: (N,) accepted when it is switched off.
        alone: (N,) accepted when everything else is.
        is_guard: it is there for faults that labels of a calibration need not have.
    """

    name: str
    without: Bools
    alone: Bools
    is_guard: bool = False


@dataclass(frozen=True, eq=False)
class Sweep:
    """One limit moved, the others as they are.

    Attributes:
        name: of the filter.
        unit: of its limit.
        limits: tried values.
        accepted: (N,) for each of them.
    """

    name: str
    unit: str
    limits: tuple[float, ...]
    accepted: tuple[Bools, ...]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """N rows with their verdicts.

    Attributes:
        reasons: (N, R) in the order of :data:`REASONS`.
        variants: of every filter.
        sweeps: of every limit.
        is_bad: (N,) beyond the error limit; None without truth.
        errors: (N,) of the metric, NaN where there is none; None without truth.
        num_instances: hands to be seen, found or not; None without truth.
    """

    reasons: Bools
    variants: tuple[Variant, ...]
    sweeps: tuple[Sweep, ...] = ()
    is_bad: Bools | None = None
    errors: Floats | None = None
    num_instances: int | None = None

    @property
    def accepted(self) -> Bools:
        """(N,) no reason stands against the row."""
        return np.asarray(~self.reasons.any(axis=1))


def statistics_tables(verdicts: Verdicts, bootstrap: GroupBootstrap) -> list[Table]:
    """Make all tables of verdicts.

    Args:
        verdicts: N rows.
        bootstrap: over the videos or subjects of the same rows.
    """
    tables = [filter_table(verdicts, bootstrap), funnel_table(verdicts), refusal_table(verdicts, bootstrap)]
    tables.append(overlap_table(verdicts))
    if verdicts.is_bad is not None:
        tables.insert(0, selection_table(verdicts, bootstrap))
    return tables + [sweep_table(sweep, verdicts, bootstrap) for sweep in verdicts.sweeps]


def funnel_table(verdicts: Verdicts) -> Table:
    """Count what is left after each reason, in the order in which they are told."""
    left, rows = np.ones(len(verdicts.reasons), dtype=np.bool_), {}
    count = max(1, len(left))
    rows["all"] = _counted(left, count, 0)
    for index, name in enumerate(REASONS):
        refused = left & verdicts.reasons[:, index]
        if verdicts.reasons[:, index].any():
            left = left & ~refused
            rows[name] = _counted(left, count, int(refused.sum()))
    columns = {"refused": Column("refused here"), "left": Column("left"), "share": Column("left", "%", 1)}
    note = (
        "Each row is refused by the first of its reasons. The order is that of the reasons and says nothing of worth."
    )
    return Table("funnel", "Funnel", note, columns, rows)


def _counted(left: Bools, count: int, refused: int) -> dict[str, Cell]:
    return {"refused": refused, "left": int(left.sum()), "share": 100.0 * float(left.sum()) / count}


def refusal_table(verdicts: Verdicts, bootstrap: GroupBootstrap) -> Table:
    """Count every reason's rows: all of them, and those that no other reason refuses."""
    columns = {
        "rows": Column("rows"), "share": Column("of all", "%", 1), "alone": Column("refused for this alone"),
        "alone_share": Column("of all", "%", 1),
    }  # fmt: skip
    if verdicts.is_bad is not None:
        columns |= {"bad": Column("bad among them", "%", 1), "bad_alone": Column("bad among those alone", "%", 1)}
    rows: dict[str, dict[str, Cell]] = {}
    num_reasons, count = verdicts.reasons.sum(axis=1), max(1, len(verdicts.reasons))
    for index, name in enumerate(REASONS):
        failing = verdicts.reasons[:, index]
        alone = failing & (num_reasons == 1)
        if failing.any():
            rows[name] = {
                "rows": int(failing.sum()), "share": 100.0 * failing.sum() / count,
                "alone": int(alone.sum()), "alone_share": 100.0 * alone.sum() / count,
            }  # fmt: skip
            if verdicts.is_bad is not None:
                rows[name]["bad"] = _share(verdicts.is_bad, failing, bootstrap)
                rows[name]["bad_alone"] = _share(verdicts.is_bad, alone, bootstrap)
    note = "A row may have several reasons. What one refuses alone would be accepted, were it not for this."
    return Table("refusals", "Reason by reason", note, columns, rows)


def overlap_table(verdicts: Verdicts) -> Table:
    """Say of each reason's rows which share another reason refuses as well."""
    present = [index for index in range(len(REASONS)) if verdicts.reasons[:, index].any()]
    rows: dict[str, dict[str, Cell]] = {}
    for one in present:
        failing = verdicts.reasons[:, one]
        rows[REASONS[one]] = {
            REASONS[other]: 100.0 * float(verdicts.reasons[failing, other].mean()) for other in present if other != one
        }
    columns = {REASONS[index]: Column(REASONS[index], "%", 0) for index in present}
    note = "Of the rows that the reason on the left refuses, the share that the one above refuses as well."
    return Table("overlap", "Overlap", note, columns, rows)


def filter_table(verdicts: Verdicts, bootstrap: GroupBootstrap) -> Table:
    """Switch each filter off, and each on alone; say in a line what it is worth."""
    columns = {
        "finding": Column("verdict"),
        "cost": Column("accepted more without it", "% of all", 1),
        "alone": Column("refused by it alone of all filters", "% of all", 1),
    }
    if verdicts.is_bad is not None:
        columns |= {
            "bad": Column("bad among those", "%", 1),
            "difference": Column("more bad than the accepted", "points", 1),
            "removed": Column("of all bad labels", "%", 1),
            "bad_alone": Column("bad if it were the only filter", "%", 1),
        }
    rows = {variant.name: _filter_cells(variant, verdicts, bootstrap) for variant in verdicts.variants}
    note = (
        "Verdicts made anew without the filter, and with it as the only one. 'Bad among those': of the labels that are"
        " accepted only without it. Intervals are 95 %, by resampling whole groups; a filter is worth its cost where"
        " what it refuses is worse than what is accepted, and the interval of the difference excludes 0."
    )
    return Table("filters", "What each filter is worth", note, columns, rows)


def _filter_cells(variant: Variant, verdicts: Verdicts, bootstrap: GroupBootstrap) -> dict[str, Cell]:
    extra = variant.without & ~verdicts.accepted
    cost = bootstrap.difference_of_means(variant.without.astype(np.float64), verdicts.accepted.astype(np.float64))
    alone = bootstrap.mean((~variant.alone).astype(np.float64)).scaled(100.0)
    cells: dict[str, Cell] = {"cost": cost.scaled(100.0), "alone": alone}
    if verdicts.is_bad is None:
        return {"finding": _cost_words(cost.value), **cells}
    bad = verdicts.is_bad.astype(np.float64)
    difference = bootstrap.difference_of_means(np.where(extra, bad, np.nan), np.where(verdicts.accepted, bad, np.nan))
    removed = float(bad[extra].sum() / max(1.0, bad.sum()))
    return {
        "finding": guard_finding(cost.value, removed)
        if variant.is_guard
        else finding_of(cost.value, removed, difference, int(extra.sum())),
        **cells,
        "bad": _share(verdicts.is_bad, extra, bootstrap),
        "difference": difference.scaled(100.0),
        "removed": 100.0 * removed,
        "bad_alone": _share(verdicts.is_bad, variant.alone, bootstrap),
    }


def finding_of(cost: float, removed: float, difference: Interval, num_extra: int) -> str:
    """Say in one line what a filter is worth.

    Args:
        cost: share of all labels that are accepted more without it.
        removed: share of all bad labels that are refused by it alone.
        difference: bad share of what it alone refuses, less that of what is accepted.
        num_extra: labels it alone refuses.
    """
    if not num_extra:
        return "refuses nothing that the others do not: switching it off changes nothing"
    words = f"{_cost_words(cost)}, removes {removed:.1%} of the bad labels"
    if difference.high < 0.0:
        return f"{words}: harmful, what it refuses is better than what is accepted: switch it off"
    if difference.high < USELESS_DIFFERENCE and not difference.low > 0.0:
        return f"{words}: useless, what it refuses is hardly worse than what is accepted: consider switching off"
    if not difference.low > 0.0:
        return f"{words}: these labels cannot tell whether what it refuses is worse: add videos with truth"
    if removed < LITTLE_SHARE:
        return f"{words}: right, and hardly of use: consider switching off"
    return f"{words}: keep it"


def guard_finding(cost: float, removed: float) -> str:
    """Say in one line what a guard costs; what it is worth only planted faults can tell.

    Args:
        cost: share of all labels that are accepted more without it.
        removed: share of all bad labels that are refused by it alone.
    """
    return f"{_cost_words(cost)}, removes {removed:.1%} of the bad labels: a guard, its worth is told by planted faults"


def _cost_words(cost: float) -> str:
    return f"costs {cost:.1%} coverage"


def selection_table(verdicts: Verdicts, bootstrap: GroupBootstrap) -> Table:
    """Tell precision, recall and coverage of the verdicts, with the instances that nobody found."""
    assert verdicts.is_bad is not None
    assert verdicts.errors is not None
    assert verdicts.num_instances is not None
    columns = {
        "labels": Column("labels"), "precision": Column("good", "%", 1), "recall": Column("of all good labels", "%", 1),
        "coverage": Column("of the labels", "%", 1), "coverage_all": Column("of all hands to be seen", "%", 1),
        "mean": Column("mean error"), "p95": Column("95th percentile"),
    }  # fmt: skip
    rows: dict[str, dict[str, Cell]] = {}
    good = (~verdicts.is_bad).astype(np.float64)
    parts = {"all labels": np.ones(len(good), np.bool_), "accepted": verdicts.accepted, "refused": ~verdicts.accepted}
    for name, inside in parts.items():
        known = verdicts.errors[inside & ~np.isnan(verdicts.errors)]
        rows[name] = {
            "labels": int(inside.sum()),
            "precision": _share(~verdicts.is_bad, inside, bootstrap),
            "recall": bootstrap.mean(np.where(verdicts.is_bad, np.nan, inside)).scaled(100.0),
            "coverage": bootstrap.mean(inside.astype(np.float64)).scaled(100.0),
            "coverage_all": 100.0 * float(inside.sum()) / max(1, verdicts.num_instances),
            "mean": float(known.mean()) if known.size else float("nan"),
            "p95": float(np.quantile(known, 0.95)) if known.size else float("nan"),
        }
    note = (
        "A label without a true hand under its box is bad and has no error. Hands to be seen: all true hands of the"
        " videos that are not hidden, those that got no label too."
    )
    return Table("selection", "Selection", note, columns, rows)


def sweep_table(sweep: Sweep, verdicts: Verdicts, bootstrap: GroupBootstrap) -> Table:
    """Tell coverage and bad share for each value of one limit."""
    columns = {"coverage": Column("accepted", "%", 1)}
    if verdicts.is_bad is not None:
        columns["bad"] = Column("bad among them", "%", 1)
    rows: dict[str, dict[str, Cell]] = {}
    for limit, accepted in zip(sweep.limits, sweep.accepted, strict=True):
        rows[f"{limit:.4g}"] = {"coverage": bootstrap.mean(accepted.astype(np.float64)).scaled(100.0)}
        if verdicts.is_bad is not None:
            rows[f"{limit:.4g}"]["bad"] = _share(verdicts.is_bad, accepted, bootstrap)
    note = f"The limit on the left ({sweep.unit}) moved, all others as they are; verdicts made anew."
    return Table(f"sweep {sweep.name}", f"Limit moved: {sweep.name}", note, columns, rows)


def _share(values: Bools, part: Bools, bootstrap: GroupBootstrap) -> Interval:
    return bootstrap.mean(np.where(part, values, np.nan)).scaled(100.0)
