"""How a decoded picture is to be turned before it is looked at: the display matrix of the file."""

import struct
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

SKEW_LIMIT: Final = 0.01
"""Share of a matrix row that may point off the axes and still count as none: half a degree."""


@dataclass(frozen=True)
class Orientation:
    """A turn by quarters, possibly mirrored: swap the axes first, then reverse them.

    Attributes:
        is_transposed: rows become columns.
        flips_x, flips_y: the axis of the upright picture is reversed.
    """

    is_transposed: bool = False
    flips_x: bool = False
    flips_y: bool = False

    @classmethod
    def of_matrix(cls, data: bytes) -> Self | None:
        """Read a display matrix of libavutil: nine int32 (a b u, c d v, x y w), x' = a x + c y, y' = b x + d y.

        Returns:
            The turn; None where the matrix turns by no multiple of 90 degrees, or skews.
        """
        a, b, _, c, d = struct.unpack_from("=5i", data)
        if max(abs(b), abs(c)) <= SKEW_LIMIT * min(abs(a), abs(d)):
            return cls(False, a < 0, d < 0)
        if max(abs(a), abs(d)) <= SKEW_LIMIT * min(abs(b), abs(c)):
            return cls(True, c < 0, b < 0)
        return None

    @property
    def is_upright(self) -> bool:
        """Whether nothing is to be done."""
        return self == Orientation()

    @property
    def is_mirrored(self) -> bool:
        """Whether left hands look like right ones until the picture is turned."""
        return self.is_transposed ^ self.flips_x ^ self.flips_y

    @property
    def clockwise_deg(self) -> int:
        """The turn in degrees, before any mirroring about the upright picture's vertical axis."""
        if self.is_transposed:
            return 90 if (self.flips_x ^ self.is_mirrored) else 270
        return 180 if self.flips_y else 0

    def upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn a decoded picture (H, W, 3) as it is to be seen; a view where possible."""
        turned = image.swapaxes(0, 1) if self.is_transposed else image
        return turned[:: -1 if self.flips_y else 1, :: -1 if self.flips_x else 1]
