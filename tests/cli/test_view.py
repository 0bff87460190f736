from pathlib import Path

import pytest
from labelled_run import labelled_run

from hoiray.cli import view
from hoiray.cli.view import view_video
from hoiray.errors import ConfigError


def test_only_an_mp4_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a name ending in \.mp4"):
        view_video(str(tmp_path), "one.mp4", None, str(tmp_path / "overlay.gif"), judge_id=None)


def test_a_recording_lies_beside_the_overlay_where_rerun_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = labelled_run(tmp_path, "a", num_frames=2)
    view_video(job.store.uri, "a.mp4", None, str(tmp_path / "both.mp4"), judge_id=None)
    assert (tmp_path / "both.mp4").stat().st_size > 0
    assert (tmp_path / "both.rrd").read_bytes()[:3] == b"RRF"
    assert f"rerun {tmp_path / 'both.rrd'}\n" in capsys.readouterr().out
    monkeypatch.setattr(view, "can_record", lambda: False)
    view_video(job.store.uri, "a.mp4", None, str(tmp_path / "alone.mp4"), judge_id=None)
    assert (tmp_path / "alone.mp4").stat().st_size > 0
    assert "rerun-sdk is not installed here (pip install 'hoiray[viewer]')" in capsys.readouterr().err
    view_video(job.store.uri, "a.mp4", None, str(tmp_path / "asked.mp4"), judge_id=None, with_recording=False)
    assert capsys.readouterr().err.count("rerun-sdk") == 0
    assert sorted(path.name for path in tmp_path.glob("*.rrd")) == ["both.rrd"]
