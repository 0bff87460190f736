"""The palm's own frame, from 21 joints: what turns with the hand can be taken out before anything is learned."""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from hoiray.geometry.rotations_torch import sixd_to_matrix
from hoiray.hand.joints import FINGER_JOINTS, WRIST

MIN_PALM: Final = 0.1
"""Shortest palm lengths are divided by, in sides of the hand box. An open palm across the picture is 0.5 long. The
untrained network has all joints in one place: divided by what little is between them, its gradients would be a hundred
times those of a hand that is seen, and drown what teaches it where the joints are."""

_ALONG_GAIN: Final = 2.0
"""Brings an open palm's length to about 1, where :func:`~hoiray.geometry.rotations_torch.sixd_to_matrix` passes
gradients on as they are; shorter than 0.1, they are no longer lengthened. The knuckles' row is as long already."""

_KNUCKLES = tuple(FINGER_JOINTS[finger][0] for finger in ("index", "middle", "ring", "pinky"))


class Palm(NamedTuple):
    """Where the palm is and how large.

    Attributes:
        R_cam_palm: (B, 3, 3), columns: along the palm to the knuckles; across, towards the index finger; the normal.
        length: (B,) mean distance of the wrist to the middle of the four knuckles, unit of the joints.
    """

    R_cam_palm: Tensor
    length: Tensor


def palm_of(joints: Tensor) -> Palm:
    """Fit the palm's frame to joints (B, 21, 3), simple order, sides of the hand box; gradients are bounded."""
    index, middle, ring, pinky = (joints[:, knuckle] for knuckle in _KNUCKLES)
    along = 0.25 * (index + middle + ring + pinky) - joints[:, WRIST]
    across = 3.0 * index + middle - ring - 3.0 * pinky  # least squares through four equally spaced knuckles
    length = torch.linalg.vector_norm(along, dim=-1)
    return Palm(sixd_to_matrix(torch.cat([_ALONG_GAIN * along, across], dim=-1)), length)


def in_palm_frame(joints: Tensor, palm: Palm) -> Tensor:
    """Return joints (B, 21, 3) about the wrist, in the palm's frame, in palm lengths (of :data:`MIN_PALM` or more)."""
    about_wrist = joints - joints[:, WRIST : WRIST + 1]
    return about_wrist @ palm.R_cam_palm / palm.length.clamp_min(MIN_PALM)[:, None, None]
