"""Shared fixtures: the settings a test machine needs, and a real S3 server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import S3Server, running_s3_server

# Before anything imports ray or torch: one thread per process, and a Ray that neither calls home nor writes to it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep modules whole where the suite runs in several processes, and every Ray cluster in one of them.

    Two clusters that start at the same moment may reach for the same port.
    """
    with_ray = {item.path for item in items if item.get_closest_marker("ray") is not None}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("ray" if item.path in with_ray else str(item.path)))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server with one bucket, on this machine only."""
    with running_s3_server(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server with its address and credentials in the environment."""
    for key, value in s3_server.environment().items():
        monkeypatch.setenv(key, value)
    return s3_server


@pytest.fixture(scope="session")
def training_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An annotated set of 3 recordings of 4 frames, to train on; not to be changed."""
    from trained_set import write_trained_set

    folder = tmp_path_factory.mktemp("trained") / "ho3d"
    write_trained_set(folder)
    return folder
