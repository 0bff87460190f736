from dataclasses import fields, replace
from pathlib import Path

import dataset_files
import label_runs as runs
import memory_dataset as memory
import numpy as np
import pyarrow as pa
import pytest
from valid_tables import replaced

from hoiray.config.what import Augmentation
from hoiray.datasets.accepted_labels import AcceptedLabels
from hoiray.datasets.crop_cache import READ_STAGE, CacheOptions
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_rows import LabelChoice, choose_labels, read_label_rows, read_videos
from hoiray.datasets.label_run import LabelRun
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.sample import ObjectAnnotation
from hoiray.datasets.training_sample import TrainingSample
from hoiray.datasets.training_set import TrainingSet
from hoiray.datasets.video_frames import StoredVideo
from hoiray.errors import ContractError, InputError
from hoiray.geometry.boxes import from_points
from hoiray.schema.conform import conform
from hoiray.schema.tables import LABELS

SPEC = CropSpec(size_px=64, roi_cells=8)
COUNT = 5
PLACE = {"wrist_3d_m", "K"}
TOLD_APART = {"sample_id", "is_pseudo"}


def make_truth(*, is_right: bool, with_K: bool, with_mano: bool = True) -> memory.MemoryDataset:
    """A set whose object is known by its box alone, with numbers that float32 holds."""
    dataset = memory.make_dataset(COUNT, is_right=is_right, with_K=with_K, with_mano=with_mano)
    for index, sample in enumerate(dataset.samples):
        (hand,), (thing,) = sample.hands, sample.objects
        assert thing.T_cam_obj is not None
        assert hand.joints_3d is not None
        points = memory.project(memory.BOX_POINTS @ thing.T_cam_obj[:3, :3].T + thing.T_cam_obj[:3, 3])
        box = from_points(points).astype(np.float32).astype(np.float64)
        if not with_K:
            assert hand.joints_2d_px is not None
            about_wrist = (hand.joints_3d - hand.joints_3d[0]).astype(np.float32).astype(np.float64)
            pixels = hand.joints_2d_px.astype(np.float32).astype(np.float64)
            # half a metre away: float64 adds and subtracts it without rounding
            hand = replace(hand, joints_3d=about_wrist + np.array([0.0, 0.0, 0.5]), joints_2d_px=pixels)
        if hand.mano is not None:
            parts = {
                f.name: getattr(hand.mano, f.name).astype(np.float32).astype(np.float64) for f in fields(hand.mano)
            }
            hand = replace(hand, mano=type(hand.mano)(**parts))
        objects = (ObjectAnnotation(memory.OBJECT, bbox_xyxy=box),)
        dataset.samples[index] = replace(sample, hands=(hand,), objects=objects)
    return dataset


def source_of(run: LabelRun, choice: LabelChoice | None = None, *, pool: str = "all") -> AcceptedLabels:
    table = read_label_rows(run, pool)  # type: ignore[arg-type]  # a test
    weights = choose_labels(table, choice or LabelChoice(), source=run.uri)
    return AcceptedLabels(run, table, weights, read_videos(run, table["video_id"]), dataset_files.arrays())


def make_labels(folder: Path, truth: memory.MemoryDataset) -> tuple[memory.MemoryDataset, AcceptedLabels]:
    """The truth as an annotated set and as labels, of the same pictures."""
    shown, videos = runs.filmed(truth, folder / "videos")
    return shown, source_of(runs.write_label_run(folder, [runs.true_rows(truth, videos)], videos))


def opened(source: AnnotatedSource | AcceptedLabels, cache: CacheOptions | None = None) -> TrainingSet:
    return TrainingSet.open([source], SPEC, Augmentation(), seed=3, cache=cache)


def every_sample(training_set: TrainingSet) -> list[TrainingSample]:
    every = list(range(len(training_set)))
    seen = [training_set.samples(every, epochs=[epoch] * len(every)) for epoch in (0, 1)]
    return [*seen[0], *seen[1], *training_set.evaluation_samples(every)]


@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.parametrize("with_mano", [True, False])
def test_a_label_equal_to_the_truth_is_the_annotated_sample_bit_for_bit(
    tmp_path: Path, is_right: bool, with_mano: bool
) -> None:
    shown, labels = make_labels(tmp_path, make_truth(is_right=is_right, with_K=False, with_mano=with_mano))
    for options in (None, CacheOptions(tmp_path / "crops")):
        annotated, pseudo = every_sample(opened(AnnotatedSource(shown), options)), every_sample(opened(labels, options))
        assert len(annotated) == len(pseudo) == 3 * COUNT
        for one, other in zip(annotated, pseudo, strict=True):
            for field in fields(TrainingSample):
                first, second = (np.asarray(getattr(each, field.name)) for each in (one, other))
                if field.name not in PLACE | TOLD_APART:
                    assert first.tobytes() == second.tobytes(), field.name
            assert other.is_mirrored == (not is_right)
            assert other.is_pseudo
            assert not one.is_pseudo
            assert np.isnan(other.K).all()
            # without a camera nobody knows where the wrist is
            assert np.isnan(other.wrist_3d_m).all()


@pytest.mark.parametrize("is_right", [True, False])
def test_with_a_camera_a_true_label_is_the_annotated_sample_but_for_rounding(tmp_path: Path, is_right: bool) -> None:
    shown, labels = make_labels(tmp_path, make_truth(is_right=is_right, with_K=True))
    for one, other in zip(every_sample(opened(AnnotatedSource(shown))), every_sample(opened(labels)), strict=True):
        for field in fields(TrainingSample):
            first, second = (np.asarray(getattr(each, field.name)) for each in (one, other))
            if field.name == "image":
                # an affine that differs in its seventh digit changes few pixels, and those by a grey level or two
                assert np.abs(first.astype(int) - second).max() <= 2
            elif field.name not in TOLD_APART:
                np.testing.assert_allclose(first, second, rtol=1e-5, atol=2e-5, err_msg=field.name)
        # metres: the place is solved from transl and J0 of the hand of its own side
        np.testing.assert_allclose(one.wrist_3d_m, other.wrist_3d_m, atol=1e-6)


def test_the_object_of_a_label_has_a_box_and_is_not_supervised(tmp_path: Path) -> None:
    _, labels = make_labels(tmp_path, make_truth(is_right=True, with_K=True))
    for sample in every_sample(opened(labels)):
        assert not sample.is_object_supervised
        assert not sample.control_points_unit.any()
        assert not np.array_equal(sample.object_box_xyxy, sample.hand_box_xyxy)


def test_without_an_object_box_the_hand_alone_places_the_crop(tmp_path: Path) -> None:
    truth = make_truth(is_right=True, with_K=False)
    alone = replace(truth, samples=[replace(sample, objects=()) for sample in truth.samples])
    shown, videos = runs.filmed(alone, tmp_path / "videos")
    rows = runs.true_rows(alone, videos, object_boxes=False)
    labels = source_of(runs.write_label_run(tmp_path, [rows], videos))
    for one, other in zip(every_sample(opened(AnnotatedSource(shown))), every_sample(opened(labels)), strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(other.object_box_xyxy, other.hand_box_xyxy)


def test_two_hands_of_a_frame_share_its_image(tmp_path: Path) -> None:
    truth = make_truth(is_right=True, with_K=False)
    shown, videos = runs.filmed(truth, tmp_path / "videos")
    rows = runs.true_rows(truth, videos)
    second = conform(replaced(rows, "hand_index", pa.array(np.ones(COUNT), pa.int16())), LABELS)
    labels = source_of(runs.write_label_run(tmp_path, [rows, second], videos))
    assert len(labels) == COUNT
    training_set = opened(labels, CacheOptions(tmp_path / "crops"))
    assert len(training_set) == 2 * COUNT
    assert training_set.sample_ids[:2] == ("labels-pppppppp/v000.mp4/000000#0", "labels-pppppppp/v000.mp4/000000#1")
    samples = training_set.evaluation_samples([0, 1])
    np.testing.assert_array_equal(samples[0].image, samples[1].image)
    assert shown.images[0].shape == labels.image(0).shape


def test_frames_come_in_order_and_are_those_that_were_labelled(tmp_path: Path) -> None:
    shown, labels = make_labels(tmp_path, make_truth(is_right=True, with_K=False))
    wanted = [0, 2, 3, 4]
    for entry, image in labels.images(wanted):
        np.testing.assert_array_equal(image, shown.images[entry])
    assert [entry for entry, _ in labels.images(wanted)] == wanted
    np.testing.assert_array_equal(labels.image(4), shown.images[4])


def damage(video: StoredVideo, kind: str) -> None:
    path = Path(video.uri)
    if kind == "vanished":
        path.unlink()
    elif kind == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("kind", ["vanished", "changed", "cut"])
def test_a_video_that_is_not_the_one_that_was_labelled_is_a_dead_letter(tmp_path: Path, kind: str) -> None:
    truth = make_truth(is_right=True, with_K=False)
    _, videos = runs.filmed(truth, tmp_path / "videos")
    labels = source_of(runs.write_label_run(tmp_path, [runs.true_rows(truth, videos)], videos))
    damage(videos[1], kind)
    found = dict(labels.images(range(COUNT)))
    assert [entry for entry, image in found.items() if isinstance(image, InputError)] == [3, 4]
    options = CacheOptions(tmp_path / "crops")
    kept = TrainingSet.open([labels], SPEC, max_dead_fraction=0.5, cache=options)
    assert (len(kept), dict(kept.dead_counts())) == (3, {READ_STAGE: 2})
    with pytest.raises(ContractError, match=r"labels-pppppppp: expected at most 5.0% unusable .* 2 of 5"):
        TrainingSet.open([labels], SPEC, cache=options)


def test_a_video_that_is_back_is_read_after_the_training_was_refused(tmp_path: Path) -> None:
    truth = make_truth(is_right=True, with_K=False)
    _, videos = runs.filmed(truth, tmp_path / "videos")
    labels = source_of(runs.write_label_run(tmp_path, [runs.true_rows(truth, videos)], videos))
    path = Path(videos[0].uri)
    path.rename(tmp_path / "away")
    options = CacheOptions(tmp_path / "crops")
    with pytest.raises(ContractError, match="unusable"):
        TrainingSet.open([labels], SPEC, cache=options)
    (tmp_path / "away").rename(path)
    assert len(TrainingSet.open([labels], SPEC, cache=options)) == COUNT


def test_trainings_on_parts_of_the_labels_share_their_crops(tmp_path: Path) -> None:
    truth = make_truth(is_right=True, with_K=False)
    _, videos = runs.filmed(truth, tmp_path / "videos")
    rows = runs.true_rows(truth, videos)
    run = runs.write_label_run(tmp_path / "a", [rows], videos)
    judged_again = runs.write_label_run(tmp_path / "b", [runs.refused(rows, [0, 3])], videos, judge_id="k" * 32)
    options = CacheOptions(tmp_path / "crops")
    first = opened(source_of(run, LabelChoice(max_labels=3, weight=0.5)), options)
    second = opened(source_of(judged_again), options)
    assert len(list((tmp_path / "crops").iterdir())) == 1
    assert (len(first), len(second)) == (3, 3)
    assert set(first.records["weight"]) == {0.5}
    assert second.sample_ids == tuple(f"labels-pppppppp/{name}#0" for name in
                                      ("v000.mp4/000001", "v000.mp4/000002", "v003.mp4/000001"))  # fmt: skip
    assert first.fingerprint() != opened(source_of(run, LabelChoice(max_labels=3)), options).fingerprint()


def test_annotated_samples_are_the_same_with_and_without_labels_behind_them(tmp_path: Path) -> None:
    shown, labels = make_labels(tmp_path, make_truth(is_right=False, with_K=True))
    alone = opened(AnnotatedSource(shown))
    union = TrainingSet.open([AnnotatedSource(shown), labels], SPEC, Augmentation(), seed=3)
    assert (union.num_pseudo, union.source_indices().tolist()) == (COUNT, [0] * COUNT + [1] * COUNT)
    for index in range(COUNT):
        one, other = alone.sample(index, epoch=1), union.sample(index, epoch=1)
        np.testing.assert_array_equal(one.image, other.image)
        assert one.sample_id == other.sample_id
    assert union.origin(COUNT + 2).source is labels
