from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filter_scenes import predictions
from s3_server import S3Server
from typer.testing import CliRunner

from hoiray.cli.judge import read_limits
from hoiray.cli.main import app
from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import ConfigError
from hoiray.io.parquet import parquet_bytes, read_parquet
from hoiray.io.store import Store
from hoiray.stages.judge import reason_counts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    folder = tmp_path / "stored predictions"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(parquet_bytes(predictions(seed=1, num_videos=6)))
    return folder


def test_stored_predictions_are_judged_and_counted(stored: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["judge", str(stored), "--out", str(tmp_path / "out")], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    labels = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "out").glob("labels-*.parquet")))
    accepted = int(labels["accepted"].to_numpy().sum())
    lines = [line.replace("│", " ").replace("|", " ").split() for line in result.output.splitlines()]
    table = {words[0]: words[1] for words in lines if len(words) > 1}
    assert table["accepted"] == str(accepted)
    for reason, count in reason_counts(labels).items():
        assert table.get(reason) == (str(count) if count else None)
    assert f"{labels.num_rows} rows in" in result.output


def test_a_limit_can_be_changed_on_the_command_line(stored: Path, tmp_path: Path) -> None:
    command = ["judge", str(stored / "a.parquet"), "--out", str(tmp_path / "out"), "--set", "limits.min_box_iou=1.0"]
    assert CliRunner().invoke(app, command).exit_code == 0
    labels = pq.read_table(tmp_path / "out" / "labels-000000.parquet")
    assert reason_counts(labels)["box_iou"] > labels.num_rows // 2


def test_a_second_verdict_does_not_go_into_the_folder_of_the_first(stored: Path, tmp_path: Path) -> None:
    command = ["judge", str(stored), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, command).exit_code == 0
    again = CliRunner().invoke(app, command)
    assert isinstance(again.exception, ConfigError)
    assert "expected a folder without labels" in str(again.exception)


def test_limits_are_said_in_three_ways() -> None:
    assert read_limits("paper", ["limits.max_motion_pose=0.02"]) == PaperLimits(max_motion_pose=0.02)
    assert read_limits("s3://b/l.parquet", []) == CalibratedLimits(preset="calibrated", uri="s3://b/l.parquet")
    assert read_limits(str(ROOT / "jobs/label.yaml"), ["limits.min_box_iou=null"]) == PaperLimits(min_box_iou=None)


def test_limits_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"min_box_iou"):
        read_limits("paper", ["limits.min_box_iu=0.5"])
    with pytest.raises(ConfigError, match=r"expected limits\.KEY=VALUE, found seed=3"):
        read_limits("paper", ["seed=3"])
    with pytest.raises(ConfigError, match="--limits: expected paper, a limits file"):
        read_limits("strict", [])


@pytest.mark.s3
def test_predictions_on_s3_are_judged_into_labels_on_s3(s3_environment: S3Server, stored: Path, tmp_path: Path) -> None:
    place = f"{s3_environment.uri}/judge"
    Store.open(place).write("in/a b.parquet", (stored / "a.parquet").read_bytes())
    result = CliRunner().invoke(app, ["judge", f"{place}/in", "--out", f"{place}/out"])
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(app, ["judge", str(stored), "--out", str(tmp_path / "out")]).exit_code == 0
    remote = Store.open(f"{place}/out").read("labels-000000.parquet")
    assert remote == (tmp_path / "out" / "labels-000000.parquet").read_bytes()
    assert read_parquet(remote, name="labels").num_rows > 0
