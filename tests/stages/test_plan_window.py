import pyarrow as pa
import pytest

from hoiray.config.what import Sharding
from hoiray.schema.tables import BOXES
from hoiray.stages.index import FOUND
from hoiray.stages.listing import Refusal
from hoiray.stages.plan_window import OldWindow, Part, WindowSettings, plan_window

SETTINGS = WindowSettings(Sharding(target_frames=50, max_video_frames=200), None, "none", 1000.0)


def found(*names: str, etag: str = "e") -> pa.Table:
    rows = [
        {"video_id": name, "uri": f"s3://b/{name}", "size_bytes": 20_000, "etag": etag, "dataset": None}
        for name in names
    ]
    return pa.Table.from_pylist(rows, schema=FOUND)


def boxes(*rows: tuple[str, int, float]) -> pa.Table:
    content = [
        {"video_id": name, "frame_index": frame, "kind": "hand", "box_index": 0, "bbox_xyxy": [0.0, 0.0, right, 9.0]}
        for name, frame, right in rows
    ]
    return pa.Table.from_pylist(content, schema=BOXES.to_arrow().with_metadata(None))


def planned(videos: pa.Table, given: pa.Table | None = None, old: Part | None = None) -> tuple[Part, list[Refusal]]:
    refused: list[Refusal] = []
    before = None if old is None else OldWindow(old.segments.table, old.videos.table)
    part = plan_window(videos, boxes() if given is None else given, SETTINGS, before, refused.append)
    return part, refused


def test_the_groups_of_all_tables_are_those_of_the_shards() -> None:
    part, refused = planned(found(*"abcdefgh"), boxes(("a", 3, 5.0), ("c", 0, 5.0), ("c", 1, 5.0)))
    assert refused == []
    assert len(part.shards) == len(part.segments.group_sizes) == len(part.boxes.group_sizes)
    assert sum(part.segments.group_sizes) == part.segments.table.num_rows == 8
    assert sum(part.boxes.group_sizes) == part.boxes.table.num_rows == 3
    start = 0
    for shard, count in zip(part.shards, part.segments.group_sizes, strict=True):
        assert set(part.segments.table["shard_id"].to_pylist()[start : start + count]) == {shard.shard_id}
        start += count


def test_a_name_that_occurs_twice_is_one_video() -> None:
    twice = pa.concat_tables([found("a", "b"), found("a", etag="z").set_column(1, "uri", [["s3://a/0"]])])
    for order in ([0, 1, 2], [2, 1, 0]):
        part, refused = planned(twice.take(order))
        assert [(it.kind, it.reason, it.name) for it in refused] == [("video", "duplicate", "s3://b/a")]
        assert part.videos.table.sort_by("video_id")["etag"].to_pylist() == ["z", "e"]


def test_which_of_two_double_boxes_is_kept_does_not_depend_on_their_order() -> None:
    rows = [("a", 0, 7.0), ("a", 0, 5.0), ("a", 1, 5.0)]
    kept = []
    for order in (rows, rows[::-1]):
        part, refused = planned(found("a"), boxes(*order))
        assert [it.reason for it in refused] == ["duplicate"]
        kept.append(part.boxes.table["bbox_xyxy"].to_pylist())
    assert kept[0] == kept[1] == [[0, 0, 5, 9], [0, 0, 5, 9]]


def test_boxes_of_no_video_are_counted_by_name() -> None:
    _, refused = planned(found("a"), boxes(("x", 0, 5.0), ("x", 1, 5.0), ("a", 0, 5.0)))
    assert [(it.name, it.reason, it.message) for it in refused] == [("x", "no_video", "2 boxes")]


def test_lengths_come_from_boxes_before_sizes() -> None:
    part, _ = planned(found("a", "b"), boxes(("a", 99, 5.0)))
    costs = {row["video_id"]: row["cost_frames"] for row in part.segments.table.to_pylist()}
    assert costs == {"a": 100, "b": 20}


@pytest.mark.parametrize(
    ("now", "given", "changes"),
    [
        (found(*"abcdefgh"), boxes(("a", 0, 5.0)), {"unchanged": 8, "removed": 0}),
        (found(*"abcdefghi"), boxes(("a", 0, 5.0)), {"unchanged": 8, "new": 1, "removed": 0}),
        (found(*"bcdefgh"), boxes(), {"unchanged": 7, "removed": 1}),
        (found(*"abcdefgh"), boxes(("a", 0, 6.0)), {"unchanged": 7, "changed": 1, "removed": 0}),
        (found(*"abcdefgh", etag="f"), boxes(("a", 0, 5.0)), {"changed": 8, "removed": 0}),
    ],
)
def test_shards_are_kept_unless_one_of_their_videos_changed(
    now: pa.Table, given: pa.Table, changes: dict[str, int]
) -> None:
    old, _ = planned(found(*"abcdefgh"), boxes(("a", 0, 5.0)))
    new, _ = planned(now, given, old)
    assert dict(new.changes) == changes
    members = {shard.shard_id: {it.video.video_id for it in shard.segments} for shard in old.shards}
    same = set(now["video_id"].to_pylist()) if now["etag"][0].as_py() == "e" else set()
    same -= {"a"} if given.to_pylist() != boxes(("a", 0, 5.0)).to_pylist() else set()
    expected = {name for name, videos in members.items() if videos <= same}
    assert expected == set(members) & {shard.shard_id for shard in new.shards}
    assert sorted(new.videos.table["video_id"].to_pylist()) == sorted(now["video_id"].to_pylist())
