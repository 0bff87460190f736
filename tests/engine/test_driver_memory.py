"""What a driver forgets between two executions; with a real Ray: test_label."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

FRAGMENTS = """
import os
from hoiray.benchmarks.processes import usage
from hoiray.engine.driver_memory import forget_executions

pieces = [bytes(1000) for _ in range(200_000)]
del pieces[: -1 : 2], pieces[: -1 : 2], pieces[: -1 : 2], pieces[: -1 : 2]
before = usage(os.getpid()).own_mib
forget_executions()
after = usage(os.getpid()).own_mib
assert before - after > 50, (before, after)
"""
"""Of 190 MiB in pieces, every sixteenth stays in use."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries give back by themselves, or never")
def test_what_lies_free_between_pieces_in_use_is_given_back() -> None:
    subprocess.run([sys.executable, "-c", FRAGMENTS], check=True)


OF_ALLOCATORS = ("MALLOC_ARENA_MAX", "ARROW_DEFAULT_MEMORY_POOL")

ARENAS = """
import ctypes, sys, threading
from hoiray.engine.driver_memory import allocate_in_one_place

libc = ctypes.CDLL(None)
libc.fopen.restype = libc.malloc.restype = ctypes.c_void_p
if sys.argv[2] == "one":
    allocate_in_one_place()
started = threading.Barrier(5)

def work():
    libc.malloc(ctypes.c_size_t(64))
    started.wait()  # all at once: the arena of a thread that has ended would be used again

threads = [threading.Thread(target=work) for _ in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
import pyarrow as pa
import pyarrow.parquet
pyarrow.parquet.write_table(pa.table({"number": list(range(1000))}), sys.argv[1] + ".parquet")
of_arrow = pa.mimalloc_memory_pool().max_memory() if "mimalloc" in pa.supported_memory_backends() else 0
print(open(sys.argv[1]).read().count("<heap "), pa.default_memory_pool().backend_name, of_arrow)
"""
"""How many arenas a process with five threads has, whose memory Arrow takes, and how much of its own when it writes."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas of threads")
def test_threads_of_a_driver_share_one_arena(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OF_ALLOCATORS}

    def found(how: str) -> tuple[int, str, int]:
        command = [sys.executable, "-c", ARENAS, str(tmp_path / "arenas.xml"), how]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        count, pool, of_arrow = done.stdout.split()
        return int(count), pool, int(of_arrow)

    assert found("each")[0] > 4
    assert found("one") == (1, "system", 0)
