"""Object storage as hoiray needs it: S3 through boto3, checked before a run relies on it."""

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hoiray.errors import ConfigError, InputError, describe

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PRECONDITION_FAILED = 412
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20


@dataclass(frozen=True)
class S3Location:
    """A bucket and a key prefix (without leading or trailing slash; may be empty)."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> "S3Location":
        """Read `s3://bucket/prefix`.

        Raises:
            ConfigError: the URI is not of that form.
        """
        parts = urlsplit(uri)
        if parts.scheme != "s3" or not parts.netloc:
            raise ConfigError(
                describe(what="S3 location", expected="s3://BUCKET[/PREFIX]", found=repr(uri), fix="Correct the URI.")
            )
        return cls(bucket=parts.netloc, prefix=parts.path.strip("/"))

    def key(self, name: str) -> str:
        """The key of `name` under the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name


@dataclass(frozen=True)
class S3Probe:
    """What a storage endpoint was seen to do."""

    location: S3Location
    endpoint: str
    refuses_second_put: bool
    """Put-if-absent holds: a second `If-None-Match: *` put of the same key is refused. Commit markers rely on it."""


def s3_client() -> "S3Client":
    """A boto3 client from the usual AWS_* environment, with short time-outs and few retries.

    Raises:
        ConfigError: no credentials or region can be found.
    """
    import boto3  # a second of import that only S3 users pay
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        # a session of its own: the default one is shared between threads and keeps the first credentials it saw
        return boto3.session.Session().client(
            "s3",
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"total_max_attempts": 2}
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            describe(
                what="S3 access",
                expected="credentials and a region in the environment or in ~/.aws",
                found=str(error),
                fix="Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION (and AWS_ENDPOINT_URL).",
            )
        ) from error


def probe_s3(uri: str) -> S3Probe:
    """List, write twice with put-if-absent, read back and delete one small object under `uri`.

    Raises:
        ConfigError: the URI is malformed or no credentials are set.
        InputError: the endpoint cannot be reached, refuses access or returns other bytes than were written.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    location = S3Location.parse(uri)
    client = s3_client()
    try:
        return _probe(client, location)
    except (BotoCoreError, ClientError) as error:
        raise InputError(
            describe(
                what=f"{uri} at {client.meta.endpoint_url}",
                expected="a bucket that can be listed, written, read and deleted from",
                found=str(error),
                fix="Check AWS_ENDPOINT_URL, the bucket's name and the credentials' rights.",
            )
        ) from error


def _probe(client: "S3Client", location: S3Location) -> S3Probe:
    key = location.key(f".hoiray-probe-{uuid.uuid4().hex}")
    body = uuid.uuid4().bytes
    client.list_objects_v2(Bucket=location.bucket, Prefix=location.prefix, MaxKeys=1)
    client.put_object(Bucket=location.bucket, Key=key, Body=body, IfNoneMatch="*")
    try:
        found = client.get_object(Bucket=location.bucket, Key=key)["Body"].read()
        if found != body:
            raise InputError(
                describe(
                    what=f"s3://{location.bucket}/{key}",
                    expected=f"the {len(body)} bytes just written",
                    found=f"{len(found)} other bytes",
                    fix="Do not use this storage: it does not return what it was given.",
                )
            )
        refused = _second_put_is_refused(client, location.bucket, key)
    finally:
        client.delete_object(Bucket=location.bucket, Key=key)
    return S3Probe(location=location, endpoint=client.meta.endpoint_url, refuses_second_put=refused)


def _second_put_is_refused(client: "S3Client", bucket: str, key: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        client.put_object(Bucket=bucket, Key=key, Body=b"second", IfNoneMatch="*")
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == PRECONDITION_FAILED:
            return True
        raise
    return False
