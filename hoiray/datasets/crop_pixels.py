"""Cutting a crop out of an image: one warp, with nothing lost to aliasing and nothing invented outside the image."""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hoiray.geometry.arrays import FloatArray
from hoiray.geometry.crops import invert_affine

Interpolation = Literal["linear", "nearest"]

_MARGIN_PX: Final = 3.0

_MIN_SHRINKING: Final = 1.25
"""Below this a linear warp alone aliases too little to be seen."""


def cut_crop(image: NDArray[np.uint8], A: FloatArray, size_px: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    """Warp an image by an affine; black outside the image.

    A linear warp reads four pixels. Where the crop shows the image smaller, that skips pixels between and aliases, so
    blocks of a whole number of pixels are averaged first (the affine takes their half-pixel shift into account), and
    what is still to be shrunk after that, by a factor below 2, is smoothed.

    Args:
        image: (H, W, 3) RGB; never changed.
        A: (3, 3) image to crop.
        size_px: side S of the crop.
        interpolation: nearest takes single pixels, as the released code does, without averaging.

    Returns:
        (S, S, 3), new.
    """
    import cv2

    if interpolation == "nearest":
        return _warped(image, A, size_px, cv2.INTER_NEAREST)
    shrinking = 1.0 / np.sqrt(abs(A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0]))
    if shrinking < _MIN_SHRINKING:
        return _warped(image, A, size_px, cv2.INTER_LINEAR)
    block = int(shrinking)
    x0, y0, x1, y1 = _seen_part(image.shape, A, size_px, block)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((size_px, size_px, 3), dtype=np.uint8)
    part = _filled_up(image[y0:y1, x0:x1], block)
    if block > 1:
        part = cv2.resize(part, (part.shape[1] // block, part.shape[0] // block), interpolation=cv2.INTER_AREA)
    rest = shrinking / block
    if rest >= _MIN_SHRINKING:
        part = cv2.GaussianBlur(part, (5, 5), np.sqrt((rest**2 - 1.0) / 12.0), borderType=cv2.BORDER_REPLICATE)
    # pixel X of the part is centred at X * block + (block - 1) / 2 + (x0, y0) in the image
    middle = (block - 1) / 2
    from_part = np.array([[block, 0.0, x0 + middle], [0.0, block, y0 + middle], [0.0, 0.0, 1.0]])
    return _warped(part, A @ from_part, size_px, cv2.INTER_LINEAR)


def _warped(image: NDArray[np.uint8], A: FloatArray, size_px: int, flags: int) -> NDArray[np.uint8]:
    import cv2

    crop = cv2.warpAffine(image, A[:2], (size_px, size_px), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(crop, dtype=np.uint8)


def _seen_part(shape: tuple[int, ...], A: FloatArray, size_px: int, block: int) -> tuple[int, int, int, int]:
    """Return the rectangle of the image, from a whole number of blocks on, that holds every pixel the crop shows."""
    ends = np.array([-_MARGIN_PX, size_px - 1 + _MARGIN_PX])
    corners = np.array([[x, y, 1.0] for x in ends for y in ends]) @ invert_affine(A)[:2].T
    low, high = corners.min(axis=0), corners.max(axis=0)
    height, width = shape[:2]
    x0, y0 = (max(0, int(np.floor(value / block)) * block) for value in low)
    x1, y1 = (min(limit, int(np.ceil(value)) + 1) for value, limit in zip(high, (width, height), strict=True))
    return x0, y0, x1, y1


def _filled_up(part: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """Add black rows and columns, as outside the image, until whole blocks fit."""
    import cv2

    bottom, right = -part.shape[0] % block, -part.shape[1] % block
    if bottom == 0 and right == 0:
        return part
    return np.asarray(cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_CONSTANT), dtype=np.uint8)
