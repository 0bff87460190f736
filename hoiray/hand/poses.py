"""Hand poses by name, made of the angles a hand therapist would read off a goniometer.

A pose of MANO is 45 numbers nobody can picture. Here a finger is four angles (flexion of its three joints and the
knuckle's abduction) and the thumb five; :func:`pose_from_angles` turns them about the hand's own anatomical axes.
The sign of every angle is that of anatomy, for either side:

* flexion: positive closes towards the palm;
* abduction: positive moves a finger towards the thumb, and the thumb away from the palm;
* twist: about the bone itself, base to tip, right-handed on a right hand. Only the base of the thumb has it: its
  saddle joint turns the thumb round to face the fingers.

:func:`hoiray.hand.anatomy.joint_angles` measures the same angles on any pose.

Where the clinic has a norm (:data:`hoiray.hand.anatomy.NORMAL_RANGES`), every angle stays inside it.
"""

import difflib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ConfigError, describe
from hoiray.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from hoiray.hand.anatomy import ARTICULATED_NAMES, NORMAL_RANGES, AnatomicalAxes
from hoiray.hand.joints import MANO_ROTATION_NAMES

FloatArray = npt.NDArray[np.float64]

_MANO_ROWS: Final = [MANO_ROTATION_NAMES.index(name) - 1 for name in ARTICULATED_NAMES]
"""Row of each articulated joint among MANO's 15 rotations after the wrist."""

_ANY_ANGLE: Final = (-np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class FingerAngles:
    """Degrees of one of the four fingers."""

    mcp: float = 0.0
    pip: float = 0.0
    dip: float = 0.0
    abduction: float = 0.0


@dataclass(frozen=True, slots=True)
class ThumbAngles:
    """Degrees of the thumb; ``abduction`` and ``twist`` are those of its base."""

    cmc: float = 0.0
    mcp: float = 0.0
    ip: float = 0.0
    abduction: float = 0.0
    twist: float = 0.0


@dataclass(frozen=True, slots=True)
class HandAngles:
    """A pose of the whole hand, relative to the flat hand."""

    thumb: ThumbAngles = ThumbAngles()
    index: FingerAngles = FingerAngles()
    middle: FingerAngles = FingerAngles()
    ring: FingerAngles = FingerAngles()
    pinky: FingerAngles = FingerAngles()


NAMED_POSES: Final[Mapping[str, HandAngles]] = MappingProxyType(
    {
        "flat": HandAngles(),
        "relaxed": HandAngles(
            ThumbAngles(10, 8, 12, -8),
            FingerAngles(18, 26, 14, 1),
            FingerAngles(22, 30, 17),
            FingerAngles(26, 32, 18, -1),
            FingerAngles(28, 32, 18, -3),
        ),
        "fist": HandAngles(
            ThumbAngles(30, 40, 50, 10),
            FingerAngles(80, 95, 60),
            FingerAngles(80, 95, 60),
            FingerAngles(80, 95, 60),
            FingerAngles(80, 95, 60),
        ),
        "power grasp": HandAngles(
            ThumbAngles(25, 20, 20, -15),
            FingerAngles(45, 50, 30, 4),
            FingerAngles(48, 52, 32),
            FingerAngles(50, 54, 33, -3),
            FingerAngles(55, 55, 35, -6),
        ),
        "pinch": HandAngles(
            ThumbAngles(27, 16, -9, 3, -25),
            FingerAngles(47, 46, 26),
            FingerAngles(25, 30, 20),
            FingerAngles(18, 25, 12),
            FingerAngles(15, 20, 10),
        ),
        "point": HandAngles(
            ThumbAngles(30, 35, 35, 5),
            FingerAngles(0, 3, 2),
            FingerAngles(75, 90, 55),
            FingerAngles(76, 90, 55),
            FingerAngles(78, 90, 55),
        ),
        "spread": HandAngles(
            ThumbAngles(-10, 0, 0, -25),
            FingerAngles(-5, 0, 0, 12),
            FingerAngles(-5, 0, 0, 2),
            FingerAngles(-5, 0, 0, -8),
            FingerAngles(-5, 0, 0, -16),
        ),
        "tripod": HandAngles(
            ThumbAngles(38, 16, -11, 9, -33),
            FingerAngles(57, 41, 19, -3),
            FingerAngles(54, 45, 28),
            FingerAngles(62, 70, 40),
            FingerAngles(70, 80, 45),
        ),
        "hook": HandAngles(
            ThumbAngles(5, 5, 5),
            FingerAngles(5, 85, 55),
            FingerAngles(5, 85, 55),
            FingerAngles(5, 85, 55),
            FingerAngles(5, 85, 55),
        ),
        "thumb up": HandAngles(
            ThumbAngles(-20, 0, -5, -30),
            FingerAngles(80, 95, 60),
            FingerAngles(80, 95, 60),
            FingerAngles(80, 95, 60),
            FingerAngles(80, 95, 60),
        ),
    }
)
"""Relative to the flat hand; chosen by looking at the open hand from both sides. Where pads meet, the thumb's angles
were fitted on the mean shape: the pads are 1 mm apart in the pinch, 10 to 14 mm in the tripod."""


def named_pose(name: str, axes: AnatomicalAxes) -> FloatArray:
    """Return a named pose as MANO reads it.

    Args:
        name: key of :data:`NAMED_POSES`.
        axes: of the model it is for, from :func:`hoiray.hand.anatomy.anatomical_axes`.

    Returns:
        (45,) axis-angle in rad of a *right* hand, MANO order, absolute (``flat_hand_mean=True``); mirror it
        (:func:`hoiray.hand.sides.mirror_axis_angle`) for a left one.

    Raises:
        ConfigError: there is no such pose.
    """
    if name not in NAMED_POSES:
        close = difflib.get_close_matches(name, NAMED_POSES, n=1)
        fix = f"Did you mean {close[0]!r}?" if close else "Choose one of these."
        raise ConfigError(describe(what="pose", expected=f"one of {', '.join(NAMED_POSES)}", found=repr(name), fix=fix))
    return pose_from_angles(NAMED_POSES[name], axes)


def pose_from_angles(angles: HandAngles, axes: AnatomicalAxes) -> FloatArray:
    """Turn every joint by ``R_flexion R_abduction R_twist``, as :func:`hoiray.hand.anatomy.joint_angles` splits it.

    Args:
        angles: degrees.
        axes: of the model the pose is for.

    Returns:
        (45,) axis-angle in rad of a *right* hand, MANO order, absolute (``flat_hand_mean=True``). A left hand takes
        the same movement by :func:`hoiray.hand.sides.mirror_axis_angle`.
    """
    flexion_rad, abduction_rad, twist_rad = (np.radians(part)[:, None] for part in _by_joint(angles))
    turns = (
        axis_angle_to_matrix(axes.flexion * flexion_rad)
        @ axis_angle_to_matrix(axes.abduction * abduction_rad)
        @ axis_angle_to_matrix(axes.twist * twist_rad)
    )
    pose = np.empty((len(_MANO_ROWS), 3))
    pose[_MANO_ROWS] = matrix_to_axis_angle(turns)
    return pose.reshape(-1)


def random_angles(rng: np.random.Generator) -> HandAngles:
    """Draw a natural pose: a blend of up to three named ones, every angle moved by about three degrees.

    Blends of natural poses are natural, which angles drawn one by one are not: fingers close together. An angle that
    leaves its normal range, in one pose of ten, is put back to its end.
    """
    names = rng.choice(np.array(list(NAMED_POSES)), size=3, replace=False)
    shares = rng.dirichlet(np.ones(3))
    parts = [_flatten(NAMED_POSES[str(name)]) for name in names]
    blend = sum((share * part for share, part in zip(shares, parts, strict=True)), start=np.zeros(len(parts[0])))
    blend += rng.normal(0.0, 3.0, len(blend)) * (np.abs(blend) > 0)
    blend = np.clip(blend, *_normal_degrees())
    thumb, *fingers = blend[:5], blend[5:9], blend[9:13], blend[13:17], blend[17:21]
    return HandAngles(ThumbAngles(*thumb.tolist()), *(FingerAngles(*finger.tolist()) for finger in fingers))


def _normal_degrees() -> tuple[FloatArray, FloatArray]:
    """Return the ends of the normal ranges, (21,) each, in the order of ``_flatten``; infinite where there is no norm.

    ``ThumbAngles`` and ``FingerAngles`` begin with the flexions, base to tip, and go on with angles of the base.
    """
    ranges = []
    for base in range(0, len(ARTICULATED_NAMES), 3):
        norms = [NORMAL_RANGES.get(name) for name in ARTICULATED_NAMES[base : base + 3]]
        ranges += [_ANY_ANGLE if norm is None else norm.flexion_rad for norm in norms]
        splay = None if norms[0] is None else norms[0].abduction_rad
        ranges.append(_ANY_ANGLE if splay is None else splay)
        ranges += [_ANY_ANGLE] if base == 0 else []  # the thumb's twist
    low, high = np.degrees(ranges).T
    return low, high


def _flatten(angles: HandAngles) -> FloatArray:
    """Return 21 degrees: five of the thumb, four of each finger."""
    parts = (angles.thumb, angles.index, angles.middle, angles.ring, angles.pinky)
    return np.concatenate([np.array(astuple(part), np.float64) for part in parts])


def _by_joint(angles: HandAngles) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return flexion, abduction and twist in degrees, (15,) each, in the order of ``ARTICULATED_JOINTS``."""
    thumb = angles.thumb
    flexion, abduction, twist = [thumb.cmc, thumb.mcp, thumb.ip], [thumb.abduction, 0.0, 0.0], [thumb.twist, 0.0, 0.0]
    for finger in (angles.index, angles.middle, angles.ring, angles.pinky):
        flexion += [finger.mcp, finger.pip, finger.dip]
        abduction += [finger.abduction, 0.0, 0.0]
        twist += [0.0, 0.0, 0.0]
    return np.array(flexion, np.float64), np.array(abduction, np.float64), np.array(twist, np.float64)
