import numpy as np
import numpy.typing as npt

from hoiray.hand.anatomy import ARTICULATED_NAMES, anatomical_axes
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.poses import named_pose
from hoiray.predictors.fit_prior import angles_of, natural_angles, pose_prior


def _squared_distance(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    prior = pose_prior()
    off = angles - prior.mean
    return np.asarray(np.einsum("...i,ij,...j->...", off, prior.precision, off))


def test_natural_poses_lie_within_the_limits() -> None:
    prior = pose_prior()
    for angles in natural_angles(np.random.default_rng(9)):
        is_within = (angles >= prior.low) & (angles <= prior.high)
        assert is_within.mean() > 0.999  # of gestures, the thumb's base in a pose or two


def test_neither_grasps_nor_gestures_are_strange_to_the_prior() -> None:
    grasps, gestures = (_squared_distance(angles) for angles in natural_angles(np.random.default_rng(9)))
    # 45 angles of which some 20 move: a Gaussian's own samples lie at about 20
    assert np.median(grasps) < 30
    assert np.median(gestures) < 30


def test_a_finger_bent_alone_costs_more_than_the_same_bend_of_all() -> None:
    prior = pose_prior()
    joints = [3 * ARTICULATED_NAMES.index(f"{finger}_mcp") for finger in ("index", "middle", "ring", "pinky")]
    alone, together = prior.mean.copy(), prior.mean.copy()
    alone[joints[2]] += 0.8
    together[joints] += 0.8
    assert _squared_distance(alone) > _squared_distance(together)


def test_angles_are_those_of_the_goniometer() -> None:
    axes = anatomical_axes(load_hand_arrays(None))
    angles = np.degrees(angles_of(named_pose("hook", axes), axes))
    assert abs(angles[3 * ARTICULATED_NAMES.index("middle_pip")] - 85) < 1e-6
