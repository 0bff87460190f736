import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelling import Clip, run_of, write_videos
from run_folders import SMALL, plan_of, video, videos
from s3_server import S3Server

from hoiray.config.what import Sharding, Videos
from hoiray.errors import ConfigError, InputError
from hoiray.io.store import Store
from hoiray.schema.conform import conform
from hoiray.schema.tables import BOXES, REFUSALS, SHARD_INDEX, SHARDS, VIDEOS
from hoiray.stages import index as index_module
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.listing import Refusal
from hoiray.stages.plan import Plan, load_shard, open_plan


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several windows and runs for a few videos."""
    monkeypatch.setattr(index_module, "WINDOW_VIDEOS", 16)
    monkeypatch.setattr(index_module, "CHUNK_ROWS", 7)


def boxes_of(names: list[str], num_frames: int = 3) -> pa.Table:
    rows = [
        {"video_id": name, "frame_index": frame, "kind": "hand", "box_index": 0, "bbox_xyxy": [1.0, 2.0, 30.0, 40.0]}
        for name in names
        for frame in range(num_frames)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=BOXES.to_arrow())


def shard_ids(plan: Plan) -> set[str]:
    return {entry.shard_id for entry in plan.shards()}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_video_is_in_one_shard_and_every_table_fits_its_schema(tmp_path: Path) -> None:
    plan = plan_of(Store.open(tmp_path), videos(100))
    entries = list(plan.shards())
    assert [entry.shard_id for entry in entries] == sorted(entry.shard_id for entry in entries)
    seen: list[str] = []
    for entry in entries:
        shard = load_shard(plan, entry)
        conform(shard.segments, SHARDS)
        conform(shard.videos, VIDEOS)
        assert shard.segments["video_id"].to_pylist() == shard.videos["video_id"].to_pylist()
        assert sum(shard.segments["cost_frames"].to_pylist()) == entry.cost_frames
        seen += shard.videos["video_id"].to_pylist()
    assert sorted(seen) == [it.video_id for it in videos(100)]
    head = plan.head
    assert (head.num_videos, head.num_shards, head.num_windows) == (100, len(entries), 8)
    assert head.cost_frames == 2500
    conform(pq.read_table(tmp_path / "index" / f"{head.index}.parquet"), SHARD_INDEX)


def test_the_plan_is_the_same_whatever_the_order_of_the_listing(tmp_path: Path) -> None:
    found = videos(60)
    plan_of(Store.open(tmp_path / "a"), found)
    random.Random(1).shuffle(found)
    plan_of(Store.open(tmp_path / "b"), found)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_the_same_videos_again_change_nothing_and_others_ask_for_update(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first = plan_of(store, videos(30))
    before = files_of(tmp_path)
    assert plan_of(store, videos(30)) == first
    assert files_of(tmp_path) == before
    with pytest.raises(ConfigError, match="Add --update"):
        plan_of(store, videos(31))
    assert open_plan(store) == first


def test_an_update_keeps_the_shards_that_did_not_change(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first = plan_of(store, videos(200))
    found = [it for it in videos(200) if it.video_id != "v0003.mp4"]
    found[50] = video(found[50].video_id, etag="e1")
    found += [video(f"new{index}.mp4") for index in range(9)]
    second = plan_of(store, found, update=True)
    assert second.head.changes == {"changed": 1, "new": 9, "removed": 1, "unchanged": 198}
    touched = {"v0003.mp4", found[50].video_id}
    kept = {
        entry.shard_id
        for entry in first.shards()
        if not touched & set(load_shard(first, entry).videos["video_id"].to_pylist())
    }
    assert len(kept) == first.head.num_shards - 2
    assert kept < shard_ids(second)
    members = [name for it in second.shards() for name in load_shard(second, it).videos["video_id"].to_pylist()]
    assert sorted(members) == sorted(it.video_id for it in found)
    assert open_plan(store) == second
    assert open_plan(store, first.plan_id) == first


def test_an_update_without_changes_is_the_same_plan(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first = plan_of(store, videos(50))
    again = plan_of(store, videos(50), update=True)
    assert (again.plan_id, shard_ids(again)) == (first.plan_id, shard_ids(first))


def test_an_update_cannot_pack_otherwise(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan_of(store, videos(5))
    with pytest.raises(ConfigError, match="the same target_frames"):
        plan_of(store, videos(6), sharding=Sharding(target_frames=50, max_video_frames=400), update=True)


def test_refusals_are_kept_with_their_reasons(tmp_path: Path) -> None:
    found = [*videos(3), Refusal("file", "x.txt", "suffix", "no video"), Refusal("video", "y.mp4", "empty", "0 bytes")]
    found.append(video("v0001.mp4", etag="again"))
    plan = plan_of(Store.open(tmp_path), found)
    assert plan.head.refused == {"file: suffix": 1, "video: duplicate": 1, "video: empty": 1}
    rows = list(plan.refusals())
    conform(pa.Table.from_pylist(rows, schema=REFUSALS.to_arrow()), REFUSALS)
    assert {(row["name"], row["reason"]) for row in rows} >= {("x.txt", "suffix"), ("y.mp4", "empty")}
    assert (plan.head.num_videos, plan.head.num_unboxed) == (3, 0)


def test_a_place_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected videos, found none"):
        plan_of(Store.open(tmp_path), [])
    assert not (tmp_path / "current.json").exists()


def test_boxes_come_with_their_shard_and_count_for_its_id(tmp_path: Path) -> None:
    names = [it.video_id for it in videos(40)]
    table = boxes_of([*names[:20], "stranger.mp4"])
    table = pa.concat_tables([table, table.slice(4, 1)])
    boxes = tmp_path / "boxes.parquet"
    pq.write_table(table.take(pa.array(random.Random(0).sample(range(table.num_rows), table.num_rows))), boxes)
    asked = {"boxes_uri": str(boxes), "box_format": "parquet"}
    plan = plan_of(Store.open(tmp_path / "plan"), videos(40), **asked)
    assert plan.head.refused == {"box: duplicate": 1, "box: no_video": 1}
    assert (plan.head.num_boxes, plan.head.num_unboxed) == (60, 20)
    found = [load_shard(plan, entry) for entry in plan.shards()]
    for shard in found:
        conform(shard.boxes, BOXES)
        assert set(shard.boxes["video_id"].to_pylist()) == set(shard.videos["video_id"].to_pylist()) & set(names[:20])
    have = {row["video_id"]: row["boxes_sha256"] for shard in found for row in shard.videos.to_pylist()}
    assert [name for name in names if have[name] is not None] == names[:20]
    # other boxes of one video touch its shard only
    pq.write_table(boxes_of(names[:19]), boxes)
    again = plan_of(Store.open(tmp_path / "plan"), videos(40), update=True, **asked)
    assert again.head.changes == {"changed": 1, "removed": 0, "unchanged": 39}
    assert len(shard_ids(plan) - shard_ids(again)) == 1


def test_a_long_video_has_its_boxes_by_segment(tmp_path: Path) -> None:
    clip = tmp_path / "videos" / "long.mp4"
    write_clip(clip, num_frames=25)
    pq.write_table(boxes_of(["long.mp4"], num_frames=25), tmp_path / "boxes.parquet")
    asked = Videos(uri=str(clip.parent), boxes_uri=str(tmp_path / "boxes.parquet"), box_format="parquet")
    request = IndexRequest(asked, Sharding(target_frames=10, max_video_frames=20), probe="all")
    plan = make_plan(request, Store.open(tmp_path / "plan"))
    shards = sorted(
        (load_shard(plan, it) for it in plan.shards()), key=lambda it: it.segments["segment_index"][0].as_py()
    )
    assert [sorted(shard.boxes["frame_index"].to_pylist()) for shard in shards] == [
        list(range(10)), list(range(10, 20)), list(range(20, 25))
    ]  # fmt: skip
    assert {shard.videos["num_frames"][0].as_py() for shard in shards} == {25}
    assert (plan.head.num_shards, plan.head.num_buckets, plan.head.num_videos) == (3, 1, 1)
    assert {shard.videos["width_px"][0].as_py() for shard in shards} == {64}


def test_boxes_are_clipped_to_a_video_that_was_opened(tmp_path: Path) -> None:
    write_clip(tmp_path / "videos" / "a.mp4", num_frames=5)
    rows = [
        {"video_id": "a.mp4", "frame_index": 0, "kind": "hand", "box_index": 0, "bbox_xyxy": [-9.0, -9.0, 90.0, 90.0]},
        {"video_id": "a.mp4", "frame_index": 1, "kind": "hand", "box_index": 0, "bbox_xyxy": [70.0, 3.0, 90.0, 9.0]},
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=BOXES.to_arrow()), tmp_path / "boxes.parquet")
    asked = Videos(
        uri=str(tmp_path / "videos"),
        boxes_uri=str(tmp_path / "boxes.parquet"),
        box_format="parquet",
        sample_rate_hz=6.0,
    )
    plan = make_plan(IndexRequest(asked, SMALL, probe="all"), Store.open(tmp_path / "plan"))
    (shard,) = [load_shard(plan, it) for it in plan.shards()]
    assert shard.boxes["bbox_xyxy"].to_pylist() == [[-0.5, -0.5, 63.5, 47.5]]
    assert plan.head.refused == {"box: outside": 1}
    # five frames at 12 a second are three at 6... rounded
    assert shard.videos["num_frames"].to_pylist() == [2]


def test_a_file_that_cannot_be_opened_stays_in_the_plan(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "junk.mp4").write_bytes(b"junk" * 100)
    request = IndexRequest(Videos(uri=str(tmp_path / "videos")), SMALL, probe="all")
    plan = make_plan(request, Store.open(tmp_path / "plan"))
    (shard,) = [load_shard(plan, it) for it in plan.shards()]
    assert shard.videos["num_frames"].to_pylist() == [None]


def test_a_run_without_boxes_counts_the_frames_its_videos_really_have(tmp_path: Path) -> None:
    write_videos(str(tmp_path), {"short.mp4": Clip(5), "long.mp4": Clip(9)})
    run = run_of(tmp_path, tmp_path / "out")
    assert IndexRequest.of_run(run).probe == "long"
    plain = run_of(tmp_path, tmp_path / "out", "videos.box_format=none", "videos.boxes_uri=null")
    plan = make_plan(IndexRequest.of_run(plain), Store.open(tmp_path / "plan"))
    assert sum(entry.cost_frames for entry in plan.shards()) == 14


@pytest.mark.s3
def test_a_bucket_is_indexed_into_a_bucket_and_updated(s3_environment: S3Server, tmp_path: Path) -> None:
    root = Store.open(f"{s3_environment.uri}/{tmp_path.name}")
    for index in range(6):
        root.write(f"videos/v {index}.mp4", bytes([index]) * 40_000)
    request = IndexRequest(Videos(uri=root.url("videos")), SMALL, probe="none", bytes_per_frame=1000.0)
    plan = make_plan(request, root.below("plan"))
    again = make_plan(request, root.below("plan"))
    assert again == plan
    rows = [row for it in plan.shards() for row in load_shard(plan, it).videos.to_pylist()]
    assert {(row["uri"], row["etag"]) for row in rows} == {
        (root.url(info.key), info.etag) for info in root.objects("videos")
    }
    root.write("videos/v 3.mp4", b"x" * 40_000)
    changed = make_plan(request, root.below("plan"), update=True)
    assert changed.head.changes == {"changed": 1, "removed": 0, "unchanged": 5}


def write_clip(path: Path, *, num_frames: int) -> None:
    import av
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
