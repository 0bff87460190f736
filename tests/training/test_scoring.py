from dataclasses import dataclass
from typing import Any

import memory_dataset as memory
import numpy as np
import pytest
import torch
from torch import nn

from hoiray.config.network import network_preset
from hoiray.config.what import Augmentation
from hoiray.datasets.batch_loader import BatchLoader
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.epoch_sampler import EpochSampler
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.training_set import TrainingSet
from hoiray.hand.model import HandModel
from hoiray.models.batch import Batch, NetworkInput
from hoiray.models.losses import TrainedNetwork
from hoiray.models.network import HandObjectNetwork
from hoiray.models.precision import Precision
from hoiray.training.scoring import Scorer
from hoiray.training.world import World


def make_set(count: int) -> TrainingSet:
    source = AnnotatedSource(memory.make_dataset(count))
    return TrainingSet.open([source], CropSpec(size_px=64, roi_cells=16), Augmentation())


def scorer_of(held_out: TrainingSet, *, batch_size: int = 3) -> Scorer:
    sampler = EpochSampler(held_out.source_indices(), batch_size=1)
    loader = BatchLoader(held_out, sampler, num_threads=0)
    return Scorer(loader, held_out, batch_size, World(), Precision("cpu", None))


@dataclass
class Answer:
    joints_3d_m: torch.Tensor
    joints_2d_unit: torch.Tensor


class Oracle(TrainedNetwork):
    """Answers with the truth, changed."""

    def __init__(self, batches: list[Batch], change: Any) -> None:
        nn.Module.__init__(self)
        self.truth = {batch.inputs.images.numpy().tobytes(): batch for batch in batches}
        self.change = change
        self.network = self.answer  # type: ignore[assignment]  # what a scorer calls

    def answer(self, inputs: NetworkInput) -> Answer:
        batch = self.truth[inputs.images.numpy().tobytes()]
        return Answer(self.change(batch.hand.joints_3d_m), batch.hand.joints_2d_unit + 0.03)


def scores(change: Any) -> dict[str, float]:
    scorer = scorer_of(make_set(5))
    oracle = Oracle(list(scorer.loader.evaluation(3)), change)
    return dict(scorer(oracle))


def test_the_truth_has_no_error() -> None:
    found = scores(lambda joints: joints)
    assert found["pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-6)
    assert found["mpjpe_mm"] == 0.0
    assert found["joints_2d_percent"] == pytest.approx(3.0 * np.sqrt(2.0), rel=1e-4)


def test_size_is_forgiven_by_one_score_and_not_by_the_other() -> None:
    found = scores(lambda joints: 1.5 * joints)
    assert found["pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-4)
    held_out = make_set(5)
    truth = np.stack([held_out.evaluation_sample(i).joints_3d_m for i in range(5)])
    assert found["mpjpe_mm"] == pytest.approx(500.0 * float(np.linalg.norm(truth, axis=-1).mean()), rel=1e-5)


def test_a_mirrored_hand_is_wrong() -> None:
    assert scores(lambda joints: joints * torch.tensor([-1.0, 1.0, 1.0]))["pa_mpjpe_mm"] > 5.0


def test_the_constant_hands_scores_stand_beside_and_do_not_depend_on_the_network() -> None:
    first, second = (scores(change) for change in (lambda j: j, lambda j: 2.0 * j))
    for name in ("constant_pa_mpjpe_mm", "constant_mpjpe_mm"):
        assert first[name] == second[name] > 0.0


def test_a_real_network_is_scored_whatever_the_batches() -> None:
    torch.manual_seed(0)
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    model = TrainedNetwork(HandObjectNetwork(network_preset("nano", input_px=64), hand)).eval()
    held_out = make_set(4)
    whole, parts = (dict(scorer_of(held_out, batch_size=size)(model)) for size in (4, 3))
    assert whole == pytest.approx(parts, rel=1e-4)
    assert whole["mpjpe_mm"] > 0.0
