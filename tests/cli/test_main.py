import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hoiray import __version__
from hoiray.cli import main as cli
from hoiray.errors import ConfigError, ContractError

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

TENSOR = """
from hoiray.cli import main as cli

def show():
    import torch
    tensor = torch.ones(64 << 20, dtype=torch.uint8)
    with open("/proc/self/smaps_rollup") as lines:
        print(sum(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages")))

cli.app = show
cli.main()
"""
"""What of a command's tensor of 64 MiB is on huge pages, in kB."""

HEAVY = ("torch", "ray", "cv2", "numba", "smplx", "pyarrow", "scipy", "boto3", "pydantic", "numpy")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hoiray", *arguments], capture_output=True, text=True, check=False)


def test_help_names_every_command() -> None:
    done = _run("--help")
    assert done.returncode == 0
    for command in ("doctor", "hand", "config"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, hoiray.cli.main; print(sorted(m for m in sys.argv[1:] if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["hoiray", "--version"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert capsys.readouterr().out.strip() == f"hoiray {__version__}"


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text(), reason="no huge pages for who asks"
)
@pytest.mark.parametrize(("chosen", "are_huge"), [({}, True), ({"THP_MEM_ALLOC_ENABLE": "0"}, False)])
def test_tensors_of_a_command_lie_on_huge_pages_unless_told_otherwise(chosen: dict[str, str], are_huge: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"} | chosen
    done = subprocess.run([sys.executable, "-c", TENSOR], env=environment, capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 16 << 10) == are_huge


@pytest.mark.parametrize(("error", "status"), [(ConfigError("no such key"), 2), (ContractError("bad file"), 1)])
def test_an_expected_error_is_one_message_and_a_status(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == status
    assert capsys.readouterr().err == f"error: {error}\n"


def test_an_unknown_command_is_refused() -> None:
    start = time.perf_counter()
    done = _run("labell")
    assert done.returncode == 2
    assert "labell" in done.stderr
    assert time.perf_counter() - start < 30  # a bound against hanging, not a benchmark
