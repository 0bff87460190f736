"""Train on Ray: Ray Train (V2) starts the workers, restarts them when one dies, and carries their states to storage.

What a worker does is :mod:`hoiray.training.work`, which knows no Ray. Three things are settled here:

* Where to go on is read off the states that lie in the output, each checked against its digest, and not off Ray's own
  snapshot file, which a killed driver may leave half written, or without the last state.
* Folders of states are named by their step: one that a killed worker left half uploaded is overwritten when the step
  is reached again, instead of staying behind as an orphan that nothing deletes.
* An error that would come again (a loss that is no number, wrong settings) ends the run at once; Ray would try again
  as often as it does when a machine is lost.
"""

import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hoiray.config.where import TrainWorkers
from hoiray.engine.inbox import open_inbox
from hoiray.errors import ConfigError, ContractError, HoirayError, InputError, describe
from hoiray.io.store import Store
from hoiray.training.checkpoints import CHECKPOINTS, SavedState, StateFiles, list_folders, newest_state, read_state
from hoiray.training.here import forget_old
from hoiray.training.job import Ending, Tell, TrainJob
from hoiray.training.reports import Event, Note
from hoiray.training.work import work
from hoiray.training.world import World

if TYPE_CHECKING:
    from ray.train import Result

OBJECT_STORE_BYTES: Final = 100 << 20
"""Of a Ray started for the purpose: only reports of a few hundred bytes pass through it."""

POLL_S: Final = 0.3
"""Between two looks at what the workers told."""

NO_PROGRESS_S: Final = 1800.0
"""Without a word from the workers for so long, the run ends: Ray itself would wait for ever and say nothing."""

_SNAPSHOT: Final = f"{CHECKPOINTS}/checkpoint_manager_snapshot.json"

_SETTINGS: Final = {
    # Ray's local mode would otherwise write a token to the home folder, and later `ray start`s would want it
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # keeps Ray from warning about a default that is to change
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # how soon a dead worker is noticed and a report is fetched; 2 s would hold up a checkpoint every few steps
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
}
"""Environment of a Ray started for the purpose, unless set already."""


def train_on_ray(
    job: TrainJob,
    workers: TrainWorkers,
    *,
    address: str | None,
    resume: bool,
    tell: Tell,
    no_progress_s: float = NO_PROGRESS_S,
) -> Ending:
    """Train with one or several workers.

    Args:
        job: what to train; its output must be reached by every node (S3, or a shared folder).
        workers: how many, and what each reserves.
        address: a Ray cluster to use (`auto`: the one of this job or machine); None starts one on this machine, and
            takes it down at the end.
        resume: go on from the newest whole state in the output, from the beginning where there is none.
        tell: receives reports.
        no_progress_s: the run ends when the workers have told nothing for so long.

    Raises:
        ConfigError: the workers do not fit, the cluster cannot be reached, or the states belong to other settings.
        InputError: workers died more often than allowed, or nothing came any more.
        ContractError: a loss or gradient is no number.
    """
    deadline_s = None if job.max_minutes is None else time.time() + 60.0 * job.max_minutes
    store = Store.open(job.out)
    start = _where_to_go_on(store, tell) if resume else None
    with _cluster(workers, address) as capacity:
        refuse_too_many(workers, capacity)
        inbox = open_inbox()
        config = _Config(job, start, workers, inbox, deadline_s)
        fit = _Fit(store, config)
        ending = fit.run(tell, no_progress_s)
    forget_old(store, job.keep)
    return ending


def _where_to_go_on(store: Store, tell: Tell) -> str | None:
    """Find the newest state, and put Ray's own note about states away, so that it cannot contradict."""
    store.delete(_SNAPSHOT)
    newest = newest_state(store)
    if newest is None and list_folders(store):
        tell(Note(f"found no whole state in {store.url(CHECKPOINTS)}: begins anew"))
    return None if newest is None else newest.source


@dataclass(frozen=True)
class Capacity:
    """Machines that workers can be placed on: CPUs, GPUs and bytes of memory of each.

    Attributes:
        nodes: resources by Ray's names.
        where: for messages.
    """

    nodes: Sequence[dict[str, float]]
    where: str


def refuse_too_many(workers: TrainWorkers, capacity: Capacity) -> None:
    """Refuse workers that do not fit, since Ray would wait for room without a word.

    Raises:
        ConfigError: with the arithmetic.
    """
    wanted = worker_resources(workers)
    places = sum(_places(node, wanted) for node in capacity.nodes)
    if places >= workers.num_workers:
        return
    each = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
    nodes = ", ".join(" and ".join(f"{node.get(name, 0.0):g} {name}" for name in wanted) for node in capacity.nodes)
    found = f"room for {places} on {capacity.where} (nodes: {nodes or 'none'})"
    fix = "Lower --workers, or train.num_cpus, num_gpus, memory_gib in the cluster file, or add nodes."
    expected = f"room for {workers.num_workers} with {each} each"
    raise ConfigError(describe(what="workers of the training", expected=expected, found=found, fix=fix))


def worker_resources(workers: TrainWorkers) -> dict[str, float]:
    """What one worker reserves, by Ray's names; memory in bytes."""
    memory = workers.memory_gib
    amounts = {"CPU": workers.num_cpus, "GPU": workers.num_gpus, "memory": memory * (1 << 30) if memory else 0.0}
    return {name: amount for name, amount in amounts.items() if amount}


def _places(node: dict[str, float], wanted: dict[str, float]) -> int:
    """Count the workers that fit one node; Ray counts in steps of 1e-4."""
    fits = [int(node.get(name, 0.0) / amount + 1e-6) for name, amount in wanted.items()]
    return min(fits, default=1 << 31)


@contextmanager
def _cluster(workers: TrainWorkers, address: str | None) -> Iterator[Capacity]:
    """Reach or start Ray; take down what was started."""
    if address is None and "ray" not in sys.modules:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield _capacity_of_cluster()
        return
    if address is None:
        # before the start of seconds; the cores of this machine are known without Ray
        here = Capacity([_this_machine()], "this machine")
        refuse_too_many(workers, here)
    _start(workers, address)
    try:
        yield _capacity_of_cluster()
    finally:
        ray.shutdown()


def _this_machine() -> dict[str, float]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"CPU": cores, "GPU": torch.cuda.device_count(), "memory": memory}


def _capacity_of_cluster() -> Capacity:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Capacity(nodes, f"the Ray cluster of {len(nodes)} node(s)")


def _start(workers: TrainWorkers, address: str | None) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            num_cpus = math.ceil(workers.num_workers * workers.num_cpus)
            ray.init(
                address="local",
                num_cpus=max(num_cpus, 1),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
        else:
            ray.init(address=address, **quiet)
    except Exception as error:
        where = "a Ray on this machine" if address is None else f"the Ray cluster at {address}"
        fix = "Check the address, or pass --no-ray."
        raise ConfigError(describe(what=where, expected="an answer", found=str(error), fix=fix)) from error


@dataclass(frozen=True)
class _Config:
    """What travels to every worker.

    Attributes:
        job: what to train.
        start: URI of the folder of the state to go on from.
        workers: what each reserves.
        inbox: handle of the actor.
        deadline_s: wall-clock time at which to stop.
    """

    job: TrainJob
    start: str | None
    workers: TrainWorkers
    inbox: Any
    deadline_s: float | None


def _worker(config: _Config) -> Ending | None:
    """Run on every worker, again after a restart; None where an error has made going on pointless."""
    import ray

    if ray.get(config.inbox.fatal.remote()) is not None:
        return None
    try:
        return _work(config)
    except (ConfigError, ContractError) as error:
        ray.get(config.inbox.put_fatal.remote(error))
        raise


def _work(config: _Config) -> Ending:
    import cv2
    import ray.train
    import torch
    from ray.train.torch import get_device

    cv2.setNumThreads(0)
    torch.set_num_threads(max(1, int(config.workers.num_cpus)))
    context = ray.train.get_context()
    world = World(context.get_world_rank(), context.get_world_size(), get_device())

    def tell(event: Event) -> None:
        config.inbox.put.remote(event)

    def is_time_up() -> bool:
        return config.deadline_s is not None and time.time() >= config.deadline_s

    return work(config.job, world, start=_start_of(config), keep=_report, tell=tell, is_time_up=is_time_up)


def _start_of(config: _Config) -> SavedState | None:
    """Choose between the state the run began with and the newest that all workers have reported since."""
    import ray.train

    reported = ray.train.get_checkpoint()
    if reported is not None:
        with reported.as_directory() as folder:
            return read_state(Store.open(folder))
    return None if config.start is None else read_state(Store.open(config.start))


def _report(folder: str, files: StateFiles | None) -> None:
    """Hand a state to Ray Train; all workers meet here."""
    import ray.train

    if files is None:
        ray.train.report({}, checkpoint_dir_name=folder)
        return
    with tempfile.TemporaryDirectory(prefix="hoiray-state-") as scratch:
        for name, data in files.items():
            (Path(scratch) / name).write_bytes(data)
        ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(scratch), checkpoint_dir_name=folder)


class _Fit:
    """Ray Train's `fit`, which blocks, in a thread; meanwhile the driver reads the inbox and watches the clock."""

    def __init__(self, store: Store, config: _Config) -> None:
        self._store, self._config = store, config
        self._result: Result | None = None
        self._error: BaseException | None = None

    def run(self, tell: Tell, no_progress_s: float) -> Ending:
        thread = threading.Thread(target=self._fit, name="ray-train", daemon=True)
        thread.start()
        heard_s = time.monotonic()
        while thread.is_alive():
            thread.join(POLL_S)
            if self._pass_on(tell):
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > no_progress_s:
                raise self._stalled(no_progress_s)
        self._pass_on(tell)
        return self._ending()

    def _fit(self) -> None:
        try:
            self._result = self._trainer().fit()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread; Ray going down is a SystemExit here
            self._error = error

    def _trainer(self) -> Any:  # noqa: ANN401 - ray is not imported at the top
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        workers = self._config.workers
        filesystem, path = filesystem_of(self._store)
        return TorchTrainer(
            _worker,
            train_loop_config=self._config,
            torch_config=TorchConfig(backend="nccl" if workers.num_gpus else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=workers.num_workers,
                use_gpu=workers.num_gpus > 0,
                resources_per_worker=worker_resources(workers),
            ),
            run_config=RunConfig(
                name=CHECKPOINTS,
                storage_path=path,
                storage_filesystem=filesystem,
                failure_config=FailureConfig(max_failures=workers.max_failures),
                checkpoint_config=CheckpointConfig(num_to_keep=self._config.job.keep),
            ),
        )

    def _pass_on(self, tell: Tell) -> bool:
        import ray

        events: list[Event]
        fatal: HoirayError | None
        events, fatal = ray.get(self._config.inbox.take.remote())
        for event in events:
            tell(event)
        if fatal is not None:
            # Ray would start the workers once more, only to hear that there is nothing to do
            raise fatal
        return bool(events)

    def _ending(self) -> Ending:
        if self._error is not None:
            raise _explained(self._error, self._config.workers) from self._error
        ending = None if self._result is None else self._result.return_value
        assert isinstance(ending, Ending)
        return ending

    def _stalled(self, no_progress_s: float) -> InputError:
        workers = self._config.workers
        expected = f"a word from {workers.num_workers} workers within {no_progress_s:.0f} s"
        fix = "Is the cluster busy with something else? Look at `ray status` and into Ray's logs, then pass --resume."
        return InputError(describe(what="training on Ray", expected=expected, found="none", fix=fix))


def filesystem_of(store: Store) -> tuple[Any, str]:
    """Split a location as Ray Train wants it: a filesystem of pyarrow (None for local folders), and a path."""
    if store.is_local:
        return None, store.uri
    from pyarrow import fs

    filesystem, path = fs.FileSystem.from_uri(store.uri)
    return filesystem, path


def _explained(error: BaseException, workers: TrainWorkers) -> HoirayError:
    """Say what ended a training, without the tracebacks of every worker."""
    failures = getattr(error, "worker_failures", {})
    causes = [_root_of(failure) for failure in failures.values()]
    for cause in causes:
        if isinstance(cause, HoirayError):
            return cause
    found = "; ".join(sorted({_first_line(cause) for cause in causes})) or _first_line(error)
    expected = f"workers that live (of which {workers.max_failures} failures are forgiven)"
    fix = "Look into Ray's logs; is there enough memory? Then pass --resume."
    return InputError(describe(what="training on Ray", expected=expected, found=found, fix=fix))


def _root_of(error: BaseException) -> BaseException:
    cause = getattr(error, "cause", None) or error.__cause__
    return error if cause is None else _root_of(cause)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
