"""Random colours and blur of a uint8 crop, in uint8 throughout.

Brightness, contrast, saturation and hue as PIL and torchvision define them, one after the other with rounding and
clipping between, in the order drawn. A change of brightness or contrast is a table of 256 entries, one of saturation a
3 x 3 matrix, one of hue a table in HSV: at 128 px the four take 0.2 ms, where float arithmetic takes several.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.augment import COLOUR_OPERATIONS, Views
from hoiray.geometry.arrays import FloatArray

Image = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R 601, the grey of PIL and OpenCV."""

_LEVELS = np.arange(256, dtype=np.float64)
_HUES = 180
"""OpenCV's 8-bit hue counts two degrees."""


def change_colours(image: Image, views: Views, row: int) -> Image:
    """Return an RGB crop in the colours of one view; the crop itself where nothing changes."""
    for operation in views.colour_order[row]:
        name = COLOUR_OPERATIONS[operation]
        if name == "hue":
            image = turn_hue(image, float(views.hue_turns[row]))
        else:
            image = _FACTORED[name](image, float(views.colour_factors[row, operation]))
    return image


def change_brightness(image: Image, factor: float) -> Image:
    """Multiply (H, W, 3) by a factor; 1 changes nothing."""
    return image if factor == 1.0 else _looked_up(image, _LEVELS * factor)


def change_contrast(image: Image, factor: float) -> Image:
    """Move every channel away from the image's mean grey, a whole number as in PIL, by a factor."""
    if factor == 1.0:
        return image
    import cv2

    mean = np.floor(float(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]) + 0.5)
    return _looked_up(image, mean + factor * (_LEVELS - mean))


def change_saturation(image: Image, factor: float) -> Image:
    """Move every pixel away from its own grey by a factor."""
    if factor == 1.0:
        return image
    import cv2

    matrix = factor * np.eye(3) + (1.0 - factor) * _LUMA
    return _as_image(cv2.transform(image, matrix))


def turn_hue(image: Image, turns: float) -> Image:
    """Turn the hue by a part of the circle, to the nearest two degrees."""
    steps = round(turns * _HUES) % _HUES
    if steps == 0:
        return image
    import cv2

    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = cv2.LUT(hsv[..., 0], ((np.arange(256) + steps) % _HUES).astype(np.uint8))
    return _as_image(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def blur(image: Image, sigma_px: float) -> Image:
    """Blur by a Gaussian; 0 changes nothing."""
    if sigma_px <= 0.0:
        return image
    import cv2

    radius = int(np.ceil(3.0 * sigma_px))
    return _as_image(cv2.GaussianBlur(image, (2 * radius + 1, 2 * radius + 1), sigma_px))


def _looked_up(image: Image, table: FloatArray) -> Image:
    import cv2

    return _as_image(cv2.LUT(image, np.clip(np.rint(table), 0, 255).astype(np.uint8)))


def _as_image(pixels: Any) -> Image:  # noqa: ANN401 - OpenCV has no types
    return np.asarray(pixels, dtype=np.uint8)


_FACTORED = {"brightness": change_brightness, "contrast": change_contrast, "saturation": change_saturation}
