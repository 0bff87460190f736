"""The filters of a label run, taken apart: how well each measurement ranks errors, and what other readings would do.

A limit shows one point of a measurement. Here each measurement is looked at without its limit, as a ranking of labels
from good to bad, so that those which nobody judges (their limit is null) or which nothing reached are known as well.
Then the labels are judged again by the other readings of the paper, and with one limit left out at a time.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hoiray.benchmarks.labels import ERRORS, SEED, Bools, Judged, ratios_of
from hoiray.config.what import PaperLimits
from hoiray.evaluation.bootstrap import GroupBootstrap
from hoiray.evaluation.ranking import concordance, rank_correlation
from hoiray.evaluation.tables import Cell, Column, Table, make_bootstrap
from hoiray.filters.rules import BOUND_WORDS, FILTERS, Limit, paper_rules
from hoiray.filters.verdict import fails
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge

READINGS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "reprojection: mean": {"reprojection_reading": "mean"},
        "reprojection: max": {"reprojection_reading": "max"},
        "motion in 2D: mean": {"motion_2d_reading": "mean"},
        "motion in 2D: max": {"motion_2d_reading": "max"},
        "motion of the pose: rotation matrices": {"motion_pose_reading": "matrix_mean_square"},
        "motion of the pose: axis-angles": {"motion_pose_reading": "axis_angle_mean_square"},
        "motion of the pose: axis-angles, literally": {"motion_pose_reading": "axis_angle_l2"},
        "first frames may pass on the next one": {"predecessor_rule": "backward_or_forward"},
        "the frame before need not pass": {"predecessor_must_pass_spatial": False},
        "pairs over gaps of up to 3, limits per time": {"max_predecessor_gap_frames": 3},
        "without box_iou": {"min_box_iou": None},
        "without reprojection": {"max_reprojection_box_sides": None},
        "without motion_2d": {"max_motion_2d_box_sides": None},
        "without motion_pose": {"max_motion_pose": None},
        "without any motion": {"max_motion_2d_box_sides": None, "max_motion_pose": None},
        "without shape_deviation": {"max_shape_deviation_sigma": None},
    }
)
"""Changes of the limits: the other readings of method and paper at the paper's numbers, then one limit less."""


def filter_tables(judged: Judged, limits: PaperLimits | None, right_mm: float) -> list[Table]:
    """Make the tables of measurements and, where the limits are known, of readings.

    Args:
        judged: labels beside the truth.
        limits: what they were judged by; None where it is not known.
        right_mm: a label is called right up to this PA-MPJPE.
    """
    bootstrap = make_bootstrap(judged.compared.videos, SEED)
    tables = [_measurement_table(judged, limits, right_mm, bootstrap)]
    return tables if limits is None else [*tables, _reading_table(judged, limits, right_mm, bootstrap)]


def _measurement_table(judged: Judged, limits: PaperLimits | None, right_mm: float, bootstrap: GroupBootstrap) -> Table:
    set_limits = {} if limits is None else {limit.measurement: limit for limit in paper_rules(limits).limits}
    columns = {
        "measured": Column("measured"), "median": Column("median", "", 4), "worst": Column("worst", "", 4),
        **{name: Column(f"rank correlation, {column.title}") for name, column in ERRORS.items()},
        "concordance": Column(f"concordance with PA-MPJPE above {right_mm:g} mm"),
        "limit": Column("limit"), "beyond": Column("rows beyond it"),
    }  # fmt: skip
    rows: dict[str, dict[str, Cell]] = {}
    for name, one in FILTERS.items():
        worse = judged.beyond(Limit(name, 0.0, one.bound))
        rows[name] = {"measured": int((~np.isnan(worse)).sum()), "limit": _limit_text(set_limits, limits, name)}
        if np.isnan(worse).all():
            continue
        sign = -1.0 if one.bound == "min" else 1.0
        rows[name] |= {
            "median": sign * float(np.nanmedian(worse)),
            "worst": sign * float(np.nanmax(worse)),
            **{key: rank_correlation(bootstrap, worse, values) for key, values in judged.errors.items()},
            "concordance": concordance(bootstrap, worse, ~judged.is_right(right_mm)),
        }
        if name in set_limits:
            rows[name]["beyond"] = int(fails(judged.measurement(name).astype(np.float32), set_limits[name]).sum())
    note = (
        "Each measurement without its limit, turned so that more is worse: Spearman's rank correlation with each error"
        " (0: it tells nothing; 1: it sorts as the error does), and the chance that of a wrong and a right label the"
        " wrong one measures worse (0.5: it tells nothing). 95 % intervals by resampling videos. 'no limit': measured"
        " and stored, not judged; with a limit and no rows beyond it, nothing reached it."
    )
    return Table("measurements", "How well each measurement ranks labels", note, columns, rows)


def _limit_text(set_limits: Mapping[str, Limit], limits: PaperLimits | None, name: str) -> str:
    if limits is None:
        return "not known"
    if name in set_limits:
        limit = set_limits[name]
        return f"{BOUND_WORDS[limit.bound]} {limit.value:.3g}"
    reason = FILTERS[name].reason
    is_read_otherwise = any(limit.filter.reason == reason for limit in set_limits.values())
    return "another reading is judged" if is_read_otherwise else "no limit"


def _reading_table(judged: Judged, limits: PaperLimits, right_mm: float, bootstrap: GroupBootstrap) -> Table:
    columns = {
        "accepted": Column("accepted"), "side": Column("side right", "%", 1), "right": Column("right", "%", 1),
        **{name: Column(f"accepted, {column.title}", column.unit, column.decimals) for name, column in ERRORS.items()},
        **{f"ratio_{name}": Column(f"refused / accepted, {column.title}") for name, column in ERRORS.items()},
    }  # fmt: skip
    rows = {"as it was": _reading_cells(judged, judged.is_accepted, right_mm, bootstrap)}
    for name, changes in READINGS.items():
        changed = limits.model_copy(update=dict(changes))
        rows[name] = _reading_cells(judged, judged_again(judged.labels, changed), right_mm, bootstrap)
    note = (
        "The same labels judged again, one thing changed at a time, the paper's numbers kept. Above 1, refused labels"
        " are farther off than accepted ones. A row with the counts of the first changes no verdict here."
    )
    return Table("readings", "Other readings, and one limit less", note, columns, rows)


def judged_again(labels: pa.Table, limits: PaperLimits) -> Bools:
    """(N,) which labels other limits accept; `labels` are sorted by video, frame and hand."""
    return unpack_column(judge(labels, paper_rules(limits), "judged again"), LABELS["accepted"])


def _reading_cells(judged: Judged, is_accepted: Bools, right_mm: float, bootstrap: GroupBootstrap) -> dict[str, Cell]:
    cells: dict[str, Cell] = {"accepted": int(is_accepted.sum())}
    if not is_accepted.any():
        return cells
    cells |= {
        "side": 100.0 * float(judged.compared.is_side_right[is_accepted].mean()),
        "right": 100.0 * float(judged.is_right(right_mm)[is_accepted].mean()),
    }
    for name, values in judged.errors.items():
        cells[name] = bootstrap.mean(np.where(is_accepted, values, np.nan))
    ratios = ratios_of(judged, ~is_accepted, is_accepted, bootstrap)
    return cells | {f"ratio_{name}": ratio for name, ratio in ratios.items()}
