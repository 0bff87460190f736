import atexit
import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from hoiray.config.where import Node
from hoiray.engine import workers
from hoiray.engine.session import EXIT_S, GIB, _node_of, _start, ray_session
from hoiray.engine.tally import Tally
from hoiray.errors import ConfigError


def test_a_node_of_ray_is_a_node_of_a_cluster_file() -> None:
    resources = {"CPU": 8.0, "GPU": 1.0, "memory": 20.0 * GIB, "object_store_memory": 10.0 * GIB}
    assert _node_of(resources) == Node(num_cpus=8, num_gpus=1, memory_gib=30, object_store_gib=10)
    assert _node_of({}).num_cpus == 0


def test_a_cluster_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**_: object) -> None:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(ray, "init", refuse)
    with (
        pytest.raises(ConfigError, match="the Ray cluster at head:6379: expected an answer, found nobody answers"),
        ray_session("head:6379", Node(num_cpus=1, memory_gib=1)),
    ):
        pass


def test_variables_that_a_job_was_given_do_not_contradict_those_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setenv("RAY_OVERRIDE_JOB_RUNTIME_ENV", "")
    monkeypatch.delenv("RAY_OVERRIDE_JOB_RUNTIME_ENV")
    monkeypatch.setenv("AWS_REGION", "here")
    started: dict[str, Any] = {}
    monkeypatch.setattr(ray, "init", lambda **options: started.update(options))
    _start("auto", Node(num_cpus=1, memory_gib=1))
    assert started["runtime_env"]["env_vars"]["AWS_REGION"] == "here"
    # Ray refuses one name in a job's environment and in a driver's, unless told so
    assert os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] == "1"


def test_a_ray_that_did_not_come_up_in_time_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    starts: list[str] = []
    errors = ["The current node timed out during startup.", "The current node timed out during startup.", "no memory"]

    def busy(**options: object) -> None:
        starts.append(str(options["address"]))
        if len(starts) <= num_failures:
            raise Exception(errors[len(starts) - 1])

    monkeypatch.setattr(ray, "init", busy)
    num_failures = 2
    _start(None, Node(num_cpus=1, memory_gib=1))
    assert len(starts) == 3
    starts.clear()
    num_failures = 3
    with pytest.raises(ConfigError, match="found no memory"):
        _start(None, Node(num_cpus=1, memory_gib=1))
    errors, num_failures = ["no memory"], 1
    starts.clear()
    with pytest.raises(ConfigError, match="found no memory"):
        _start(None, Node(num_cpus=1, memory_gib=1))
    assert len(starts) == 1


HANGING_EXIT = """
import ctypes, sys
from hoiray.engine.session import exit_for_sure

libc = ctypes.CDLL(None)
exit_for_sure(int(sys.argv[1]))
if sys.argv[2] == "hangs":
    # runs in the C library's exit, when there is no Python any more
    libc.on_exit(ctypes.cast(libc.pause, ctypes.c_void_p), None)
print("done", flush=True)
"""


@pytest.mark.parametrize(("how", "status"), [("hangs", -signal.SIGALRM), ("ends", 0)])
def test_a_worker_whose_exit_hangs_is_ended_by_the_system(how: str, status: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_EXIT, "1", how], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.stdout.strip(), ended.returncode) == ("done", status)


@pytest.mark.parametrize("actor", [workers.Measure, workers.Judge, workers.Report, lambda _job: Tally()])
def test_an_actor_ends_for_sure_and_another_process_as_it_likes(actor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    registered: list[Any] = []
    monkeypatch.setattr(atexit, "register", lambda *call: registered.append(call))
    actor(None)
    assert not registered
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    for actor_id, wanted in ((None, []), ("a", [(signal.alarm, EXIT_S)])):
        context = SimpleNamespace(get_actor_id=lambda actor_id=actor_id: actor_id)
        monkeypatch.setattr(ray, "get_runtime_context", lambda context=context: context)
        actor(None)
        assert registered == wanted
