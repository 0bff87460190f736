"""The state of a run, from its folder alone: nothing has to be running, and nothing is asked but the store."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from hoiray.io.store import Store
from hoiray.stages.canary_file import Canaries, all_canaries
from hoiray.stages.inflight import Note, read_notes
from hoiray.stages.markers import read_markers, unit_ids
from hoiray.stages.plan import Plan
from hoiray.stages.run_layout import Area, shard_of_marker

MAX_MARKERS_READ: Final = 2000
"""Markers read for counts of rows and reasons: the newest; reading 100,000 would take minutes."""

RATE_WINDOW_S: Final = 900.0
"""The rate is that of the last quarter of an hour before the newest commit."""


@dataclass(frozen=True)
class AreaStatus:
    """How far one table of a run is.

    Attributes:
        area: which.
        num_done: committed shards of the plan (buckets, for labels).
        num_pending: the others.
        cost_done_frames: what the done ones were reckoned with.
        cost_pending_frames: the others.
        first_commit_s: time of the oldest commit, by the store's clock; None without any.
        last_commit_s: of the newest.
        rate_frames_per_s: reckoned frames a second lately; None where it cannot be told.
        num_markers_read: how many markers the counts below are of.
        num_rows: rows in those.
        num_accepted: accepted ones; None for predictions.
        num_videos: videos in those.
        num_dead: videos given up in those.
        reasons: rows by reason.
    """

    area: Area
    num_done: int
    num_pending: int
    cost_done_frames: int
    cost_pending_frames: int
    first_commit_s: float | None
    last_commit_s: float | None
    rate_frames_per_s: float | None
    num_markers_read: int
    num_rows: int
    num_accepted: int | None
    num_videos: int
    num_dead: int
    reasons: Counter[str]

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the present rate; None where there is none."""
        if self.num_pending == 0:
            return 0.0
        return self.cost_pending_frames / self.rate_frames_per_s if self.rate_frames_per_s else None


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    plan: Plan
    areas: list[AreaStatus]
    notes: list[Note]
    num_nondeterministic: int
    canaries: list[Canaries] = field(default_factory=list)


@dataclass
class _Seen:
    """Sums over one walk."""

    num_done: int = 0
    num_pending: int = 0
    cost_done: int = 0
    cost_pending: int = 0
    commits: list[tuple[float, int]] = field(default_factory=list)


def run_status(store: Store, plan: Plan, *, max_markers: int = MAX_MARKERS_READ) -> RunStatus:
    """Look at everything a run has committed of a plan.

    Args:
        store: the run's folder.
        plan: of the run.
        max_markers: how many markers are read for the counts, the newest first.
    """
    areas = [Area("predictions", name) for name in store.list_folders("predictions")]
    areas += [Area("labels", name) for name in store.list_folders("labels")]
    notes = [note for area in areas if area.table == "predictions" for note in read_notes(store, area.id)]
    num_nondeterministic = sum(1 for _ in store.objects("nondeterminism"))
    found = [_area_status(store, plan, area, max_markers) for area in areas]
    return RunStatus(plan, found, notes, num_nondeterministic, all_canaries(store))


def _area_status(store: Store, plan: Plan, area: Area, max_markers: int) -> AreaStatus:
    costs = _costs(plan, area)
    seen = _Seen()
    newest: list[tuple[float, str]] = []
    for info in store.objects(area.commit_folder):
        unit_id = shard_of_marker(info.key)
        cost = costs.pop(unit_id, None)
        if cost is not None:
            seen.num_done += 1
            seen.cost_done += cost
            seen.commits.append((info.modified_s, cost))
            newest.append((info.modified_s, unit_id))
    names = [name for _, name in sorted(newest, reverse=True)[:max_markers]]
    markers = list(read_markers(store, area, names))
    reasons = Counter[str]()
    for marker in markers:
        reasons.update(marker.reasons)
    is_judged = area.table == "labels"
    return AreaStatus(
        area=area,
        num_done=seen.num_done,
        num_pending=len(costs),
        cost_done_frames=seen.cost_done,
        cost_pending_frames=sum(costs.values()),
        first_commit_s=min((moment for moment, _ in seen.commits), default=None),
        last_commit_s=max((moment for moment, _ in seen.commits), default=None),
        rate_frames_per_s=recent_rate(seen.commits),
        num_markers_read=len(markers),
        num_rows=sum(marker.num_rows for marker in markers),
        num_accepted=sum(marker.num_accepted or 0 for marker in markers) if is_judged else None,
        num_videos=sum(marker.num_videos for marker in markers),
        num_dead=sum(len(marker.dead_letters) for marker in markers),
        reasons=reasons,
    )


def _costs(plan: Plan, area: Area) -> dict[str, int]:
    """Reckoned frames by id of commit; some 100 bytes a shard."""
    costs = dict.fromkeys(unit_ids(plan, area), 0)
    for entry in plan.shards():
        costs[entry.shard_id if area.table == "predictions" else entry.bucket_id] += entry.cost_frames
    return costs


def recent_rate(commits: list[tuple[float, int]], window_s: float = RATE_WINDOW_S) -> float | None:
    """Return the frames a second of the last commits.

    Args:
        commits: time in seconds and cost in frames of each, in any order.
        window_s: how far back from the newest commit.

    Returns:
        The cost that was committed after the window's first commit, by the time since it (what that first one itself
        took is not known); None with fewer than two commits at different times.
    """
    ordered = sorted(commits)
    if not ordered:
        return None
    recent = [commit for commit in ordered if commit[0] >= ordered[-1][0] - window_s]
    passed_s = recent[-1][0] - recent[0][0]
    return sum(cost for _, cost in recent[1:]) / passed_s if passed_s > 0.0 else None
