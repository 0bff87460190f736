"""Is Ray reachable? Asked in a child process, because a client that cannot reach its cluster may hang or abort."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

LOCAL = "local"
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
        address: a Ray address (`ray://host:10001`, `host:6379`), or None to start a small local cluster.
        timeout_s: wall-clock limit; a cluster that does not answer in time counts as unreachable.
    """
    with tempfile.TemporaryDirectory(prefix="hr-", ignore_cleanup_errors=True) as folder:
        environment = dict(os.environ)
        if len(folder) < MAX_TEMP_PATH_LENGTH and address is None:
            environment["RAY_TMPDIR"] = folder
            # a local Ray would otherwise write a token to the home folder and change later `ray start`s
            environment.setdefault("RAY_AUTH_MODE", "disabled")
        environment.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        command = [sys.executable, "-m", "hoiray.engine.probe", address or LOCAL]
        return _ask(command, environment, timeout_s, Path(folder))


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
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return RayProbe(ok=False, detail=lines[-1][:200] if lines else f"exit status {child.returncode}")


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
