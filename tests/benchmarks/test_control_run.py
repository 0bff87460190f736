"""The labelling that is watched: its videos, its predictor, and the whole of it."""

from pathlib import Path

import pytest

from hoiray.benchmarks.control import figures_of
from hoiray.benchmarks.control_run import make_videos, watch_labelling
from hoiray.config.load import load_run
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import open_label_job
from hoiray.stages.label_shard import Tools, label_here
from hoiray.stages.teacher import open_teacher


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
    # so many that predictors still work when the others have started
    make_videos(tmp_path, 100, 2)
    found = figures_of(watch_labelling(tmp_path, 100, 2))
    assert found["first_label_after_s"] > 0.0
    assert {"predict", "measure", "judge"} <= found["workers"].keys()
