"""Close fingers on an object until the skin touches it, without ever passing through.

A finger turns by its clearance divided by its longest lever arm: no point of it can travel farther than the clearance,
so the first contact cannot be jumped over (sphere tracing, Hart 1996, in joint angles). After a link has touched, the
joints beyond it go on closing, as underactuated hands and the GraspIt! simulator (Miller and Allen 2004) do.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiray.hand.joints import FINGERS, MANO_ROTATION_NAMES, Finger
from hoiray.synthetic.distance import DistanceTree, compiled, signed_distance_at
from hoiray.synthetic.posing import HandRig, place_bones, skin

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SKIN_PRESS_M = 0.0006
"""How deep a closed finger presses in; pads of real fingers yield by a millimetre or two under a light grip."""

CONTACT_M = 0.002
"""A link whose skin comes this near touches."""

TIP_LINK = 2
"""The last of a digit's three bones."""

_REACHED_M = 0.0002
_MAX_STEPS = 60
_FAR_M = 0.03
"""Clearances are cut off here: 3 cm divided by a finger's length is already a step of 20 degrees."""

_SEARCH_M = 0.01
"""Points deeper inside than the search radius would not be found; a finger is stopped long before it is 1 cm deep."""

CHAINS: Mapping[Finger, tuple[int, int, int]] = MappingProxyType(
    {
        finger: (first, first + 1, first + 2)
        for finger in FINGERS
        for first in [next(i for i, name in enumerate(MANO_ROTATION_NAMES) if name.startswith(finger))]
    }
)
"""Rows of each finger's joints in MANO's order, base to tip."""

# Flexion limits, rad, base to tip. Fingers: American Academy of Orthopaedic Surgeons norms, the end joint 10 degrees
# short of its norm, which few reach without help. The thumb's base has no norm relative to MANO's rest thumb.
FINGER_LIMITS_RAD = tuple(np.radians([85.0, 100.0, 70.0]).tolist())
THUMB_LIMITS_RAD = tuple(np.radians([45.0, 50.0, 70.0]).tolist())

# How the three joints share a closing movement. The end joint follows the middle one by about two thirds (Lin, Wu and
# Huang, "Modeling the Constraints of Human Hand Motion", 2000).
FINGER_RATES = (1.0, 1.1, 0.7)
THUMB_RATES = (1.0, 0.7, 0.6)


class Digit(NamedTuple):
    """One finger or thumb, as the closing loop sees it.

    Attributes:
        joints: (3,) rows of the angles, base to tip.
        skin_ids: vertices on it, those of the last link last.
        link: (len(skin_ids),) 0, 1, 2: which of the three bones carries the vertex.
        limits_rad, rates: (3,) per joint.
        reach_m: (3,) longest lever arm of the vertices about each joint.
    """

    joints: IntArray
    skin_ids: IntArray
    link: IntArray
    limits_rad: FloatArray
    rates: FloatArray
    reach_m: FloatArray


class Obstacles(NamedTuple):
    """What a digit must not enter: the object, and capsules round the bones of other fingers.

    Attributes:
        tree: the object's surface.
        R_obj_hand, t_obj_hand: (3, 3) and (3,).
        capsules: (C, 7) start, end, radius; hand frame.
    """

    tree: DistanceTree
    R_obj_hand: FloatArray
    t_obj_hand: FloatArray
    capsules: FloatArray


def make_digit(rig: HandRig, finger: Finger, *, stride: int = 1) -> Digit:
    """Collect a finger's vertices: those its three bones carry by more than half.

    Args:
        rig: of a hand.
        finger: which one.
        stride: use every n-th vertex only.
    """
    joints = np.array(CHAINS[finger], dtype=np.int64)
    heaviest = rig.bone_ids[:, 0]
    share = np.where(np.isin(rig.bone_ids, joints), rig.bone_weights, 0.0).sum(axis=1)
    own = np.flatnonzero((share > 0.5) & np.isin(heaviest, joints))
    own = own[np.argsort(heaviest[own], kind="stable")][::stride]
    link = heaviest[own] - joints[0]
    reach = np.zeros(3)
    for k in range(3):
        moved = rig.rest_vertices[own[link >= k]]
        # Straight is longest: bending only shortens the distance to the joint.
        reach[k] = np.linalg.norm(moved - rig.rest_joints[joints[k]], axis=1).max()
    is_thumb = finger == "thumb"
    return Digit(
        joints=joints,
        skin_ids=own.astype(np.int64),
        link=link.astype(np.int64),
        limits_rad=np.array(THUMB_LIMITS_RAD if is_thumb else FINGER_LIMITS_RAD),
        rates=np.array(THUMB_RATES if is_thumb else FINGER_RATES),
        reach_m=reach,
    )


def close_digit(
    rig: HandRig, digit: Digit, angles_rad: FloatArray, obstacles: Obstacles, *, stop_at_contact: bool
) -> FloatArray:
    """Close one digit from where it is.

    Args:
        rig: the hand.
        digit: which finger.
        angles_rad: (16, 3) of the whole hand; the digit must be free of the object.
        obstacles: what to touch.
        stop_at_contact: end with the first contact (a pinch); else the joints beyond it go on (a wrap).

    Returns:
        (16, 3) new angles.
    """
    closed = np.array(angles_rad)
    _close(rig, digit, closed, obstacles, stop_at_contact)
    return closed


def digit_clearance(rig: HandRig, digit: Digit, angles_rad: FloatArray, obstacles: Obstacles) -> tuple[float, int]:
    """Measure the smallest clearance of a digit, at most 3 cm, and the link (0, 1, 2) that has it."""
    clearance, link = _clearance(rig, digit, angles_rad, obstacles, 0)
    return float(clearance), int(link)


@compiled
def _capsule_distance(capsule: FloatArray, x: float, y: float, z: float) -> float:  # pragma: no cover - compiled
    ux, uy, uz = capsule[3] - capsule[0], capsule[4] - capsule[1], capsule[5] - capsule[2]
    px, py, pz = x - capsule[0], y - capsule[1], z - capsule[2]
    along = min(1.0, max(0.0, (px * ux + py * uy + pz * uz) / (ux * ux + uy * uy + uz * uz)))
    return float(np.sqrt((px - along * ux) ** 2 + (py - along * uy) ** 2 + (pz - along * uz) ** 2) - capsule[6])


@compiled
def _clearance(  # pragma: no cover - compiled
    rig: HandRig, digit: Digit, angles_rad: FloatArray, obstacles: Obstacles, first_link: int
) -> tuple[float, int]:
    """Return the smallest clearance of the links from `first_link` on, and the link that has it."""
    rotations, shifts, feature = np.empty((16, 3, 3)), np.empty((16, 3)), np.empty(135)
    place_bones(rig, angles_rad, rotations, shifts, feature)
    points = np.empty((len(digit.skin_ids), 3))
    skin(rig, rotations, shifts, feature, digit.skin_ids, points)
    smallest, at_link = _FAR_M, -1
    p, nearest = np.empty(3), np.empty(3)
    for i in range(len(points)):
        if digit.link[i] < first_link:
            continue
        for row in range(3):
            p[row] = obstacles.t_obj_hand[row]
            for k in range(3):
                p[row] += obstacles.R_obj_hand[row, k] * points[i, k]
        distance = signed_distance_at(obstacles.tree, p, max(smallest, _SEARCH_M), nearest)
        for c in range(len(obstacles.capsules)):
            distance = min(distance, _capsule_distance(obstacles.capsules[c], points[i, 0], points[i, 1], points[i, 2]))
        if distance < smallest:
            smallest, at_link = distance, digit.link[i]
    return smallest, at_link


@compiled
def _advance(  # pragma: no cover - compiled
    rig: HandRig, digit: Digit, angles_rad: FloatArray, obstacles: Obstacles, first_link: int
) -> int:
    """Turn the joints from `first_link` on until contact; return the touching link, -1 at the joints' limits."""
    for _ in range(_MAX_STEPS):
        clearance, link = _clearance(rig, digit, angles_rad, obstacles, first_link)
        gap = clearance + SKIN_PRESS_M
        if gap < _REACHED_M:
            return link
        lever = 0.0
        for k in range(first_link, 3):
            if angles_rad[digit.joints[k], 0] < digit.limits_rad[k]:
                lever += digit.rates[k] * digit.reach_m[k]
        if lever == 0.0:
            return -1
        step = gap / lever
        for k in range(first_link, 3):
            joint = digit.joints[k]
            if angles_rad[joint, 0] < digit.limits_rad[k]:
                angles_rad[joint, 0] = min(digit.limits_rad[k], angles_rad[joint, 0] + digit.rates[k] * step)
    return link


@compiled
def _close(  # pragma: no cover - compiled
    rig: HandRig, digit: Digit, angles_rad: FloatArray, obstacles: Obstacles, stop_at_contact: bool
) -> None:
    first_link = 0
    while first_link < 3:
        touched = _advance(rig, digit, angles_rad, obstacles, first_link)
        if touched < 0 or stop_at_contact:
            return
        first_link = touched + 1
