"""A labelling on S3 whose requests are spoilt: videos, boxes, plan and output behind a proxy that plants faults."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from fault_proxy import FAULTS, running_fault_proxy
from s3_server import S3Server, running_s3_server

from .rounds import CLUSTER
from .world import World, make_world, problems_of

TESTS = Path(__file__).parents[1]
RATE_EACH, RUN_S = 0.05, 600.0


def label_through_faults(seed: int = 0, server: S3Server | None = None) -> dict[str, Any]:
    """Label with spoilt requests, look at the result without them; return figures and what is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="cf"))
    try:
        if server is not None:
            return _label(folder, server, seed)
        (folder / "weed").mkdir()
        with running_s3_server(folder / "weed") as started:
            return _label(folder, started, seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _label(folder: Path, server: S3Server, seed: int) -> dict[str, Any]:
    rate = RATE_EACH * len(FAULTS)
    with (
        mock.patch.dict(os.environ, server.environment()),
        running_fault_proxy(server.endpoint, rate=rate, seed=seed) as proxy,
    ):
        world = make_world(folder, f"{server.uri}/{folder.name}")
        status = _run(folder, world, f"{server.uri}/{folder.name}/out", {"AWS_ENDPOINT_URL": proxy.endpoint})
        said = (folder / "said.txt").read_text()
        problems = [] if status == 0 else [f"exit status {status}: {said[-1500:]}"]
        problems += problems_of(world, f"{server.uri}/{folder.name}/out")
        problems += [f"never planted: {name}" for name in FAULTS if not proxy.planted[name]]
        return {
            "rate": RATE_EACH, "num_requests": proxy.num_requests, "planted": dict(proxy.planted), "exit": status,
            "problems": problems,
        }  # fmt: skip


def _run(folder: Path, world: World, out: str, more: dict[str, str]) -> int:
    (folder / "label.yaml").write_text(world.run_text(out))
    (folder / "cluster.yaml").write_text(CLUSTER.format(min=2, max=2, cpus=0.4, batch=4))
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | more
    environment |= {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), "RAY_worker_niceness": "0"}
    command = [sys.executable, "-m", "hoiray", "label", str(folder / "label.yaml")]
    with (folder / "said.txt").open("wb") as said:
        return subprocess.run(
            [*command, "--cluster", str(folder / "cluster.yaml"), "--ray-address", "local"],
            env=environment, stdout=said, stderr=said, timeout=RUN_S, check=False,
        ).returncode  # fmt: skip
