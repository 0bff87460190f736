"""Object storage as hoiray needs it: one boto3 client, its errors told apart, checked before a run relies on it.

Everything goes through boto3, nothing through `pyarrow.fs`, whose S3 client (26.0) tries 3 times by default, has a
`request_timeout` that Linux ignores, and knows neither conditional puts nor the version (ETag) of what it reads.
boto3's own retries are off: they end where the body of an answer begins. :mod:`hoiray.io.retry` covers both.
"""

import hashlib
import os
import threading
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from hoiray.errors import ConfigError, InputError, describe
from hoiray.io.retry import IMPATIENT, call_with_retries
from hoiray.io.secrets import redacted

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PRECONDITION_FAILED: Final = 412
CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_S: Final = 20
"""Without a byte from the server. A stalled connection is given up and the call repeated."""

MAX_CONNECTIONS: Final = 32
"""Per process: more threads than this wait for each other."""

TRANSIENT_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 509})
TRANSIENT_CODES: Final = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout", "InternalError",
     "ServiceUnavailable", "BadDigest", "IncompleteBody", "ConditionalRequestConflict", "OperationAborted",
     "RequestTimeTooSkewed"}
)  # fmt: skip
"""Answers that may differ next time. BadDigest and IncompleteBody: what we sent was damaged on the way."""

NO_CONDITIONAL_PUT: Final = frozenset({400, 405, 501})
"""Answers of servers that do not know `If-None-Match` on a put."""

ANONYMOUS_VARIABLE: Final = "AWS_NO_SIGN_REQUEST"
"""Set to anything but 0, no or false to read public buckets without credentials (as GDAL does)."""


@dataclass(frozen=True)
class S3Location:
    """A bucket and a key prefix (without leading or trailing slash; may be empty)."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> "S3Location":
        """Read `s3://bucket/prefix`. Everything behind the bucket is the prefix as written: `?`, `#`, `%` too.

        Raises:
            ConfigError: the URI is not of that form, or holds credentials (which are not repeated).
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, prefix = rest.partition("/")
        if "@" in bucket:
            expected, found = "no credentials in the URI", "some before the @"
            fix = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, instead."
            raise ConfigError(describe(what="S3 location", expected=expected, found=found, fix=fix))
        if scheme != "s3" or not bucket or bucket != bucket.strip() or ":" in bucket:
            found = repr(redacted(uri))
            raise ConfigError(
                describe(what="S3 location", expected="s3://BUCKET[/PREFIX]", found=found, fix="Correct the URI.")
            )
        return cls(bucket=bucket, prefix=prefix.strip("/"))

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


_clients: dict[tuple[int, str], "S3Client"] = {}
_clients_lock = threading.Lock()


def s3_client() -> "S3Client":
    """Return this process's client for the AWS_* environment as it is now; threads share it.

    Endpoint (`AWS_ENDPOINT_URL`), region, profile (`AWS_PROFILE`) and credentials are found by boto3's usual rules.

    Raises:
        ConfigError: no credentials or region can be found.
    """
    # the digest, so that no secret lies in a key that a debugger or a traceback would show
    environment = "\n".join(f"{key}={value}" for key, value in sorted(os.environ.items()) if key.startswith("AWS_"))
    key = (os.getpid(), hashlib.sha256(environment.encode("utf-8", "surrogateescape")).hexdigest())
    with _clients_lock:
        if key not in _clients:
            _clients[key] = _new_client()
        return _clients[key]


def is_anonymous() -> bool:
    """Whether requests are sent unsigned."""
    return os.environ.get(ANONYMOUS_VARIABLE, "").lower() not in ("", "0", "no", "false", "off")


def _new_client() -> "S3Client":
    import boto3  # a second of import that only S3 users pay
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=MAX_CONNECTIONS,
        retries={"total_max_attempts": 1},
        # puts carry a Content-MD5 instead, which every S3 server knows
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version=UNSIGNED if is_anonymous() else None,
    )
    try:
        # a session of its own: the default one is shared between threads and keeps the first credentials it saw
        core = botocore.session.get_session()
        # botocore's own parser of times takes four fifths of a listing: 131 ms of CPU a thousand keys, 28 with this one
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_time)
        return boto3.session.Session(botocore_session=core).client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            describe(
                what="S3 access",
                expected="credentials and a region in the environment or in ~/.aws",
                found=redacted(str(error)),
                fix="Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION (and AWS_ENDPOINT_URL).",
            )
        ) from error


def _parse_time(value: str) -> datetime:
    from botocore.utils import parse_timestamp

    if value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass  # another form, which botocore's parser knows
    return parse_timestamp(value)


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of a server's refusal; None where no answer came."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    status = metadata.get("HTTPStatusCode")
    return int(status) if status is not None else None


def is_transient(error: Exception) -> bool:
    """Say whether a storage call may succeed when repeated: 5xx, throttling, resets, time-outs and cut bodies."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    if isinstance(error, boto.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        return status_of(error) in TRANSIENT_STATUS or code in TRANSIENT_CODES
    # a body that is cut or an answer that is no XML (a proxy's error page): the parser's and urllib3's errors
    network = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, HTTPError, CutBodyError)
    return isinstance(error, (*network, ConnectionError, TimeoutError, ResponseParserError))


class CutBodyError(Exception):
    """A body arrived shorter or other than announced. Caught by the retry loop; never leaves this package."""


def storage_error(what: str, error: Exception, *, expected: str) -> InputError:
    """Return the error that names the place, without any secret."""
    fix = "Check AWS_ENDPOINT_URL, the bucket's name and the credentials' rights."
    if "credentials" in str(error).lower() and not is_anonymous():
        fix += f" For a public bucket set {ANONYMOUS_VARIABLE}=true."
    kind = "" if status_of(error) else f"{type(error).__name__}: "
    return InputError(describe(what=redacted(what), expected=expected, found=kind + redacted(str(error)), fix=fix))


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
        return call_with_retries(lambda _: _probe(client, location), is_transient, policy=IMPATIENT)
    except (BotoCoreError, ClientError) as error:
        endpoint = redacted(client.meta.endpoint_url)
        expected = "a bucket that can be listed, written, read and deleted from"
        raise storage_error(f"{uri} at {endpoint}", error, expected=expected) from error


def _probe(client: "S3Client", location: S3Location) -> S3Probe:
    key = location.key(f".hoiray-probe-{uuid.uuid4().hex}")
    body = uuid.uuid4().bytes
    client.list_objects_v2(Bucket=location.bucket, Prefix=location.prefix, MaxKeys=1)
    knows_condition = _first_put(client, location.bucket, key, body)
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
        refused = knows_condition and _second_put_is_refused(client, location.bucket, key)
    finally:
        client.delete_object(Bucket=location.bucket, Key=key)
    return S3Probe(location=location, endpoint=redacted(client.meta.endpoint_url), refuses_second_put=refused)


def _first_put(client: "S3Client", bucket: str, key: str, body: bytes) -> bool:
    """Put an object, conditionally where the server knows how; say whether it does."""
    from botocore.exceptions import ClientError

    try:
        client.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
    except ClientError as error:
        if status_of(error) not in NO_CONDITIONAL_PUT:
            raise
        client.put_object(Bucket=bucket, Key=key, Body=body)
        return False
    return True


def _second_put_is_refused(client: "S3Client", bucket: str, key: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        client.put_object(Bucket=bucket, Key=key, Body=b"second", IfNoneMatch="*")
    except ClientError as error:
        if status_of(error) == PRECONDITION_FAILED:
            return True
        raise
    return False
