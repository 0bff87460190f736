"""A stored object as a file that can be read from any place, transferring little more than what is read."""

import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_BYTES: Final = 1024 * 1024
"""Least number of bytes asked for at once: a request costs as much time as a megabyte."""


class RangedReader(io.RawIOBase):
    """A seekable binary file over a function that reads a range. One block is kept in memory."""

    def __init__(
        self, read_range: "Callable[[int, int], bytes]", size_bytes: int, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """Make a file of `size_bytes` over `read_range(start, end)`."""
        super().__init__()
        self._read_range, self._size, self._block_bytes = read_range, size_bytes, block_bytes
        self._position, self._start, self._block = 0, 0, b""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from any place."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def size(self) -> int:
        """Return the size of the object in bytes."""
        return self._size

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a byte; nothing is transferred."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + position)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        wanted = self._size - self._position if size is None or size < 0 else size
        end = min(self._size, self._position + max(wanted, 0))
        if end <= self._position:
            return b""
        if not (self._start <= self._position and end <= self._start + len(self._block)):
            until = min(self._size, max(end, self._position + self._block_bytes))
            self._start, self._block = self._position, self._read_range(self._position, until)
        data = self._block[self._position - self._start : end - self._start]
        self._position = end
        return data

    def readall(self) -> bytes:
        """Return everything behind the position."""
        return self.read(-1)

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]  # typeshed's buffer
        """Fill a buffer as far as there are bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
