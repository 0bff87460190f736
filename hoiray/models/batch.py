"""What the network is given and what it is taught: the tensors of one training step.

Everything lives in one square crop of S x S px: OpenCV axes, pixels with centres at integers, metres, radians. Left
hands come mirrored, as right ones. In-plane rotation of the crop turns the 3D labels by the same matrix, so a target is
always true of the picture beside it.
"""

from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part", "NetworkInput", "HandTargets", "ObjectTargets")


@dataclass(frozen=True)
class NetworkInput:
    """What the network sees.

    Attributes:
        images: (B, S, S, 3) uint8, RGB.
        hand_boxes_xyxy: (B, 4) float32, px of the crop, already expanded by the preset's factor (paper's code: 1.1).
        object_boxes_xyxy: (B, 4) float32, px of the crop; the hand's box where there is no object, since RoIAlign
            needs one. :attr:`ObjectTargets.is_supervised` tells the two apart.
    """

    images: Tensor
    hand_boxes_xyxy: Tensor
    object_boxes_xyxy: Tensor


@dataclass(frozen=True)
class HandTargets:
    """What is true of the hand.

    Attributes:
        rotations: (B, 16, 3, 3) of the wrist (camera axes of the turned crop) and of MANO's 15 joints in MANO order,
            relative to the parent, zero is the flat hand.
        betas: (B, 10).
        joints_3d_m: (B, 21, 3) simple order, relative to the wrist, camera axes of the turned crop.
        joints_2d_unit: (B, 21, 2) in the unit square of the (expanded) hand box.
        has_mano: (B,) bool; False where the data set knows joints only: `rotations` and `betas` then hold the identity
            and zeros, and must not be compared with.
    """

    rotations: Tensor
    betas: Tensor
    joints_3d_m: Tensor
    joints_2d_unit: Tensor
    has_mano: Tensor


@dataclass(frozen=True)
class ObjectTargets:
    """What is true of the object.

    Attributes:
        is_supervised: (B,) bool, mask B of the paper's Eq. 8: False for pseudo-labels and images without object.
        control_points_unit: (B, 21, 2) in the unit square of the object box, published order; zeros where unsupervised.
        masks: (B, R, R) bool, cells of the object's RoI grid that show the object; False where unsupervised.
    """

    is_supervised: Tensor
    control_points_unit: Tensor
    masks: Tensor


@dataclass(frozen=True)
class Batch:
    """One step's samples of one worker.

    Attributes:
        inputs, hand, obj: see there.
        weights: (B,) float32, factor on each sample's losses; 1 for annotated samples.
        sample_ids: names of the samples, for messages and for saving an offending batch.
        is_pseudo: (B,) bool, whose label is a teacher's; None where no sample of the training is, and nothing is told
            of the kinds apart.
    """

    inputs: NetworkInput
    hand: HandTargets
    obj: ObjectTargets
    weights: Tensor
    sample_ids: tuple[str, ...]
    is_pseudo: Tensor | None = None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.sample_ids)

    def to(self, device: torch.device | str) -> Self:
        """Copy every tensor to a device, without waiting where the memory is pinned."""
        return replace(
            self,
            inputs=_moved(self.inputs, device),
            hand=_moved(self.hand, device),
            obj=_moved(self.obj, device),
            weights=self.weights.to(device, non_blocking=True),
            is_pseudo=None if self.is_pseudo is None else self.is_pseudo.to(device, non_blocking=True),
        )


def _moved(part: Part, device: torch.device | str) -> Part:
    return replace(part, **{f.name: getattr(part, f.name).to(device, non_blocking=True) for f in fields(part)})
