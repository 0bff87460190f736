"""The acceptance rule that keeps a promise: a limit on confidence, found on videos or people as independent samples.

The promise: with probability at least ``1 - delta`` over the drawing of the calibration set, at most the fraction
``alpha`` of the accepted labels is wrong, in the population the set was drawn from. Labels of one video are near
copies, so a *unit* (a video or a person) is one draw, whatever the number of its labels.

For a limit ``t`` let ``A_i`` labels of unit ``i`` be accepted, and ``W_i`` of those be wrong. The wrong share of the
accepted is ``E[W] / E[A]``, so it is at most ``alpha`` exactly where ``E[W - alpha A] <= 0``. With a cap ``M``, which
is fixed before the units are looked at, and ``v_i = min(1, M / A_i)``,

    ``Z_i = v_i (W_i - alpha A_i) / M``   lies in   ``[-alpha, 1 - alpha]``.

A unit of more than M accepted labels counts as M; in the others each label counts alike. Without a cap no finite set
proves anything, as one endless video could be all wrong. For every bet ``0 <= b <= 1 /
(1 - alpha)`` the product of ``1 - b Z_i`` is an *e-value* for the hypothesis that the promise is broken at ``t``: it is
never negative and its mean under the hypothesis is at most 1 (Waudby-Smith and Ramdas, "Estimating means of bounded
random variables by betting", JRSS B 2024). A mixture of bets, chosen before, is one too, and does not depend on the
order of units. By Markov's inequality it exceeds ``1 / delta`` with probability ``delta`` at most.

Which limit? They are tested one after the other until one is not proved, and the last proved one is taken: fixed
sequence testing, which costs no correction (Angelopoulos et al., "Learn then Test", 2021). The sequence, the cap and
one of the bets come from *other* units, those that confidence was fitted on: it begins at the limit that promises the
quickest proof and goes on to laxer ones.
"""

from dataclasses import dataclass
from math import ceil, log
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NUM_BETS: Final = 32
"""Bets beside the one that is learned, spread evenly."""

CAP_QUANTILE: Final = 0.5
"""Of the accepted labels of the units that confidence was fitted on: a few long videos must not set the scale."""

MAX_LIMITS: Final = 40
"""Limits on confidence that are tried."""

SMALLEST_GROWTH: Final = 1e-4
"""Evidence a unit, in nats, below which no number of units is named: it would be ten thousands."""


@dataclass(frozen=True)
class Promise:
    """What is promised.

    Attributes:
        max_bad_fraction: alpha.
        failure_probability: delta.
    """

    max_bad_fraction: float
    failure_probability: float

    def __post_init__(self) -> None:
        """Refuse what is no probability.

        Raises:
            ContractError: names it.
        """
        for name in ("max_bad_fraction", "failure_probability"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                fix = "Promise a fraction, such as 0.1."
                raise ContractError(describe(what=name, expected="between 0 and 1", found=str(value), fix=fix))

    @property
    def least_units(self) -> int:
        """Units that even faultless labels need: fewer cannot prove the promise."""
        return ceil(log(1.0 / self.failure_probability) / -log(1.0 - self.max_bad_fraction))

    @property
    def bets(self) -> Floats:
        """The bets that are mixed, up to the largest that cannot go below zero."""
        largest = 1.0 / (1.0 - self.max_bad_fraction)
        return np.asarray(largest * np.arange(1, NUM_BETS + 1) / NUM_BETS)


@dataclass(frozen=True, eq=False)
class UnitCounts:
    """Labels of U units at T limits.

    Attributes:
        sizes: (U,) labels.
        accepted: (U, T) accepted ones.
        wrong: (U, T) wrong ones among the accepted.
    """

    sizes: Integers
    accepted: Integers
    wrong: Integers

    def gains(self, promise: Promise, caps: Floats) -> Floats:
        """(U, T) the Z of the module, each limit with its own cap."""
        excess = self.wrong - promise.max_bad_fraction * self.accepted
        return np.asarray(excess / np.maximum(caps, self.accepted))

    def typical_accepted(self) -> Floats:
        """(T,) the cap: :data:`CAP_QUANTILE` of the accepted labels of those units that have any; 1 where none has."""
        some = np.where(self.accepted > 0, self.accepted, np.nan)
        has = (self.accepted > 0).any(axis=0)
        caps = np.ones(self.accepted.shape[1])
        caps[has] = np.nanquantile(some[:, has], CAP_QUANTILE, axis=0)
        return caps


def count_units(
    unit: Integers, score: npt.NDArray[np.floating], is_wrong: npt.NDArray[np.bool_], limits: npt.NDArray[np.floating]
) -> UnitCounts:
    """Count labels, accepted ones and wrong ones of every unit at every limit.

    Args:
        unit: (N,) number of each label's unit from 0.
        score: (N,) confidence; NaN where a label is never accepted.
        is_wrong: (N,).
        limits: (T,) ascending; a label is accepted at its limit or above.
    """
    num_units, num_limits = int(unit.max()) + 1 if unit.size else 0, len(limits)
    # NaN is sorted behind every number, and is accepted nowhere
    num_passed = np.where(np.isnan(score), 0, np.searchsorted(limits, score, side="right"))
    place = unit * (num_limits + 1) + num_passed
    counts = []
    for weight in (np.ones(len(unit)), is_wrong.astype(np.float64)):
        at = np.bincount(place, weights=weight, minlength=num_units * (num_limits + 1))
        from_above = np.cumsum(at.reshape(num_units, num_limits + 1)[:, ::-1], axis=1)[:, ::-1]
        counts.append(np.rint(from_above).astype(np.int64))
    accepted, wrong = counts
    return UnitCounts(accepted[:, 0], accepted[:, 1:], wrong[:, 1:])


@dataclass(frozen=True, eq=False)
class TestPlan:
    """What is fixed before the units that prove the promise are looked at.

    Attributes:
        promise: to be proved.
        limits: (T,) ascending limits on the score.
        sequence: indices of limits in the order in which they are tested.
        learned_bets: (T,) the bet that was best on other units.
        caps: (T,) labels a unit counts for at most.
    """

    promise: Promise
    limits: Floats
    sequence: tuple[int, ...]
    learned_bets: Floats
    caps: Floats


@dataclass(frozen=True, eq=False)
class Proof:
    """What the tests said.

    Attributes:
        limit_index: of the limit that is taken; None where not even the first was proved.
        log_e: (T,) logarithm of every limit's e-value.
    """

    limit_index: int | None
    log_e: Floats


def plan_tests(learning: UnitCounts, limits: Floats, promise: Promise) -> TestPlan:
    """Fix cap, bets and sequence on units that do not prove anything.

    Args:
        learning: their counts, at the limits.
        limits: (T,) ascending.
        promise: to be proved.
    """
    caps = learning.typical_accepted()
    growth = mean_growth(learning, promise, caps)
    best = growth.argmax(axis=0)
    fastest = int(growth.max(axis=0).argmax()) if len(limits) else 0
    return TestPlan(promise, limits, tuple(range(fastest, -1, -1)), promise.bets[best], caps)


def prove(counts: UnitCounts, plan: TestPlan) -> Proof:
    """Test limit after limit on units that nothing of the plan was learned from.

    Args:
        counts: theirs, at the plan's limits.
        plan: fixed before.
    """
    log_e = log_evidence(counts.gains(plan.promise, plan.caps), plan)
    needed = log(1.0 / plan.promise.failure_probability)
    taken = None
    for index in plan.sequence:
        if log_e[index] < needed:
            break
        taken = index
    return Proof(taken, log_e)


def log_evidence(gains: Floats, plan: TestPlan) -> Floats:
    """(T,) logarithm of the e-value against "the promise is broken": half on the learned bet, half spread evenly."""
    spread = np.stack([_log_product(gains, bet) for bet in plan.promise.bets])
    highest = np.maximum(spread.max(axis=0), -700.0)
    even = np.log(np.exp(spread - highest).mean(axis=0)) + highest
    learned = _log_product(gains, plan.learned_bets)
    return np.asarray(np.logaddexp(even, learned) - log(2.0))


def mean_growth(counts: UnitCounts, promise: Promise, caps: Floats) -> Floats:
    """(B, T) evidence a unit, in nats, that each bet gains at each limit."""
    gains = counts.gains(promise, caps)
    num_units = max(1, len(counts.sizes))
    return np.stack([_log_product(gains, bet) for bet in promise.bets]) / num_units


def units_needed(counts: UnitCounts, promise: Promise, caps: Floats) -> int | None:
    """Estimate how many proving units the promise takes, at the limit that needs fewest; None where none will do."""
    best = float(mean_growth(counts, promise, caps).max(initial=0.0))
    if best < SMALLEST_GROWTH:
        return None
    # the learned bet holds half of the mixture
    return max(promise.least_units, ceil(log(2.0 / promise.failure_probability) / best))


def units_at_pace(proof: Proof, plan: TestPlan, num_units: int) -> int:
    """Estimate how many proving units it takes if further ones are like these; 0 where these gave no evidence.

    Args:
        proof: what the tests said.
        plan: of the tests.
        num_units: that proved.
    """
    # the learned bet holds half of the mixture
    given = proof.log_e[plan.sequence[0]] + log(2.0) if plan.sequence and num_units else -1.0
    return ceil(num_units * log(2.0 / plan.promise.failure_probability) / given) if given > 0.0 else 0


def _log_product(gains: Floats, bet: float | Floats) -> Floats:
    """(T,) sum of the logarithms of 1 - bet * gain; minus infinity where all was lost."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.maximum(1.0 - bet * gains, 0.0)).sum(axis=0))


def limits_to_try(score: npt.NDArray[np.floating]) -> Floats:
    """Return at most :data:`MAX_LIMITS` limits, ascending: quantiles of scores of units that prove nothing.

    Args:
        score: (N,) NaN where a label is never accepted.
    """
    known = score[~np.isnan(score)]
    if not known.size:
        return np.empty(0)
    shares = np.arange(MAX_LIMITS) / MAX_LIMITS
    return np.unique(np.quantile(known, shares, method="lower").astype(np.float64))
