"""Is Ray reachable? Asked in a child process, because a client that cannot reach its cluster may hang or abort."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

LOCAL = "local"
_ADDRESS = re.compile(r"auto|local|(ray://)?(\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+):(?P<port>[0-9]{1,5})")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Timeout|Interrupt)(: |$)")
"""The last line but its notes of a traceback; a message of several lines ends in lines that name no error."""
MAX_DETAIL_CHARS = 200
MAX_TEMP_PATH_LENGTH = 60
"""Ray's socket paths must fit in 107 bytes; Ray itself appends about 47."""


@dataclass(frozen=True)
class RayProbe:
    """What a Ray cluster answered."""

    ok: bool
    detail: str
    num_nodes: int = 0
    num_cpus: float = 0.0
    num_gpus: float = 0.0


def probe_ray(address: str | None, timeout_s: float) -> RayProbe:
    """Run one task on the cluster at `address`, or on a one-CPU cluster started for the purpose.

    Args:
        address: a Ray address (`ray://host:10001`, `host:6379`, `auto` for the cluster of this machine), or None or
            `local` to start a small cluster. One of another form is answered at once.
        timeout_s: wall-clock limit; a cluster that does not answer in time counts as unreachable.
    """
    if address is not None and not _is_address(address):
        detail = f"expected HOST:PORT, ray://HOST:PORT, auto or local, found {address[:MAX_DETAIL_CHARS]!r}"
        return RayProbe(ok=False, detail=detail)
    is_local = address in (None, LOCAL)
    with tempfile.TemporaryDirectory(prefix="hr-", ignore_cleanup_errors=True) as folder:
        environment = dict(os.environ)
        if len(folder) < MAX_TEMP_PATH_LENGTH and is_local:
            environment["RAY_TMPDIR"] = folder
            # a local Ray would otherwise write a token to the home folder and change later `ray start`s
            environment.setdefault("RAY_AUTH_MODE", "disabled")
        environment.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        command = [sys.executable, "-m", "hoiray.engine.probe", address or LOCAL]
        return _ask(command, environment, timeout_s, Path(folder))


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and (match["port"] is None or 0 < int(match["port"]) < 1 << 16)


def _ask(command: list[str], environment: dict[str, str], timeout_s: float, folder: Path) -> RayProbe:
    log = folder / "probe.log"
    with log.open("w") as stream:
        # a session of its own, so that a hanging client goes down together with what it has started
        child = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=stream, text=True, start_new_session=True
        )
        try:
            output, _ = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return RayProbe(ok=False, detail=f"no answer within {timeout_s:.0f} s")
    if child.returncode == 0:
        answers = [line for line in output.splitlines() if line.startswith('{"ok"')]
        if answers:
            return RayProbe(**json.loads(answers[-1]))
    return RayProbe(ok=False, detail=_reason(log.read_text(errors="replace")) or f"exit status {child.returncode}")


def _reason(log: str) -> str:
    """Return the line of a log that says why: that of the last exception, else the last one; empty without any."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if _EXCEPTION.match(line)]
    return (errors or lines or [""])[-1].strip()[:MAX_DETAIL_CHARS]


def _answer(address: str) -> RayProbe:
    import ray  # the parent never pays for it

    start = time.perf_counter()
    if address == LOCAL:
        ray.init(address=LOCAL, num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    else:
        ray.init(address=address, log_to_driver=False)
    try:
        if ray.get(ray.remote(_double).remote(21)) != _double(21):
            return RayProbe(ok=False, detail="a task returned a wrong result")
        resources = ray.cluster_resources()
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())
        detail = f"a task ran after {time.perf_counter() - start:.1f} s"
        return RayProbe(True, detail, nodes, float(resources.get("CPU", 0.0)), float(resources.get("GPU", 0.0)))
    finally:
        ray.shutdown()


def _double(value: int) -> int:
    return 2 * value


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_answer(sys.argv[1]).__dict__) + "\n")
