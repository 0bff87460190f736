"""Is a data set what it says it is? Measured on a few annotations when it is opened.

A wrong joint order, axis, unit or side gives labels that look like hands and train a network to be wrong. Each check
here is a pure function that measures one thing, compares it with what the format declares, and *names* what the files
look like instead: "looks like millimetres", "looks like the simple order". The annotations come in as the reader has
converted them (simple order, OpenCV axes, metres, absolute pose), because an error of the files survives conversion.

The checks are made in an order in which each may rely on those before it; the first problem found is the one reported,
since what comes after it would be misleading.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from hoiray.datasets.conventions import Conventions, Problem
from hoiray.datasets.parameter_checks import parameter_problem, stored_joints, tip_problem
from hoiray.datasets.sample import FloatArray, HandAnnotation, Sample
from hoiray.geometry.boxes import expand
from hoiray.geometry.cameras import project_points
from hoiray.hand.joints import BONES, FINGER_JOINTS, FINGERS, JOINT_NAMES, MANO_NAMES, MIDDLE_MCP, SIMPLE_NAMES, WRIST
from hoiray.hand.load import HandArrays

NUM_CHECKED: Final = 24
"""Annotations looked at when a set is opened: enough for medians, a second of reading."""

PALM_RANGE_M: Final = (0.05, 0.20)
"""Wrist to middle knuckle. 2000 random shapes of the open hand gave 0.076 to 0.117 m; children and sensors widen it. No
other common unit falls into the range."""

_UNITS: Final[Mapping[str, float]] = MappingProxyType(
    {"millimetres": 1e-3, "centimetres": 1e-2, "decimetres": 1e-1, "kilometres": 1e3}
)

MIN_WRIST_DISTANCE_M: Final = 0.02
"""A wrist nearer to the camera than this is no distance but a subtracted root."""

ORDER_RATIO: Final = 0.95
"""Another order is named where it makes the hand's skeleton shorter than this share. Over 2000 random poses each pair
of orders gave a median of 0.90 or less, and the right order was never the longer one."""

_PALM_LINK_WEIGHT: Final = 5.0
"""Weight of the three gaps between neighbouring knuckles: they alone tell ring from pinky where whole fingers changed
places (10 % of the weighted sum, 3 % of the plain one)."""

MIN_CHIRALITY: Final = 0.3
"""Medians below this tell no side; right hands of 2000 random poses gave -0.05 to 1.5 with a median of 0.86."""

WRIST_DEPTH_RANGE_M: Final = (0.1, 5.0)
"""A wrist's depth in any of these data sets; millimetres give hundreds."""

WRIST_BOX_FACTOR: Final = 2.0
"""A box around the visible hand may end short of a hidden wrist, by less than half its side."""

MIN_SHARE_IN_IMAGE: Final = 0.5
IMAGE_MARGIN: Final = 0.25
"""Hands leave the image, but not all of them and not far: joints may lie this share of a side outside."""

MAX_REPROJECTION_PX: Final = 5.0
"""Median distance of projected 3D joints from stored 2D joints, where both are there."""


def first_problem(
    samples: Iterable[Sample],
    conventions: Conventions,
    *,
    hand: HandArrays | None = None,
    image_size_wh: tuple[int, int] | None = None,
) -> Problem | None:
    """Make every check these samples allow.

    Args:
        samples: a few of the set, as its reader returns them.
        conventions: what the format declares.
        hand: the model the labels were made with. Without it poses are compared with the packaged open hand, which is
            close enough to tell a wrong orientation and nothing finer.
        image_size_wh: of the images.

    Returns:
        The first problem, or None. No annotated hand, no problem.
    """
    kept = list(samples)
    problem = wrist_problem(kept)
    if problem is not None:
        return problem
    pairs = [(sample, one) for sample in kept for one in sample.hands if one.joints_3d is not None]
    hands = [one for _, one in pairs]
    if not hands:
        return None
    joints = np.stack([stored_joints(one) for one in hands])
    model_hands = [one for one in hands if one.mano is not None]
    checks: tuple[Callable[[], Problem | None], ...] = (
        lambda: units_problem(joints, conventions),
        lambda: axes_problem(joints, conventions),
        lambda: order_problem(joints, conventions),
        lambda: side_problem(joints, [one.is_right for one in hands]),
        lambda: projection_problem(pairs, image_size_wh),
        lambda: parameter_problem(model_hands, conventions, hand) if model_hands else None,
        lambda: tip_problem(hands, conventions, hand),
    )
    for check in checks:
        problem = check()
        if problem is not None:
            return problem
    return None


def units_problem(joints_3d: FloatArray, conventions: Conventions) -> Problem | None:
    """Measure the palm, wrist to middle knuckle, of (N, 21, 3) joints that should be in metres by now."""
    palm = float(np.median(np.linalg.norm(joints_3d[:, MIDDLE_MCP] - joints_3d[:, WRIST], axis=-1)))
    low, high = PALM_RANGE_M
    if low <= palm <= high:
        return None
    declared = 1e-3 if conventions.unit == "millimetres" else 1.0
    found = next(
        (unit for unit, size in {"metres": 1.0, **_UNITS}.items() if low <= palm / declared * size <= high),
        "no hand in any unit",
    )
    measured = f"a median palm of {palm / declared:.4g}"
    expected = f"{conventions.unit}, a palm of {low / declared:g} to {high / declared:g}"
    return Problem("units", expected, measured, found)


def axes_problem(joints_3d: FloatArray, conventions: Conventions) -> Problem | None:
    """Ask whether (N, 21, 3) joints lie in front of the camera, at a distance of their own."""
    distance = float(np.median(np.linalg.norm(joints_3d[:, WRIST], axis=-1)))
    if distance < MIN_WRIST_DISTANCE_M:
        expected = f"joints in camera coordinates, the wrist over {MIN_WRIST_DISTANCE_M} m away"
        return Problem("axes", expected, f"a median wrist distance of {distance:.4f} m", "root-relative joints")
    share = float(np.mean(joints_3d[..., 2] > 0.0))
    if share > 0.5:
        return None
    other = "OpenGL" if conventions.axes == "opencv" else "OpenCV"
    declared = "OpenCV" if conventions.axes == "opencv" else "OpenGL"
    measured = f"{share:.0%} of the joints in front of the camera"
    return Problem("axes", f"{declared} camera axes", measured, f"{other} axes (z of the other sign)")


def wrist_problem(samples: Sequence[Sample]) -> Problem | None:
    """Check hands of which only the wrist is known: distance, side of the camera, and whether the hand's box has it.

    Args:
        samples: those without `wrist_3d` are left out.
    """
    seen = [(sample, one, one.wrist_3d) for sample in samples for one in sample.hands if one.wrist_3d is not None]
    if not seen:
        return None
    wrists = np.stack([wrist for _, _, wrist in seen])
    depth = float(np.median(wrists[:, 2]))
    low, high = WRIST_DEPTH_RANGE_M
    if not low <= abs(depth) <= high:
        looks_like = "millimetres" if low <= abs(depth) * 1e-3 <= high else "another unit"
        return Problem("units", f"metres, wrists {low} to {high} m away", f"a median depth of {depth:.4g}", looks_like)
    if depth < 0.0:
        measured = f"a median wrist depth of {depth:.2f} m"
        return Problem("axes", "wrists in front of the camera", measured, "z of the other sign (OpenGL or OpenCV)")
    inside = []
    for sample, hand, wrist in seen:
        if sample.K is not None and hand.bbox_xyxy is not None:
            pixel = project_points(wrist[None], sample.K)[0]
            box = expand(hand.bbox_xyxy, WRIST_BOX_FACTOR)
            inside.append(bool(np.all((pixel >= box[:2]) & (pixel <= box[2:]))))
    if inside and float(np.mean(inside)) < MIN_SHARE_IN_IMAGE:
        expected = f"wrists in {WRIST_BOX_FACTOR} times the hand's box"
        looks_like = "y of the other sign, or boxes of other frames"
        return Problem("projection", expected, f"{np.mean(inside):.0%} of them", looks_like)
    return None


def _orders_to_try() -> Mapping[str, tuple[str, ...]]:
    ring_first = tuple(
        name.replace("pinky", "\0").replace("ring", "pinky").replace("\0", "ring") if "_tip" not in name else name
        for name in MANO_NAMES
    )
    tip_to_base = tuple(SIMPLE_NAMES[joint] for finger in FINGERS for joint in reversed(FINGER_JOINTS[finger]))
    return MappingProxyType(
        {
            **{f"the {order} order": names for order, names in JOINT_NAMES.items()},
            "MANO's order with the ring finger before the pinky": ring_first,
            "fingers from tip to base with the wrist last (InterHand2.6M)": (*tip_to_base, "wrist"),
        }
    )


ORDERS_TO_TRY: Final = _orders_to_try()
"""Joint orders a file may be in, by what a message calls them."""


def skeleton_length(joints_3d: FloatArray) -> FloatArray:
    """Measure how long the skeleton of joints (..., 21, 3), taken as simple order, is: bones and weighted palm gaps.

    Read in a wrong order, the bones connect joints that are far apart, so the right order gives the shortest one.
    """
    parents, children = np.array(BONES).T
    bones = np.linalg.norm(joints_3d[..., children, :] - joints_3d[..., parents, :], axis=-1).sum(axis=-1)
    knuckles = joints_3d[..., [FINGER_JOINTS[finger][0] for finger in FINGERS[1:]], :]
    gaps = np.linalg.norm(np.diff(knuckles, axis=-2), axis=-1).sum(axis=-1)
    return np.asarray(bones + _PALM_LINK_WEIGHT * gaps)


def order_problem(joints_3d: FloatArray, conventions: Conventions) -> Problem | None:
    """Ask whether another order makes shorter skeletons of (N, 21, 3) joints than the declared one does."""
    declared_names = JOINT_NAMES[conventions.joint_order]
    position = {name: index for index, name in enumerate(SIMPLE_NAMES)}
    in_file = joints_3d[:, [position[name] for name in declared_names]]
    declared = skeleton_length(joints_3d)
    ratios = {}
    for title, names in ORDERS_TO_TRY.items():
        place = {name: index for index, name in enumerate(names)}
        retried = in_file[:, [place[name] for name in SIMPLE_NAMES]]
        ratios[title] = float(np.median(skeleton_length(retried) / declared))
    best = min(ratios, key=ratios.__getitem__)
    if ratios[best] >= ORDER_RATIO:
        return None
    measured = f"skeletons that are {1 / ratios[best]:.2f} times as long as in another order"
    return Problem("joint order", f"the {conventions.joint_order} order", measured, best)


def chirality(joints_3d: FloatArray) -> FloatArray:
    """Measure the side of hands (..., 21, 3), simple order: positive for right hands, negative for left ones.

    Fingers and thumb bend towards the palm. The normal of the triangle wrist, index knuckle, little knuckle points to
    the palm of a right hand and to the back of a left one. Returned is how far, in palm lengths, the finger tips lie on
    that side of their knuckles plus how far the thumb's tip lies on that side of the wrist. Near zero for flat hands.
    """
    wrist, index, little = (joints_3d[..., joint, :] for joint in (WRIST, 5, 17))
    normal = np.cross(index - wrist, little - wrist)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    palm = np.linalg.norm(joints_3d[..., MIDDLE_MCP, :] - wrist, axis=-1)
    fingers = joints_3d[..., [8, 12, 16, 20], :] - joints_3d[..., [5, 9, 13, 17], :]
    curl = np.einsum("...fd,...d->...f", fingers, normal).mean(axis=-1)
    thumb = np.einsum("...d,...d->...", joints_3d[..., 4, :] - wrist, normal)
    return np.asarray((curl + thumb) / palm)


def side_problem(joints_3d: FloatArray, is_right: Sequence[bool | None]) -> Problem | None:
    """Compare the declared sides with the chirality of (N, 21, 3) joints; undeclared sides are left out."""
    values = chirality(joints_3d)
    for side, name in ((True, "right"), (False, "left")):
        chosen = np.array([declared is side for declared in is_right])
        if not np.any(chosen):
            continue
        towards = float(np.median(values[chosen])) * (1.0 if side else -1.0)
        if towards < -MIN_CHIRALITY:
            other = "left" if side else "right"
            measured = f"a median chirality of {towards:.2f} palm lengths"
            return Problem(
                "side", f"{name} hands", measured, f"mirrored ({other}) hands, or one axis of the wrong sign"
            )
    return None


def projection_problem(
    pairs: Sequence[tuple[Sample, HandAnnotation]], image_size_wh: tuple[int, int] | None
) -> Problem | None:
    """Ask whether 3D joints land in the image, and on the 2D joints where those are stored."""
    shares, errors_px = [], []
    for sample, hand in pairs:
        if sample.K is None:
            continue
        pixels = project_points(stored_joints(hand), sample.K)
        if hand.joints_2d_px is not None:
            errors_px.append(np.linalg.norm(pixels - hand.joints_2d_px, axis=-1))
        if image_size_wh is not None:
            margin = IMAGE_MARGIN * np.array(image_size_wh)
            shares.append(np.all((pixels > -margin) & (pixels < margin / IMAGE_MARGIN + margin), axis=-1))
    if shares and float(np.mean(shares)) < MIN_SHARE_IN_IMAGE:
        expected = f"joints inside the {image_size_wh} px image"
        looks_like = "intrinsics of another image size, or joints in another camera's frame"
        return Problem("projection", expected, f"{np.mean(shares):.0%} of the projected joints", looks_like)
    if errors_px and float(np.nanmedian(errors_px)) > MAX_REPROJECTION_PX:
        expected = f"3D joints that project to the 2D joints within {MAX_REPROJECTION_PX} px"
        looks_like = "2D and 3D joints of different orders or cameras"
        return Problem("projection", expected, f"a median of {np.nanmedian(errors_px):.1f} px", looks_like)
    return None
