"""Percentage of correct keypoints (PCK) and the area under its curve, as HO-3D and FreiHAND compute them.

The official scripts (``eval.py`` of HO-3D, ``eval_util.py`` of FreiHAND) take 100 thresholds from 0 to 5 cm, both ends
included, call a keypoint correct when its error is **at most** the threshold (so a perfect prediction is correct at 0
and scores exactly 1), integrate every keypoint's curve with the trapezoidal rule, divide by the width of the threshold
range and average over the keypoints. Nothing depends on the order of those averages, so the area also splits into one
value per sample, which is what a bootstrap over frames or sequences needs.

A sample with a NaN among its keypoints is missing as a whole, here as everywhere in the package
(:mod:`hoiray.metrics.inputs`): every function of this module takes all its keypoints as wrong at every threshold, so
that the area under :func:`pck_curve`, averaged over keypoints, is :func:`pck_auc`.
"""

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.metrics.inputs import AnyFloats, Floats

OFFICIAL_MAX_THRESHOLD_M = 0.05
OFFICIAL_NUM_THRESHOLDS = 100


def official_thresholds_m() -> Floats:
    """Return the 100 thresholds from 0 to 0.05 m of the HO-3D, FreiHAND and DexYCB evaluations."""
    return np.linspace(0.0, OFFICIAL_MAX_THRESHOLD_M, OFFICIAL_NUM_THRESHOLDS)


def pck_curve(errors_m: AnyFloats, thresholds_m: AnyFloats | None = None) -> Floats:
    """Count, per keypoint, the samples whose error is at most each threshold.

    Args:
        errors_m: (N, K) keypoint errors in metres; a sample with a NaN is missing, and none of its keypoints correct.
        thresholds_m: (T,) strictly ascending; the official 100 by default.

    Returns:
        (K, T) fractions of the N samples.

    Raises:
        ContractError: no samples or keypoints, a wrong shape, or thresholds out of order.
    """
    thresholds = _require_thresholds(thresholds_m)
    first_correct = _first_correct_index(_require_errors(errors_m), thresholds)
    num_samples, num_keypoints = first_correct.shape
    # The last bin collects what is correct at no threshold.
    num_bins = thresholds.size + 1
    flat = first_correct + num_bins * np.arange(num_keypoints)
    histogram = np.bincount(flat.ravel(), minlength=num_bins * num_keypoints).reshape(num_keypoints, num_bins)
    fractions: Floats = np.cumsum(histogram[:, :-1], axis=1, dtype=np.float64) / num_samples
    return fractions


def pck_auc_per_sample(errors_m: AnyFloats, thresholds_m: AnyFloats | None = None) -> Floats:
    """Measure each sample's contribution to the area under the PCK curve.

    Args:
        errors_m: (N, K) keypoint errors in metres; a sample with a NaN is missing.
        thresholds_m: (T,) strictly ascending; the official 100 by default.

    Returns:
        (N,) values of [0, 1], NaN where missing. Their mean with missing counted as 0 is :func:`pck_auc`.

    Raises:
        ContractError: no samples or keypoints, a wrong shape, or thresholds out of order.
    """
    thresholds = _require_thresholds(thresholds_m)
    errors = _require_errors(errors_m)
    widths = np.diff(thresholds)
    # area_from[i]: the trapezoidal area of a step that is 0 before threshold i and 1 from it on.
    weights = np.append(widths / 2.0, 0.0) + np.append(0.0, widths / 2.0)
    area_from = np.append(np.cumsum(weights[::-1])[::-1], 0.0) / (thresholds[-1] - thresholds[0])
    # Rounding of the sum must not let a perfect prediction score 1 + 2e-16.
    area_from = np.minimum(area_from, 1.0)
    areas: Floats = area_from[_first_correct_index(errors, thresholds)].mean(axis=1)
    return np.where(np.isnan(errors[:, 0]), np.nan, areas)


def pck_auc(errors_m: AnyFloats, thresholds_m: AnyFloats | None = None) -> float:
    """Measure the area under the PCK curve, averaged over keypoints (HO-3D ``auc``, FreiHAND ``auc3d``).

    Args:
        errors_m: (N, K) keypoint errors in metres; a sample with a NaN is missing and counts as wrong everywhere.
        thresholds_m: (T,) strictly ascending; the official 100 by default.

    Returns:
        A value of [0, 1]; 1 only if every error is at most the smallest threshold.

    Raises:
        ContractError: no samples or keypoints, a wrong shape, or thresholds out of order.
    """
    areas = pck_auc_per_sample(errors_m, thresholds_m)
    return float(np.where(np.isnan(areas), 0.0, areas).mean())


def _first_correct_index(errors: Floats, thresholds: Floats) -> npt.NDArray[np.intp]:
    """Return the index of the first threshold with ``error <= threshold``; T where there is none, also for NaN."""
    return np.searchsorted(thresholds, errors, side="left")


def _require_thresholds(thresholds_m: AnyFloats | None) -> Floats:
    thresholds = official_thresholds_m() if thresholds_m is None else np.asarray(thresholds_m, dtype=np.float64)
    if thresholds.ndim != 1 or thresholds.size < 2 or not (np.diff(thresholds) > 0.0).all():
        raise ContractError(
            describe(
                what="PCK thresholds",
                expected="at least two, strictly ascending",
                found=f"shape {thresholds.shape}",
                fix="Use official_thresholds_m() or np.linspace(0.0, limit_m, number).",
            )
        )
    return thresholds


def _require_errors(errors_m: AnyFloats) -> Floats:
    """Return (N, K) errors as float64 in which a missing sample is NaN throughout."""
    errors = np.asarray(errors_m, dtype=np.float64)
    if errors.ndim != 2 or not errors.size or bool((errors < 0.0).any()):
        raise ContractError(
            describe(
                what="keypoint errors",
                expected="shape (N, K) with N, K >= 1 and no negative distance",
                found=f"shape {errors.shape}",
                fix="Pass the result of hoiray.metrics.pose.point_errors_m.",
            )
        )
    return np.where(np.isnan(errors).any(axis=1, keepdims=True), np.nan, errors)
