"""One self-training at a time in a folder: two would overwrite each other's training.

In a local folder the operating system holds the lock: it falls the moment the last process that holds it is gone,
killed or not. A command that outlives its driver holds it on. On S3 a lease object is renewed by its holder, and may be
taken over once it has not been for a while.
"""

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hoiray.errors import ConfigError, InputError, describe
from hoiray.io.store import Store

LOCK_KEY: Final = "selftrain.lock"

RENEWED_EVERY_S: Final = 20.0
STALE_AFTER_S: Final = 120.0
"""Several renewals: a holder that pauses for a minute keeps its lease."""


@contextmanager
def only_here(store: Store) -> Iterator[tuple[int, ...]]:
    """Hold a folder.

    Args:
        store: the folder; made where it does not exist.

    Yields:
        File descriptors that child processes must inherit, so that the folder stays held while they live; none on S3.

    Raises:
        ConfigError: somebody else holds it.
        InputError: the folder cannot be written.
    """
    if store.is_local:
        with _held_by_the_system(store) as descriptor:
            yield (descriptor,)
    else:
        with _leased(store):
            yield ()


@contextmanager
def _held_by_the_system(store: Store) -> Iterator[int]:
    path = store.local_path(LOCK_KEY)
    assert path is not None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        what, fix = f"folder {store.uri}", "Choose another."
        raise InputError(describe(what=what, expected="a folder to write to", found=str(error), fix=fix)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 64).decode(errors="replace").strip()
        os.close(descriptor)
        _refuse(store, f"process {holder} and what it started" if holder else "another process")
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _leased(store: Store) -> Iterator[None]:
    holder = uuid.uuid4().hex
    _take(store, holder)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEWED_EVERY_S):
            try:
                store.write(LOCK_KEY, _lease(holder))
            except InputError:
                continue  # the next renewal may succeed; the run's own writes will tell

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        store.delete(LOCK_KEY)


def _take(store: Store, holder: str) -> None:
    """Create the lease, or take over one that nobody renews.

    Raises:
        ConfigError: it is held.
    """
    if store.put_if_absent(LOCK_KEY, _lease(holder)):
        return
    found = store.read_if_there(LOCK_KEY)
    age_s = time.time() - _renewed_at_s(found)
    if age_s < STALE_AFTER_S:
        _refuse(store, f"a run that was alive {max(age_s, 0.0):.0f} s ago")
    store.delete(LOCK_KEY)
    if not store.put_if_absent(LOCK_KEY, _lease(holder)):
        _refuse(store, "a run that was started at the same time")


def _lease(holder: str) -> bytes:
    return json.dumps({"holder": holder, "renewed_at_s": time.time()}).encode()


def _renewed_at_s(lease: bytes | None) -> float:
    """When a lease was last renewed; long ago where it is damaged or gone."""
    try:
        return float(json.loads(lease or b"{}")["renewed_at_s"])
    except (ValueError, KeyError, TypeError):
        return 0.0


def _refuse(store: Store, found: str) -> None:
    fix = "Wait for it, stop it, or name another folder."
    raise ConfigError(
        describe(what=f"folder {store.uri}", expected="one self-training at a time", found=found, fix=fix)
    )
