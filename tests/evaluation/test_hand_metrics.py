"""Every score equals an independent implementation, written here from the definitions, one hand at a time."""

import math
from collections.abc import Callable

import dataset_files as files
import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist

from hoiray.evaluation.constant_hand import fit_constant_hand
from hoiray.evaluation.hand_metrics import (
    HAND_METRICS,
    PredictedHands,
    counted,
    filled_by,
    measure_constant,
    measure_hands,
    posed_hands,
)
from hoiray.evaluation.truth import HandTruth, Truths
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.hand.model import HandModel
from hoiray.hand.sides import mirror_points

N = 6
K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def hands(is_right: bool = True) -> files.Hands:
    return files.hands(N, tip_set="ho3d", seed=21, is_right=is_right)


def truths_of(
    joints: np.ndarray,
    vertices: np.ndarray | None,
    *,
    is_right: bool = True,
    tip_set: str = "ho3d",
    regressed: bool = False,
) -> Truths:
    made = []
    for i in range(len(joints)):
        pixels = joints[i, :, :2] / joints[i, :, 2:] * 600 + [320, 240]
        box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
        nothing = np.full((4, 4), np.nan)
        mesh = None if vertices is None else vertices[i]
        made.append(
            HandTruth(i, 0, str(i), f"r{i // 2}", "a", is_right, joints[i], mesh, pixels, box, "true joints", K, None,
                      np.full(4, np.nan), nothing, float("nan"), 0.0)
        )  # fmt: skip
    return Truths(tuple(made), tip_set, regressed, ())


def procrustes(predicted: np.ndarray, truth: np.ndarray, reflect: bool) -> np.ndarray:
    a, b = truth - truth.mean(0), predicted - predicted.mean(0)
    offset = 1e-8 if reflect else 0.0
    norm_a, norm_b = np.linalg.norm(a) + offset, np.linalg.norm(b) + offset
    if reflect:
        R, s = orthogonal_procrustes(a / norm_a, b / norm_b)
        return (b / norm_b) @ R.T * s * norm_a + truth.mean(0)
    U, S, Vt = np.linalg.svd((a / norm_a).T @ (b / norm_b))
    D = np.diag([1, 1, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    return (b / norm_b) @ (U @ D @ Vt).T * np.trace(np.diag(S) @ D) * norm_a + truth.mean(0)


def error_mm(predicted: np.ndarray, truth: np.ndarray) -> float:
    return 1000 * sum(math.dist(p, t) for p, t in zip(predicted, truth, strict=True)) / len(truth)


def area(predicted: np.ndarray, truth: np.ndarray) -> float:
    thresholds = np.linspace(0, 0.05, 100)
    errors = np.sqrt(((predicted - truth) ** 2).sum(axis=1))
    shares = [(errors <= limit).mean() for limit in thresholds]
    return float(sum((shares[i] + shares[i + 1]) / 2 / 99 for i in range(99)))


def f_score(predicted: np.ndarray, truth: np.ndarray, limit: float) -> float:
    distances = cdist(predicted, truth)
    precision, recall = (distances.min(axis=1) < limit).mean(), (distances.min(axis=0) < limit).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def scale_translation(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    size = math.dist(predicted[9], predicted[0])
    scaled = predicted * (math.dist(truth[9], truth[0]) / size if size else 1.0)
    return scaled - scaled[0] + truth[0]


def by_definition(joints: np.ndarray, mesh: np.ndarray, truth: HandTruth, pixels: np.ndarray) -> dict[str, float]:
    """All metrics of one hand; joints and mesh relative to the predicted wrist."""
    if not (np.isfinite(joints).all() and np.isfinite(mesh).all()):
        return dict.fromkeys(HAND_METRICS, float("nan"))
    assert truth.vertices is not None
    J, V, true_j, true_v = joints + truth.joints_3d[0], mesh + truth.joints_3d[0], truth.joints_3d, truth.vertices
    pa_j, pa_v = procrustes(J, true_j, True), procrustes(V, true_v, True)
    pixel_errors = [math.dist(p, t) for p, t in zip(pixels, truth.joints_2d_px, strict=True)]
    box = truth.hand_box_xyxy
    return {
        "mpjpe_mm": error_mm(J, true_j),
        "st_mpjpe_mm": error_mm(scale_translation(J, true_j), true_j),
        "pa_mpjpe_mm": error_mm(pa_j, true_j),
        "pa_proper_mpjpe_mm": error_mm(procrustes(J, true_j, False), true_j),
        "joint_auc": area(J, true_j),
        "pa_joint_auc": area(pa_j, true_j),
        "mpvpe_mm": error_mm(V, true_v),
        "pa_mpvpe_mm": error_mm(pa_v, true_v),
        "pa_proper_mpvpe_mm": error_mm(procrustes(V, true_v, False), true_v),
        "vertex_auc": area(V, true_v),
        "pa_vertex_auc": area(pa_v, true_v),
        "f_at_5mm": f_score(V, true_v, 0.005),
        "f_at_15mm": f_score(V, true_v, 0.015),
        "pa_f_at_5mm": f_score(pa_v, true_v, 0.005),
        "pa_f_at_15mm": f_score(pa_v, true_v, 0.015),
        "joints_2d_px": sum(pixel_errors) / 21,
        "joints_2d_box": sum(pixel_errors) / 21 / max(box[2] - box[0], box[3] - box[1]),
    }


def noisy(points: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(5)
    return points * 1.07 + rng.normal(0, 0.006, points.shape)


def swapped_fingers(points: np.ndarray) -> np.ndarray:
    if points.shape[1] != 21:
        return points
    order = np.arange(21)
    order[[5, 6, 7, 8, 17, 18, 19, 20]] = [17, 18, 19, 20, 5, 6, 7, 8]
    return points[:, order]


def with_gaps(points: np.ndarray) -> np.ndarray:
    broken = noisy(points)
    broken[1] = np.nan
    broken[3, 7, 2] = np.inf
    return broken


CASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "perfect": lambda points: points,
    "noisy": noisy,
    "mirrored": lambda points: points * [-1.0, 1, 1],
    "swapped fingers": swapped_fingers,
    "in millimetres": lambda points: points * 1000,
    "collapsed to a point": lambda points: points * 0.0,
    "NaN and infinity": with_gaps,
}


@pytest.mark.parametrize("case", list(CASES))
def test_every_metric_is_that_of_its_definition(case: str) -> None:
    scene = hands()
    truths = truths_of(scene.joints, scene.vertices)
    wrist = scene.joints[:, :1]
    joints, mesh = CASES[case](scene.joints - wrist), CASES[case](scene.vertices - wrist)
    pixels = np.stack([hand.joints_2d_px for hand in truths.hands]) + np.random.default_rng(1).normal(0, 3, (N, 21, 2))
    found = measure_hands(PredictedHands(joints, mesh, pixels), truths)
    assert list(found) == list(HAND_METRICS)
    for i, truth in enumerate(truths.hands):
        expected = by_definition(joints[i], mesh[i], truth, pixels[i])
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, rel=1e-6, abs=2e-6, nan_ok=True), (case, name, i)


def test_a_mirrored_hand_is_perfect_only_where_reflections_are_allowed() -> None:
    scene = hands()
    truths, wrist = truths_of(scene.joints, scene.vertices), scene.joints[:, :1]
    mirrored = PredictedHands(mirror_points(scene.joints - wrist), mirror_points(scene.vertices - wrist), None)
    found = measure_hands(mirrored, truths)
    assert found["pa_mpjpe_mm"].max() < 1e-3
    assert found["pa_proper_mpjpe_mm"].min() > 5.0
    assert found["mpjpe_mm"].min() > 20.0
    assert "joints_2d_px" not in found


def test_one_nan_makes_the_hand_missing_in_every_metric_and_it_stays_in_its_row() -> None:
    scene = hands()
    truths, wrist = truths_of(scene.joints, scene.vertices), scene.joints[:, :1]
    mesh = scene.vertices - wrist
    mesh[2, 500, 1] = np.nan
    predicted = PredictedHands(scene.joints - wrist, mesh, np.stack([hand.joints_2d_px for hand in truths.hands]))
    found = measure_hands(predicted, truths)
    assert predicted.is_missing.tolist() == [False, False, True, False, False, False]
    for name, values in found.items():
        assert np.isnan(values).tolist() == predicted.is_missing.tolist(), name
    # adding the wrist rounds by 1e-17, so that "at most 0" need not hold for all joints
    assert counted("joint_auc", found["joint_auc"]).mean() == pytest.approx(5 / 6, abs=1 / 198)
    assert np.isnan(counted("mpjpe_mm", found["mpjpe_mm"])[2])
    filled = filled_by(found, {"mpjpe_mm": np.full(N, 30.0)})
    assert filled["mpjpe_mm"][2] == 30.0
    assert filled["mpjpe_mm"][1] == found["mpjpe_mm"][1]


def test_a_set_without_meshes_is_scored_by_its_joints_alike() -> None:
    scene = hands()
    wrist = scene.joints[:, :1]
    with_mesh = measure_hands(
        PredictedHands(noisy(scene.joints - wrist), noisy(scene.vertices - wrist), None),
        truths_of(scene.joints, scene.vertices),
    )
    without = measure_hands(PredictedHands(noisy(scene.joints - wrist), None, None), truths_of(scene.joints, None))
    assert set(without) == {name for name in with_mesh if "joint" in name or "mpjpe" in name}
    for name, values in without.items():
        np.testing.assert_allclose(values, with_mesh[name], rtol=1e-12)


@pytest.mark.parametrize("is_right", [True, False])
def test_true_parameters_give_the_true_hand_whatever_tips_the_model_was_made_with(is_right: bool) -> None:
    scene = hands(is_right)
    pose = np.concatenate([scene.global_orient, scene.hand_pose], axis=1).reshape(N, 16, 3)
    rotations = axis_angle_to_matrix(pose)
    rotations[4] = np.nan
    model = HandModel(files.arrays(), flat_hand_mean=True, tip_set="smplx")
    truths = truths_of(scene.joints, scene.vertices, is_right=is_right)
    joints, mesh = posed_hands(rotations, scene.betas, np.full(N, is_right), model, tip_set="ho3d", regressed=False)
    found = measure_hands(PredictedHands(joints, mesh, None), truths)
    assert np.isnan(found["mpjpe_mm"]).tolist() == [i == 4 for i in range(N)]
    assert np.nanmax(found["mpjpe_mm"]) < 1e-3
    assert np.nanmax(found["mpvpe_mm"]) < 1e-3


def test_joints_are_regressed_where_the_labels_are() -> None:
    scene = files.hands(N, tip_set="freihand", seed=3, curl=2.5)
    chain = files.model("freihand")
    tips = [744, 320, 443, 555, 672]
    in_mano_order = np.concatenate([files.arrays().J_regressor @ scene.vertices, scene.vertices[:, tips]], axis=1)
    order = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
    stored = in_mano_order[:, order]
    truths = truths_of(stored, scene.vertices, tip_set="freihand", regressed=True)
    pose = np.concatenate([scene.global_orient, scene.hand_pose], axis=1).reshape(N, 16, 3)
    joints, mesh = posed_hands(
        axis_angle_to_matrix(pose), scene.betas, np.ones(N, bool), chain, tip_set="freihand", regressed=True
    )
    found = measure_hands(PredictedHands(joints, mesh, None), truths)
    assert found["mpjpe_mm"].max() < 1e-3
    assert found["mpvpe_mm"].max() < 1e-3
    assert 1000 * np.linalg.norm(stored - scene.joints, axis=-1).max() > 5.0


@pytest.mark.parametrize("is_right", [True, False])
def test_the_constant_hand_has_its_pose_where_nothing_turns_and_its_shape_under_procrustes(is_right: bool) -> None:
    scene = hands(is_right)
    truths = truths_of(scene.joints, scene.vertices, is_right=is_right)
    constant = fit_constant_hand(scene.joints, scene.vertices, truths.is_right(), source="x")
    found = measure_constant(constant, truths, with_vertices=True)
    assert constant.vertices is not None
    side = mirror_points if not is_right else np.asarray
    pose, shape = side(constant.joints.pose), side(constant.joints.shape)
    for i, truth in enumerate(truths.hands):
        assert found["mpjpe_mm"][i] == pytest.approx(error_mm(pose + truth.joints_3d[0], truth.joints_3d))
        aligned = procrustes(shape, truth.joints_3d, True)
        assert found["pa_mpjpe_mm"][i] == pytest.approx(error_mm(aligned, truth.joints_3d))
    assert found["pa_mpjpe_mm"].mean() < found["mpjpe_mm"].mean()
    assert set(measure_constant(constant, truths, with_vertices=False)) < set(found)
