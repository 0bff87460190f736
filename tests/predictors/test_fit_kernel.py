"""The analytic derivatives against central differences of the cost they belong to."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hoiray.geometry.rotations import axis_angle_to_matrix, random_rotations
from hoiray.hand.model import HandModel
from hoiray.predictors.fit import FitModel
from hoiray.predictors.fit_kernel import (
    ANGLES,
    BETAS,
    DEPTH,
    NUM_UNKNOWNS,
    SCALE,
    SHIFT,
    misfit,
    normal_equations,
    pose_hand,
    solve_damped,
)

FloatArray = npt.NDArray[np.float64]

MODEL = FitModel.of(HandModel.load(flat_hand_mean=True, tip_set="ho3d", dtype=torch.float64))


def _scene() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    unknowns = np.zeros(NUM_UNKNOWNS)
    unknowns[ANGLES:BETAS] = 0.4 * rng.normal(size=45)
    unknowns[BETAS:SCALE] = rng.normal(size=10)
    unknowns[SCALE], unknowns[SHIFT : SHIFT + 2], unknowns[DEPTH] = 0.2, [0.01, -0.02], 0.03
    return {
        "turn": random_rotations(rng, ()),
        "unknowns": unknowns,
        "image": 0.1 * rng.normal(size=(21, 2)),
        "depth": 0.05 * rng.normal(size=21),
        "weights": rng.uniform(50, 250, (21, 2)),
    }


def _posed(turn: FloatArray, unknowns: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    points, turns = np.empty((21, 3)), np.empty((21, 3, 3))
    axes, by_shape = np.empty((45, 3)), np.empty((21, 3, 10))
    pose_hand(MODEL.rest_m, MODEL.shape_m, MODEL.frames, turn, unknowns, points, turns, axes, by_shape)
    return points, axes, by_shape


def _prior() -> tuple[FloatArray, FloatArray, float]:
    return MODEL.prior.mean, MODEL.prior.precision, 1.5


def _moved(scene: dict[str, Any], index: int, by: float) -> tuple[FloatArray, FloatArray]:
    """Turn and unknowns after one unknown has moved."""
    turn, unknowns = scene["turn"], scene["unknowns"].copy()
    if index < ANGLES:
        return axis_angle_to_matrix(by * np.eye(3)[index]) @ turn, unknowns
    unknowns[index] += by
    return turn, unknowns


def _cost(scene: dict[str, Any], index: int, by: float) -> float:
    turn, unknowns = _moved(scene, index, by)
    points = _posed(turn, unknowns)[0]
    return float(misfit(points, unknowns, scene["image"], scene["depth"], scene["weights"], *_prior()))


def _residuals(scene: dict[str, Any], index: int, by: float) -> FloatArray:
    """The (63 + 45 + 10) weighted residuals, written out once more."""
    turn, unknowns = _moved(scene, index, by)
    points, (mean, precision, shape_precision) = _posed(turn, unknowns)[0], _prior()
    image = np.exp(unknowns[SCALE]) * points[:, :2] + unknowns[SHIFT : SHIFT + 2] - scene["image"]
    depth = points[:, 2] + unknowns[DEPTH] - scene["depth"]
    pose = np.linalg.cholesky(precision).T @ (unknowns[ANGLES:BETAS] - mean)
    of_image, of_depth = scene["weights"].T
    parts = (of_image[:, None] * image, of_depth * depth, pose, np.sqrt(shape_precision) * unknowns[BETAS:SCALE])
    return np.concatenate([part.ravel() for part in parts])


def _equations(scene: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    points, axes, by_shape = _posed(scene["turn"], scene["unknowns"])
    H, g = np.empty((NUM_UNKNOWNS, NUM_UNKNOWNS)), np.empty(NUM_UNKNOWNS)
    given = (scene["unknowns"], scene["image"], scene["depth"], scene["weights"])
    normal_equations(points, axes, by_shape, *given, *_prior(), H, g)
    return H, g


def test_the_gradient_is_that_of_the_cost() -> None:
    scene, step = _scene(), 1e-6
    _, g = _equations(scene)
    by_differences = [
        (_cost(scene, index, step) - _cost(scene, index, -step)) / (2 * step) for index in range(NUM_UNKNOWNS)
    ]
    np.testing.assert_allclose(g, by_differences, rtol=1e-5, atol=1e-4 * np.abs(g).max())


def test_the_normal_matrix_is_that_of_the_residuals() -> None:
    scene, step = _scene(), 1e-6
    H, _ = _equations(scene)
    columns = [
        (_residuals(scene, index, step) - _residuals(scene, index, -step)) / (2 * step) for index in range(NUM_UNKNOWNS)
    ]
    J = np.stack(columns, axis=1)
    np.testing.assert_allclose(np.tril(H), np.tril(J.T @ J), rtol=1e-4, atol=1e-6 * np.abs(H).max())


def test_the_cost_is_half_the_sum_of_squares() -> None:
    scene = _scene()
    np.testing.assert_allclose(_cost(scene, SCALE, 0.0), 0.5 * (_residuals(scene, SCALE, 0.0) ** 2).sum())


def test_a_damped_step_solves_its_equations_and_leaves_what_is_fixed() -> None:
    H, g = _equations(_scene())
    is_fixed = np.zeros(NUM_UNKNOWNS, np.bool_)
    is_fixed[[5, 40]] = True
    step, L = np.empty(NUM_UNKNOWNS), np.empty_like(H)
    assert solve_damped(H, g, 1e-3, is_fixed, L, step)
    free = ~is_fixed
    full = np.tril(H) + np.tril(H, -1).T
    damped = full + np.diag(1e-3 * np.diag(full) + 1e-9)
    np.testing.assert_allclose(step[free], np.linalg.solve(damped[np.ix_(free, free)], -g[free]), rtol=1e-6)
    assert (step[is_fixed] == 0).all()


def test_a_matrix_that_is_not_positive_is_told() -> None:
    step, L = np.empty(NUM_UNKNOWNS), np.empty((NUM_UNKNOWNS, NUM_UNKNOWNS))
    free = np.zeros(NUM_UNKNOWNS, np.bool_)
    assert not solve_damped(-np.eye(NUM_UNKNOWNS), np.ones(NUM_UNKNOWNS), 1e-3, free, L, step)
