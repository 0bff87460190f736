"""Draw natural hand poses, and compress them into MANO's pose space.

The sampler is a small synergy model: one closure shared by all fingers, a blend from precision to power grasp, a
common spread, and a thumb of four degrees of freedom that follows the closure. The end joint follows the middle one
(about two thirds; Lin, Wu and Huang, "Modeling the Constraints of Human Hand Motion", 2000).

The ranges below are choices of this sampler, not norms; the norms are :data:`hoiray.hand.anatomy.NORMAL_RANGES`. The
two agree on sideways motion and on how far a joint closes, but for two joints: end joints stop at 80 degrees (the
Academy's norm of 1965; 90 since 1994), though a sample reaches no more than 76, and the thumb's knuckle at 55 (50).
Backwards, fingers' knuckles stop at 15 degrees (45), and their hinges and the thumb's knuckle go 5 and 10 beyond the
norm's 0. The base of the thumb has no norm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.hand.joints import Finger
from hoiray.hand.openhand.axes import AnatomicalAxes
from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS, NUM_JOINTS

# Largest bending back and closing of each joint, degrees, base to tip.
FLEXION_RANGE_DEG = ((-15.0, 90.0), (-5.0, 100.0), (-5.0, 80.0))
THUMB_FLEXION_RANGE_DEG = ((-30.0, 50.0), (-10.0, 55.0), (-20.0, 80.0))
ABDUCTION_RANGE_DEG = (-20.0, 20.0)
THUMB_ABDUCTION_RANGE_DEG = (-40.0, 30.0)

# Far below the smallest variance of a direction in use (4e-5), far above rounding (1e-16).
TIE_BREAK_RAD2 = 1e-7


@dataclass(frozen=True)
class Closure:
    """How one finger takes part in closing the hand.

    Attributes:
        knuckle: factor of the shared closure; the little finger closes furthest in a power grasp.
        is_idle_in_precision: curls in although the grasp is a pinch, as all fingers but the index do.
        spread_deg: abduction of the spread hand, one standard deviation.
    """

    knuckle: float
    is_idle_in_precision: bool
    spread_deg: float


CLOSURES: dict[Finger, Closure] = {
    "index": Closure(0.8, False, 4.0),
    "middle": Closure(1.0, True, 1.0),
    "pinky": Closure(1.1, True, -5.0),
    "ring": Closure(1.05, True, -3.0),
}


@dataclass(frozen=True)
class PoseBasis:
    """Principal components of sampled poses, as MANO stores them.

    Attributes:
        mean: (45,) axis-angle in rad.
        components: (45, 45) orthonormal rows, of falling variance.
        coefficients: (N, 45) of some of the samples.
        explained: (45,) fraction of the variance.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    explained: NDArray[np.float64]


def joint_rotations(
    axes: AnatomicalAxes, flexion_deg: NDArray[np.float64], abduction_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Turn anatomical angles into MANO's pose: flex about the joint's own axis, then abduct.

    Args:
        axes: of the rest hand.
        flexion_deg: (N, 16) degrees, column 0 is the wrist and ignored.
        abduction_deg: (N, 16) degrees.

    Returns:
        (N, 45) axis-angle in rad.
    """
    num = len(flexion_deg)
    pose = np.zeros((num, NUM_JOINTS, 3))
    for joint in range(1, NUM_JOINTS):
        flex = Rotation.from_rotvec(np.radians(flexion_deg[:, joint, None]) * axes.flexion[joint])
        abduct = Rotation.from_rotvec(np.radians(abduction_deg[:, joint, None]) * axes.abduction[joint])
        pose[:, joint] = (abduct * flex).as_rotvec()
    return pose[:, 1:].reshape(num, -1)


def sample_angles(num: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw flexion and abduction of every joint, (num, 16) degrees each, inside the ranges above."""
    closure, power = rng.beta(1.3, 1.6, num), rng.uniform(size=num)
    spread = rng.normal(size=num) * (1.0 - 0.7 * closure)
    flexion, abduction = np.zeros((num, NUM_JOINTS)), np.zeros((num, NUM_JOINTS))
    for finger, share in CLOSURES.items():
        idle = 0.4 * (1.0 - power) * share.is_idle_in_precision
        amount = closure * (share.knuckle * (0.6 + 0.4 * power) + idle) + rng.normal(0.0, 0.1, num)
        amount = np.clip(amount, -0.08, 1.1)
        base, middle, end = FINGER_JOINTS[finger]
        flexion[:, base] = 80.0 * amount * rng.uniform(0.75, 1.0, num) - rng.uniform(0.0, 6.0, num)
        flexion[:, middle] = 95.0 * np.clip(amount * rng.uniform(0.6, 1.1, num), 0.0, 1.1)
        flexion[:, end] = flexion[:, middle] * rng.uniform(0.36, 0.72, num)
        flexion[:, (base, middle, end)] = _clip(flexion[:, (base, middle, end)], FLEXION_RANGE_DEG)
        abduction[:, base] = np.clip(share.spread_deg * spread + rng.normal(0.0, 2.5, num), *ABDUCTION_RANGE_DEG)
    thumb = FINGER_JOINTS["thumb"]
    centres = np.stack([12.0 + 20.0 * closure, 12.0 + 22.0 * closure, 15.0 + 25.0 * closure], axis=1)
    drawn = rng.normal(centres, (12.0, 14.0, 18.0))
    flexion[:, thumb] = _clip(drawn, THUMB_FLEXION_RANGE_DEG)
    abduction[:, thumb[0]] = np.clip(rng.normal(10.0 * closure - 5.0, 14.0), *THUMB_ABDUCTION_RANGE_DEG)
    return flexion, abduction


def sample_poses(axes: AnatomicalAxes, num: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw (num, 45) natural poses, axis-angle in rad, MANO's joint order."""
    return joint_rotations(axes, *sample_angles(num, rng))


def fit_pose_basis(poses: NDArray[np.float64], num_coefficients: int) -> PoseBasis:
    """Find the principal components of poses.

    Nothing is left to the linear algebra library: the largest element of every component is made positive, and the
    20 directions no pose uses (hinges neither abduct nor twist) are told apart by a tiny variance of their own.

    Args:
        poses: (N, 45).
        num_coefficients: how many poses to keep as coefficients.
    """
    mean = poses.mean(axis=0)
    covariance = np.cov(poses.T)
    values, vectors = np.linalg.eigh(covariance + np.diag(TIE_BREAK_RAD2 * np.linspace(1.0, 2.0, len(covariance))))
    components = vectors[:, ::-1].T
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components = components * np.sign(largest)
    explained = np.maximum(values[::-1], 0.0) / values.sum()
    return PoseBasis(mean, components, (poses[:num_coefficients] - mean) @ components.T, explained)


def flexion_range_deg(finger: Finger, level: int) -> tuple[float, float]:
    """Return the range of a finger's joint, `level` 0 at its base."""
    return (THUMB_FLEXION_RANGE_DEG if finger == "thumb" else FLEXION_RANGE_DEG)[level]


def abduction_range_deg(finger: Finger, level: int) -> tuple[float, float]:
    """Return the sideways range of a finger's joint; hinges (levels 1 and 2) have none."""
    if level > 0:
        return 0.0, 0.0
    return THUMB_ABDUCTION_RANGE_DEG if finger == "thumb" else ABDUCTION_RANGE_DEG


def curl(axes: AnatomicalAxes, finger: Finger, part: float = 1.0) -> NDArray[np.float64]:
    """Return the (45,) pose in which one finger is closed, by a part of its whole range, and the others straight."""
    flexion = np.zeros((1, NUM_JOINTS))
    for level, joint in enumerate(FINGER_JOINTS[finger]):
        flexion[0, joint] = part * flexion_range_deg(finger, level)[1]
    return np.asarray(joint_rotations(axes, flexion, np.zeros_like(flexion))[0])


def fist(axes: AnatomicalAxes) -> NDArray[np.float64]:
    """Return the (45,) pose of a closed fist, all fingers and the thumb at their limit."""
    return np.asarray(np.sum([curl(axes, finger) for finger in FINGERS], axis=0))


def _clip(
    values: NDArray[np.float64], ranges: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
) -> NDArray[np.float64]:
    low, high = np.array(ranges).T
    return np.clip(values, low, high)
