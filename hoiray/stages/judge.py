"""Judge: predictions of whole videos in, labels out, accepted and refused, from stored numbers only.

The same function serves both modes of the groupby-video stage: a shard or a bucket of many videos in one pass, and one
video at a time behind Ray's ``groupby().map_groups``. A row's label depends on the rows of its own video only, and sums
run in the order of frames, so both modes give the same bits. Judging labels again with other limits equals a fresh run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.errors import ContractError, describe
from hoiray.filters import shape, temporal
from hoiray.filters.derived import DERIVED
from hoiray.filters.rules import Rules
from hoiray.filters.shape import measure_shape
from hoiray.filters.temporal import Motion, measure_temporal
from hoiray.filters.tracks import Tracks
from hoiray.filters.unmeasured import CodeArray, rounded
from hoiray.filters.verdict import (
    choose_pairs,
    judge_confidence,
    judge_duplicates,
    judge_guards,
    judge_pairs,
    judge_shape,
    judge_spatial,
    no_reasons,
    passes,
)
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.conform import conform
from hoiray.schema.label_columns import MEASUREMENT_NAMES, PREDICTION_COLUMNS, SPATIAL_NAMES
from hoiray.schema.tables import LABELS
from hoiray.schema.vocabularies import REJECT_REASONS
from hoiray.stages.group import VideoGroups, group_by_video
from hoiray.stages.track import global_track_numbers, track, track_columns
from hoiray.stages.unmeasured_column import pack_unmeasured, pack_words, unpack_unmeasured, unpack_words

BoolArray = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]

_REASONS: Final = tuple(REJECT_REASONS)
_KEPT: Final = tuple(column.name for column in PREDICTION_COLUMNS if column.name != "unmeasured")


def judge(table: pa.Table, rules: Rules, judge_id: str) -> pa.Table:
    """Track, measure over time and shape, and judge whole videos.

    Args:
        table: rows of schema ``predictions`` or ``labels`` in any order; a video's rows must all be there (the segments
            of a long one, concatenated). Of labels, only what was predicted is used.
        rules: the limits.
        judge_id: digest of the predictions' id and the limits, written into every row.

    Returns:
        Schema ``labels``, sorted by video, frame and hand. ``confidence`` is null unless the rules are calibrated.

    Raises:
        ContractError: a column is missing or of another type.
    """
    _require_columns(table)
    groups = group_by_video(table)
    tracks = track(groups)
    values, codes = _known_measurements(groups.table)
    _measure_motion(groups, tracks, rules, values, codes)
    reasons = no_reasons(groups.table.num_rows)
    if rules.limits_are_guards:
        judge_duplicates(tracks, reasons)
    else:
        judge_spatial(values, rules, reasons)
        frame_index = unpack_column(groups.table, LABELS["frame_index"])
        judge_pairs(values, choose_pairs(tracks, frame_index, rules), tracks, rules, reasons)
    set_size = _measure_shape(groups, tracks, passes(reasons), values, codes)
    if rules.limits_are_guards:
        taken = {name: take(groups.table) for name, take in DERIVED.items()}
        judge_guards({**values, **taken}, rules.limits, reasons)
    else:
        judge_shape(values, codes["shape_deviation_sigma"], set_size, rules, reasons)
    labels = _pack(groups, tracks, _Measured(values, codes, set_size), reasons, judge_id)
    scores = rules.confidence
    if scores is None:
        return labels
    by_joint = scores.confidence_by_joint_of(labels)
    return with_confidence(labels, scores.confidence_of(labels), scores.min_confidence, by_joint)


def judge_video_group(table: pa.Table, rules: Rules, judge_id: str) -> pa.Table:
    """Judge one video: what ``dataset.groupby("video_id").map_groups(..., batch_format="pyarrow")`` calls.

    Raises:
        ContractError: the rows are of several videos, or as in :func:`judge`.
    """
    num_videos = pc.count_distinct(table["video_id"]).as_py() if "video_id" in table.column_names else 0
    if num_videos > 1:
        fix = "Group the rows by video_id, or call judge."
        raise ContractError(describe(what="a group", expected="rows of one video", found=f"{num_videos}", fix=fix))
    return judge(table, rules, judge_id)


def with_confidence(
    labels: pa.Table,
    confidence: npt.NDArray[np.floating],
    min_confidence: float | None,
    by_joint: Float32 | None = None,
) -> pa.Table:
    """Write calibrated confidence into labels that have none yet, and judge it where there is a limit.

    Args:
        labels: schema ``labels``, ``confidence`` null throughout.
        confidence: (N,) in the order of the rows; NaN where it is not known.
        min_confidence: rows below it are refused with the reason ``confidence``, unknown ones as ``not_measured``;
            None: confidence is written and not judged.
        by_joint: (N, 21) of the joints, rows of NaN where it is not known; None: none was calibrated.

    Raises:
        ContractError: another length, or labels that have confidence already.
    """
    if len(confidence) != labels.num_rows or labels["confidence"].null_count != labels.num_rows:
        found = f"{len(confidence)} for {labels.num_rows} rows, {labels['confidence'].null_count} of them without"
        fix = "Judge the rows anew first: it clears what an older calibration said."
        raise ContractError(describe(what="confidence", expected="one a row, none written yet", found=found, fix=fix))
    reasons = unpack_words(labels["reasons"], _REASONS)
    if min_confidence is not None:
        judge_confidence(confidence, min_confidence, reasons)
    stored = confidence.astype(np.float32)
    new = _verdict_columns(reasons) | {"confidence": pack_column(LABELS["confidence"], stored, np.isnan(stored))}
    if by_joint is not None:
        column = LABELS["confidence_by_joint"]
        new[column.name] = pack_column(column, by_joint, np.asarray(np.isnan(by_joint).any(axis=1)))
    columns = {name: new.get(name, labels[name]) for name in labels.column_names}
    return conform(pa.table(columns), LABELS)


def reason_counts(labels: pa.Table) -> dict[str, int]:
    """Return the number of rows by reason, in the vocabulary's order; a row counts once for each of its reasons."""
    counts = unpack_words(labels["reasons"], _REASONS).sum(axis=0)
    return dict(zip(_REASONS, map(int, counts), strict=True))


@dataclass(frozen=True, eq=False)
class _Measured:
    values: Mapping[str, Float32]
    codes: Mapping[str, CodeArray]
    shape_set_size: npt.NDArray[np.int32]


def _require_columns(table: pa.Table) -> None:
    missing = [name for name in (*_KEPT, "unmeasured") if name not in table.column_names]
    if missing:
        expected, found = "a table of predictions or labels", f"no column {', '.join(missing[:5])}"
        fix = "Pass rows that hoiray predicted."
        raise ContractError(describe(what="table to judge", expected=expected, found=found, fix=fix))


def _known_measurements(table: pa.Table) -> tuple[dict[str, Float32], dict[str, CodeArray]]:
    """Return what was measured in the frame: values and codes by name."""
    codes = unpack_unmeasured(table["unmeasured"], SPATIAL_NAMES)
    values = {name: unpack_column(table, LABELS[name]) for name in SPATIAL_NAMES}
    return values, {name: codes[:, index] for index, name in enumerate(SPATIAL_NAMES)}


def _measure_motion(
    groups: VideoGroups, tracks: Tracks, rules: Rules, values: dict[str, Float32], codes: dict[str, CodeArray]
) -> None:
    """Add the temporal measurements to `values` and `codes`."""
    array = {
        name: unpack_column(groups.table, LABELS[name])
        for name in ("frame_index", "joints_2d", "bbox_xyxy", "global_orient", "hand_pose")
    }
    motion = Motion(
        frame_index=array["frame_index"],
        predecessor=tracks.predecessor,
        is_duplicate=tracks.is_duplicate,
        joints_2d_px=array["joints_2d"],
        bbox_xyxy=array["bbox_xyxy"],
        pose=np.concatenate([array["global_orient"], array["hand_pose"]], axis=1),
        crop_change=values["crop_change"],
    )
    measured = measure_temporal(motion, rules.max_predecessor_gap_frames)
    _add(temporal.MEASURED_HERE, measured.values, measured.reasons, values, codes)


def _measure_shape(
    groups: VideoGroups,
    tracks: Tracks,
    is_confident: BoolArray,
    values: dict[str, Float32],
    codes: dict[str, CodeArray],
) -> npt.NDArray[np.int32]:
    """Add the measurements of shape to `values` and `codes`; return the size of each row's confident set."""
    betas = unpack_column(groups.table, LABELS["betas"])
    measured = measure_shape(betas, global_track_numbers(tracks, groups), is_confident)
    _add(shape.MEASURED_HERE, measured.values, measured.reasons, values, codes)
    return measured.set_size


def _add(
    names: tuple[str, ...],
    measured: npt.NDArray[np.float64],
    reasons: CodeArray,
    values: dict[str, Float32],
    codes: dict[str, CodeArray],
) -> None:
    stored, why = rounded(measured, reasons)
    for index, name in enumerate(names):
        values[name], codes[name] = np.ascontiguousarray(stored[:, index]), why[:, index]


def _pack(groups: VideoGroups, tracks: Tracks, measured: _Measured, reasons: BoolArray, judge_id: str) -> pa.Table:
    table, num_rows = groups.table, groups.table.num_rows
    columns = {name: table[name] for name in _KEPT}
    columns |= {
        name: pack_column(LABELS[name], measured.values[name])
        for name in MEASUREMENT_NAMES
        if name not in SPATIAL_NAMES
    }
    columns |= track_columns(tracks, unpack_column(table, LABELS["frame_index"]))
    columns["shape_set_size"] = pack_column(LABELS["shape_set_size"], measured.shape_set_size)
    codes = np.stack([measured.codes[name] for name in MEASUREMENT_NAMES], axis=1)
    columns["unmeasured"] = pack_unmeasured(codes, MEASUREMENT_NAMES)
    is_judged_before = "label_kind" in table.column_names
    columns["label_kind"] = table["label_kind"] if is_judged_before else pa.repeat(pa.scalar("pseudo"), num_rows)
    columns["judge_id"] = pa.repeat(pa.scalar(judge_id), num_rows)
    columns |= _verdict_columns(reasons)
    for name in ("confidence", "confidence_by_joint"):
        columns[name] = pa.nulls(num_rows, LABELS[name].arrow_type)
    return conform(pa.table({column.name: columns[column.name] for column in LABELS.columns}), LABELS)


def _verdict_columns(reasons: BoolArray) -> dict[str, pa.Array]:
    return {
        "accepted": pack_column(LABELS["accepted"], passes(reasons)),
        "reasons": pack_words(reasons, _REASONS),
    }
