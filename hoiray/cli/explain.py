"""`hoiray explain`: the whole record of a frame's labels, every measurement beside its limit, and their origin."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hoiray.cli.judge import read_limits
from hoiray.cli.statistics import own_limits
from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import InputError, describe
from hoiray.filters.rules import Rules
from hoiray.hand.joints import SIMPLE_NAMES
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.tables import LABELS
from hoiray.schema.vocabularies import REJECT_REASONS, UNMEASURED_REASONS
from hoiray.stages.ids import make_judge_id
from hoiray.stages.labels_with_truth import judged_videos
from hoiray.stages.limits import rules_of

MM_PER_M: Final = 1000.0
_SIGNS: Final = {"min": "at least", "max": "at most", "below": "below"}


def explain(uri: str, video_id: str, frame_index: int, *, limits: str | None, predict_id: str | None) -> None:
    """Print the record of every label of a frame, judged anew from its stored numbers.

    Args:
        uri: a run, a folder or a Parquet file of predictions or labels.
        video_id: of the video; its name without folder and suffix is enough where it is unique.
        frame_index: of the frame, at the sampled rate.
        limits: as behind ``hoiray judge``; None: the run's own.
        predict_id: which predictions of a run.

    Raises:
        ConfigError: no limits, or not one prediction.
        InputError: no such video or frame; names the frames there are.
        ContractError: the rows are damaged.
    """
    chosen = own_limits(uri) if limits is None else read_limits(limits, [])
    rules, sha256 = rules_of(chosen)
    labels = judged_videos(uri, rules, video_id, predict_id)
    frames = labels["frame_index"].to_numpy()
    if frame_index not in frames:
        expected = f"a frame with a label: {_ranges(np.unique(frames))}"
        found, fix = f"{frame_index}", "Frames are counted at the sampled rate; one without a box has no label."
        raise InputError(describe(what=f"frame of {video_id}", expected=expected, found=found, fix=fix))
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    for row in labels.filter(pa.array(frames == frame_index)).to_pylist():
        _print_record(console, row, rules, chosen, sha256)


def _print_record(
    console: Console, row: Mapping[str, Any], rules: Rules, limits: PaperLimits | CalibratedLimits, sha256: str | None
) -> None:
    side = "right" if row["is_right"] else "left"
    console.rule(escape(f"{row['video_id']}, frame {row['frame_index']}, hand {row['hand_index']} ({side})"))
    for line in verdict_lines(row, rules):
        console.print(escape(line), highlight=False)
    console.print(_measurement_table(row, rules))
    for line in [*spread_lines(row), *lineage_lines(row, limits, sha256)]:
        console.print(escape(line), highlight=False)


def verdict_lines(row: Mapping[str, Any], rules: Rules) -> list[str]:
    """Say the verdict with all its reasons, and the confidence beside its limit."""
    lines = ["accepted: no limit is failed"] if row["accepted"] else ["refused:"]
    lines += [f"  {reason}: {REJECT_REASONS[reason]}" for reason in row["reasons"]]
    if row["failure"] is not None:
        lines.append(f"no prediction: {row['failure']}")
    if rules.confidence is not None:
        known = "not known" if row["confidence"] is None else f"{row['confidence']:.3f}"
        lines.append(f"confidence {known}, accepted at {rules.confidence.min_confidence:.3f} and above")
    return lines


def measurement_rows(row: Mapping[str, Any], rules: Rules) -> list[tuple[str, str, str, str]]:
    """Return name, value, limit and word for every measurement: passes, fails, is not judged, or why it is missing."""
    limits = {limit.measurement: limit for limit in rules.limits}
    missing = dict(entry.split(":", 1) for entry in row["unmeasured"])
    found = []
    for name in MEASUREMENT_NAMES:
        value, limit, unit = row[name], limits.get(name), LABELS[name].unit
        words = "not judged" if limit is None else ""
        if math.isnan(value):
            words = f"not measured: {UNMEASURED_REASONS[missing[name]]}"
        elif limit is not None:
            words = "fails" if limit.filter.reason in row["reasons"] else "passes"
        shown = "-" if math.isnan(value) else f"{value:.4g} {unit}".removesuffix(" 1")
        bound = "" if limit is None else f"{_SIGNS[limit.bound]} {limit.value:.4g}"
        found.append((name, shown, bound, words))
    return found


def _measurement_table(row: Mapping[str, Any], rules: Rules) -> Table:
    table = Table("measurement", "value", "limit", "verdict", title_justify="left")
    for cells in measurement_rows(row, rules):
        table.add_row(*(escape(cell) for cell in cells))
    return table


def spread_lines(row: Mapping[str, Any]) -> list[str]:
    """Say how many members agreed on the label, and at which joints they were furthest apart."""
    lines = [f"members: {row['num_members']}"]
    if row["spread_joints_3d_m"] is not None:
        spread = MM_PER_M * np.asarray(row["spread_joints_3d_m"])
        worst = np.argsort(-spread)[:3]
        said = ", ".join(f"{SIMPLE_NAMES[joint]} {spread[joint]:.1f} mm" for joint in worst)
        lines[0] += f"; 3D spread {spread.mean():.1f} mm on average, most at {said}"
    return lines


def lineage_lines(row: Mapping[str, Any], limits: PaperLimits | CalibratedLimits, sha256: str | None) -> list[str]:
    """Say where the label comes from: track, shard, and the ids of prediction and verdict."""
    gap = row["predecessor_gap_frames"]
    before = "the first of its track" if gap is None else f"{gap} frame(s) after the one before it"
    judge_id = make_judge_id(row["predict_id"], limits, limits_sha256=sha256)
    source = "the run's configuration" if sha256 is None else f"a file of sha256 {sha256}"
    return [
        f"track {row['track_index']}, {before}; time {row['time_s']:.3f} s; box {row['box_source']}, side"
        f" {row['side_source']}",
        f"shard {row['shard_id']}",
        f"predict_id {row['predict_id']} (videos' plan apart: weights, ensemble, hand model, schema)",
        f"judge_id {judge_id} (limits: {limits.preset}, from {source})",
    ]


def _ranges(frames: np.ndarray) -> str:
    """Write 0 to 4, 7, 9 to 11."""
    parts = np.split(frames, np.flatnonzero(np.diff(frames) != 1) + 1)
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)
