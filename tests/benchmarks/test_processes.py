"""What Linux tells of processes: of this one, of its children, of one that is gone."""

import os
import subprocess
import sys

import numpy as np

from hoiray.benchmarks.processes import descendants, forget_peak, peak_memory_mib, resident_memory_mib, usage


def test_this_process_is_seen_with_its_memory_and_its_command() -> None:
    found = usage(os.getpid())
    assert found is not None
    assert "python" in found.title or "pytest" in found.title
    assert 10.0 < found.own_mib <= found.rss_mib
    assert found.cpu_s > 0.0
    assert abs(resident_memory_mib() - found.rss_mib) < 50.0


def test_children_and_their_children_are_found() -> None:
    inner = "import sys; print('ready', flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        found = [it for it in descendants(os.getpid()) if "sys.stdin.read()" in it.title]
        assert child.pid in {it.pid for it in found}
        assert len(found) == 2
        child.communicate()
    assert usage(child.pid) is None


def test_a_peak_is_remembered_until_it_is_forgotten() -> None:
    forget_peak()
    before = peak_memory_mib()
    block = np.ones(64 << 17)  # 64 MiB
    del block
    assert peak_memory_mib() - before > 50.0
    forget_peak()
    assert peak_memory_mib() - before < 50.0
