"""A stored video as a file that a decoder's process can open.

Decoders want a seekable local file: they jump between index and data, and decord reads nothing else. A video on S3 is
therefore copied whole, in ranged reads that the store retries, before any decoding: its packets are all read anyway to
learn which frames there are, a request per jump would cost more than the bytes, and neither credentials nor waiting for
the network belong into the process whose time and memory are limited. The copy has no name: it vanishes with its
descriptor, however the process that made it ends.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hoiray.io.decoding.failures import MissingVideoError
from hoiray.io.objects import MissingFileError
from hoiray.io.store import Store


@dataclass(frozen=True)
class LocalFile:
    """A file to decode.

    Attributes:
        path: where it lies; of a copy, the place it came from.
        descriptor: the copy; None where the file is opened by its path.
    """

    path: str
    descriptor: int | None


class LatestCopy:
    """The remote video that was copied last, kept until another one is: of a long video each segment is opened anew.

    It takes the room of one video in the spool. Not for several threads at once.
    """

    def __init__(self, spool: Path | None = None) -> None:
        """Keep none yet.

        Args:
            spool: folder of copies; None for the system's. A copy needs the size of the video there.
        """
        self._spool = spool
        self._kept: tuple[str, str, IO[bytes]] | None = None

    def drop(self) -> None:
        """Give its room back."""
        if self._kept is not None:
            self._kept[2].close()
        self._kept = None

    @contextmanager
    def file(self, store: Store, key: str, *, etag: str | None = None) -> Iterator[LocalFile]:
        """Open a stored video for a decoder's process.

        Args:
            store: where it is.
            key: its name.
            etag: the version that was planned; None for any, of which no copy is kept.

        Raises:
            MissingVideoError: it is not there.
            InputError: it is another version than was planned, or its place cannot be read.
        """
        if etag is None or store.is_local:
            with local_file(store, key, etag=etag, spool=self._spool) as file:
                yield file
            return
        url = store.url(key)
        if self._kept is None or self._kept[:2] != (url, etag):
            self.drop()
            self._kept = (url, etag, _copied(store, key, etag, self._spool))
        yield LocalFile(url, self._kept[2].fileno())


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
    except MissingFileError as error:
        raise MissingVideoError(str(error)) from error
    with _copied(store, key, etag, spool) as file:
        yield LocalFile(store.url(key), file.fileno())


def _copied(store: Store, key: str, etag: str | None, spool: Path | None) -> IO[bytes]:
    """Copy a remote video into a file without a name; the caller closes it."""
    with ExitStack() as unfinished:
        file = unfinished.enter_context(tempfile.TemporaryFile(dir=spool))
        try:
            store.copy_to(file, key, etag=etag)
        except MissingFileError as error:
            raise MissingVideoError(str(error)) from error
        unfinished.pop_all()
    return file
