"""`hoiray view`: a video of a run with its labels drawn over it."""

import typer

from hoiray.cli.progress import hands_progress
from hoiray.cli.run_folder import open_run
from hoiray.errors import ConfigError, describe
from hoiray.io.store import open_uri
from hoiray.stages.view import draw_overlay


def view_video(run: str, video: str, plan: str | None, out: str, *, judge_id: str | None) -> None:
    """Write the overlay, and say what it shows.

    Raises:
        ConfigError: `out` is no `.mp4`, or several labels are there and none is named.
        InputError: there are no labels of the video, or it cannot be read.
    """
    if not out.lower().endswith(".mp4"):
        found, fix = repr(out), "Name an .mp4."
        raise ConfigError(describe(what="--out", expected="a name ending in .mp4", found=found, fix=fix))
    folder = open_run(run, plan)
    with hands_progress(video, "frames") as on_progress:
        drawn = draw_overlay(
            folder.store, folder.plan, video, judge_id=judge_id, on_frame=lambda count: on_progress(count, count)
        )
    store, key = open_uri(out)
    store.write(key, drawn.data)
    typer.echo(f"view: {out} ({drawn.num_frames} frames, {drawn.num_labels} labels, {drawn.num_accepted} accepted)")
