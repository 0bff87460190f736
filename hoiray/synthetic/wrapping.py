"""Wraps: the palm meets the object and the fingers close round it (power), or the fingers alone carry it (hook)."""

import numpy as np
from numpy.typing import NDArray

from hoiray.geometry.transforms import invert_transform, transform_points
from hoiray.hand.joints import FINGERS, NUM_MANO_JOINTS, Finger
from hoiray.synthetic.closing import CHAINS, CONTACT_M, SKIN_PRESS_M, TIP_LINK, close_digit, digit_clearance
from hoiray.synthetic.holding import (
    Gesture,
    Hand,
    Place,
    Try,
    depth_along,
    draw_place,
    freed,
    obstacles_of,
    set_finger,
    turn_and_put,
)
from hoiray.synthetic.objects import GraspKind, Grip, ObjectMesh
from hoiray.synthetic.posing import ABDUCTION, FLEXION, pose_rig

FloatArray = NDArray[np.float64]

_OPEN_DEG: dict[Finger, tuple[float, float, float, float]] = {
    "index": (4.0, 14.0, 8.0, 3.0),
    "middle": (4.0, 15.0, 9.0, 0.0),
    "ring": (4.0, 16.0, 9.0, -2.0),
    "pinky": (4.0, 16.0, 9.0, -5.0),
}
"""Flexion of the three joints and abduction of a hand about to wrap."""

_HOOK_DEG = (8.0, 35.0, 20.0, 0.0)

_THUMB_STARTS_DEG = (10.0, 25.0, 40.0, -5.0, -20.0)
"""Abduction of the thumb's base to start closing from, the usual ones first."""

_THUMB_BACK_DEG = (-25.0, -5.0, 0.0)
"""Flexion of the thumb's joints to start closing from."""

_MAX_SHIFTS = 2
"""Skin bulges when fingers bend: the object is moved out of it this often before a try is given up."""


def _open_hand(kind: GraspKind, rng: np.random.Generator) -> FloatArray:
    """Return the (16, 3) angles of a hand about to wrap, every finger a little different."""
    angles = np.zeros((NUM_MANO_JOINTS, 3))
    common = rng.normal(0.0, 4.0)
    for finger, degrees in _OPEN_DEG.items():
        mcp, pip, dip, spread = _HOOK_DEG if kind == "hook" else degrees
        bend = common + rng.normal(0.0, 1.5)
        set_finger(
            angles, finger, (mcp + bend, max(0.0, pip + bend), max(0.0, dip + bend), spread + rng.normal(0.0, 1.0))
        )
    thumb = CHAINS["thumb"]
    angles[thumb, FLEXION] = np.radians([-15.0, 0.0, 5.0])
    angles[thumb[0], ABDUCTION] = np.radians(25.0)
    return angles


def try_wrap(hand: Hand, target: ObjectMesh, grip: Grip, kind: GraspKind, rng: np.random.Generator) -> Try | None:
    """Lay the object in the hand and close the fingers round it; None where they find nothing to hold."""
    place = draw_place(grip, rng)
    opened = _open_hand(kind, rng)
    T_hand_obj = _place_in_palm(hand, target, place, kind=kind, opened=opened, rng=rng)
    if T_hand_obj is None:
        return None
    for _ in range(_MAX_SHIFTS + 1):
        wrapped = _wrap_fingers(hand, target, opened, T_hand_obj)
        if wrapped is None:
            return None
        closed, freed_hand = _oppose_thumb(hand, target, wrapped, T_hand_obj) if kind == "power" else wrapped
        shift = _way_out(hand, target, closed, T_hand_obj)
        if shift is None:
            break
        T_hand_obj = turn_and_put(T_hand_obj[:3, :3], np.zeros(3), T_hand_obj[:3, 3] + shift)
    else:
        return None
    return closed, freed_hand, T_hand_obj, np.array([0.0, 1.0, 0.0])


def _place_in_palm(
    hand: Hand, target: ObjectMesh, place: Place, *, kind: GraspKind, opened: FloatArray, rng: np.random.Generator
) -> FloatArray | None:
    """Lay the line across the palm, as people do obliquely, and push the object up until the skin touches."""
    widths = (depth_along(target, place.centre, side * place.across) for side in (1.0, -1.0))
    half_width_m = sum(widths) / 2.0
    knuckles = hand.rig.rest_joints[[CHAINS[finger][0] for finger in FINGERS[1:]]].mean(axis=0)
    oblique = rng.normal(0.21, 0.12) if kind == "power" else rng.normal(0.05, 0.06)
    along = np.array([-np.sin(oblique), 0.0, np.cos(oblique)])
    up = np.array([0.0, 1.0, 0.0])
    R_hand_obj = np.stack([along, up, np.cross(along, up)], 1) @ np.stack([place.along, place.out, place.across], 1).T
    # A thin handle lies in the crease below the knuckles, a wide can further back so that the fingers reach round it.
    forward = -0.02 + 0.75 * half_width_m if kind == "power" else -0.026
    spot = knuckles + np.array([forward + rng.normal(0.0, 0.004), -0.2, rng.normal(0.0, 0.006)])
    vertices, _ = pose_rig(hand.rig, opened)
    palm = vertices[hand.palm_ids]
    T_hand_obj = turn_and_put(R_hand_obj, place.centre, spot)
    for _ in range(40):
        points = np.asarray(transform_points(invert_transform(T_hand_obj), palm), dtype=np.float64)
        gap = float(target.signed_distance(points).min()) + SKIN_PRESS_M
        if gap < 2e-4:
            break
        T_hand_obj[1, 3] += gap
    # Past the palm: the line of the grip missed the hand.
    return T_hand_obj if T_hand_obj[:3, :3] @ place.centre @ up + T_hand_obj[1, 3] < knuckles[1] else None


def _wrap_fingers(hand: Hand, target: ObjectMesh, opened: FloatArray, T_hand_obj: FloatArray) -> Gesture | None:
    """Close the four fingers until they touch; what finds nothing to touch stays as bent as its neighbours."""
    obstacles = obstacles_of(target, T_hand_obj)
    closed, opened, missed = opened.copy(), opened.copy(), []
    for finger in FINGERS[1:]:
        digit = hand.digits[finger]
        start = freed(hand.rig, digit, closed, obstacles)
        if start is None:
            return None
        after = close_digit(hand.rig, digit, start, obstacles, stop_at_contact=False)
        clearance, _ = digit_clearance(hand.rig, digit, after, obstacles)
        closed[digit.joints], opened[digit.joints] = after[digit.joints], start[digit.joints]
        if clearance > CONTACT_M:
            missed.append(finger)
    if len(missed) > 2:
        return None
    touching = [CHAINS[finger] for finger in FINGERS[1:] if finger not in missed]
    for finger in missed:
        closed[list(CHAINS[finger]), FLEXION] = np.mean([closed[list(chain), FLEXION] for chain in touching], axis=0)
    return closed, opened


def _finger_capsules(hand: Hand, angles: FloatArray, fingers: tuple[Finger, ...]) -> FloatArray:
    """Wrap capsules round the bones of fingers, (3 a finger, 7), so that the thumb does not enter them."""
    vertices, joints = pose_rig(hand.rig, angles)
    rows = []
    for finger in fingers:
        digit = hand.digits[finger]
        for k, joint in enumerate(digit.joints):
            own = vertices[digit.skin_ids[digit.link == k]]
            # The skin of the last link is centred at about half of its length.
            tip = joints[joint] + 1.6 * (own.mean(axis=0) - joints[joint])
            end = joints[joint + 1] if k < TIP_LINK else tip
            bone = (end - joints[joint]) / np.linalg.norm(end - joints[joint])
            offset = own - joints[joint]
            radius = np.linalg.norm(offset - np.outer(offset @ bone, bone), axis=1).mean()
            rows.append(np.concatenate([joints[joint], end, [0.85 * radius]]))
    return np.array(rows)


def _oppose_thumb(hand: Hand, target: ObjectMesh, wrapped: Gesture, T_hand_obj: FloatArray) -> Gesture:
    """Close the thumb from several positions of its base and keep the one that touches best."""
    digit = hand.digits["thumb"]
    closed, opened = wrapped
    obstacles = obstacles_of(target, T_hand_obj, _finger_capsules(hand, closed, ("index", "middle")))
    alone = obstacles_of(target, T_hand_obj)
    best, best_start, best_score = closed, opened, -np.inf
    for rank, abduction_deg in enumerate(_THUMB_STARTS_DEG):
        start = closed.copy()
        start[digit.joints, FLEXION] = np.radians(_THUMB_BACK_DEG)
        start[digit.joints[0], ABDUCTION] = np.radians(abduction_deg)
        if digit_clearance(hand.rig, digit, start, obstacles)[0] < 0.0:
            continue
        after = close_digit(hand.rig, digit, start, obstacles, stop_at_contact=False)
        clearance, link = digit_clearance(hand.rig, digit, after, alone)
        score = (1.0 if clearance < CONTACT_M else 0.0) + 0.4 * (link == TIP_LINK) - 0.1 * rank
        if score > best_score:
            best, best_start, best_score = after, start, score
    opened = opened.copy()
    opened[digit.joints] = best_start[digit.joints]
    return best, opened


def _way_out(hand: Hand, target: ObjectMesh, closed: FloatArray, T_hand_obj: FloatArray) -> FloatArray | None:
    """Return the shift of the object, hand frame, that undoes a penetration; None where there is none to speak of."""
    vertices, _ = pose_rig(hand.rig, closed)
    points = np.asarray(transform_points(invert_transform(T_hand_obj), vertices), dtype=np.float64)
    contact = target.contact(points)
    deep = contact.distance_m < -0.002
    if not deep.any():
        return None
    # From the surface to the vertex is the way into the object: the object must go that way.
    inward = (points - contact.nearest)[deep]
    deepest = inward[np.linalg.norm(inward, axis=1).argmax()]
    return np.asarray(0.7 * T_hand_obj[:3, :3] @ deepest, dtype=np.float64)
