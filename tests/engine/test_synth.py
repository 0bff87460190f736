import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hoiray.engine.synth import _start, execute
from hoiray.errors import ConfigError, ContractError
from hoiray.synthetic import generate as generating
from hoiray.synthetic.generate import generate, make_request, plan_jobs
from hoiray.synthetic.world import plan


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generating, "plan", lambda *arguments: plan(*arguments)[:4])


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """The cluster `execute` would start, kept for two tests."""
    import ray

    assert not ray.is_initialized()
    _start(2, None)
    yield
    ray.shutdown()


@pytest.mark.ray
@pytest.mark.usefixtures("short", "cluster")
def test_two_workers_write_the_bytes_of_one(tmp_path: Path) -> None:
    for workers in (1, 2):
        request = make_request("studio", str(tmp_path / str(workers)), size="tiny", seed=2)
        told: list[int] = []
        result = generate(
            request,
            lambda jobs, count=workers: execute(jobs, workers=count),  # type: ignore[misc]  # a default for the loop
            on_outcome=lambda _, done, __, seen=told: seen.append(done),  # type: ignore[misc]  # the same
        )
        assert result.num_frames == 4
        assert told == [1, 2, 3, 4]
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert len(digests(tmp_path / "1")) > 20


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_an_error_on_a_worker_arrives_as_itself(tmp_path: Path) -> None:
    request = make_request("studio", str(tmp_path), size="tiny", seed=2)
    (job, *_) = plan_jobs(request)
    wrong = replace(job, roots=(("fpha", str(tmp_path)),))
    with pytest.raises(ContractError, match="to be written as FPHA") as caught:
        list(execute([wrong, wrong], workers=2))
    assert "Traceback" not in str(caught.value)


def test_no_worker_is_no_answer() -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        list(execute([], workers=0))


def test_nothing_to_do_starts_no_cluster() -> None:
    code = (
        "import sys; from hoiray.engine.synth import _start, execute;"
        "assert list(execute([], workers=2)) == []; assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
