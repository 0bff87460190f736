"""What a labelling will cost, from a pilot: some of its shards, drawn by lot, labelled for good.

**The draw.** Shards in the order of their planned cost, and of them every so many, from a start by lot (systematic
sampling of an ordered list: Cochran, *Sampling Techniques*, 3rd ed. 1977, chapter 8). So cheap and expensive shards are
both there, and each is drawn with the same probability. The lot depends on the plan and a seed only: a pilot that was
interrupted goes on with the same shards.

**The estimate.** A ratio: seconds of the pilot by its planned frames, times the planned frames of all shards (Cochran,
chapter 6). Its variance is that of a simple random sample, with the correction for a finite population; the ordering
makes the truth smaller, so this errs on the safe side.

**The interval.** Costs have long right tails (lengths of videos, hands in a frame), and a small sample then mostly
misses the expensive shards: its mean and its spread are both too small at once, and the common interval lies too low.
So the distribution of the studentised logarithm of the ratio is itself estimated, by the bootstrap (Hall, *Theoretical
comparison of bootstrap confidence intervals*, Annals of Statistics 16, 1988: second-order correct for skewed
data), and is never taken narrower than Student's. The logarithm keeps the lower end above zero.

**What the pilot has not met.** A sample says nothing of what is so rare that it is not in it: a few videos that cost a
hundred times as much a frame as the others. Of n shards drawn, none is of a kind that makes up a share of
``1 - (1 - level)^(1 / n)`` of all, or less, with a probability of `1 - level` or more (for 95 %, the rule of three:
3 / n). So the upper end reckons with such a share of all planned frames at `UNSEEN_FACTOR` times the rate of the
pilot's worst shard. That factor is no theorem: with it, 20 shards, and 2 % of videos at 10 to 100 times the cost,
intervals of simulated worlds cover 91 to 100 times of a hundred, where they covered 75 to 89 times without. The price
is an upper end 1.6 times the truth in worlds without such videos, instead of 1.25 times. Should the shards that were
not drawn be worse than that, the interval is too low still.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.stages.ledger import JUDGE, MEASURE, PREDICT, STAGES, Costs

FloatArray = npt.NDArray[np.float64]

MIN_PILOT_SHARDS: Final = 20
"""Fewer tell too little of a tail: with 10, intervals of simulated worlds in which 2 % of videos cost a hundred times
as much covered 85 times of a hundred only."""

UNSEEN_FACTOR: Final = 2.0
"""By which shards that the pilot has not met are reckoned with to be worse than the worst that it has."""

LEVEL: Final = 0.95
NUM_RESAMPLES: Final = 1999


@dataclass(frozen=True)
class Estimate:
    """A total, and the interval it lies in with a probability of `LEVEL`; unit of what was measured."""

    total: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Estimate":
        """Return it in another unit."""
        return Estimate(self.total * factor, self.low * factor, self.high * factor)


def pilot_of(costs: Mapping[str, int], fraction: float, *, plan_id: str, seed: int) -> list[str]:
    """Draw the shards of a pilot.

    Args:
        costs: planned frames of every shard, by id.
        fraction: of the shards; at least `MIN_PILOT_SHARDS` are drawn, or all where there are fewer.
        plan_id: of their plan; part of the lot.
        seed: likewise.

    Returns:
        Ids, from the cheapest.
    """
    ordered = sorted(costs, key=lambda name: (costs[name], name))
    count = min(len(ordered), max(MIN_PILOT_SHARDS, math.ceil(fraction * len(ordered))))
    digest = hashlib.blake2b(f"{plan_id}/{seed}".encode(), digest_size=8).digest()
    start = np.random.default_rng(int.from_bytes(digest, "big")).random()
    return [ordered[int((index + start) * len(ordered) / count)] for index in range(count)]


def estimate_total(
    planned: Sequence[float] | FloatArray,
    measured: Sequence[float] | FloatArray,
    *,
    total_planned: float,
    num_shards: int,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """Estimate the total of all shards from those of a pilot; see the module.

    Args:
        planned: (n,) planned frames of the pilot's shards, positive.
        measured: (n,) what they took; 0 or more.
        total_planned: planned frames of all shards.
        num_shards: of all.
        level: probability of the interval.
        seed: of the resamples.

    Returns:
        The total and its interval. From a pilot of all shards, exactly their sum; from a single shard, or where nothing
        was measured, an interval up to infinity.
    """
    x, y = np.asarray(planned, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if len(x) >= num_shards:
        return Estimate(float(y.sum()), float(y.sum()), float(y.sum()))
    total = float(y.sum() / x.sum() * total_planned)
    if len(x) < 2 or total == 0.0:
        return Estimate(total, 0.0, math.inf)
    error = _relative_error(x, y) * math.sqrt(1.0 - len(x) / num_shards)
    below, above = _quantiles(x, y, level, seed)
    unseen = unseen_share(len(x), num_shards, level=level)
    worst = UNSEEN_FACTOR * float((y / x).max()) * total_planned
    high = (1.0 - unseen) * total * math.exp(-below * error) + unseen * worst
    return Estimate(total, total * math.exp(-above * error), high)


def unseen_share(num_pilot: int, num_shards: int, *, level: float = LEVEL) -> float:
    """Return which share of all shards may be of a kind that a pilot has not met, with a probability of 1 - `level`."""
    return float((1.0 - (1.0 - level) ** (1.0 / num_pilot)) * (1.0 - num_pilot / num_shards))


def _relative_error(x: FloatArray, y: FloatArray) -> float:
    """Return the standard error of the ratio as a part of it, linearised, of a sample from an endless population."""
    return float(_relative_errors(x[None], y[None])[0])


def _relative_errors(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the same of each of (B, n) samples; NaN where nothing was measured."""
    count = x.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = y - (y.sum(axis=1) / x.sum(axis=1))[:, None] * x
        error: FloatArray = np.sqrt(count / (count - 1) * (residual**2).sum(axis=1)) / y.sum(axis=1)
    return error


def _quantiles(x: FloatArray, y: FloatArray, level: float, seed: int) -> tuple[float, float]:
    """Return the quantiles of the studentised log ratio: the bootstrap's, or Student's where that is wider."""
    from scipy import stats

    tail = (1.0 - level) / 2.0
    student = float(stats.t.ppf(1.0 - tail, len(x) - 1))
    drawn = np.random.default_rng(seed).integers(0, len(x), (NUM_RESAMPLES, len(x)))
    resampled_x, resampled_y = x[drawn], y[drawn]
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.log(resampled_y.sum(axis=1) / resampled_x.sum(axis=1)) - math.log(y.sum() / x.sum())
        studentised = shift / _relative_errors(resampled_x, resampled_y)
    # a resample of one shard again and again has no spread, and says nothing
    known = studentised[np.isfinite(studentised)]
    if not len(known):
        return -student, student
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return min(float(low), -student), max(float(high), student)


@dataclass(frozen=True)
class PilotShard:
    """A shard of a pilot.

    Attributes:
        planned: frames the planner reckoned with.
        costs_s: seconds by stage and resource.
        num_hands: with a prediction, or the reason why there is none.
        num_accepted: accepted labels; None where the shard is a part of a long video that is not judged yet.
    """

    planned: float
    costs_s: Costs
    num_hands: int
    num_accepted: int | None


@dataclass(frozen=True)
class Forecast:
    """What a whole labelling will come to.

    Attributes:
        num_pilot, num_shards: of the pilot, and of all.
        planned_share: of all planned frames that the pilot's are.
        costs_s: seconds by stage and resource.
        stage_s: seconds that the workers of a stage will be busy, waiting for frames included.
        num_hands, num_accepted: labels.
    """

    num_pilot: int
    num_shards: int
    planned_share: float
    costs_s: Mapping[str, Mapping[str, Estimate]]
    stage_s: Mapping[str, Estimate]
    num_hands: Estimate
    num_accepted: Estimate

    def time_s(self, workers: Mapping[str, int] | None) -> tuple[Estimate, str]:
        """Return how long it will take, and the stage that it waits for.

        The stages run beside each other, so that the slowest one decides; starts, and the time in which the last shards
        do not fill all workers, are not in it.

        Args:
            workers: of each stage; None: one process does everything, one thing after another.
        """
        stages = self.stage_s
        if workers is None:
            ends = (sum(getattr(it, end) for it in stages.values()) for end in ("total", "low", "high"))
            return Estimate(*ends), max(stages, key=lambda name: stages[name].total)
        each = {name: it.scaled(1.0 / max(1, min(workers[name], self.num_shards))) for name, it in stages.items()}
        slowest = max(each, key=lambda name: each[name].total)
        return each[slowest], slowest


def forecast(pilot: Sequence[PilotShard], *, total_planned: float, num_shards: int) -> Forecast:
    """Estimate a whole labelling from its pilot.

    Args:
        pilot: one shard or more.
        total_planned: planned frames of all shards.
        num_shards: of all.
    """
    # parts of long videos have no labels yet; the other shards speak for them
    judged = [shard for shard in pilot if shard.num_accepted is not None]

    def total(shards: Sequence[PilotShard], values: Sequence[float]) -> Estimate:
        if not shards:
            return Estimate(0.0, 0.0, math.inf)
        planned = [shard.planned for shard in shards]
        return estimate_total(planned, values, total_planned=total_planned, num_shards=num_shards)

    def of_stage(stage: str) -> Sequence[PilotShard]:
        return judged if stage == JUDGE else pilot

    names = {(stage, name) for shard in pilot for stage, seconds in shard.costs_s.items() for name in seconds}
    costs: dict[str, dict[str, Estimate]] = {}
    for stage, name in sorted(names, key=lambda it: (STAGES.index(it[0]), it[1])):
        shards = of_stage(stage)
        values = [shard.costs_s.get(stage, {}).get(name, 0.0) for shard in shards]
        costs.setdefault(stage, {})[name] = total(shards, values)
    busy = {}
    for stage in (PREDICT, MEASURE, JUDGE):
        shards = of_stage(stage)
        busy[stage] = total(shards, [sum(shard.costs_s.get(stage, {}).values()) for shard in shards])
    return Forecast(
        num_pilot=len(pilot),
        num_shards=num_shards,
        planned_share=sum(shard.planned for shard in pilot) / total_planned,
        costs_s=costs,
        stage_s=busy,
        num_hands=total(pilot, [float(shard.num_hands) for shard in pilot]),
        num_accepted=total(judged, [float(shard.num_accepted or 0) for shard in judged]),
    )
