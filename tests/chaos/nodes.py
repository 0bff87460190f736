"""A Ray cluster of several nodes on this machine: each a `ray start` of its own, so that each can die alone."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from s3_server import free_ports

TESTS = Path(__file__).parents[1]
START_S, STOP_S = 120.0, 20.0
MAX_STARTS = 4
MARK = "HOIRAY_CHAOS"
"""A variable that every process of a chaos run inherits: by it they are found, whatever became of their parents."""

SETTINGS: Mapping[str, str] = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "600000",
    "RAY_prestart_worker_first_driver": "0",
    # a dead node is noticed within seconds instead of half a minute
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "8000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
    # Ray would let its workers stand back behind everything else on the machine
    "RAY_worker_niceness": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NO_COLOR": "1",
}


HEAD_CPUS, WORKER_CPUS = 0, 2
LAYOUT = (
    f"a head of {HEAD_CPUS} CPUs, where no actor can be, and two or three worker nodes of {WORKER_CPUS} CPUs each, so"
    " that predictors, decoders and committers are all on nodes that can be killed"
)
"""A head without CPUs, as clusters have it: Ray would put every actor there."""


@dataclass(frozen=True)
class Node:
    """A node that was started."""

    process: "subprocess.Popen[bytes]"
    is_head: bool
    log: Path

    def processes(self) -> list[psutil.Process]:
        """All of its processes."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    @property
    def raylet(self) -> psutil.Process | None:
        """The process that makes it a node; None where it is dead."""
        return next((it for it in self.processes() if _name(it) == "raylet"), None)


class Nodes:
    """A head and some workers."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, dict(environment)
        self.nodes: list[Node] = []
        self.address = ""
        self._num_started = 0

    @property
    def workers(self) -> list[Node]:
        """The nodes beside the head that are alive."""
        return [node for node in self.nodes if not node.is_head and node.raylet is not None]

    def ensure(self, num_workers: int) -> None:
        """Start what is missing, end what is too much."""
        for node in [it for it in self.nodes if it.raylet is None]:
            self._end(node)
        if not any(node.is_head for node in self.nodes):
            self.stop()
            self._start_all(self._head_arguments(), 1)
        for node in self.workers[num_workers:]:
            self._end(node)
        self._start_all([f"--address={self.address}"], num_workers - len(self.workers))

    def _head_arguments(self) -> list[str]:
        port, client_port = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        return ["--head", f"--port={port}", f"--ray-client-server-port={client_port}"]

    def _start_all(self, arguments: list[str], count: int) -> None:
        """Start nodes; one that Ray gives up because the machine is busy is started again."""
        for attempt in range(1, MAX_STARTS + 1):
            started = [self._start(*arguments) for _ in range(count)]
            failed = [node for node in started if not self._is_up(node)]
            for node in failed:
                self._end(node)
            count = len(failed)
            if not failed:
                return
            said = failed[0].log.read_text()[-3000:]
            if attempt == MAX_STARTS:
                raise RuntimeError(f"a node did not start, {MAX_STARTS} times:\n{said}")

    def processes(self) -> list[psutil.Process]:
        """All processes of all nodes."""
        return [process for node in self.nodes for process in node.processes()]

    def kill(self) -> None:
        """Cut the power."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for node in self.nodes:
            node.process.wait()
        self.nodes = []

    def stop(self) -> None:
        """End every node."""
        for node in sorted(self.nodes, key=lambda it: it.is_head):
            self._end(node)

    def _start(self, *arguments: str) -> Node:
        is_head = "--head" in arguments
        command = [
            str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats", *arguments,
            f"--num-cpus={HEAD_CPUS if is_head else WORKER_CPUS}", "--num-gpus=0",
            "--object-store-memory=80000000", "--min-worker-port=0",
            "--max-worker-port=0", "--dashboard-agent-listen-port=0",
            *([f"--temp-dir={self.folder}", "--include-dashboard=false"] if is_head else []),
        ]  # fmt: skip
        self._num_started += 1
        path = self.folder / f"node-{self._num_started}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        self.nodes.append(Node(process, is_head, path))
        return self.nodes[-1]

    def _is_up(self, node: Node) -> bool:
        """Wait until a node is part of the cluster; False where it will never be."""
        deadline_s = time.monotonic() + START_S
        while "Ray runtime started" not in node.log.read_text():
            if node.process.poll() is not None or time.monotonic() > deadline_s:
                return False
            time.sleep(0.1)
        return True

    def _end(self, node: Node) -> None:
        """End a node: first by asking, then by force."""
        mine = node.processes()
        node.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            node.process.wait(STOP_S)
        for process in mine:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.process.wait()
        self.nodes.remove(node)


@contextmanager
def running_nodes(**more: str) -> Iterator[Nodes]:
    """A cluster without nodes yet; ended at the end with all that belongs to it."""
    # sockets in it must have short names
    folder = Path(tempfile.mkdtemp(prefix="hc"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))}
    mark = {MARK: folder.name, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    nodes = Nodes(folder, inherited | SETTINGS | mark | {"RAY_TMPDIR": str(folder)} | more)
    try:
        yield nodes
    finally:
        nodes.stop()
        for process in marked(nodes):
            process.send_signal(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def marked(nodes: Nodes) -> list[psutil.Process]:
    """Every living process that inherited the mark of these nodes, adopted ones too."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_dead = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            if not is_dead and process.environ().get(MARK) == nodes.environment[MARK]:
                found.append(process)
    return found


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.name()) if process.status() != psutil.STATUS_ZOMBIE else ""
    return ""


def title(process: psutil.Process) -> str:
    """The command line; Ray's workers say there what they are."""
    return " ".join(_words(process))
