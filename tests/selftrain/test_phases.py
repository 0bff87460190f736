"""Commands that are done once: real ones, failing ones, killed ones."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hoiray import __version__
from hoiray.errors import ConfigError, ContractError
from hoiray.io.store import Store
from hoiray.selftrain.phases import Phase, PhaseFailedError, done_before, run_phase

VERSION = Phase("round-1/version", "say the version", ("--version",))


def run(store: Store, phase: Phase) -> tuple[bool, list[str]]:
    lines: list[str] = []
    done = run_phase(store, phase, lambda _, line: lines.append(line))
    return done.was_done, lines


def test_a_phase_is_done_once_and_its_output_is_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    assert run(store, VERSION) == (False, [f"hoiray {__version__}"])
    assert run(store, VERSION) == (True, [])
    assert store.read(VERSION.log_key).decode().splitlines() == ["$ hoiray --version", f"hoiray {__version__}"]
    assert json.loads(store.read(VERSION.record_key))["command"] == "hoiray --version"


def test_a_phase_that_was_done_with_other_settings_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    run(store, Phase("a", "", ("--version",), {"seed": 0, "size": 3}))
    assert done_before(store, Phase("a", "", ("somewhere", "else"), {"seed": 0, "size": 3})) is not None
    with pytest.raises(ConfigError, match=r'a in .*: expected \{"seed": 1\}, found one done with \{"seed": 0\}'):
        run(store, Phase("a", "", ("--version",), {"seed": 1, "size": 3}))


def test_a_command_that_fails_is_told_with_its_last_words_and_may_be_done_again(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    wrong = Phase("check", "check a file", ("config", "check", str(tmp_path / "run.yaml")))
    for _ in range(2):
        with pytest.raises(PhaseFailedError) as failed:
            run(store, wrong)
        assert "check: expected success, found status 2 after" in str(failed.value)
        assert "run.yaml: expected a readable configuration file" in str(failed.value)
        assert store.url(wrong.log_key) in str(failed.value)
    assert done_before(store, wrong) is None


@pytest.mark.parametrize("record", [b"", b"{}", b"[1]", b'{"identity": 3, "seconds": 1}'])
def test_a_damaged_record_is_named(tmp_path: Path, record: bytes) -> None:
    store = Store.open(tmp_path)
    store.write(VERSION.record_key, record)
    with pytest.raises(ContractError, match=r"round-1/version\.json: expected a phase's record"):
        run(store, VERSION)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_driver_that_is_stopped_takes_its_command_with_it(tmp_path: Path, number: signal.Signals) -> None:
    """The command is a long rendering: it is running when the driver is stopped, and is gone soon after."""
    script = textwrap.dedent(
        f"""
        import signal
        from hoiray.io.store import Store
        from hoiray.selftrain.phases import Phase, run_phase
        signal.signal(signal.SIGINT, signal.default_int_handler)
        phase = Phase("long", "", ("synth", "studio", "--size", "medium", "--out", {str(tmp_path / "data")!r}))
        run_phase(Store.open({str(tmp_path)!r}), phase, lambda *_: None)
        """
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        command = _wait_for(lambda: _children(driver.pid))[0]
        _wait_for(lambda: any((tmp_path / "data").rglob("*.parquet")))
        driver.send_signal(number)
        driver.wait(150)
        _wait_for(lambda: not _is_alive(command))
    finally:
        driver.kill()
        driver.wait()
    assert done_before(Store.open(tmp_path), Phase("long", "", ())) is None


def _wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 150.0
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
