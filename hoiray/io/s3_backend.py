"""Objects of an S3 bucket below a prefix: every call repeated while it may help, every body counted."""

import hashlib
import logging
import random
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from hoiray.errors import InputError, describe
from hoiray.io.local_backend import changed, missing, too_short
from hoiray.io.objects import ObjectInfo, OnUnreadable
from hoiray.io.retry import call_with_retries
from hoiray.io.storage import (
    PRECONDITION_FAILED,
    CutBodyError,
    S3Location,
    is_transient,
    s3_client,
    status_of,
    storage_error,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Result = TypeVar("Result")
PutMode = Literal["conditional", "lease"]

NOT_FOUND: Final = 404
RANGE_NOT_SATISFIABLE: Final = 416
LEASE_SUFFIX: Final = ".lease"
LEASE_WAIT_S: Final = 0.5
LEASE_LIFETIME_S: Final = 60.0
"""A lease older than this was left by a dead process."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class S3Backend:
    """The objects below `location`.

    Attributes:
        location: bucket and prefix.
        put_mode: how put-if-absent is done: by the server (`If-None-Match: *`), or by leases where it cannot.
    """

    location: S3Location
    put_mode: PutMode = "conditional"

    def read(self, key: str, *, etag: str | None = None) -> bytes:
        """Read a whole object."""
        condition = {} if etag is None else {"IfMatch": f'"{etag}"'}
        return self._call(key, "an object that can be read", lambda client: self._get(client, key, condition), etag)

    def read_range(self, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        """Read the bytes [start, end)."""
        if end <= start:
            return b""
        condition = {"Range": f"bytes={start}-{end - 1}"} | ({} if etag is None else {"IfMatch": f'"{etag}"'})
        data = self._call(key, "an object that can be read", lambda client: self._get(client, key, condition), etag)
        if len(data) != end - start:
            raise too_short(self._name(key), end, start + len(data))
        return data

    def write(self, key: str, data: bytes, *, durable: bool) -> None:  # noqa: ARG002 - S3 answers when it is durable
        """Put a whole object in one request; the server checks its digest, and it appears at once or not at all."""
        self._call(key, "a place that can be written", lambda client: self._put(client, key, data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create an object. An answer that was lost is asked for: if our bytes are there, they count as ours."""
        if self.put_mode == "lease":
            return self._put_with_lease(key, data)

        def put(client: "S3Client", attempt: int) -> bool:
            try:
                self._put(client, key, data, IfNoneMatch="*")
            except Exception as error:
                if status_of(error) != PRECONDITION_FAILED:
                    raise
                # a first try may have arrived although its answer did not
                return attempt > 1 and self._get(client, key, {}) == data
            return True

        return self._call_numbered(key, "a place that can be written", put)

    def delete(self, key: str) -> None:
        """Remove an object."""
        location = self.location
        self._call(
            key,
            "an object that can be deleted",
            lambda client: client.delete_object(Bucket=location.bucket, Key=location.key(key)),
        )

    def info(self, key: str) -> ObjectInfo | None:
        """Ask for an object's head."""

        def head(client: "S3Client") -> ObjectInfo | None:
            try:
                found = client.head_object(Bucket=self.location.bucket, Key=self.location.key(key))
            except Exception as error:
                if status_of(error) == NOT_FOUND:
                    return None
                raise
            etag, modified_s = found["ETag"].strip('"'), found["LastModified"].timestamp()
            return ObjectInfo(key, found["ContentLength"], etag, modified_s)

        return self._call(key, "an object to look at", head)

    def objects(self, prefix: str, *, on_unreadable: OnUnreadable | None = None) -> Iterator[ObjectInfo]:  # noqa: ARG002 - a bucket lists all it has
        """Walk the objects, a page of 1000 in memory at a time. Folder markers (`name/`, no bytes) are left out."""
        start = self._folder(prefix)
        for page in self._pages(prefix, Prefix=start):
            for entry in page.get("Contents", []):
                key = entry["Key"]
                if not (key.endswith("/") and entry["Size"] == 0):
                    yield self._listed(entry)

    def names(self, prefix: str) -> tuple[list[ObjectInfo], list[str]]:
        """List one folder."""
        start = self._folder(prefix)
        files, folders = list[ObjectInfo](), list[str]()
        for page in self._pages(prefix, Prefix=start, Delimiter="/"):
            files += [self._listed(entry) for entry in page.get("Contents", []) if not entry["Key"].endswith("/")]
            folders += [entry["Prefix"].removeprefix(start).rstrip("/") for entry in page.get("CommonPrefixes", [])]
        return files, folders

    def _folder(self, prefix: str) -> str:
        name = self.location.key(prefix) if prefix else self.location.prefix
        return f"{name}/" if name else ""

    def _listed(self, entry: dict[str, Any]) -> ObjectInfo:
        root = self._folder("")
        etag = str(entry.get("ETag", "")).strip('"')
        return ObjectInfo(entry["Key"].removeprefix(root), entry["Size"], etag, entry["LastModified"].timestamp())

    def _pages(self, prefix: str, **selection: str) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            arguments: dict[str, Any] = {"Bucket": self.location.bucket, **selection, **token}
            page: dict[str, Any] = self._call(prefix, "a bucket that can be listed", _lister(arguments))
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _get(self, client: "S3Client", key: str, condition: dict[str, str]) -> bytes:
        arguments: dict[str, Any] = {"Bucket": self.location.bucket, "Key": self.location.key(key), **condition}
        answer = client.get_object(**arguments)
        with answer["Body"] as body:
            data = bytes(body.read())
        if len(data) != answer["ContentLength"]:
            raise CutBodyError(f"{len(data)} of {answer['ContentLength']} bytes")
        return data

    def _put(self, client: "S3Client", key: str, data: bytes, **condition: str) -> None:
        digest = b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode("ascii")
        arguments: dict[str, Any] = {"Bucket": self.location.bucket, "Key": self.location.key(key), **condition}
        client.put_object(Body=data, ContentMD5=digest, **arguments)

    def _put_with_lease(self, key: str, data: bytes) -> bool:
        """Create an object where the server cannot: only who sees no lease but his own may write.

        Of two writers each puts his lease before he looks, so at least one sees the other and steps back. Leases of
        dead writers are told by the server's own clock. It fails where a listing misses what was put before it, or
        where a writer stalls for a lease's lifetime between looking and writing: hence the warning of
        :func:`choose_put_mode`.
        """
        rng = random.Random()  # noqa: S311 - jitter, nothing secret
        while self.info(key) is None:
            lease = f"{key}{LEASE_SUFFIX}/{secrets.token_hex(8)}"
            self.write(lease, b"", durable=True)
            try:
                if self._is_alone(key, lease) and self.info(key) is None:
                    self.write(key, data, durable=True)
                    return True
            finally:
                self.delete(lease)
            time.sleep(rng.uniform(0.0, LEASE_WAIT_S))
        return False

    def _is_alone(self, key: str, lease: str) -> bool:
        leases = {info.key: info.modified_s for info in self.objects(f"{key}{LEASE_SUFFIX}")}
        now_s = leases.pop(lease, None)
        if now_s is None:
            return False
        return all(now_s - modified_s > LEASE_LIFETIME_S for modified_s in leases.values())

    def _call(self, key: str, expected: str, call: "Callable[[S3Client], Result]", etag: str | None = None) -> Result:
        return self._call_numbered(key, expected, lambda client, _: call(client), etag)

    def _call_numbered(
        self, key: str, expected: str, call: "Callable[[S3Client, int], Result]", etag: str | None = None
    ) -> Result:
        client = s3_client()
        try:
            return call_with_retries(lambda attempt: call(client, attempt), is_transient)
        except InputError:
            raise
        except Exception as error:
            raise self._error(key, expected, error, etag) from error

    def _error(self, key: str, expected: str, error: Exception, etag: str | None) -> Exception:
        from botocore.exceptions import BotoCoreError, ClientError

        status, name = status_of(error), self._name(key)
        if status == NOT_FOUND and "NoSuchBucket" not in str(error):
            return missing(name)
        if status == PRECONDITION_FAILED and etag is not None:
            return changed(name, etag, "another")
        if status == RANGE_NOT_SATISFIABLE:
            return InputError(describe(what=name, expected="more bytes", found="an earlier end", fix="Restore it."))
        if isinstance(error, BotoCoreError | ClientError | CutBodyError | OSError) or is_transient(error):
            return storage_error(name, error, expected=expected)
        return error

    def _name(self, key: str) -> str:
        return f"s3://{self.location.bucket}/{self.location.key(key)}"


def _lister(arguments: dict[str, Any]) -> "Callable[[S3Client], dict[str, Any]]":
    return lambda client: dict(client.list_objects_v2(**arguments))


def choose_put_mode(uri: str, *, refuses_second_put: bool) -> PutMode:
    """Say how objects are created at a place, and warn where it is the weaker way."""
    if refuses_second_put:
        return "conditional"
    _log.warning(
        "%s: the server ignores If-None-Match on puts, so two writers of one shard are kept apart by leases. That holds"
        " while no writer stalls for %.0f s; prefer a server with conditional puts, or run one job at a time.",
        uri,
        LEASE_LIFETIME_S,
    )
    return "lease"
