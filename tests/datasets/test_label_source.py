from dataclasses import replace

import dataset_files as files
import memory_dataset as memory
import numpy as np
import pytest

from hoiray.datasets.label_source import AnnotatedSource, LabelledHand, nearest_object
from hoiray.datasets.sample import DeadLetter, ObjectAnnotation, Sample
from hoiray.errors import ConfigError, InputError
from hoiray.geometry.control_points import control_points


def first_hand(dataset: memory.MemoryDataset, entry: int = 0) -> LabelledHand:
    found = AnnotatedSource(dataset).hands(entry)
    assert isinstance(found, tuple)
    return found[0]


def test_control_points_are_the_models_projected() -> None:
    dataset = memory.make_dataset()
    for entry in range(4):
        T = dataset.samples[entry].objects[0].T_cam_obj
        assert T is not None
        expected = memory.project(control_points(memory.BOX_POINTS) @ T[:3, :3].T + T[:3, 3])
        labelled = first_hand(dataset, entry)
        assert labelled.is_object_supervised
        np.testing.assert_allclose(labelled.control_points_px, expected, atol=1e-9)


def test_stored_control_points_serve_where_there_is_no_model() -> None:
    dataset = memory.make_dataset()
    points = np.arange(42.0).reshape(21, 2)
    dataset.samples[0] = replace(
        dataset.samples[0], objects=(ObjectAnnotation("unnamed", control_points_2d_px=points),)
    )
    np.testing.assert_array_equal(first_hand(dataset).control_points_px, points)


def test_an_object_without_pose_or_model_is_not_supervised() -> None:
    dataset = memory.make_dataset()
    dataset.samples[0] = replace(dataset.samples[0], objects=(ObjectAnnotation("0001", bbox_xyxy=np.arange(4.0)),))
    labelled = first_hand(dataset)
    assert labelled.obj is not None
    assert labelled.control_points_px is None
    assert not labelled.is_object_supervised


def test_a_part_of_a_set_is_a_source() -> None:
    source = AnnotatedSource(memory.make_dataset(), indices=[3, 1])
    assert len(source) == 2
    found = source.hands(0)
    assert isinstance(found, tuple)
    assert found[0].sample_id == "0003"
    np.testing.assert_array_equal(source.image(1), memory.make_dataset().images[1])
    mask = source.object_mask(1, memory.OBJECT)
    assert mask is not None
    np.testing.assert_array_equal(mask, memory.make_dataset().object_masks[1])


@pytest.mark.parametrize("indices", [[0, 4], [-1], [1, 1]])
def test_indices_the_set_has_not_are_refused(indices: list[int]) -> None:
    with pytest.raises(ConfigError, match="memory/train"):
        AnnotatedSource(memory.make_dataset(), indices=indices)


def test_every_hand_of_an_image_is_labelled() -> None:
    dataset = memory.make_dataset()
    sample, other = dataset.samples[:2]
    dataset.samples[0] = replace(sample, hands=(*sample.hands, *other.hands))
    found = AnnotatedSource(dataset).hands(0)
    assert isinstance(found, tuple)
    assert [hand.sample_id for hand in found] == ["0000#0", "0000#1"]


def test_an_annotation_no_hand_can_have_is_a_dead_letter() -> None:
    dataset = memory.make_dataset()
    hand = dataset.samples[0].hands[0]
    assert hand.joints_3d is not None
    dataset.samples[0] = replace(dataset.samples[0], hands=(replace(hand, joints_3d=1000 * hand.joints_3d),))
    assert isinstance(AnnotatedSource(dataset).hands(0), DeadLetter)


def test_the_image_size_is_that_of_the_first_image_that_can_be_read() -> None:
    dataset = memory.make_dataset()
    dataset.unreadable = {0, 1}
    assert AnnotatedSource(dataset).image_size_wh(3) == memory.SIZE_WH
    dataset.unreadable = {0, 1, 2, 3}
    with pytest.raises(InputError, match="memory/train"):
        AnnotatedSource(dataset).image_size_wh(0)


def test_the_identity_follows_the_labels_and_the_choice() -> None:
    same = [AnnotatedSource(memory.make_dataset()).identity() for _ in range(2)]
    assert same[0] == same[1]
    others = [
        AnnotatedSource(memory.make_dataset(), indices=[0, 1]),
        AnnotatedSource(memory.make_dataset(), weight=0.5),
        AnnotatedSource(memory.make_dataset(is_right=False)),
        AnnotatedSource(memory.make_dataset(with_K=False)),
        AnnotatedSource(memory.make_dataset(3)),
    ]
    assert len({same[0], *(source.identity() for source in others)}) == 6


def test_rounding_does_not_change_the_identity() -> None:
    dataset = memory.make_dataset()

    def nudged(sample: Sample) -> Sample:
        hand = sample.hands[0]
        assert hand.joints_3d is not None
        return replace(sample, hands=(replace(hand, joints_3d=hand.joints_3d + 1e-15),))

    before = AnnotatedSource(dataset).identity()
    dataset.samples = [nudged(sample) for sample in dataset.samples]
    assert AnnotatedSource(dataset).identity() == before


def test_the_object_of_a_hand_is_the_one_nearest_to_it() -> None:
    joints = files.hands(1, tip_set="ho3d").joints[0]
    hand = memory.make_dataset(1).samples[0].hands[0]
    far, near = np.eye(4), np.eye(4)
    far[:3, 3], near[:3, 3] = joints[9] + [0.3, 0, 0], joints[9] + [0.0, 0.05, 0]
    items = (ObjectAnnotation("far", far), ObjectAnnotation("near", near), ObjectAnnotation("unplaced"))
    chosen = nearest_object(hand, items)
    assert chosen is not None
    assert chosen.name == "near"
    assert nearest_object(hand, ()) is None
