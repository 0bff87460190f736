"""A small HTTP proxy in front of the S3 server that spoils a share of the answers, as networks and servers do.

It forwards requests byte for byte (the Host header too, so signatures stay valid), one upstream connection each.
Faults, drawn per request by a seeded generator:

* `500`, `503`: an error answer, before the request reaches the server;
* `reset`: the connection is reset before the request reaches the server;
* `lost`: the server does what it is asked, and the connection is reset instead of an answer;
* `cut`: head and half of the body arrive, then the connection is closed;
* `slow`: the body arrives in ten pieces with a pause between them.
"""

import random
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

FAULTS = ("500", "503", "reset", "lost", "cut", "slow")
SLOW_PIECES, SLOW_PAUSE_S = 10, 0.01
UPSTREAM_TIMEOUT_S = 30.0

_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>planted</Message>'
    "<Resource>/</Resource><RequestId>0</RequestId></Error>"
)

Head = list[tuple[str, str]]
Rewrite = Callable[[str, Head, bytes], Head]
"""Changes the headers of a request (request line, headers, body)."""


@dataclass
class FaultProxy:
    """A running proxy.

    Attributes:
        endpoint: its address, for `AWS_ENDPOINT_URL`.
        rate: share of the requests that are spoilt; may be changed at any time.
        faults: which ones.
        planted: how often each was, so that a test can see that it tested something.
        num_requests: all requests so far.
        rewrite: changes every request's headers, for servers that lack something.
    """

    upstream: str
    rate: float
    faults: Sequence[str]
    rng: random.Random
    rewrite: Rewrite | None = None
    endpoint: str = ""
    planted: Counter[str] = field(default_factory=Counter)
    num_requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self) -> str | None:
        with self.lock:
            self.num_requests += 1
            fault = self.rng.choice(list(self.faults)) if self.rng.random() < self.rate else None
            if fault:
                self.planted[fault] += 1
            return fault


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    proxy: FaultProxy


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        try:
            while self._one_request():
                pass
        except (ConnectionError, TimeoutError, HTTPException):
            pass

    def _one_request(self) -> bool:
        line = self.rfile.readline().decode("latin-1").rstrip("\r\n")
        if not line:
            return False
        head = _read_head(self.rfile)
        names = {name.lower(): value for name, value in head}
        fault = self.server.proxy.draw()
        if fault == "reset":
            return self._reset()
        if names.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._read_body(names)
        if fault in ("500", "503"):
            return self._refuse(fault)
        if self.server.proxy.rewrite is not None:
            head = self.server.proxy.rewrite(line, head, body)
        status, answer_head, answer = _ask(self.server.proxy.upstream, line, head, body)
        if fault == "lost":
            return self._reset()
        length = int(dict(answer_head).get("Content-Length", len(answer))) if line.startswith("HEAD") else len(answer)
        return self._answer(status, answer_head, answer, length, fault)

    def _read_body(self, names: dict[str, str]) -> bytes:
        if names.get("transfer-encoding", "").lower() == "chunked":
            raise AssertionError("chunked requests are not forwarded")
        wanted = int(names.get("content-length", 0))
        body = self.rfile.read(wanted)
        if len(body) != wanted:
            raise ConnectionError("the client went away")
        return body

    def _answer(self, status: str, head: Head, body: bytes, length: int, fault: str | None) -> bool:
        kept = [(name, value) for name, value in head if name.lower() not in ("transfer-encoding", "content-length")]
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in kept)]
        if not status.startswith(("204", "304")):
            lines.append(f"Content-Length: {length}")
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            return False
        if fault == "slow":
            step = max(1, len(body) // SLOW_PIECES)
            for start in range(0, len(body), step):
                time.sleep(SLOW_PAUSE_S)
                self.wfile.write(body[start : start + step])
            return True
        self.wfile.write(body)
        return True

    def _refuse(self, status: str) -> bool:
        body = _ERROR.format(code={"500": "InternalError", "503": "SlowDown"}[status])
        reason = {"500": "Internal Server Error", "503": "Slow Down"}[status]
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write((head + body).encode())
        return True

    def _reset(self) -> bool:
        # closing with a linger of zero sends a reset instead of an end
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise ConnectionResetError


def _read_head(stream: object) -> Head:
    head: Head = []
    while line := stream.readline().decode("latin-1").rstrip("\r\n"):  # type: ignore[attr-defined]  # a socket's file
        name, _, value = line.partition(":")
        head.append((name, value.strip()))
    return head


def _ask(upstream: str, line: str, head: Head, body: bytes) -> tuple[str, Head, bytes]:
    parts = urlsplit(upstream)
    assert parts.hostname
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=UPSTREAM_TIMEOUT_S) as connection:
        kept = [f"{name}: {value}" for name, value in head if name.lower() not in ("expect", "connection")]
        request = "\r\n".join([line, *kept, "Connection: close"]) + "\r\n\r\n"
        connection.sendall(request.encode("latin-1") + body)
        response = HTTPResponse(connection, method=line.split(" ", 1)[0])
        response.begin()
        return f"{response.status} {response.reason}", response.getheaders(), response.read()


@contextmanager
def running_fault_proxy(
    upstream: str,
    *,
    rate: float = 0.05,
    seed: int = 0,
    faults: Sequence[str] = FAULTS,
    rewrite: Rewrite | None = None,
) -> Iterator[FaultProxy]:
    """Start a proxy in front of an HTTP endpoint; stop it at the end."""
    proxy = FaultProxy(upstream, rate, faults, random.Random(seed), rewrite)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.proxy = proxy
        proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def without_conditional_puts(access_key: str, secret_key: str) -> Rewrite:
    """Make the server look like one that ignores `If-None-Match`: the header is dropped and the request signed anew."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    def rewrite(line: str, head: Head, body: bytes) -> Head:
        names = {name.lower() for name, _ in head}
        if "if-none-match" not in names:
            return head
        method, target, _ = line.split(" ")
        dropped = ("if-none-match", "authorization", "x-amz-date", "x-amz-content-sha256", "expect")
        kept = {name: value for name, value in head if name.lower() not in dropped}
        host = next(value for name, value in head if name.lower() == "host")
        request = AWSRequest(method=method, url=f"http://{host}{target}", data=body, headers=kept)
        request.context["signing"] = {"bucket": target.split("/")[1]}
        S3SigV4Auth(Credentials(access_key, secret_key), "s3", "us-east-1").add_auth(request)
        return [(name, str(value)) for name, value in request.headers.items()]

    return rewrite
