"""`hoiray export`: the labels of a run in a format that other tools read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import typer

from hoiray.errors import EXIT_UNFINISHED

if TYPE_CHECKING:
    from hoiray.config.what import RunConfig
    from hoiray.datasets.label_run import LabelRun
    from hoiray.export.lineage import Lineage
    from hoiray.hand.load import HandArrays, Licence

LOST_VIDEOS: Final = frozenset({"video_unreadable", "other_rate"})
"""Reasons why a whole video is not in an export that could be there: the exit status tells."""


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for on the command line; see `hoiray export --help`."""

    run: str
    format_name: str
    out: str
    include: Literal["accepted", "refused"] = "accepted"
    pixels: Literal["frame", "crop", "none"] | None = None
    licence: str = ""
    assumed_focal_px: float | None = None
    partial: bool = False


def export(request: ExportRequest) -> int:
    """Write an export, and say what is in it and what is not; return the exit status.

    Raises:
        ConfigError: no such format, or a folder that holds something else.
        InputError: the run has nothing to export, or its labelling has not finished.
        ContractError: labels are damaged.
    """
    from hoiray.cli.progress import hands_progress
    from hoiray.export.formats import export_labels, format_named
    from hoiray.export.job import ExportJob, Options
    from hoiray.io.store import Store
    from hoiray.stages.label_input import open_label_run

    pixels = request.pixels or format_named(request.format_name).pixels[0]
    run = open_label_run(request.run, allow_partial=request.partial)
    options = Options(request.include == "refused", pixels, request.licence, request.assumed_focal_px)
    hand, licence = _hand_of(run)
    with hands_progress("export", "videos") as on_progress:
        job = ExportJob(
            run=run,
            out=Store.open(request.out),
            options=options,
            lineage=_lineage_of(run, licence),
            hand=hand,
            on_video=lambda count: on_progress(count, count),
        )
        told, is_new = export_labels(job, request.format_name)
    return _report(request.out, told, is_new=is_new)


def _hand_of(run: "LabelRun") -> "tuple[HandArrays, Licence]":
    from hoiray.hand.load import load_hand_arrays
    from hoiray.stages.teacher import hand_file

    with hand_file(run.hand.model_uri) as path:
        arrays = load_hand_arrays(path)
    return arrays, arrays.licence


def _lineage_of(run: "LabelRun", licence: "Licence") -> "Lineage":
    """Say what the run's configuration tells of its labels; limits only where they are those of these labels."""
    from hoiray import __version__
    from hoiray.config.load import parse_run
    from hoiray.export.lineage import lineage_of
    from hoiray.stages.run_layout import RUN_FILE

    config = parse_run(run.store.read(RUN_FILE).decode(), (), source=run.store.url(RUN_FILE))
    weights = config.teacher.checkpoint_uri
    return lineage_of(
        run,
        licence,
        teacher=config.teacher.predictor + (f", weights {weights}" if weights else ""),
        num_views=config.ensemble.num_views,
        limits=_limits_of(run, config),
        videos=config.videos.uri,
        hoiray_version=__version__,
    )


def _limits_of(run: "LabelRun", config: "RunConfig") -> Mapping[str, str]:
    from hoiray.errors import HoirayError
    from hoiray.stages.ids import make_judge_id
    from hoiray.stages.limits import rules_of

    try:
        rules, sha256 = rules_of(config.limits)
        if make_judge_id(run.predict_id, config.limits, limits_sha256=sha256) != run.judge_id:
            return {}
    except HoirayError:
        return {}
    signs = {"min": ">=", "max": "<=", "below": "<"}
    told = {limit.measurement: f"{signs[limit.bound]} {limit.value:g}" for limit in rules.limits}
    return told | ({"confidence": "above the calibrated limit"} if rules.confidence is not None else {})


def _report(out: str, told: Mapping[str, Any], *, is_new: bool) -> int:
    from hoiray.export.card import LEFT_OUT

    counts = told["counts"]
    already = "" if is_new else " (was complete already)"
    typer.echo(
        f"export: {out}{already}: {counts['num_written']} labels of {counts['num_videos']} videos,"
        f" {counts['num_written_accepted']} accepted; the run has {counts['num_accepted']} accepted and"
        f" {counts['num_refused']} refused"
    )
    for name, count in counts["left_out"].items():
        typer.echo(f"export: {count} labels are not in it: {LEFT_OUT.get(name, name)}", err=True)
    for message in told["unreadable"]:
        typer.echo(f"export: {message}", err=True)
    return EXIT_UNFINISHED if LOST_VIDEOS & counts["left_out"].keys() else 0
