"""The palm's own frame, from 21 joints: what turns with the hand can be taken out before anything is learned."""

from typing import NamedTuple

import torch
from torch import Tensor

from hoiray.geometry.rotations_torch import sixd_to_matrix
from hoiray.hand.joints import FINGER_JOINTS, WRIST

MIN_PALM = 1e-3
"""Smallest palm lengths are divided by, in the unit of the joints (box sides): collapsed joints stay finite."""

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
    """Fit the palm's frame to joints (B, 21, 3), simple order, any one unit; gradients are bounded everywhere."""
    index, middle, ring, pinky = (joints[:, knuckle] for knuckle in _KNUCKLES)
    along = 0.25 * (index + middle + ring + pinky) - joints[:, WRIST]
    across = 3.0 * index + middle - ring - 3.0 * pinky  # least squares through four equally spaced knuckles
    length = torch.linalg.vector_norm(along, dim=-1)
    scale = 1.0 / length.detach().clamp_min(MIN_PALM)[:, None]
    return Palm(sixd_to_matrix(torch.cat([along * scale, across * scale], dim=-1)), length)


def in_palm_frame(joints: Tensor, palm: Palm) -> Tensor:
    """Return joints (B, 21, 3) about the wrist, in the palm's frame, in palm lengths."""
    about_wrist = joints - joints[:, WRIST : WRIST + 1]
    return about_wrist @ palm.R_cam_palm / palm.length.clamp_min(MIN_PALM)[:, None, None]
