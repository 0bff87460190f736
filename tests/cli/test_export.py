import subprocess
import sys
from pathlib import Path

import pytest
from run_folders import commit, plan_of, videos

from hoiray.cli.export import ExportRequest, export
from hoiray.errors import EXIT_UNFINISHED, ConfigError, InputError
from hoiray.io.store import Store

RUN = """
output_uri: out
videos: {uri: "s3://bucket", boxes_uri: b, box_format: parquet, hand_side: boxes}
hand: {flat_hand_mean: true}
teacher: {predictor: network, checkpoint_uri: t}
"""


@pytest.fixture
def run(tmp_path: Path) -> str:
    """Twelve videos that lie nowhere, with two accepted labels each."""
    store = Store.open(tmp_path / "run")
    store.write("run.yaml", RUN.encode())
    plan = plan_of(store.below("plan"), videos(12), sample_rate_hz=12.0)
    for entry in plan.shards():
        commit(store, plan, entry, judged=True)
    return store.uri


def test_a_run_is_exported_and_told(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = ExportRequest(run, "coco", str(tmp_path / "out"), pixels="none", licence="CC-BY-4.0")
    assert export(request) == 0
    assert "24 labels of 12 videos, 24 accepted; the run has 24 accepted and 0 refused" in capsys.readouterr().out
    card = (tmp_path / "out" / "README.md").read_text()
    assert "teacher: network, weights t, 8 views" in card
    assert "The limits are those that the judge_id stands for" in card  # the rows' judge_id is not that of run.yaml
    assert export(request) == 0
    assert "(was complete already)" in capsys.readouterr().out


def test_videos_that_are_gone_are_named(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("hoiray.export.pictures.numbered_frames", _gone)
    with pytest.raises(InputError, match="expected labels this format can tell, found none: 24 because the video"):
        export(ExportRequest(run, "webdataset", str(tmp_path / "out")))
    assert EXIT_UNFINISHED == 3


def _gone(*_: object) -> None:
    raise InputError("s3://bucket/v0000.mp4: expected a file, found none. Restore it.")


def test_an_unknown_format_is_refused_before_the_run_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of coco, "):
        export(ExportRequest(str(tmp_path / "nowhere"), "voc", str(tmp_path / "out")))


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hoiray", "export", str(tmp_path), "--format", "coco", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {1, 2}
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
