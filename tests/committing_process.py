"""Processes that commit the pending shards of a run, and can be told where to die.

They are forked from one server that has imported everything, so a test can afford many.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

STEPS = ("before_data", "in_data", "after_data", "in_letters", "before_marker", "in_marker", "after_marker")
"""Moments of a commit. `in_data` and `in_marker` lie between a half-written file and its name, or between a request
and its answer on S3."""


def start(uri: str, step: str | None = None, count: int = 1) -> ForkServerProcess:
    """Start a process that commits what is pending, and kills itself when it reaches a step for the n-th time."""
    process = _context().Process(target=_commit_all, args=(uri, dict(os.environ), step, count))
    process.start()
    return process


def exit_code(process: ForkServerProcess) -> int | None:
    process.join(timeout=120)
    return process.exitcode


@cache
def _context() -> ForkServerContext:
    """Start the server, which imports everything once. Python 3.11 tells it paths by the environment only."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["run_folders", "committing_process", "boto3", "pandas"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        os.environ.update({} if before is None else {"PYTHONPATH": before})
    return context


def _commit_all(uri: str, environment: Mapping[str, str], step: str | None, count: int) -> None:
    from run_folders import PREDICT_ID, commit, letter

    from hoiray.io.store import Store
    from hoiray.stages.pending import pending_shards
    from hoiray.stages.plan import load_shard, open_plan
    from hoiray.stages.run_layout import predictions_area

    os.environ.update(environment)
    store = Store.open(uri)
    if step is not None:
        _plant(step, _Death(count))
    plan = open_plan(store.below("plan"))
    for entry in pending_shards(plan, store, predictions_area(PREDICT_ID)):
        names = load_shard(plan, entry).segments["video_id"].to_pylist()
        done = commit(store, plan, entry, dead_letters=[letter(names[0])])
        assert done.is_same_data


class _Death:
    """Kills this process, as the kernel would, when it is called for the n-th time."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _plant(step: str, death: _Death) -> None:
    from hoiray.io import local_backend
    from hoiray.io.s3_backend import S3Backend
    from hoiray.io.store import Store

    def names(folder: str) -> Callable[..., bool]:
        return lambda *arguments: any(folder in str(argument) for argument in arguments)

    places: dict[str, list[tuple[Any, str, Callable[..., bool], bool]]] = {
        "before_data": [(Store, "write", names("/data/"), True)],
        "in_data": [(Path, "replace", names("/data/"), True), (S3Backend, "_put", names("/data/"), False)],
        "after_data": [(Store, "write", names("/data/"), False)],
        "in_letters": [(Store, "write", names("/letters/"), True)],
        "before_marker": [(Store, "put_if_absent", names("/commit/"), True)],
        "in_marker": [
            (local_backend.os, "link", names("/commit/"), True),
            (S3Backend, "_put", names("/commit/"), False),
        ],
        "after_marker": [(Store, "put_if_absent", names("/commit/"), False)],
    }
    for owner, method, fits, is_before in places[step]:
        _around(owner, method, fits, death, is_before)


def _around(owner: Any, name: str, fits: Callable[..., bool], death: _Death, is_before: bool) -> None:
    original = getattr(owner, name)

    def replaced(*arguments: Any, **options: Any) -> Any:
        if is_before and fits(*arguments):
            death()
        result = original(*arguments, **options)
        if not is_before and fits(*arguments):
            death()
        return result

    setattr(owner, name, replaced)
