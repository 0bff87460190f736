"""The layout of v3 as its documentation has it, by pyarrow and PyAV; LeRobot itself reads it in the slow test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_scenes import Scene, lineage, scene
from label_runs import write_label_run
from valid_tables import replaced

from hoiray.export import lerobot
from hoiray.export.formats import export_labels
from hoiray.export.job import ExportJob, Options
from hoiray.export.lerobot import ACCEPTED, NO_LABEL, REFUSED, VIDEO_KEY
from hoiray.io.store import Store

LEROBOT_PYTHON = "HOIRAY_LEROBOT_PYTHON"
"""Names a Python that has lerobot, whose pins clash with hoiray's; without, the slow test makes an environment."""

READ = """
import json, sys
from lerobot.datasets.lerobot_dataset import LeRobotDataset
dataset = LeRobotDataset("local/hands", root=sys.argv[1], video_backend="pyav")
rows = dataset.hf_dataset
items = [dataset[index] for index in range(len(dataset))]
told = {"num": len(dataset), "episodes": dataset.num_episodes, "fps": dataset.fps,
        "verdicts": [int(v) for v in rows["hand.verdict"]],
        "joints": [v.nan_to_num(-1.0).tolist() for v in rows["hand.joints_3d"]],
        "reasons": list(rows["hand.reasons"]), "task": dataset.meta.tasks.iloc[0].name,
        "pictures": [(255 * item["observation.images.camera"][:, ::8, ::8]).round().int().tolist() for item in items],
        "shape": list(items[0]["observation.images.camera"].shape),
        "item_verdicts": [int(item["hand.verdict"]) for item in items]}
print("TOLD" + json.dumps(told))
"""


def columns(folder: Path) -> dict[str, list]:
    files = sorted((folder / "data").glob("*/*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pydict()


def expected_joints(made: Scene, row: int, *, is_told: bool) -> np.ndarray:
    joints = np.reshape(made.rows.to_pylist()[row]["joints_3d"], (21, 3))
    return joints if is_told else np.full((21, 3), np.nan)


@pytest.mark.parametrize("with_refused", [False, True])
def test_every_frame_has_its_verdict_and_only_what_was_asked_for_has_joints(tmp_path: Path, with_refused: bool) -> None:
    made = scene(tmp_path)
    told, _ = export_labels(made.job(tmp_path / "out", with_refused=with_refused), "lerobot")
    found = columns(tmp_path / "out")
    verdicts = [ACCEPTED, REFUSED, ACCEPTED, ACCEPTED, ACCEPTED, REFUSED]
    assert found["hand.verdict"] == verdicts
    assert found["hand.reasons"] == ["reprojection" if one == REFUSED else "" for one in verdicts]
    for row, verdict in enumerate(verdicts):
        is_told = verdict == ACCEPTED or with_refused
        expected = expected_joints(made, row, is_told=is_told).astype(np.float32)
        assert np.array_equal(np.float32(found["hand.joints_3d"][row]), expected, equal_nan=True)
    assert told["counts"]["num_written"] == (6 if with_refused else 4)


def test_a_frame_without_a_row_is_there_and_empty(tmp_path: Path) -> None:
    made = scene(tmp_path, count=3)
    rows = made.rows.take([0, 2])
    base = made.run
    run = write_label_run(tmp_path / "holes", [rows], [], plan=base.plan, video_keys=base.video_keys)
    export_labels(ExportJob(run, Store.open(tmp_path / "out"), Options(), lineage(run), made.job("x").hand), "lerobot")
    found = columns(tmp_path / "out")
    assert found["hand.verdict"] == [ACCEPTED, NO_LABEL, ACCEPTED]
    assert np.isnan(found["hand.joints_2d"][1]).all()
    assert found["source.frame_index"] == [0, 1, 2]


def test_counters_episodes_and_videos_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lerobot, "EPISODES_A_FILE", 2)
    made = scene(tmp_path)
    tracks = replaced(made.rows, "track_index", pa.array([0, 0, 0, 0, 1, 1], pa.int32()))
    base = made.run
    run = write_label_run(tmp_path / "two", [tracks], [], plan=base.plan, video_keys=base.video_keys)
    export_labels(ExportJob(run, Store.open(tmp_path / "out"), Options(), lineage(run), made.job("x").hand), "lerobot")
    out = tmp_path / "out"
    info = json.loads((out / "meta" / "info.json").read_text())
    found = columns(out)
    episodes = [row for file in sorted((out / "meta" / "episodes").glob("*/*.parquet"))
                for row in pq.read_table(file).to_pylist()]  # fmt: skip
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_frames"]) == ("v3.0", 12, 3, 6)
    assert found["index"] == list(range(6))
    assert found["episode_index"] == [0, 0, 0, 1, 2, 2]
    assert found["frame_index"] == [0, 1, 2, 0, 0, 1]
    assert [one["meta/episodes/file_index"] for one in episodes] == [0, 0, 1]
    for episode in episodes:
        place = episode[f"videos/{VIDEO_KEY}/chunk_index"], episode[f"videos/{VIDEO_KEY}/file_index"]
        path = info["video_path"].format(video_key=VIDEO_KEY, chunk_index=place[0], file_index=place[1])
        with av.open(str(out / path)) as container:
            frames = list(container.decode(video=0))
        start, end = (episode[f"videos/{VIDEO_KEY}/{side}_timestamp"] for side in ("from", "to"))
        own = [frame for frame in frames if start - 1e-6 <= frame.time < end - 1e-6]
        assert len(own) == episode["length"] == episode["dataset_to_index"] - episode["dataset_from_index"]
        first = episode["dataset_from_index"]
        shown = own[0].to_ndarray(format="rgb24").astype(int)
        assert np.abs(shown - made.images[first]).mean() < 6
    assert set(info["features"]) == {VIDEO_KEY, *found}
    tasks = pd.read_parquet(out / "meta" / "tasks.parquet")
    assert tasks.iloc[0].name == lerobot.TASK


def test_a_video_of_another_rate_is_left_out_under_that_name(tmp_path: Path) -> None:
    made = scene(tmp_path, later_fps=25)
    told, _ = export_labels(made.job(tmp_path / "out"), "lerobot")
    assert told["counts"]["left_out"] == {"other_rate": 2}
    assert "expected 12 frames a second, as the first video, found 25. Label with" in told["unreadable"][0]
    assert json.loads((tmp_path / "out" / "meta" / "info.json").read_text())["total_episodes"] == 1


@pytest.fixture(scope="module")
def lerobot_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    if LEROBOT_PYTHON in os.environ:
        return os.environ[LEROBOT_PYTHON]
    folder = tmp_path_factory.mktemp("lerobot")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", "-q", "-p", str(folder), "lerobot>=0.4.4,<0.5"]
    subprocess.run(command, check=True)
    return str(folder / "bin" / "python")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_lerobots_own_reader_finds_the_labels(tmp_path: Path, lerobot_python: str) -> None:
    made = scene(tmp_path)
    export_labels(made.job(tmp_path / "out"), "lerobot")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    environment.pop("PYTHONPATH", None)
    command = [lerobot_python, "-c", READ, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    told = json.loads(done.stdout.partition("TOLD")[2])
    assert (told["num"], told["episodes"], told["fps"], told["task"]) == (6, 2, 12, lerobot.TASK)
    assert told["verdicts"] == [2, 1, 2, 2, 2, 1]
    assert told["item_verdicts"] == told["verdicts"]
    assert told["shape"] == [3, 240, 320]
    for picture, image in zip(told["pictures"], made.images, strict=True):
        assert np.abs(np.array(picture).transpose(1, 2, 0) - image[::8, ::8].astype(int)).mean() < 6
    for row, joints in enumerate(told["joints"]):
        expected = np.nan_to_num(expected_joints(made, row, is_told=told["verdicts"][row] == 2), nan=-1.0)
        assert np.array_equal(np.float32(joints), np.float32(expected))
