"""A label run against the truth of a synthetic set: are refused labels worse than accepted ones, filter by filter?

Every row of the run, accepted or refused, is laid beside the true hand of its frame whose box it overlaps most.
A filter earns its place when rows that fail it are farther from the truth than those that pass it; one that does not is
shown as such. The unit of every interval is the video, never the frame.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import linear_sum_assignment

from hoiray.benchmarks.timing import make_report_folder
from hoiray.datasets.formats.truth import TRUTH_FOLDER, read_truth
from hoiray.errors import ConfigError, ContractError, InputError, describe
from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.evaluation.tables import Cell, Column, Table, make_bootstrap
from hoiray.evaluation.write import json_document, markdown
from hoiray.geometry.boxes import iou_matrix
from hoiray.hand.joints import WRIST
from hoiray.io.store import Store
from hoiray.metrics.pose import pa_mpjpe_m, root_aligned_mpjpe_m
from hoiray.metrics.summary import MM_PER_M
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS, TRUTH_HANDS
from hoiray.schema.vocabularies import REJECT_REASONS
from hoiray.stages.commit import read_rows
from hoiray.stages.markers import committed_units, read_markers
from hoiray.stages.plan import Plan, open_plan
from hoiray.stages.run_layout import PLAN_FOLDER, Area, labels_area
from hoiray.stages.unmeasured_column import unpack_words

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MIN_IOU: Final = 0.3
"""A label whose box overlaps no true hand by this much is a label of nothing."""

SEED: Final = 0
REASONS: Final = tuple(REJECT_REASONS)

ERRORS: Final[Mapping[str, Column]] = {
    "pa_mpjpe_mm": Column("PA-MPJPE", "mm", 1),
    "mpjpe_mm": Column("MPJPE about the wrist", "mm", 1),
    "joints_2d_box": Column("2D joints", "box sides", 3),
}
"""What is wrong with a label: shape of the pose (best similarity without reflection, so a wrong side counts); pose
with its orientation; place in the image. Means over the 21 joints."""


@dataclass(frozen=True, eq=False)
class TrueHands:
    """The true hands of a set.

    Attributes:
        rows: indices of the hands of each video and frame.
        bbox_xyxy: (N, 4) px, of what is visible; NaN where nothing is.
        is_right: (N,).
        joints_3d_m: (N, 21, 3) metres, camera axes.
        joints_2d_px: (N, 21, 2), NaN where behind the camera.
    """

    rows: Mapping[tuple[str, int], list[int]]
    bbox_xyxy: Floats
    is_right: Bools
    joints_3d_m: Floats
    joints_2d_px: Floats

    @classmethod
    def of_table(cls, table: pa.Table) -> "TrueHands":
        """Take what is compared from a table of schema ``truth_hands``."""
        rows: dict[tuple[str, int], list[int]] = {}
        names, frames = table["video_id"].to_pylist(), table["frame_index"].to_pylist()
        for row, place in enumerate(zip(names, frames, strict=True)):
            rows.setdefault(place, []).append(row)
        numbers = {
            name: unpack_column(table, TRUTH_HANDS[name]).astype(np.float64)
            for name in ("bbox_xyxy", "joints_3d", "joints_2d")
        }
        is_right = unpack_column(table, TRUTH_HANDS["is_right"])
        return cls(rows, numbers["bbox_xyxy"], is_right, numbers["joints_3d"], numbers["joints_2d"])


@dataclass(frozen=True, eq=False)
class Compared:
    """Labels beside the truth.

    Attributes:
        labels: the rows, schema ``labels``.
        true_rows: (N,) the true hand of each; -1 where there is none.
        is_accepted: (N,).
        reasons: (N, R) which limits it fails.
        is_answered: (N,) whether the teacher gave a prediction.
        is_side_right: (N,) whether its side is the true one; False without a true hand.
        errors: name to (N,), NaN where there is no answer or no true hand.
    """

    labels: pa.Table
    true_rows: npt.NDArray[np.intp]
    is_accepted: Bools
    reasons: Bools
    is_answered: Bools
    is_side_right: Bools
    errors: Mapping[str, Floats]

    @property
    def videos(self) -> list[str]:
        """(N,) the video of each row."""
        names: list[str] = self.labels["video_id"].to_pylist()
        return names

    def is_right_label(self, limit_mm: float) -> Bools:
        """(N,) PA-MPJPE at most the limit; no answer and no true hand are wrong."""
        return np.asarray(np.nan_to_num(self.errors["pa_mpjpe_mm"], nan=np.inf) <= limit_mm)


def read_true_hands(uri: str) -> TrueHands:
    """Read the truth of a set that ``hoiray synth`` made.

    Raises:
        InputError: there is none.
        ContractError: it is damaged.
    """
    store = Store.open(uri)
    keys = sorted(store.list(f"{TRUTH_FOLDER}/hands"))
    if not keys:
        fix = "Name the root of a set that hoiray synth made."
        raise InputError(
            describe(what=store.url(f"{TRUTH_FOLDER}/hands"), expected="tables of hands", found="none", fix=fix)
        )
    return TrueHands.of_table(pa.concat_tables([read_truth(store, key, TRUTH_HANDS) for key in keys]))


def read_labels(store: Store, plan: Plan, area: Area) -> pa.Table:
    """Read every committed label of a plan, digests checked; (N rows), sorted by shard.

    Raises:
        InputError: nothing is committed.
        ContractError: something is damaged.
    """
    committed = (name for name, is_done in committed_units(plan, store, area) if is_done)
    tables = [read_rows(store, marker) for marker in read_markers(store, area, committed)]
    if not sum(table.num_rows for table in tables):
        fix = "Run hoiray label first."
        raise InputError(describe(what=store.url(area.prefix), expected="committed labels", found="none", fix=fix))
    return pa.concat_tables(tables)


def compare_labels(labels: pa.Table, truth: TrueHands) -> Compared:
    """Give every label its true hand and measure how far it is from it.

    Args:
        labels: schema ``labels``.
        truth: of the same videos.

    Raises:
        ContractError: no video of the labels is one of the truth.
    """
    true_rows = _matched(labels, truth)
    has_truth = true_rows >= 0
    joints_3d = unpack_column(labels, LABELS["joints_3d"]).astype(np.float64)
    joints_2d = unpack_column(labels, LABELS["joints_2d"]).astype(np.float64)
    is_answered = np.asarray(np.isfinite(joints_3d).all(axis=(1, 2)))
    true_3d, true_2d = truth.joints_3d_m[true_rows], truth.joints_2d_px[true_rows]
    sides_px = np.ptp(truth.bbox_xyxy[true_rows].reshape(-1, 2, 2), axis=1).max(axis=1)
    off_px = np.linalg.norm(joints_2d - true_2d, axis=-1).mean(axis=-1)
    measured = {
        "pa_mpjpe_mm": pa_mpjpe_m(joints_3d, true_3d, allow_reflection=False) * MM_PER_M,
        "mpjpe_mm": root_aligned_mpjpe_m(joints_3d, true_3d, root_index=WRIST) * MM_PER_M,
        "joints_2d_box": off_px / np.maximum(sides_px, 1.0),
    }
    is_same_side = unpack_column(labels, LABELS["is_right"]) == truth.is_right[true_rows]
    return Compared(
        labels=labels,
        true_rows=true_rows,
        is_accepted=unpack_column(labels, LABELS["accepted"]),
        reasons=unpack_words(labels["reasons"], REASONS),
        is_answered=is_answered,
        is_side_right=has_truth & is_same_side,
        errors={name: np.where(has_truth & is_answered, values, np.nan) for name, values in measured.items()},
    )


def _matched(labels: pa.Table, truth: TrueHands) -> npt.NDArray[np.intp]:
    """(N,) the true hand of each label: in each frame the pairs of boxes that overlap most in all, one to one."""
    names = [_video_name(name) for name in labels["video_id"].to_pylist()]
    if not {video for video, _ in truth.rows} & set(names):
        found, expected = f"videos such as {names[0]!r}", "videos such as " + repr(next(iter(truth.rows))[0])
        fix = "Name the set whose videos the run labelled."
        raise ContractError(describe(what="labels beside the truth", expected=expected, found=found, fix=fix))
    boxes = unpack_column(labels, LABELS["bbox_xyxy"]).astype(np.float64)
    frames: dict[tuple[str, int], list[int]] = {}
    for row, place in enumerate(zip(names, labels["frame_index"].to_pylist(), strict=True)):
        frames.setdefault(place, []).append(row)
    matched = np.full(len(names), -1, dtype=np.intp)
    for place, rows in frames.items():
        hands = truth.rows.get(place, [])
        if hands:
            overlap = np.nan_to_num(iou_matrix(boxes[rows], truth.bbox_xyxy[hands]))
            for label, hand in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[label, hand] >= MIN_IOU:
                    matched[rows[label]] = hands[hand]
    return matched


def _video_name(video_id: str) -> str:
    """The truth names videos without folder and suffix."""
    return PurePosixPath(video_id).stem


# --- tables -----------------------------------------------------------------------------------------------------------


def tables_of(compared: Compared, right_mm: float) -> list[Table]:
    """Make the tables: accepted against refused, then one row a reason.

    Args:
        compared: labels beside the truth.
        right_mm: a label is called right up to this PA-MPJPE.
    """
    bootstrap = make_bootstrap(compared.videos, SEED)
    return [_verdict_table(compared, right_mm, bootstrap), _reason_table(compared, right_mm, bootstrap)]


def _verdict_table(compared: Compared, right_mm: float, bootstrap: GroupBootstrap) -> Table:
    parts = {
        "all": np.ones(len(compared.is_accepted), dtype=np.bool_),
        "accepted": compared.is_accepted,
        "refused": ~compared.is_accepted,
    }
    columns = {
        "rows": Column("rows"), "videos": Column("videos"), "unanswered": Column("no answer"),
        "no_hand": Column("no hand there"), "side": Column("side right", "%", 1),
        "right": Column(f"right: PA-MPJPE at most {right_mm:g} mm", "%", 1), **ERRORS,
    }  # fmt: skip
    rows = {name: _part_cells(compared, is_part, right_mm, bootstrap) for name, is_part in parts.items()}
    rows["refused / accepted"] = {
        name: _ratio(values, ~compared.is_accepted, compared.is_accepted, bootstrap)
        for name, values in compared.errors.items()
    }
    note = (
        "Means over rows, 95 % intervals by resampling videos. Errors are of rows with an answer and a true hand under"
        f" their box (IoU at least {MIN_IOU:g}); PA-MPJPE without reflection; MPJPE and PA over 21 joints. Rows without"
        " an answer or a hand are not right. The last line is a ratio: above 1, refused labels are farther off."
    )
    return Table("verdict", "Accepted and refused", note, columns, rows)


def _part_cells(compared: Compared, is_part: Bools, right_mm: float, bootstrap: GroupBootstrap) -> dict[str, Cell]:
    def mean(values: npt.NDArray[np.floating] | Bools) -> Interval:
        return bootstrap.mean(np.where(is_part, values, np.nan))

    cells: dict[str, Cell] = {
        "rows": int(is_part.sum()),
        "videos": len({video for video, inside in zip(compared.videos, is_part, strict=True) if inside}),
        "unanswered": int((is_part & ~compared.is_answered).sum()),
        "no_hand": int((is_part & (compared.true_rows < 0)).sum()),
        "side": mean(compared.is_side_right).scaled(100.0),
        "right": mean(compared.is_right_label(right_mm)).scaled(100.0),
    }
    return cells | {name: mean(values) for name, values in compared.errors.items()}


def _reason_table(compared: Compared, right_mm: float, bootstrap: GroupBootstrap) -> Table:
    columns = {
        "failing": Column("rows failing"), "alone": Column("for this alone"),
        "right_failing": Column("failing, right", "%", 1), "right_passing": Column("passing, right", "%", 1),
        "failing_mm": Column("failing, PA-MPJPE", "mm", 1), "passing_mm": Column("passing, PA-MPJPE", "mm", 1),
        **{name: Column(f"ratio, {column.title}", "", 2) for name, column in ERRORS.items()},
        "finding": Column("the failing are"),
    }  # fmt: skip
    rows: dict[str, dict[str, Cell]] = {}
    is_right = compared.is_right_label(right_mm)
    for index, name in enumerate(REASONS):
        failing = compared.reasons[:, index]
        rows[name] = {
            "failing": int(failing.sum()),
            "alone": int((failing & (compared.reasons.sum(axis=1) == 1)).sum()),
        }
        if failing.any() and not failing.all():
            rows[name] |= _reason_cells(compared, failing, is_right, bootstrap)
    note = (
        "Each limit by itself: rows that fail it against all that pass it, whatever else they fail. A ratio above 1"
        " says that what fails is farther from the truth; 'worse' and 'better' are said only of errors whose interval"
        " excludes 1. A row may fail several; a reason without rows has no ratio: its limit is not set, or nothing"
        " reached it."
    )
    return Table("reasons", "Reason by reason", note, columns, rows)


def _reason_cells(compared: Compared, failing: Bools, is_right: Bools, bootstrap: GroupBootstrap) -> dict[str, Cell]:
    pa_mm = compared.errors["pa_mpjpe_mm"]
    ratios = {name: _ratio(values, failing, ~failing, bootstrap) for name, values in compared.errors.items()}
    return {
        "right_failing": 100.0 * float(is_right[failing].mean()),
        "right_passing": 100.0 * float(is_right[~failing].mean()),
        "failing_mm": _mean(pa_mm[failing]),
        "passing_mm": _mean(pa_mm[~failing]),
        **ratios,
        "finding": finding_of(ratios),
    }


def finding_of(ratios: Mapping[str, Interval]) -> str:
    """Say in words in which errors the failing rows are worse, in which better; else that it cannot be told."""
    worse = [ERRORS[name].title for name, ratio in ratios.items() if ratio.low > 1.0]
    better = [ERRORS[name].title for name, ratio in ratios.items() if ratio.high < 1.0]
    said = [f"{word} in {', '.join(names)}" for word, names in (("worse", worse), ("better", better)) if names]
    return "; ".join(said) or "not told apart"


def _ratio(values: Floats, above: Bools, below: Bools, bootstrap: GroupBootstrap) -> Interval:
    return bootstrap.ratio_of_means(np.where(above, values, np.nan), np.where(below, values, np.nan))


def _mean(values: Floats) -> float:
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else float("nan")


# --- the command ------------------------------------------------------------------------------------------------------


def run(
    out: Path,
    *,
    run_uri: str,
    truth_uri: str,
    judge_id: str | None,
    right_mm: float,
    picture: Path | None,
    note: str = "",
) -> str:
    """Compare a run with the truth and write `labels.json` and `labels.md` into `out`; return the Markdown.

    Args:
        out: folder of the report.
        run_uri: folder of the run, local or on S3.
        truth_uri: root of the synthetic set.
        judge_id: which labels; None for the only ones.
        right_mm: a label is called right up to this PA-MPJPE.
        picture: where a page of accepted and refused labels is written; None for none.
        note: what else must be known to read the figures, such as which weights labelled.

    Raises:
        ConfigError: there are labels of several judge_ids, and none is named.
        InputError: labels or truth are missing.
        ContractError: they are damaged, or of other videos.
    """
    make_report_folder(out)
    store = Store.open(run_uri)
    plan = open_plan(store.below(PLAN_FOLDER))
    area = labels_area(_judge_id(store, judge_id))
    compared = compare_labels(read_labels(store, plan, area), read_true_hands(truth_uri))
    tables = tables_of(compared, right_mm)
    header = _header(compared, run_uri, truth_uri, area, plan) | ({"note": note} if note else {})
    text = markdown("Labels against the truth", header, tables)
    (out / "labels.md").write_text(text)
    (out / "labels.json").write_text(json_document("Labels against the truth", header, tables))
    if picture is not None:
        _draw(picture, compared, plan)
    return text


def _judge_id(store: Store, wanted: str | None) -> str:
    found = [name for name in store.list_folders("labels") if wanted in {None, name}]
    if len(found) == 1:
        return found[0]
    what, expected = store.url("labels"), f"labels {wanted or ''}".strip()
    if not found:
        raise InputError(describe(what=what, expected=expected, found="none", fix="Run hoiray label first."))
    raise ConfigError(
        describe(what=what, expected="one judge_id", found=", ".join(found), fix="Say which: --judge-id ID.")
    )


def _header(compared: Compared, run_uri: str, truth_uri: str, area: Area, plan: Plan) -> dict[str, Any]:
    num_accepted = int(compared.is_accepted.sum())
    return {
        "command": f"python jobs/benchmark.py labels --run {run_uri} --truth {truth_uri}",
        "judge_id": area.id,
        "plan_id": plan.plan_id,
        "videos": f"{plan.head.num_videos} planned, {len(set(compared.videos))} with labels",
        "rows": f"{len(compared.is_accepted)}, accepted {num_accepted}",
        "bootstrap": "10,000 resamples of videos at most, seed 0",
    }


def _draw(path: Path, compared: Compared, plan: Plan) -> None:
    from hoiray.report.label_picture import choose_rows, draw_labels, write_picture

    rows = choose_rows(compared.is_accepted, compared.reasons, compared.videos, compared.is_answered)
    uris = _uris(plan)
    tables = compared.labels.take(rows).to_pylist()
    page = draw_labels(tables, [uris[row["video_id"]] for row in tables], compared.errors["pa_mpjpe_mm"][rows])
    write_picture(path, page)


def _uris(plan: Plan) -> dict[str, str]:
    found: dict[str, str] = {}
    parts = sorted({entry.part for entry in plan.shards()})
    for part in parts:
        table = plan.part_table(part, "videos")
        found |= dict(zip(table["video_id"].to_pylist(), table["uri"].to_pylist(), strict=True))
    return found
