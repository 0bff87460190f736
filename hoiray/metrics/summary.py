"""Averages that say how many samples they could not see.

A missing prediction has no distance to the truth, so no average can include it; but it certainly is no success, so a
rate can. Hence two averages and no third: distances are averaged over the measured samples, rates over all of them.
Both carry the number of missing samples, so that a mean over the easy half can never pass for a mean.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from hoiray.errors import ContractError, describe
from hoiray.metrics.inputs import AnyFloats, Floats

MM_PER_M = 1000.0
CM_PER_M = 100.0


@dataclass(frozen=True, slots=True)
class Summary:
    """An average and what it was taken over.

    Attributes:
        mean: the average, in the unit of the values; NaN where nothing was measured.
        num_samples: all samples, missing ones included.
        num_missing: samples without a prediction.
    """

    mean: float
    num_samples: int
    num_missing: int

    def scaled(self, factor: float) -> Self:
        """Return the same summary in another unit."""
        return replace(self, mean=self.mean * factor)


def mean_distance(values: AnyFloats) -> Summary:
    """Average errors over the samples that have one.

    Args:
        values: (N,) per-sample distances, NaN where the prediction is missing; N >= 1.

    Returns:
        Mean over the measured samples, NaN if there are none; ``num_missing`` must be read with it.

    Raises:
        ContractError: no samples, or not one value per sample.
    """
    array = _require_samples(values)
    measured = array[~np.isnan(array)]
    mean = float(measured.mean()) if measured.size else float("nan")
    return Summary(mean, array.size, array.size - measured.size)


def mean_rate(values: AnyFloats) -> Summary:
    """Average scores of [0, 1], higher is better, over all samples: a missing prediction scores 0.

    Args:
        values: (N,) per-sample scores, NaN where the prediction is missing; N >= 1.

    Raises:
        ContractError: no samples, or not one value per sample.
    """
    array = _require_samples(values)
    missing = np.isnan(array)
    return Summary(float(np.where(missing, 0.0, array).mean()), array.size, int(missing.sum()))


def _require_samples(values: AnyFloats) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ContractError(
            describe(
                what="per-sample values",
                expected="shape (N,) with N >= 1",
                found=f"{array.shape}",
                fix="Average one value per sample; an empty evaluation has no mean.",
            )
        )
    return array
