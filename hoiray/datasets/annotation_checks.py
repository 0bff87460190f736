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
from numpy.typing import NDArray

from hoiray.datasets.conventions import Conventions, Problem
from hoiray.datasets.parameter_checks import parameter_problem, stored_joints, tip_problem
from hoiray.datasets.sample import FloatArray, HandAnnotation, Sample
from hoiray.geometry.boxes import expand
from hoiray.geometry.cameras import project_points
from hoiray.hand.joints import BONES, FINGER_JOINTS, FINGERS, JOINT_NAMES, MANO_NAMES, SIMPLE_NAMES, WRIST, palm_length
from hoiray.hand.load import HandArrays

NUM_CHECKED: Final = 24
"""Annotations looked at when a set is opened: enough for medians, a second of reading."""

MAX_OUTLIER_SHARE: Final = 0.2
"""A median hides an error of a minority of the frames. A file or two of 24 may be damaged; five are a convention."""

PALM_RANGE_M: Final = (0.04, 0.20)
"""Wrist to middle knuckle. 2000 random shapes of the open hand gave 0.076 to 0.117 m; children and sensors widen it. No
other common unit falls into the range."""

_UNITS: Final[Mapping[str, float]] = MappingProxyType(
    {"millimetres": 1e-3, "centimetres": 1e-2, "decimetres": 1e-1, "kilometres": 1e3}
)

_TOO_SMALL: Final = "metres taken for millimetres"
_NO_UNIT: Final = "an object in another camera's frame"

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

MAX_DISTANCE_M: Final = 10.0
"""Nothing farther from the camera is held or watched in any of these data sets: rooms, not streets."""

MIN_OBJECT_DISTANCE_M: Final = 0.05
"""An object's origin nearer to the camera than this cannot be in focus; metres read as millimetres give 0.0005."""

MAX_OBJECT_TO_HAND_M: Final = 1.0
"""Median distance of an object's origin from the wrist. Held ones are within 0.3 m, those of one table within 1 m."""

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
        return object_problem(kept)
    joints = np.stack([stored_joints(one) for one in hands])
    model_hands = [one for one in hands if one.mano is not None]
    checks: tuple[Callable[[], Problem | None], ...] = (
        lambda: units_problem(joints, conventions),
        lambda: axes_problem(joints, conventions),
        lambda: order_problem(joints, conventions),
        lambda: side_problem(joints, [one.is_right for one in hands]),
        lambda: projection_problem(pairs, image_size_wh),
        lambda: object_problem(kept),
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
    palms = palm_length(joints_3d)
    low, high = PALM_RANGE_M
    outside = ~((palms >= low) & (palms <= high))
    share = float(np.mean(outside))
    if share <= MAX_OUTLIER_SHARE:
        return None
    declared = 1e-3 if conventions.unit == "millimetres" else 1.0
    palm = float(np.median(palms[outside])) / declared
    measured = f"a median palm of {palm:.4g} in {share:.0%} of the hands"
    expected = f"{conventions.unit}, a palm of {low / declared:g} to {high / declared:g}"
    return Problem("units", expected, measured, _unit_of_palm(palm))


def _unit_of_palm(palm: float) -> str:
    low, high = PALM_RANGE_M
    units = {"metres": 1.0, **_UNITS}
    return next((unit for unit, size in units.items() if low <= palm * size <= high), "no hand in any unit")


def axes_problem(joints_3d: FloatArray, conventions: Conventions) -> Problem | None:
    """Ask whether (N, 21, 3) joints lie in front of the camera, at a distance of their own."""
    distances = np.linalg.norm(joints_3d[:, WRIST], axis=-1)
    at_origin = distances < MIN_WRIST_DISTANCE_M
    if float(np.mean(at_origin)) > MAX_OUTLIER_SHARE:
        distance = float(np.median(distances[at_origin]))
        expected = f"joints in camera coordinates, the wrist over {MIN_WRIST_DISTANCE_M} m away"
        return Problem("axes", expected, f"a median wrist distance of {distance:.4f} m", "root-relative joints")
    share = float(np.mean(joints_3d[..., 2] > 0.0))
    if share >= 1.0 - MAX_OUTLIER_SHARE:
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
    depths = wrists[:, 2]
    low, high = WRIST_DEPTH_RANGE_M
    outside = ~((np.abs(depths) >= low) & (np.abs(depths) <= high))
    if float(np.mean(outside)) > MAX_OUTLIER_SHARE:
        depth = float(np.median(depths[outside]))
        looks_like = "millimetres" if low <= abs(depth) * 1e-3 <= high else "another unit"
        return Problem(
            "units", f"metres, wrists {low} to {high} m away", _median_of(depth, outside, "depth"), looks_like
        )
    behind = depths < 0.0
    if float(np.mean(behind)) > MAX_OUTLIER_SHARE:
        measured = _median_of(float(np.median(depths[behind])), behind, "wrist depth in metres")
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


def _median_of(value: float, chosen: NDArray[np.bool_], what: str) -> str:
    return f"a median {what} of {value:.4g} in {np.mean(chosen):.0%} of the samples"


def object_problem(samples: Sequence[Sample]) -> Problem | None:
    """Check where objects are: side of the camera, distance from it, and from a hand of the same sample.

    Args:
        samples: their hands have passed the checks of units and axes; objects without a pose are left out.
    """
    posed = [
        (one.T_cam_obj[:3, 3], _wrist_of(sample))
        for sample in samples
        for one in sample.objects
        if one.T_cam_obj is not None
    ]
    if not posed:
        return None
    origins = np.stack([origin for origin, _ in posed])
    wrists = np.stack([np.full(3, np.nan) if wrist is None else wrist for _, wrist in posed])
    behind = origins[:, 2] <= 0.0
    if float(np.mean(behind)) > MAX_OUTLIER_SHARE:
        measured = _median_of(float(np.median(origins[behind, 2])), behind, "object depth in metres")
        looks_like = "z of the other sign (OpenGL and OpenCV axes swapped)"
        return Problem("object axes", "objects in front of the camera", measured, looks_like)
    distances = np.linalg.norm(origins, axis=-1)
    outside = ~((distances >= MIN_OBJECT_DISTANCE_M) & (distances <= MAX_DISTANCE_M))
    if float(np.mean(outside)) > MAX_OUTLIER_SHARE:
        expected = f"metres, objects {MIN_OBJECT_DISTANCE_M} to {MAX_DISTANCE_M:g} m from the camera"
        measured = _median_of(float(np.median(distances[outside])), outside, "object distance")
        return Problem("object units", expected, measured, _unit_of_objects(origins[outside], wrists[outside]))
    to_hand = np.linalg.norm(origins - wrists, axis=-1)
    has_hand = np.isfinite(to_hand)
    if not np.any(has_hand) or float(np.median(to_hand[has_hand])) <= MAX_OBJECT_TO_HAND_M:
        return None
    expected = f"objects within {MAX_OBJECT_TO_HAND_M:g} m of the hand"
    measured = _median_of(float(np.median(to_hand[has_hand])), has_hand, "distance from object to wrist in metres")
    return Problem("object units", expected, measured, _unit_of_objects(origins[has_hand], wrists[has_hand]))


def _wrist_of(sample: Sample) -> FloatArray | None:
    """Return the first known wrist (3,)."""
    for hand in sample.hands:
        if hand.joints_3d is not None:
            return np.asarray(hand.joints_3d[WRIST])
        if hand.wrist_3d is not None:
            return hand.wrist_3d
    return None


def _unit_of_objects(origins: FloatArray, wrists: FloatArray) -> str:
    """Name the unit that puts origins (N, 3) into a room and nearest to the wrists (N, 3; NaN where unknown)."""
    has_hand = np.all(np.isfinite(wrists), axis=-1)
    distance = float(np.median(np.linalg.norm(origins, axis=-1)))
    low, high = WRIST_DEPTH_RANGE_M
    sizes = {unit: _UNITS[unit] for unit in ("millimetres", "centimetres")} | {_TOO_SMALL: 1e3}
    possible = {unit: size for unit, size in sizes.items() if low <= distance * size <= high}
    if not possible or not np.any(has_hand):
        return next(iter(possible), _NO_UNIT)
    gaps = {
        unit: float(np.median(np.linalg.norm(origins[has_hand] * size - wrists[has_hand], axis=-1)))
        for unit, size in possible.items()
    }
    best = min(gaps, key=gaps.__getitem__)
    return best if gaps[best] <= MAX_OBJECT_TO_HAND_M else _NO_UNIT


def sample_problem(sample: Sample) -> Problem | None:
    """Ask whether one sample is possible at all: what no median over a set can tell.

    Hands and objects must be finite, in front of the camera and at most `MAX_DISTANCE_M` from it; palms must be within
    `PALM_RANGE_M`. The limits are those of any hand-object data set, so what breaks one is no annotation.

    Returns:
        The first problem, or None; what a sample does not tell is no problem.
    """
    for hand in sample.hands:
        problem = _impossible_hand(hand)
        if problem is not None:
            return problem
    for one in sample.objects:
        if one.T_cam_obj is not None:
            what = f"object {one.name}"
            problem = _not_finite(what, one.T_cam_obj) or _impossible_position(what, one.T_cam_obj[:3, 3])
            if problem is not None:
                return problem
    return None


def _impossible_hand(hand: HandAnnotation) -> Problem | None:
    mano = (
        () if hand.mano is None else (hand.mano.global_orient, hand.mano.hand_pose, hand.mano.betas, hand.mano.transl)
    )
    arrays = [one for one in (hand.joints_3d, hand.wrist_3d, hand.vertices, *mano) if one is not None]
    problem = _not_finite("hand", *arrays)
    if problem is not None:
        return problem
    if hand.joints_3d is not None:
        palm = float(palm_length(hand.joints_3d))
        low, high = PALM_RANGE_M
        if not low <= palm <= high:
            expected = f"a palm of {low:g} to {high:g} m"
            return Problem("hand", expected, f"one of {palm:.4g} m", _unit_of_palm(palm))
    wrists = (None if hand.joints_3d is None else hand.joints_3d[WRIST], hand.wrist_3d)
    problems = (_impossible_position("wrist", wrist) for wrist in wrists if wrist is not None)
    return next((problem for problem in problems if problem is not None), None)


def _not_finite(what: str, *arrays: FloatArray) -> Problem | None:
    bad = sum(int(np.count_nonzero(~np.isfinite(array))) for array in arrays)
    if not bad:
        return None
    return Problem(what, "finite numbers", f"{bad} that are NaN or infinity", "a damaged annotation")


def _impossible_position(what: str, position_3d: FloatArray) -> Problem | None:
    depth, distance = float(position_3d[2]), float(np.linalg.norm(position_3d))
    if distance > MAX_DISTANCE_M:
        in_mm = distance * 1e-3 <= MAX_DISTANCE_M
        looks_like = "millimetres" if in_mm else "another unit"
        return Problem(what, f"at most {MAX_DISTANCE_M:g} m from the camera", f"{distance:.4g} m", looks_like)
    if depth <= 0.0:
        looks_like = "z of the other sign (OpenGL and OpenCV axes swapped)" if depth < 0.0 else "a subtracted root"
        return Problem(what, "in front of the camera", f"a depth of {depth:.4g} m", looks_like)
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
    fingers = joints_3d[..., [8, 12, 16, 20], :] - joints_3d[..., [5, 9, 13, 17], :]
    curl = np.einsum("...fd,...d->...f", fingers, normal).mean(axis=-1)
    thumb = np.einsum("...d,...d->...", joints_3d[..., 4, :] - wrist, normal)
    return np.asarray((curl + thumb) / palm_length(joints_3d))


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
