"""`hoiray view`: a video of a run with its labels drawn over it, and a Rerun recording of the same beside it."""

import importlib.util
import tempfile
from pathlib import Path

import typer

from hoiray.cli.progress import hands_progress
from hoiray.cli.run_folder import open_run
from hoiray.cli.runnable import installed_script
from hoiray.errors import ConfigError, describe
from hoiray.io.store import open_uri
from hoiray.report.recording import PACKAGE
from hoiray.stages.view import draw_overlay

SUFFIX, RECORDING_SUFFIX = ".mp4", ".rrd"


def view_video(
    run: str, video: str, plan: str | None, out: str, *, judge_id: str | None, with_recording: bool = True
) -> None:
    """Write the overlay and the recording, and say what they show.

    Args:
        run: its folder.
        video: name of the video in the plan, or its end.
        plan: its plan; None: in the run's folder.
        out: the video to write; the recording has its name, with another suffix.
        judge_id: which labels; None: the only ones.
        with_recording: write a recording, where rerun-sdk is installed.

    Raises:
        ConfigError: `out` is no `.mp4`, or several labels are there and none is named.
        InputError: there are no labels of the video, or it cannot be read.
    """
    if not out.lower().endswith(SUFFIX):
        found, fix = repr(out), "Name an .mp4."
        raise ConfigError(describe(what="--out", expected="a name ending in .mp4", found=found, fix=fix))
    folder = open_run(run, plan)
    records = with_recording and can_record()
    beside = out[: -len(SUFFIX)] + RECORDING_SUFFIX
    with (
        tempfile.TemporaryDirectory(prefix="hoiray-view-") as temporary,
        hands_progress(video, "frames") as on_progress,
    ):
        recording = Path(temporary) / f"labels{RECORDING_SUFFIX}"
        drawn = draw_overlay(
            folder.store,
            folder.plan,
            video,
            judge_id=judge_id,
            recording=recording if records else None,
            on_frame=lambda count: on_progress(count, count),
        )
        _write(out, drawn.data)
        if records:
            _write(beside, recording.read_bytes())
    typer.echo(f"view: {out} ({drawn.num_frames} frames, {drawn.num_labels} labels, {drawn.num_accepted} accepted)")
    if records:
        typer.echo(f"look into it: {installed_script('rerun', beside)}")
    elif with_recording:
        typer.echo(f"no Rerun recording: {PACKAGE} is not installed here (pip install 'hoiray[viewer]').", err=True)


def can_record() -> bool:
    """Tell whether rerun-sdk is installed."""
    return importlib.util.find_spec("rerun") is not None


def _write(uri: str, data: bytes) -> None:
    store, key = open_uri(uri)
    store.write(key, data)
