"""A folder is held by one self-training at a time, and falls free when the last process that holds it is gone."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from s3_server import S3Server

from hoiray.errors import ConfigError
from hoiray.io.store import Store
from hoiray.selftrain import lock
from hoiray.selftrain.lock import LOCK_KEY, only_here


def test_a_second_one_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "new" / "folder")
    with only_here(store):
        message = rf"expected one self-training at a time, found process {os.getpid()} and what it started"
        with pytest.raises(ConfigError, match=message), only_here(store):
            pass
    with only_here(store):
        pass


def test_a_holder_that_is_killed_lets_go_once_its_command_is_gone_too(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import subprocess, time
        from hoiray.io.store import Store
        from hoiray.selftrain.lock import only_here
        with only_here(Store.open({str(tmp_path)!r})) as descriptors:
            child = subprocess.Popen(["sleep", "600"], pass_fds=descriptors)
            print(child.pid, flush=True)
            time.sleep(600)
        """
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child_pid = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    try:
        with pytest.raises(ConfigError, match="one self-training at a time"), only_here(Store.open(tmp_path)):
            pass
    finally:
        os.kill(child_pid, signal.SIGKILL)
    _wait_until_free(Store.open(tmp_path))


def test_a_lease_on_s3_is_renewed_kept_from_others_and_given_back(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEWED_EVERY_S", 0.05)
    store = Store.open(f"s3://{s3_environment.bucket}/lease").probed()
    with only_here(store):
        first = json.loads(store.read(LOCK_KEY))["renewed_at_s"]
        with pytest.raises(ConfigError, match=r"found a run that was alive \d+ s ago"), only_here(store):
            pass
        deadline = time.monotonic() + 150.0
        while json.loads(store.read(LOCK_KEY))["renewed_at_s"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert not store.exists(LOCK_KEY)


@pytest.mark.parametrize("left_behind", [b"", b"no lease", json.dumps({"holder": "x", "renewed_at_s": 1.0}).encode()])
def test_a_lease_nobody_renews_is_taken_over(s3_environment: S3Server, left_behind: bytes) -> None:
    store = Store.open(f"s3://{s3_environment.bucket}/stale").probed()
    store.write(LOCK_KEY, left_behind)
    with only_here(store):
        assert json.loads(store.read(LOCK_KEY))["holder"] != "x"


def _wait_until_free(store: Store) -> None:
    """The system ends a killed process in its own time."""
    deadline = time.monotonic() + 150.0
    while True:
        try:
            with only_here(store):
                return
        except ConfigError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
