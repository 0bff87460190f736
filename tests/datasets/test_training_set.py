import pickle
from dataclasses import fields, replace
from pathlib import Path

import dataset_files as files
import memory_dataset as memory
import numpy as np
import pytest
import torch
from toy_world import make_recording, slot, write_recording

from hoiray.config.what import Augmentation
from hoiray.datasets.crop_cache import CacheOptions
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_source import AnnotatedSource, LabelledHand
from hoiray.datasets.open import open_dataset
from hoiray.datasets.sample import DeadLetter
from hoiray.datasets.training_sample import TrainingSample
from hoiray.datasets.training_set import TrainingSet
from hoiray.errors import ConfigError, ContractError, InputError
from hoiray.geometry.crops import apply_affine, from_unit_box, invert_affine
from hoiray.hand.load import load_hand_arrays
from hoiray.io.store import Store
from hoiray.synthetic.writers import dexycb, ho3d

SPEC = CropSpec(size_px=64, roi_cells=8)


def opened(
    dataset: memory.MemoryDataset | None = None,
    spec: CropSpec = SPEC,
    augmentation: Augmentation | None = None,
    **options: object,
) -> TrainingSet:
    source = AnnotatedSource(memory.make_dataset() if dataset is None else dataset)
    return TrainingSet.open([source], spec, augmentation, **options)  # type: ignore[arg-type]  # a test


def assert_same(one: TrainingSample, other: TrainingSample) -> None:
    for field in fields(TrainingSample):
        first, second = getattr(one, field.name), getattr(other, field.name)
        assert np.asarray(first).tobytes() == np.asarray(second).tobytes(), field.name


def test_a_sample_is_the_same_at_every_reading() -> None:
    dataset = opened()
    before = dataset.records.tobytes()
    first = [dataset.sample(index, epoch=epoch) for epoch in (0, 1) for index in range(4)]
    again = [dataset.sample(index, epoch=epoch) for epoch in (1, 0) for index in (3, 2, 1, 0)]
    for one, other in zip(first, [*again[::-1]], strict=True):
        assert_same(one, other)
    assert dataset.records.tobytes() == before


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    dataset = opened()
    for sample, (index, epoch) in zip(
        dataset.samples([2, 0, 2], epochs=[5, 5, 6]), ((2, 5), (0, 5), (2, 6)), strict=True
    ):
        assert_same(sample, dataset.sample(index, epoch=epoch))
    for index, sample in enumerate(dataset.evaluation_samples(range(4))):
        assert_same(sample, dataset.evaluation_sample(index))


def test_a_caller_who_writes_into_a_sample_changes_no_other() -> None:
    dataset = opened()
    sample, untouched = dataset.sample(1, epoch=0), dataset.sample(1, epoch=0)
    for field in fields(TrainingSample):
        value = getattr(sample, field.name)
        if isinstance(value, np.ndarray):
            value.fill(0)
    assert_same(dataset.sample(1, epoch=0), untouched)


def test_seed_epoch_and_index_decide_the_view() -> None:
    dataset, other = opened(), opened(seed=1)
    turns = [dataset.sample(0, epoch=0), dataset.sample(0, epoch=1), dataset.sample(1, epoch=0)]
    turns.append(other.sample(0, epoch=0))
    assert len({sample.rotation_rad for sample in turns}) == 4


def test_an_evaluation_crop_is_upright_and_holds_the_boxes() -> None:
    for sample in opened().evaluation_samples(range(4)):
        assert sample.rotation_rad == 0.0
        assert sample.A_crop_image[0, 1] == sample.A_crop_image[1, 0] == 0.0
        for box in (sample.hand_box_xyxy, sample.object_box_xyxy):
            assert np.all(box > -0.5)
            assert np.all(box < SPEC.size_px - 0.5)


def test_labels_lie_on_the_picture() -> None:
    """The object is painted green: its cells must fall on green pixels and its other cells on others."""
    dataset = opened(spec=CropSpec(96, roi_cells=16), augmentation=Augmentation(max_colour_change=0.0))
    for sample in dataset.samples(range(4), epochs=[3] * 4):
        unit = (np.stack(np.meshgrid(np.arange(16), np.arange(16)), axis=-1).reshape(-1, 2) + 0.5) / 16
        columns, rows = np.rint(from_unit_box(unit, sample.object_box_xyxy, expand=1.0)).astype(int).T
        inside = (columns >= 0) & (columns < 96) & (rows >= 0) & (rows < 96)
        colours = sample.image[rows[inside], columns[inside]].astype(int)
        is_green = np.abs(colours - [30, 200, 60]).max(axis=-1) < 40
        assert np.mean(is_green == sample.object_cells.ravel()[inside]) > 0.93


def test_mirrored_left_hands_are_the_samples_of_the_mirrored_world() -> None:
    left = memory.make_dataset(is_right=False)
    ours, theirs = opened(left), opened(memory.mirrored_world(left))
    for one, other in zip(
        ours.samples(range(4), epochs=[2] * 4), theirs.samples(range(4), epochs=[2] * 4), strict=True
    ):
        assert one.is_mirrored
        assert not other.is_mirrored
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.object_cells, other.object_cells)
        for name in (
            "hand_box_xyxy",
            "object_box_xyxy",
            "rotations",
            "joints_3d_m",
            "joints_2d_unit",
            "K",
            "T_cam_obj",
        ):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=2e-5, err_msg=name)


def test_2d_joints_lead_back_to_the_image() -> None:
    dataset = memory.make_dataset()
    for index, sample in enumerate(opened(dataset).samples(range(4), epochs=[0] * 4)):
        joints = dataset.samples[index].hands[0].joints_3d
        assert joints is not None
        crop_px = from_unit_box(sample.joints_2d_unit.astype(float), sample.hand_box_xyxy.astype(float), expand=1.0)
        image_px = apply_affine(invert_affine(sample.A_crop_image), crop_px)
        np.testing.assert_allclose(image_px, memory.project(joints), atol=1e-3)


def test_an_object_without_mask_is_not_supervised_and_keeps_its_box() -> None:
    dataset = memory.make_dataset()
    dataset.object_masks[0] = None
    with_mask, without = opened().sample(0, epoch=0), opened(dataset).sample(0, epoch=0)
    assert with_mask.is_object_supervised
    assert not without.is_object_supervised
    assert not without.object_cells.any()
    assert not without.control_points_unit.any()
    np.testing.assert_array_equal(without.object_box_xyxy, with_mask.object_box_xyxy)


def test_hands_of_several_sources_are_numbered_through() -> None:
    first, second = memory.make_dataset(3), memory.make_dataset(4, with_object=False)
    second.name = "other"
    dataset = TrainingSet.open([AnnotatedSource(first, indices=[2, 0]), AnnotatedSource(second, weight=0.25)], SPEC)
    assert dataset.sample_ids[:3] == ("memory/train/0002", "memory/train/0000", "other/train/0000")
    np.testing.assert_array_equal(dataset.source_indices(), [0, 0, 1, 1, 1, 1])
    assert [sample.weight for sample in dataset.evaluation_samples([1, 2])] == [1.0, 0.25]
    source, entry, hand_index = dataset.origin(0)
    assert isinstance(source, AnnotatedSource)
    assert (source.index_of(entry), hand_index) == (2, 0)
    assert dataset.num_objects_supervised == 2


def test_samples_of_two_sources_of_one_name_are_told_apart() -> None:
    dataset = TrainingSet.open([AnnotatedSource(memory.make_dataset(1)) for _ in range(2)], SPEC)
    assert len(set(dataset.sample_ids)) == 2
    assert [name.partition("/0")[0] for name in dataset.sample_ids] == ["memory/train@0", "memory/train@1"]
    np.testing.assert_array_equal(dataset.records["source"], [0, 1])


def test_what_is_left_out_is_told_and_too_much_of_it_refused() -> None:
    dataset = memory.make_dataset()
    dataset.samples[1] = replace(dataset.samples[1], hands=())
    assert len(opened(dataset)) == 3
    assert opened(dataset).dead_counts() == {"find hand": 1}
    bare = memory.make_dataset(with_K=False)
    hand = replace(bare.samples[0].hands[0], joints_2d_px=None)
    bare.samples[0] = replace(bare.samples[0], hands=(hand,))
    with pytest.raises(ContractError, match="1 of 4"):
        opened(bare)
    assert len(opened(bare, max_dead_fraction=0.3)) == 3


def test_a_set_without_a_usable_hand_is_refused() -> None:
    dataset = memory.make_dataset(2)
    dataset.samples = [replace(sample, hands=()) for sample in dataset.samples]
    with pytest.raises(ConfigError, match=r"memory/train \(2 left out\)"):
        opened(dataset)


def test_without_a_cache_a_damaged_image_shows_when_it_is_read() -> None:
    dataset = memory.make_dataset()
    dataset.unreadable = {2}
    with pytest.raises(InputError, match="image 2"):
        opened(dataset).sample(2, epoch=0)


def test_the_fingerprint_follows_everything_that_decides_a_sample() -> None:
    assert opened().fingerprint() == opened().fingerprint()
    others = [
        opened(seed=1),
        opened(spec=replace(SPEC, hand_box_factor=1.2)),
        opened(augmentation=Augmentation.released()),
        opened(memory.make_dataset(3)),
    ]
    assert len({opened().fingerprint(), *(other.fingerprint() for other in others)}) == 5


def test_a_set_travels_to_a_worker(tmp_path: Path) -> None:
    for cache in (None, CacheOptions(tmp_path)):
        dataset = opened(cache=cache)
        sample = dataset.sample(0, epoch=0)
        assert_same(pickle.loads(pickle.dumps(dataset)).sample(0, epoch=0), sample)


class UncertainSource(AnnotatedSource):
    """What accepted labels will be: the same hand, less weight, an object that is framed and not supervised."""

    def hands(self, entry: int) -> tuple[LabelledHand, ...] | DeadLetter:
        found = super().hands(entry)
        assert isinstance(found, tuple)
        return tuple(replace(hand, is_object_supervised=False, weight=0.3) for hand in found)


def test_another_kind_of_source_gives_the_same_sample_but_for_what_it_vouches_for() -> None:
    dataset = memory.make_dataset()
    annotated = TrainingSet.open([AnnotatedSource(dataset)], SPEC).samples(range(4), epochs=[1] * 4)
    uncertain = TrainingSet.open([UncertainSource(dataset)], SPEC).samples(range(4), epochs=[1] * 4)
    vouched = {"is_object_supervised", "control_points_unit", "object_cells", "weight"}
    for one, other in zip(annotated, uncertain, strict=True):
        assert other.weight == pytest.approx(0.3)
        assert not other.is_object_supervised
        assert not other.object_cells.any()
        for field in fields(TrainingSample):
            if field.name not in vouched:
                np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def test_left_hands_of_dexycb_pose_the_right_hand_they_are_shown_as(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    names = ("025_mug", "003_cracker_box")
    recording = make_recording(num_frames=1, num_cameras=1, object_names=names, target_is_right=False, fps=30.0)
    place = slot(4, "train", subject=1)
    part, _ = write_recording(dexycb.DEXYCB.begin(store, recording, place), store, recording, place)
    dexycb.DEXYCB.finish(store, [part])
    dataset = TrainingSet.open([AnnotatedSource(open_dataset(str(tmp_path), hand=load_hand_arrays()))], SPEC)
    sample = dataset.sample(0, epoch=0)
    assert sample.is_mirrored
    assert dataset.object_names == ("025_mug",)  # the nearer one
    rotations, betas = torch.tensor(sample.rotations).double(), torch.tensor(sample.betas).double()
    posed = files.model("manopth").from_matrices(rotations[0], rotations[1:], betas).joints.numpy()
    # the left mesh's middle tip is another vertex in this set: 445, not 444
    same = np.arange(21) != 12
    np.testing.assert_allclose((posed - posed[0])[same], sample.joints_3d_m[same], atol=2e-5)
    np.testing.assert_allclose((posed - posed[0])[12], sample.joints_3d_m[12], atol=0.01)


@pytest.fixture(scope="module")
def ho3d_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("ho3d")
    store, parts = Store.open(folder), []
    for index, split in enumerate(("train", "test")):
        recording = make_recording(recording_id=f"toy-{index}", seed=1 + index, num_frames=3, num_cameras=1)
        place = slot(index, split)
        part, _ = write_recording(ho3d.HO3D_V2.begin(store, recording, place), store, recording, place)
        parts.append(part)
    ho3d.HO3D_V2.finish(store, parts)
    return str(folder)


@pytest.mark.parametrize("split", ["train", "evaluation"])
def test_a_set_on_disk_is_read_through_its_reader(ho3d_root: str, split: str) -> None:
    dataset = TrainingSet.open([AnnotatedSource(open_dataset(ho3d_root, split=split, hand=load_hand_arrays()))], SPEC)
    assert len(dataset) == 3
    assert not dataset.dead_letters
    for sample in [dataset.sample(0, epoch=0), dataset.evaluation_sample(0)]:
        assert sample.has_mano == (split == "train")
        assert sample.is_object_supervised
        assert sample.object_cells.any()
        joints = sample.joints_3d_m.astype(float) + sample.wrist_3d_m
        seen = memory.project(joints, sample.K)
        expected = from_unit_box(sample.joints_2d_unit.astype(float), sample.hand_box_xyxy.astype(float), expand=1.0)
        np.testing.assert_allclose(seen, expected, atol=1e-3)


def test_the_evaluation_split_is_cropped_around_its_own_boxes(ho3d_root: str) -> None:
    reader = open_dataset(ho3d_root, split="evaluation")
    sample = TrainingSet.open([AnnotatedSource(reader)], SPEC).evaluation_sample(0)
    box = reader.sample(0).hands[0].bbox_xyxy
    assert box is not None
    corners = apply_affine(sample.A_crop_image, box.reshape(2, 2))
    middle, half = corners.mean(axis=0), 1.1 * (corners[1] - corners[0]) / 2
    np.testing.assert_allclose(sample.hand_box_xyxy, [*(middle - half), *(middle + half)], atol=1e-4)
