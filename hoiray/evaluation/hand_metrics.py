"""Every hand metric of the paper for every hand of an evaluation; a missing prediction is NaN and stays in its row.

No predictor of hoiray's kind says how far away a hand is: it answers relative to the wrist, and the **true wrist** is
added before anything is measured, as the paper's evaluation does. So `mpjpe_mm` is the root-relative error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.formats.freihand import joints_from_vertices
from hoiray.evaluation.constant_hand import ConstantHand, as_right_hands
from hoiray.evaluation.truth import Truths
from hoiray.hand.joints import MIDDLE_MCP, TIP_JOINTS, WRIST, reorder, tip_vertices
from hoiray.metrics.curves import pck_auc_per_sample
from hoiray.metrics.hand_scores import HandScores, hand_scores
from hoiray.metrics.pose import (
    mpjpe_m,
    pa_mpjpe_m,
    point_errors_m,
    procrustes_aligned,
    scale_translation_aligned_mpjpe_m,
)
from hoiray.metrics.summary import MM_PER_M

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

Floats = npt.NDArray[np.float64]

_HANDS_PER_BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of the tables.

    Attributes:
        name: key in the JSON.
        title: in the tables.
        unit: mm, px, or empty for a share of 1.
        is_rate: a share of [0, 1], the larger the better, in which a missing prediction counts 0; otherwise a
            distance, the smaller the better, which a missing prediction has none of.
        decimals: shown.
    """

    name: str
    title: str
    unit: str
    is_rate: bool
    decimals: int


def _distance(name: str, title: str, unit: str = "mm", decimals: int = 2) -> Metric:
    return Metric(name, title, unit, is_rate=False, decimals=decimals)


def _rate(name: str, title: str) -> Metric:
    return Metric(name, title, "", is_rate=True, decimals=3)


HAND_METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            _distance("mpjpe_mm", "MPJPE, root-relative"),
            _distance("st_mpjpe_mm", "MPJPE, scale and translation aligned"),
            _distance("pa_mpjpe_mm", "PA-MPJPE"),
            _distance("pa_proper_mpjpe_mm", "PA-MPJPE, rotations only (no reflection)"),
            _rate("joint_auc", "joint AUC, 0 to 50 mm"),
            _rate("pa_joint_auc", "joint AUC, PA"),
            _distance("mpvpe_mm", "MPVPE, root-relative"),
            _distance("pa_mpvpe_mm", "PA-MPVPE (the papers' mesh error)"),
            _distance("pa_proper_mpvpe_mm", "PA-MPVPE, rotations only (no reflection)"),
            _rate("vertex_auc", "mesh AUC, 0 to 50 mm"),
            _rate("pa_vertex_auc", "mesh AUC, PA"),
            _rate("f_at_5mm", "F@5 mm, root-relative"),
            _rate("f_at_15mm", "F@15 mm, root-relative"),
            _rate("pa_f_at_5mm", "F@5 mm, PA (the papers' F@5)"),
            _rate("pa_f_at_15mm", "F@15 mm, PA (the papers' F@15)"),
            _distance("joints_2d_px", "2D joint error", "px"),
            _distance("joints_2d_box", "2D joint error, hand-box sides", "box", 4),
        )
    }
)


@dataclass(frozen=True, eq=False)
class PredictedHands:
    """N predictions, in the order of the truth. NaN where missing.

    Attributes:
        joints: (N, 21, 3) metres, relative to the wrist, camera axes, simple order, tips as the labels'.
        vertices: (N, 778, 3) relative to the same wrist, or None.
        joints_2d_px: (N, 21, 2), or None.
    """

    joints: Floats
    vertices: Floats | None
    joints_2d_px: Floats | None

    @property
    def is_missing(self) -> npt.NDArray[np.bool_]:
        """(N,)."""
        missing = ~np.isfinite(self.joints).all(axis=(1, 2))
        if self.vertices is not None:
            missing |= ~np.isfinite(self.vertices).all(axis=(1, 2))
        return np.asarray(missing)


def posed_hands(
    rotations: npt.NDArray[np.floating],
    betas: npt.NDArray[np.floating],
    is_right: npt.NDArray[np.bool_],
    hand: "HandModel",
    *,
    tip_set: str,
    regressed: bool,
) -> tuple[Floats, Floats]:
    """Pose predicted parameters, with joints as some labels define them.

    Args:
        rotations: (N, 16, 3, 3) MANO order, absolute; NaN where missing.
        betas: (N, 10).
        is_right: (N,).
        hand: the model they are parameters of.
        tip_set: of the labels; `none` keeps the model's own.
        regressed: joints are MANO's regressor on the posed mesh, not those of the kinematic chain.

    Returns:
        Joints (N, 21, 3) and vertices (N, 778, 3), relative to the wrist of these joints.
    """
    count = len(rotations)
    joints, vertices = np.full((count, 21, 3), np.nan), np.full((count, 778, 3), np.nan)
    present = np.flatnonzero(np.isfinite(rotations).all(axis=(1, 2, 3)) & np.isfinite(betas).all(axis=1))
    for start in range(0, len(present), _HANDS_PER_BLOCK):
        rows = present[start : start + _HANDS_PER_BLOCK]
        chain, mesh = _posed(rotations[rows], betas[rows], is_right[rows], hand)
        own = _regressed(mesh, is_right[rows], hand, tip_set) if regressed else chain
        if tip_set != "none":
            own = _with_tips(own, mesh, is_right[rows], tip_set)
        joints[rows], vertices[rows] = own - own[:, WRIST : WRIST + 1], mesh - own[:, WRIST : WRIST + 1]
    return joints, vertices


def _posed(
    rotations: npt.NDArray[np.floating],
    betas: npt.NDArray[np.floating],
    is_right: npt.NDArray[np.bool_],
    hand: "HandModel",
) -> tuple[Floats, Floats]:
    import torch

    device = hand.hands_mean.device
    turns = torch.as_tensor(np.array(rotations), dtype=hand.dtype, device=device)
    shapes = torch.as_tensor(np.array(betas), dtype=hand.dtype, device=device)
    with torch.no_grad():
        posed = hand.from_matrices(turns[:, 0], turns[:, 1:], shapes, is_right=torch.tensor(is_right, device=device))
    return posed.joints.cpu().numpy().astype(np.float64), posed.vertices.cpu().numpy().astype(np.float64)


def _regressed(vertices: Floats, is_right: npt.NDArray[np.bool_], hand: "HandModel", tip_set: str) -> Floats:
    """Return the joints (N, 21, 3) as FreiHAND defines them; a mirrored hand's are the mirrored hand's joints."""
    tips = tip_vertices(tip_set, is_right=True)
    regressed = joints_from_vertices(as_right_hands(vertices, is_right), hand.arrays.J_regressor, tips)
    return as_right_hands(np.asarray(reorder(regressed, "mano", "simple"), dtype=np.float64), is_right)


def _with_tips(joints: Floats, vertices: Floats, is_right: npt.NDArray[np.bool_], tip_set: str) -> Floats:
    """Return the joints with the tips of a set."""
    changed = joints.copy()
    for side in (True, False):
        rows = np.flatnonzero(is_right == side)
        tips = tip_vertices(tip_set, is_right=side)
        changed[rows[:, None], list(TIP_JOINTS)] = vertices[rows[:, None], list(tips)]
    return changed


def measure_hands(predicted: PredictedHands, truths: Truths) -> dict[str, Floats]:
    """Measure every metric the data allow.

    Returns:
        Name of the metric to (N,) values in its unit, NaN where the prediction is missing.
    """
    true_joints, true_vertices = truths.joints_3d(), truths.vertices()
    wrists = true_joints[:, WRIST : WRIST + 1]
    joints = predicted.joints + wrists
    values: dict[str, Floats]
    if predicted.vertices is None or true_vertices is None:
        values = _joint_values(joints, true_joints)
    else:
        scores = hand_scores(
            predicted_joints_m=joints,
            true_joints_m=true_joints,
            predicted_vertices_m=predicted.vertices + wrists,
            true_vertices_m=true_vertices,
        )
        values = _values_of(scores)
    if predicted.joints_2d_px is not None:
        values |= _values_2d(predicted.joints_2d_px, predicted.is_missing, truths)
    return values


def measure_constant(constant: ConstantHand, truths: Truths, *, with_vertices: bool) -> dict[str, Floats]:
    """Measure the constant hand: its pose where nothing is turned, its shape where Procrustes aligns.

    Args:
        constant: fitted; mirrored here for left hands.
        truths: what it is compared with.
        with_vertices: whether the model beside it has meshes; without, the constant has none either.
    """
    pose = measure_hands(_constant_hands(constant, truths, "pose", with_vertices=with_vertices), truths)
    shape = measure_hands(_constant_hands(constant, truths, "shape", with_vertices=with_vertices), truths)
    return {name: shape[name] if name.startswith("pa_") else pose[name] for name in pose}


def _constant_hands(constant: ConstantHand, truths: Truths, kind: str, *, with_vertices: bool) -> PredictedHands:
    is_right = truths.is_right()

    def repeated(points: Floats) -> Floats:
        return as_right_hands(np.broadcast_to(points, (len(truths), *points.shape)), is_right)

    vertices = None
    if with_vertices and constant.vertices is not None:
        vertices = repeated(getattr(constant.vertices, kind))
    return PredictedHands(repeated(getattr(constant.joints, kind)), vertices, None)


def filled_by(values: Mapping[str, Floats], substitute: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return the values with those of the substitute where they are missing: nobody gains by not answering."""
    return {
        name: np.where(np.isnan(column), substitute[name], column)
        for name, column in values.items()
        if name in substitute
    }


def counted(name: str, values: Floats) -> Floats:
    """Return the values as they enter an average: of a rate, 0 where missing; of a distance, NaN."""
    return np.where(np.isnan(values), 0.0, values) if HAND_METRICS[name].is_rate else values


def _values_of(scores: HandScores) -> dict[str, Floats]:
    return {
        "mpjpe_mm": scores.joints.error_m * MM_PER_M,
        "st_mpjpe_mm": scores.joints_scale_translation.error_m * MM_PER_M,
        "pa_mpjpe_mm": scores.joints_procrustes.error_m * MM_PER_M,
        "pa_proper_mpjpe_mm": scores.joints_procrustes_proper.error_m * MM_PER_M,
        "joint_auc": scores.joints.auc,
        "pa_joint_auc": scores.joints_procrustes.auc,
        "mpvpe_mm": scores.vertices.error_m * MM_PER_M,
        "pa_mpvpe_mm": scores.vertices_procrustes.error_m * MM_PER_M,
        "pa_proper_mpvpe_mm": scores.vertices_procrustes_proper.error_m * MM_PER_M,
        "vertex_auc": scores.vertices.auc,
        "pa_vertex_auc": scores.vertices_procrustes.auc,
        "f_at_5mm": scores.f.at_5mm,
        "f_at_15mm": scores.f.at_15mm,
        "pa_f_at_5mm": scores.f_procrustes.at_5mm,
        "pa_f_at_15mm": scores.f_procrustes.at_15mm,
    }


def _joint_values(joints: Floats, truth: Floats) -> dict[str, Floats]:
    aligned = procrustes_aligned(joints, truth, allow_reflection=True)
    scale_translation = scale_translation_aligned_mpjpe_m(joints, truth, root_index=WRIST, length_index=MIDDLE_MCP)
    return {
        "mpjpe_mm": mpjpe_m(joints, truth) * MM_PER_M,
        "st_mpjpe_mm": scale_translation * MM_PER_M,
        "pa_mpjpe_mm": mpjpe_m(aligned, truth) * MM_PER_M,
        "pa_proper_mpjpe_mm": pa_mpjpe_m(joints, truth, allow_reflection=False) * MM_PER_M,
        "joint_auc": pck_auc_per_sample(point_errors_m(joints, truth)),
        "pa_joint_auc": pck_auc_per_sample(point_errors_m(aligned, truth)),
    }


def _values_2d(joints_2d_px: Floats, is_missing_hand: npt.NDArray[np.bool_], truths: Truths) -> dict[str, Floats]:
    true_2d = np.stack([hand.joints_2d_px for hand in truths.hands])
    errors = np.linalg.norm(joints_2d_px - true_2d, axis=-1).mean(axis=-1)
    if not np.isfinite(true_2d).all():
        return {}  # a set of unknown cameras has no true 2D joints
    errors = np.where(is_missing_hand | ~np.isfinite(errors), np.nan, errors)
    return {"joints_2d_px": errors, "joints_2d_box": errors / truths.box_sides_px()}
