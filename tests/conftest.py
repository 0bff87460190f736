"""Shared fixtures: the settings a test machine needs, and a real S3 server."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from s3_server import S3Server, running_s3_server
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Before anything imports ray or torch: one thread per process, and a Ray that neither calls home nor writes to it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@cache
def starts_ray(module: Path) -> bool:
    """Whether a module of tests starts a Ray cluster."""
    return "pytest.mark.ray" in module.read_text(encoding="utf-8")


class ModulesWhole(LoadScopeScheduling):
    """Deals modules out whole, and all that start a Ray cluster to one process.

    Two clusters that start at the same moment may reach for the same port.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "ray" if starts_ray(self.config.rootpath / module) else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ModulesWhole:
    """Say how the suite is dealt out where it runs in several processes."""
    return ModulesWhole(config, log)


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
