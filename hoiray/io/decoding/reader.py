"""What a decoder does for hoiray."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hoiray.io.decoding.container import ContainerFacts


class SourceFrame(NamedTuple):
    """A decoded frame.

    Attributes:
        source_index: which frame of the file, from 0, in the order they are shown.
        time_s: when it is shown, from the file's start.
        image: (H, W, 3) uint8 RGB, upright; it may not be contiguous.
    """

    source_index: int
    time_s: float
    image: NDArray[np.uint8]


class FrameReader(Protocol):
    """An opened video."""

    @property
    def name(self) -> str:
        """The decoder: `decord` or `pyav`."""

    @property
    def facts(self) -> ContainerFacts:
        """What the file holds."""

    def frames(self, source_indices: Sequence[int]) -> Iterator[SourceFrame]:
        """Decode frames, each once, in one pass from the last key frame before the first of them.

        Args:
            source_indices: growing numbers of source frames, all below `facts.num_frames`.

        Yields:
            The frames in that order. Where the file ends before it said, so does the iteration.

        Raises:
            DecodeError: a frame on the way does not decode, wanted or not.
        """
