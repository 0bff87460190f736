"""What a store is to the code above it: named bytes, whole or in part, created once or replaced."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from hoiray.errors import InputError


class MissingFileError(InputError):
    """Nothing is there under that name."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object.

    Attributes:
        key: below the store's root, forward slashes.
        size_bytes: its size.
        etag: the store's word for this version of it: S3's ETag without quotes; for a local file its time of
            modification (`mtime-` and nanoseconds). Another content has another size or another word.
        modified_s: when it was written, by the store's clock, seconds since 1970.
    """

    key: str
    size_bytes: int
    etag: str
    modified_s: float


OnUnreadable = Callable[[str, str], None]
"""Told of what a listing cannot show: its name, and why."""


class Backend(Protocol):
    """One kind of storage below one root. Keys are used as they are; errors are `InputError` with the full name."""

    def read(self, key: str, *, etag: str | None = None) -> bytes:
        """Return a whole object; an error where it is another version than `etag`."""

    def read_range(self, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        """Return the bytes [start, end), no more and no less."""

    def write(self, key: str, data: bytes, *, durable: bool) -> None:
        """Write a whole object, replacing an older one."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create a whole object, or leave the one that is there; say whether it was created."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""

    def info(self, key: str) -> ObjectInfo | None:
        """Return what is known of an object, None where there is none."""

    def objects(self, prefix: str, *, on_unreadable: OnUnreadable | None = None) -> Iterator[ObjectInfo]:
        """Walk the objects below a folder (all for the empty prefix), sorted by key as UTF-8 bytes."""

    def names(self, prefix: str) -> tuple[list[ObjectInfo], list[str]]:
        """Return the objects and the names of the folders directly below a folder, each sorted."""
