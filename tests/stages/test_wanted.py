import numpy as np
import pyarrow as pa
import pytest
from labelling import Clip, boxes_of, clips, run_of, write_videos

from hoiray.io.store import Store
from hoiray.predictors.detector import DetectedHands
from hoiray.schema.tables import BOXES
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.plan import load_shard
from hoiray.stages.wanted import WantedVideo, detected_in_frame, nearest_object, sides, wanted_videos

HAND = np.array([10.0, 10.0, 20.0, 20.0])


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WantedVideo]:
    folder = tmp_path_factory.mktemp("wanted")
    write_videos(str(folder), clips(3))
    run = run_of(folder, folder / "out", target_frames=4, max_video_frames=7)
    plan = make_plan(IndexRequest(run.videos, run.sharding, probe="all"), Store.open(folder / "plan"))
    found = [video for entry in plan.shards() for video in wanted_videos(load_shard(plan, entry), "boxes")]
    return {f"{video.video_id} from {video.first_frame_index}": video for video in found}


def test_every_hand_box_of_a_shard_is_asked_about_with_its_side(wanted: dict[str, WantedVideo]) -> None:
    video = wanted["clip 00.mp4 from 0"]
    table = boxes_of("clip 00.mp4", clips(1)["clip 00.mp4"])
    hands = table.filter(pa.compute.equal(table["kind"], "hand"))
    assert video.frame_index.tolist() == hands["frame_index"].to_pylist()
    assert video.hand_index.tolist() == hands["box_index"].to_pylist()
    assert video.bbox_xyxy.tolist() == hands["bbox_xyxy"].to_pylist()
    assert video.is_right.tolist() == hands["is_right"].to_pylist()
    assert set(video.side_source) == {"given"}
    assert [list(video.rows_of(frame)) for frame in (0, 1, 99)] == [[0, 1], [2, 3], []]


def test_a_segment_asks_for_the_frame_before_it_and_predicts_only_its_own(wanted: dict[str, WantedVideo]) -> None:
    first, second = wanted["clip 02.mp4 from 0"], wanted["clip 02.mp4 from 4"]
    assert (first.frame_index.tolist(), second.frame_index.tolist()) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert first.selection(12.0).frame_indices == (0, 1, 2, 3)
    assert second.selection(12.0).frame_indices == (3, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([], None),
        ([[18.0, 18, 40, 40], [12, 12, 19, 19]], 1),
        ([[100.0, 10, 120, 20], [22, 10, 30, 20]], 1),
        ([[28.0, 10, 40, 20]], 0),
        ([[31.0, 10, 40, 20]], None),
    ],
)
def test_the_object_is_what_the_hand_overlaps_most_else_the_nearest_within_a_box_side(
    objects: list[list[float]], expected: int | None
) -> None:
    boxes = np.array(objects, dtype=np.float32).reshape(-1, 4)
    chosen = nearest_object(HAND, boxes)
    assert np.isnan(chosen).all() if expected is None else chosen.tolist() == objects[expected]


def test_a_side_is_given_configured_or_guessed() -> None:
    told = [True, False, None]
    assert [sides(told, "boxes")[1], sides(told, "both")[1]] == [("given", "given", "guessed"), ("guessed",) * 3]
    assert sides(told, "boxes")[0].tolist() == [True, False, True]
    assert sides(told, "both")[0].tolist() == [True] * 3
    assert (sides(told, "left")[0].tolist(), sides(told, "left")[1]) == ([False] * 3, ("configured",) * 3)


def test_a_video_without_hands_asks_for_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("none")
    write_videos(str(folder), {"a.mp4": Clip(num_hands=0), "b.mp4": Clip()})
    run = run_of(folder, folder / "out")
    plan = make_plan(IndexRequest(run.videos, run.sharding), Store.open(folder / "plan"))
    lengths = {
        video.video_id: len(video)
        for entry in plan.shards()
        for video in wanted_videos(load_shard(plan, entry), "both")
    }
    assert lengths == {"a.mp4": 0, "b.mp4": 6}
    assert set(BOXES.names) == set(boxes_of("a.mp4", Clip(num_hands=0)).column_names)


def test_without_boxes_every_frame_of_every_segment_is_wanted_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("free")
    write_videos(str(folder), clips(3))
    overrides = ("videos.box_format=none", "videos.boxes_uri=null")
    run = run_of(folder, folder / "out", *overrides, target_frames=4, max_video_frames=7)
    plan = make_plan(IndexRequest(run.videos, run.sharding, probe="all"), Store.open(folder / "plan"))
    found = [
        video
        for entry in plan.shards()
        for video in wanted_videos(load_shard(plan, entry), "boxes", has_boxes=False)
        if video.video_id == "clip 02.mp4"
    ]
    parts = [video.selection(12.0) for video in sorted(found, key=lambda video: video.first_frame_index)]
    assert all(part.frame_indices is None for part in parts)
    assert [(part.first_frame_index, part.num_frames) for part in parts] == [(0, 4), (4, None)]  # to the end


def test_hands_that_were_found_are_wanted_in_the_order_of_their_numbers(wanted: dict[str, WantedVideo]) -> None:
    boxes = np.array([[1.0, 2, 30, 40], [50, 60, 70, 80]])
    upright = np.arange(8.0).reshape(2, 2, 2)
    found = DetectedHands(boxes, np.array([False, True]), np.array([5, 2]), ("tracked", "detected"), upright)
    video = detected_in_frame(wanted["clip 00.mp4 from 0"], 7, found, "boxes")
    assert list(video.rows_of(7)) == [0, 1]
    assert list(video.rows_of(6)) == []
    assert video.hand_index.tolist() == [2, 5]
    assert video.is_right.tolist() == [True, False]
    assert video.bbox_xyxy.tolist() == boxes[::-1].tolist()
    assert video.side_source == ("given", "given")
    assert [video.box_source(row) for row in (0, 1)] == ["detected", "tracked"]
    assert video.upright(0).tolist() == upright[1].tolist()
    assert np.isnan(wanted["clip 00.mp4 from 0"].upright(0)).all()
    assert np.isnan(video.object_bbox_xyxy).all()
    guessed = detected_in_frame(video, 7, found, "both")
    assert guessed.side_source == ("guessed", "guessed")
    assert wanted["clip 00.mp4 from 0"].box_source(0) == "given"
