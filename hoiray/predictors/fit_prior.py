"""What the hand fit takes for granted: how far each joint turns, and which poses are common.

Limits are the clinic's norms (:data:`hoiray.hand.anatomy.NORMAL_RANGES`), widened, since a norm is no wall. What has no
norm (the base of the thumb, the twist of every joint, the sideways motion of hinges) is limited by what natural poses
of the open hand do. The prior is one Gaussian over all 45 angles of a mixture, half grasps and relaxed hands, half
gestures (pointing, spread, fists, thumbs up, ...), so that neither kind pays for the other.
"""

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hoiray.hand.anatomy import ARTICULATED_NAMES, NORMAL_RANGES, AnatomicalAxes, anatomical_axes, joint_angles
from hoiray.hand.load import load_hand_arrays, packaged_hand_path
from hoiray.hand.poses import pose_from_angles, random_angles

FloatArray = npt.NDArray[np.float64]

NUM_POSES: Final = 500
"""Of each kind; the packaged hand holds as many of its own."""

LIMIT_MARGIN_RAD: Final = math.radians(10.0)
"""People differ by so much and more (:data:`hoiray.hand.anatomy.NORMAL_RANGES`)."""

STIFFNESS_RAD: Final = math.radians(3.0)
"""Standard deviation of angles that natural poses keep at zero: a hinge still gives a little."""

_SEED: Final = 20211


class PosePrior(NamedTuple):
    """Limits and prior of the 45 angles; joint by joint flexion, abduction, twist, rad.

    Attributes:
        low, high: (45,).
        mean: (45,).
        precision: (45, 45) inverse covariance, 1/rad^2.
    """

    low: FloatArray
    high: FloatArray
    mean: FloatArray
    precision: FloatArray


@lru_cache(maxsize=1)
def pose_prior() -> PosePrior:
    """Return the limits and the prior: the same numbers on any machine, for any model of the hand."""
    grasps, gestures = natural_angles(np.random.default_rng(_SEED))
    angles = np.concatenate([grasps, gestures])
    covariance = np.cov(angles.T) + STIFFNESS_RAD**2 * np.eye(angles.shape[1])
    low, high = _limits(angles)
    mean = np.clip(angles.mean(axis=0), low, high)
    return PosePrior(low, high, mean, np.asarray(np.linalg.inv(covariance), np.float64))


def natural_angles(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return angles (N, 45) of grasps and relaxed hands, and of gestures."""
    arrays = load_hand_arrays(None)
    axes = anatomical_axes(arrays)
    with np.load(packaged_hand_path()) as packaged:
        coefficients = packaged["hands_coeffs"][:NUM_POSES].astype(np.float64)
    grasps = angles_of(arrays.hands_mean + coefficients @ arrays.hands_components, axes)
    gestures = angles_of(np.stack([pose_from_angles(random_angles(rng), axes) for _ in range(NUM_POSES)]), axes)
    return grasps, gestures


def angles_of(hand_pose: npt.ArrayLike, axes: AnatomicalAxes) -> FloatArray:
    """Return the angles (..., 45) of right hands' absolute poses (..., 45), as the fit orders them."""
    split = joint_angles(hand_pose, axes)
    return np.stack(split, axis=-1).reshape(*split.flexion.shape[:-1], -1)


def _limits(angles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (45,) ends: norms where there are any, else the extremes of natural poses; both widened."""
    low, high = (end.reshape(-1, 3).copy() for end in (angles.min(axis=0), angles.max(axis=0)))
    for joint, name in enumerate(ARTICULATED_NAMES):
        norm = NORMAL_RANGES.get(name)
        if norm is None:
            continue
        low[joint, 0], high[joint, 0] = norm.flexion_rad
        if norm.abduction_rad is not None:
            low[joint, 1], high[joint, 1] = norm.abduction_rad
    return low.ravel() - LIMIT_MARGIN_RAD, high.ravel() + LIMIT_MARGIN_RAD
