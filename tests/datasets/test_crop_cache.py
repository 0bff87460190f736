import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import memory_dataset as memory
import numpy as np
import pytest

from hoiray.config.what import Augmentation
from hoiray.datasets import crop_cache
from hoiray.datasets.crop_cache import (
    READ_STAGE,
    CacheOptions,
    CropCache,
    forget_unread,
    open_crop_cache,
    stored_affines,
)
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.sample import Sample
from hoiray.datasets.training_sample import TrainingSample
from hoiray.datasets.training_set import TrainingSet
from hoiray.errors import ConfigError, ContractError
from hoiray.geometry.crops import apply_affine, invert_affine

SPEC = CropSpec(size_px=64, roi_cells=8)
NO_COLOUR = Augmentation(max_colour_change=0.0)
COUNT = 20


@pytest.fixture(scope="module")
def dataset() -> memory.MemoryDataset:
    return memory.make_dataset(COUNT)


def cache_of(
    dataset: memory.MemoryDataset,
    folder: Path,
    augmentation: Augmentation = NO_COLOUR,
    spec: CropSpec = SPEC,
    **options: object,
) -> CropCache:
    return open_crop_cache(AnnotatedSource(dataset), spec, augmentation, CacheOptions(folder), **options)  # type: ignore[arg-type]  # a test


def sets(dataset: memory.MemoryDataset, folder: Path, augmentation: Augmentation) -> tuple[TrainingSet, TrainingSet]:
    source = AnnotatedSource(dataset)
    cache = CacheOptions(folder, resolution=1.25)
    return (
        TrainingSet.open([source], SPEC, augmentation),
        TrainingSet.open([source], SPEC, augmentation, cache=cache),
    )


@pytest.mark.parametrize("is_right", [True, False])
def test_labels_are_the_same_with_and_without_a_cache(tmp_path: Path, is_right: bool) -> None:
    full, cached = sets(memory.make_dataset(COUNT, is_right=is_right), tmp_path, NO_COLOUR)
    every = list(range(COUNT))
    pairs = [
        *zip(full.samples(every, epochs=every), cached.samples(every, epochs=every), strict=True),
        *zip(full.evaluation_samples(every), cached.evaluation_samples(every), strict=True),
    ]
    for one, other in pairs:
        for field in fields(TrainingSample):
            if field.name != "image":
                same = (
                    np.asarray(getattr(one, field.name)).tobytes() == np.asarray(getattr(other, field.name)).tobytes()
                )
                assert same, field.name


def test_cached_crops_show_what_crops_of_the_full_image_show(dataset: memory.MemoryDataset, tmp_path: Path) -> None:
    full, cached = sets(dataset, tmp_path, NO_COLOUR)
    every = list(range(COUNT))
    for one, other in zip(full.samples(every, epochs=every), cached.samples(every, epochs=every), strict=True):
        error = one.image.astype(float) - other.image
        assert abs(error.mean()) < 1.0
        # the object's painted edge and the image's own are the only sharp ones
        assert np.percentile(np.abs(error), 90) <= 3.0
        assert np.sqrt(np.mean(error**2)) < 8.0


def test_the_stored_square_holds_every_augmented_crop(dataset: memory.MemoryDataset, tmp_path: Path) -> None:
    cache = cache_of(dataset, tmp_path, Augmentation())
    training_set = TrainingSet.open([AnnotatedSource(dataset)], SPEC, Augmentation())
    corners = np.array([[x, y] for x in (-0.5, 63.5) for y in (-0.5, 63.5)])
    stored = stored_affines(cache.records, cache.reach, cache.side_px)
    for epoch in range(10):
        for index, sample in enumerate(training_set.samples(range(4), epochs=[epoch] * 4)):
            places = apply_affine(stored[index], apply_affine(invert_affine(sample.A_crop_image), corners))
            assert places.min() >= 1.0
            assert places.max() <= cache.side_px - 2.0


def test_the_stored_square_holds_the_evaluation_crop_wherever_its_box_is(tmp_path: Path) -> None:
    dataset = memory.make_dataset(2)
    for index, sample in enumerate(dataset.samples):
        hand = replace(sample.hands[0], bbox_xyxy=np.array([20.0, 10.0, 120.0, 200.0]))
        dataset.samples[index] = replace(sample, hands=(hand,))
    still = Augmentation(max_scale_change=0.0, max_rotation_deg=0.0, max_translation_box_sides=0.0)
    full, cached = sets(dataset, tmp_path, still)
    for one, other in zip(full.evaluation_samples([0, 1]), cached.evaluation_samples([0, 1]), strict=True):
        assert np.percentile(np.abs(one.image.astype(float) - other.image), 90) <= 4.0


def test_a_second_opening_reads_no_image(dataset: memory.MemoryDataset, tmp_path: Path) -> None:
    parts: list[tuple[int, int]] = []
    first = cache_of(dataset, tmp_path, on_part=lambda done, total: parts.append((done, total)))
    second = cache_of(dataset, tmp_path, on_part=lambda done, total: parts.append((done, total)))
    assert parts == [(1, 1)]
    assert first.records.tobytes() == second.records.tobytes()
    np.testing.assert_array_equal(first.image(3).pixels, second.image(3).pixels)
    with pytest.raises(ValueError, match="read-only"):
        second.image(3).pixels[:] = 0


def test_an_interrupted_build_is_gone_on_with(
    dataset: memory.MemoryDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_cache, "_PART_BYTES", 1)  # 16 entries a part, the least
    whole = cache_of(dataset, tmp_path / "whole")
    assert len(whole.starts) == 3
    broken = memory.make_dataset(COUNT)
    reads: list[int] = []

    def image(sample: Sample) -> np.ndarray:
        reads.append(sample.frame_index)
        if sample.frame_index == 18 and len(reads) < 40:
            raise KeyboardInterrupt
        return broken.images[int(sample.image_key)]

    monkeypatch.setattr(broken, "image", image)
    with pytest.raises(KeyboardInterrupt):
        open_crop_cache(AnnotatedSource(broken), SPEC, NO_COLOUR, CacheOptions(tmp_path / "killed", num_threads=1))
    names = sorted(path.name for path in (tmp_path / "killed").glob("crops-*/*"))
    assert names == ["part-00000"]
    reads[:] = [99] * 40
    resumed = open_crop_cache(AnnotatedSource(broken), SPEC, NO_COLOUR, CacheOptions(tmp_path / "killed"))
    assert not {1, 2, 3, 4} & set(reads[40:])
    assert resumed.records.tobytes() == whole.records.tobytes()
    for index in range(COUNT):
        np.testing.assert_array_equal(resumed.image(index).pixels, whole.image(index).pixels)


def test_several_builders_make_one_cache(
    dataset: memory.MemoryDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_cache, "_PART_BYTES", 1)
    with ThreadPoolExecutor(4) as pool:
        caches = list(pool.map(lambda _: cache_of(dataset, tmp_path), range(4)))
    assert len({cache.records.tobytes() for cache in caches}) == 1
    assert sorted(path.name for path in caches[0].folder.iterdir()) == ["part-00000", "part-00001"]


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(
    dataset: memory.MemoryDataset, tmp_path: Path
) -> None:
    folder = cache_of(dataset, tmp_path).folder
    host = os.uname().nodename
    dead, alive = folder / f".part-00001.{host}.999999999.aa", folder / f".part-00001.{host}.{os.getpid()}.bb"
    elsewhere = folder / ".part-00001.another.host.17.cc"
    for place in (dead, alive, elsewhere):
        place.mkdir()
    cache_of(dataset, tmp_path)
    assert (dead.exists(), alive.exists(), elsewhere.exists()) == (False, True, True)


def test_a_damaged_image_is_a_dead_letter(tmp_path: Path) -> None:
    dataset = memory.make_dataset(COUNT)
    dataset.unreadable = {7}
    cache = cache_of(dataset, tmp_path)
    assert len(cache.records) == COUNT - 1
    assert [(letter.key, letter.stage) for letter in cache.dead_letters] == [("memory/train/0007", READ_STAGE)]
    assert "image 7" in cache.dead_letters[0].reason
    assert cache.sample_ids[7] == "memory/train/0008"
    with pytest.raises(ContractError, match="read pixels: 1"):
        TrainingSet.open(
            [AnnotatedSource(dataset)], SPEC, NO_COLOUR, cache=CacheOptions(tmp_path), max_dead_fraction=0.01
        )


def test_an_object_without_mask_is_not_supervised(tmp_path: Path) -> None:
    dataset = memory.make_dataset(COUNT)
    dataset.object_masks[0] = None
    cache = cache_of(dataset, tmp_path)
    assert np.count_nonzero(cache.records["is_object_supervised"]) == COUNT - 1
    assert cache.object_mask(0) is None


def test_a_cache_is_another_where_its_crops_would_be(dataset: memory.MemoryDataset, tmp_path: Path) -> None:
    same = cache_of(dataset, tmp_path).folder
    redrawn = memory.make_dataset(COUNT)
    redrawn.images = [255 - image for image in redrawn.images]
    others = [
        cache_of(redrawn, tmp_path),
        cache_of(dataset, tmp_path, Augmentation(max_rotation_deg=10.0)),
        cache_of(dataset, tmp_path, Augmentation.released()),
        cache_of(dataset, tmp_path, spec=replace(SPEC, size_px=48)),
        cache_of(dataset, tmp_path, spec=replace(SPEC, context_factor=2.0)),
    ]
    assert len({same, *(other.folder for other in others)}) == 6
    assert cache_of(dataset, tmp_path, spec=replace(SPEC, roi_cells=32, hand_box_factor=1.3)).folder == same


@pytest.mark.parametrize("name", ["crops.u8", "records.npy", "texts.json"])
def test_a_damaged_part_is_refused_by_name(dataset: memory.MemoryDataset, tmp_path: Path, name: str) -> None:
    file = cache_of(dataset, tmp_path).folder / "part-00000" / name
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ContractError, match=r"part-00000.*Delete this folder"):
        cache_of(dataset, tmp_path)


def test_a_cache_travels_without_its_pixels(dataset: memory.MemoryDataset, tmp_path: Path) -> None:
    cache = cache_of(dataset, tmp_path)
    pixels = cache.image(5).pixels.copy()
    data = pickle.dumps(cache)
    assert len(data) < cache.side_px**2 * 3 * COUNT / 4
    np.testing.assert_array_equal(pickle.loads(data).image(5).pixels, pixels)


@pytest.mark.parametrize("options", [{"resolution": 0.0}, {"resolution": 9.0}, {"num_threads": 0}])
def test_options_that_store_nothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="crop cache"):
        CacheOptions(Path(), **options)  # type: ignore[arg-type]  # a test


def test_what_the_disk_has_no_room_for_is_refused_with_the_arithmetic(
    dataset: memory.MemoryDataset, tmp_path: Path
) -> None:
    options = CacheOptions(tmp_path, max_gib=1e-5)
    with pytest.raises(
        ConfigError, match=r"at most 1e-05 GiB, as allowed, found 0.\d+ GiB for 20 images in squares of"
    ):
        open_crop_cache(AnnotatedSource(dataset), SPEC, NO_COLOUR, options)
    assert not list(tmp_path.glob("crops-*/part-*"))


def test_parts_that_lack_pixels_can_be_forgotten(tmp_path: Path) -> None:
    dataset = memory.make_dataset(COUNT)
    whole = cache_of(dataset, tmp_path)
    forget_unread(whole)
    assert len(list(whole.folder.glob("part-*"))) == 1
    damaged = replace(memory.make_dataset(COUNT), unreadable={5})
    lacking = cache_of(damaged, tmp_path / "other")
    assert [letter.stage for letter in lacking.dead_letters] == [READ_STAGE]
    forget_unread(lacking)
    assert list(lacking.folder.glob("part-*")) == []
