"""The control plane's benchmark: parts on small sizes, and the figures that are made of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from s3_server import S3Server

from hoiray.benchmarks import control, control_parts
from hoiray.benchmarks.control import Sizes, figures_of, page, run, slope
from hoiray.benchmarks.control_run import Sample, Watched, make_videos, watch_labelling
from hoiray.config.load import load_run
from hoiray.errors import ConfigError
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import open_label_job
from hoiray.stages.label_shard import Tools, label_here
from hoiray.stages.teacher import open_teacher

TINY = Sizes((500, 1500), (1,), 30, 60, (2,), 1)


def sample(time_s: float, num_done: int, driver_mib: float, predict_mib: float = 100.0) -> Sample:
    return Sample(time_s, num_done, driver_mib, 0.002 * num_done, 0.0, {"predict": predict_mib})


def watched(driver_mib_a_shard: float, predict_mib_a_shard: float = 0.0) -> Watched:
    found = Watched(1000, 2, first_begun_s=4.0, first_ready_s=5.0, first_label_s=6.0, first_shard_s=0.8, wall_s=110.0)
    found.samples += [sample(2.0, 0, 150.0)]
    found.samples += [
        sample(10.0 + step, 10 * step, 200.0 + 10 * step * driver_mib_a_shard, 100.0 + 10 * step * predict_mib_a_shard)
        for step in range(1, 101)
    ]
    return found


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


def test_figures_follow_the_samples_of_the_time_in_which_shards_were_done() -> None:
    found = figures_of(watched(0.004))
    assert found["driver_slope_mib_per_1000_shards"] == pytest.approx(4.0)
    assert found["driver_most_mib"] - found["driver_start_mib"] == pytest.approx(4.0, abs=0.1)
    assert found["driver_cpu_ms_a_shard"] == pytest.approx(2.0)
    assert (found["first_label_after_s"], found["actors_after_s"]) == (2.0, 1.0)
    assert slope([sample(1.0, 5, 1.0)] * 3, lambda it: it.driver_mib) is None
    assert slope([sample(1.0, 5, 1.0)], lambda it: it.driver_mib) is None


def rows_of(*found: Watched) -> dict[str, Any]:
    rows = [figures_of(it) | {"shards": 10_000 * (number + 1)} for number, it in enumerate(found)]
    return {"label": {"command": "c", "machine": {}, "rows": rows}}


@pytest.mark.parametrize(("driver", "predict", "missed"), [(0.0, 0.0, 0), (0.02, 0.0, 1), (0.0, 0.05, 1)])
def test_a_goal_that_is_missed_is_said_to_be(driver: float, predict: float, missed: int) -> None:
    text = page(rows_of(watched(0.0), watched(driver, predict)))
    assert text.count("**missed**") == missed


def test_first_labels_count_in_shard_times() -> None:
    for label_s, is_missed in ((6.0, False), (7.0, True)):
        late = watched(0.0)
        late.first_label_s = label_s
        text = page({"first": {"command": "c", "machine": {}, "rows": [figures_of(late)]}})
        assert ("**missed**" in text) == is_missed


def test_parts_are_measured_in_processes_of_their_own_and_a_report_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(control.SIZES, "small", TINY)
    run(tmp_path, size="small", parts=["boxes"], s3_uri=None, scratch=tmp_path)
    text = run(tmp_path, size="small", parts=["index"], s3_uri=None, scratch=tmp_path)
    assert "## Boxes" in text
    assert "| 1,500 |" in text
    assert (tmp_path / "control.md").read_text() == text
    assert not list(tmp_path.glob("hc*"))
    for wrong in ({"size": "huge"}, {"parts": ["none"]}):
        with pytest.raises(ConfigError, match=r"huge|none"):
            run(tmp_path, **{"size": "small", "parts": ["boxes"], "s3_uri": None, "scratch": tmp_path} | wrong)  # type: ignore[arg-type]


def test_the_free_predictor_labels_the_videos_that_are_made(tmp_path: Path) -> None:
    make_videos(tmp_path, 2, 3)
    job = open_label_job(load_run(str(tmp_path / "run.yaml"), []))
    assert (job.plan.head.num_shards, job.plan.head.num_videos) == (2, 6)
    frames = LocalFrames(DecodeSettings(None))
    tools = Tools(open_teacher(job.run, device="cpu", batch_size=4), frames, batch_size=4)
    results = list(label_here(job, tools, lambda _count: None))
    frames.close()
    assert [it.num_rows for it in results] == [12, 12]  # type: ignore[union-attr]


@pytest.mark.ray
@pytest.mark.slow
def test_a_labelling_is_watched_to_its_end(tmp_path: Path) -> None:
    make_videos(tmp_path, 12, 2)
    found = figures_of(watch_labelling(tmp_path, 12, 2))
    assert found["first_label_after_s"] > 0.0
    assert {"predict", "measure", "judge"} <= found["workers"].keys()
