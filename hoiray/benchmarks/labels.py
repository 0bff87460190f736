"""A label run against the truth of a synthetic set: are refused labels worse than accepted ones, filter by filter?

Every row of the run, accepted or refused, is laid beside the true hand of its frame whose box it overlaps most.
A filter earns its place when rows that fail it are farther from the truth than those that pass it; one that does not is
shown as such. The unit of every interval is the video, never the frame.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.benchmarks.timing import make_report_folder
from hoiray.config.load import parse_run
from hoiray.config.what import PaperLimits
from hoiray.errors import InputError, describe
from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.evaluation.label_truth import MIN_IOU, NO_HAND, Compared, TrueHands, compare_labels, read_true_hands
from hoiray.evaluation.tables import Cell, Column, Table, make_bootstrap
from hoiray.evaluation.write import json_document, markdown
from hoiray.filters.rules import FILTERS, Limit, paper_rules
from hoiray.io.store import Store
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.schema.vocabularies import REJECT_REASONS
from hoiray.stages.commit import read_rows
from hoiray.stages.group import group_by_video
from hoiray.stages.ids import make_judge_id
from hoiray.stages.markers import committed_units, read_markers
from hoiray.stages.plan import Plan, load_shard, open_plan
from hoiray.stages.report_rows import find_judge_id
from hoiray.stages.run_layout import PLAN_FOLDER, RUN_FILE, Area, labels_area
from hoiray.stages.unmeasured_column import unpack_words
from hoiray.stages.wanted import wanted_videos

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SEED: Final = 0
REASONS: Final = tuple(REJECT_REASONS)

ERRORS: Final[Mapping[str, Column]] = {
    "pa_mpjpe_mm": Column("PA-MPJPE", "mm", 1),
    "right_side_pa_mm": Column("PA-MPJPE of the right side", "mm", 1),
    "mpjpe_mm": Column("MPJPE about the wrist", "mm", 1),
    "joints_2d_box": Column("2D joints", "box sides", 3),
}
"""What is wrong with a label: shape of the pose (best similarity without reflection, so a wrong side counts), and the
same of hands whose side is right; pose with its orientation; place in the image. Means over the 21 joints."""

_WITHOUT_LIMIT: Final[Mapping[str, str]] = {
    "no_predecessor": "no row: every row had a frame before it, or motion is not judged",
    "predecessor_refused": "no row: every frame before passed, or need not",
    "duplicate": "no row: no hand was found twice",
    "hand_size": "no limit: it is a guard of a calibrated file",
    "confidence": "no limit: the run is not calibrated",
    "not_measured": "no row: whatever is judged was measured",
}
"""Why there are no rows of the reasons that no limit on a single measurement gives."""


@dataclass(frozen=True, eq=False)
class Judged:
    """The labels of a run, with their verdicts, beside the truth.

    Attributes:
        labels: N rows, schema ``labels``, sorted by video, frame and hand.
        is_accepted: (N,).
        reasons: (N, R) which limits each fails.
        compared: how far each is from its true hand.
        errors: :data:`ERRORS` to (N,), NaN where there is no answer or no true hand.
    """

    labels: pa.Table
    is_accepted: Bools
    reasons: Bools
    compared: Compared
    errors: Mapping[str, Floats]

    def measurement(self, name: str) -> Floats:
        """(N,) a measurement, NaN where it was not taken."""
        return unpack_column(self.labels, LABELS[name]).astype(np.float64)

    def was_asked(self, reason: str) -> Bools:
        """(N,) whether what a reason is about was measured; all rows for reasons that no measurement gives."""
        names = [name for name, one in FILTERS.items() if one.reason == reason]
        if not names:
            return np.ones(self.labels.num_rows, dtype=np.bool_)
        return np.asarray(np.any([np.isfinite(self.measurement(name)) for name in names], axis=0))

    def is_right(self, limit_mm: float) -> Bools:
        """(N,) PA-MPJPE at most the limit; no answer and no true hand are wrong."""
        return self.compared.is_good(limit_mm)

    def beyond(self, limit: Limit) -> Floats:
        """(N,) the measurement of a limit, turned so that more is worse."""
        values = self.measurement(limit.measurement)
        return -values if limit.bound == "min" else values


def judged_labels(labels: pa.Table, truth: TrueHands) -> Judged:
    """Sort labels and lay them beside the truth.

    Raises:
        ContractError: no video of the labels is one of the truth.
    """
    labels = group_by_video(labels).table
    compared = compare_labels(labels, truth)
    own = compared.errors
    right_side = np.where(compared.is_side_right, own["pa_mpjpe_mm"], np.nan)
    return Judged(
        labels=labels,
        is_accepted=unpack_column(labels, LABELS["accepted"]),
        reasons=unpack_words(labels["reasons"], REASONS),
        compared=compared,
        errors={name: right_side if name == "right_side_pa_mm" else own[name] for name in ERRORS},
    )


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


def limits_of(store: Store, labels: pa.Table, area: Area) -> PaperLimits | None:
    """Return the limits that labels were judged by: those of the run's file, if their id says so.

    Returns:
        None where the labels were judged by others, or by a calibration.

    Raises:
        InputError: the run has no file.
        ConfigError: it is damaged.
    """
    limits = parse_run(store.read(RUN_FILE).decode(), source=store.url(RUN_FILE)).limits
    if not isinstance(limits, PaperLimits):
        return None
    ids = {make_judge_id(name, limits) for name in labels["predict_id"].unique().to_pylist()}
    return limits if ids == {area.id} else None


# --- tables -----------------------------------------------------------------------------------------------------------


def tables_of(judged: Judged, limits: PaperLimits | None, right_mm: float) -> list[Table]:
    """Make the tables: accepted against refused; one row a reason; what each limit by itself kept out.

    Args:
        judged: labels beside the truth.
        limits: what they were judged by; None where it is not known.
        right_mm: a label is called right up to this PA-MPJPE.
    """
    bootstrap = make_bootstrap(judged.compared.videos, SEED)
    return [
        _verdict_table(judged, right_mm, bootstrap),
        _reason_table(judged, limits, right_mm, bootstrap),
        _alone_table(judged, right_mm, bootstrap),
    ]


def _verdict_table(judged: Judged, right_mm: float, bootstrap: GroupBootstrap) -> Table:
    parts = {
        "all": np.ones(len(judged.is_accepted), dtype=np.bool_),
        "accepted": judged.is_accepted,
        "refused": ~judged.is_accepted,
    }
    columns = {
        "rows": Column("rows"), "videos": Column("videos"), "unanswered": Column("no answer"),
        "no_hand": Column("no hand there"), "side": Column("side right", "%", 1),
        "right": Column(f"right: PA-MPJPE at most {right_mm:g} mm", "%", 1), **ERRORS,
    }  # fmt: skip
    rows = {name: part_cells(judged, is_part, right_mm, bootstrap) for name, is_part in parts.items()}
    rows["refused / accepted"] = dict(ratios_of(judged, ~judged.is_accepted, judged.is_accepted, bootstrap))
    note = (
        "Means over rows, 95 % intervals by resampling videos. Errors are of rows with an answer and a true hand under"
        f" their box (IoU at least {MIN_IOU:g}); PA-MPJPE without reflection; MPJPE and PA over 21 joints. Rows without"
        " an answer or a hand are not right. The last line is a ratio: above 1, refused labels are farther off."
    )
    return Table("verdict", "Accepted and refused", note, columns, rows)


def part_cells(judged: Judged, is_part: Bools, right_mm: float, bootstrap: GroupBootstrap) -> dict[str, Cell]:
    """Describe the rows of a part: how many there are, how many are right, how far they are off."""
    compared = judged.compared

    def mean(values: npt.NDArray[np.floating] | Bools) -> Interval:
        return bootstrap.mean(np.where(is_part, values, np.nan))

    cells: dict[str, Cell] = {
        "rows": int(is_part.sum()),
        "videos": len({video for video, inside in zip(compared.videos, is_part, strict=True) if inside}),
        "unanswered": int((is_part & ~compared.is_answered).sum()),
        "no_hand": int((is_part & (compared.true_rows == NO_HAND)).sum()),
        "side": mean(compared.is_side_right).scaled(100.0),
        "right": mean(judged.is_right(right_mm)).scaled(100.0),
    }
    return cells | {name: mean(values) for name, values in judged.errors.items()}


def _reason_table(judged: Judged, limits: PaperLimits | None, right_mm: float, bootstrap: GroupBootstrap) -> Table:
    columns = {
        "failing": Column("rows failing"), "passing": Column("rows passing"),
        "right_failing": Column("failing, right", "%", 1),
        "right_passing": Column("passing, right", "%", 1), **_ratio_columns(), "finding": Column("the failing are"),
    }  # fmt: skip
    rows: dict[str, dict[str, Cell]] = {}
    is_right = judged.is_right(right_mm)
    for index, name in enumerate(REASONS):
        failing = judged.reasons[:, index]
        passing = judged.was_asked(name) & ~failing
        rows[name] = {"failing": int(failing.sum()), "passing": int(passing.sum())}
        if not failing.any():
            rows[name]["finding"] = why_no_rows(judged, limits, name)
        elif passing.any():
            ratios = ratios_of(judged, failing, passing, bootstrap)
            rows[name] |= {
                "right_failing": 100.0 * float(is_right[failing].mean()),
                "right_passing": 100.0 * float(is_right[passing].mean()),
                **ratios,
                "finding": finding_of(ratios),
            }
    note = (
        "Each limit by itself: rows that fail it against all that pass it, whatever else they fail; a row may fail"
        " several. Rows of which the thing was not measured are on neither side: motion in a track's first frame, or"
        " shape in a track without frames to compare with. A ratio above 1 says that what fails is farther from the"
        " truth; 'worse' and 'better' are said only of errors whose interval excludes 1. A reason without rows says why"
        " there are none."
    )
    return Table("reasons", "Reason by reason", note, columns, rows)


def _alone_table(judged: Judged, right_mm: float, bootstrap: GroupBootstrap) -> Table:
    columns = {
        "alone": Column("rows refused for this alone"), "videos": Column("videos"), "right": Column("right", "%", 1),
        **_ratio_columns(), "finding": Column("than accepted ones they are"),
    }  # fmt: skip
    rows: dict[str, dict[str, Cell]] = {}
    is_single = judged.reasons.sum(axis=1) == 1
    is_right = judged.is_right(right_mm)
    for index, name in enumerate(REASONS):
        alone = judged.reasons[:, index] & is_single
        if alone.any():
            ratios = ratios_of(judged, alone, judged.is_accepted, bootstrap)
            rows[name] = {
                "alone": int(alone.sum()),
                "videos": len({one for one, inside in zip(judged.compared.videos, alone, strict=True) if inside}),
                "right": 100.0 * float(is_right[alone].mean()),
                **ratios,
                "finding": finding_of(ratios),
            }
    note = (
        "What would be accepted too, were this one limit not there: rows refused for one reason only, against accepted"
        " rows. Above 1 the limit keeps out what is worse than what it lets in. No interval below two videos."
    )
    return Table("alone", "What each limit alone keeps out", note, columns, rows)


def _ratio_columns() -> dict[str, Column]:
    return {name: Column(f"ratio, {column.title}") for name, column in ERRORS.items()}


def why_no_rows(judged: Judged, limits: PaperLimits | None, reason: str) -> str:
    """Say why no row was refused for a reason: no limit, or none that anything reached."""
    if reason in _WITHOUT_LIMIT:
        return _WITHOUT_LIMIT[reason]
    if limits is None:
        return "no row; the limits are not known"
    own = [limit for limit in paper_rules(limits).limits if limit.filter.reason == reason]
    if not own:
        return "no limit is set"
    texts = []
    for limit in own:
        values = judged.beyond(limit)
        if np.isnan(values).all():
            texts.append(f"no row: {limit.measurement} was never measured")
            continue
        worst = float(np.abs(np.nanmax(values)))
        word = "lowest" if limit.bound == "min" else "highest"
        texts.append(f"no row: the {word} {limit.measurement} is {worst:.3g}, the limit {limit.value:.3g}")
    return "; ".join(texts)


def ratios_of(judged: Judged, above: Bools, below: Bools, bootstrap: GroupBootstrap) -> dict[str, Interval]:
    """Divide the mean errors of one part by those of another, error by error."""
    return {
        name: bootstrap.ratio_of_means(np.where(above, values, np.nan), np.where(below, values, np.nan))
        for name, values in judged.errors.items()
    }


def finding_of(ratios: Mapping[str, Interval]) -> str:
    """Say in words in which errors the failing rows are worse, in which better; else that it cannot be told."""
    worse = [ERRORS[name].title for name, ratio in ratios.items() if ratio.low > 1.0]
    better = [ERRORS[name].title for name, ratio in ratios.items() if ratio.high < 1.0]
    said = [f"{word} in {', '.join(names)}" for word, names in (("worse", worse), ("better", better)) if names]
    return "; ".join(said) or "not told apart"


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
    from hoiray.benchmarks.label_filters import filter_tables

    make_report_folder(out)
    store = Store.open(run_uri)
    plan = open_plan(store.below(PLAN_FOLDER))
    area = labels_area(find_judge_id(store, judge_id))
    labels = read_labels(store, plan, area)
    limits = limits_of(store, labels, area)
    judged = judged_labels(labels, read_true_hands(truth_uri))
    tables = [*tables_of(judged, limits, right_mm), *filter_tables(judged, limits, right_mm)]
    header = _header(judged, run_uri, truth_uri, area, plan) | ({"note": note} if note else {})
    text = markdown("Labels against the truth", header, tables)
    (out / "labels.md").write_text(text)
    (out / "labels.json").write_text(json_document("Labels against the truth", header, tables))
    if picture is not None:
        _draw(picture, judged, plan)
    return text


def _header(judged: Judged, run_uri: str, truth_uri: str, area: Area, plan: Plan) -> dict[str, Any]:
    num_accepted = int(judged.is_accepted.sum())
    return {
        "command": f"python jobs/benchmark.py labels --run {run_uri} --truth {truth_uri}",
        "judge_id": area.id,
        "plan_id": plan.plan_id,
        "videos": _videos_line(judged, plan),
        "rows": f"{len(judged.is_accepted)}, accepted {num_accepted}",
        "bootstrap": "10,000 resamples of videos at most (1,000 of ranks), seed 0",
    }


def _videos_line(judged: Judged, plan: Plan) -> str:
    """Say how many videos have labels, and why the others have none."""
    num_hands = hands_by_video(plan)
    labelled = set(judged.labels["video_id"].to_pylist())
    without_box = sum(count == 0 for count in num_hands.values())
    given_up = sum(count > 0 and name not in labelled for name, count in num_hands.items())
    return (
        f"{len(num_hands)} planned in {plan.head.num_shards} shards, {len(labelled)} with labels,"
        f" {without_box} without a single boxed hand, {given_up} given up or not labelled yet"
    )


def hands_by_video(plan: Plan) -> dict[str, int]:
    """Count the hands that a plan asks for, video by video."""
    counts = Counter[str]()
    for entry in plan.shards():
        for video in wanted_videos(load_shard(plan, entry), "both"):
            counts[video.video_id] += len(video)
    return dict(counts)


def _draw(path: Path, judged: Judged, plan: Plan) -> None:
    from hoiray.report.label_picture import choose_rows, draw_labels, write_picture

    compared = judged.compared
    rows = choose_rows(judged.is_accepted, judged.reasons, compared.videos, compared.is_answered)
    uris = _uris(plan)
    tables = judged.labels.take(rows).to_pylist()
    page = draw_labels(tables, [uris[row["video_id"]] for row in tables], compared.errors["pa_mpjpe_mm"][rows])
    write_picture(path, page)


def _uris(plan: Plan) -> dict[str, str]:
    found: dict[str, str] = {}
    parts = sorted({entry.part for entry in plan.shards()})
    for part in parts:
        table = plan.part_table(part, "videos")
        found |= dict(zip(table["video_id"].to_pylist(), table["uri"].to_pylist(), strict=True))
    return found
