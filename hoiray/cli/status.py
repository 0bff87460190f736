"""`hoiray status`: how far a run is, from its folder alone."""

import json
import time
from dataclasses import asdict
from typing import Any

import typer

from hoiray.engine.progress import duration
from hoiray.errors import EXIT_UNFINISHED
from hoiray.stages.canary_file import canary_lines, plain_canaries
from hoiray.stages.inflight import MAX_SILENCE_S, Note
from hoiray.stages.status import AreaStatus, RunStatus

MAX_SHOWN_NOTES = 8


def show_status(run: str, plan: str | None, *, as_json: bool) -> int:
    """Print the state of a run; return the exit status (0 when nothing is pending, 3 while something is)."""
    from hoiray.cli.run_folder import open_run
    from hoiray.stages.status import run_status

    folder = open_run(run, plan)
    status = run_status(folder.store, folder.plan)
    if as_json:
        typer.echo(json.dumps(_plain(status), sort_keys=True))
    else:
        for line in status_lines(status, time.time()):
            typer.echo(line)
    is_finished = bool(status.areas) and all(area.num_pending == 0 for area in status.areas)
    return 0 if is_finished else EXIT_UNFINISHED


def status_lines(status: RunStatus, now_s: float) -> list[str]:
    """Write the state of a run for a person.

    Args:
        status: of the run.
        now_s: the present time, for ages.
    """
    head = status.plan.head
    lines = [f"plan {head.plan_id}: {head.num_videos} videos, {head.num_shards} shards, {head.num_buckets} buckets"]
    if head.num_not_planned:
        lines.append(f"  {head.num_not_planned} videos could not be planned")
    if head.num_unboxed:
        lines.append(f"  {head.num_unboxed} videos have no box of a hand, and get no labels")
    if not status.areas:
        lines.append("nothing is committed yet")
    for area in status.areas:
        lines += _area_lines(area, now_s)
    if status.notes:
        lines.append(f"in flight: {len(status.notes)} workers")
        lines += [
            _note_line(note, now_s) for note in sorted(status.notes, key=lambda it: it.heartbeat_s)[:MAX_SHOWN_NOTES]
        ]
    for canaries in status.canaries:
        lines += [f"labels/{canaries.judge_id}", *(f"  {line}" for line in canary_lines(canaries))]
    if status.num_nondeterministic:
        lines.append(f"NONDETERMINISM: {status.num_nondeterministic} shards had a second, different result")
    return lines


def _area_lines(area: AreaStatus, now_s: float) -> list[str]:
    total = area.num_done + area.num_pending
    share = area.num_done / total if total else 1.0
    lines = [f"{area.area.prefix}: {area.num_done} of {total} done ({share:.1%})"]
    if area.last_commit_s is not None:
        lines[0] += f", the last {duration(max(now_s - area.last_commit_s, 0.0))} ago"
    if area.num_pending and area.rate_frames_per_s:
        lines.append(f"  {area.rate_frames_per_s:.0f} frames/s lately, {duration(area.eta_s or 0.0)} to go")
    part = "" if area.num_markers_read == area.num_done else f" (in the newest {area.num_markers_read} shards)"
    lines.append(f"  {area.num_rows} rows, {area.num_videos} videos, {area.num_dead} dead{part}")
    if area.num_accepted is not None and area.num_rows:
        lines.append(f"  {area.num_accepted} accepted ({area.num_accepted / area.num_rows:.1%})")
        lines += [f"    {reason}: {count}" for reason, count in area.reasons.most_common()]
    return lines


def _note_line(note: Note, now_s: float) -> str:
    silence_s = now_s - note.heartbeat_s
    state = "silent for" if silence_s > MAX_SILENCE_S else "heard"
    ago = "" if silence_s > MAX_SILENCE_S else " ago"
    video = f", video {note.video_id}" if note.video_id is not None else ""
    who = f"{note.shard_id} on {note.host}:{note.pid}, attempt {note.attempt}"
    return f"  {who}{video}, {state} {duration(max(silence_s, 0.0))}{ago}"


def _plain(status: RunStatus) -> dict[str, Any]:
    areas = [asdict(area) | {"area": area.area.prefix, "eta_s": area.eta_s} for area in status.areas]
    return {
        "plan": status.plan.head.model_dump(mode="json", exclude={"parts", "refusals"}),
        "areas": areas,
        "in_flight": [asdict(note) for note in status.notes],
        "num_nondeterministic": status.num_nondeterministic,
        "canaries": [plain_canaries(canaries) for canaries in status.canaries],
    }
