"""Pinches: what is held between pads.

Pads of thumb and fingers face each other across the object (precision, tripod), or the thumb presses it against the
side of the index finger (lateral, as one holds a key).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.hand.joints import FINGERS, NUM_MANO_JOINTS, Finger
from hoiray.hand.load import load_hand_arrays
from hoiray.synthetic.closing import CHAINS, TIP_LINK, Digit, close_digit
from hoiray.synthetic.holding import (
    Gesture,
    Hand,
    Try,
    depth_along,
    draw_place,
    freed,
    make_hand,
    obstacles_of,
    set_finger,
    turn_and_put,
)
from hoiray.synthetic.objects import GraspKind, Grip, ObjectMesh
from hoiray.synthetic.posing import ABDUCTION, FLEXION, TWIST, HandRig, place_bones, pose_rig, skin

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_MAX_WIDTH_M = {"precision": 0.085, "tripod": 0.07, "lateral": 0.03}
_PINCH_GAP_M = 0.008
"""How much wider than the object the pads open before they close."""


class _Pad(NamedTuple):
    """A patch of skin: its vertices, and its outward direction at rest as carried by one bone."""

    ids: IntArray
    bone: int
    normal: FloatArray


def _make_pad(rig: HandRig, digit: Digit, link: int, normal: FloatArray) -> _Pad:
    """Take the eight vertices of a link that stand out most in a direction, near the link's middle."""
    own = digit.skin_ids[digit.link == link]
    bone = int(digit.joints[link])
    offset = rig.rest_vertices[own] - rig.rest_joints[bone]
    along = offset @ rig.twist_axes[bone]
    middle = np.abs(along - 0.62 * along.max()) < 0.25 * along.max()
    ranked = own[middle][np.argsort(-(offset[middle] @ normal), kind="stable")]
    return _Pad(ranked[:8], bone, normal)


def _palmar(rig: HandRig, joint: int) -> FloatArray:
    """Direction in which a joint's bone moves when it flexes: out of the pad."""
    return np.asarray(np.cross(rig.flexion_axes[joint], rig.twist_axes[joint]))


def _pads(hand: Hand, kind: GraspKind) -> tuple[_Pad, tuple[_Pad, ...]]:
    """Return the pad of the thumb and the pads that press against it."""
    rig = hand.rig

    def tip(finger: Finger) -> _Pad:
        return _make_pad(rig, hand.digits[finger], TIP_LINK, _palmar(rig, CHAINS[finger][2]))

    if kind == "lateral":
        middle = CHAINS["index"][1]
        side = np.cross(rig.twist_axes[middle], _palmar(rig, middle))
        side = side if side[2] > 0 else -side
        return tip("thumb"), (_make_pad(rig, hand.digits["index"], 1, side / np.linalg.norm(side)),)
    return tip("thumb"), (tip("index"), tip("middle")) if kind == "tripod" else (tip("index"),)


def _locate(rig: HandRig, angles: FloatArray, pad: _Pad) -> tuple[FloatArray, FloatArray]:
    """Return a pad's centre and outward unit normal on the posed hand."""
    rotations, shifts, feature = np.empty((NUM_MANO_JOINTS, 3, 3)), np.empty((NUM_MANO_JOINTS, 3)), np.empty(135)
    place_bones(rig, angles, rotations, shifts, feature)
    points = np.empty((len(pad.ids), 3))
    skin(rig, rotations, shifts, feature, pad.ids, points)
    return points.mean(axis=0), rotations[pad.bone] @ pad.normal


class _Opposition(NamedTuple):
    """A hand about to pinch: its angles, the middle between the pads, the way from thumb to finger, and their gap."""

    angles: FloatArray
    middle: FloatArray
    across: FloatArray
    gap_m: float


_CURLED_DEG: dict[GraspKind, dict[Finger, tuple[float, float, float, float]]] = {
    "precision": {
        "index": (45.0, 40.0, 22.0, 0.0), "middle": (42.0, 42.0, 24.0, 0.0), "ring": (46.0, 46.0, 28.0, -2.0),
        "pinky": (48.0, 48.0, 28.0, -5.0),
    },
    "tripod": {
        "index": (45.0, 42.0, 22.0, 2.0), "middle": (46.0, 45.0, 25.0, 2.0), "ring": (60.0, 66.0, 40.0, -1.0),
        "pinky": (64.0, 70.0, 42.0, -3.0),
    },
    "lateral": {
        "index": (38.0, 62.0, 36.0, 0.0), "middle": (46.0, 68.0, 40.0, 0.0), "ring": (52.0, 72.0, 42.0, -1.0),
        "pinky": (56.0, 74.0, 42.0, -3.0),
    },
}  # fmt: skip
"""Where each kind of pinch starts from; chosen by looking at people's hands and at renderings."""

_PRESSING: dict[GraspKind, tuple[Finger, ...]] = {
    "precision": ("index", "thumb"),
    "tripod": ("index", "middle", "thumb"),
    "lateral": ("thumb",),
}
"""Digits that close until they touch; the others follow a little way."""

_GAPS_M = (0.006, 0.016, 0.026, 0.038, 0.05, 0.064, 0.08, 0.095)
"""Gaps between the pads at which the pinching hand is solved for, once."""


@lru_cache(maxsize=8)
def _mean_hand() -> Hand:
    return make_hand(load_hand_arrays(), np.zeros(10))


class _Freedom(NamedTuple):
    """An angle the solver may change: the degrees it starts from and stays between.

    A `joint` of None is a level of all four fingers, which bend together and keep their differences to the index.
    """

    joint: int | None
    level: int
    column: int
    usual: float
    low: float
    high: float


def _freedoms(kind: GraspKind) -> tuple[_Freedom, ...]:
    base, middle, end = CHAINS["thumb"]
    thumb = (
        _Freedom(base, 0, FLEXION, 8.0, -25.0, 45.0),
        _Freedom(base, 0, ABDUCTION, 15.0, -35.0, 50.0),
        _Freedom(base, 0, TWIST, 8.0, -5.0, 35.0),
        _Freedom(middle, 1, FLEXION, 15.0, -5.0, 50.0),
        _Freedom(end, 2, FLEXION, 15.0, -15.0, 60.0),
    )
    if kind == "lateral":
        return thumb
    ranges = ((-15.0, 80.0), (4.0, 90.0), (2.0, 55.0))
    usual = _CURLED_DEG[kind]["index"]
    return (*thumb, *(_Freedom(None, k, FLEXION, usual[k], low, high) for k, (low, high) in enumerate(ranges)))


def _with_freedoms(angles: FloatArray, freedoms: tuple[_Freedom, ...], degrees: FloatArray) -> FloatArray:
    """Return (16, 3) angles with the free ones set."""
    result = angles.copy()
    for free, value in zip(freedoms, degrees, strict=True):
        if free.joint is not None:
            result[free.joint, free.column] = np.radians(value)
            continue
        for finger in FINGERS[1:]:
            result[CHAINS[finger][free.level], free.column] += np.radians(value - free.usual)
    return result


@lru_cache(maxsize=64)
def _pinch_angles(kind: GraspKind, gap_index: int) -> FloatArray:
    """Solve for the angles at which pads face each other across a gap, on the mean hand; (16, 3), read-only."""
    rig, freedoms = _mean_hand().rig, _freedoms(kind)
    thumb_pad, finger_pads = _pads(_mean_hand(), kind)
    curled = np.zeros((NUM_MANO_JOINTS, 3))
    for finger, degrees in _CURLED_DEG[kind].items():
        set_finger(curled, finger, degrees)
    usual = np.array([free.usual for free in freedoms])

    def misfit(degrees: FloatArray) -> FloatArray:
        angles = _with_freedoms(curled, freedoms, degrees)
        point_t, normal_t = _locate(rig, angles, thumb_pad)
        located = [_locate(rig, angles, pad) for pad in finger_pads]
        across = np.mean([point for point, _ in located], axis=0) - point_t
        distance = float(np.linalg.norm(across))
        across = across / max(distance, 1e-6)
        facing = np.array([1.0 - normal_t @ across, *(1.0 + normal @ across for _, normal in located)])
        # 1.5 mm of gap weigh as much as pads 48 degrees askew or an angle 45 degrees from its usual value.
        return np.concatenate([[(distance - _GAPS_M[gap_index]) / 0.0015], 3.0 * facing, (degrees - usual) / 45.0])

    bounds = (np.array([free.low for free in freedoms]), np.array([free.high for free in freedoms]))
    solved = _with_freedoms(curled, freedoms, least_squares(misfit, usual, bounds=bounds, max_nfev=60).x)
    solved.setflags(write=False)
    return solved


def _opposition(hand: Hand, kind: GraspKind, gap_m: float) -> _Opposition:
    """Open this hand's pads to a gap: blend the two nearest solved hands, and see where the pads then are."""
    position = float(np.interp(gap_m, _GAPS_M, np.arange(len(_GAPS_M))))
    low = min(int(position), len(_GAPS_M) - 2)
    share = position - low
    angles = (1.0 - share) * _pinch_angles(kind, low) + share * _pinch_angles(kind, low + 1)
    thumb_pad, finger_pads = _pads(hand, kind)
    point_t, _ = _locate(hand.rig, angles, thumb_pad)
    point_f = np.mean([_locate(hand.rig, angles, pad)[0] for pad in finger_pads], axis=0)
    across = point_f - point_t
    gap = float(np.linalg.norm(across))
    return _Opposition(angles, (point_t + point_f) / 2.0, across / gap, gap)


def try_pinch(hand: Hand, target: ObjectMesh, grip: Grip, kind: GraspKind, rng: np.random.Generator) -> Try | None:
    """Bring the pads to either side of the object and press; None where it does not fit between them."""
    place = draw_place(grip, rng)
    ahead = depth_along(target, place.centre, place.across)
    behind = depth_along(target, place.centre, -place.across)
    if not 0.0 < ahead + behind < _MAX_WIDTH_M[kind]:
        return None
    opposed = _opposition(hand, kind, ahead + behind + _PINCH_GAP_M)
    back = _towards_palm(hand, opposed, rng)
    side = np.cross(opposed.across, back)
    # The finger's side of the object is at +across: along = out x across.
    frame_obj = np.stack([place.across, place.out, np.cross(place.across, place.out)], axis=1)
    R_hand_obj = np.stack([opposed.across, back, side], axis=1) @ frame_obj.T
    middle = place.centre + (ahead - behind) / 2.0 * place.across
    T_hand_obj = turn_and_put(R_hand_obj, middle, opposed.middle)
    pressed = _press(hand, target, kind, opposed.angles, T_hand_obj)
    return None if pressed is None else (*pressed, T_hand_obj, back)


def _towards_palm(hand: Hand, opposed: _Opposition, rng: np.random.Generator) -> FloatArray:
    """Return the unit vector, across the opposition, from the pads to the palm, turned a little at random."""
    _, joints = pose_rig(hand.rig, opposed.angles)
    knuckles = joints[[CHAINS["index"][0], CHAINS["middle"][0]]].mean(axis=0)
    web = 0.6 * knuckles + 0.4 * joints[CHAINS["thumb"][1]]
    back = web - opposed.middle
    back = back - (back @ opposed.across) * opposed.across
    back = back / np.linalg.norm(back)
    turned = axis_angle_to_matrix(rng.normal(0.0, 0.22) * opposed.across) @ back
    return np.asarray(turned, dtype=np.float64)


def _press(
    hand: Hand, target: ObjectMesh, kind: GraspKind, apart: FloatArray, T_hand_obj: FloatArray
) -> Gesture | None:
    """Close thumb and fingers on what is between them; the others follow without getting in the way."""
    obstacles = obstacles_of(target, T_hand_obj)
    closed, opened = apart.copy(), apart.copy()
    pressing = _PRESSING[kind]
    order: tuple[Finger, ...] = (*FINGERS[1:], "thumb")
    for finger in order:
        digit = hand.digits[finger]
        start = freed(hand.rig, digit, closed, obstacles)
        if start is None:
            return None
        opened[digit.joints] = start[digit.joints]
        if kind == "lateral" and finger != "thumb":
            closed = start
            continue
        reach = np.radians(30.0 if finger in pressing else 14.0)
        limits = np.minimum(digit.limits_rad, start[digit.joints, FLEXION] + reach)
        gentle = digit._replace(limits_rad=limits, rates=np.array([1.0, 0.5, 0.3]))
        closed = close_digit(hand.rig, gentle, start, obstacles, stop_at_contact=True)
    return closed, opened
