import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from s3_server import S3Server
from toy_training import TWO_WORKERS, losses_of, prepare_spoiled, prepare_toy, train_on_two_forks

from hoiray.config.where import TrainWorkers
from hoiray.engine.train import (
    Capacity,
    _explained,
    _start,
    filesystem_of,
    refuse_too_many,
    train_on_ray,
    worker_resources,
)
from hoiray.errors import ConfigError, ContractError, InputError
from hoiray.io.store import Store
from hoiray.training.checkpoints import list_folders
from hoiray.training.job import Ending, TrainJob
from hoiray.training.reports import Event, Note

TESTS = Path(__file__).parents[1]
NO_PROGRESS_S = 400.0
"""A worker group needs ten seconds to start on an idle machine."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The Ray that `train_on_ray` would start, kept for several tests, with the toys on its path."""
    import ray

    assert not ray.is_initialized()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS))
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
        _start(TWO_WORKERS, None)
        yield
        ray.shutdown()


def run(out: str, events: list[Event], *, resume: bool = False) -> Ending:
    job = TrainJob(out, partial(prepare_toy, out=out))
    return train_on_ray(job, TWO_WORKERS, address=None, resume=resume, tell=events.append, no_progress_s=NO_PROGRESS_S)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        if path.exists():
            return
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.1)
    raise AssertionError(f"{path} did not appear")


def kill_with_its_children_gone(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a driver alone, and see that the Ray it had started goes down by itself."""
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    _, alive = psutil.wait_procs(children, timeout=90)
    # two agents of Ray look for their raylet now and then only; nothing that holds the cores or a state may stay
    agents = [child for child in alive if child.name().endswith("Agent")]
    for agent in agents:
        agent.kill()
    assert [child for child in alive if child not in agents] == []


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_and_then_a_killed_driver_change_no_loss(tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    code = (
        "from functools import partial; from toy_training import *; from hoiray.engine.train import *;"
        f"job = TrainJob({str(broken)!r}, partial(prepare_toy, out={str(broken)!r}, die=(1, 2), halt=(2, 3)));"
        "train_on_ray(job, TWO_WORKERS, address=None, resume=True, tell=lambda event: print(event, flush=True))"
    )
    environment = os.environ | {"PYTHONPATH": str(TESTS), "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1"}
    with (tmp_path / "told.txt").open("w") as told:
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=told, stderr=told)
        # worker 1 kills itself in epoch 1; both go on until epoch 2, one step behind a checkpoint, and stand still
        wait_for(tmp_path / "broken.halted", process)
        kill_with_its_children_gone(process)
    assert (tmp_path / "broken.died").exists()
    assert "goes on at epoch 2, step " in (tmp_path / "told.txt").read_text()

    events: list[Event] = []
    ending = run(str(broken), events, resume=True)
    assert (ending.is_complete, ending.num_steps) == (True, 15)
    assert isinstance(events[0], Note)
    assert "goes on at epoch 3, step 2 of " in events[0].text
    train_on_two_forks(TrainJob(str(unbroken), partial(prepare_toy, out=str(unbroken))), tmp_path / "meetings")
    assert losses_of(broken) == losses_of(unbroken)
    assert (broken / "weights.json").read_bytes() == (unbroken / "weights.json").read_bytes()
    assert list_folders(Store.open(broken)) == ["step_00000012", "step_00000015_epoch"]


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cluster")
def test_a_loss_that_is_no_number_ends_the_run_at_once_and_by_itself(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(ContractError, match=r"worker 1: loss joints_3d nan.*batch of worker \d is kept in") as raised:
        train_on_ray(
            TrainJob(out, partial(prepare_spoiled, out=out)), TWO_WORKERS, address=None, resume=False,
            tell=lambda _: None, no_progress_s=NO_PROGRESS_S,
        )  # fmt: skip
    assert "Traceback" not in str(raised.value)
    kept = tmp_path / "out" / "nan_batch_epoch0000_step000001_worker1.pt"
    for _ in range(300):  # the other worker may have been first
        if kept.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{kept} did not appear")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.s3
@pytest.mark.timeout(900)
def test_s3_holds_states_history_and_model(
    s3_environment: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    ray.shutdown()  # workers must be born with the server's address in their environment
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    out = f"{s3_environment.uri}/training"
    events: list[Event] = []
    assert run(out, events).is_complete
    store = Store.open(out)
    assert list_folders(store) == ["step_00000012", "step_00000015_epoch"]
    assert store.exists("history.parquet")
    assert run(out, events, resume=True).is_complete
    assert any(isinstance(event, Note) and "goes on at epoch 4" in event.text for event in events)


def test_workers_that_do_not_fit_are_refused_with_the_arithmetic() -> None:
    capacity = Capacity([{"CPU": 4.0, "memory": 8.0 * (1 << 30)}, {"CPU": 3.0, "GPU": 1.0}], "the cluster")
    refuse_too_many(TrainWorkers(num_workers=3, num_cpus=2.0), capacity)
    with pytest.raises(ConfigError) as raised:
        refuse_too_many(TrainWorkers(num_workers=4, num_cpus=2.0), capacity)
    assert str(raised.value) == (
        "workers of the training: expected room for 4 with 2 CPU each, found room for 3 on the cluster"
        " (nodes: 4 CPU, 3 CPU). Lower --workers, or train.num_cpus, num_gpus, memory_gib in the cluster file, or add"
        " nodes."
    )
    with pytest.raises(ConfigError, match="found room for 1 on the cluster"):
        refuse_too_many(TrainWorkers(num_workers=2, num_gpus=1.0), capacity)
    with pytest.raises(ConfigError, match="found room for 1 on the cluster"):
        refuse_too_many(TrainWorkers(num_workers=2, memory_gib=5.0), capacity)


def test_fractions_of_a_cpu_fill_a_cpu() -> None:
    refuse_too_many(TrainWorkers(num_workers=10, num_cpus=0.1), Capacity([{"CPU": 1.0}], "here"))


def test_more_workers_than_cores_are_refused_before_ray_is_started(tmp_path: Path) -> None:
    job = TrainJob(str(tmp_path), partial(prepare_toy, out=str(tmp_path)))
    code = (
        "import sys; from hoiray.engine.train import *; from hoiray.training.job import TrainJob\n"
        "try:\n"
        "    train_on_ray(TrainJob(sys.argv[1], print), TrainWorkers(num_workers=9999), address=None, resume=False,"
        " tell=print)\n"
        "except ConfigError as error:\n"
        "    import ray; assert not ray.is_initialized(); sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code, job.out], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("workers of the training: expected room for 9999 with 1 CPU each, found room for ")


def test_a_worker_reserves_what_the_cluster_file_says() -> None:
    workers = TrainWorkers(num_cpus=0.5, num_gpus=1.0, memory_gib=2.0)
    assert worker_resources(workers) == {"CPU": 0.5, "GPU": 1.0, "memory": 2.0 * (1 << 30)}
    assert worker_resources(TrainWorkers()) == {"CPU": 1.0}


def test_local_folders_need_no_filesystem(tmp_path: Path) -> None:
    assert filesystem_of(Store.open(tmp_path)) == (None, str(tmp_path))


@pytest.mark.s3
def test_a_bucket_is_a_filesystem_and_a_path(s3_environment: S3Server) -> None:
    filesystem, path = filesystem_of(Store.open(f"{s3_environment.uri}/a/b"))
    assert (filesystem.type_name, path) == ("s3", f"{s3_environment.bucket}/a/b")


def test_what_ended_a_training_is_said_in_one_line() -> None:
    class FailedError(RuntimeError):
        def __init__(self, failures: dict[int, Exception]) -> None:
            super().__init__("Training failed\nTraceback ...")
            self.worker_failures = failures

    died = FailedError({0: RuntimeError("connection closed\nby peer"), 1: RuntimeError("connection closed")})
    plain = _explained(died, TrainWorkers(max_failures=2))
    assert str(plain) == (
        "training on Ray: expected workers that live (of which 2 failures are forgiven), found RuntimeError: connection"
        " closed. Look into Ray's logs; is there enough memory? Then pass --resume."
    )
    mine = InputError("picture 7: damaged")
    wrapped = RuntimeError("worker failed")
    wrapped.__cause__ = mine
    assert _explained(FailedError({0: RuntimeError("x"), 1: wrapped}), TrainWorkers()) is mine
    assert str(_explained(ValueError("odd"), TrainWorkers())).count("ValueError: odd") == 1
