from pathlib import Path

import pytest
from labelling import clips, run_of, write_videos
from labelling_predictor import BoxPredictor
from s3_server import S3Server

from hoiray.cli.report import write_run_report
from hoiray.errors import ConfigError
from hoiray.io.store import Store
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import open_label_job
from hoiray.stages.label_shard import Tools, label_here


def test_a_report_is_written_and_its_place_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_videos(str(tmp_path), clips(1))
    job = open_label_job(run_of(tmp_path, tmp_path / "out"))
    frames = LocalFrames(DecodeSettings(None))
    list(label_here(job, Tools(BoxPredictor(), frames, batch_size=4), lambda _count: None))
    frames.close()
    out = tmp_path / "pages" / "report.html"
    status = write_run_report(str(tmp_path / "out"), None, str(out), judge_id=None, num_pictures=4, seed=0)
    said = capsys.readouterr().out
    assert status == 0
    assert f"report: {out}" in said
    assert "12 labels of 1 video" in said
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_a_report_of_a_run_on_s3_is_written_to_s3(s3_environment: S3Server) -> None:
    uri = f"{s3_environment.uri}/report"
    write_videos(uri, clips(1))
    job = open_label_job(run_of(uri, f"{uri}/out"))
    frames = LocalFrames(DecodeSettings(None))
    list(label_here(job, Tools(BoxPredictor(), frames, batch_size=4), lambda _count: None))
    frames.close()
    out = f"{uri}/pages/report.html"
    assert write_run_report(f"{uri}/out", None, out, judge_id=None, num_pictures=4, seed=0) == 0
    page = Store.open(f"{uri}/pages").read("report.html").decode()
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("data:image/jpeg") >= 4


def test_a_file_that_is_no_page_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a name with \.html, found report\.pdf"):
        write_run_report(str(tmp_path), None, "report.pdf", judge_id=None, num_pictures=4, seed=0)
