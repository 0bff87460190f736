"""What every way of holding needs: the hand, the place it goes to, and what is in its way.

Frames: `hand` is the rest frame of the right hand's model with the wrist where the rest pose has it; the fingers point
to -x, the back of the hand to +y, the thumb to +z.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.geometry.transforms import invert_transform, make_transform
from hoiray.hand.joints import FINGERS, Finger
from hoiray.hand.load import HandArrays
from hoiray.synthetic.closing import CHAINS, Digit, Obstacles, digit_clearance, make_digit
from hoiray.synthetic.objects import Grip, ObjectMesh
from hoiray.synthetic.posing import ABDUCTION, FLEXION, HandRig, make_rig

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_UPSIDE_DOWN_SHARE = 0.12
"""How often the thumb points to the lower end of what is held (to pour, or to turn over)."""

Gesture = tuple[FloatArray, FloatArray]
"""Closed angles and, (16, 3) each, the open ones they were closed from, free of the object."""

Try = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""Closed angles, open angles (16, 3) each, T_hand_obj, retreat direction in the hand frame."""


class Place(NamedTuple):
    """Where the hand goes: unit vectors in object axes. `along` the line, `out` to the palm, `across` = along x out."""

    centre: FloatArray
    along: FloatArray
    out: FloatArray
    across: FloatArray


def draw_place(grip: Grip, rng: np.random.Generator) -> Place:
    """Draw a place of a grip: somewhere on its line, from an allowed direction, now and then upside down."""
    start, end = np.array(grip.start_m, dtype=np.float64), np.array(grip.end_m, dtype=np.float64)
    centre = start + rng.uniform() * (end - start)
    along = (end - start) / np.linalg.norm(end - start)
    if grip.towards_hand:
        out = np.array(grip.towards_hand[int(rng.integers(len(grip.towards_hand)))], dtype=np.float64)
        turn = rng.uniform(-grip.free_turn_rad, grip.free_turn_rad)
    else:
        out = np.cross(along, [0.0, 1.0, 0.0] if abs(along[1]) < 0.9 else [1.0, 0.0, 0.0])
        turn = rng.uniform(-np.pi, np.pi)
    if rng.uniform() < _UPSIDE_DOWN_SHARE:
        along = -along
    out = out - (out @ along) * along
    out = np.asarray(axis_angle_to_matrix(turn * along) @ (out / np.linalg.norm(out)), dtype=np.float64)
    return Place(centre, along, out, np.cross(along, out))


def depth_along(target: ObjectMesh, origin: FloatArray, direction: FloatArray) -> float:
    """March from a point inside the object to its surface; 0 where the point is outside."""
    travelled = 0.0
    for _ in range(40):
        distance = float(target.signed_distance((origin + travelled * direction)[None])[0])
        if distance > -1e-5:
            break
        travelled -= distance
    return travelled


def turn_and_put(R_hand_obj: FloatArray, object_point: FloatArray, hand_point: FloatArray) -> FloatArray:
    """Return the T_hand_obj that turns by `R_hand_obj` and takes `object_point` to `hand_point`."""
    return np.asarray(make_transform(R_hand_obj, hand_point - R_hand_obj @ object_point), dtype=np.float64)


def obstacles_of(target: ObjectMesh, T_hand_obj: FloatArray, capsules: FloatArray | None = None) -> Obstacles:
    """Describe what fingers must not enter: an object and, hand frame, (C, 7) capsules."""
    T_obj_hand = np.asarray(invert_transform(T_hand_obj), dtype=np.float64)
    return Obstacles(
        target.tree,
        np.ascontiguousarray(T_obj_hand[:3, :3]),
        np.ascontiguousarray(T_obj_hand[:3, 3]),
        np.empty((0, 7)) if capsules is None else capsules,
    )


class Hand(NamedTuple):
    """A right hand of one shape with what grasping needs of it."""

    rig: HandRig
    digits: dict[Finger, Digit]
    palm_ids: IntArray


def make_hand(arrays: HandArrays, betas: FloatArray) -> Hand:
    """Prepare a hand of one shape for `find_grasp`; either side's arrays give the right hand."""
    rig = make_rig(arrays, np.asarray(betas, dtype=np.float64))
    digits: dict[Finger, Digit] = {finger: make_digit(rig, finger) for finger in FINGERS}
    palm = np.flatnonzero(np.isin(rig.bone_ids[:, 0], [0, *(chain[0] for chain in CHAINS.values())]))
    return Hand(rig, digits, palm)


def set_finger(angles: FloatArray, finger: Finger, degrees: tuple[float, float, float, float]) -> None:
    """Write flexion of the three joints and abduction of the base into (16, 3) angles, in place."""
    base, middle, end = CHAINS[finger]
    angles[[base, middle, end], FLEXION] = np.radians(degrees[:3])
    angles[base, ABDUCTION] = np.radians(degrees[3])


def freed(rig: HandRig, digit: Digit, angles: FloatArray, obstacles: Obstacles) -> FloatArray | None:
    """Straighten a digit until it is free of the object; None where it cannot be."""
    for back_deg in (0.0, 8.0, 16.0, 26.0):
        start = angles.copy()
        start[digit.joints, FLEXION] = np.maximum(
            start[digit.joints, FLEXION] - np.radians(back_deg), np.radians(-25.0)
        )
        start[digit.joints[1:], FLEXION] = np.maximum(start[digit.joints[1:], FLEXION], 0.0)
        if digit_clearance(rig, digit, start, obstacles)[0] > -0.0015:
            return start
    return None
