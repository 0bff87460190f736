"""`hoiray index`: find videos and boxes, and write a plan."""

import sys
import time
from typing import TYPE_CHECKING, Final, Literal

import typer

from hoiray.cli.runnable import runnable
from hoiray.config.base import MAX_COUNT
from hoiray.config.what import Sharding, Videos
from hoiray.errors import ConfigError, describe

if TYPE_CHECKING:
    from hoiray.stages.plan import Plan

BoxFormat = Literal["something_else", "coco", "parquet"]
BOX_FORMATS: Final[tuple[BoxFormat, ...]] = ("something_else", "coco", "parquet")
PROBES: Final[tuple[Literal["none", "long", "all"], ...]] = ("none", "long", "all")
PROGRESS_INTERVAL_S: Final = 5.0


def run_index(
    *,
    videos: str,
    out: str,
    boxes: str | None,
    box_format: str | None,
    sample_rate_hz: float | None,
    target_frames: int,
    max_video_frames: int,
    probe: str,
    bytes_per_frame: float,
    update: bool,
) -> int:
    """Write the plan, say what was found, refused and changed; return the exit status."""
    from hoiray.io.store import Store
    from hoiray.stages.index import IndexRequest, make_plan

    if not 1 <= target_frames <= max_video_frames <= MAX_COUNT:
        expected, found = "1 <= target-frames <= max-video-frames", f"{target_frames} and {max_video_frames}"
        raise ConfigError(describe(what="shards", expected=expected, found=found, fix="Change one of them."))
    request = IndexRequest(
        videos=Videos(
            uri=videos, boxes_uri=boxes, box_format=box_format_of(boxes, box_format), sample_rate_hz=sample_rate_hz
        ),
        sharding=Sharding(target_frames=target_frames, max_video_frames=max_video_frames),
        probe=_probe_of(probe),
        bytes_per_frame=bytes_per_frame,
    )
    start = time.monotonic()
    plan = make_plan(request, Store.open(out).probed(), update=update, on_progress=_Progress())
    _say(plan, out, time.monotonic() - start)
    return 0


def _say(plan: "Plan", out: str, seconds: float) -> None:
    head = plan.head
    typer.echo(
        f"plan {plan.plan_id}: {head.num_videos} videos ({head.total_bytes / 1e9:.3g} GB), {head.num_boxes} boxes,"
        f" {head.num_shards} shards of about {head.cost_frames / max(head.num_shards, 1):.0f} frames, in"
        f" {seconds:.0f} s: {out}"
    )
    if head.changes:
        typer.echo("since the plan before: " + ", ".join(f"{count} {name}" for name, count in head.changes.items()))
    if head.num_unboxed:
        typer.echo(f"without a box of a hand, so that nothing will be labelled in them: {head.num_unboxed} videos")
    for name, count in head.refused.items():
        example = next(row for row in plan.refusals() if f"{row['kind']}: {row['reason']}" == name)
        typer.echo(f"refused, {name}: {count}, such as {example['name']} ({example['message']})")
    if out.rstrip("/").endswith("/plan"):
        typer.echo(f"next: {runnable('status', out.rstrip('/').removesuffix('/plan'))}")


def _probe_of(word: str) -> Literal["none", "long", "all"]:
    for name in PROBES:
        if word == name:
            return name
    raise _wrong("--probe", PROBES, word)


def box_format_of(boxes: str | None, box_format: str | None) -> BoxFormat | Literal["none"]:
    """Choose a format: the one named, or the one that the file's name tells.

    Raises:
        ConfigError: a format without boxes, or boxes of unknown format.
    """
    if boxes is None:
        if box_format not in (None, "none"):
            fix = "Name the boxes, or leave the format out."
            raise ConfigError(describe(what="--box-format", expected="--boxes", found="none", fix=fix))
        return "none"
    if box_format is None and boxes.endswith(".parquet"):
        return "parquet"
    for name in BOX_FORMATS:
        if box_format == name:
            return name
    raise _wrong("--box-format", BOX_FORMATS, str(box_format))


def _wrong(option: str, words: tuple[str, ...], found: str) -> ConfigError:
    return ConfigError(describe(what=option, expected=" | ".join(words), found=found, fix="Choose one."))


class _Progress:
    """A line now and then."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + PROGRESS_INTERVAL_S

    def __call__(self, step: str, count: int) -> None:
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + PROGRESS_INTERVAL_S
            print(f"{step}: {count}", file=sys.stderr, flush=True)  # noqa: T201 - progress, not output
