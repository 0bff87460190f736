"""Do a run's measurements still look like those of the calibration? If not, the promise does not carry over.

Every feature's distribution is held against that of the calibration set: largest distance of the two cumulative shares
(Kolmogorov and Smirnov), share beyond the calibration's central 99 %, share that is missing. No p-value is taken from
the number of rows: frames of one video are near copies. Instead the distance is held against what random halves of the
calibration's own units differ by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.schema.calibration import FeatureRange
from hoiray.trust.features import FEATURE_NAMES

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LEVELS: Final = np.linspace(0.0, 1.0, 201)
"""Levels of the quantiles that a limits file keeps; the central 99 % lie between the second and the last but one."""

NUM_HALVINGS: Final = 100
USUAL_QUANTILE: Final = 0.95
MAX_ROWS: Final = 20_000
"""Of the halvings: more rows of the same units tell no more."""

SEED: Final = 0


@dataclass(frozen=True)
class Shift:
    """How one feature moved.

    Attributes:
        name: of the feature.
        distance: Kolmogorov-Smirnov, 0 to 1; NaN where it is known on one side only.
        times_usual: distance over what halves of the calibration set differ by, the largest of all features.
        outside_share: of the known values, beyond the calibration's central 99 %.
        missing_share, missing_before: not known, in the run and in the calibration.
    """

    name: str
    distance: float
    times_usual: float
    outside_share: float
    missing_share: float
    missing_before: float

    @property
    def is_unusual(self) -> bool:
        """Whether it moved further than chance among the calibration's units explains."""
        is_lost = abs(self.missing_share - self.missing_before) > 0.5
        return self.times_usual > 1.0 or is_lost


def ranges_of(features: Floats, unit: Integers) -> tuple[FeatureRange, ...]:
    """Describe the features of a calibration set.

    Args:
        features: (N, F), NaN where not known.
        unit: (N,) number of each row's unit.
    """
    usual = _usual_distances(features, unit)
    ranges = []
    for index, name in enumerate(FEATURE_NAMES):
        known = features[~np.isnan(features[:, index]), index]
        quantiles = tuple(np.quantile(known, LEVELS).tolist()) if known.size else ()
        missing = 1.0 - known.size / max(1, len(features))
        ranges.append(
            FeatureRange(name=name, missing_share=missing, quantiles=quantiles, usual_distance=float(usual[index]))
        )
    return tuple(ranges)


class ShiftCounter:
    """Counts rows of a run as they come; memory does not grow with them."""

    def __init__(self, ranges: Sequence[FeatureRange]) -> None:
        """Begin a run.

        Args:
            ranges: of the limits file, in the order of the features.
        """
        self._ranges = tuple(ranges)
        self._points = [np.unique(np.asarray(one.quantiles)) for one in ranges]
        self._at_most = [np.zeros(len(points)) for points in self._points]
        self._outside = np.zeros(len(self._ranges))
        self._known = np.zeros(len(self._ranges))
        self._rows = 0

    def add(self, features: Floats) -> None:
        """Count (N, F) features."""
        self._rows += len(features)
        for index, points in enumerate(self._points):
            known = features[~np.isnan(features[:, index]), index]
            self._known[index] += known.size
            if points.size and known.size:
                quantiles = self._ranges[index].quantiles
                self._at_most[index] += np.searchsorted(np.sort(known), points, side="right")
                self._outside[index] += ((known < quantiles[1]) | (known > quantiles[-2])).sum()

    def shifts(self) -> list[Shift]:
        """Return how every feature moved, the furthest first."""
        found = [self._shift(index) for index in range(len(self._ranges))]
        return sorted(found, key=lambda one: -one.times_usual)

    def _shift(self, index: int) -> Shift:
        one, points, known = self._ranges[index], self._points[index], self._known[index]
        missing = 1.0 - known / max(1, self._rows)
        if not points.size or not known:
            return Shift(one.name, float("nan"), 0.0, 0.0, missing, one.missing_share)
        # where many values are equal, the calibration's share up to one is the highest level that is it
        level = LEVELS[np.searchsorted(np.asarray(one.quantiles), points, side="right") - 1]
        below = np.append(0.0, level[:-1])
        share = self._at_most[index] / known
        gap = np.maximum(np.abs(share - level), 0.0).max()
        # nothing of the calibration lies between two points, so neither share may jump there unseen
        distance = float(max(gap, np.abs(np.append(0.0, share[:-1]) - below).max()))
        times = distance / max(one.usual_distance, 1.0 / (len(LEVELS) - 1))
        return Shift(one.name, distance, times, float(self._outside[index] / known), missing, one.missing_share)


def _usual_distances(features: Floats, unit: Integers) -> Floats:
    """(F,) distance of random halves of the units that 1 draw in 20 exceeds in any of the features."""
    rows = np.linspace(0, len(features) - 1, min(len(features), MAX_ROWS)).astype(int)
    features, unit = features[rows], unit[rows]
    num_units = int(unit.max()) + 1
    if num_units < 4:
        return np.ones(features.shape[1])
    rng = np.random.default_rng(SEED)
    in_first = np.argsort(rng.random((NUM_HALVINGS, num_units)), axis=1) < num_units // 2
    distances = np.stack([_halves_distance(column, unit, in_first) for column in features.T], axis=1)
    usual = np.quantile(distances, USUAL_QUANTILE, axis=0)
    # of thirty features one exceeds its own in most draws: all are widened until one draw in twenty has any beyond
    ratio = np.max(distances / np.maximum(usual, 1e-12), axis=1)
    widened: Floats = np.minimum(1.0, usual * np.quantile(ratio, USUAL_QUANTILE))
    return widened


def _halves_distance(values: Floats, unit: Integers, in_first: npt.NDArray[np.bool_]) -> Floats:
    """(R,) distance between the halves, of the known values."""
    known = ~np.isnan(values)
    if not known.any():
        return np.zeros(len(in_first))
    order = np.argsort(values[known], kind="stable")
    ranked, units = values[known][order], unit[known][order]
    is_last = np.append(ranked[1:] != ranked[:-1], True)
    first = in_first[:, units]
    counts = [np.cumsum(half, axis=1, dtype=np.float64) for half in (first, ~first)]
    shares = [count[:, is_last] / np.maximum(count[:, -1:], 1.0) for count in counts]
    return np.asarray(np.abs(shares[0] - shares[1]).max(axis=1))
