import json
from pathlib import Path

import numpy as np
import pytest
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.formats import something as facts
from hoiray.datasets.something import SomethingDataset
from hoiray.errors import ContractError
from hoiray.io.store import Store
from hoiray.synthetic.writers import something
from hoiray.synthetic.writers.shot import Shot, box_of_mask

SIZE = (240, 427)
NUM_FRAMES = 10
SPLITS = ("train", "train", "train", "train", "validation", "test")


def clip(index: int, **changes: object):  # noqa: ANN201
    arguments = {"size": SIZE, "focal": 300.0, "num_frames": NUM_FRAMES, "num_cameras": 1, "seed": 1 + index}
    names = ("bottle_0017", "mug")
    return make_recording(recording_id=f"toy-{index}", object_names=names, **{**arguments, **changes})


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
    num_hands = []
    for video, shots in zip(dataset.videos, written[1], strict=False):
        for frame in dataset.boxes(video.video_id):
            shot = shots[frame.frame_index]
            truths = [box_of_mask(shot.hand_mask(index)) for index in range(len(shot.hands))]
            num_hands.append(len(frame.hands))
            for box in frame.hands:
                assert min(np.abs(box - truth).max() for truth in truths if truth is not None) < 6.0
            for item in frame.objects:
                index = int(item.standard_category)
                assert item.category == ("bottle", "mug")[index]
                truth = box_of_mask(shot.object_mask(index))
                assert truth is not None
                assert np.abs(item.bbox_xyxy - truth).max() < 6.0
    assert {1, 2} <= set(num_hands), "several hands, and hands that were overlooked"


def test_frames_are_numbered_from_one_by_name_across_holes(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = SomethingDataset.open(written[0], "train")
    lists = [[frame.frame_number for frame in dataset.boxes(video.video_id)] for video in dataset.videos]
    assert all(numbers[0] == 1 for numbers in lists)
    assert any(np.any(np.diff(numbers) > 1) for numbers in lists), "a planted hole"
    assert any(numbers[-1] < NUM_FRAMES for numbers in lists), "a planted missing tail"
    assert any(numbers[-1] == NUM_FRAMES for numbers in lists)


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
    (hands,) = something_hands(recording)
    shot = Shot(
        hands.view, type(hands.pixels)(hands.pixels.image, labels, hands.pixels.depth_m), hands.hands, hands.objects
    )
    boxes = [facts.box_to_file(box.bbox_xyxy) for box in something.drawn_boxes(shot, np.random.default_rng(3))]
    by_side = {box["x2"]: box for box in boxes}
    assert max(by_side) == pytest.approx(427.0, abs=1e-9)
    assert max(by_side) > 427.0
    first = min(boxes, key=lambda box: box["x1"])
    assert (first["x1"], first["y1"]) == (0.0, 0.0)


def something_hands(recording):  # noqa: ANN001, ANN201
    from toy_world import draw_flat, views_of

    from hoiray.synthetic.writers.shot import film

    return list(film(views_of(recording), draw_flat))


def test_names_become_words() -> None:
    assert something.category_of("006_mustard_bottle") == "mustard bottle"
    assert something.category_of("milk_carton_0123") == "milk carton"


def test_what_the_format_cannot_tell_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with pytest.raises(ContractError, match=r"480"):
        something.SOMETHING.begin(store, make_recording(num_frames=1), slot())
    with pytest.raises(ContractError, match=r"30\.0"):
        something.SOMETHING.begin(store, clip(0, fps=30.0), slot())
