"""A Ray head with a dashboard and a job server, in a process of its own, as an operator starts one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from s3_server import free_ports

START_TIMEOUT_S = 120
TESTS = Path(__file__).parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class RayHead:
    address: str
    environment: Mapping[str, str]

    def run(self, *command: object, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in the repository's root, as a user of this cluster would."""
        program, *arguments = map(str, command)
        return subprocess.run(
            [str(BIN / program), *arguments],
            cwd=TESTS.parent, env=dict(self.environment), capture_output=True, text=True, timeout=timeout_s,
            check=False,
        )  # fmt: skip


def _environment(token: str | None) -> dict[str, str]:
    ours = {
        # a job's `python` is that of the head's PATH; what lies in tests/ is to be found by the workers
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        "PYTHONPATH": str(TESTS),
        "RAY_AUTH_MODE": "disabled" if token is None else "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_idle_worker_killing_time_threshold_ms": "600000",
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
    }
    if token is not None:
        ours["RAY_AUTH_TOKEN"] = token
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))}
    return inherited | ours


@contextmanager
def running_ray_head(num_cpus: int = 4, token: str | None = None) -> Iterator[RayHead]:
    """Start a head, and end it with all its processes, and no others."""
    port, dashboard, agent = free_ports(3)
    # sockets in it must have short names
    folder = Path(tempfile.mkdtemp(prefix="rh"))
    head = RayHead(f"http://127.0.0.1:{dashboard}", _environment(token))
    arguments = [
        "--head", "--block", f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={agent}", f"--num-cpus={num_cpus}", "--object-store-memory=150000000",
        f"--temp-dir={folder}", "--disable-usage-stats", "--include-dashboard=true",
    ]  # fmt: skip
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(
            [str(BIN / "ray"), "start", *arguments],
            env=head.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for_job_server(head, process, folder / "head.log")
        yield head
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_job_server(head: RayHead, process: subprocess.Popen[bytes], log: Path) -> None:
    token = head.environment.get("RAY_AUTH_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{head.address}/api/jobs/", headers=headers)
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, log.read_text()
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(request, timeout=5) as answer:
            json.load(answer)
            return
        time.sleep(0.3)
    raise AssertionError(f"no job server at {head.address}:\n{log.read_text()}")
