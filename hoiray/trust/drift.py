"""A run held against the calibration whose promise it wants: what is said when the two do not fit."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from hoiray.schema.calibration import Calibration
from hoiray.trust.features import features_of
from hoiray.trust.shift import Shift, ShiftCounter

MAX_NAMED: Final = 5
"""Measurements that are named; their number is told as well."""


class DriftWatch:
    """Looks at labels as they are judged."""

    def __init__(self, calibration: Calibration) -> None:
        """Begin a run that is judged by a calibration."""
        self._calibration = calibration
        self._counter = ShiftCounter(calibration.ranges)
        self._predict_ids: set[str] = set()

    def add(self, labels: pa.Table) -> None:
        """Count labels that were judged by the calibration."""
        self._counter.add(features_of(labels, [one.name for one in self._calibration.ranges]))
        self._predict_ids |= set(pc.unique(labels["predict_id"]).to_pylist())

    def shifts(self) -> list[Shift]:
        """Return how every feature moved, the furthest first."""
        return self._counter.shifts()

    def warnings(self) -> list[str]:
        """Say what speaks against the promise; empty where nothing does."""
        found = []
        others = sorted(self._predict_ids - {self._calibration.data.predict_id})
        if others:
            found.append(
                f"the calibration is of another predictor ({self._calibration.data.predict_id}, these labels are of"
                f" {', '.join(others)}): its promise does not hold for them. Calibrate anew on labels of this one."
            )
        unusual = [shift for shift in self.shifts() if shift.is_unusual]
        if unusual:
            found.append(
                f"{len(unusual)} of {len(self._calibration.ranges)} measurements are unlike those of the calibration:"
                f" {_named(unusual)}. Its promise is of data like its own: calibrate on some of these videos."
            )
        return found


def _named(unusual: Sequence[Shift]) -> str:
    said = [
        f"{one.name} is missing in {one.missing_share:.0%} of the labels, before in {one.missing_before:.0%}"
        if one.times_usual <= 1.0
        else f"{one.name} {one.times_usual:.1f} times as far as chance explains (distance {one.distance:.2f},"
        f" {one.outside_share:.0%} beyond the central 99 %)"
        for one in unusual[:MAX_NAMED]
    ]
    rest = f"; and {len(unusual) - MAX_NAMED} more" if len(unusual) > MAX_NAMED else ""
    return "; ".join(said) + rest
