import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hoiray.cli.runnable import installed_script, runnable


def test_a_command_on_the_path_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert runnable("config", "check", "a.yaml") == "hoiray config check a.yaml"


def test_without_it_the_script_beside_python_is_named_and_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    script = folder / "hoiray"
    script.write_text("#!/bin/sh\necho ran $1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert runnable("inspect", "out/lab") == ".venv/bin/hoiray inspect out/lab"
    done = subprocess.run(runnable("inspect"), shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "ran inspect\n"
    monkeypatch.chdir(folder.parent / "bin")
    assert runnable("inspect") == "./hoiray inspect"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert runnable("inspect") == f"{script} inspect"


def test_without_a_script_python_runs_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert runnable("doctor") == f"{tmp_path / 'python'} -m hoiray doctor"


def test_arguments_are_quoted_where_the_shell_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert runnable("inspect", "a b") == "hoiray inspect 'a b'"


def test_a_script_beside_hoiray_is_named_by_its_path_where_its_name_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert installed_script("rerun", "a b.rrd") == "rerun 'a b.rrd'"
    (tmp_path / "rerun").touch()
    assert installed_script("rerun", "a.rrd") == f"{tmp_path / 'rerun'} a.rrd"
