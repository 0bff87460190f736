"""Counts and rows of a run's labels, for a report: every marker, and the rows of all shards or of some drawn by lot."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.errors import ConfigError, InputError, describe
from hoiray.io.store import Store
from hoiray.report.label_rows import REASONS, LabelRows
from hoiray.schema.columns import unpack_column
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.marker import CommitMarker
from hoiray.schema.tables import LABELS
from hoiray.stages.commit import read_rows
from hoiray.stages.label_job import long_videos_of
from hoiray.stages.label_summary import Summary, summarise_markers
from hoiray.stages.markers import committed_units, in_order, read_markers
from hoiray.stages.plan import Plan
from hoiray.stages.run_layout import Area, predictions_area
from hoiray.stages.unmeasured_column import unpack_words


def find_judge_id(store: Store, wanted: str | None) -> str:
    """Return the id of the labels: the one asked for, or the only one.

    Raises:
        ConfigError: there are several, and none is asked for.
        InputError: there is none.
    """
    found = [name for name in store.list_folders("labels") if wanted in {None, name}]
    if len(found) == 1:
        return found[0]
    what, expected = store.url("labels"), f"labels {wanted or ''}".strip()
    if not found:
        raise InputError(describe(what=what, expected=expected, found="none", fix="Run hoiray label first."))
    raise ConfigError(
        describe(what=what, expected="one judge_id", found=", ".join(found), fix="Say which: --judge-id ID.")
    )


@dataclass
class Counted:
    """What the markers of a run say.

    Attributes:
        summary: in numbers.
        units: markers of labels that have rows.
        versions: of hoiray, that wrote them.
        num_bytes: of all results.
    """

    summary: Summary
    units: list[CommitMarker]
    versions: set[str]
    num_bytes: int


def count_run(store: Store, plan: Plan, area: Area) -> Counted:
    """Read every marker of a run's labels, and of the predictions they were judged from.

    Raises:
        InputError: there are no labels of this plan.
        ContractError: a marker is damaged.
    """
    units: list[CommitMarker] = []
    versions: set[str] = set()
    num_bytes = 0

    def noted(area: Area) -> Iterator[CommitMarker]:
        nonlocal num_bytes
        done = (name for name, is_done in committed_units(plan, store, area) if is_done)
        for marker in read_markers(store, area, done):
            versions.add(marker.hoiray_version)
            num_bytes += marker.data_bytes
            if marker.table == "labels" and marker.num_rows:
                units.append(marker)
            yield marker

    judged = list(noted(area))
    if not judged:
        fix = "Run hoiray label first, or name the plan that the labels are of: --plan."
        raise InputError(describe(what=store.url(area.prefix), expected="labels of this plan", found="none", fix=fix))
    predict_id = judged[0].predict_id
    summary = summarise_markers(
        plan,
        labels=store.url(area.prefix),
        ids=(predict_id, area.id),
        long_videos=long_videos_of(plan),
        predicted=noted(predictions_area(predict_id)),
        judged=judged,
    )
    return Counted(summary, units, versions, num_bytes)


def draw_units(units: Sequence[CommitMarker], max_rows: int, seed: int) -> list[CommitMarker]:
    """Return all data objects, or as many drawn by lot as hold the rows that are read; in order."""
    if sum(marker.num_rows for marker in units) <= max_rows:
        return list(units)
    chosen: list[int] = []
    num_rows = 0
    for number in np.random.default_rng(seed).permutation(len(units)).tolist():
        if num_rows + units[number].num_rows <= max_rows or not chosen:
            chosen.append(number)
            num_rows += units[number].num_rows
    return [units[number] for number in sorted(chosen)]


def read_tables(store: Store, units: Iterable[CommitMarker]) -> Iterator[pa.Table]:
    """Read data objects in order, a few ahead, every digest checked."""
    return in_order(lambda marker: read_rows(store, marker), units, num_threads=4)


def label_rows_of(table: pa.Table) -> LabelRows:
    """Take what a report needs from a table of schema ``labels``, and nothing that keeps the rest in memory."""
    names, video = np.unique(np.array(table["video_id"].to_pylist(), dtype=np.str_), return_inverse=True)
    integers = {name: unpack_column(table, LABELS[name]).astype(np.int64) for name in ("frame_index", "hand_index")}
    return LabelRows(
        video_names=tuple(names.tolist()),
        video=video.astype(np.int64),
        frame=integers["frame_index"],
        hand=integers["hand_index"],
        track=unpack_column(table, LABELS["track_index"]).astype(np.int64),
        is_right=unpack_column(table, LABELS["is_right"]).copy(),
        is_accepted=unpack_column(table, LABELS["accepted"]).copy(),
        reasons=unpack_words(table["reasons"], REASONS),
        is_answered=pc.is_valid(table["joints_2d"]).to_numpy().astype(np.bool_),
        confidence=unpack_column(table, LABELS["confidence"]),
        measured={name: unpack_column(table, LABELS[name]) for name in MEASUREMENT_NAMES},
        unit=np.zeros(table.num_rows, dtype=np.int64),
    )
