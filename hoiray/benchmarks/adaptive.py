"""An ensemble that ends early beside the whole one: how many views it saves, and whether it says the same.

Two runs over the same synthetic videos, alike but for `ensemble.cascade`, are laid beside the truth. Views are those
that answered (`num_members`); what fills up portions is not in it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from hoiray.benchmarks.labels import Bools, Judged, judged_labels, read_labels
from hoiray.benchmarks.timing import machine, make_report_folder
from hoiray.errors import ContractError, describe
from hoiray.evaluation.bootstrap import Interval
from hoiray.evaluation.label_truth import read_true_hands
from hoiray.evaluation.tables import make_bootstrap
from hoiray.io.store import Store
from hoiray.stages.plan import open_plan
from hoiray.stages.report_rows import find_judge_id
from hoiray.stages.run_layout import PLAN_FOLDER, labels_area

KEY: Final = ("video_id", "frame_index", "hand_index")
MIN_KEPT: Final = 0.98
MAX_VIEWS_SHARE: Final = 1.0 / 3.0
SEED: Final = 0


@dataclass(frozen=True)
class Beside:
    """An early ensemble beside the whole one, over the same hands.

    Attributes:
        num_hands, num_videos: of both.
        views: hands of the early run by number of views that answered.
        views_share: views of the early run by those of the whole one.
        num_accepted, num_accepted_early: labels.
        kept: of the whole ensemble's accepted labels, those that the early one accepts too.
        same_verdict: hands with the same verdict.
        precision, precision_early: accepted labels that are right.
        more_right: right accepted labels of the early one minus those of the whole one, a hand; paired.
    """

    num_hands: int
    num_videos: int
    views: dict[int, int]
    views_share: float
    num_accepted: int
    num_accepted_early: int
    kept: Interval
    same_verdict: Interval
    precision: Interval
    precision_early: Interval
    more_right: Interval

    @property
    def is_met(self) -> bool:
        """Whether the goal is: precision alike within its interval, labels kept, and a third of the views."""
        alike = self.precision.low <= self.precision_early.value
        return alike and self.kept.value >= MIN_KEPT and self.views_share <= MAX_VIEWS_SHARE


def compare(whole: Judged, early: Judged, *, right_mm: float) -> Beside:
    """Lay two runs beside each other.

    Args:
        whole: labels of the whole ensemble, sorted by key.
        early: of the one that ends early.
        right_mm: a label is right up to this PA-MPJPE.

    Raises:
        ContractError: they are of other hands.
    """
    keys = [list(zip(*(it.labels[name].to_pylist() for name in KEY), strict=True)) for it in (whole, early)]
    if keys[0] != keys[1]:
        fix = "Label the same videos with the same boxes, changing ensemble.cascade only."
        found = f"{len(keys[1])} hands, {len(set(keys[0]) & set(keys[1]))} of them the same"
        raise ContractError(describe(what="the two runs", expected=f"the same {len(keys[0])}", found=found, fix=fix))
    videos = [str(key[0]) for key in keys[0]]
    bootstrap = make_bootstrap(videos, SEED)
    right, right_early = (it.is_right(right_mm) & it.is_accepted for it in (whole, early))
    members, members_early = (it.labels["num_members"].to_numpy() for it in (whole, early))
    numbers, counts = np.unique(members_early, return_counts=True)

    def share(of: Bools, among: Bools | None = None) -> Interval:
        values = of.astype(np.float64)
        return bootstrap.mean(values if among is None else np.where(among, values, np.nan))

    return Beside(
        num_hands=len(videos),
        num_videos=len(set(videos)),
        views={int(number): int(count) for number, count in zip(numbers, counts, strict=True)},
        views_share=float(members_early.sum() / members.sum()),
        num_accepted=int(whole.is_accepted.sum()),
        num_accepted_early=int(early.is_accepted.sum()),
        kept=share(early.is_accepted, whole.is_accepted),
        same_verdict=share(early.is_accepted == whole.is_accepted),
        precision=share(right, whole.is_accepted),
        precision_early=share(right_early, early.is_accepted),
        more_right=bootstrap.mean(right_early.astype(np.float64) - right.astype(np.float64)),
    )


def run(out: Path, *, whole_uri: str, early_uri: str, truth_uri: str, right_mm: float) -> str:
    """Compare two runs, and write `adaptive.json` and `adaptive.md` into `out`; return the Markdown.

    Raises:
        InputError: labels or truth are missing.
        ContractError: they are damaged, or of other videos.
    """
    make_report_folder(out)
    truth = read_true_hands(truth_uri)
    whole, early = (_judged(uri, truth) for uri in (whole_uri, early_uri))
    found = compare(whole, early, right_mm=right_mm)
    text = page(found, right_mm)
    document = {"right_mm": right_mm, "machine": machine(), "is_met": found.is_met} | asdict(found)
    (out / "adaptive.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / "adaptive.md").write_text(text, encoding="utf-8")
    return text


def _judged(uri: str, truth: Any) -> Judged:  # noqa: ANN401 - TrueHands
    store = Store.open(uri)
    labels = read_labels(store, open_plan(store.below(PLAN_FOLDER)), labels_area(find_judge_id(store, None)))
    return judged_labels(labels.filter(pc.is_valid(labels["num_members"])), truth)


def page(found: Beside, right_mm: float) -> str:
    """Write the figures for people."""

    def percent(it: Interval) -> str:
        return f"{it.value:.1%} ({it.low:.1%} to {it.high:.1%})"

    views = ", ".join(f"{number}: {count:,}" for number, count in sorted(found.views.items()))
    state = "met" if found.is_met else "**missed**"
    lines = [
        "# Adaptive ensemble", "",
        f"{found.num_hands:,} hands of {found.num_videos} videos; a label is right up to {right_mm:g} mm PA-MPJPE."
        " Intervals: 95 %, resampled by video.", "",
        "| | whole ensemble | ends early |", "|---|---|---|",
        f"| views | 100 % | {found.views_share:.1%} |",
        f"| accepted labels | {found.num_accepted:,} | {found.num_accepted_early:,} |",
        f"| precision | {percent(found.precision)} | {percent(found.precision_early)} |", "",
        f"- accepted labels that it keeps: {percent(found.kept)}",
        f"- hands with the same verdict: {percent(found.same_verdict)}",
        f"- right accepted labels more, a hand, paired: {percent(found.more_right)}",
        f"- hands by number of views: {views}",
        f"- goal (precision alike, {MIN_KEPT:.0%} kept, a third of the views): {state}", "",
    ]  # fmt: skip
    return "\n".join(lines)
