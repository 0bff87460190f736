import threading

import memory_dataset as memory
import pytest
import torch

from hoiray.datasets.batch_loader import BatchLoader
from hoiray.datasets.collate import collate
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.epoch_sampler import EpochSampler
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.training_set import TrainingSet
from hoiray.errors import InputError
from hoiray.models.batch import Batch

COUNT = 14


@pytest.fixture(scope="module")
def dataset() -> TrainingSet:
    return TrainingSet.open([AnnotatedSource(memory.make_dataset(COUNT))], CropSpec(48, roi_cells=6))


def loader(dataset: TrainingSet, **options: int) -> BatchLoader:
    return BatchLoader(dataset, EpochSampler(dataset.source_indices(), batch_size=4), **options)


def same(one: Batch, other: Batch) -> bool:
    return (
        one.sample_ids == other.sample_ids
        and torch.equal(one.inputs.images, other.inputs.images)
        and torch.equal(one.hand.joints_2d_unit, other.hand.joints_2d_unit)
    )


@pytest.mark.parametrize("num_threads", [1, 3])
def test_batches_do_not_depend_on_the_number_of_threads(dataset: TrainingSet, num_threads: int) -> None:
    plain = list(loader(dataset, num_threads=0).epoch(1))
    ahead = list(loader(dataset, num_threads=num_threads, num_ahead=2).epoch(1))
    assert len(plain) == len(ahead) == 3
    assert all(same(one, other) for one, other in zip(plain, ahead, strict=True))


def test_a_resumed_epoch_yields_the_rest_of_it(dataset: TrainingSet) -> None:
    whole, rest = list(loader(dataset).epoch(2)), list(loader(dataset).epoch(2, first_step=1))
    assert len(rest) == 2
    assert all(same(one, other) for one, other in zip(whole[1:], rest, strict=True))


def test_two_workers_share_the_batches_of_one(dataset: TrainingSet) -> None:
    alone = list(loader(dataset).epoch(0))
    parts = [list(loader(dataset, rank=rank, world_size=2).epoch(0)) for rank in (0, 1)]
    for whole, first, second in zip(alone, *parts, strict=True):
        assert whole.sample_ids[0::2] == first.sample_ids
        assert whole.sample_ids[1::2] == second.sample_ids
        assert torch.equal(whole.inputs.images[0::2], first.inputs.images)


def test_an_evaluation_yields_every_sample_once_unaugmented(dataset: TrainingSet) -> None:
    batches = list(loader(dataset).evaluation(batch_size=5))
    assert [len(batch) for batch in batches] == [5, 5, 4]
    assert [name for batch in batches for name in batch.sample_ids] == list(dataset.sample_ids)
    assert same(batches[0], collate(dataset.evaluation_samples(range(5))))


def test_the_consumers_waiting_is_counted(dataset: TrainingSet) -> None:
    one = loader(dataset)
    assert len(list(one.epoch(0))) == one.times.num_batches == 3
    assert one.times.waited_s > 0.0
    list(one.epoch(1))
    assert one.times.num_batches == 6


def test_a_consumer_who_stops_early_leaves_no_thread(dataset: TrainingSet) -> None:
    batches = loader(dataset, num_threads=2).epoch(0)
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # a generator
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_a_damaged_image_is_told_to_the_consumer() -> None:
    source = memory.make_dataset(COUNT)
    source.unreadable = {5}
    broken = TrainingSet.open([AnnotatedSource(source)], CropSpec(48))
    with pytest.raises(InputError, match="image 5"):
        list(BatchLoader(broken, EpochSampler(broken.source_indices(), batch_size=14)).epoch(0))
