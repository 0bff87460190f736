"""What anatomy measures on a hand: bone lengths, bends, and signed angles about anatomical axes.

Functions here measure and never judge: a limit belongs to a filter's configuration. :data:`NORMAL_RANGES` offers the
clinic's norms as a source for such limits.

Two kinds of angle are measured, because they answer different questions:

* :func:`bend_angles`, unsigned, from 21 joint *positions*: the angle between the bone before a joint and the bone after
  it, 0 where straight. Needs no model; works for any predictor. It cannot tell flexion from hyperextension or splay.
* :func:`joint_angles`, signed, from joint *rotations*: how far a joint is flexed, abducted and twisted relative to the
  model's rest hand, about axes fixed in that hand.

All 15 joints that carry a rotation appear in the simple order: :data:`ARTICULATED_JOINTS`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.hand.joints import (
    BONES,
    FINGER_JOINTS,
    FINGERS,
    MANO_ROTATION_NAMES,
    NUM_JOINTS,
    PARENTS,
    SIMPLE_NAMES,
    WRIST,
    Finger,
    tip_vertices,
)
from hoiray.hand.load import HandArrays, mirror_hand_arrays
from hoiray.hand.sides import mirror_axis_angle

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

ARTICULATED_JOINTS: Final[tuple[int, ...]] = tuple(
    joint for finger in FINGERS for joint in FINGER_JOINTS[finger] if joint != FINGER_JOINTS[finger][3]
)
"""The 15 joints between two bones, as indices of the simple order: 1, 2, 3, 5, 6, 7, ..., 17, 18, 19."""

ARTICULATED_NAMES: Final[tuple[str, ...]] = tuple(SIMPLE_NAMES[joint] for joint in ARTICULATED_JOINTS)

_ROTATION_ROW: Final[tuple[int, ...]] = tuple(MANO_ROTATION_NAMES.index(name) for name in ARTICULATED_NAMES)
"""Row of each articulated joint among MANO's 16 rotations."""

_LOCKED_COSINE: Final = 1e-9
"""Cosine of the abduction below which flexion and twist cannot be told apart; rounding leaves 1e-16."""

_LEAST_COSINE: Final = 0.5
"""Between a stored abduction axis and twist x flexion, which it is up to the rounding of the file."""

_PARALLEL_AXES: Final = 0.1
"""Sine below which two axes span no plane: 6 degrees; anatomy's are about 90 degrees apart."""


def bone_vectors(joints_3d: npt.ArrayLike) -> FloatArray:
    """Return the 20 bones as vectors from parent to child, in the order of :data:`hoiray.hand.joints.BONES`.

    Args:
        joints_3d: (..., 21, 3) simple order; any unit and frame.

    Returns:
        (..., 20, 3) in the unit of ``joints_3d``.

    Raises:
        ContractError: the shape is another.
    """
    joints = np.asarray(joints_3d, dtype=np.float64)
    if joints.ndim < 2 or joints.shape[-2:] != (NUM_JOINTS, 3):
        expected, found = f"(..., {NUM_JOINTS}, 3)", f"shape {joints.shape}"
        fix = "Pass 3D joints in the simple order, tips included."
        raise ContractError(describe(what="joints_3d", expected=expected, found=found, fix=fix))
    parents, children = (list(ends) for ends in zip(*BONES, strict=True))
    vectors: FloatArray = joints[..., children, :] - joints[..., parents, :]
    return vectors


def bone_lengths(joints_3d: npt.ArrayLike) -> FloatArray:
    """Return the (..., 20) lengths of the bones, in the unit of ``joints_3d``; NaN where an end is NaN."""
    lengths: FloatArray = np.linalg.norm(bone_vectors(joints_3d), axis=-1)
    return lengths


def bend_angles(joints_3d: npt.ArrayLike) -> FloatArray:
    """Measure how far each joint is bent: the angle between the bone before and the bone after it.

    This is the angle of the paper's biomedical constraint (Liu et al., CVPR 2021, section 4), read as a bend: a flat
    hand measures about 0, a fist's middle joints about 100 degrees.

    Args:
        joints_3d: (..., 21, 3) simple order; any unit and frame.

    Returns:
        (..., 15) rad in [0, pi], order of :data:`ARTICULATED_JOINTS`. NaN where a bone has no length or is NaN: such a
        joint has no angle.
    """
    bones = bone_vectors(joints_3d)
    # Bone i ends at joint i + 1, and the bone that starts at an articulated joint ends at the next one.
    before = bones[..., [joint - 1 for joint in ARTICULATED_JOINTS], :]
    after = bones[..., list(ARTICULATED_JOINTS), :]
    return _angle_between(before, after)


def _angle_between(first: FloatArray, second: FloatArray) -> FloatArray:
    # atan2, because arccos of a dot product loses half the digits near 0: one ulp of a float64 cosine is 1.5e-8 rad.
    first, second = _unit_or_nan(first), _unit_or_nan(second)
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    cosine = np.einsum("...d,...d->...", first, second)
    angle: FloatArray = np.arctan2(sine, cosine)
    return angle


def _unit_or_nan(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: FloatArray = vectors / np.where(lengths > 0, lengths, np.nan)
    return unit


@dataclass(frozen=True, eq=False)
class AnatomicalAxes:
    """Orthonormal axes of the 15 articulated joints, in the rest frame of a right hand; read-only, (15, 3) each.

    Attributes:
        flexion: turning about it bends the joint towards the palm.
        abduction: turning about it moves the finger towards the thumb, and the thumb away from the index finger.
        twist: along the bone from base to tip.
    """

    flexion: FloatArray
    abduction: FloatArray
    twist: FloatArray


class JointAngles(NamedTuple):
    """Signed angles of the 15 articulated joints, (..., 15) rad, zero in the model's rest pose.

    Attributes:
        flexion: in (-pi, pi]; positive bends towards the palm, negative is hyperextension.
        abduction: in [-pi/2, pi/2]; positive towards the thumb.
        twist: in (-pi, pi]; about the bone. A hand hardly twists its fingers: a large value is a wrong pose.
    """

    flexion: FloatArray
    abduction: FloatArray
    twist: FloatArray


def anatomical_axes(arrays: HandArrays) -> AnatomicalAxes:
    """Return the anatomical axes of a hand model, for right hands.

    The packaged open hand stores its axes. A user's MANO has none; they follow from the rest mesh:

    * twist: from the joint to the next one, for the last joint to the tip vertex;
    * the palm's direction: for the four fingers the normal of the wrist, index and pinky knuckles; for the thumb,
      which is turned, the direction in which its last segment is thinnest, on the side that faces the palm;
    * flexion turns the bone towards the palm, abduction is perpendicular to both.

    Computed so for the open hand, the axes are within 8 degrees of the stored ones at the thumb, 1 degree elsewhere.
    Stored axes must therefore lie on the same side as the computed ones: an axis of the wrong sign or the other hand
    is at least 150 degrees away at some joint, and every bent finger would measure as hyperextended.

    Args:
        arrays: of either side; a left hand's are mirrored first.

    Raises:
        ContractError: the stored axes are parallel, of the other hand, or against those of the rest mesh.
    """
    right = arrays if arrays.is_right else mirror_hand_arrays(arrays)
    rows = list(_ROTATION_ROW)
    if right.flexion_axes is None or right.abduction_axes is None or right.twist_axes is None:
        return _axes_of_rest_mesh(right)
    axes = _orthonormal(right.flexion_axes[rows], right.twist_axes[rows], what=right.source)
    what = f"{right.source}, key 'abduction_axes'"
    _require_agreement(right.abduction_axes[rows], axes.abduction, _LEAST_COSINE, what=what, expected="twist x flexion")
    computed = _axes_of_rest_mesh(right)
    for key in ("flexion", "abduction", "twist"):
        what = f"{right.source}, key '{key}_axes'"
        _require_agreement(getattr(axes, key), getattr(computed, key), 0.0, what=what, expected="that of the rest mesh")
    return axes


def _require_agreement(found: FloatArray, wanted: FloatArray, least_cosine: float, *, what: str, expected: str) -> None:
    """Refuse (15, 3) axes of which one is not within the angle of the wanted ones."""
    cosines = np.einsum("jd,jd->j", found, wanted)
    if not np.all(cosines > least_cosine):
        joint = ARTICULATED_NAMES[int(np.argmin(cosines))]
        expected = f"axes whose cosine with {expected} is above {least_cosine:g}"
        fix = "Rebuild the file, or remove its axes to have them computed."
        raise ContractError(describe(what=what, expected=expected, found=f"{cosines.min():.2f} at {joint}", fix=fix))


def joint_angles(
    hand_pose: npt.ArrayLike, axes: AnatomicalAxes, *, is_right: npt.NDArray[np.bool_] | bool = True
) -> JointAngles:
    """Split the rotation of every joint into flexion, abduction and twist.

    ``R = R_flexion R_abduction R_twist``: flexion about an axis of the bone before the joint, twist about the bone
    after it, abduction about the floating axis. It is the joint coordinate system which the International Society of
    Biomechanics recommends for finger joints (Wu et al., J. Biomechanics 38, 2005). Flexion comes first since it is
    the largest: the split is undetermined only at an abduction of 90 degrees, where flexion and twist share an axis
    and all of the turn is called flexion.

    Args:
        hand_pose: (..., 45) axis-angle in rad, MANO order, *absolute* (``flat_hand_mean=True``).
        axes: of the model the pose belongs to.
        is_right: (...) or one for all; angles of a left hand have the same meaning.

    Returns:
        Angles in the order of :data:`ARTICULATED_JOINTS`; NaN where the pose is NaN.

    Raises:
        ContractError: the shape is another.
    """
    pose = np.asarray(hand_pose, dtype=np.float64)
    if pose.ndim < 1 or pose.shape[-1] != 45:
        fix = "Pass the absolute axis-angle pose without the global orientation."
        raise ContractError(describe(what="hand_pose", expected="(..., 45)", found=f"shape {pose.shape}", fix=fix))
    pose = np.where(np.asarray(is_right)[..., None], pose, mirror_axis_angle(pose))
    by_joint = pose.reshape(*pose.shape[:-1], 15, 3)[..., [row - 1 for row in _ROTATION_ROW], :]
    # The columns are right-handed, so R = Rx(flexion) Ry(abduction) Rz(twist) in their frame.
    frame = np.stack([axes.flexion, axes.abduction, axes.twist], axis=-1)
    R = np.swapaxes(frame, -1, -2) @ axis_angle_to_matrix(by_joint) @ frame
    cosine = np.hypot(R[..., 1, 2], R[..., 2, 2])
    locked = cosine < _LOCKED_COSINE
    flexion = np.where(locked, np.arctan2(R[..., 2, 1], R[..., 1, 1]), np.arctan2(-R[..., 1, 2], R[..., 2, 2]))
    twist = np.where(locked, 0.0 * cosine, np.arctan2(-R[..., 0, 1], R[..., 0, 0]))
    return JointAngles(flexion=flexion, abduction=np.arctan2(R[..., 0, 2], cosine), twist=twist)


def _orthonormal(flexion: FloatArray, twist: FloatArray, *, what: str) -> AnatomicalAxes:
    """Make right-handed (flexion, abduction, twist) triads: flexion is kept, twist is made perpendicular to it."""
    flexion = flexion / np.linalg.norm(flexion, axis=-1, keepdims=True)
    along = twist - np.einsum("jd,jd->j", flexion, twist)[:, None] * flexion
    sines = np.linalg.norm(along, axis=-1)
    if not np.all(sines > _PARALLEL_AXES):
        joint = ARTICULATED_NAMES[int(np.argmin(sines))]
        expected, found = "perpendicular flexion and twist axes", f"a sine of {sines.min():.3f} at {joint}"
        fix = "Check the rest pose of the file."
        raise ContractError(describe(what=f"{what}, anatomical axes", expected=expected, found=found, fix=fix))
    along = along / sines[:, None]
    axes = (flexion, np.cross(along, flexion), along)
    for axis in axes:
        axis.setflags(write=False)
    return AnatomicalAxes(*axes)


def _axes_of_rest_mesh(right: HandArrays) -> AnatomicalAxes:
    positions = _rest_positions(right)
    towards_palm = {finger: _palm_normal(positions) for finger in FINGERS}
    towards_palm["thumb"] = _thumb_pad_direction(right, positions, towards_palm["index"])
    twist = positions[[joint + 1 for joint in ARTICULATED_JOINTS]] - positions[list(ARTICULATED_JOINTS)]
    twist = twist / np.linalg.norm(twist, axis=-1, keepdims=True)
    palm = np.stack([towards_palm[_finger_of(joint)] for joint in ARTICULATED_JOINTS])
    return _orthonormal(np.cross(twist, palm), twist, what=right.source)


def _finger_of(joint: int) -> Finger:
    return FINGERS[(joint - 1) // 4]


def _rest_positions(right: HandArrays) -> FloatArray:
    """(21, 3) joints of the mean hand at rest, simple order."""
    rest = right.rest_joints
    positions = np.empty((NUM_JOINTS, 3))
    positions[WRIST] = rest[0]
    positions[list(ARTICULATED_JOINTS)] = rest[list(_ROTATION_ROW)]
    tips = [joint for joint in range(NUM_JOINTS) if joint not in PARENTS]
    positions[tips] = right.v_template[list(tip_vertices("smplx", is_right=True))]
    return positions


def _palm_normal(positions: FloatArray) -> FloatArray:
    """Unit normal of wrist, index and pinky knuckle; out of the palm for a right hand."""
    index, pinky = (positions[FINGER_JOINTS[finger][0]] - positions[WRIST] for finger in ("index", "pinky"))
    normal: FloatArray = np.cross(index, pinky)
    return normal / np.linalg.norm(normal)


def _thumb_pad_direction(right: HandArrays, positions: FloatArray, palm: FloatArray) -> FloatArray:
    """Where the pad of the thumb faces: across the bone, where the segment is thinnest, on the side of the palm."""
    row = MANO_ROTATION_NAMES.index("thumb_ip")
    own = right.v_template[right.weights[:, row] > 0.95]
    base, tip = positions[FINGER_JOINTS["thumb"][0]], positions[FINGER_JOINTS["thumb"][3]]
    along = (tip - base) / np.linalg.norm(tip - base)
    across = own - own.mean(axis=0)
    across = across - np.outer(across @ along, along)
    # The right singular vectors: widest, thinnest, and the bone itself, along which nothing is left.
    thinnest: FloatArray = np.linalg.svd(across, full_matrices=False)[2][1]
    return thinnest if thinnest @ palm > 0 else -thinnest


@dataclass(frozen=True)
class NormalRange:
    """The clinic's range of active motion of one joint.

    Attributes:
        flexion_rad: (smallest, largest); negative is hyperextension.
        abduction_rad: likewise; None where the joint is a hinge and no norm exists.
    """

    flexion_rad: tuple[float, float]
    abduction_rad: tuple[float, float] | None


NORMAL_RANGES_SOURCE: Final = (
    "American Academy of Orthopaedic Surgeons (Greene and Heckman, The Clinical Measurement of Joint Motion, 1994), as "
    "tabulated in Norkin and White, Measurement of Joint Motion"
)


def _normal_range(hyperextension_deg: float, flexion_deg: float, abduction_deg: float | None = None) -> NormalRange:
    splay = None if abduction_deg is None else (math.radians(-abduction_deg), math.radians(abduction_deg))
    return NormalRange((math.radians(-hyperextension_deg), math.radians(flexion_deg)), splay)


NORMAL_RANGES: Final[Mapping[str, NormalRange]] = MappingProxyType(
    {
        "thumb_mcp": _normal_range(0, 50),
        "thumb_ip": _normal_range(20, 80),
        **{f"{finger}_mcp": _normal_range(45, 90, 20) for finger in FINGERS[1:]},
        **{f"{finger}_pip": _normal_range(0, 100) for finger in FINGERS[1:]},
        **{f"{finger}_dip": _normal_range(0, 90) for finger in FINGERS[1:]},
    }
)
"""Norms of active motion by joint name (:data:`NORMAL_RANGES_SOURCE`).

A norm is no wall. People differ by 10 degrees and more, an object can push a joint further than its muscles do, and a
model's rest hand is not the goniometer's zero. The thumb's base has no entry for that reason: its clinical zero is the
thumb beside the index finger, while MANO's rest thumb is already half abducted, so no number of the norm applies.
"""
