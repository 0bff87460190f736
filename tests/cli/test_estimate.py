import json
from pathlib import Path
from typing import Any

import pytest
from labelling import CLUSTER, RUN, clips, write_videos
from typer.testing import CliRunner

from hoiray.cli.main import app
from hoiray.errors import InputError
from hoiray.stages import estimate


def call(command: str, folder: Path, *arguments: str) -> Any:
    options = ["--no-ray", "--cluster", str(folder / "cluster.yaml")]
    return CliRunner().invoke(app, [command, str(folder / "run.yaml"), *options, *arguments])


PILOT = 10


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # so that a dozen shards are more than a pilot
    monkeypatch.setattr(estimate, "MIN_PILOT_SHARDS", PILOT)
    write_videos(str(tmp_path), clips(12))
    (tmp_path / "run.yaml").write_text(
        RUN.format(data=tmp_path, out=tmp_path / "out", target_frames=6, max_video_frames=100)
    )
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    return tmp_path


def test_a_pilot_tells_what_all_of_it_will_take_and_its_labels_are_kept(folder: Path) -> None:
    result = call("estimate", folder, "--json", "--cpu-h-price", "2")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["num_pilot"], told["num_shards"], told["workers"]) == (PILOT, 12, None)
    assert 0.0 < told["time_s"]["low"] <= told["time_s"]["total"] <= told["time_s"]["high"]
    # without Ray one CPU is held for all of the time
    assert told["price"]["total"] == pytest.approx(2.0 * told["time_s"]["total"] / 3600.0)
    assert told["held"]["gpu_h"]["total"] == 0.0
    assert set(told["costs_s"]) == {"decode", "predict", "measure", "judge"}
    committed = {path.name: path.stat().st_mtime_ns for path in folder.glob("out/labels/*/commit/*.json")}
    assert len(committed) == PILOT
    assert call("label", folder).exit_code == 0
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("out/labels/*/commit/*.json")}
    assert len(after) == 12
    assert committed.items() < after.items()
    # nothing is left to label: the same pilot says the same
    again = call("estimate", folder)
    assert "0 of 12 shards to do" in again.stderr
    assert f"pilot: {PILOT} of 12 shards" in again.stdout
    assert "upper ends allow for 4.3% of the frames at 2 times the rate of the pilot's worst shard" in again.stdout


def test_a_shard_that_does_not_say_what_it_cost_is_no_pilot(folder: Path) -> None:
    assert call("label", folder).exit_code == 0
    for path in folder.glob("out/predictions/*/commit/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"costs_s": {}}))
    result = call("estimate", folder)
    assert isinstance(result.exception, InputError)
    assert "a marker of an older version" in str(result.exception)
