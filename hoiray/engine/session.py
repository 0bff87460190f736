"""A Ray to work on: the one of this job, one at an address, or one started here; and what it consists of."""

import atexit
import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from hoiray.config.where import Node
from hoiray.engine.driver_memory import allocate_in_one_place
from hoiray.errors import ConfigError, describe

GIB: Final = 1 << 30
DEFAULT_OBJECT_STORE_GIB: Final = 0.5
"""Of a Ray started here where the cluster file says nothing: tables of a few shards pass through it, no pixels."""

MAX_STARTS: Final = 3

EXIT_S: Final = 10
"""That an actor's exit may take, once Python ends: by then all it did has been handed over."""

QUIET: Final[Mapping[str, str]] = {
    # a local Ray would otherwise write a token to the home folder, and later `ray start`s would want it
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # keeps Ray from warning about a default that is to change
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray would kill workers that idle for a second, and start them again at the cost of their imports
    "RAY_idle_worker_killing_time_threshold_ms": "600000",
}
"""Environment of a Ray started here, unless set already."""

WORKER_ENVIRONMENT: Final[Mapping[str, str]] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""One thread an actor: several actors share a machine, and threads that wait for each other cost four times."""

_PASSED_ON: Final = (
    "PYTHONPATH", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED", "THP_MEM_ALLOC_ENABLE",
)  # fmt: skip


@contextmanager
def ray_session(address: str | None, head: Node) -> Iterator[list[Node]]:
    """Connect to a Ray, or start one of the size of `head` and take it down at the end.

    A Ray that this process is connected to already is used, and left as it is.

    Args:
        address: of a cluster; `auto` is that of this job or machine; None starts one.
        head: the size of one that is started: CPUs are logical, GPUs those that are found.

    Yields:
        The nodes, head first.

    Raises:
        ConfigError: it cannot be reached or started.
    """
    import ray

    owns = not ray.is_initialized()
    if owns:
        _start(address, head)
    try:
        yield nodes_here()
    finally:
        if owns:
            ray.shutdown()


def nodes_here() -> list[Node]:
    """List the nodes of the connected Ray, head first, as a cluster file would."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    ordered = sorted(alive, key=lambda resources: "node:__internal_head__" not in resources)
    return [_node_of(resources) for resources in ordered]


def _node_of(resources: Mapping[str, float]) -> Node:
    store = resources.get("object_store_memory", 0.0)
    return Node(
        num_cpus=resources.get("CPU", 0.0),
        num_gpus=resources.get("GPU", 0.0),
        memory_gib=max(resources.get("memory", 0.0) + store, 1.0) / GIB,
        object_store_gib=max(store, 1.0) / GIB,
    )


def _start(address: str | None, head: Node) -> None:
    import ray

    allocate_in_one_place()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    environment = dict(WORKER_ENVIRONMENT) | {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    quiet["runtime_env"] = {"env_vars": environment}
    try:
        if address is None:
            _start_here(head, quiet)
        else:
            # a job may have been given the same variables; its process has them already, so they agree
            os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
            ray.init(address=address, **quiet)
    except Exception as error:  # a node that does not come up in time is a bare Exception of Ray's
        where = "a Ray on this machine" if address is None else f"the Ray cluster at {address}"
        fix = "Is this machine overloaded? Try again" if address is None else "Check the address"
        raise ConfigError(
            describe(what=where, expected="an answer", found=str(error), fix=f"{fix}, or pass --no-ray.")
        ) from error


def _start_here(head: Node, quiet: dict[str, Any]) -> None:
    """Start a Ray of its own; again where the machine was too busy for Ray's patience of 30 s."""
    import ray

    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    store_gib = head.object_store_gib or DEFAULT_OBJECT_STORE_GIB
    for attempt in range(1, MAX_STARTS + 1):
        try:
            ray.init(
                address="local",
                num_cpus=max(1, int(head.num_cpus)),
                include_dashboard=False,
                object_store_memory=int(store_gib * GIB),
                **quiet,
            )
        except Exception as error:
            ray.shutdown()
            if attempt == MAX_STARTS or "timed out during startup" not in str(error):
                raise
        else:
            return


def settle_threads() -> None:
    """Give a worker's libraries one thread each; OpenCV's own pool costs four times in a process that shares cores."""
    import sys

    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(0)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def settle_worker() -> None:
    """Settle an actor of Ray: its libraries' threads, and its end."""
    settle_threads()
    exit_for_sure_in_actors()


def exit_for_sure_in_actors() -> None:
    """Have the system end this process, should its exit hang, if it is an actor of Ray."""
    import sys

    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None:
        exit_for_sure()


def exit_for_sure(seconds: int = EXIT_S) -> None:
    """Have the system end this process, should its exit hang.

    An actor of Ray was seen to hang for good in the C++ part of its exit, after the end of Python, its raylet gone: a
    process that nobody ends and that would hold a GPU's memory. The alarm is set when Python ends; its default action
    kills, and needs no interpreter.

    Args:
        seconds: that an exit may take; whole ones, 1 or more.
    """
    atexit.register(signal.alarm, seconds)


def quiet_ray_data() -> None:
    """Keep Ray Data's bars and plans out of the driver's output; its log files have them."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # the driver watches over progress itself, frame by frame: one shard may take longer than Ray's limit
    context.execution_no_progress_timeout_s = -1
    for name in ("ray.data", "ray.serve", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
