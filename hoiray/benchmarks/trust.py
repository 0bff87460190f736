"""Does the promise of a calibration hold? Simulated worlds whose labels are wrong video by video, not frame by frame.

A world is a law by which videos and their labels are drawn; its wrong share at every limit on the score is known. In
each trial videos are drawn, a limit is calibrated, and the promise is broken where more than ``max_bad_fraction`` of
the labels that the limit accepts are wrong in the world. This must happen in ``failure_probability`` of the trials at
most. Beside it stands what is usually done: the same sequence of limits, each proved by an exact binomial bound that
takes every frame for an independent draw.

In two worlds labels have a second measurement, and a guard on it that is set on the videos that choose, where it keeps
a share of the right labels. In one of them wrong labels lie beyond it; in the other it refuses right labels rather than
wrong ones, which makes the accepted worse: the promise is of the rule with its guard, and has to be kept all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import beta

from hoiray.benchmarks.timing import make_report_folder
from hoiray.evaluation.tables import Cell, Column, Table
from hoiray.evaluation.write import json_document, markdown
from hoiray.trust.guarantee import Promise, TestPlan, UnitCounts, count_units, limits_to_try, plan_tests, prove
from hoiray.trust.guards import KEPT_SHARE

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NUM_POPULATION: Final = 60_000
"""Videos by which a world's wrong shares are known, to about 0.001."""

NUM_KNOWN_LIMITS: Final = 200
"""Limits at which they are known: half a per cent of the labels lies between two."""

PROMISE: Final = Promise(max_bad_fraction=0.1, failure_probability=0.05)


@dataclass(frozen=True)
class World:
    """A law of videos and labels.

    Attributes:
        base: logit of a label's being wrong where nothing else is known.
        video_spread: standard deviation of the videos' own logits: 0 makes frames independent.
        score_weight: by how much a unit of the score lowers the logit.
        mean_labels: of a video; sizes scatter by half of that.
        guard_weight: standard deviations by which wrong labels measure more than right ones; None: there is no guard.
        guard_keeps: share of the right labels of the choosing videos that the guard lets pass.
    """

    base: float = -2.2
    video_spread: float = 2.0
    score_weight: float = 1.2
    mean_labels: float = 40.0
    guard_weight: float | None = None
    guard_keeps: float = KEPT_SHARE

    def draw(self, num_videos: int, rng: np.random.Generator) -> "Drawn":
        """Draw videos with their labels."""
        sizes = 1 + rng.poisson(self.mean_labels * rng.gamma(4.0, 0.25, num_videos))
        video = np.repeat(np.arange(num_videos), sizes)
        logit = self.base + self.video_spread * rng.normal(size=num_videos)
        # half of the score's variance is the video's own
        score = np.sqrt(0.5) * (rng.normal(size=num_videos)[video] + rng.normal(size=len(video)))
        is_wrong = rng.random(len(video)) < expit(logit[video] - self.score_weight * score)
        measured = None
        if self.guard_weight is not None:
            measured = rng.normal(size=len(video)) + self.guard_weight * is_wrong
        return Drawn(video, score, is_wrong, measured)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Labels of a trial, (N,) each: number of the video, score, whether it is wrong, what a guard may limit."""

    video: Integers
    score: Floats
    is_wrong: npt.NDArray[np.bool_]
    measured: Floats | None = None

    def guard(self, keeps: float) -> float:
        """Return the limit within which this share of the right labels lies; infinity without a measurement."""
        return np.inf if self.measured is None else float(np.quantile(self.measured[~self.is_wrong], keeps))

    def guarded(self, limit: float) -> "Drawn":
        """Return the labels such that none beyond the guard is ever accepted."""
        if self.measured is None:
            return self
        return replace(self, score=np.where(self.measured <= limit, self.score, np.nan))

    def wrong_share(self, limit: float, cap: float) -> float:
        """Return the share of wrong labels among those accepted at a limit, videos capped; see :class:`Population`."""
        takes = np.nan_to_num(self.score, nan=-np.inf) >= limit
        accepted = np.bincount(self.video[takes], minlength=1)
        wrong = np.bincount(self.video[takes], weights=self.is_wrong[takes], minlength=1)
        weight = np.minimum(1.0, cap / np.maximum(accepted, 1))
        return float(weight @ wrong) / max(float(weight @ accepted), 1.0)

    def counts(self, limits: Floats) -> UnitCounts:
        """Count them at limits."""
        return count_units(self.video, self.score, self.is_wrong, limits)


WORLDS: Final[Mapping[str, World]] = {
    "good labels": World(base=-4.5, video_spread=1.5),
    "clustered": World(base=-3.0),
    "whole videos wrong": World(base=-16.0, video_spread=14.0, score_weight=3.0),
    "independent frames": World(base=-1.8, video_spread=0.0),
    "score tells nothing": World(base=-4.1, video_spread=2.5, score_weight=0.0),
    "a guard against faults": World(base=-3.0, guard_weight=2.0),
    "a guard against right labels": World(base=-3.6, guard_weight=-1.0, guard_keeps=0.5),
}


@dataclass(frozen=True, eq=False)
class Population:
    """A world's wrong shares, from very many videos, at :data:`NUM_KNOWN_LIMITS` limits.

    Attributes:
        limits: (K,) ascending quantiles of the score.
        counts: of all videos at them.
    """

    limits: Floats
    counts: UnitCounts

    @classmethod
    def of(cls, drawn: Drawn) -> "Population":
        """Count the labels of many videos."""
        limits = np.quantile(drawn.score, np.arange(NUM_KNOWN_LIMITS) / NUM_KNOWN_LIMITS)
        return cls(limits, drawn.counts(limits))

    def wrong_share(self, limit: float, cap: float) -> float:
        """Share of wrong labels among those accepted at the known limit that is nearest; 0 where none is accepted.

        Args:
            limit: on the score.
            cap: accepted labels that a video counts for at most.
        """
        place = int(np.abs(self.limits - limit).argmin())
        accepted, wrong = self.counts.accepted[:, place], self.counts.wrong[:, place]
        weight = np.minimum(1.0, cap / np.maximum(accepted, 1))
        total = float(weight @ accepted)
        return float(weight @ wrong) / total if total else 0.0


@dataclass(frozen=True)
class Outcome:
    """What came of the trials of a world.

    Attributes:
        num_trials: of them.
        broken, broken_naively: trials that broke the promise, by units and by frames.
        proved, proved_naively: trials that found a limit.
        coverage: mean share of accepted labels over the trials that found one.
    """

    num_trials: int
    broken: int
    broken_naively: int
    proved: int
    proved_naively: int
    coverage: float


def try_world(
    world: World,
    num_trials: int,
    num_videos: int,
    *,
    promise: Promise = PROMISE,
    seed: int = 0,
    population: int | None = None,
) -> Outcome:
    """Calibrate again and again in one world.

    Args:
        world: its law.
        num_trials: independent calibrations.
        num_videos: of each; half of them choose limits and bets, the others prove.
        promise: to be kept.
        seed: of all draws.
        population: videos that tell the truth; default :data:`NUM_POPULATION`.
    """
    rng = np.random.default_rng(seed)
    everything = world.draw(population or NUM_POPULATION, rng)
    truth = Population.of(everything)
    broken, found, coverages = np.zeros(2, dtype=int), np.zeros(2, dtype=int), []
    for _ in range(num_trials):
        learning, proving = world.draw(num_videos // 2, rng), world.draw(num_videos - num_videos // 2, rng)
        guard = learning.guard(world.guard_keeps)
        learning, proving = learning.guarded(guard), proving.guarded(guard)
        limits = limits_to_try(learning.score)
        plan, counts = plan_tests(learning.counts(limits), limits, promise), proving.counts(limits)
        for kind, taken in enumerate((prove(counts, plan).limit_index, prove_by_frames(counts, plan))):
            if taken is not None:
                found[kind] += 1
                cap = plan.caps[taken] if kind == 0 else np.inf
                known: Population | Drawn = truth if np.isinf(guard) else everything.guarded(guard)
                broken[kind] += known.wrong_share(float(limits[taken]), cap) > promise.max_bad_fraction
                if kind == 0:
                    coverages.append(counts.accepted[:, taken].sum() / counts.sizes.sum())
    coverage = float(np.mean(coverages)) if coverages else float("nan")
    return Outcome(num_trials, int(broken[0]), int(broken[1]), int(found[0]), int(found[1]), coverage)


def prove_by_frames(counts: UnitCounts, plan: TestPlan) -> int | None:
    """Test the same limits as if every label were an independent draw: the exact binomial bound of Clopper-Pearson."""
    accepted, wrong = counts.accepted.sum(axis=0), counts.wrong.sum(axis=0)
    taken = None
    for index in plan.sequence:
        right = accepted[index] - wrong[index]
        bound = beta.ppf(1.0 - plan.promise.failure_probability, wrong[index] + 1, right) if right else 1.0
        if bound > plan.promise.max_bad_fraction:
            break
        taken = index
    return taken


def outcome_table(outcomes: Mapping[str, Outcome], num_videos: int) -> Table:
    """Put the outcomes of worlds below each other."""
    columns = {
        "trials": Column("trials"),
        "broken": Column("promise broken", "%", 1),
        "naive": Column("broken, frame by frame", "%", 1),
        "proved": Column("limit found", "%", 1),
        "coverage": Column("labels accepted then", "%", 1),
    }
    rows: dict[str, Mapping[str, Cell]] = {
        name: {
            "trials": outcome.num_trials,
            "broken": 100.0 * outcome.broken / outcome.num_trials,
            "naive": 100.0 * outcome.broken_naively / outcome.num_trials,
            "proved": 100.0 * outcome.proved / outcome.num_trials,
            "coverage": 100.0 * outcome.coverage,
        }
        for name, outcome in outcomes.items()
    }
    share, least = PROMISE.failure_probability, min(outcome.num_trials for outcome in outcomes.values())
    note = (
        f"{num_videos} videos a trial, half of them to choose, half to prove. Promise: at most"
        f" {PROMISE.max_bad_fraction:.0%} of the accepted are wrong, but for {share:.0%} of the trials. Standard error"
        f" of a share of {share:.0%}: {100.0 * np.sqrt(share * (1.0 - share) / least):.1f} %."
    )
    return Table("worlds", "Simulated worlds", note, columns, rows)


def run(out: Path, *, trials: int = 500, videos: int = 200) -> str:
    """Try every world and write `trust.md` and `trust.json` into `out`; return the Markdown."""
    make_report_folder(out)
    outcomes = {name: try_world(world, trials, videos) for name, world in WORLDS.items()}
    header = {"command": f"python jobs/benchmark.py trust --trials {trials} --videos {videos}", "seed": 0}
    tables = [outcome_table(outcomes, videos)]
    text = markdown("Does the promise hold?", header, tables)
    (out / "trust.md").write_text(text)
    (out / "trust.json").write_text(json_document("Does the promise hold?", header, tables))
    return text
