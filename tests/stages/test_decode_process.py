import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hoiray.config.where import DecodePool
from hoiray.errors import ContractError
from hoiray.stages import decode_process
from hoiray.stages.decode_process import DecodeBudget, DecodeProcess, ProcessDiedError, ProcessSlowError, private_bytes

GIB = 1 << 30


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def wait_until_gone(pid: int) -> bool:
    for _ in range(200):
        if not is_alive(pid):
            return True
        time.sleep(0.05)
    return False


def test_the_budget_is_that_of_the_configuration() -> None:
    budget = DecodeBudget.of(DecodePool(max_video_s=7.0, max_video_gib=0.5))
    assert (budget.max_video_s, budget.max_bytes) == (7.0, GIB // 2)


def test_a_killed_process_is_told_and_leaves_nothing() -> None:
    before = open_files()
    process = DecodeProcess(GIB)
    assert private_bytes(process.pid) > 0
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ProcessDiedError, match="a decoder that ended by SIGKILL") as caught:
        process.receive(10.0)
    assert caught.value.signal_name == "SIGKILL"
    assert not Path(f"/proc/{process.pid}").exists()  # no zombie either
    process.kill()
    assert open_files() == before


def test_a_silent_process_is_killed_when_its_time_is_up() -> None:
    process = DecodeProcess(GIB)
    os.kill(process.pid, signal.SIGSTOP)  # hangs as native code does: it answers to nothing but SIGKILL
    with pytest.raises(ProcessSlowError, match=r"no end after 0\.2 s"):
        process.receive(0.2)
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_process_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_process.sys, "path", [])
    monkeypatch.setattr(decode_process.sys, "executable", "/bin/false")
    with pytest.raises(ContractError, match=r"the decoder's process: expected .*, found a decoder that ended by exit"):
        DecodeProcess(GIB)


@pytest.mark.parametrize("how", ["waits", "is stopped"])
def test_the_process_dies_with_its_parent(how: str) -> None:
    code = (
        "import time\n"
        "from hoiray.stages.decode_process import DecodeProcess\n"
        "process = DecodeProcess(1 << 30)\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        if how == "is stopped":
            os.kill(child, signal.SIGSTOP)
        assert is_alive(child)
        parent.kill()
        parent.wait()
        assert wait_until_gone(child)
    finally:
        parent.stdout.close()
        if is_alive(child):
            os.kill(child, signal.SIGKILL)
