"""Distances between corresponding points of a predicted and a true hand, raw and after the field's alignments.

Everything is in metres, per sample, and for any batch shape. A sample whose prediction is missing (one coordinate that
is not finite) is NaN; averages that count it are in :mod:`hoiray.metrics.summary`.

======================================= ===============================================================================
name in papers                          here
======================================= ===============================================================================
MPJPE, MPVPE (absolute)                 :func:`mpjpe_m`; the same formula for vertices
root-aligned (root-relative) MPJPE      :func:`root_aligned_mpjpe_m`
HO-3D "scale-translation aligned"       :func:`scale_translation_aligned_mpjpe_m`
PA-MPJPE / PA-MPVPE of HO-3D, FreiHAND  :func:`pa_mpjpe_m` / :func:`pa_mpvpe_m` with ``allow_reflection=True``
PA-MPJPE with a proper rotation         the same with ``allow_reflection=False``
======================================= ===============================================================================
"""

import numpy as np

from hoiray.geometry.alignment import align_root, align_scale_translation, align_similarity
from hoiray.metrics.inputs import AnyFloats, Floats, paired_points


def point_errors_m(predicted_m: AnyFloats, truth_m: AnyFloats) -> Floats:
    """Measure the Euclidean distance of every point to its true position.

    Args:
        predicted_m: (..., K, 3) metres; non-finite values mark a missing sample.
        truth_m: (..., K, 3) metres, same frame and point order.

    Returns:
        (..., K) metres, NaN throughout a missing sample.

    Raises:
        ContractError: the shapes differ or are not (..., K, 3), or the truth is not finite.
    """
    predicted, truth = paired_points(predicted_m, truth_m)
    distances: Floats = np.linalg.norm(predicted - truth, axis=-1)
    return distances


def mpjpe_m(predicted_m: AnyFloats, truth_m: AnyFloats) -> Floats:
    """Measure the mean per-joint position error of each sample, without any alignment.

    Args:
        predicted_m: (..., K, 3) joints (or vertices: MPVPE), metres; non-finite values mark a missing sample.
        truth_m: (..., K, 3).

    Returns:
        (...) metres, NaN where missing.

    Raises:
        ContractError: as :func:`point_errors_m`.
    """
    mean: Floats = np.asarray(point_errors_m(predicted_m, truth_m).mean(axis=-1))
    return mean


def root_aligned(predicted_m: AnyFloats, truth_m: AnyFloats, *, root_index: int) -> Floats:
    """Shift each prediction so that its root lies on the true root.

    Args:
        predicted_m: (..., K, 3) metres; non-finite values mark a missing sample.
        truth_m: (..., K, 3).
        root_index: the joint that is laid on its true position; 0 is the wrist in hoiray's order.

    Returns:
        (..., K, 3) metres, NaN where missing.

    Raises:
        ContractError: as :func:`point_errors_m`, or the index names no point.
    """
    predicted, truth = paired_points(predicted_m, truth_m)
    return np.asarray(align_root(predicted, truth, root_index=root_index), dtype=np.float64)


def scale_translation_aligned(
    predicted_m: AnyFloats, truth_m: AnyFloats, *, root_index: int, length_index: int
) -> Floats:
    """Give each prediction the true hand size and root without turning it (``align_sc_tr`` of HO-3D's ``eval.py``).

    Args:
        predicted_m: (..., K, 3) metres; non-finite values mark a missing sample.
        truth_m: (..., K, 3).
        root_index: the wrist.
        length_index: the knuckle of the middle finger, whose distance to the wrist is the hand's size. The script
            writes 4 because it counts in MANO's order; in hoiray's order it is 9 and 4 is the tip of the thumb.

    Returns:
        (..., K, 3) metres, NaN where missing. A prediction without size is only shifted.

    Raises:
        ContractError: as :func:`point_errors_m`, or an index names no point or both name one.
    """
    predicted, truth = paired_points(predicted_m, truth_m)
    aligned = align_scale_translation(predicted, truth, root_index=root_index, length_index=length_index)
    return np.asarray(aligned, dtype=np.float64)


def procrustes_aligned(predicted_m: AnyFloats, truth_m: AnyFloats, *, allow_reflection: bool) -> Floats:
    """Move each prediction onto the truth by the best similarity (least squares).

    Args:
        predicted_m: (..., K, 3) metres; non-finite values mark a missing sample.
        truth_m: (..., K, 3).
        allow_reflection: True for the numbers of the HO-3D and FreiHAND leaderboards, whose ``align_w_scale`` may
            mirror the prediction: a left hand predicted for a right one then scores 0 mm. False for a rotation with
            determinant +1. Neither is a default: the two must not be mixed up.

    Returns:
        (..., K, 3) metres, NaN where missing. A prediction collapsed to a point lands on the true centroid.

    Raises:
        ContractError: as :func:`point_errors_m`.
    """
    predicted, truth = paired_points(predicted_m, truth_m)
    similarity = align_similarity(predicted, truth, allow_reflection=allow_reflection)
    return np.asarray(similarity.apply(predicted), dtype=np.float64)


def root_aligned_mpjpe_m(predicted_m: AnyFloats, truth_m: AnyFloats, *, root_index: int) -> Floats:
    """Measure the mean joint error after laying root on root: :func:`root_aligned`, then :func:`mpjpe_m`."""
    return mpjpe_m(root_aligned(predicted_m, truth_m, root_index=root_index), truth_m)


def scale_translation_aligned_mpjpe_m(
    predicted_m: AnyFloats, truth_m: AnyFloats, *, root_index: int, length_index: int
) -> Floats:
    """Measure the mean joint error after :func:`scale_translation_aligned`."""
    aligned = scale_translation_aligned(predicted_m, truth_m, root_index=root_index, length_index=length_index)
    return mpjpe_m(aligned, truth_m)


def pa_mpjpe_m(predicted_m: AnyFloats, truth_m: AnyFloats, *, allow_reflection: bool) -> Floats:
    """Measure the mean joint error after :func:`procrustes_aligned`, joints aligned by joints."""
    return mpjpe_m(procrustes_aligned(predicted_m, truth_m, allow_reflection=allow_reflection), truth_m)


def pa_mpvpe_m(predicted_m: AnyFloats, truth_m: AnyFloats, *, allow_reflection: bool) -> Floats:
    """Measure the mean vertex error after :func:`procrustes_aligned`, vertices aligned by **vertices**.

    The official scripts align the mesh by itself, never by the transform found for the joints.
    """
    return pa_mpjpe_m(predicted_m, truth_m, allow_reflection=allow_reflection)
