"""Parts of the control plane's benchmark on small sizes, through the code of a user's run."""

import json
from pathlib import Path

import pytest
from s3_server import S3Server

from hoiray.benchmarks import control_parts


def test_videos_of_a_seed_are_the_same_every_time_and_plan_alike(tmp_path: Path) -> None:
    first, second = (list(control_parts.lister(50)) for _ in range(2))
    assert first == second
    assert len({it.etag for it in first}) == 50
    sizes = [it.size_bytes for it in first]
    assert min(sizes) > 0.4 * max(sizes) / 1.5
    assert control_parts.index(str(tmp_path), 500)["videos"] == 500
    opened = control_parts.opening(str(tmp_path), 500)
    assert opened["shards"] == 6
    assert opened["loaded_videos"] == 500


def test_boxes_are_in_something_elses_format_and_each_becomes_a_row(tmp_path: Path) -> None:
    found = control_parts.boxes(str(tmp_path), 1)
    videos = json.loads((tmp_path / "boxes-1.json").read_text())
    assert found["videos"] == len(videos)
    assert found["boxes"] == sum(len(frame["labels"]) for frames in videos.values() for frame in frames)
    assert videos["00000000"][0]["name"] == "00000000/0001.jpg"
    assert "00000000/0005.jpg" not in {frame["name"] for frame in videos["00000000"]}


@pytest.mark.s3
def test_a_resume_finds_what_is_left_on_disk_and_on_s3(tmp_path: Path, s3_environment: S3Server) -> None:
    for place in (str(tmp_path), f"{s3_environment.uri}/control"):
        found = control_parts.resume(place, 60)
        assert found["shards"] == found["committed"] + 10 > 40
    assert control_parts.listing(f"{s3_environment.uri}/control", 30)["keys"] == 30


def test_planning_finds_the_shards_without_a_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # several files with several names each
    monkeypatch.setattr(control_parts, "MAX_LINKS", 7)
    told = control_parts.planning(str(tmp_path), 60)
    assert told["shards"] == told["committed"] + 10
