from itertools import islice
from pathlib import Path

import pytest
import torch

from hoiray.benchmarks import train
from hoiray.config.where import TrainWorkers
from hoiray.training.assemble import LoadedBatches
from hoiray.training.job import Prepared


@pytest.fixture(scope="module")
def setup(training_data: Path, tmp_path_factory: pytest.TempPathFactory) -> train.Setup:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "MIN_STEPS_PER_EPOCH", 1)
        return train.make_setup(tmp_path_factory.mktemp("benchmark"), str(training_data), "nano")


@pytest.fixture(scope="module")
def prepared(setup: train.Setup) -> Prepared:
    return setup.prepared(TrainWorkers(loader_threads=1))


def test_a_small_set_is_listed_until_an_epoch_has_steps_enough(setup: train.Setup, prepared: Prepared) -> None:
    assert len(setup.plan.sets) == 3  # 12 images, 32 a step
    assert prepared.data.steps_per_epoch == 1


def test_the_bare_loop_trains_the_network(prepared: Prepared) -> None:
    weight = next(prepared.state.model.parameters())
    before = weight.detach().clone()
    train.BareLoop(prepared.state.model).run(list(prepared.data.batches(0, 0)))
    assert not torch.equal(weight, before)


def test_loading_goes_on_behind_the_end_of_an_epoch(prepared: Prepared) -> None:
    assert isinstance(prepared.data, LoadedBatches)
    with train.endless(prepared.data.loader) as batches:
        assert [len(batch) for batch in islice(batches, 3)] == [32, 32, 32]


def test_the_parts_of_the_forward_pass_add_up(setup: train.Setup) -> None:
    shares = train.forward_shares(setup, 1)
    assert {"backbone", "hand_decoder", "object_decoder", "object_reasoning"} <= set(shares)
    assert sum(share.median for share in shares.values()) == pytest.approx(1.0)
    assert all(share.median > 0.0 for share in shares.values())
