"""The documented example, installed as a package, and what `hoiray plugin check` says of it and of worse ones."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hoiray.cli.main import app
from hoiray.cli.plugin import check_plugin
from hoiray.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "examples" / "wrapped_network"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder the example is installed into, by pip, without fetching anything."""
    folder = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source")  # building writes beside the source
    for path in EXAMPLE.iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(folder), str(source)],
        capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_the_example_is_found_by_its_entry_point_and_keeps_its_contract(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    assert check_plugin("wrapped", checkpoint=None, options=(), tip_set="ho3d", device="cpu") == 0
    said = capsys.readouterr().out
    assert "wrapped: 13 checks, 0 failed, 1 skipped" in said
    assert "ok      joint_order" in said


def test_the_example_is_as_short_as_it_is_said_to_be() -> None:
    code = [line for line in (EXAMPLE / "wrapped_network.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 55


BROKEN = """
from dataclasses import replace

import wrapped_network


class Millimetres(wrapped_network.WrappedNetwork):
    def predict(self, request):
        answer = super().predict(request)
        return replace(answer, joints_3d_m=1000.0 * answer.joints_3d_m)


def make(**given):
    return Millimetres(wrapped_network.make(**given).rest_m)
"""


def test_a_broken_predictor_ends_with_a_failure_by_name(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken_plugin.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert check_plugin("broken_plugin.make", checkpoint=None, options=(), tip_set="ho3d", device="cpu") == 1
    said = capsys.readouterr().out
    assert "FAILED  wrist_and_metres: joints_3d_m: expected metres" in said
    assert "wrapped: 13 checks, 1 failed, 1 skipped" in said


def test_an_unknown_predictor_and_an_option_without_value_are_refused() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        check_plugin("nowhere.make", checkpoint=None, options=(), tip_set="ho3d", device="cpu")
    with pytest.raises(ConfigError, match="expected key=value, found 'depth'"):
        check_plugin("landmarks", checkpoint=None, options=("depth",), tip_set="ho3d", device="cpu")


def test_check_is_a_command_of_its_own() -> None:
    result = CliRunner().invoke(app, ["plugin", "check", "--help"])
    assert result.exit_code == 0
    assert "rendered hands" in result.output
