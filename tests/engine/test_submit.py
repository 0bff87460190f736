import http.server
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hoiray.engine import submit
from hoiray.engine.submit import Ending, JobRequest, JobServer, next_id, package_sizes
from hoiray.errors import ConfigError

HEAD = "http://head:8265"


def request(attempt: int | None = None, run: str = "hoi") -> JobRequest:
    return JobRequest(run, "python -m jobs.label x", ".", attempt=attempt)


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ({}, "hoi-a1"),
        ({"hoi-a1": "FAILED"}, "hoi-a2"),
        ({"hoi-a2": "STOPPED", "hoi-a10": "SUCCEEDED"}, "hoi-a11"),
        ({"hoi-a": "FAILED", "hoi-a1x": "RUNNING", "xhoi-a3": "RUNNING", "raysubmit_1": "RUNNING"}, "hoi-a1"),
    ],
)
def test_the_next_attempt_comes_after_those_that_have_been(known: Mapping[str, str], name: str) -> None:
    assert next_id(request(), known, HEAD) == name


def test_the_name_of_a_run_is_no_pattern() -> None:
    assert next_id(request(run="a.c"), {"abc-a1": "RUNNING"}, HEAD) == "a.c-a1"


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_a_second_attempt_beside_a_running_one_must_be_asked_for(status: str) -> None:
    known = {"hoi-a1": "FAILED", "hoi-a2": status}
    with pytest.raises(ConfigError, match=f"no attempt that is still running, found hoi-a2: {status}"):
        next_id(request(), known, HEAD)
    assert next_id(request(attempt=3), known, HEAD) == "hoi-a3"


def test_an_attempt_that_has_been_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"found hoi-a1: FAILED\. Take --attempt 5, or leave it out"):
        next_id(request(attempt=1), {"hoi-a1": "FAILED", "hoi-a4": "FAILED"}, HEAD)


def test_what_is_ignored_is_not_sent(tmp_path: Path) -> None:
    for name, size in {"jobs/label.py": 3, "data/video.mp4": 1000, "keep/a/b.txt": 5, "keep/c.tmp": 70}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / ".gitignore").write_text("*.tmp\n")
    sizes = package_sizes(tmp_path, ["/data"])
    assert sizes == {"jobs": 3, "keep": 5, ".gitignore": 6}


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "head:6379", "http://", "http://a b:1"])
def test_only_the_address_of_a_dashboard_is_one(address: str) -> None:
    with pytest.raises(ConfigError, match="--address: expected http://HOST:PORT of Ray's dashboard"):
        JobServer.connect(address)


def test_nobody_there_is_said_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=r"expected an answer, found no connection\. Is the address that of the dash"
        ):
            JobServer.connect(f"http://127.0.0.1:{port}")


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "ANSWER_TIMEOUT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(ConfigError, match=r"found none within 0\.2 s"):
            JobServer.connect(f"http://127.0.0.1:{port}")


@contextmanager
def web_server(status: int, body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "body"), [(404, b"nothing"), (200, b"<html>a router</html>"), (500, b"broken")])
def test_another_web_server_is_no_job_server(status: int, body: bytes) -> None:
    with web_server(status, body) as address, pytest.raises(ConfigError, match="Is this a dashboard of Ray's"):
        JobServer.connect(address)


class Client:
    """Stands for Ray's client where its connection breaks, which no real server does on demand."""

    LOG = "first\nsecond\nthird\n"

    def __init__(self, breaks: int, status: str = "SUCCEEDED", exit_code: int | None = 0, message: str = "") -> None:
        self.breaks = breaks
        self.info = SimpleNamespace(status=SimpleNamespace(value=status), driver_exit_code=exit_code, message=message)

    async def tail_job_logs(self, _name: str) -> Any:
        yield self.LOG[:6]
        if self.breaks:
            self.breaks -= 1
            raise RuntimeError("WebSocket connection closed unexpectedly")
        yield self.LOG[6:13]

    def get_job_info(self, _name: str) -> Any:
        return self.info

    def get_job_logs(self, _name: str) -> str:
        return self.LOG


def followed(client: Client, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Ending]:
    monkeypatch.setattr(submit, "POLL_S", 0.0)
    pieces: list[str] = []
    server = JobServer(client, "http://head:8265")  # type: ignore[arg-type]
    ending = server.follow("hoi-a1", pieces.append)
    return "".join(pieces), ending


@pytest.mark.parametrize("breaks", [0, 1, 3])
def test_a_log_is_written_once_however_often_the_connection_breaks(
    breaks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, ending = followed(Client(breaks), monkeypatch)
    assert text == Client.LOG
    assert ending == Ending("SUCCEEDED", 0, "")


@pytest.mark.parametrize(
    ("status", "exit_code", "exit_status"),
    [("FAILED", 3, 3), ("FAILED", None, 1), ("FAILED", 0, 1), ("STOPPED", None, 130), ("SUCCEEDED", None, 0)],
)
def test_the_exit_status_is_the_jobs(
    status: str, exit_code: int | None, exit_status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ending = followed(Client(0, status, exit_code), monkeypatch)
    assert (ending.status, ending.exit_status) == (status, exit_status)


def test_a_server_that_is_gone_is_given_up_and_the_job_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "LOST_AFTER_S", -1.0)
    with pytest.raises(
        ConfigError, match=r"The job may still run: `ray job logs -f hoi-a1 --address http://head:8265`"
    ):
        followed(Client(9), monkeypatch)


def test_variables_that_ray_prefers_are_hidden_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with submit._without_ray_address():
        assert "RAY_ADDRESS" not in os.environ
    assert os.environ["RAY_ADDRESS"] == "10.0.0.1:6379"
