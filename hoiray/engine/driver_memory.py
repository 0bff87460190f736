"""What keeps the memory of a driver flat, however many executions of Ray Data it goes through.

A labelling is a chain of executions, and Ray notes more of each than it ever needs again. All of it is Ray's own, some
of it behind private names; a test on a real Ray fails where a name is another one.
"""

import contextlib
import ctypes
import gc
import os
import threading
import uuid
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ray.data import Dataset

MAX_BLOCK_STATISTICS: Final = 256
"""Ray Data keeps times and sizes of every block of every operator until the end, for `Dataset.stats()`: some 4 kB a
shard. Of each operator only the latest are kept here, lest the driver grow with the number of shards."""

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Of glibc's `mallopt`."""

_MAPPED_BYTES: Final = 64 << 10
"""Pieces from this size on get pages of their own; by default the limit grows up to 32 MiB with what is freed."""

_ARROW_POOL: Final = "ARROW_DEFAULT_MEMORY_POOL"

_IDENTITY: Final = uuid.uuid4().hex
"""Of all executions of this process; another driver on the same cluster has another."""


def allocate_in_one_place() -> None:
    """Have all threads of this process, and Arrow, take memory from one arena; workers are not concerned.

    Ray's threads in a driver pass every message on, one allocates and another frees, and each would have an arena: most
    of what a driver grew by was memory that lay free in one of them. A driver allocates far too little to wait for the
    one lock. Threads that have an arena already keep it, so the sooner the better. Large pieces are kept out of the
    arena, where the small ones that outlive them would not let their pages go. Arrow's own allocator keeps a heap for
    each thread too, and every execution has new threads. Arrow's C++ chooses its allocator once: where pyarrow is
    imported already, only what Python asks it for is taken from the arena, and not what it reads and writes files with.
    """
    with contextlib.suppress(OSError, AttributeError):  # a C library that is not glibc has no such call
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
    _take_arrow_memory_from_the_system()  # imports pyarrow, whose own threads would have an arena before


def _take_arrow_memory_from_the_system() -> None:
    if _ARROW_POOL in os.environ:  # somebody has chosen
        return
    os.environ[_ARROW_POOL] = "system"
    try:
        import pyarrow as pa

        # the first question for a pool is when Arrow's C++ reads the variable
        pa.default_memory_pool()
        pa.set_memory_pool(pa.system_memory_pool())
    finally:  # the processes that this one starts choose for themselves
        del os.environ[_ARROW_POOL]


def running_executions() -> list[Any]:
    """Return the executors of Ray Data that run in this process."""
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

    # the executor is a thread, and the only way to one that has not put out its first block yet
    return [thread for thread in threading.enumerate() if isinstance(thread, StreamingExecutor)]


def go_on_as_one(dataset: "Dataset") -> None:
    """Let the execution of a dataset go by the name of those before it.

    Ray Data labels the driver's metrics by execution, and keeps a series of every label for good: a new execution would
    begin a dozen. Executions of one process follow each other, so that one name serves all of them; and a graph of a
    run is one line, not one for each leg.

    Args:
        dataset: not executed yet.
    """
    set_identity = getattr(dataset, "_set_uuid", None)
    if set_identity is not None:
        set_identity(_IDENTITY)


def forget_statistics() -> None:
    """Forget what Ray Data has noted of blocks, but for the latest."""
    for executor in running_executions():
        for operator in executor._topology or {}:
            noted = getattr(operator, "_output_blocks_stats", None)
            # a list that the executor's thread adds to: deleting a slice is one step of the interpreter
            if isinstance(noted, list) and len(noted) > MAX_BLOCK_STATISTICS:
                del noted[: -MAX_BLOCK_STATISTICS // 2]


def forget_executions() -> None:
    """Give back to the system what executions that are over have left.

    Ray Data makes a class of actors for every pool of every execution, and two tables of Ray, which only save a second
    look at a class, keep it: some 80 KB an execution. And pieces that stay in use here and there would keep all the
    pages around them.
    """
    import ray.actor
    from ray._private import async_compat

    with contextlib.suppress(AttributeError):
        ray.actor._ActorClassMethodMetadata.reset_cache()
    with contextlib.suppress(AttributeError):
        async_compat.has_async_methods.cache_clear()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # a C library that is not glibc has no such call
        ctypes.CDLL(None).malloc_trim(0)
