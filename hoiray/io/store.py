"""One way to read and write files below a root, in a local folder or on S3.

What a caller may rely on, in both: a write appears whole or not at all; `put_if_absent` creates a key once, whoever
races for it; reads return all bytes or raise; every error names the file and no secret; S3 calls are repeated with
growing, random waits (:mod:`hoiray.io.retry`).
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from pyarrow import fs

from hoiray.errors import ConfigError, ContractError, InputError, describe
from hoiray.io.local_backend import PARTIAL_SUFFIX, LocalBackend, missing
from hoiray.io.objects import Backend, MissingFileError, ObjectInfo, OnUnreadable
from hoiray.io.ranged import RangedReader
from hoiray.io.s3_backend import PutMode, S3Backend, choose_put_mode
from hoiray.io.secrets import redacted
from hoiray.io.storage import CONNECT_TIMEOUT_S, S3Location, is_anonymous, probe_s3, s3_client

ARROW_MAX_ATTEMPTS = 10

COPY_BYTES = 8 << 20
"""Bytes of a copy that are asked for at once."""


@dataclass(frozen=True)
class Store:
    """A root folder or prefix. Keys are relative, with forward slashes (`train/ABF10/rgb/0000.png`).

    It can be pickled, so it travels to workers.

    Attributes:
        uri: the root: an absolute local path, or `s3://bucket/prefix`.
        put_mode: how a key is created once; see :meth:`probed`.
    """

    uri: str
    put_mode: PutMode = "conditional"

    @classmethod
    def open(cls, uri: str | Path) -> "Store":
        """Make a store from a local path, `file://` or `s3://` URI. Nothing is read or created yet.

        Raises:
            ConfigError: the scheme is not one of these.
        """
        text = str(uri)
        if "://" not in text:
            return cls(str(Path(text).expanduser().absolute()))
        if text.startswith("file://"):
            return cls(text.removeprefix("file://").rstrip("/") or "/")
        if text.startswith("s3://"):
            S3Location.parse(text)
            return cls(text.rstrip("/"))
        found = redacted(text)
        raise ConfigError(
            describe(
                what=f"location {found!r}", expected="a local path, file:// or s3://", found=found, fix="Correct it."
            )
        )

    def probed(self) -> "Store":
        """Try the place (S3: list, write, read, delete) and return a store that creates keys as the place allows.

        Done once where a run starts; workers get the store it returns.

        Raises:
            ConfigError: no credentials.
            InputError: the place cannot be reached, refuses access, or does not return what it was given.
        """
        if self.is_local:
            return self
        probe = probe_s3(self.uri)
        return replace(self, put_mode=choose_put_mode(self.uri, refuses_second_put=probe.refuses_second_put))

    def below(self, folder: str) -> "Store":
        """Return the store of a folder of this one."""
        self._checked(folder)
        return replace(self, uri=f"{self.uri.rstrip('/')}/{folder}") if folder else self

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return not self.uri.startswith("s3://")

    def local_path(self, key: str) -> Path | None:
        """Where a key lies on this machine, or None on S3."""
        return LocalBackend(self.uri).path(key) if self.is_local else None

    def url(self, key: str) -> str:
        """The full name of a key, for messages."""
        return f"{self.uri}/{key}" if key else self.uri

    def read(self, key: str, *, etag: str | None = None, sha256: str | None = None) -> bytes:
        """Read a whole file.

        Args:
            key: the file.
            etag: the version wanted, as listed; None for any.
            sha256: the digest it must have; a difference is tried again once before it is believed.

        Raises:
            InputError: it is missing, cannot be read, or is another version.
            ContractError: its digest is another.
        """
        data = self._backend.read(self._checked(key), etag=etag)
        if sha256 is None or hashlib.sha256(data).hexdigest() == sha256:
            return data
        data = self._backend.read(key, etag=etag)
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            expected, fix = f"sha256 {sha256}", "The object is damaged or was replaced: restore it, or make it again."
            found = f"sha256 {found} in {len(data)} bytes"
            raise ContractError(describe(what=self.url(key), expected=expected, found=found, fix=fix))
        return data

    def read_if_there(self, key: str) -> bytes | None:
        """Read a whole file in one request, None where there is none.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return self._backend.read(self._checked(key))
        except MissingFileError:
            return None

    def read_range(self, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        """Read the bytes [start, end) of a file.

        Raises:
            InputError: it is missing, shorter, or another version than `etag`.
        """
        return self._backend.read_range(self._checked(key), start, end, etag=etag)

    def open_input(self, key: str, *, etag: str | None = None) -> RangedReader:
        """Open a file for reading from any place; only what is read is transferred, a megabyte at least.

        Raises:
            InputError: it is missing.
        """
        info = self.info(key)
        if info is None:
            raise missing(self.url(key))
        return RangedReader(lambda start, end: self.read_range(key, start, end, etag=etag), info.size_bytes)

    def copy_to(self, file: IO[bytes], key: str, *, etag: str | None = None) -> None:
        """Copy a whole file into an open one, piece by piece.

        Raises:
            InputError: it is missing, or another version than `etag`.
        """
        shutil.copyfileobj(self.open_input(key, etag=etag), file, COPY_BYTES)
        file.flush()

    def write(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """Write a whole file, replacing an older one; folders are made as needed. It appears at once.

        Args:
            key: the file.
            data: its content.
            durable: return only when it would survive a power cut (S3 always does; a local disk has to be told).

        Raises:
            InputError: the place cannot be written.
        """
        self._backend.write(self._checked(key), data, durable=durable)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create a file whole and durable, or leave the one that is there.

        Returns:
            Whether the file holds these bytes because of this call. Of all who race for a key, one is told True.

        Raises:
            InputError: the place cannot be written.
        """
        return self._backend.put_if_absent(self._checked(key), data)

    def delete(self, key: str) -> None:
        """Remove a file; nothing happens where there is none.

        Raises:
            InputError: it cannot be removed.
        """
        self._backend.delete(self._checked(key))

    def info(self, key: str) -> ObjectInfo | None:
        """Return size, version and time of a file (not a folder), None where there is none.

        Raises:
            InputError: the place cannot be reached or refuses access.
        """
        return self._backend.info(self._checked(key))

    def exists(self, key: str) -> bool:
        """Whether a file (not a folder) is there."""
        return self.info(key) is not None

    def size(self, key: str) -> int:
        """Size of a file in bytes.

        Raises:
            InputError: it is missing.
        """
        info = self.info(key)
        if info is None:
            raise missing(self.url(key))
        return info.size_bytes

    def objects(self, prefix: str = "", *, on_unreadable: OnUnreadable | None = None) -> Iterator[ObjectInfo]:
        """Walk the files under a folder, sorted by key as bytes; empty where the folder does not exist.

        Memory stays bounded whatever their number: one S3 page, or the names of one local folder.

        Args:
            prefix: the folder; empty for the root.
            on_unreadable: told of names that cannot be listed (broken links, no UTF-8, no access); None: they are
                left out, but a folder without access is an error.

        Raises:
            InputError: it is a file, or cannot be listed.
        """
        return self._backend.objects(self._checked(prefix), on_unreadable=on_unreadable)

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[str]:
        """Keys of the files under a folder, sorted; empty where the folder does not exist.

        Raises:
            InputError: it is a file, or cannot be listed.
        """
        yield from self.sizes(prefix, recursive=recursive)

    def sizes(self, prefix: str = "", *, recursive: bool = True) -> dict[str, int]:
        """Keys of the files under a folder, sorted, with their sizes in bytes.

        Raises:
            InputError: it is a file, or cannot be listed.
        """
        infos = self.objects(prefix) if recursive else iter(self._backend.names(self._checked(prefix))[0])
        return dict(sorted((info.key, info.size_bytes) for info in infos))

    def list_folders(self, prefix: str = "") -> Iterator[str]:
        """Names of the folders directly under a folder, sorted."""
        yield from self._backend.names(self._checked(prefix))[1]

    def partials(self) -> Iterator[ObjectInfo]:
        """Walk the half-written files that killed writers left in a local folder; S3 has none."""
        if self.is_local:
            yield from LocalBackend(self.uri).partials()

    def arrow_filesystem(self) -> tuple[fs.FileSystem, str]:
        """Return pyarrow's file system and the root's path in it, for libraries that accept nothing else.

        Its S3 client is told to be patient, but has no put-if-absent, and Linux ignores its read time-out: hoiray's
        own reads and writes do not use it.
        """
        if self.is_local:
            return fs.LocalFileSystem(), self.uri
        meta = s3_client().meta
        scheme, _, host = meta.endpoint_url.partition("://")  # pyarrow's constructor does not know AWS_ENDPOINT_URL
        options: dict[str, object] = {"anonymous": True} if is_anonymous() else {}
        strategy = fs.AwsStandardS3RetryStrategy(max_attempts=ARROW_MAX_ATTEMPTS)
        filesystem = fs.S3FileSystem(
            endpoint_override=host,
            scheme=scheme,
            region=meta.region_name,
            retry_strategy=strategy,
            connect_timeout=CONNECT_TIMEOUT_S,
            **options,
        )
        return filesystem, self.uri.removeprefix("s3://")

    @property
    def _backend(self) -> Backend:
        if self.is_local:
            return LocalBackend(self.uri)
        return S3Backend(S3Location.parse(self.uri), self.put_mode)

    def _checked(self, key: str) -> str:
        if key.startswith("/") or ".." in key.split("/"):
            raise ConfigError(
                describe(
                    what=f"key {key!r}", expected="a path below the root", found="one that leaves it", fix="Correct it."
                )
            )
        if key.endswith(PARTIAL_SUFFIX):
            fix = f"Names that end in {PARTIAL_SUFFIX} are files that are being written: choose another."
            raise InputError(describe(what=f"key {key!r}", expected="a finished file", found="a partial one", fix=fix))
        return key


def open_uri(uri: str) -> tuple[Store, str]:
    """Return the store of a file's folder, and the file's key in it.

    Raises:
        ConfigError: it is no location of a file.
    """
    folder, slash, name = uri.rpartition("/")
    if not name or folder.endswith(":/"):
        what, fix = f"location {redacted(uri)!r}", "Name a file."
        raise ConfigError(describe(what=what, expected="a folder and a file", found="no file", fix=fix))
    return Store.open(folder or (slash or ".")), name
