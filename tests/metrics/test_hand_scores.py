"""The one-call evaluation against a line-by-line reading of the official script, one sample at a time."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist

from hoiray.errors import ContractError
from hoiray.metrics import hand_scores as module
from hoiray.metrics.hand_scores import HandScores, hand_scores, official_ho3d_table, summarise_hand_scores

# Positions in hoiray's order of MANO's 21 joints (pinky before ring), written out independently of the package.
MANO_FROM_SIMPLE = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20]
NUM_VERTICES = 60


def _hands(num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Joints and vertices of ``num`` invented hands whose palm is 9 cm long."""
    rng = np.random.default_rng(seed)
    place = rng.normal(loc=(0.0, 0.0, 0.6), scale=0.1, size=(num, 1, 3))
    joints = rng.normal(scale=0.04, size=(num, 21, 3))
    joints[:, 9] = joints[:, 0] + 0.09 / math.sqrt(3)
    return joints + place, rng.normal(scale=0.03, size=(num, NUM_VERTICES, 3)) + place


def _predictions(truth: tuple[np.ndarray, np.ndarray], noise_m: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(99)
    shift = rng.normal(scale=0.01, size=(len(truth[0]), 1, 3))
    joints, vertices = (1.1 * (points + shift + rng.normal(scale=noise_m, size=points.shape)) for points in truth)
    return joints, vertices


def _evaluate(predicted: tuple[np.ndarray, np.ndarray], truth: tuple[np.ndarray, np.ndarray]) -> HandScores:
    return hand_scores(
        predicted_joints_m=predicted[0],
        true_joints_m=truth[0],
        predicted_vertices_m=predicted[1],
        true_vertices_m=truth[1],
    )


def _official_procrustes(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    a, b = truth - truth.mean(0), predicted - predicted.mean(0)
    norm_a, norm_b = np.linalg.norm(a) + 1e-8, np.linalg.norm(b) + 1e-8
    R, s = orthogonal_procrustes(a / norm_a, b / norm_b)
    return (b / norm_b) @ R.T * s * norm_a + truth.mean(0)


def _official_scale_translation(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """On joints in MANO's order, where the middle knuckle has index 4."""
    size = math.dist(predicted[4], predicted[0])
    scaled = (predicted / size if size > 0 else predicted) * math.dist(truth[4], truth[0])
    return scaled - scaled[0] + truth[0]


def _official_measures(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Mean error and area: keypoint by keypoint, threshold by threshold."""
    thresholds = np.linspace(0.0, 0.05, 100)
    means, areas = [], []
    for k in range(len(pairs[0][0])):
        errors = np.array([math.dist(p[k], t[k]) for p, t in pairs])
        means.append(errors.mean())
        areas.append(trapezoid([(errors <= t).mean() for t in thresholds], thresholds) / 0.05)
    return float(np.mean(means)), float(np.mean(areas))


def _official_f(predicted: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    distances = cdist(predicted, truth)
    recall, precision = (distances.min(axis=axis) for axis in (1, 0))
    r, p = (recall < threshold).mean(), (precision < threshold).mean()
    return float(2 * r * p / (r + p)) if r + p > 0 else 0.0


def _official_scores_txt(predicted: tuple[np.ndarray, np.ndarray], truth: tuple[np.ndarray, np.ndarray]) -> str:
    joints = [(p[MANO_FROM_SIMPLE], t[MANO_FROM_SIMPLE]) for p, t in zip(predicted[0], truth[0], strict=True)]
    meshes = list(zip(predicted[1], truth[1], strict=True))
    aligned = [(_official_procrustes(*pair), pair[1]) for pair in meshes]
    rows = {
        "xyz": joints,
        "xyz_procrustes_al": [(_official_procrustes(*pair), pair[1]) for pair in joints],
        "xyz_scale_trans_al": [(_official_scale_translation(*pair), pair[1]) for pair in joints],
        "mesh": meshes,
        "mesh_al": aligned,
    }
    text = ""
    for name, pairs in rows.items():
        mean_m, auc = _official_measures(pairs)
        text += f"{name}_mean3d: {100 * mean_m:f}\n{name}_auc3d: {auc:f}\n"
    for millimetres in (5, 15):
        raw, al = (np.mean([_official_f(*pair, millimetres / 1000) for pair in pairs]) for pairs in (meshes, aligned))
        text += f"f_score_{millimetres}: {raw:f}\nf_al_score_{millimetres}: {al:f}\n"
    return text


@pytest.mark.parametrize("noise_m", [0.002, 0.01, 0.1])
def test_the_table_is_what_the_official_script_writes(noise_m: float) -> None:
    truth = _hands(7)
    predicted = _predictions(truth, noise_m)
    assert official_ho3d_table(_evaluate(predicted, truth)) == _official_scores_txt(predicted, truth)


def test_the_zero_submission_scores_as_the_official_script_says() -> None:
    truth = _hands(4)
    zeros = tuple(np.zeros_like(points) for points in truth)
    scores = _evaluate(zeros, truth)
    assert official_ho3d_table(scores) == _official_scores_txt(zeros, truth)
    assert (scores.f.at_15mm == 0.0).all()
    assert (scores.joints_procrustes.error_m > 0.0).all()


def test_a_perfect_prediction_is_perfect_in_every_number() -> None:
    truth = _hands(3)
    summaries = summarise_hand_scores(_evaluate(truth, truth))
    for name, summary in summaries.items():
        if name.endswith("_mm"):
            assert summary.mean == pytest.approx(0.0, abs=1e-4)
        elif "f_at" in name:
            assert summary.mean == 1.0
        else:
            # An alignment leaves 1e-17 m, which fails the threshold 0 and costs half a step.
            assert summary.mean >= 1.0 - 0.5 / 99 - 1e-12
    assert summaries["joint_auc"].mean == summaries["vertex_auc"].mean == 1.0


def test_blocks_of_samples_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = _hands(11)
    predicted = _predictions(truth)
    whole = dataclasses.asdict(_evaluate(predicted, truth))
    monkeypatch.setattr(module, "_SAMPLES_PER_BLOCK", 4)
    parts = dataclasses.asdict(_evaluate(predicted, truth))
    for row, values in whole.items():
        for name, expected in values.items():
            assert expected.shape == (11,)
            np.testing.assert_allclose(parts[row][name], expected, rtol=1e-12, atol=1e-15)


def test_single_precision_input_changes_nothing_but_rounding() -> None:
    truth = _hands(3)
    predicted = _predictions(truth)
    single = tuple(points.astype(np.float32) for points in predicted)
    found = summarise_hand_scores(_evaluate(single, truth))
    expected = summarise_hand_scores(_evaluate(predicted, truth))
    assert found["pa_mpjpe_mm"].mean == pytest.approx(expected["pa_mpjpe_mm"].mean, abs=1e-3)


@pytest.mark.parametrize("which", [0, 1])
def test_a_sample_without_joints_or_without_vertices_is_missing_everywhere(which: int) -> None:
    truth = _hands(4)
    predicted = _predictions(truth)
    predicted[which][2, 5, 0] = np.nan
    scores = _evaluate(predicted, truth)
    for row in dataclasses.astuple(scores):
        for values in row:
            assert np.isnan(values).tolist() == [False, False, True, False]


def test_missing_samples_are_named_in_the_table_and_lower_the_rates_but_not_the_errors() -> None:
    truth = _hands(4)
    predicted = _predictions(truth, 0.002)
    complete = summarise_hand_scores(_evaluate(tuple(p[:3] for p in predicted), tuple(t[:3] for t in truth)))
    predicted[0][3] = np.nan
    scores = _evaluate(predicted, truth)
    summaries = summarise_hand_scores(scores)
    assert official_ho3d_table(scores).splitlines()[-1].startswith("missing: 1 of 4 predictions")
    assert {s.num_missing for s in summaries.values()} == {1}
    for name, summary in summaries.items():
        factor = 1.0 if name.endswith("_mm") else 0.75
        assert summary.mean == pytest.approx(factor * complete[name].mean)


def test_the_leaderboard_does_not_see_a_mirrored_hand_but_the_proper_error_does() -> None:
    truth = _hands(5)
    mirror = np.array([-1.0, 1.0, 1.0])
    summaries = summarise_hand_scores(_evaluate(tuple(points * mirror for points in truth), truth))
    assert summaries["pa_mpjpe_mm"].mean < 1e-3
    assert summaries["pa_mpvpe_mm"].mean < 1e-3
    assert summaries["pa_proper_mpjpe_mm"].mean > 10.0
    assert summaries["pa_proper_mpvpe_mm"].mean > 10.0


def test_summaries_are_in_millimetres() -> None:
    truth = _hands(2)
    shifted = tuple(points + np.array([0.003, 0.004, 0.0]) for points in truth)
    summaries = summarise_hand_scores(_evaluate(shifted, truth))
    assert summaries["mpjpe_mm"].mean == pytest.approx(5.0)
    assert summaries["mpvpe_mm"].mean == pytest.approx(5.0)
    assert summaries["scale_translation_mpjpe_mm"].mean == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("unit_in_m", [1e-3, 1e-2])
def test_hands_in_another_unit_are_refused(unit_in_m: float) -> None:
    joints, vertices = (points / unit_in_m for points in _hands(3))
    with pytest.raises(ContractError, match="metres"):
        _evaluate((joints, vertices), (joints, vertices))


def test_arguments_are_not_changed() -> None:
    truth = _hands(3)
    predicted = _predictions(truth)
    predicted[0][1, 0, 0] = np.nan
    copies = [points.copy() for points in (*predicted, *truth)]
    _evaluate(predicted, truth)
    for points, copy in zip((*predicted, *truth), copies, strict=True):
        np.testing.assert_array_equal(points, copy)


def test_what_is_no_set_of_hands_is_refused() -> None:
    joints, vertices = _hands(3)
    with pytest.raises(ContractError, match="hands to evaluate"):
        _evaluate((joints[:, :20], vertices), (joints[:, :20], vertices))
    with pytest.raises(ContractError, match="hands to evaluate"):
        _evaluate((joints[:2], vertices), (joints[:2], vertices))
    with pytest.raises(ContractError, match="found none"):
        _evaluate((joints[:0], vertices[:0]), (joints[:0], vertices[:0]))
    with pytest.raises(ContractError, match="one shape"):
        _evaluate((joints, vertices[:, :50]), (joints, vertices))
