"""Make synthetic recordings on this process or on Ray: one task a recording, few in flight, any order.

A recording is idempotent (same files, same bytes, each written whole), so a task whose worker dies is simply run again.
Plain tasks and not Ray Data: there is nothing to stream between stages, and a job's result is a line of text.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from hoiray.errors import ConfigError, InputError, describe
from hoiray.synthetic.generate import Job, Outcome, run_job

TASKS_PER_WORKER: Final = 2
"""In flight: one runs, one waits, so that no worker idles while the driver looks away."""

MAX_RETRIES: Final = 3
"""Of a task whose worker died (out of memory, node lost). An error the task raises is not tried again."""

OBJECT_STORE_BYTES: Final = 100 << 20
"""Of a cluster started for the purpose: jobs and outcomes are a few KB."""


def execute(jobs: Sequence[Job], *, workers: int, address: str | None = None) -> Iterator[Outcome]:
    """Run jobs; yield what became of each as it ends.

    Args:
        jobs: recordings to make.
        workers: recordings made at once; 1 without an address runs here, in order, without Ray.
        address: a Ray cluster to use; None starts one of `workers` CPUs on this machine where more than one is asked
            for, and takes it down at the end.

    Raises:
        ConfigError: fewer than one worker, or the cluster cannot be reached.
        InputError: workers died again and again on one recording.
        HoirayError: whatever a job raises; no further job is begun.
    """
    if workers < 1:
        raise ConfigError(describe(what="--workers", expected="1 or more", found=str(workers), fix="Choose 1."))
    if workers == 1 and address is None:
        yield from map(run_job, jobs)
    elif jobs:
        yield from _execute_on_ray(jobs, workers, address)


def _execute_on_ray(jobs: Sequence[Job], workers: int, address: str | None) -> Iterator[Outcome]:
    import ray  # only who asks for several workers pays for it

    owns_cluster = not ray.is_initialized()
    if owns_cluster:
        _start(workers, address)
    try:
        yield from _stream(jobs, workers)
    finally:
        if owns_cluster:
            ray.shutdown()


def _start(workers: int, address: str | None) -> None:
    import ray

    try:
        if address is None:
            ray.init(
                address="local",
                num_cpus=workers,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=OBJECT_STORE_BYTES,
            )
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        where = "a Ray on this machine" if address is None else f"the Ray cluster at {address}"
        fix = "Check the address, or leave it out and pass --workers 1."
        raise ConfigError(describe(what=where, expected="an answer", found=str(error), fix=fix)) from error


def _stream(jobs: Sequence[Job], workers: int) -> Iterator[Outcome]:
    import ray
    from ray.exceptions import RayTaskError, WorkerCrashedError

    task = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(run_job)
    waiting = list(reversed(jobs))
    running: dict[ray.ObjectRef, Job] = {}
    while waiting or running:
        while waiting and len(running) < TASKS_PER_WORKER * workers:
            job = waiting.pop()
            running[task.remote(job)] = job
        (ready,), _ = ray.wait(list(running), num_returns=1)
        job = running.pop(ready)
        try:
            yield ray.get(ready)
        except RayTaskError as error:
            # the worker's traceback is in Ray's log; the message alone says what is wrong
            raise error.cause from None
        except WorkerCrashedError as error:
            what = f"recording {job.plan.recording_id}"
            found = f"a worker that died {MAX_RETRIES + 1} times ({error})"
            fix = "Is there enough memory? Pass --resume with fewer workers."
            raise InputError(describe(what=what, expected="a worker that lives", found=found, fix=fix)) from error
