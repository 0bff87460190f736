"""A 64-bit hash of what an image looks like, and the search for pairs that look alike.

The hash keeps the signs of the 64 lowest frequencies of a 32 x 32 grey thumbnail, without the mean. Re-encoding,
resizing and a change of brightness move a few bits of it; unrelated images differ in 32 bits on average.
"""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe

THUMBNAIL_PX: Final = 32
HASH_SIDE: Final = 8
NUM_BANDS: Final = 8
BITS_PER_BAND: Final = 8
MAX_DISTANCE: Final = NUM_BANDS - 1
"""Two hashes that differ in at most 7 bits agree in at least one of their 8 bytes: the search loses no pair."""
MIN_CONTRAST_LEVELS: Final = 4.0
"""Standard deviation, in grey levels, of a thumbnail under which its hash is noise: a wall, a black frame."""
_CHUNK: Final = 2048


def perceptual_hash(image: NDArray[np.uint8]) -> int | None:
    """Hash one image.

    Args:
        image: (H, W, 3) RGB or (H, W) grey, uint8.

    Returns:
        64 bits, or None where the image is too flat for its hash to be evidence.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    thumbnail = cv2.resize(grey, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    if thumbnail.std() < MIN_CONTRAST_LEVELS:
        return None
    # rows and columns 1 to 8: the 0th hold brightness and its ramps alone, which a lamp changes
    frequencies = cv2.dct(thumbnail)[1 : HASH_SIDE + 1, 1 : HASH_SIDE + 1]
    return int.from_bytes(np.packbits(frequencies.ravel() > np.median(frequencies)).tobytes(), "big")


def pairs_within(
    first: NDArray[np.uint64], second: NDArray[np.uint64], max_distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find every pair (one of each) that differs in at most `max_distance` bits; exact, not approximate.

    Only hashes that agree in one byte are compared, about 1/32 of all pairs.

    Args:
        first: (N,) hashes.
        second: (M,) hashes.
        max_distance: 0 to `MAX_DISTANCE` bits.

    Returns:
        Indices into `first`, indices into `second`, distances; sorted by distance, then indices.

    Raises:
        ContractError: `max_distance` is larger than the search can promise to find.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ContractError(
            describe(
                what="max_distance",
                expected=f"0 to {MAX_DISTANCE} bits",
                found=str(max_distance),
                fix="Further apart, unrelated images begin to match.",
            )
        )
    found = list(_pairs_by_band(first, second, max_distance))
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    left, right = (np.concatenate(side) for side in zip(*found, strict=True))
    keys = np.unique(left * len(second) + right)
    left, right = np.divmod(keys, len(second))
    distance = np.bitwise_count(first[left] ^ second[right]).astype(np.int64)
    order = np.lexsort((right, left, distance))
    return left[order], right[order], distance[order]


def _pairs_by_band(
    first: NDArray[np.uint64], second: NDArray[np.uint64], max_distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for band in range(NUM_BANDS):
        shift = np.uint64(band * BITS_PER_BAND)
        mask = np.uint64((1 << BITS_PER_BAND) - 1)
        left_byte, right_byte = (first >> shift) & mask, (second >> shift) & mask
        left_order, right_order = np.argsort(left_byte, kind="stable"), np.argsort(right_byte, kind="stable")
        values = np.arange((1 << BITS_PER_BAND) + 1, dtype=np.uint64)
        left_edges = np.searchsorted(left_byte[left_order], values)
        right_edges = np.searchsorted(right_byte[right_order], values)
        for value in range(1 << BITS_PER_BAND):
            right = right_order[right_edges[value] : right_edges[value + 1]]
            for start in range(left_edges[value], left_edges[value + 1], _CHUNK):
                left = left_order[start : min(start + _CHUNK, left_edges[value + 1])]
                near = np.bitwise_count(first[left][:, None] ^ second[right][None]) <= max_distance
                rows, columns = np.nonzero(near)
                if len(rows):
                    yield left[rows].astype(np.int64), right[columns].astype(np.int64)
