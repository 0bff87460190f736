"""The anatomical axes about which the joints of the rest hand turn.

Each joint gets three perpendicular unit vectors in the rest frame, right-handed rotations about which are

* *flexion*: positive closes the finger towards the palm,
* *abduction*: positive moves the finger to the thumb's side (and the thumb away from the index finger),
* *twist*: the bone's own direction, base to tip.

They are what limits of joint angles are expressed in: a rotation of MANO has three degrees of freedom where a knuckle
has one or two.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiray.hand.joints import Finger
from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS, NUM_JOINTS

BACK_OF_HAND = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class AnatomicalAxes:
    """Axes of the sixteen joints in MANO's order, each (16, 3), unit vectors, perpendicular joint by joint."""

    flexion: NDArray[np.float64]
    abduction: NDArray[np.float64]
    twist: NDArray[np.float64]


def dorsal_directions(nail_normals: Mapping[Finger, NDArray[np.float64]]) -> dict[Finger, NDArray[np.float64]]:
    """Say which way the back of each finger faces in the rest pose.

    The four fingers lie flat, so it is the back of the hand. The thumb is turned, and its nail says how.

    Args:
        nail_normals: unit normal of each finger's nail.
    """
    return {finger: nail_normals[finger] if finger == "thumb" else BACK_OF_HAND for finger in FINGERS}


def nail_normals(
    normals: NDArray[np.float64], is_nail: NDArray[np.bool_], weights: NDArray[np.float64]
) -> dict[Finger, NDArray[np.float64]]:
    """Average the surface normals on each nail.

    Args:
        normals: (V, 3) unit vertex normals, rest pose.
        is_nail: (V,) from the nail mask.
        weights: (V, 16); a nail belongs to the finger whose distal bone carries it.
    """
    result: dict[Finger, NDArray[np.float64]] = {}
    for finger in FINGERS:
        own = is_nail & (weights[:, FINGER_JOINTS[finger][2]] > 0.5)
        total = normals[own].sum(axis=0)
        result[finger] = total / np.linalg.norm(total)
    return result


def anatomical_axes(
    joints: NDArray[np.float64],
    tips: Mapping[Finger, NDArray[np.float64]],
    dorsal: Mapping[Finger, NDArray[np.float64]],
) -> AnatomicalAxes:
    """Build the axes of every joint from its bone's direction and the side its back faces.

    Args:
        joints: (16, 3) rest joints.
        tips: (3,) rest tip of each finger.
        dorsal: unit vector out of the back of each finger.
    """
    twist, back = np.zeros((NUM_JOINTS, 3)), np.zeros((NUM_JOINTS, 3))
    twist[0], back[0] = joints[FINGER_JOINTS["middle"][0]] - joints[0], BACK_OF_HAND
    for finger, chain in FINGER_JOINTS.items():
        ends = np.concatenate([joints[list(chain[1:])], tips[finger][None]])
        twist[list(chain)] = ends - joints[list(chain)]
        back[list(chain)] = dorsal[finger]
    twist /= np.linalg.norm(twist, axis=1, keepdims=True)
    flexion = np.cross(back, twist)
    flexion /= np.linalg.norm(flexion, axis=1, keepdims=True)
    return AnatomicalAxes(flexion=flexion, abduction=np.cross(twist, flexion), twist=twist)
