import numpy as np
import pytest
import torch

from hoiray.benchmarks import hand
from hoiray.hand.model import HandModel


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load(flat_hand_mean=True, tip_set="smplx")


def test_both_baselines_compute_what_the_model_computes(model: HandModel) -> None:
    batch = hand.Batch.random(7, seed=1)
    pose, betas = torch.from_numpy(batch.pose), torch.from_numpy(batch.betas)
    expected = model(pose[:, 0], pose[:, 1:].flatten(1), betas).vertices
    bare = hand.BareTorchSkinning(model.arrays)(pose, betas)
    plain = hand.numpy_skinning(model.arrays, batch)
    assert (bare - expected).abs().max() < 1e-6
    np.testing.assert_allclose(plain, expected, atol=1e-6)
    hand._refuse_disagreement(expected, bare, plain)


def test_a_baseline_that_disagrees_is_refused() -> None:
    good = torch.zeros(2, 778, 3)
    with pytest.raises(RuntimeError, match="bare torch skinning"):
        hand._refuse_disagreement(good, good + 1e-3, good.numpy())
    with pytest.raises(RuntimeError, match="bare NumPy skinning"):
        hand._refuse_disagreement(good, good, good.numpy() - 1e-3)
