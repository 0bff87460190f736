import memory_dataset as memory
import numpy as np
import pytest

from hoiray.datasets.crop_images import FullImages, JoinedImages, images_of, trimmed_mask
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_scan import scan_entries
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.errors import InputError


def opened(dataset: memory.MemoryDataset) -> FullImages:
    source = AnnotatedSource(dataset)
    return images_of(source, scan_entries(source, range(len(source)), CropSpec(64), needs_joints=True)[0])


def test_a_right_hands_image_is_as_it_was_read() -> None:
    dataset = memory.make_dataset()
    stored = opened(dataset).image(2)
    assert stored.pixels is dataset.images[2]
    np.testing.assert_array_equal(stored.A_image_stored, np.eye(3))


def test_a_left_hands_image_and_mask_are_mirrored() -> None:
    dataset = memory.make_dataset(is_right=False)
    images, mask = opened(dataset), dataset.object_masks[1]
    assert mask is not None
    np.testing.assert_array_equal(images.image(1).pixels, dataset.images[1][:, ::-1])
    part = images.object_mask(1)
    assert part is not None
    whole = np.zeros_like(mask)
    column, row = part.corner_xy
    whole[row : row + part.mask.shape[0], column : column + part.mask.shape[1]] = part.mask
    np.testing.assert_array_equal(whole, mask[:, ::-1])


def test_a_source_without_masks_or_objects_has_none() -> None:
    dataset = memory.make_dataset()
    dataset.object_masks[0] = None
    assert opened(dataset).object_mask(0) is None
    assert opened(memory.make_dataset(with_object=False)).object_mask(0) is None


def test_a_mask_is_trimmed_to_what_it_shows() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[4:6, 7:12] = True
    part = trimmed_mask(mask)
    assert (part.corner_xy, part.mask.shape) == ((7, 4), (2, 5))
    assert trimmed_mask(np.zeros((20, 30), dtype=bool)).mask.shape == (0, 0)


def test_an_image_of_another_size_is_refused_by_name() -> None:
    dataset = memory.make_dataset()
    images = opened(dataset)
    dataset.images[1] = dataset.images[1][::2, ::2]
    with pytest.raises(InputError, match=r"memory/train/0001, image.*320 x 240 px.*160 x 120"):
        images.image(1)


def test_joined_sets_give_each_sample_its_own_pixels() -> None:
    first, second = memory.make_dataset(2), memory.make_dataset(3, is_right=False)
    joined = JoinedImages((opened(first), opened(second)), np.array([0, 1, 1]), np.array([1, 0, 2]))
    assert joined.image(0).pixels is first.images[1]
    np.testing.assert_array_equal(joined.image(2).pixels, second.images[2][:, ::-1])
    part, own = joined.object_mask(1), opened(second).object_mask(0)
    assert part is not None
    assert own is not None
    np.testing.assert_array_equal(part.mask, own.mask)
