"""A run of labels in plain sentences: what was labelled, what was refused and why, and what to do next."""

import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from hoiray.report.label_picture import WORDS
from hoiray.report.measures import Measure
from hoiray.report.refusals import Refusal
from hoiray.report.run_facts import RunFacts
from hoiray.report.sections import HasInterval, Interval, Tile, cell_texts

FEW_ACCEPTED: Final = 0.05
"""Below this share of accepted labels a run is suspicious as a whole."""

MANY_ALONE: Final = 0.05
"""A limit that alone refuses at least this share of all rows decides the yield."""

LIMIT_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "box_iou": "min_box_iou=VALUE",
        "reprojection": "max_reprojection_box_sides=VALUE",
        "bone_length": "min_bone_length_ratio=VALUE",
        "joint_angle": "max_joint_angle_deg=VALUE",
        "spread_2d": "max_spread_2d_box_sides=VALUE",
        "spread_3d": "max_spread_3d_m=VALUE",
        "spread_rotation": "max_spread_rotation_deg=VALUE",
        "motion_2d": "max_motion_2d_box_sides=VALUE",
        "motion_pose": "max_motion_pose=VALUE",
        "no_predecessor": "predecessor_rule=backward_or_forward",
        "predecessor_refused": "predecessor_must_pass_spatial=false",
        "held_sample": "max_held_sample_score=VALUE",
        "shape_deviation": "max_shape_deviation_sigma=VALUE",
    }
)
"""What to change in the paper's limits so that a reason refuses less."""

NOT_CALIBRATED: Final = (
    "The confidence of these labels is not calibrated: the limits say what was refused, not how often an accepted label"
    " is right. Calibrate on a set with truth to learn that."
)


def count(number: int, noun: str, plural: str = "") -> str:
    """Write a number of things."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(share: HasInterval) -> str:
    """Write a share with its interval."""
    number, interval = cell_texts(in_percent(share), 1)
    return f"{number} %{f' {interval}' if interval else ''}"


def summary_tiles(facts: RunFacts, num_frames: int) -> list[Tile]:
    """Return the numbers that are read first."""
    labelled = facts.num_videos - facts.num_dead
    per_label = sum(facts.timings_s.values()) / facts.num_accepted if facts.num_accepted else None
    frames = f"in {num_frames:,} frames" if not facts.is_sampled else "one for each hand in each frame"
    interval = cell_texts(in_percent(facts.accepted_share), 1)[1]
    return [
        Tile("Videos labelled", f"{labelled:,}", f"{facts.num_dead:,} given up, {facts.num_not_planned:,} not planned"),
        Tile("Hands labelled", f"{facts.num_rows:,}", frames),
        Tile("Accepted", f"{facts.num_accepted:,}", "labels that meet every limit"),
        Tile(
            "Share accepted",
            f"{100 * facts.accepted_share.value:.1f} %" if facts.num_rows else "\u2013",
            f"95 % interval over videos {interval} %" if interval else "no interval: too few videos",
        ),
        Tile(
            "Work for an accepted label",
            "\u2013" if per_label is None else seconds(per_label),
            "sum over all workers",
        ),
    ]


def summary_sentences(facts: RunFacts, refusals: Sequence[Refusal], *, has_confidence: bool) -> list[str]:
    """Say in sentences what came of the run."""
    said = [_labelled(facts), _accepted(facts)]
    if refusals and facts.num_rows:
        said.append(_why(facts, refusals))
    if facts.is_sampled:
        said.append(
            "Numbers of videos, labels, reasons and cost are of the whole run. Everything that needs single rows"
            f" (histograms, what a limit alone refuses, shares by video, intervals) is of {facts.num_rows_read:,} of"
            f" the {facts.num_rows:,} rows: those of shards drawn by lot (seed {facts.seed})."
        )
    if not has_confidence:
        said.append(NOT_CALIBRATED)
    return said


def next_steps(
    facts: RunFacts, refusals: Sequence[Refusal], measures: Sequence[Measure], *, has_confidence: bool
) -> list[tuple[str, str | None]]:
    """Say what to do next, most urgent first, each with the command where there is one."""
    run = shlex.quote(facts.uri)
    steps: list[tuple[str, str | None]] = []
    if not facts.is_finished:
        pending = facts.num_buckets - facts.num_buckets_done
        steps.append((f"{count(pending, 'part')} of the plan have no labels yet: run the labelling again.", None))
    if facts.num_nondeterministic:
        text = f"{count(facts.num_nondeterministic, 'shard')} gave other numbers a second time: find out why."
        steps.append((text, f"hoiray verify {run}"))
    if facts.num_dead:
        text = f"{count(facts.num_dead, 'video')} could not be labelled; the list says why."
        steps.append((text, f"hoiray dead list {run}"))
    if facts.num_rows and facts.accepted_share.value < FEW_ACCEPTED:
        text = (
            f"Only {100 * facts.accepted_share.value:.1f} % were accepted. Look at the pictures first: is the mesh"
            " where the hand is? If not, the teacher does not know such videos, and no limit will help."
        )
        steps.append((text, None))
    steps += _limit_step(facts, refusals, measures, run)
    if not has_confidence:
        steps.append(
            (
                "Learn how often an accepted label is right: calibrate on a set with truth the teacher has not seen.",
                f"hoiray calibrate --labels {run} --truth DATASET",
            )
        )
    if facts.num_accepted and facts.is_finished:
        steps.append(("Fix these labels for a training, under a name that never changes.", f"hoiray snapshot {run}"))
    return steps


def seconds(value: float) -> str:
    """Write a time so that it is read at once."""
    if value < 1.0:
        return f"{1000 * value:.0f} ms"
    if value < 120.0:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200.0 else f"{value / 3600:,.1f} h"


def _labelled(facts: RunFacts) -> str:
    text = (
        f"{count(facts.num_videos - facts.num_dead, 'video')} gave {count(facts.num_rows, 'label')}, one for every hand"
    )
    text += " in every frame with a box."
    if facts.num_dead:
        text += f" {count(facts.num_dead, 'video')} had to be given up."
    if facts.num_not_planned:
        text += f" {count(facts.num_not_planned, 'video')} could not be planned at all."
    if facts.num_unboxed:
        text += f" {count(facts.num_unboxed, 'video')} without a box of a hand gave none."
    if not facts.is_finished:
        text += f" The run is not finished: {facts.num_buckets_done:,} of {facts.num_buckets:,} parts have labels."
    return text


def _accepted(facts: RunFacts) -> str:
    if not facts.num_rows:
        return "There is nothing to accept."
    return (
        f"{count(facts.num_accepted, 'label')} ({percent(facts.accepted_share)}; interval: 95 %, by resampling videos)"
        f" meet every limit and are accepted; {count(facts.num_rows - facts.num_accepted, 'label')} are refused."
        " Refused labels are kept with their numbers and reasons, so other limits can be tried without model or video."
    )


def _why(facts: RunFacts, refusals: Sequence[Refusal]) -> str:
    most = sorted(facts.reasons.items(), key=lambda item: -item[1])[:3]
    words = "; ".join(f"{WORDS[name]} ({100 * number / facts.num_rows:.0f} %)" for name, number in most)
    text = f"The most frequent reasons, of all labels: {words}. A label may have several."
    alone = max(refusals, key=lambda one: one.num_alone)
    if alone.num_alone:
        share = 100 * alone.num_alone / max(1, facts.num_rows_read)
        text += f" The reason that most often stands alone is \u201c{WORDS[alone.reason]}\u201d ({share:.1f} % of all)."
    return text


def _limit_step(
    facts: RunFacts, refusals: Sequence[Refusal], measures: Sequence[Measure], run: str
) -> list[tuple[str, str | None]]:
    costly = [one for one in refusals if one.num_alone >= MANY_ALONE * max(1, facts.num_rows_read)]
    if not costly or facts.rules is None:
        return []
    one = max(costly, key=lambda it: it.num_alone)
    limit = next((it for it in measures if it.reason == one.reason), None)
    what = f"the limit \u201c{limit.title}: {limit.limit_text()}\u201d" if limit else f"\u201c{WORDS[one.reason]}\u201d"
    share = 100 * one.num_alone / max(1, facts.num_rows_read)
    text = (
        f"Look at the labels that {what} alone refuses ({share:.1f} % of all; choose the reason among the pictures)."
        " If they look right, try another limit: judging again needs no model and no video."
    )
    # guards stand in the limits file, not in the run's
    change = None if facts.rules.limits_are_guards else LIMIT_KEYS.get(one.reason)
    return [(text, None if change is None else f"hoiray judge {run} --out NEW_FOLDER --set limits.{change}")]


def in_percent(share: HasInterval) -> Interval:
    """Return a share and its interval in percent."""
    return Interval(100.0 * share.value, 100.0 * share.low, 100.0 * share.high)
