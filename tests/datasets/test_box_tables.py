import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hoiray.datasets import box_tables
from hoiray.datasets.box_tables import BoxFormat, box_digests, clip_boxes, iterate_boxes
from hoiray.datasets.formats import something as facts
from hoiray.errors import ContractError
from hoiray.schema.conform import conform
from hoiray.schema.tables import BOXES


def read(path: Path, box_format: BoxFormat) -> tuple[list[dict[str, Any]], Counter[str]]:
    refused = Counter[str]()

    def note(where: str, reason: str, found: str) -> None:
        assert where
        assert found
        refused[reason] += 1

    tables = list(iterate_boxes(str(path), box_format, note))
    table = pa.concat_tables(tables)
    conform(table, BOXES)
    return table.to_pylist(), refused


def label(x1: float, y1: float, x2: float, y2: float, kind: str = "hand") -> dict[str, Any]:
    standard = "hand" if kind == "hand" else "0000"
    return {"box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2}, "category": kind, "standard_category": standard}


def frame(video: str, number: int, *labels: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"{video}/{number:04d}.jpg", "labels": list(labels), "nr_instances": len(labels)}


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_the_name_says_which_frame_it_is_and_holes_stay_holes(tmp_path: Path) -> None:
    frames = [frame("7", 1, label(10, 20, 30, 40)), frame("7", 22, label(1, 2, 3, 4)), frame("7", 30)]
    rows, refused = read(write_json(tmp_path / "b.json", {"7": frames}), "something_else")
    assert [(row["video_id"], row["frame_index"]) for row in rows] == [("7", 0), ("7", 21)]
    assert rows[0]["bbox_xyxy"] == [9.5, 19.5, 29.5, 39.5]
    assert refused == {}


def test_several_hands_and_objects_are_numbered_apart(tmp_path: Path) -> None:
    labels = [label(1, 1, 9, 9), label(2, 2, 8, 8, "pillow"), label(3, 3, 9, 9), label(4, 4, 9, 9, "cup")]
    rows, _ = read(write_json(tmp_path / "b.json", {"7": [frame("7", 1, *labels)]}), "something_else")
    found = [(row["kind"], row["box_index"], row["category"], row["track_id"]) for row in rows]
    assert found == [
        ("hand", 0, None, None),
        ("object", 0, "pillow", "0000"),
        ("hand", 1, None, None),
        ("object", 1, "cup", "0000"),
    ]
    assert {row["is_right"] for row in rows} == {None}


def test_a_box_over_the_border_is_clipped_and_one_outside_is_refused(tmp_path: Path) -> None:
    labels = [label(-5, -5, 427.00000000000006, 300), label(5, 260, 9, 300)]
    rows, refused = read(write_json(tmp_path / "b.json", {"7": [frame("7", 1, *labels)]}), "something_else")
    # the height is always 240; the width is not told by the file
    assert rows[0]["bbox_xyxy"] == [-0.5, -0.5, 426.5, 239.5]
    assert refused == {"outside": 1}


BAD_LABELS = [
    (label(float("nan"), 0, 9, 9), "not_finite"),
    (label(0, 0, float("inf"), 9), "not_finite"),
    (label(9, 0, 0, 9), "inverted"),
    (label(0, 9, 9, 0), "inverted"),
    (label(5, 5, 5, 9), "inverted"),
    ({"box2d": {"x1": 1}, "category": "hand", "standard_category": "hand"}, "malformed"),
    ({"box2d": label(1, 1, 2, 2)["box2d"]}, "malformed"),
    ("text", "malformed"),
    (label("a", 0, 9, 9), "malformed"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("bad", "reason"), BAD_LABELS)
def test_a_bad_box_is_refused_alone(tmp_path: Path, bad: Any, reason: str) -> None:
    good = label(1, 1, 9, 9)
    rows, refused = read(write_json(tmp_path / "b.json", {"7": [frame("7", 1, good, bad, good)]}), "something_else")
    assert len(rows) == 2
    assert refused == {reason: 1}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (frame("8", 2, label(1, 1, 9, 9)), "malformed"),
        (frame("7", 0, label(1, 1, 9, 9)), "malformed"),
        ({"name": "7/0002.jpg"}, "malformed"),
        (None, "malformed"),
        (frame("7", 1, label(1, 1, 9, 9)), "duplicate"),
    ],
)
def test_a_bad_frame_is_refused_alone(tmp_path: Path, bad: Any, reason: str) -> None:
    frames = [frame("7", 1, label(1, 1, 9, 9)), bad, frame("7", 3, label(1, 1, 9, 9))]
    rows, refused = read(write_json(tmp_path / "b.json", {"7": frames}), "something_else")
    assert [row["frame_index"] for row in rows] == [0, 2]
    assert refused == {reason: 1}


def test_the_parts_of_a_folder_are_read_and_batches_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(3):
        videos = {f"{part}{v}": [frame(f"{part}{v}", n, label(1, 1, 9, 9)) for n in range(1, 5)] for v in range(4)}
        write_json(tmp_path / "boxes" / f"part{part}.json", videos)
    whole, _ = read(tmp_path / "boxes", "something_else")
    monkeypatch.setattr(box_tables, "BATCH_ROWS", 3)
    assert read(tmp_path / "boxes", "something_else")[0] == whole
    assert len(whole) == 48


@pytest.mark.parametrize("content", ["[1, 2]", '{"7": 3}', '{"7": [', ""])
def test_a_file_of_another_format_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(ContractError, match=r"b\.json"):
        read(tmp_path / "b.json", "something_else")


def test_a_folder_without_boxes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"expected \*\.json, found none"):
        read(tmp_path, "something_else")


def coco(**changes: Any) -> dict[str, Any]:
    content = {
        "annotations": [
            {"id": 1, "image_id": 11, "category_id": 1, "bbox": [0, 0, 10, 20], "track_id": 5, "score": 0.5},
            {"id": 2, "image_id": 10, "category_id": 2, "bbox": [5, 5, 100, 10]},
            {"id": 3, "image_id": 10, "category_id": 3, "bbox": [5, 5, 10, 10]},
            {"id": 4, "image_id": 10, "category_id": 1, "bbox": [6, 6, 1, 1]},
        ],
        "images": [
            {"id": 11, "video_id": "b", "frame_id": 4, "width": 64, "height": 48},
            {"id": 10, "video_id": "a", "frame_index": 0},
        ],
        "videos": [{"id": "a", "name": "x/a.mp4"}, {"id": "b", "name": "b.mp4"}],
        "categories": [{"id": 1, "name": "left hand"}, {"id": 2, "name": "cup"}, {"id": 3, "name": "Hand"}],
    }
    return content | changes


def test_coco_with_videos_is_read_whatever_comes_first(tmp_path: Path) -> None:
    content = coco()
    expected, refused = read(write_json(tmp_path / "c.json", content), "coco")
    assert refused == {}
    found = [(row["video_id"], row["frame_index"], row["kind"], row["is_right"], row["category"]) for row in expected]
    assert found == [
        ("b.mp4", 4, "hand", False, None), ("x/a.mp4", 0, "object", None, "cup"), ("x/a.mp4", 0, "hand", None, None),
        ("x/a.mp4", 0, "hand", False, None),
    ]  # fmt: skip
    assert [row["box_index"] for row in expected] == [0, 0, 0, 1]
    # COCO's 0 is the edge of the first pixel; the image of "a" has no known size
    assert [row["bbox_xyxy"] for row in expected[:2]] == [[-0.5, -0.5, 9.5, 19.5], [4.5, 4.5, 104.5, 14.5]]
    assert (expected[0]["track_id"], expected[0]["score"]) == ("5", 0.5)
    names = list(content)
    random.Random(0).shuffle(names)
    assert read(write_json(tmp_path / "c.json", {name: content[name] for name in names}), "coco")[0] == expected


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 1]}, "malformed"),
        ({"image_id": 10, "category_id": 9, "bbox": [0, 0, 1, 1]}, "malformed"),
        ({"image_id": 10, "category_id": 1, "bbox": [0, 0, 1]}, "malformed"),
        ({"image_id": 10, "category_id": 1}, "malformed"),
        ([], "malformed"),
        ({"image_id": 10, "category_id": 1, "bbox": [0, 0, -1, 1]}, "inverted"),
        ({"image_id": 11, "category_id": 1, "bbox": [64, 0, 1, 1]}, "outside"),
    ],
)
def test_a_bad_coco_annotation_is_refused_alone(tmp_path: Path, annotation: Any, reason: str) -> None:
    content = coco()
    content["annotations"].insert(1, annotation)
    rows, refused = read(write_json(tmp_path / "c.json", content), "coco")
    assert len(rows) == 4
    assert refused == {reason: 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"images": [{"id": 1, "file_name": "1.jpg"}]},
        {"images": [{"id": 1, "video_id": "zzz", "frame_id": 0}]},
        {"videos": [{"id": "a"}]},
        {"categories": [{"name": "hand"}]},
        {"videos": [3]},
    ],
)
def test_coco_that_does_not_say_which_frames_it_means_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=r"c\.json: expected videos \{id, name\}"):
        read(write_json(tmp_path / "c.json", coco(**changes)), "coco")


def table(*boxes: list[float]) -> pa.Table:
    rows = [
        {"video_id": "v", "frame_index": index, "kind": "hand", "box_index": 0, "bbox_xyxy": box, "is_right": True}
        for index, box in enumerate(boxes)
    ]
    return pa.Table.from_pylist(rows, schema=BOXES.to_arrow())


def test_parquet_boxes_are_checked_row_by_row(tmp_path: Path) -> None:
    pq.write_table(table([0, 0, 1, 1], [float("nan"), 0, 1, 1], [1, 1, 0, 0], [-3, -3, 5, 5]), tmp_path / "b.parquet")
    rows, refused = read(tmp_path / "b.parquet", "parquet")
    assert [row["bbox_xyxy"] for row in rows] == [[0, 0, 1, 1], [-0.5, -0.5, 5, 5]]
    assert refused == {"not_finite": 1, "inverted": 1}


def test_parquet_of_another_schema_is_refused(tmp_path: Path) -> None:
    pq.write_table(table([0, 0, 1, 1]).drop_columns(["is_right"]), tmp_path / "b.parquet")
    with pytest.raises(ContractError, match=r"b\.parquet: expected Parquet with the columns of schemas/boxes\.json"):
        read(tmp_path / "b.parquet", "parquet")
    (tmp_path / "b.parquet").write_bytes(b"junk")
    with pytest.raises(ContractError, match=r"b\.parquet"):
        read(tmp_path / "b.parquet", "parquet")


def test_clipping_leaves_an_unknown_side_alone() -> None:
    boxes = np.array([[-5.0, -5, 700, 300]])
    unknown = np.array([np.nan])
    np.testing.assert_array_equal(clip_boxes(boxes, unknown, unknown), [[-0.5, -0.5, 700, 300]])
    np.testing.assert_array_equal(clip_boxes(boxes, np.array([640.0]), np.array([240.0])), [[-0.5, -0.5, 639.5, 239.5]])


def test_a_digest_changes_with_every_column_and_not_with_the_other_videos() -> None:
    base = table([0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3])
    first, second = box_digests(base, np.array([0, 1]))
    assert box_digests(base.slice(0, 1), np.array([0])) == [first]
    assert first != second
    changes: dict[str, pa.Array] = {
        "frame_index": pa.array([5], pa.int32()), "kind": pa.array(["object"]), "box_index": pa.array([1], pa.int16()),
        "bbox_xyxy": pa.array([[0, 0, 1, 2]], BOXES["bbox_xyxy"].arrow_type), "is_right": pa.array([None], pa.bool_()),
        "category": pa.array(["cup"]), "track_id": pa.array(["0"]), "score": pa.array([0.5], pa.float32()),
    }  # fmt: skip
    digests = {first}
    for name, column in changes.items():
        row = base.slice(0, 1)
        digests.update(box_digests(row.set_column(row.column_names.index(name), name, column), np.array([0])))
    assert len(digests) == 1 + len(changes)
    assert set(changes) == set(BOXES.names) - {"video_id"}


def test_the_writers_boxes_come_back(tmp_path: Path) -> None:
    boxes = [facts.LabelledBox("hand", "hand", np.array([1.0, 2.0, 3.5, 4.0]))]
    write_json(tmp_path / "b.json", {"9": [facts.frame_to_file("9", 3, boxes)]})
    rows, _ = read(tmp_path / "b.json", "something_else")
    assert [(row["frame_index"], row["bbox_xyxy"]) for row in rows] == [(2, [1.0, 2.0, 3.5, 4.0])]
