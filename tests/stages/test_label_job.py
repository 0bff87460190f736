from pathlib import Path

import pytest
from labelling import clips, run_of, write_videos

from hoiray.config.load import load_run
from hoiray.errors import ConfigError
from hoiray.stages.label_job import open_label_job


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_videos(str(tmp_path), clips(3))
    return tmp_path


def test_a_run_is_indexed_once_and_written_down(data: Path) -> None:
    said: list[str] = []
    run = run_of(data, data / "out", target_frames=4, max_video_frames=7)
    first = open_label_job(run, say=said.append)
    again = open_label_job(run, say=said.append)
    assert said == [f"indexing {run.videos.uri}"]
    assert (first.plan.plan_id, first.predict_id, first.judge_id) == (
        again.plan.plan_id,
        again.predict_id,
        again.judge_id,
    )
    assert load_run(data / "out" / "run.yaml") == run
    ((bucket_id, shards),) = first.long_videos.items()
    assert (first.shards_of(bucket_id), first.shards_of("other")) == (shards, ("other",))
    assert len(shards) == 2


def test_other_limits_are_other_labels_of_the_same_predictions(data: Path) -> None:
    jobs = [open_label_job(run_of(data, data / "out", f"limits.max_joint_angle_deg={angle}")) for angle in (80, 90)]
    assert jobs[0].predict_id == jobs[1].predict_id
    assert jobs[0].judge_id != jobs[1].judge_id


def test_a_plan_of_other_videos_is_not_gone_on_with(data: Path) -> None:
    open_label_job(run_of(data, data / "out"))
    with pytest.raises(ConfigError, match="expected target_frames 5, found 12"):
        open_label_job(run_of(data, data / "out", target_frames=5))


def test_a_run_without_boxes_is_refused(data: Path) -> None:
    free = ("videos.box_format=none", "videos.boxes_uri=null", "videos.hand_side=both")
    run = run_of(data, data / "out", *free, "teacher.predictor=network")
    expected = r"expected boxes of the hands, which .* does not find by itself, found none.*landmarks"
    with pytest.raises(ConfigError, match=expected):
        open_label_job(run)
