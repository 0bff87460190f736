import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_world import draw_flat, make_recording, slot, views_of, write_recording

from hoiray.datasets.formats import something as facts
from hoiray.datasets.something import SomethingDataset
from hoiray.errors import ContractError
from hoiray.io.store import Store
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers import something
from hoiray.synthetic.writers.shot import Shot, box_of_mask, film

SIZE = (240, 427)
NUM_FRAMES = 10
SPLITS = ("train", "train", "train", "train", "validation", "test")


def clip(index: int, **changes: Any) -> Recording:
    arguments: dict[str, Any] = {
        "size": SIZE,
        "focal": 300.0,
        "num_frames": NUM_FRAMES,
        "num_cameras": 1,
        "seed": 1 + index,
    }
    names = ("bottle_0017", "mug")
    return make_recording(recording_id=f"toy-{index}", object_names=names, **(arguments | changes))


def shots_of(recording: Recording) -> list[Shot]:
    return list(film(views_of(recording), draw_flat))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[list[Shot]]]:
    folder = tmp_path_factory.mktemp("something")
    store, parts, shots = Store.open(folder), [], []
    for index, split in enumerate(SPLITS):
        recording, place = clip(index), slot(index, split)
        part, taken = write_recording(something.SOMETHING.begin(store, recording, place), store, recording, place)
        parts.append(part)
        shots.append(taken)
    something.SOMETHING.finish(store, parts)
    return str(folder), shots


def test_frames_decode_to_the_ones_that_were_drawn(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = SomethingDataset.open(written[0], "train")
    for video, shots in zip(dataset.videos, written[1], strict=False):
        drawn = np.stack([shot.pixels.image for shot in shots]).astype(float)
        for decoder in ("decord", "pyav"):
            frames = dataset.frames(video, decoder=decoder).astype(float)  # type: ignore[arg-type]  # texts of the loop
            assert frames.shape == drawn.shape
            errors = np.abs(frames[:, None] - drawn[None]).mean(axis=(2, 3, 4))
            assert errors.argmin(axis=1).tolist() == list(range(NUM_FRAMES))


def test_boxes_lie_round_what_is_visible(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = SomethingDataset.open(written[0], "train")
    for video, shots in zip(dataset.videos, written[1], strict=False):
        for frame in dataset.boxes(video.video_id):
            shot = shots[frame.frame_index]
            truths = [box_of_mask(shot.hand_mask(index)) for index in range(len(shot.hands))]
            for box in frame.hands:
                assert min(np.abs(box - truth).max() for truth in truths if truth is not None) < 6.0
            for item in frame.objects:
                index = int(item.standard_category)
                assert item.category == ("bottle", "mug")[index]
                truth = box_of_mask(shot.object_mask(index))
                assert truth is not None
                assert np.abs(item.bbox_xyxy - truth).max() < 6.0


def test_frames_are_numbered_from_one_by_name_and_lost_ones_are_missing(
    written: tuple[str, list[list[Shot]]],
) -> None:
    dataset = SomethingDataset.open(written[0], "train")
    for index, video in enumerate(dataset.videos):
        numbers = [frame.frame_number for frame in dataset.boxes(video.video_id)]
        lost = something.lost_frames(slot(index, "train"), "0", NUM_FRAMES)
        assert numbers == [number for number in range(1, NUM_FRAMES + 1) if number - 1 not in lost]


def test_holes_and_missing_tails_are_planted_and_first_frames_kept() -> None:
    lost = [something.lost_frames(slot(index), "0", 40) for index in range(400)]
    tails = [39 in frames for frames in lost]
    holes = [bool(frames) and any(f + 1 not in frames for f in frames if f < 39) for frames in lost]
    assert 0.2 < np.mean(tails) < 0.4
    assert 0.15 < np.mean(holes) < 0.4
    assert 0.35 < np.mean([not frames for frames in lost]) < 0.65
    assert not any(0 in frames for frames in lost)
    assert max(len(frames) for frames in lost) <= 24


def test_a_few_boxes_are_overlooked_and_the_others_are_a_little_off() -> None:
    (shot,) = shots_of(clip(0, num_frames=1))
    drawn = [list(something.drawn_boxes(shot, np.random.default_rng(seed))) for seed in range(300)]
    assert 0.94 < np.mean([len(boxes) for boxes in drawn]) / 4 < 0.995
    hands = [box.bbox_xyxy for boxes in drawn if len(boxes) == 4 for box in boxes[2:3]]
    assert 0.8 < np.std(np.stack(hands), axis=0).mean() < 1.2


def test_samples_are_the_frames_the_writer_named(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = SomethingDataset.open(written[0], "train")
    sample = dataset.sample(len(dataset) - 1)
    shot = written[1][3][sample.frame_index]
    assert np.abs(dataset.image(sample).astype(float) - shot.pixels.image).mean() < 8.0
    assert sample.hands[0].is_right is None


def test_test_videos_have_neither_label_nor_boxes(written: tuple[str, list[list[Shot]]]) -> None:
    store = Store.open(written[0])
    assert json.loads(store.read("labels/test.json")) == [{"id": "51"}]
    assert len(SomethingDataset.open(written[0], "validation")) > 0
    boxes = [json.loads(store.read(key)) for key in store.list("annotations")]
    assert len(boxes) == something.NUM_BOX_FILES
    assert "51" not in {video for part in boxes for video in part}


def test_labels_say_what_is_handled(written: tuple[str, list[list[Shot]]]) -> None:
    (video, *_) = SomethingDataset.open(written[0], "train").videos
    assert video.placeholders == ("bottle",)
    assert video.label is not None
    assert "bottle" in video.label
    assert video.template in something.TEMPLATES


def test_a_box_at_the_border_ends_on_it_or_a_hair_over_it() -> None:
    recording = clip(0, num_frames=1)
    labels = np.zeros(SIZE, np.uint8)
    labels[100:140, 380:427] = 1
    labels[0:30, 0:50] = 3
    (drawn,) = shots_of(recording)
    pixels = type(drawn.pixels)(drawn.pixels.image, labels, drawn.pixels.depth_m)
    shot = Shot(drawn.view, pixels, drawn.hands, drawn.objects)
    boxes = [facts.box_to_file(box.bbox_xyxy) for box in something.drawn_boxes(shot, np.random.default_rng(3))]
    by_side = {box["x2"]: box for box in boxes}
    assert max(by_side) == pytest.approx(427.0, abs=1e-9)
    assert max(by_side) > 427.0
    first = min(boxes, key=lambda box: box["x1"])
    assert (first["x1"], first["y1"]) == (0.0, 0.0)


def test_names_become_words() -> None:
    assert something.category_of("006_mustard_bottle") == "mustard bottle"
    assert something.category_of("milk_carton_0123") == "milk carton"


def test_what_the_format_cannot_tell_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with pytest.raises(ContractError, match=r"480"):
        something.SOMETHING.begin(store, make_recording(num_frames=1), slot())
    with pytest.raises(ContractError, match=r"30\.0"):
        something.SOMETHING.begin(store, clip(0, fps=30.0), slot())
