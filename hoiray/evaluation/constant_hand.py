"""The constant hand: the best single prediction that never looks at the image.

A regressor that has learned nothing but the average grasp already looks good after Procrustes alignment, which takes
position, orientation and size out of the comparison. So every table of hoiray has this row beside the model's: what
the model adds is what lies between the two. It is made as strong as a constant can be, one for each kind of metric:

* **pose**, for metrics without rotation (root-relative, scale-translation): each point is the geometric median of that
  point over the fitted hands. The mean error of a constant splits into one sum of distances per point, and the
  geometric median is what minimises it, so no constant has a smaller root-relative MPJPE on the hands it was fitted to.
* **shape**, for Procrustes-aligned metrics: the generalised Procrustes mean (Gower, 1975), the one shape whose summed
  squared distance to all hands, after aligning it to each, is smallest. (PA-MPJPE averages distances, not squares: on
  400 random hands a direct descent on it came from 7.199 to 7.192 mm, 0.1 %, so the mean is as good as the best.)

Left hands are mirrored before fitting and the constant is mirrored back for them: a predictor is told the side too.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.alignment import align_similarity
from hoiray.hand.joints import WRIST
from hoiray.hand.sides import mirror_points

Floats = npt.NDArray[np.float64]

MAX_STEPS: Final = 500
STEP_TOLERANCE_M: Final = 1e-7
"""Iterations end when no point moves farther: a ten-thousandth of a millimetre, below any table's last digit."""

SAME_PLACE_M: Final = 1e-12

SHAPE_TOLERANCE: Final = 1e-10
"""Growth of the explained share at which the Procrustes mean has converged."""

MAX_FITTED_MESHES: Final = 1_000
"""Meshes of 778 points: 1000 take some seconds. More are thinned evenly; joints never are."""


@dataclass(frozen=True, eq=False)
class ConstantPoints:
    """One constant set of points of a right hand.

    Attributes:
        pose: (K, 3) metres relative to the wrist, camera axes.
        shape: (K, 3) metres; position, orientation and size mean nothing.
    """

    pose: Floats
    shape: Floats


@dataclass(frozen=True, eq=False)
class ConstantHand:
    """The constant prediction.

    Attributes:
        joints: 21 points.
        vertices: 778 points; None where the fitted hands have no meshes.
        num_fitted: hands it was fitted to.
        source: where they are from, for the table's header.
    """

    joints: ConstantPoints
    vertices: ConstantPoints | None
    num_fitted: int
    source: str


def fit_constant_hand(
    joints_3d: Floats, vertices: Floats | None, is_right: npt.NDArray[np.bool_], *, source: str
) -> ConstantHand:
    """Fit the constant to annotated hands.

    Args:
        joints_3d: (N, 21, 3) metres, camera axes, any root; N >= 1.
        vertices: (N, 778, 3) of the same hands, or None.
        is_right: (N,).
        source: name of the set, for the table's header.

    Raises:
        ContractError: no hand, or a number that is not finite.
    """
    _require_hands(joints_3d, vertices)
    root = joints_3d[:, WRIST : WRIST + 1]
    joints = as_right_hands(joints_3d - root, is_right)
    mesh = None
    if vertices is not None:
        chosen = np.unique(np.linspace(0, len(joints) - 1, min(len(joints), MAX_FITTED_MESHES)).round().astype(int))
        mesh = _fit(as_right_hands((vertices - root)[chosen], is_right[chosen]))
    return ConstantHand(_fit(joints), mesh, len(joints), source)


def as_right_hands(points: Floats, is_right: npt.NDArray[np.bool_]) -> Floats:
    """Mirror the left ones of (N, K, 3) hands; mirrors them back where they are right already."""
    return np.where(is_right[:, None, None], points, mirror_points(np.asarray(points, dtype=np.float64)))


def geometric_median(points: Floats) -> Floats:
    """Return, for each of K points, the position with the smallest summed distance to its N samples (Weiszfeld, 1937).

    A sample the iterate runs into stops the plain iteration though it need not be the median; the step of Vardi and
    Zhang (PNAS 2000) leaves it where that helps.

    Args:
        points: (N, K, 3) finite, N >= 1.

    Returns:
        (K, 3).
    """
    data = np.asarray(points, dtype=np.float64)
    median: Floats = np.asarray(data.mean(axis=0))
    for _ in range(MAX_STEPS):
        following = _weiszfeld_step(data, median)
        moved = float(np.abs(following - median).max())
        median = following
        if moved <= STEP_TOLERANCE_M:
            break
    return median


def _weiszfeld_step(data: Floats, median: Floats) -> Floats:
    """Move (K, 3) one step towards the median of (N, K, 3)."""
    towards = data - median
    distances = np.linalg.norm(towards, axis=-1)
    is_apart = distances > SAME_PLACE_M
    weights = np.where(is_apart, 1.0 / np.where(is_apart, distances, 1.0), 0.0)
    total = weights.sum(axis=0)
    pull = np.linalg.norm((weights[..., None] * towards).sum(axis=0), axis=-1)
    # samples at the iterate hold it with a force of one each; it moves by what exceeds that
    num_here = (~is_apart).sum(axis=0)
    share = np.maximum(0.0, 1.0 - num_here / np.where(pull > 0.0, pull, np.inf))
    share = np.where(num_here > 0, share, 1.0)
    step = (weights[..., None] * towards).sum(axis=0) / np.where(total > 0.0, total, 1.0)[:, None]
    return np.asarray(median + share[:, None] * step)


def procrustes_mean(points: Floats) -> Floats:
    """Return the shape that, aligned to each hand by a similarity, leaves the smallest summed squared distance.

    With the hands' rotations fixed, the best shape is the first principal direction of the turned-back hands (not
    centred over hands); with the shape fixed, the best rotations are the Procrustes ones. Either step only lowers the
    sum, so alternating converges. The size of the result is the root mean square size of the hands.

    Args:
        points: (N, K, 3) finite, N >= 1.

    Returns:
        (K, 3), centred.
    """
    centred = np.asarray(points, dtype=np.float64) - np.mean(points, axis=1, keepdims=True)
    size = float(np.sqrt((centred**2).sum(axis=(1, 2)).mean()))
    shape = centred[np.argmax((centred**2).sum(axis=(1, 2)))]
    explained = 0.0
    for _ in range(MAX_STEPS):
        R = align_similarity(shape, centred, allow_reflection=True).rotation
        turned_back = (centred @ R).reshape(len(centred), -1)
        direction, strength = _first_direction(turned_back, shape.ravel())
        shape = direction.reshape(shape.shape)
        if strength - explained <= SHAPE_TOLERANCE * strength:
            break
        explained = strength
    return np.asarray(shape * size)


def _first_direction(rows: Floats, start: Floats) -> tuple[Floats, float]:
    """Return the unit vector that maximises the summed squared projections of (N, D) rows, and that sum."""
    if min(rows.shape) <= 128:
        _, singular, directions = np.linalg.svd(rows, full_matrices=False)
        direction, strength = directions[0], float(singular[0] ** 2)
    else:
        direction, strength = start / np.linalg.norm(start), 0.0
        for _ in range(MAX_STEPS):  # hands are so alike that the second direction is a hundred times weaker
            following = rows.T @ (rows @ direction)
            norm = float(np.linalg.norm(following))
            direction = following / norm
            if norm - strength <= SHAPE_TOLERANCE * norm:
                break
            strength = norm
        strength = norm
    return np.asarray(direction * np.sign(direction @ start)), strength


def _fit(points: Floats) -> ConstantPoints:
    return ConstantPoints(pose=geometric_median(points), shape=procrustes_mean(points))


def _require_hands(joints_3d: Floats, vertices: Floats | None) -> None:
    parts = [joints_3d] if vertices is None else [joints_3d, vertices]
    if len(joints_3d) and all(len(part) == len(joints_3d) and np.isfinite(part).all() for part in parts):
        return
    expected = "one finite hand or more, joints and vertices of the same ones"
    found = ", ".join(f"shape {part.shape} with {np.count_nonzero(~np.isfinite(part))} not finite" for part in parts)
    fix = "Fit the constant to annotated samples only."
    raise ContractError(describe(what="hands to fit the constant hand to", expected=expected, found=found, fix=fix))
