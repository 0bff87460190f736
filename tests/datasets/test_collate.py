from dataclasses import fields, replace

import memory_dataset as memory
import numpy as np
import pytest
import torch

from hoiray.datasets.collate import collate
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.training_sample import TrainingSample
from hoiray.datasets.training_set import TrainingSet
from hoiray.errors import ContractError

SPEC = CropSpec(48, roi_cells=6)


def samples(**options: bool) -> list[TrainingSample]:
    return TrainingSet.open([AnnotatedSource(memory.make_dataset(3, **options))], SPEC).samples(
        range(3), epochs=[0, 0, 0]
    )


def test_a_batch_holds_its_samples_in_order() -> None:
    made = samples()
    batch = collate(made)
    assert len(batch) == 3
    assert batch.sample_ids == tuple(sample.sample_id for sample in made)
    for row, sample in enumerate(made):
        pairs = (
            (batch.inputs.images, sample.image),
            (batch.inputs.hand_boxes_xyxy, sample.hand_box_xyxy),
            (batch.inputs.object_boxes_xyxy, sample.object_box_xyxy),
            (batch.hand.rotations, sample.rotations),
            (batch.hand.betas, sample.betas),
            (batch.hand.joints_3d_m, sample.joints_3d_m),
            (batch.hand.joints_2d_unit, sample.joints_2d_unit),
            (batch.obj.control_points_unit, sample.control_points_unit),
            (batch.obj.masks, sample.object_cells),
        )
        for tensor, array in pairs:
            np.testing.assert_array_equal(tensor[row].numpy(), array)
    assert batch.hand.has_mano.tolist() == [True] * 3
    assert batch.obj.is_supervised.tolist() == [True] * 3


def test_every_tensor_has_the_type_the_network_expects() -> None:
    batch = collate(samples())
    assert batch.inputs.images.dtype == torch.uint8
    booleans = {"has_mano", "is_supervised", "masks"}
    for part in (batch.inputs, batch.hand, batch.obj):
        for field in fields(part):
            if field.name != "images":
                wanted = torch.bool if field.name in booleans else torch.float32
                assert getattr(part, field.name).dtype == wanted, field.name
    assert batch.weights.dtype == torch.float32


def test_unsupervised_objects_have_finite_targets_and_the_hands_box() -> None:
    batch = collate(samples(with_object=False))
    assert not batch.obj.is_supervised.any()
    assert not batch.obj.masks.any()
    assert torch.equal(batch.obj.control_points_unit, torch.zeros(3, 21, 2))
    assert torch.equal(batch.inputs.object_boxes_xyxy, batch.inputs.hand_boxes_xyxy)


def test_a_batch_shares_no_memory_with_its_samples() -> None:
    made = samples()
    batch = collate(made)
    before = made[0].image.copy()
    batch.inputs.images.zero_()
    np.testing.assert_array_equal(made[0].image, before)


def test_weights_come_along() -> None:
    made = [replace(sample, weight=0.5 + row) for row, sample in enumerate(samples())]
    assert collate(made).weights.tolist() == [0.5, 1.5, 2.5]


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ContractError, match="at least one sample"):
        collate([])


def test_kinds_of_labels_are_told_where_they_are_asked_for() -> None:
    made = [replace(sample, is_pseudo=index == 1) for index, sample in enumerate(samples())]
    assert collate(made).is_pseudo is None
    kinds = collate(made, tells_kinds=True).is_pseudo
    assert kinds is not None
    assert kinds.tolist() == [False, True, False]
