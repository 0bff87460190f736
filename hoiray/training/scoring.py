"""Scores of the held-out samples while a network is trained, each beside the constant hand's.

The whole evaluation, with intervals, meshes and objects, is `hoiray evaluate`; this is the short form after an epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from hoiray.datasets.batch_loader import BatchLoader
from hoiray.datasets.training_set import TrainingSet
from hoiray.evaluation.constant_hand import ConstantHand, Floats, fit_constant_hand
from hoiray.hand.joints import WRIST
from hoiray.metrics.pose import pa_mpjpe_m, root_aligned_mpjpe_m
from hoiray.metrics.summary import MM_PER_M
from hoiray.models.losses import TrainedNetwork
from hoiray.models.precision import Precision
from hoiray.training.world import World


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores a network on held-out samples, the workers sharing them.

    Attributes:
        loader: of the held-out samples, of this worker.
        trained_on: the samples the constant hand is fitted to.
        batch_size: of one worker.
        world: the workers.
        precision: of the forward pass, as in training.
    """

    loader: BatchLoader
    trained_on: TrainingSet
    batch_size: int
    world: World
    precision: Precision

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        """Score a model in evaluation mode; every worker gets the scores.

        Returns:
            `pa_mpjpe_mm` (similarity-aligned, proper rotations), `mpjpe_mm` (relative to the wrist),
            `joints_2d_percent` (of the side of the hand box), and the constant hand's `constant_pa_mpjpe_mm` and
            `constant_mpjpe_mm`, on the data sets' own joints.
        """
        assert isinstance(model, TrainedNetwork)
        parts = []
        for batch in self.loader.evaluation(self.batch_size):
            moved = batch.to(self.world.device)
            with self.precision.autocast():
                output = model.network(moved.inputs)
            errors_2d = (output.joints_2d_unit - moved.hand.joints_2d_unit).norm(dim=-1).mean(dim=-1)
            values = (output.joints_3d_m, moved.hand.joints_3d_m, errors_2d)
            parts.append([value.double().cpu().numpy() for value in values])
        gathered = [part for worker in self.world.gather(parts) for part in worker]
        predicted, truth, errors_2d = (np.concatenate(column) for column in zip(*gathered, strict=True))
        return self._scores(predicted, truth, errors_2d)

    def _scores(self, predicted: Floats, truth: Floats, errors_2d: Floats) -> dict[str, float]:
        constant = self._constant.joints
        pose, shape = (np.broadcast_to(points, truth.shape) for points in (constant.pose, constant.shape))
        errors = {
            "pa_mpjpe_mm": pa_mpjpe_m(predicted, truth, allow_reflection=False),
            "mpjpe_mm": root_aligned_mpjpe_m(predicted, truth, root_index=WRIST),
            "constant_pa_mpjpe_mm": pa_mpjpe_m(shape, truth, allow_reflection=False),
            "constant_mpjpe_mm": root_aligned_mpjpe_m(pose, truth, root_index=WRIST),
        }
        means = {name: MM_PER_M * float(np.mean(values)) for name, values in errors.items()}
        return {**means, "joints_2d_percent": 100.0 * float(np.mean(errors_2d))}

    @cached_property
    def _constant(self) -> ConstantHand:
        records = self.trained_on.records
        # of annotated hands alone, so that trainings with and without labels are laid beside the same constant hand
        annotated = records[~records["is_pseudo"]]
        joints = (annotated if len(annotated) else records)["joints_3d_m"].astype(np.float64)
        # records of left hands are mirrored already
        return fit_constant_hand(joints, None, np.ones(len(joints), dtype=np.bool_), source="training samples")
