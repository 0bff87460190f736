"""Fit the matrix that computes the sixteen joints of a hand from its vertices."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from hoiray.hand.openhand.layout import NUM_JOINTS, PARENTS

MIN_OWN_WEIGHT = 0.02
MIN_PARENT_WEIGHT = 0.05
MAX_CANDIDATES = 250  # nearest first; all of a finger's vertices, a third of the palm's
# One equation of this size asks the row to sum to one. Coordinates are about 0.1 m, so it outweighs a shape's by 100.
SUM_EQUATION = 10.0


def fit_joint_regressor(
    vertices: NDArray[np.float64], joints: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Write every joint as a convex combination of vertices near it, over many shapes (non-negative least squares).

    Args:
        vertices: (S, V, 3) hands in metres, rest pose.
        joints: (S, 16, 3) their joints.
        weights: (V, 16) skinning weights; only vertices of a joint's own bone and of its parent's take part.

    Returns:
        (16, V), entries >= 0, rows sum to one.
    """
    regressor = np.zeros((NUM_JOINTS, vertices.shape[1]))
    for joint in range(NUM_JOINTS):
        candidates = _candidates(vertices.mean(axis=0), joints[:, joint].mean(axis=0), weights, joint)
        regressor[joint, candidates] = convex_combination(vertices[:, candidates], joints[:, joint])
    return regressor


def convex_combination(points: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find non-negative coefficients of sum one that best turn the points into the target in every sample.

    Args:
        points: (S, C, 3).
        target: (S, 3).

    Returns:
        (C,) coefficients.
    """
    num_candidates = points.shape[1]
    matrix = np.concatenate(
        [points.transpose(0, 2, 1).reshape(-1, num_candidates), np.full((1, num_candidates), SUM_EQUATION)]
    )
    coefficients, _ = nnls(matrix, np.append(target.reshape(-1), SUM_EQUATION))
    return np.asarray(coefficients / coefficients.sum())


def _candidates(
    mean_vertices: NDArray[np.float64], mean_joint: NDArray[np.float64], weights: NDArray[np.float64], joint: int
) -> NDArray[np.int64]:
    near = weights[:, joint] > MIN_OWN_WEIGHT
    if PARENTS[joint] >= 0:
        near = near | (weights[:, PARENTS[joint]] > MIN_PARENT_WEIGHT)
    ids = np.flatnonzero(near)
    distance = np.linalg.norm(mean_vertices[ids] - mean_joint, axis=1)
    return np.asarray(ids[np.argsort(distance, kind="stable")[:MAX_CANDIDATES]], dtype=np.int64)
