from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hoiray.cli.index import run_index
from hoiray.cli.status import show_status
from hoiray.errors import ConfigError
from hoiray.io.store import Store
from hoiray.schema.tables import BOXES
from hoiray.stages.plan import open_plan


def call(videos: str, out: Path, **changes: Any) -> int:
    arguments: dict[str, Any] = {
        "boxes": None, "box_format": None, "sample_rate_hz": None, "target_frames": 4096, "max_video_frames": 16384,
        "probe": "none", "bytes_per_frame": 1000.0, "update": False,
    }  # fmt: skip
    return run_index(videos=videos, out=str(out), **(arguments | changes))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for index in range(4):
        (folder / f"{index}.mp4").write_bytes(b"x" * 9000)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "README").write_text("hello")
    return folder


def test_it_says_what_was_found_refused_and_changed(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run" / "plan"
    assert call(str(videos), out) == 0
    said = capsys.readouterr().out
    assert "4 videos" in said
    assert "1 shards of about 36 frames" in said
    assert "refused, video: empty: 1, such as empty.mp4 (0 bytes)" in said
    assert "refused, file: suffix: 1, such as README" in said
    assert f"hoiray status {tmp_path / 'run'}" in said
    (videos / "new.mp4").write_bytes(b"x" * 9000)
    with pytest.raises(ConfigError, match="--update"):
        call(str(videos), out)
    assert call(str(videos), out, update=True) == 0
    assert "since the plan before: 1 new, 0 removed, 4 unchanged" in capsys.readouterr().out
    assert open_plan(Store.open(out)).head.num_videos == 5


def test_videos_that_no_box_tells_of_are_counted(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = {
        "video_id": "0.mp4", "frame_index": 0, "kind": "hand", "box_index": 0, "bbox_xyxy": [1.0, 2.0, 3.0, 4.0],
        "is_right": True,
    }  # fmt: skip
    boxes = tmp_path / "boxes.parquet"
    of_object = box | {"video_id": "1.mp4", "kind": "object", "is_right": None}  # in which no hand is labelled
    pq.write_table(pa.Table.from_pylist([box, of_object], schema=BOXES.to_arrow()), boxes)
    assert call(str(videos), tmp_path / "run" / "plan", boxes=str(boxes)) == 0
    assert "without a box of a hand, so that nothing will be labelled in them: 3 videos" in capsys.readouterr().out
    assert show_status(str(tmp_path / "run"), None, as_json=False) == 3
    assert "3 videos have no box of a hand, and get no labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probe": "some"}, r"--probe: expected none \| long \| all, found some"),
        ({"box_format": "coco"}, "--box-format: expected --boxes"),
        ({"boxes": "b.json"}, r"--box-format: expected something_else \| coco \| parquet"),
        ({"boxes": "b.json", "box_format": "voc"}, "found voc"),
        ({"target_frames": 500, "max_video_frames": 100}, "1 <= target-frames <= max-video-frames"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(
    videos: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        call(str(videos), tmp_path / "plan", **changes)
    assert not (tmp_path / "plan").exists()
