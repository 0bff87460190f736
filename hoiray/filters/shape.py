# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""What a whole track tells: is this the hand that the rest of the track shows?

Liu et al., CVPR 2021, section 5.1.2. Over the confident set C, the frames of a track that passed everything before, the
mean shape is ``b`` and ``sigma = sqrt(mean |beta - b|^2)``: one number for all 10 betas, population (1 / n), computed
once and not again after frames were dropped. A frame is dropped where ``|beta - b| > 2 sigma``.

Two facts to know. By Samuelson's inequality no member of C is further than ``sigma sqrt(n - 1)`` from the mean, so with
5 frames or fewer the rule drops nothing, and here it says nothing of frames outside C either. And where all shapes are
equal, sigma is rounding: the comparison therefore asks for :data:`SHAPE_EPS` more (:func:`deviates`).
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.filters import unmeasured as why
from hoiray.filters.compiled import compiled, inlined, kernel_inputs
from hoiray.filters.unmeasured import CodeArray

FloatArray = npt.NDArray[np.floating]

MEASURED_HERE: Final = ("shape_deviation_sigma", "shape_sigma")
"""Columns of :class:`Shape`'s values, in order."""

SHAPE_EPS: Final = 1e-6
"""Distance of betas that is rounding: float32 keeps 2e-7 of a beta of 3."""

_NOTHING: Final = 2.0**-66
"""A distance that is none, about 1e-20: rounding of the mean leaves 1e-16 of a beta."""

_NOTHING_OF_MANY: Final = 2.0**-83
"""A sigma that is none, about 1e-25. A member of C at a distance of 1e-20 has a larger one, up to n = 1e10."""

_DEVIATION, _SIGMA = range(len(MEASURED_HERE))
_NON_FINITE, _NOT_ATTEMPTED = why.NON_FINITE, why.NOT_ATTEMPTED
_NUM_BETAS = 10


@dataclass(frozen=True, eq=False)
class Shape:
    """What was measured of N rows.

    Attributes:
        values: (N, 2) columns :data:`MEASURED_HERE`; NaN where the row's track has no confident frame, where betas are
            not finite, and, of the deviation, where a row outside C differs from shapes that are all equal.
        reasons: (N, 2) codes of :mod:`hoiray.filters.unmeasured`, 0 where measured.
        set_size: (N,) int32 frames of C in the row's track.
    """

    values: npt.NDArray[np.float64]
    reasons: CodeArray
    set_size: npt.NDArray[np.int32]


def measure_shape(betas: FloatArray, track: npt.NDArray[np.int64], is_confident: npt.NDArray[np.bool_]) -> Shape:
    """Measure every row against the confident rows of its track.

    Args:
        betas: (N, 10).
        track: (N,) number of the track from 0, unique over all videos.
        is_confident: (N,) passed all earlier limits. A row whose betas are not finite is left out all the same.

    Raises:
        ContractError: the arrays do not fit together, or a number is negative.
    """
    count = len(track)
    if betas.shape != (count, _NUM_BETAS) or is_confident.shape != (count,) or (count and track.min() < 0):
        expected, found = f"({count}, {_NUM_BETAS}) betas, ({count},) flags", f"{betas.shape}, {is_confident.shape}"
        fix = "One row a hand; tracks are numbered from 0."
        raise ContractError(describe(what="betas and tracks", expected=expected, found=found, fix=fix))
    num_tracks = int(track.max()) + 1 if count else 0
    is_finite = np.asarray(np.isfinite(betas).all(axis=1))
    mean, sigma = np.zeros((num_tracks, _NUM_BETAS)), np.zeros(num_tracks)
    size = np.zeros(num_tracks, dtype=np.int32)
    betas, track, is_finite, is_member = kernel_inputs(betas, track, is_finite, is_confident & is_finite)
    _statistics(betas, track, is_member, size, mean, sigma)
    values = np.full((count, len(MEASURED_HERE)), np.nan)
    reasons = np.zeros(values.shape, dtype=np.uint8)
    _measure_rows(betas, track, is_finite, size, mean, sigma, values, reasons)
    return Shape(values, reasons, size[track])


def deviates(
    deviation_sigma: FloatArray, sigma: FloatArray, set_size: npt.NDArray[np.integer], limit_sigma: float
) -> npt.NDArray[np.bool_]:
    """Say where a deviation exceeds the limit by more than rounding: ``|beta - b| > limit * sigma + eps``.

    A set judges only where it could refuse one of its own, ``n - 1 > limit^2``: 6 frames or more at 2 sigma. The sigma
    of fewer frames is that of what little there is, and of frames outside the set nearly every one lies beyond it: on
    the synthetic wild set every third one, and no farther from the truth than the others.
    """
    deviation, size = np.asarray(deviation_sigma, dtype=np.float64), np.asarray(set_size, dtype=np.float64)
    is_beyond = (deviation - limit_sigma) * np.asarray(sigma, dtype=np.float64) > SHAPE_EPS
    return np.asarray(is_beyond & (size - 1.0 > limit_sigma**2))


@inlined
def _squared_distance(betas: FloatArray, row: int, mean: FloatArray, one: int) -> float:
    squared = 0.0
    for beta in range(_NUM_BETAS):
        off = np.float64(betas[row, beta]) - mean[one, beta]
        squared += off * off
    return squared


@compiled
def _statistics(
    betas: FloatArray,
    track: npt.NDArray[np.int64],
    is_member: npt.NDArray[np.bool_],
    size: npt.NDArray[np.int32],
    mean: FloatArray,
    sigma: FloatArray,
) -> None:
    """Fill in size, mean and sigma of every track, which come as zeros.

    Sums run in the order of the rows, so that a track measures the same wherever it lies in a table.
    """
    for row in range(len(track)):
        if is_member[row]:
            size[track[row]] += 1
            for beta in range(_NUM_BETAS):
                mean[track[row], beta] += betas[row, beta]
    for one in range(len(size)):
        for beta in range(_NUM_BETAS):
            mean[one, beta] /= max(size[one], 1)
    for row in range(len(track)):
        if is_member[row]:
            sigma[track[row]] += _squared_distance(betas, row, mean, track[row])
    for one in range(len(size)):
        sigma[one] = sqrt(sigma[one] / max(size[one], 1))


@compiled
def _measure_rows(
    betas: FloatArray,
    track: npt.NDArray[np.int64],
    is_finite: npt.NDArray[np.bool_],
    size: npt.NDArray[np.int32],
    mean: FloatArray,
    sigma: FloatArray,
    values: FloatArray,
    reasons: CodeArray,
) -> None:
    for row in range(len(track)):
        one = track[row]
        distance = sqrt(_squared_distance(betas, row, mean, one))
        if not is_finite[row]:
            reasons[row, :] = _NON_FINITE
        elif size[one] == 0:
            reasons[row, :] = _NOT_ATTEMPTED
        else:
            values[row, _SIGMA] = sigma[one]
            if distance < _NOTHING:
                values[row, _DEVIATION] = 0.0
            elif sigma[one] > _NOTHING_OF_MANY:
                values[row, _DEVIATION] = distance / sigma[one]
            else:
                reasons[row, _DEVIATION] = _NOT_ATTEMPTED
