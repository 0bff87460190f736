import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import label_runs as runs
import memory_dataset as memory
import numpy as np
import pytest
from toy_training import losses_of, train_on_two_forks
from trained_set import SMALLER

from hoiray.config.load import parse_training
from hoiray.config.training_presets import training_preset
from hoiray.config.what import Hand, TrainRun
from hoiray.config.where import TrainWorkers
from hoiray.datasets.label_run import LabelRun
from hoiray.datasets.sample import ObjectAnnotation
from hoiray.errors import ConfigError, ContractError
from hoiray.geometry.boxes import from_points
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.models.checkpoint import read_checkpoint
from hoiray.training.assemble import label_shares, open_sets, prepare
from hoiray.training.data_plan import plan_training
from hoiray.training.here import train_here
from hoiray.training.job import TrainJob
from hoiray.training.label_plan import open_labels, plan_labels
from hoiray.training.world import World

WORKERS = TrainWorkers(loader_threads=0, report_every_steps=1, checkpoint_every_steps=1)
NUM_LABELS, NUM_REFUSED = 6, 1


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> LabelRun:
    """Six left hands in two videos, the second one refused; all as they truly are."""
    folder = tmp_path_factory.mktemp("labels")
    dataset = memory.make_dataset(NUM_LABELS, is_right=False)
    for index, sample in enumerate(dataset.samples):
        T = sample.objects[0].T_cam_obj
        assert T is not None
        box = from_points(memory.project(memory.BOX_POINTS @ T[:3, :3].T + T[:3, 3]))
        dataset.samples[index] = replace(sample, objects=(ObjectAnnotation(memory.OBJECT, bbox_xyxy=box),))
    _, videos = runs.filmed(dataset, folder / "videos")
    rows = runs.refused(runs.true_rows(dataset, videos), [1])
    return runs.write_label_run(folder, [rows.slice(0, 4), rows.slice(4)], videos)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("crops"))


def make_run(data: Path, out: Path, labels: LabelRun, *changes: str) -> TrainRun:
    annotated = {"format": "ho3d_v2", "uri": str(data)}
    training = {"annotated": annotated, "labels_uri": labels.uri, **training_preset("nano")}
    return parse_training(
        json.dumps({"output_uri": str(out), "training": training}),
        [*SMALLER, "training.validation_fraction=0", *changes],
    )


def make_job(run: TrainRun, labels: LabelRun, cache: str, max_minutes: float | None = None) -> TrainJob:
    plan = plan_training(run, load_hand_arrays(), labels)
    return TrainJob(
        run.output_uri, partial(prepare, run=run, plan=plan, workers=WORKERS, cache=cache), max_minutes=max_minutes
    )


def train(job: TrainJob, *, resume: bool = False) -> None:
    train_here(job, World(), resume=resume, tell=lambda _: None)


def test_the_union_is_trained_on_and_the_checkpoint_tells_its_teacher(
    training_data: Path, tmp_path: Path, labels: LabelRun, cache: str
) -> None:
    changes = ("training.pseudo_label_fraction=0.25", "training.steps_per_epoch=3", "training.pseudo_label_weight=0.5")
    run = make_run(training_data, tmp_path / "out", labels, *changes)
    train(make_job(run, labels, cache))
    rows = losses_of(tmp_path / "out")
    assert [row["num_steps"] for row in rows if row["kind"] == "step"] == list(range(1, 7))
    for row in rows:
        assert row["loss_hand_annotated"] > 0.0  # type: ignore[operator]  # a number
        assert row["loss_hand_pseudo"] > 0.0  # type: ignore[operator]  # a number
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    _, info = read_checkpoint(str(tmp_path / "out" / "model.safetensors"), hand)
    told = info.notes["labels"]
    assert isinstance(told, dict)
    assert (told["snapshot_id"], told["judge_id"], told["predict_id"]) == ("s" * 32, "j" * 32, "p" * 32)
    assert (told["num_rows"], told["num_accepted"], told["num_chosen"], told["num_videos"]) == (6, 5, 5, 2)
    assert (told["fraction"], told["weight"]) == (0.25, 0.5)


def test_a_stopped_training_on_the_union_resumes_to_the_same_losses(
    training_data: Path, tmp_path: Path, labels: LabelRun, cache: str
) -> None:
    parts, whole = (make_run(training_data, tmp_path / name, labels) for name in ("parts", "whole"))
    for limit in (0.0, None):
        train(make_job(parts, labels, cache, max_minutes=limit), resume=True)
    train(make_job(whole, labels, cache))
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    fewer = make_run(training_data, tmp_path / "whole", labels, "training.max_pseudo_labels=2")
    names = [make_job(run, labels, cache).prepare(World()).identity["training samples"] for run in (whole, fewer)]
    assert names[0] != names[1]


def test_two_workers_see_the_batches_of_one(training_data: Path, tmp_path: Path, labels: LabelRun, cache: str) -> None:
    run = make_run(training_data, tmp_path / "two", labels, "training.pseudo_label_fraction=0.5")
    job = make_job(run, labels, cache)
    train_on_two_forks(job, tmp_path / "meetings")
    assert all(row["loss_hand_pseudo"] is not None for row in losses_of(tmp_path / "two"))
    workers = [job.prepare(World(rank, 2)).data for rank in range(2)]
    for batches in zip(*(data.batches(1, 0) for data in (*workers, job.prepare(World()).data)), strict=True):
        first, second, alone = (sorted(batch.sample_ids) for batch in batches)
        assert sorted([*first, *second]) == alone
        assert sum(name.startswith("labels-") for name in alone) == 2


def test_of_which_labels_crops_are_cut_changes_no_sample(
    training_data: Path, tmp_path: Path, labels: LabelRun, cache: str
) -> None:
    run = make_run(training_data, tmp_path / "out", labels, "training.max_pseudo_labels=3")
    arrays = load_hand_arrays()
    plan = plan_training(run, arrays, labels)
    assert plan.labels is not None
    sets, lengths = [], []
    for cut in ("chosen", "accepted", "all"):
        workers = TrainWorkers.model_validate({"cut_labels": cut})
        lengths.append(len(open_labels(plan.labels, arrays, workers)))
        sets.append(open_sets(run, plan, arrays, cache, workers)[0])
    assert lengths == [3, 5, 6]
    assert len({each.sample_ids for each in sets}) == 1
    every = list(range(len(sets[0])))
    for first, *others in zip(*(each.samples(every, epochs=every) for each in sets), strict=True):
        for other in others:
            np.testing.assert_array_equal(first.image, other.image)
            np.testing.assert_array_equal(first.joints_3d_m, other.joints_3d_m)


def test_annotated_sets_share_by_size_what_labels_leave(
    training_data: Path, tmp_path: Path, labels: LabelRun, cache: str
) -> None:
    twice = f"training.also_annotated=[{{format: ho3d_v2, uri: '{training_data}'}}]"
    run = make_run(training_data, tmp_path, labels, twice)
    plan = plan_training(run, load_hand_arrays(), labels)
    train_set, _ = open_sets(run, plan, load_hand_arrays(), cache)
    assert label_shares(train_set, 0.5) == pytest.approx([0.25, 0.25, 0.5])


def test_a_fraction_that_fills_no_place_of_a_batch_is_refused(
    training_data: Path, tmp_path: Path, labels: LabelRun, cache: str
) -> None:
    run = make_run(training_data, tmp_path, labels, "training.pseudo_label_fraction=0.1")
    with pytest.raises(ConfigError, match=r"pseudo_label_fraction.*A batch of 4 has no room for less than one label"):
        make_job(run, labels, cache).prepare(World())


def test_labels_of_another_hand_are_refused_by_name(training_data: Path, tmp_path: Path, labels: LabelRun) -> None:
    run, arrays = make_run(training_data, tmp_path, labels), load_hand_arrays()
    other = replace(labels, hand=Hand(flat_hand_mean=False, tip_set="smplx"))
    with pytest.raises(ConfigError, match=r"expected hand.flat_hand_mean True, hand.tip_set 'ho3d', found .*'smplx'"):
        plan_labels(run, other, arrays)


def test_labels_whose_joints_are_another_hands_are_refused_whatever_their_run_says(
    training_data: Path, tmp_path: Path, labels: LabelRun
) -> None:
    run = make_run(training_data, tmp_path, labels, "hand={flat_hand_mean: true, tip_set: manopth}")
    lying = replace(labels, hand=run.hand)
    with pytest.raises(ContractError, match=r"expected joints that the hand model .* found joints up to .* mm from"):
        plan_labels(run, lying, load_hand_arrays())


def held_out_recording(data: Path, run: TrainRun, labels: LabelRun) -> str:
    plan = plan_training(run, load_hand_arrays(), labels)
    return (data / "train.txt").read_text().split()[plan.sets[0].validation[0]].split("/")[0]


@pytest.mark.parametrize("is_renamed", [True, False])
def test_what_is_held_out_may_not_come_back_as_labels(
    training_data: Path, tmp_path: Path, labels: LabelRun, is_renamed: bool
) -> None:
    """Neither under its name nor, under another one, by what it shows."""
    run = make_run(training_data, tmp_path, labels, "training.validation_fraction=0.3")
    recording = held_out_recording(training_data, run, labels)
    files = sorted((training_data / "train" / recording / "rgb").iterdir())
    shown = [cv2.imread(str(file))[..., ::-1] for file in files[: runs.FRAMES_PER_VIDEO]]
    dataset = memory.make_dataset(runs.FRAMES_PER_VIDEO)
    pictures = shown if is_renamed else dataset.images
    # HO-3D's last digit is the camera's
    name = "other.mp4" if is_renamed else f"{recording[:-1]}.mp4"
    size_wh = pictures[0].shape[1::-1]
    videos = [runs.write_video(tmp_path, name, pictures, size_wh=size_wh)]
    leaking = runs.write_label_run(tmp_path, [runs.true_rows(dataset, videos, object_boxes=False)], videos)
    reason = "pairs of frames that look the same" if is_renamed else f"shared recordings: ho3d/{recording[:-1]}"
    with pytest.raises(ContractError, match=reason):
        plan_training(run, load_hand_arrays(), leaking)
