"""`hoiray explain`: the whole record of a frame's labels, every measurement beside its limit, and their origin.

On request also as a picture, and predicted again from the video, every number beside the stored one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hoiray.cli.judge import read_limits
from hoiray.cli.statistics import own_limits
from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import ConfigError, InputError, describe
from hoiray.filters.derived import DERIVED, unit_of
from hoiray.filters.rules import BOUND_WORDS, Limit, Rules
from hoiray.hand.joints import SIMPLE_NAMES
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.tables import LABELS
from hoiray.schema.vocabularies import REJECT_REASONS, UNMEASURED_REASONS
from hoiray.stages.ids import make_judge_id
from hoiray.stages.labels_with_truth import judged_videos
from hoiray.stages.limits import rules_of

if TYPE_CHECKING:
    from hoiray.stages.replay import Replayed

MM_PER_M: Final = 1000.0
PICTURE_SUFFIXES: Final = (".png", ".jpg")
EXIT_SAME: Final = 0
EXIT_DIFFERENT: Final = 1
"""Exit status where a replay gives other numbers than the stored ones."""


@dataclass(frozen=True)
class ExplainRequest:
    """What the command line asks for.

    Attributes:
        uri: a run, a folder or a Parquet file of predictions or labels; a run for a picture or a replay.
        video_id: of the video; its name without folder and suffix is enough where it is unique.
        frame_index: of the frame, at the sampled rate.
        limits: as behind ``hoiray judge``; None: the run's own.
        predict_id: which predictions of a run.
        plan: where the run's plan is; None for `plan` in it.
        out: a picture to write, .png or .jpg, local or on S3; None for none.
        replays: predict the frame again, and compare.
        device: where the replay computes.
    """

    uri: str
    video_id: str
    frame_index: int
    limits: str | None = None
    predict_id: str | None = None
    plan: str | None = None
    out: str | None = None
    replays: bool = False
    device: str = "cpu"


def explain(request: ExplainRequest) -> int:
    """Print the record of every label of a frame, judged anew from its stored numbers; return the exit status.

    Raises:
        ConfigError: no limits, not one prediction, or a picture of another kind.
        InputError: no such video or frame, names the frames there are; or the video or its predictor is not there.
        ContractError: the rows are damaged, or the predictor is another than the one that labelled.
    """
    if request.out is not None and not request.out.endswith(PICTURE_SUFFIXES):
        expected, fix = f"a name ending in {' or '.join(PICTURE_SUFFIXES)}", "Name a picture."
        raise ConfigError(describe(what="--out", expected=expected, found=request.out, fix=fix))
    chosen = own_limits(request.uri) if request.limits is None else read_limits(request.limits, [])
    rules, sha256 = rules_of(chosen)
    labels = judged_videos(request.uri, rules, request.video_id, request.predict_id)
    rows = _rows_of_frame(labels, request)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    for row in rows:
        _print_record(console, row, rules, chosen, sha256)
    status = 0
    if request.replays:
        status = _replay(console, request, labels, rules)
    if request.out is not None:
        lineage = [line for row in rows[:1] for line in lineage_lines(row, chosen, sha256)]
        _write_picture(request, rows, rules, lineage)
    return status


def _rows_of_frame(labels: pa.Table, request: ExplainRequest) -> list[dict[str, Any]]:
    frames = labels["frame_index"].to_numpy()
    if request.frame_index not in frames:
        expected = f"a frame with a label: {_ranges(np.unique(frames))}"
        found, fix = f"{request.frame_index}", "Frames are counted at the sampled rate; one without a box has no label."
        what = f"frame of {request.video_id}"
        raise InputError(describe(what=what, expected=expected, found=found, fix=fix))
    rows: list[dict[str, Any]] = labels.filter(pa.array(frames == request.frame_index)).to_pylist()
    return rows


def _replay(console: Console, request: ExplainRequest, labels: pa.Table, rules: Rules) -> int:
    """Predict the frame again, show every number's difference, and return the exit status: 0 where there is none."""
    from hoiray.cli.run_folder import open_run
    from hoiray.stages.replay import find_source, replay_frame

    folder = open_run(request.uri, request.plan)
    first = labels.slice(0, 1).to_pylist()[0]
    source = find_source(folder.store, folder.plan, first["video_id"], first["predict_id"])
    replayed = replay_frame(source, labels, rules, request.frame_index, device=request.device)
    for one in replayed:
        console.rule(f"replayed from {escape(source.uri)}, hand {one.hand_index}")
        console.print(_replay_table(one))
        console.print(escape(replay_line(one)), highlight=False)
    return EXIT_SAME if all(one.is_close for one in replayed) else EXIT_DIFFERENT


def _replay_table(replayed: "Replayed") -> Table:
    table = Table("replayed", "numbers", "largest difference", "", title_justify="left")
    table.columns[1].justify = "right"
    for one in replayed.comparisons:
        words = "equal" if one.is_same else "equal within rounding" if one.is_close else "DIFFERENT"
        difference = "-" if not one.num_values else f"{one.difference:.3g} {one.unit}".removesuffix(" 1")
        table.add_row(one.name, f"{one.num_values}", difference, words)
    return table


def replay_line(replayed: "Replayed") -> str:
    """Say in a line what a replay came to."""
    verdict = "accepted" if replayed.row["accepted"] else f"refused ({', '.join(replayed.row['reasons'])})"
    if replayed.is_same:
        return f"replay: every number and the verdict are the same, bit for bit: {verdict}"
    if replayed.is_close:
        return f"replay: the same verdict, and every number within rounding: {verdict}"
    if not replayed.is_same_verdict:
        return f"replay: ANOTHER VERDICT than the stored one: now {verdict}"
    names = ", ".join(one.name for one in replayed.comparisons if not one.is_close)
    return f"replay: the same verdict ({verdict}), but DIFFERENT numbers: {names}"


def _write_picture(
    request: ExplainRequest, rows: Sequence[Mapping[str, Any]], rules: Rules, lineage: Sequence[str]
) -> None:
    """Draw the record of every hand of the frame, one below the other."""
    import cv2

    from hoiray.cli.run_folder import open_run
    from hoiray.io.store import open_uri
    from hoiray.report.record_picture import draw_record
    from hoiray.report.stills import read_stills
    from hoiray.stages.label_report import video_uris
    from hoiray.stages.view import hand_of

    assert request.out is not None
    folder, name = open_run(request.uri, request.plan), rows[0]["video_id"]
    uri = video_uris(folder.plan, {name}).get(name)
    if uri is None:
        fix = "Name the plan of the run: --plan."
        what = folder.plan.store.uri
        raise InputError(describe(what=what, expected=f"the video {name}", found="none", fix=fix))
    ((_, image),) = read_stills(uri, [request.frame_index], folder.plan.head.sample_rate_hz)
    model = hand_of(folder.store)
    pages = [draw_record(row, image, model, rules, lineage=lineage) for row in rows]
    width = max(page.shape[1] for page in pages)
    whole = np.concatenate(
        [np.pad(page, ((0, 0), (0, width - page.shape[1]), (0, 0)), constant_values=255) for page in pages]
    )
    store, key = open_uri(request.out)
    store.write(key, cv2.imencode(f".{key.rpartition('.')[2]}", whole[..., ::-1])[1].tobytes())
    typer.echo(f"picture: {request.out} ({whole.shape[1]} x {whole.shape[0]} px)")


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
        within = f", within {len(rules.limits)} guards" if rules.limits_are_guards else ""
        lines.append(f"confidence {known}, accepted at {rules.confidence.min_confidence:.3f} and above{within}")
    return lines


def measurement_rows(row: Mapping[str, Any], rules: Rules) -> list[tuple[str, str, str, str]]:
    """Return name, value, limit and word for every measurement: passes, fails, is not judged, or why it is missing."""
    judged_by: dict[str, list[Limit]] = {}
    for limit in rules.limits:
        judged_by.setdefault(limit.measurement, []).append(limit)
    missing = dict(entry.split(":", 1) for entry in row["unmeasured"])
    found = []
    for name in (*MEASUREMENT_NAMES, *(name for name in DERIVED if name in judged_by)):
        value = row[name] if name in MEASUREMENT_NAMES else _derived(row, name)
        limits, unit = judged_by.get(name, []), unit_of(name)
        words = "" if limits else "not judged"
        if math.isnan(value):
            words = f"not measured: {UNMEASURED_REASONS[missing[name]] if name in missing else 'no prediction'}"
        elif limits:
            words = "fails" if limits[0].filter.reason in row["reasons"] else "passes"
        shown = "-" if math.isnan(value) else f"{value:.4g} {unit}".removesuffix(" 1")
        bound = ", ".join(f"{BOUND_WORDS[limit.bound]} {limit.value:.4g}" for limit in limits)
        found.append((name, shown, bound, words))
    return found


def _derived(row: Mapping[str, Any], name: str) -> float:
    joints = LABELS["joints_3d"]
    return float(DERIVED[name](pa.table({joints.name: pa.array([row[joints.name]], joints.arrow_type)}))[0])


def _measurement_table(row: Mapping[str, Any], rules: Rules) -> Table:
    table = Table(
        "measurement", "value", "guard" if rules.limits_are_guards else "limit", "verdict", title_justify="left"
    )
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
