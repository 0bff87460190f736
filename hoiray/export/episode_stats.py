"""Statistics of a feature over frames, as LeRobot normalises by: NaN is left out, and counts say how much is left."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(eq=False)
class RunningStats:
    """Least, largest, mean and standard deviation of every number of a feature, over all frames given.

    Attributes:
        count: frames.
        num_known: (...) frames in which each number is not NaN.
        least, largest, total, total_square: (...) over those.
    """

    count: int = 0
    num_known: NDArray[np.int64] | None = None
    least: NDArray[np.float64] | None = None
    largest: NDArray[np.float64] | None = None
    total: NDArray[np.float64] | None = None
    total_square: NDArray[np.float64] | None = None

    def add(self, values: NDArray[Any]) -> None:
        """Take (T, ...) frames; a feature of one number has (T,)."""
        wide = np.asarray(values, dtype=np.float64).reshape(len(values), *(values.shape[1:] or (1,)))
        is_known = np.isfinite(wide)
        other = RunningStats(
            len(wide),
            is_known.sum(axis=0),
            np.where(is_known, wide, np.inf).min(axis=0),
            np.where(is_known, wide, -np.inf).max(axis=0),
            np.where(is_known, wide, 0.0).sum(axis=0),
            np.where(is_known, wide**2, 0.0).sum(axis=0),
        )
        self.join(other)

    def join(self, other: "RunningStats") -> None:
        """Take the frames of another."""
        if self.num_known is None:
            self.__dict__.update(other.__dict__)
            return
        self.count += other.count
        for name, how in (
            ("num_known", np.add),
            ("least", np.minimum),
            ("largest", np.maximum),
            ("total", np.add),
            ("total_square", np.add),
        ):
            setattr(self, name, how(getattr(self, name), getattr(other, name)))

    def to_json(self) -> dict[str, Any]:
        """Return plain data. A number that is known in no frame has mean 0 and deviation 0: it is not there at all."""
        assert self.num_known is not None
        assert self.least is not None
        assert self.largest is not None
        assert self.total is not None
        assert self.total_square is not None
        known = np.maximum(self.num_known, 1)
        mean = self.total / known
        deviation = np.sqrt(np.maximum(self.total_square / known - mean**2, 0.0))
        is_empty = self.num_known == 0
        return {
            "min": np.where(is_empty, 0.0, self.least).tolist(),
            "max": np.where(is_empty, 0.0, self.largest).tolist(),
            "mean": mean.tolist(),
            "std": deviation.tolist(),
            "count": [self.count],
        }
