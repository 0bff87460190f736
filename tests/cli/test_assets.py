from pathlib import Path

import pytest
from typer.testing import CliRunner

from hoiray.cli.assets import fetch_landmarks, list_assets
from hoiray.cli.main import app
from hoiray.errors import InputError


def test_what_is_missing_is_listed_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    list_assets()
    said = capsys.readouterr().out
    assert "missing palm_detection_full.tflite" in said
    assert "hoiray assets fetch landmarks" in said


def test_a_wheel_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.whl"):
        fetch_landmarks(folder=tmp_path / "kept", wheel=tmp_path / "nothing.whl")


def test_only_what_there_is_can_be_fetched() -> None:
    result = CliRunner().invoke(app, ["assets", "fetch", "weights"])
    assert result.exit_code == 2
    assert "landmarks" in result.output
