import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from s3_server import S3Server

from hoiray.datasets.iterate import iterate
from hoiray.datasets.sample import DeadLetter
from hoiray.datasets.something import SomethingDataset, decoded_index, index_boxes, parse_boxes
from hoiray.datasets.video_frames import video_facts
from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store

NUM_FRAMES = 14
WIDTH, HEIGHT = 96, 64
LEVELS = np.array([20 + (index * 97) % 211 for index in range(NUM_FRAMES)])
Frame = dict[str, Any]


def clip(rate: int = 12, num_frames: int = NUM_FRAMES) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream: Any = container.add_stream("libvpx-vp9", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for level in LEVELS[:num_frames]:
            image = np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


CLIP = clip()


def label(category: str, standard: str, *corners: float) -> dict[str, Any]:
    box = dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))
    return {"box2d": box, "category": category, "standard_category": standard}


def frame(video_id: str, number: int, *labels: dict[str, Any], **more: Any) -> Frame:
    name = f"{video_id}/{number:04d}.jpg"
    return {"name": name, "labels": list(labels), "nr_instances": len(labels), "gt_placeholders": []} | more


HAND = label("hand", "hand", 10.5, 5, 40, 30)
OTHER_HAND = label("hand", "hand", 60, 5, 96.00000000000006, 64)
PILLOW = label("pillow", "0000", 0, 0, 20, 64)


def holes() -> list[Frame]:
    """Frames 4, 5 and the tail are missing, as they are in the published files."""
    return [frame("7", n, HAND, PILLOW) for n in (1, 2, 3)] + [frame("7", n, HAND, OTHER_HAND) for n in (6, 9)]


def write(store: Store, seven: Any = None, video: bytes = CLIP) -> Store:
    for video_id in ("7", "8", "9"):
        store.write(f"20bn-something-something-v2/{video_id}.webm", video)
    entry = {"label": "putting pillow on bed", "template": "Putting [something] on bed", "placeholders": ["pillow"]}
    store.write("labels/train.json", json.dumps([{"id": "8", **entry}, {"id": "7", **entry}]).encode())
    store.write("labels/validation.json", json.dumps([{"id": "9", **entry}]).encode())
    store.write("labels/test.json", json.dumps([{"id": "10"}]).encode())
    store.write("annotations/part1.json", json.dumps({"7": holes() if seven is None else seven}).encode())
    store.write("annotations/part2.json", json.dumps({"8": [frame("8", 2, PILLOW)], "9": []}).encode())
    return store


def open_train(tmp_path: Path, **options: Any) -> SomethingDataset:
    return SomethingDataset.open(write(Store.open(tmp_path), **options).uri)


def test_a_frame_is_named_by_its_name_and_never_by_its_place(tmp_path: Path) -> None:
    boxes = open_train(tmp_path).boxes("7")
    assert [one.frame_number for one in boxes] == [1, 2, 3, 6, 9]
    assert [one.frame_index for one in boxes] == [0, 1, 2, 5, 8]


def test_boxes_are_moved_to_pixel_centres_and_not_cut(tmp_path: Path) -> None:
    first, *_, last = open_train(tmp_path).boxes("7")
    np.testing.assert_allclose(first.hands[0], [10, 4.5, 39.5, 29.5])
    np.testing.assert_allclose(first.objects[0].bbox_xyxy, [-0.5, -0.5, 19.5, 63.5])
    assert (first.objects[0].category, first.objects[0].standard_category) == ("pillow", "0000")
    assert len(last.hands) == 2
    np.testing.assert_allclose(last.hands[1][2], 95.50000000000006)


def test_annotated_frames_are_the_samples(tmp_path: Path) -> None:
    dataset = open_train(tmp_path)
    assert len(dataset) == 6
    samples = [dataset.sample(i) for i in range(6)]
    assert [one.sample_id for one in samples] == ["8/0002", "7/0001", "7/0002", "7/0003", "7/0006", "7/0009"]
    assert samples[4].frame_index == 5
    assert [hand.is_right for hand in samples[4].hands] == [None, None]
    assert samples[0].hands == ()
    assert samples[0].objects[0].name == "0000"
    assert (samples[4].recording_id, samples[4].K) == ("7", None)


def test_the_decoded_frame_is_the_numbered_one(tmp_path: Path) -> None:
    dataset = open_train(tmp_path)
    for index in range(len(dataset)):
        sample = dataset.sample(index)
        number = int(sample.sample_id.split("/")[1])
        assert dataset.image(sample).mean() == pytest.approx(LEVELS[number - 1], abs=20)
    np.testing.assert_allclose(dataset.frames(dataset.videos[0]).mean(axis=(1, 2, 3)), LEVELS, atol=20)


def test_videos_keep_their_labels_and_their_order(tmp_path: Path) -> None:
    dataset = open_train(tmp_path)
    assert [video.video_id for video in dataset.videos] == ["8", "7"]
    assert dataset.videos[0].placeholders == ("pillow",)
    assert dataset.boxes("not annotated") == ()


def test_a_list_without_labels_and_videos_without_boxes_are_read(tmp_path: Path) -> None:
    store = write(Store.open(tmp_path))
    validation = SomethingDataset.open(store.uri, "validation")
    assert (len(validation), [video.video_id for video in validation.videos]) == (0, ["9"])
    assert SomethingDataset.open(store.uri, "test", check=False).videos[0].label is None


def test_without_lists_the_files_are_the_list(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write("20bn-something-something-v2/12.webm", CLIP)
    store.write("20bn-something-something-v2/notes.txt", b"")
    assert [video.video_id for video in SomethingDataset.open(store.uri).videos] == ["12"]
    with pytest.raises(ContractError, match="no list"):
        SomethingDataset.open(store.uri, "test")


def test_the_names_of_the_first_release_are_known(tmp_path: Path) -> None:
    store = write(Store.open(tmp_path))
    for split in ("train", "validation", "test"):
        (tmp_path / f"labels/{split}.json").rename(tmp_path / f"something-something-v2-{split}.json")
    (tmp_path / "annotations/part1.json").rename(tmp_path / "bounding_box_1.json")
    assert len(SomethingDataset.open(store.uri)) == 6


@pytest.mark.s3
def test_it_reads_the_same_from_s3(s3_environment: S3Server, tmp_path: Path) -> None:
    dataset = SomethingDataset.open(write(Store.open(f"{s3_environment.uri}/something")).uri)
    local = open_train(tmp_path)
    assert [dataset.sample(i).sample_id for i in range(6)] == [local.sample(i).sample_id for i in range(6)]
    np.testing.assert_array_equal(dataset.image(dataset.sample(3)), local.image(local.sample(3)))


BROKEN: dict[str, tuple[Callable[[], list[Any]], str]] = {
    "list index": (
        lambda: [frame("7", n, HAND) for n in (0, 1, 2)],
        "name such as 7/0001.jpg, found '7/0000.jpg'.*list",
    ),
    "other video": (lambda: [frame("8", 1, HAND)], "found '8/0001.jpg'"),
    "backwards": (lambda: [frame("7", n, HAND) for n in (2, 1)], "numbers that grow.*repeats or goes back"),
    "twice": (lambda: [frame("7", 2, HAND)] * 2, "repeats"),
    "no labels": (lambda: [{"name": "7/0001.jpg"}], "frames with name and labels"),
    "wrong count": (lambda: [frame("7", 1, HAND, nr_instances=2)], "frame 1: expected 2 boxes, found 1"),
    "no corner": (lambda: [frame("7", 1, HAND | {"box2d": {"x1": 1}})], "box2d, category"),
    "no category": (lambda: [frame("7", 1, {"box2d": HAND["box2d"]})], "category"),
    "category null": (lambda: [frame("7", 1, HAND | {"category": None})], "a category that is no text"),
    "box null": (lambda: [frame("7", 1, HAND | {"box2d": None})], "TypeError"),
    "label null": (lambda: [{"name": "7/0001.jpg", "labels": [None]}], "no object"),
    "frame null": (lambda: [None], "frames with name and labels"),
    "infinity": (lambda: [frame("7", 1, label("hand", "hand", 1, 2, float("inf"), 4))], "a finite box"),
    "NaN": (lambda: [frame("7", 1, label("hand", "hand", 1, 2, float("nan"), 4))], "a finite box"),
    "inverted": (lambda: [frame("7", 1, label("hand", "hand", 9, 2, 3, 4))], "x1 <= x2"),
}


@pytest.mark.parametrize("error", BROKEN)
def test_an_annotation_that_breaks_the_format_is_named(error: str) -> None:
    make, message = BROKEN[error]
    with pytest.raises(InputError, match=message):
        parse_boxes("7", make(), name="part1.json")


def test_one_bad_video_gives_dead_letters_and_leaves_the_others(tmp_path: Path) -> None:
    dataset = open_train(tmp_path, seven=[frame("7", 0, HAND), frame("7", 1, HAND)])
    results = list(iterate(dataset))
    assert [isinstance(one, DeadLetter) for one in results] == [False, True, True]
    assert isinstance(results[1], DeadLetter)
    assert "part1.json, video 7" in results[1].reason


def test_boxes_beyond_the_videos_are_refused(tmp_path: Path) -> None:
    store = write(Store.open(tmp_path), seven=[frame("7", 1, HAND), frame("7", 40, HAND)])
    store.write("annotations/part2.json", json.dumps({"8": [frame("8", 99, HAND)]}).encode())
    with pytest.raises(ContractError, match=r"2 of 2 that do not.*8\.webm: expected at least 99 frames.*found 14"):
        SomethingDataset.open(store.uri)
    dataset = SomethingDataset.open(store.uri, check=False)
    with pytest.raises(InputError, match=r"7\.webm: expected at least 40 frames, as annotated, found 14"):
        dataset.image(dataset.sample(2))


def test_missing_and_truncated_videos_are_refused_when_they_are_the_rule(tmp_path: Path) -> None:
    store = write(Store.open(tmp_path), video=CLIP[: len(CLIP) // 2])
    with pytest.raises(ContractError, match=r"2 of 2 that do not.*8\.webm"):
        SomethingDataset.open(store.uri)


def test_a_video_annotated_twice_or_a_cut_file_is_refused(tmp_path: Path) -> None:
    store = write(Store.open(tmp_path))
    store.write("annotations/part3.json", json.dumps({"8": []}).encode())
    with pytest.raises(ContractError, match=r"part3\.json, video 8: expected each video once"):
        SomethingDataset.open(store.uri)
    store.write("annotations/part3.json", b'{"20": [')
    with pytest.raises(ContractError, match=r"part3\.json, byte"):
        SomethingDataset.open(store.uri)
    store.write("annotations/part3.json", b"[1]")
    with pytest.raises(ContractError, match="video ids with lists"):
        SomethingDataset.open(store.uri)


def test_the_index_says_where_each_video_lies(tmp_path: Path) -> None:
    store = write(Store.open(tmp_path))
    entries = index_boxes(store, ["annotations/part1.json", "annotations/part2.json"])
    assert {key: entry.num_frames for key, entry in entries.items()} == {"7": 5, "8": 1, "9": 0}
    entry = entries["8"]
    assert json.loads(store.read(entry.key)[entry.start : entry.end])[0]["name"] == "8/0002.jpg"


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "1"}',
        '[{"label": "x"}]',
        "[1]",
        "[",
        '[{"id": null}]',
        '[{"id": true}]',
        '[{"id": 1.5}]',
        '[{"id": "../1"}]',
        '[{"id": ""}]',
        '[{"id": "7"}, {"id": 7}]',
        '[{"id": "7", "placeholders": "pillow"}]',
        '[{"id": "7", "placeholders": [null]}]',
        '[{"id": "7", "label": 3}]',
        '[{"id": "7", "template": []}]',
    ],
)
def test_a_list_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    store = write(Store.open(tmp_path))
    store.write("labels/train.json", text.encode())
    with pytest.raises(ContractError, match=r"labels/train\.json"):
        SomethingDataset.open(store.uri)


def test_labels_may_be_null(tmp_path: Path) -> None:
    store = write(Store.open(tmp_path))
    store.write("labels/train.json", b'[{"id": 7, "placeholders": null, "label": null, "template": null}]')
    (video,) = SomethingDataset.open(store.uri).videos
    assert (video.video_id, video.label, video.placeholders) == ("7", None, ())


def test_boxes_far_outside_the_video_are_named(tmp_path: Path) -> None:
    wide = label("hand", "hand", 60.25, 5, 2 * WIDTH, HEIGHT)
    store = write(Store.open(tmp_path), seven=[frame("7", 1, HAND), frame("7", 2, wide)])
    dataset = SomethingDataset.open(store.uri)
    assert dataset.image(dataset.sample(1)).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(
        InputError, match=r"part1\.json, video 7, frame 2: expected boxes in the 96 x 64 px of .*7\.webm"
    ):
        dataset.image(dataset.sample(2))
    store.write("annotations/part2.json", json.dumps({"8": [frame("8", 1, wide)]}).encode())
    with pytest.raises(ContractError, match=r"2 of 2 that do not; the first: .*part2\.json, video 8, frame 1"):
        SomethingDataset.open(store.uri)


@pytest.mark.parametrize(("rate", "indices"), [(12, list(range(NUM_FRAMES))), (24, [0, 1, 2, 3, 5, 7, 9, 11, 13])])
def test_numbers_count_at_twelve_a_second_as_ffmpeg_does_whatever_the_rate(
    tmp_path: Path, rate: int, indices: list[int]
) -> None:
    store = Store.open(tmp_path)
    store.write("a.webm", clip(rate))
    facts = video_facts(store, "a.webm")
    assert [decoded_index(facts, 1 + number) for number in range(len(indices))] == indices
    assert decoded_index(facts, 1 + len(indices)) == NUM_FRAMES, "behind the end"
