"""What a labelling came to, over all runs that worked on it: counted from its markers, written as `summary.json`."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from hoiray.schema.marker import CommitMarker
from hoiray.schema.vocabularies import REJECT_REASONS
from hoiray.stages.canary_file import Canaries, canary_lines, plain_canaries, read_canaries
from hoiray.stages.label_job import LabelJob
from hoiray.stages.ledger import Spending, by_resource_s
from hoiray.stages.markers import committed_units, read_markers
from hoiray.stages.plan import Plan
from hoiray.stages.run_layout import Area

SUMMARY_FILE: Final = "summary.json"


@dataclass(frozen=True)
class Summary:
    """A labelling in numbers.

    Attributes:
        plan_id, predict_id, judge_id: which.
        labels: folder of its labels.
        num_shards, num_shards_done: of the plan; predicted.
        num_buckets, num_buckets_done: of the plan; judged.
        num_videos: of the shards that are done; a long video counts once, whatever it is cut into.
        num_not_planned: videos that were refused when the run was planned.
        num_unboxed: videos of the plan without a box of a hand, where boxes are given: nothing is labelled in them.
        dead: videos given up, by `stage: class`.
        num_rows: hands with a label.
        num_accepted: accepted ones.
        reasons: rows by reason of refusal, in the order of the vocabulary; a row may have several.
        timings_s: seconds by stage, summed over the shards.
        costs_s: seconds of each resource by stage, summed over the shards; :mod:`hoiray.stages.ledger`.
        canaries: how many labels that were made wrong on purpose its judge accepts; None where none were planted.
    """

    plan_id: str
    predict_id: str
    judge_id: str
    labels: str
    num_shards: int
    num_shards_done: int
    num_buckets: int
    num_buckets_done: int
    num_videos: int
    num_not_planned: int
    num_unboxed: int
    dead: dict[str, int]
    num_rows: int
    num_accepted: int
    reasons: dict[str, int]
    timings_s: dict[str, float]
    costs_s: dict[str, dict[str, float]] = field(default_factory=dict)
    canaries: Canaries | None = None

    @property
    def num_dead(self) -> int:
        """Videos given up."""
        return sum(self.dead.values())

    @property
    def is_finished(self) -> bool:
        """Whether every bucket has its labels."""
        return self.num_buckets_done == self.num_buckets


def summarise(job: LabelJob) -> Summary:
    """Count what is committed. Reads every marker of the plan's shards, several at a time."""
    counted = summarise_markers(
        job.plan,
        labels=job.store.url(job.labels.prefix),
        ids=(job.predict_id, job.judge_id),
        long_videos=job.long_videos,
        predicted=read_markers(job.store, job.predictions, _done(job, job.predictions)),
        judged=read_markers(job.store, job.labels, _done(job, job.labels)),
    )
    return replace(counted, canaries=read_canaries(job.store, job.judge_id))


def summarise_markers(
    plan: Plan,
    *,
    labels: str,
    ids: tuple[str, str],
    long_videos: Mapping[str, tuple[str, ...]],
    predicted: Iterable[CommitMarker],
    judged: Iterable[CommitMarker],
) -> Summary:
    """Count what markers say.

    Args:
        plan: whose shards they are of.
        labels: folder of the labels.
        ids: predict_id and judge_id.
        long_videos: the shards of each bucket that has several.
        predicted: markers of predictions.
        judged: markers of labels.
    """
    dead, timings, reasons = Counter[str](), Counter[str](), Counter[str]()
    num_shards = num_videos = num_buckets = num_rows = num_accepted = 0
    long_video_of = {shard_id: bucket_id for bucket_id, shards in long_videos.items() for shard_id in shards}
    seen, given_up = set[str](), set[str]()
    spending = Spending()
    for marker in predicted:
        num_shards += 1
        # a long video lies in several shards, and may be given up in each
        long_video = long_video_of.get(marker.shard_id)
        if long_video is None or long_video not in seen:
            num_videos += marker.num_videos
        if long_video is not None:
            seen.add(long_video)
        for letter in marker.dead_letters:
            if letter.video_id not in given_up:
                given_up.add(letter.video_id)
                dead[f"{letter.stage}: {letter.error_class}"] += 1
        timings.update(marker.timings_s)
        spending.add_all(marker.costs_s)
    for marker in judged:
        num_buckets += 1
        num_rows += marker.num_rows
        num_accepted += marker.num_accepted or 0
        reasons.update(marker.reasons)
        timings.update(marker.timings_s)
        spending.add_all(marker.costs_s)
    return Summary(
        plan_id=plan.plan_id,
        predict_id=ids[0],
        judge_id=ids[1],
        labels=labels,
        num_shards=plan.head.num_shards,
        num_shards_done=num_shards,
        num_buckets=plan.head.num_buckets,
        num_buckets_done=num_buckets,
        num_videos=num_videos,
        num_not_planned=plan.head.num_not_planned,
        num_unboxed=plan.head.num_unboxed,
        dead=dict(sorted(dead.items())),
        num_rows=num_rows,
        num_accepted=num_accepted,
        reasons={reason: reasons[reason] for reason in REJECT_REASONS if reasons[reason]},
        timings_s={name: round(seconds, 3) for name, seconds in sorted(timings.items())},
        costs_s=spending.costs_s(),
    )


def write_summary(job: LabelJob, summary: Summary) -> str:
    """Write the summary into the run's folder; return where it is."""
    planted = None if summary.canaries is None else plain_canaries(summary.canaries)
    content = asdict(replace(summary, canaries=None)) | {"canaries": planted}
    job.store.write(SUMMARY_FILE, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(), durable=True)
    return job.store.url(SUMMARY_FILE)


def summary_lines(summary: Summary) -> list[str]:
    """Write the summary for a person: a table of counts, what was given up, where it is."""
    rows: list[tuple[str, int]] = [("accepted", summary.num_accepted), *summary.reasons.items()]
    width = max(len(name) for name, _ in rows) + 4
    lines = [f"{summary.num_rows:,} hands labelled; refused ones may have several reasons"]
    for number, (name, count) in enumerate(rows):
        share = count / summary.num_rows if summary.num_rows else 0.0
        indent = "  " if number == 0 else "    "
        lines.append(f"{indent}{name:<{width - len(indent)}}{count:>12,}{share:>8.1%}")
    lines.append(_videos_line(summary))
    waited, worked = (summary.timings_s.get(name, 0.0) for name in ("input_wait", "predict"))
    if waited + worked > 0.0:
        lines.append(f"the model waited for input {waited / (waited + worked):.0%} of its time")
    lines += _cost_lines(summary)
    if not summary.is_finished:
        pending = summary.num_buckets - summary.num_buckets_done
        lines.append(f"not finished: {pending} of {summary.num_buckets} buckets have no labels yet")
    if summary.canaries is not None:
        lines += canary_lines(summary.canaries)
    return [*lines, f"labels: {summary.labels}"]


def _cost_lines(summary: Summary) -> list[str]:
    """Say in a line what an accepted label has cost; `hoiray cost` says more."""
    if not summary.costs_s or not summary.num_accepted:
        return []
    by_resource = by_resource_s(summary.costs_s)
    parts = (f"{name} {seconds / summary.num_accepted * 1000.0:.3g}" for name, seconds in by_resource.items())
    return [f"an accepted label cost, ms: {', '.join(parts)}"]


def _videos_line(summary: Summary) -> str:
    line = f"{summary.num_videos - summary.num_dead:,} videos done, {summary.num_dead:,} given up"
    if summary.dead:
        line += f" ({', '.join(f'{name} {count}' for name, count in summary.dead.items())})"
    if summary.num_not_planned:
        line += f", {summary.num_not_planned:,} could not be planned"
    return line + (f", {summary.num_unboxed:,} without a hand's box" if summary.num_unboxed else "")


def _done(job: LabelJob, area: Area) -> Iterator[str]:
    return (name for name, is_done in committed_units(job.plan, job.store, area) if is_done)
