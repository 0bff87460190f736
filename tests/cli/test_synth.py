import os
import subprocess
import sys
from pathlib import Path

import pytest

from hoiray.cli.synth import run_synth
from hoiray.datasets.freihand import FreiHandDataset
from hoiray.errors import ConfigError
from hoiray.synthetic import generate as generating
from hoiray.synthetic.world import plan


def call(out: str, **changes: object) -> None:
    arguments = {
        "domain": "studio", "size": "tiny", "seed": 1, "formats": (), "workers": 1, "resume": False,
        "ray_address": None,
    }  # fmt: skip
    run_synth(out=out, **(arguments | changes))  # type: ignore[arg-type]  # mixed values of a test's table


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generating, "plan", lambda *arguments: plan(*arguments)[:3])


@pytest.mark.usefixtures("short")
def test_it_says_what_was_made_where_and_what_is_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(str(tmp_path))
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert "studio: 3 recordings, 3 frames in" in out
    assert f"freihand in {tmp_path}" in out
    assert f"hoiray inspect {tmp_path}" in out
    assert "3 of 3 recordings (studio-1-00002)" in err
    assert len(FreiHandDataset.open(str(tmp_path), "training")) == 4
    call(str(tmp_path), resume=True)
    assert "(0 of them now, the others before)" in capsys.readouterr().out


def test_a_second_run_into_the_same_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="other files"):
        call(str(tmp_path))


def test_a_typo_is_answered_before_anything_is_written(tmp_path: Path) -> None:
    for changes in ({"domain": "stduio"}, {"formats": ("freihnad",)}, {"size": "huge"}):
        with pytest.raises(ConfigError):
            call(str(tmp_path / "out"), **changes)
    assert not (tmp_path / "out").exists()


def test_the_command_line_loads_nothing_heavy() -> None:
    code = "import sys, hoiray.cli.synth; assert not {'torch', 'ray', 'numpy', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
