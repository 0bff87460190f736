"""A stored video as a file that a decoder's process can open.

Decoders want a seekable local file: they jump between index and data, and decord reads nothing else. A video on S3 is
therefore copied whole, in ranged reads that the store retries, before any decoding: its packets are all read anyway to
learn which frames there are, a request per jump would cost more than the bytes, and neither credentials nor waiting for
the network belong into the process whose time and memory are limited. The copy has no name: it vanishes with its
descriptor, however the process that made it ends.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from hoiray.io.decoding.failures import MissingVideoError
from hoiray.io.objects import MissingFileError
from hoiray.io.store import Store

COPY_BYTES: Final = 8 << 20
"""Bytes asked for at once."""


@dataclass(frozen=True)
class LocalFile:
    """A file to decode.

    Attributes:
        path: where it lies; of a copy, the place it came from.
        descriptor: the copy; None where the file is opened by its path.
    """

    path: str
    descriptor: int | None


@contextmanager
def local_file(store: Store, key: str, *, etag: str | None = None, spool: Path | None = None) -> Iterator[LocalFile]:
    """Open a stored video for a decoder's process.

    Args:
        store: where it is.
        key: its name.
        etag: the version that was planned; None for any.
        spool: folder of copies; None for the system's. A copy needs the size of the video there.

    Raises:
        MissingVideoError: it is not there.
        InputError: it is another version than was planned, or its place cannot be read.
    """
    try:
        path = store.local_path(key)
        if path is not None:
            if etag is not None:
                store.read_range(key, 0, 0, etag=etag)  # nothing is read; the store compares the version
            yield LocalFile(str(path), None)
            return
        with tempfile.TemporaryFile(dir=spool) as file:
            _copy(store, key, etag, file)
            yield LocalFile(store.url(key), file.fileno())
    except MissingFileError as error:
        raise MissingVideoError(str(error)) from error


def _copy(store: Store, key: str, etag: str | None, file: IO[bytes]) -> None:
    size = store.size(key)
    for start in range(0, size, COPY_BYTES):
        file.write(store.read_range(key, start, min(size, start + COPY_BYTES), etag=etag))
    file.flush()
