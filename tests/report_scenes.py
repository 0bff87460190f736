"""Rows and facts of runs that nobody has to label: what a report is made of."""

from typing import Any

import numpy as np

from hoiray.config.what import PaperLimits
from hoiray.filters.rules import paper_rules
from hoiray.report.label_rows import REASONS, LabelRows
from hoiray.report.run_facts import GivenUp, Origin, RunFacts
from hoiray.report.sections import Interval
from hoiray.schema.label_columns import MEASUREMENT_NAMES

HOSTILE_NAMES = (
    "<script>window.broken = 1</script>.mp4",
    "</script><script>window.broken = 2</script>.mp4",
    "\"><img src=x onerror='window.broken = 3'>.mp4",
    "quotes ' \" & ampersand.mp4",
    "gr\u00fc\u00dfe \u624b \u202egpm.mp4",
    "{{ 7 * 7 }} {% include 'x' %} ${7 * 7}.mp4",
)


def rows_of(
    videos: tuple[str, ...] = ("a.mp4", "b.mp4"), num_frames: int = 6, *, seed: int = 0, **changes: Any
) -> LabelRows:
    """One hand over the frames of every video; even frames are accepted, odd ones refused for one reason in turn."""
    rng = np.random.default_rng(seed)
    count = len(videos) * num_frames
    frame = np.tile(np.arange(num_frames), len(videos))
    reasons = np.zeros((count, len(REASONS)), dtype=np.bool_)
    odd = np.flatnonzero(frame % 2)
    reasons[odd, np.arange(len(odd)) % 3] = True
    values: dict[str, Any] = {
        "video_names": tuple(sorted(videos)),
        "video": np.repeat(np.arange(len(videos)), num_frames),
        "frame": frame,
        "hand": np.zeros(count, np.int64),
        "track": np.zeros(count, np.int64),
        "is_right": np.ones(count, np.bool_),
        "is_accepted": ~reasons.any(axis=1),
        "reasons": reasons,
        "is_answered": np.ones(count, np.bool_),
        "confidence": np.full(count, np.nan, np.float32),
        "measured": {name: rng.random(count).astype(np.float32) for name in MEASUREMENT_NAMES},
        "unit": np.zeros(count, np.int64),
    }
    return LabelRows(**values | changes)


def facts_of(rows: LabelRows, **changes: Any) -> RunFacts:
    """A finished run of these rows."""
    reasons = {reason: int(own.sum()) for reason, own in zip(REASONS, rows.reasons.T, strict=True) if own.any()}
    share = float(rows.is_accepted.mean()) if len(rows) else float("nan")
    values: dict[str, Any] = {
        "name": "a run",
        "uri": "s3://bucket/run",
        "num_videos": len(rows.video_names),
        "num_dead": 0,
        "num_not_planned": 0,
        "num_unboxed": 0,
        "given_up": (),
        "num_buckets": 1,
        "num_buckets_done": 1,
        "num_rows": len(rows),
        "num_accepted": int(rows.is_accepted.sum()),
        "reasons": reasons,
        "timings_s": {"predict": 90.0, "measure": 10.0},
        "num_nondeterministic": 0,
        "rules": paper_rules(PaperLimits()),
        "origins": (Origin("plan_id", "0" * 32, "a remark"),),
        "accepted_share": Interval(share, share - 0.1, share + 0.1),
        "refused_shares": {reason: Interval(0.2, 0.1, 0.3) for reason in reasons},
        "num_rows_read": len(rows),
    }
    return RunFacts(**values | changes)


def given_up(video: str) -> GivenUp:
    return GivenUp(video, "decode: InputError", "expected a video, found junk")
