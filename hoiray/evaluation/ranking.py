"""How well one number puts samples in the order of another: rank correlation and concordance, intervals over groups.

Both are statistics of ranks, not of sums, so a resample of groups ranks its samples anew: a group drawn twice counts
twice, and ties share their mean rank.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.evaluation.bootstrap import GroupBootstrap, Interval

Floats = npt.NDArray[np.float64]

_ROWS_AT_ONCE: Final = 64
"""Resamples ranked together: each needs a weight of every sample."""


def rank_correlation(
    bootstrap: GroupBootstrap, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]
) -> Interval:
    """Bound Spearman's rank correlation over the samples both have a value of.

    Args:
        bootstrap: resamples of the groups of N samples.
        first: (N,), NaN where a sample has no value.
        second: (N,) likewise.

    Returns:
        1 where both put the samples in the same order, -1 in the opposite one; NaN where either is the same throughout.

    Raises:
        ContractError: not one value per sample.
    """
    is_pair = ~(np.isnan(first) | np.isnan(second))

    def statistic(weights: Floats) -> Floats:
        kept = np.where(is_pair, weights, 0.0)
        return _correlation(_weighted_ranks(first, kept), _weighted_ranks(second, kept), kept)

    return bootstrap.bound(statistic, is_pair, _ROWS_AT_ONCE)


def concordance(bootstrap: GroupBootstrap, scores: npt.NDArray[np.floating], is_bad: npt.NDArray[np.bool_]) -> Interval:
    """Bound the chance that a bad sample has the higher score of a bad and a good one: the area under the ROC curve.

    Args:
        bootstrap: resamples of the groups of N samples.
        scores: (N,), NaN where a sample has none: it is left out. Of two equal ones each is the higher half the time.
        is_bad: (N,).

    Returns:
        1 where every bad sample scores above every good one, 0.5 where scores tell nothing; NaN without bad or good.

    Raises:
        ContractError: not one value per sample.
    """
    is_scored = ~np.isnan(scores)

    def statistic(weights: Floats) -> Floats:
        good = np.where(is_scored & ~is_bad, weights, 0.0)
        bad = np.where(is_scored & is_bad, weights, 0.0)
        # a sample's rank among the good ones alone is the weight of those below it
        won = (bad * _weighted_ranks(scores, good)).sum(axis=1)
        pairs = bad.sum(axis=1) * good.sum(axis=1)
        return np.asarray(np.where(pairs > 0.0, won, np.nan) / np.where(pairs > 0.0, pairs, 1.0))

    return bootstrap.bound(statistic, is_scored, _ROWS_AT_ONCE)


def _weighted_ranks(values: npt.NDArray[np.floating], weights: Floats) -> Floats:
    """(R, N) weight below each value plus half of the weight at it, under each row of the (R, N) weights."""
    levels, level = np.unique(values, return_inverse=True)
    order = np.argsort(level, kind="stable")
    first = np.searchsorted(level[order], np.arange(len(levels)))
    at_level = np.add.reduceat(weights[:, order], first, axis=1)
    below = np.cumsum(at_level, axis=1) - at_level
    return np.asarray((below + 0.5 * at_level)[:, level])


def _correlation(first: Floats, second: Floats, weights: Floats) -> Floats:
    """(R,) correlation under each row of weights; NaN where either does not vary."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    first = first - (weights * first).sum(axis=1, keepdims=True) / total
    second = second - (weights * second).sum(axis=1, keepdims=True) / total
    covariance = (weights * first * second).sum(axis=1)
    variances = (weights * first * first).sum(axis=1) * (weights * second * second).sum(axis=1)
    return np.asarray(covariance / np.sqrt(np.where(variances > 0.0, variances, np.nan)))
