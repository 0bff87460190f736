import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hoiray.engine.probe import _ask, _is_address, probe_ray


@pytest.mark.ray
def test_a_local_cluster_runs_a_task() -> None:
    probe = probe_ray(None, timeout_s=120)
    assert probe.ok, probe.detail
    assert (probe.num_nodes, probe.num_cpus) == (1, 1.0)


@pytest.mark.ray
def test_an_unreachable_cluster_is_told_in_time_and_leaves_nothing_behind() -> None:
    before = {process.pid for process in psutil.process_iter()}
    probe = probe_ray("127.0.0.1:1", timeout_s=6)
    assert not probe.ok
    assert probe.detail
    left = [
        p.info for p in psutil.process_iter(["pid", "cmdline"]) if p.info["pid"] not in before and p.info["cmdline"]
    ]
    assert not [process for process in left if "hoiray.engine.probe" in " ".join(process["cmdline"])]


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("ray://head:10001", True),
        ("head.example.org:6379", True),
        ("127.0.0.1:1", True),
        ("[::1]:6379", True),
        ("ray://[fe80::1]:10001", True),
        ("auto", True),
        ("local", True),
        ("bogus://x", False),
        ("bogus://x:1", False),
        ("http://head:8265", False),
        ("ray://head", False),
        ("head", False),
        ("head:0", False),
        ("head:65536", False),
        ("head:port", False),
        (":6379", False),
        ("", False),
        ("head:1\n", False),
    ],
)
def test_an_address_is_host_and_port(address: str, is_one: bool) -> None:
    assert _is_address(address) is is_one


def test_an_address_of_another_form_is_answered_without_starting_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    probe = probe_ray("bogus://x", timeout_s=60)
    assert (probe.ok, probe.num_nodes) == (False, 0)
    assert probe.detail == "expected HOST:PORT, ray://HOST:PORT, auto or local, found 'bogus://x'"


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("raise ValueError('no such module\\nparsed from: x')", "ValueError: no such module"),
        ("raise ConnectionError('refused')", "ConnectionError: refused"),
        ("raise TimeoutError", "TimeoutError"),
        ("import concurrent.futures as f; raise f.BrokenExecutor('gone')", "concurrent.futures._base.BrokenExecutor"),
        ("import sys; sys.stderr.write('a\\nb\\n'); sys.exit(3)", "b"),
        ("import sys; sys.exit(3)", "exit status 3"),
        ("raise ValueError('x' * 999)", "ValueError: xxx"),
    ],
)
def test_a_child_that_fails_is_quoted_by_its_error(code: str, detail: str, tmp_path: Path) -> None:
    probe = _ask([sys.executable, "-c", code], dict(os.environ), 60, tmp_path)
    assert not probe.ok
    assert probe.detail.startswith(detail)
    assert len(probe.detail) <= 200
