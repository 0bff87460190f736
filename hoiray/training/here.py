"""A training in this process, without Ray: for debugging, and for machines with one device."""

import shutil
import time
from collections.abc import Callable

from hoiray.errors import ConfigError, describe
from hoiray.io.store import Store
from hoiray.training.checkpoints import CHECKPOINTS, StateFiles, list_folders, newest_state
from hoiray.training.job import Ending, Tell, TrainJob
from hoiray.training.reports import Note
from hoiray.training.work import work
from hoiray.training.world import World


def train_here(job: TrainJob, world: World, *, resume: bool, tell: Tell) -> Ending:
    """Train with one worker.

    Args:
        job: what to train.
        world: of size 1; tells the device.
        resume: go on from the newest whole state in the output, from the beginning where there is none.
        tell: receives reports.

    Raises:
        ConfigError: the output is not empty and `resume` was not asked for, or it belongs to other settings.
        ContractError: a loss or gradient is no number.
    """
    store = Store.open(job.out)
    is_time_up = clock(job.max_minutes)
    start = newest_state(store) if resume else None
    if resume and start is None and list_folders(store):
        tell(Note(f"found no whole state in {store.url(CHECKPOINTS)}: begins anew"))

    def keep(folder: str, files: StateFiles | None) -> None:
        assert files is not None
        for name, data in files.items():
            store.write(f"{CHECKPOINTS}/{folder}/{name}", data)
        forget_old(store, job.keep)

    return work(job, world, start=start, keep=keep, tell=tell, is_time_up=is_time_up)


def this_device() -> World:
    """Be the only worker, on the GPU where there is one."""
    import torch

    return World(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def refuse_used_output(store: Store) -> None:
    """Refuse to begin where something is already.

    Raises:
        ConfigError: there is a file below the root.
    """
    first = next(iter(store.list()), None)
    if first is not None:
        expected = "an empty or a new place"
        fix = "Pass --resume to go on with the training that is there, or choose another place."
        raise ConfigError(describe(what=f"--out {store.uri}", expected=expected, found=f"{first} in it", fix=fix))


def forget_old(store: Store, keep: int) -> None:
    """Delete all states but the newest ones, the half-written among them."""
    for folder in list_folders(store)[:-keep]:
        # state.json goes first: a folder without it is no state
        for key in sorted(store.list(f"{CHECKPOINTS}/{folder}")):
            store.delete(key)
        empty = store.local_path(f"{CHECKPOINTS}/{folder}")
        if empty is not None:
            shutil.rmtree(empty, ignore_errors=True)


def clock(max_minutes: float | None) -> Callable[[], bool]:
    """Start a clock that tells when time is up."""
    if max_minutes is None:
        return lambda: False
    deadline_s = time.monotonic() + 60.0 * max_minutes
    return lambda: time.monotonic() >= deadline_s
