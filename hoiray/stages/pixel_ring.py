"""Pixels that two processes see: a ring of slots in memory without a name, so that nothing can be left behind.

The memory is made once and used again and again: on fresh memory each page costs a fault, ten times what it costs to
copy the pixels (16 frames of 426 x 240: 4.6 ms against 0.4).
"""

import mmap
import os
from typing import Final

import numpy as np
from numpy.typing import NDArray

NUM_SLOTS: Final = 3
"""Two batches that wait for the reader, and one that is being written."""


class PixelRing:
    """One process's view of the ring.

    The writer turns the slots over in order and must know that a slot was read before it comes round again; who tells
    it is not the ring's concern.
    """

    def __init__(self, descriptor: int) -> None:
        """See the memory behind a descriptor, which stays the caller's."""
        self._descriptor = descriptor
        self._memory: mmap.mmap | None = None

    def grow(self, slot_bytes: int) -> None:
        """Make room for slots of that size. Only the writer may, and only while nothing waits to be read."""
        if os.fstat(self._descriptor).st_size < NUM_SLOTS * slot_bytes:
            os.ftruncate(self._descriptor, NUM_SLOTS * slot_bytes)

    def slot(self, number: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return the array in a slot, writable.

        Args:
            number: which turn it is; slots come round after `NUM_SLOTS`.
            shape: of the largest array of these turns; it decides where slots begin.
        """
        size = int(np.prod(shape))
        if self._memory is None or len(self._memory) < NUM_SLOTS * size:
            self._memory = mmap.mmap(self._descriptor, os.fstat(self._descriptor).st_size)
        start = number % NUM_SLOTS * size
        return np.frombuffer(self._memory, dtype=np.uint8, count=size, offset=start).reshape(shape)


def new_memory() -> int:
    """Make memory for a ring; the caller closes the descriptor."""
    return os.memfd_create("hoiray-frames")
