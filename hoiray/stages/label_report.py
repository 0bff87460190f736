"""The report of a run: what is read for it, from markers, rows and videos, and the page made of that.

Counts come from every marker. All rows are read up to :data:`MAX_ROWS`; of a larger run, those of shards drawn by lot.
Frames are decoded only where they are shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.config.what import RunConfig
from hoiray.errors import HoirayError, InputError, describe
from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.evaluation.tables import make_bootstrap
from hoiray.hand.model import HandModel
from hoiray.io.secrets import redacted
from hoiray.io.store import Store
from hoiray.render.overlay import Image
from hoiray.report.gallery import Pictures, Stills, draw_pictures
from hoiray.report.html_report import Page
from hoiray.report.label_report import MAX_LISTED_VIDEOS, Shown, build_label_report
from hoiray.report.label_rows import REASONS, Ints, LabelRows, join_rows
from hoiray.report.lots import draw_labels_by_lot
from hoiray.report.run_facts import GivenUp, RunFacts
from hoiray.report.sections import Section
from hoiray.report.stills import read_stills
from hoiray.report.timelines import lay_out_timelines
from hoiray.schema.conform import completed
from hoiray.schema.marker import CommitMarker
from hoiray.schema.tables import LABELS
from hoiray.stages.canary_file import read_canaries
from hoiray.stages.dead import list_dead
from hoiray.stages.plan import Plan
from hoiray.stages.report_origins import origins_of, read_run
from hoiray.stages.report_rows import Counted, count_run, draw_units, find_judge_id, label_rows_of, read_tables
from hoiray.stages.report_tables import gauges_section
from hoiray.stages.report_trust import calibration_of, canary_section, promise_section, reliability_section
from hoiray.stages.run_layout import labels_area
from hoiray.stages.teacher import hand_file
from hoiray.trust.gauges import parts_of

MAX_ROWS: Final = 1_000_000
"""Rows that are read: 150 MB in memory. More would not change a drawing."""

MAX_PARTED_ROWS: Final = 200_000
"""Rows for which it is looked up which part of all hands they belong to."""

MAX_GROUPS: Final = 4096
"""Groups of an interval's resamples; above, videos are put together by lot, which leaves them independent."""


@dataclass(frozen=True)
class ReportRequest:
    """What is asked for.

    Attributes:
        judge_id: which labels; None for the only ones.
        num_pictures: large pictures, 4 of 10 of accepted labels.
        seed: of every lot.
        max_rows: rows that are read.
        extra: sections to add.
        truth_uri: root of a set with the truth of these videos; None without.
    """

    judge_id: str | None = None
    num_pictures: int = 96
    seed: int = 0
    max_rows: int = MAX_ROWS
    extra: Sequence[Section] = field(default=())
    truth_uri: str | None = None


def make_label_report(store: Store, plan: Plan, request: ReportRequest) -> Page:
    """Report on the labels of a run.

    Args:
        store: the run's folder.
        plan: of the run.
        request: what is asked for.

    Raises:
        ConfigError: there are labels of several judge_ids, and none is named.
        InputError: there are no labels, or none with confidence to hold against the truth.
        ContractError: something is damaged.
    """
    area = labels_area(find_judge_id(store, request.judge_id))
    counted = count_run(store, plan, area)
    drawn = draw_units(counted.units, request.max_rows, request.seed)
    rows, parts = _read(store, drawn)
    if request.truth_uri is not None and not rows.has_confidence:
        expected, fix = "labels with calibrated confidence", "Calibrate (hoiray calibrate), judge, or leave it out."
        raise InputError(describe(what="--truth", expected=expected, found="none", fix=fix))
    run = read_run(store)
    facts = _facts(store, plan, counted, rows, run, seed=request.seed)
    shown = _show(store, plan, rows, drawn, run=run, request=request)
    num_parted = len(parts["side"]) if parts else 0
    gauges = []
    if num_parted:
        groups = _bootstrap(rows.video[:num_parted], request.seed)
        gauges = [gauges_section(parts, rows.is_accepted[:num_parted], groups, num_all=facts.num_rows)]
    trust = _trust_sections(store, counted.summary.judge_id, rows, drawn, run=run, request=request)
    return build_label_report(facts, rows, shown, [*trust, *gauges, *request.extra])


def _trust_sections(
    store: Store,
    judge_id: str,
    rows: LabelRows,
    units: Sequence[CommitMarker],
    *,
    run: RunConfig | None,
    request: ReportRequest,
) -> list[Section]:
    """Say what the limits promise, whether it is so where there is truth, and what planted faults came to."""
    calibration = None if run is None else calibration_of(run.limits)
    found = [] if calibration is None else [promise_section(calibration, rows)]
    if request.truth_uri is not None:
        tables = (completed(table, LABELS) for table in read_tables(store, units))
        labels = pa.concat_tables([table.select(LABELS.names) for table in tables])
        found.append(reliability_section(labels, request.truth_uri, calibration, seed=request.seed))
    canaries = read_canaries(store, judge_id)
    return found if canaries is None else [*found, canary_section(canaries)]


def _read(store: Store, units: Sequence[CommitMarker]) -> tuple[LabelRows, dict[str, list[str]]]:
    """Read rows, and what the first of them are parted by."""
    found, parts = [], dict[str, list[str]]()
    num_rows = 0
    for table in read_tables(store, units):
        found.append(label_rows_of(table))
        num_rows += table.num_rows
        if num_rows <= MAX_PARTED_ROWS or not parts:
            for title, names in parts_of(table).items():
                parts.setdefault(title, []).extend(names)
    return join_rows(found or [label_rows_of(LABELS.to_arrow().empty_table())]), parts


def _facts(
    store: Store, plan: Plan, counted: Counted, rows: LabelRows, run: RunConfig | None, *, seed: int
) -> RunFacts:
    summary = counted.summary
    rules, origins = origins_of(plan, counted, run)
    bootstrap = _bootstrap(rows.video, seed) if len(rows) else None
    shares = {
        reason: _mean(bootstrap, rows.reasons[:, index])
        for index, reason in enumerate(REASONS)
        if summary.reasons.get(reason)
    }
    return RunFacts(
        name=_name_of(run, store),
        uri=redacted(store.uri),
        num_videos=summary.num_videos,
        num_dead=summary.num_dead,
        num_not_planned=summary.num_not_planned,
        num_unboxed=summary.num_unboxed,
        given_up=_given_up(store, plan, summary.predict_id),
        num_buckets=summary.num_buckets,
        num_buckets_done=summary.num_buckets_done,
        num_rows=summary.num_rows,
        num_accepted=summary.num_accepted,
        reasons=summary.reasons,
        timings_s=summary.timings_s,
        num_nondeterministic=sum(1 for _ in store.objects("nondeterminism")),
        rules=rules,
        origins=origins,
        accepted_share=_mean(bootstrap, rows.is_accepted),
        refused_shares=shares,
        num_rows_read=len(rows),
        seed=seed,
    )


def _name_of(run: RunConfig | None, store: Store) -> str:
    """Return the run's name; where it was given none, that of its folder."""
    if run is not None and run.name != RunConfig.model_fields["name"].default:
        return run.name
    return store.uri.rpartition("/")[2]


def _bootstrap(video: Ints, seed: int) -> GroupBootstrap:
    group = video
    num_videos = int(video.max()) + 1
    if num_videos > MAX_GROUPS:
        group = np.random.default_rng(seed).permutation(num_videos)[video] % MAX_GROUPS
    return make_bootstrap([f"{number:09d}" for number in group.tolist()], seed)


def _mean(bootstrap: GroupBootstrap | None, flags: npt.NDArray[np.bool_]) -> Interval:
    if bootstrap is None:
        return Interval(float("nan"), float("nan"), float("nan"))
    return bootstrap.mean(flags.astype(np.float64))


def _given_up(store: Store, plan: Plan, predict_id: str) -> list[GivenUp]:
    found = []
    for dead in list_dead(store, predict_id, plan):
        letter = dead.letter
        at = "" if letter.frame_index is None else f", frame {letter.frame_index}"
        found.append(GivenUp(letter.video_id, f"{letter.stage}{at}: {letter.error_class}", redacted(letter.message)))
        if len(found) > MAX_LISTED_VIDEOS:
            break
    return found


# --- single labels ----------------------------------------------------------------------------------------------------


def _show(
    store: Store,
    plan: Plan,
    rows: LabelRows,
    units: Sequence[CommitMarker],
    *,
    run: RunConfig | None,
    request: ReportRequest,
) -> Shown:
    num_accepted = round(0.4 * request.num_pictures)
    shown = draw_labels_by_lot(rows, num_accepted, request.num_pictures - num_accepted, seed=request.seed)
    timelines = lay_out_timelines(rows, shown)
    stills = [row for timeline in timelines for track in timeline.tracks for row in track.still_rows]
    labels = _labels_of(store, rows, units, sorted({*shown.tolist(), *stills}))
    uris = video_uris(plan, {timeline.name for timeline in timelines})

    def read(video: str, numbers: Sequence[int]) -> Iterator[tuple[int, Image]]:
        if video not in uris:
            fix = "Name the plan that the labels are of: --plan."
            raise InputError(describe(what=f"video {video!r}", expected="a video of the plan", found="none", fix=fix))
        return read_stills(uris[video], numbers, plan.head.sample_rate_hz)

    pictures = Pictures() if not labels else _draw(labels, shown.tolist(), stills, read, run)
    return Shown(shown, labels, timelines, pictures)


def _draw(
    labels: Mapping[int, Mapping[str, Any]],
    close_ups: Sequence[int],
    stills: Sequence[int],
    read: Stills,
    run: RunConfig | None,
) -> Pictures:
    """Draw with the hand the labels were made with; where its file is not there, without meshes."""
    if run is None:
        return draw_pictures(labels, close_ups, stills, read, None)
    try:
        with hand_file(run.hand.model_uri) as path:
            # labels hold absolute poses, whatever the predictor's own zero is
            model = HandModel.load(path, flat_hand_mean=True, tip_set=run.hand.tip_set)
    except HoirayError:
        return draw_pictures(labels, close_ups, stills, read, None)
    return draw_pictures(labels, close_ups, stills, read, model)


def _labels_of(
    store: Store, rows: LabelRows, units: Sequence[CommitMarker], wanted: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Read some rows with all their columns, each data object once."""
    first = np.searchsorted(rows.unit, np.arange(len(units)))
    of_unit: dict[int, list[int]] = {}
    for row in wanted:
        of_unit.setdefault(int(rows.unit[row]), []).append(row)
    tables = read_tables(store, [units[unit] for unit in of_unit])
    found: dict[int, dict[str, Any]] = {}
    for (unit, numbers), table in zip(of_unit.items(), tables, strict=True):
        part = table.take(np.array(numbers) - int(first[unit])).to_pylist()
        found |= dict(zip(numbers, part, strict=True))
    return found


def video_uris(plan: Plan, names: set[str]) -> dict[str, str]:
    """Find where videos of a plan lie; parts of the plan are read until all are found."""
    found: dict[str, str] = {}
    value_set = pa.array(sorted(names), pa.string())
    for part in plan.head.parts:
        if len(found) == len(names):
            break
        table = plan.part_table(part.name, "videos")
        table = table.filter(pc.is_in(table["video_id"], value_set=value_set))
        found |= dict(zip(table["video_id"].to_pylist(), table["uri"].to_pylist(), strict=True))
    return found
