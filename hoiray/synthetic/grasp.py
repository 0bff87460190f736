"""Grasps: where a hand holds an object, and how its fingers close on it until they touch.

A grasp is found as a hand does it: take a place to hold (`hoiray.synthetic.objects.Grip`), bring the palm or the pads
there, close the fingers until the skin touches, and look whether it holds. A try that floats or digs in is thrown away
and another is made, a bounded number of times. All of it is a pure function of the generator passed in.

Frames: `hand` is the rest frame of the model of the hand's own side with the wrist where the rest pose has it
(`global_orient` and `transl` zero); for a right hand the fingers point to -x, the back of the hand to +y, the thumb to
+z. Left grasps are right ones, mirrored: objects are their own mirror images under y -> -y.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoiray.geometry.transforms import invert_transform, transform_points
from hoiray.hand.joints import MANO_ROTATION_NAMES, NUM_MANO_JOINTS
from hoiray.hand.sides import mirror_axis_angle
from hoiray.synthetic.closing import CONTACT_M
from hoiray.synthetic.holding import Hand
from hoiray.synthetic.objects import GraspKind, ObjectMesh
from hoiray.synthetic.pinching import try_pinch
from hoiray.synthetic.posing import hand_pose_of_angles, pose_rig
from hoiray.synthetic.wrapping import try_wrap

FloatArray = NDArray[np.float64]

MAX_PENETRATION_M = 0.003
"""A vertex deeper than this refuses a try; fingertips of people yield by 2 to 3 mm under a firm grip."""

MAX_TRIES = 24
"""Per grasp; the kinds that suit an object succeed within the first few."""


@dataclass(frozen=True)
class ContactStatistics:
    """How a hand and an object touch.

    Attributes:
        max_penetration_m: depth of the deepest of the hand's vertices, 0 where none is inside.
        mean_penetration_m: mean depth of the vertices inside, 0 where none is.
        mean_contact_distance_m: mean over the touching links of the distance of their nearest vertex, unsigned.
        num_contacts: touching links (of 15) plus one where the palm touches.
        touching: names of the touching links' joints, MANO order; "wrist" is the palm.
    """

    max_penetration_m: float
    mean_penetration_m: float
    mean_contact_distance_m: float
    num_contacts: int
    touching: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Grasp:
    """One way to hold one object.

    Attributes:
        kind: how.
        is_right: side.
        T_hand_obj: (4, 4) object to hand frame, metres.
        hand_pose: (45,) axis-angle, MANO order, for the model of this side.
        open_pose: (45,) the hand just before it closes.
        retreat_hand: (3,) unit vector, hand frame: the way the hand backs off from the object.
        statistics: measured on the closed hand.
        num_tries: how many were made.
    """

    kind: GraspKind
    is_right: bool
    T_hand_obj: FloatArray
    hand_pose: FloatArray
    open_pose: FloatArray
    retreat_hand: FloatArray
    statistics: ContactStatistics
    num_tries: int


def find_grasp(
    hand: Hand, target: ObjectMesh, kind: GraspKind, *, is_right: bool, rng: np.random.Generator
) -> Grasp | None:
    """Find a grasp in contact.

    Args:
        hand: of the person, as `make_hand` returns it.
        target: what to hold.
        kind: how to hold it.
        is_right: side of the hand.
        rng: decides place, direction and style; the same state gives the same grasp.

    Returns:
        The first try that touches as its kind demands and enters nowhere deeper than `MAX_PENETRATION_M`; None where
        `MAX_TRIES` tries found none, or the object has no place for this kind.
    """
    grips = [grip for grip in target.grips if kind in grip.kinds]
    if not grips:
        return None
    for attempt in range(MAX_TRIES):
        grip = grips[int(rng.integers(len(grips)))]
        tried = try_wrap(hand, target, grip, kind, rng) if kind in {"power", "hook"} else try_pinch(
            hand, target, grip, kind, rng
        )  # fmt: skip
        if tried is None:
            continue
        closed, opened, T_hand_obj, retreat = tried
        statistics = measure_grasp(hand, target, closed, T_hand_obj)
        if holds(kind, statistics):
            found = Grasp(
                kind,
                True,
                T_hand_obj,
                hand_pose_of_angles(hand.rig, closed),
                hand_pose_of_angles(hand.rig, opened),
                retreat,
                statistics,
                attempt + 1,
            )
            return found if is_right else mirror_grasp(found)
    return None


def mirror_grasp(grasp: Grasp) -> Grasp:
    """Turn a right hand's grasp into the left hand's of the same object, or back.

    With M = diag(-1, 1, 1) the mirror of the hand frame and N = diag(1, -1, 1) that of the object, which leaves the
    object as it is: p_hand' = M T p_obj = (M T N) (N p_obj).
    """
    mirror_hand, mirror_object = np.diag([-1.0, 1.0, 1.0, 1.0]), np.diag([1.0, -1.0, 1.0, 1.0])
    return replace(
        grasp,
        is_right=not grasp.is_right,
        T_hand_obj=mirror_hand @ grasp.T_hand_obj @ mirror_object,
        hand_pose=mirror_axis_angle(grasp.hand_pose),
        open_pose=mirror_axis_angle(grasp.open_pose),
        retreat_hand=grasp.retreat_hand * np.array([-1.0, 1.0, 1.0]),
    )


def measure_grasp(hand: Hand, target: ObjectMesh, angles_rad: FloatArray, T_hand_obj: FloatArray) -> ContactStatistics:
    """Measure how a posed right hand and an object touch.

    Args:
        hand: of the person.
        target: the object.
        angles_rad: (16, 3).
        T_hand_obj: (4, 4).
    """
    vertices, _ = pose_rig(hand.rig, angles_rad)
    points = np.asarray(transform_points(invert_transform(T_hand_obj), vertices), dtype=np.float64)
    distance = target.signed_distance(points)
    nearest = np.full(NUM_MANO_JOINTS, np.inf)
    np.minimum.at(nearest, hand.rig.bone_ids[:, 0], distance)
    is_touching = nearest < CONTACT_M
    inside = distance[distance < 0.0]
    return ContactStatistics(
        max_penetration_m=float(max(0.0, -distance.min())),
        mean_penetration_m=float(-inside.mean()) if len(inside) else 0.0,
        mean_contact_distance_m=float(np.abs(nearest[is_touching]).mean()) if is_touching.any() else float("nan"),
        num_contacts=int(is_touching.sum()),
        touching=tuple(name for name, touches in zip(MANO_ROTATION_NAMES, is_touching, strict=True) if touches),
    )


def holds(kind: GraspKind, statistics: ContactStatistics) -> bool:
    """Judge whether a hand that touches so holds the object, as its kind demands, without entering it."""
    if statistics.max_penetration_m > MAX_PENETRATION_M:
        return False
    fingers = {name.split("_")[0] for name in statistics.touching} - {"thumb", "wrist"}
    thumb_tip, thumb = "thumb_ip" in statistics.touching, any(n.startswith("thumb") for n in statistics.touching)
    tips = {name.split("_")[0] for name in statistics.touching if name.endswith("_dip")}
    if kind == "power":
        return thumb and len(fingers) >= 2 and statistics.num_contacts >= 4
    if kind == "hook":
        return len(fingers) >= 3
    if kind == "lateral":
        return thumb_tip and "index" in fingers
    if kind == "tripod":
        return thumb_tip and {"index", "middle"} <= tips
    return thumb_tip and "index" in tips
