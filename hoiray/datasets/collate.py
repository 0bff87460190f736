"""From samples to the tensors of one step. The only module of the loading that needs torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hoiray.datasets.training_sample import TrainingSample
from hoiray.errors import ContractError, describe

if TYPE_CHECKING:
    from torch import Tensor

    from hoiray.models.batch import Batch


def collate(samples: Sequence[TrainingSample], *, pin_memory: bool = False, tells_kinds: bool = False) -> "Batch":
    """Stack samples into a batch on the CPU.

    Args:
        samples: of one crop size; their arrays are copied.
        tells_kinds: also say whose labels are a teacher's; the same for all batches of a training.
        pin_memory: put the tensors where a GPU can fetch them while the CPU goes on; needs one.

    Raises:
        ContractError: there are none.
    """
    import torch

    from hoiray.models.batch import Batch, HandTargets, NetworkInput, ObjectTargets

    if not samples:
        raise ContractError(describe(what="batch", expected="at least one sample", found="none", fix="Sample some."))

    def stacked(name: str) -> "Tensor":
        tensor = torch.from_numpy(np.stack([getattr(sample, name) for sample in samples]))
        return tensor.pin_memory() if pin_memory else tensor

    weights = torch.tensor([sample.weight for sample in samples], dtype=torch.float32)
    return Batch(
        inputs=NetworkInput(stacked("image"), stacked("hand_box_xyxy"), stacked("object_box_xyxy")),
        hand=HandTargets(
            rotations=stacked("rotations"),
            betas=stacked("betas"),
            joints_3d_m=stacked("joints_3d_m"),
            joints_2d_unit=stacked("joints_2d_unit"),
            has_mano=stacked("has_mano"),
        ),
        obj=ObjectTargets(
            is_supervised=stacked("is_object_supervised"),
            control_points_unit=stacked("control_points_unit"),
            masks=stacked("object_cells"),
        ),
        weights=weights.pin_memory() if pin_memory else weights,
        sample_ids=tuple(sample.sample_id for sample in samples),
        is_pseudo=stacked("is_pseudo") if tells_kinds else None,
    )
