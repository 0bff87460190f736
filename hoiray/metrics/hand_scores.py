"""The complete HO-3D hand evaluation in one call, with the value of every sample kept.

It is the set that ``eval.py`` of the HO-3D repository writes to ``scores.txt`` (FreiHAND's has the same without the
scale-translation rows), plus the Procrustes errors with a proper rotation. Per-sample values stay because a
mean without an interval is half a result, and the interval needs a bootstrap over sequences.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from hoiray.errors import ContractError, describe
from hoiray.hand.joints import MIDDLE_MCP, NUM_JOINTS, WRIST, palm_length
from hoiray.metrics.curves import pck_auc_per_sample
from hoiray.metrics.fscore import f_scores
from hoiray.metrics.inputs import AnyFloats, Floats, is_missing, paired_points
from hoiray.metrics.pose import point_errors_m, procrustes_aligned, scale_translation_aligned
from hoiray.metrics.summary import CM_PER_M, MM_PER_M, Summary, mean_distance, mean_rate

Aligner = Callable[[Floats, Floats], Floats]

PLAUSIBLE_PALM_M = (0.03, 0.25)
"""Wrist to middle knuckle: 0.09 to 0.10 m in adults. Outside this range the median hand is not in metres."""

_SAMPLES_PER_BLOCK = 256
"""256 meshes of 778 vertices are 5 MB in float64; a whole evaluation set would be 215 MB per intermediate array."""


@dataclass(frozen=True, slots=True, eq=False)
class PointScores:
    """One line of the official output: errors of corresponding points under one alignment.

    Attributes:
        error_m: (N,) mean point error, NaN where the prediction is missing.
        auc: (N,) the sample's share of the area under the PCK curve of 0 to 5 cm, NaN where missing.
    """

    error_m: Floats
    auc: Floats


@dataclass(frozen=True, slots=True, eq=False)
class FScores:
    """F-scores of vertices under one alignment; (N,) each, NaN where the prediction is missing."""

    at_5mm: Floats
    at_15mm: Floats


@dataclass(frozen=True, slots=True, eq=False)
class HandScores:
    """Every hand metric of HO-3D, per sample.

    Attributes:
        joints: no alignment.
        joints_scale_translation: size and wrist aligned, no rotation.
        joints_procrustes: best similarity, reflections allowed, as the leaderboards have it.
        joints_procrustes_proper: best similarity with a rotation of determinant +1; no leaderboard prints it.
        vertices, vertices_procrustes, vertices_procrustes_proper: the same for the mesh, aligned by itself.
        f: F-scores of the mesh without alignment.
        f_procrustes: F-scores of the mesh of ``vertices_procrustes``; the ones papers print.
    """

    joints: PointScores
    joints_scale_translation: PointScores
    joints_procrustes: PointScores
    joints_procrustes_proper: PointScores
    vertices: PointScores
    vertices_procrustes: PointScores
    vertices_procrustes_proper: PointScores
    f: FScores
    f_procrustes: FScores

    @property
    def num_samples(self) -> int:
        """All samples, missing ones included."""
        return int(self.joints.error_m.size)


OFFICIAL_POINT_ROWS: Mapping[str, str] = MappingProxyType(
    {
        "xyz": "joints",
        "xyz_procrustes_al": "joints_procrustes",
        "xyz_scale_trans_al": "joints_scale_translation",
        "mesh": "vertices",
        "mesh_al": "vertices_procrustes",
    }
)
"""Row prefix in the official ``scores.txt`` -> field of :class:`HandScores`, in the order of the file."""


def hand_scores(
    *,
    predicted_joints_m: AnyFloats,
    true_joints_m: AnyFloats,
    predicted_vertices_m: AnyFloats,
    true_vertices_m: AnyFloats,
) -> HandScores:
    """Evaluate hands as the official HO-3D script does.

    The script's fallback for a predicted mesh with another number of vertices (moved by the joints' transform, left
    out of the mesh errors) is not offered: such numbers are not comparable with anybody's.

    Args:
        predicted_joints_m: (N, 21, 3) metres, hoiray's joint order; a sample with a non-finite joint **or** vertex is
            missing in all its scores.
        true_joints_m: (N, 21, 3), same frame.
        predicted_vertices_m: (N, V, 3) metres.
        true_vertices_m: (N, V, 3); vertex i is the same point of the hand in both.

    Returns:
        Per-sample scores.

    Raises:
        ContractError: wrong shapes, no samples, a truth that is not finite or visibly not in metres.
    """
    joints, true_joints = paired_points(predicted_joints_m, true_joints_m)
    vertices, true_vertices = paired_points(predicted_vertices_m, true_vertices_m)
    _require_hands(true_joints, true_vertices)
    missing = is_missing(joints) | is_missing(vertices)
    joints, vertices = (np.where(missing[:, None, None], np.nan, points) for points in (joints, vertices))

    official = partial(procrustes_aligned, allow_reflection=True)
    proper = partial(procrustes_aligned, allow_reflection=False)
    scale_translation = partial(scale_translation_aligned, root_index=WRIST, length_index=MIDDLE_MCP)
    return HandScores(
        joints=_point_scores(joints, true_joints, _unaligned),
        joints_scale_translation=_point_scores(joints, true_joints, scale_translation),
        joints_procrustes=_point_scores(joints, true_joints, official),
        joints_procrustes_proper=_point_scores(joints, true_joints, proper),
        vertices=_point_scores(vertices, true_vertices, _unaligned),
        vertices_procrustes=_point_scores(vertices, true_vertices, official),
        vertices_procrustes_proper=_point_scores(vertices, true_vertices, proper),
        f=_f_scores(vertices, true_vertices, _unaligned),
        f_procrustes=_f_scores(vertices, true_vertices, official),
    )


def summarise_hand_scores(scores: HandScores) -> dict[str, Summary]:
    """Average the scores under the names of papers: errors in millimetres, areas and F-scores in [0, 1].

    Errors are averaged over the samples with a prediction; areas and F-scores over all, a missing sample scoring 0.
    Every summary says how many were missing.
    """
    joint_rows = {
        "": scores.joints,
        "scale_translation_": scores.joints_scale_translation,
        "pa_": scores.joints_procrustes,
        "pa_proper_": scores.joints_procrustes_proper,
    }
    vertex_rows = {
        "": scores.vertices,
        "pa_": scores.vertices_procrustes,
        "pa_proper_": scores.vertices_procrustes_proper,
    }
    summaries = {}
    for error_name, area_name, rows in (
        ("mpjpe_mm", "joint_auc", joint_rows),
        ("mpvpe_mm", "vertex_auc", vertex_rows),
    ):
        for alignment, row in rows.items():
            summaries[alignment + error_name] = mean_distance(row.error_m).scaled(MM_PER_M)
            summaries[alignment + area_name] = mean_rate(row.auc)
    for alignment, f in (("", scores.f), ("pa_", scores.f_procrustes)):
        summaries[f"{alignment}f_at_5mm"] = mean_rate(f.at_5mm)
        summaries[f"{alignment}f_at_15mm"] = mean_rate(f.at_15mm)
    return summaries


def official_ho3d_table(scores: HandScores) -> str:
    """Write the scores as the ``scores.txt`` of the HO-3D evaluation: same keys, same order, errors in **centimetres**.

    With complete predictions the text is what the official script writes. Otherwise one line is added that says how
    many predictions are missing; the script itself would average NaN.
    """
    lines = []
    for prefix, field in OFFICIAL_POINT_ROWS.items():
        row: PointScores = getattr(scores, field)
        lines.append(f"{prefix}_mean3d: {mean_distance(row.error_m).mean * CM_PER_M:f}")
        lines.append(f"{prefix}_auc3d: {mean_rate(row.auc).mean:f}")
    for limit_mm, raw, aligned in (
        (5, scores.f.at_5mm, scores.f_procrustes.at_5mm),
        (15, scores.f.at_15mm, scores.f_procrustes.at_15mm),
    ):
        lines.append(f"f_score_{limit_mm}: {mean_rate(raw).mean:f}")
        lines.append(f"f_al_score_{limit_mm}: {mean_rate(aligned).mean:f}")
    num_missing = mean_distance(scores.joints.error_m).num_missing
    if num_missing:
        lines.append(
            f"missing: {num_missing} of {scores.num_samples} predictions"
            " (not in the mean3d rows, scored 0 in the auc3d and f rows)"
        )
    return "\n".join(lines) + "\n"


def _point_scores(predicted: Floats, truth: Floats, align: Aligner) -> PointScores:
    errors, areas = [], []
    for predicted_block, truth_block in _blocks(predicted, truth):
        distances = point_errors_m(align(predicted_block, truth_block), truth_block)
        errors.append(distances.mean(axis=1))
        areas.append(pck_auc_per_sample(distances))
    return PointScores(error_m=np.concatenate(errors), auc=np.concatenate(areas))


def _f_scores(predicted: Floats, truth: Floats, align: Aligner) -> FScores:
    scores = np.concatenate([f_scores(align(p, t), t) for p, t in _blocks(predicted, truth)])
    return FScores(at_5mm=scores[:, 0], at_15mm=scores[:, 1])


def _unaligned(predicted: Floats, truth: Floats) -> Floats:  # noqa: ARG001 - an Aligner has two arguments
    return predicted


def _blocks(predicted: Floats, truth: Floats) -> Iterator[tuple[Floats, Floats]]:
    for start in range(0, len(truth), _SAMPLES_PER_BLOCK):
        rows = slice(start, start + _SAMPLES_PER_BLOCK)
        yield predicted[rows], truth[rows]


def _require_hands(true_joints: Floats, true_vertices: Floats) -> None:
    """Refuse wrong shapes, an empty evaluation, and hands in millimetres."""
    num_hands = len(true_joints)
    if true_joints.shape != (num_hands, NUM_JOINTS, 3) or true_vertices.ndim != 3 or len(true_vertices) != num_hands:
        raise ContractError(
            describe(
                what="hands to evaluate",
                expected=f"(N, {NUM_JOINTS}, 3) joints and (N, V, 3) vertices of the same N hands",
                found=f"{true_joints.shape} and {true_vertices.shape}",
                fix="Give both for every sample; for joints alone use hoiray.metrics.pose.",
            )
        )
    if not num_hands:
        raise ContractError(
            describe(
                what="hands to evaluate", expected="one or more", found="none", fix="An empty evaluation has no score."
            )
        )
    palm_m = float(np.median(palm_length(true_joints)))
    if not PLAUSIBLE_PALM_M[0] <= palm_m <= PLAUSIBLE_PALM_M[1]:
        raise ContractError(
            describe(
                what="true joints",
                expected=f"metres: wrist to middle knuckle of {PLAUSIBLE_PALM_M[0]} to {PLAUSIBLE_PALM_M[1]}",
                found=f"a median of {palm_m:g}",
                fix="Convert millimetres (FPHA, manopth) to metres, and joints to hoiray's order.",
            )
        )
