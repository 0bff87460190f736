"""Reading PNG and JPEG files whole or not at all.

OpenCV 4 returns an image for a truncated JPEG, its missing part grey, with a warning nobody reads; OpenCV 5 returns
None and does not say why. A picture that is half invented must not be trained on, so the structure of a file is checked
before its pixels are decoded: every chunk of a PNG with its checksum, every segment of a JPEG up to its end marker.
What no structure tells, flipped bits inside the entropy-coded part of a JPEG, is not found.
"""

import re
import struct
import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import InputError, describe
from hoiray.io.store import Store

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
JPEG_START: Final = b"\xff\xd8"
_JPEG_END: Final = 0xD9
_JPEG_SCAN: Final = 0xDA
_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""In entropy-coded data FF is followed by 00 (an escaped byte), D0-D7 (a restart) or FF (filling)."""

_FIX: Final = "Copy the file again from its source."


def read_rgb(store: Store, key: str, *, size_wh: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Read a colour image.

    Args:
        store: where it lies.
        key: its name; PNG or JPEG by content, not by suffix.
        size_wh: expected width and height in px; None takes any.

    Returns:
        (H, W, 3) uint8 RGB, pixels as stored: an orientation tag is ignored, as intrinsics belong to stored pixels.

    Raises:
        InputError: it is missing, truncated, no image, or of another size.
    """
    return decode_rgb(store.read(key), name=store.url(key), size_wh=size_wh)


def decode_rgb(data: bytes, *, name: str, size_wh: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Decode a colour image held in memory; see :func:`read_rgb`."""
    import cv2

    pixels = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, name)
    _check_size(pixels, size_wh, name)
    return np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint8)


def read_levels(store: Store, key: str, *, size_wh: tuple[int, int] | None = None) -> npt.NDArray[Any]:
    """Read a one-channel image, a mask or a depth map, as stored.

    Returns:
        (H, W) uint8 or uint16. Of a colour file whose channels are equal, one is returned.

    Raises:
        InputError: it is missing, truncated, no image, of another size, or coloured.
    """
    import cv2

    name = store.url(key)
    pixels = _decode(store.read(key), cv2.IMREAD_UNCHANGED, name)
    _check_size(pixels, size_wh, name)
    if pixels.ndim == 2:
        return pixels
    if np.any(pixels[..., :1] != pixels[..., 1:3]):
        raise InputError(describe(what=name, expected="a grey image", found="a coloured one", fix=_FIX))
    return np.ascontiguousarray(pixels[..., 0])


def check_whole(data: bytes, *, name: str) -> None:
    """Refuse an image file that is cut short or damaged in its structure.

    Raises:
        InputError: it is empty, neither PNG nor JPEG, lacks its end, or a PNG checksum is wrong.
    """
    if data.startswith(PNG_SIGNATURE):
        problem = _png_problem(data)
    elif data.startswith(JPEG_START):
        problem = _jpeg_problem(data)
    else:
        problem = "an empty file" if not data else f"a file that begins with {data[:8]!r}"
    if problem is not None:
        raise InputError(describe(what=name, expected="a complete PNG or JPEG image", found=problem, fix=_FIX))


def _png_problem(data: bytes) -> str | None:
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            break
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(data[position + 4 : end - 4]) != checksum:
            return f"a PNG whose {kind.decode('latin-1')} chunk at byte {position} has a wrong checksum"
        if kind == b"IEND":
            return None
        position = end
    return f"a PNG cut off after {len(data)} bytes"


def _jpeg_problem(data: bytes) -> str | None:
    position, num_scans = len(JPEG_START), 0
    while position + 2 <= len(data):
        if data[position] != 0xFF:
            return f"a JPEG without a marker at byte {position}"
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1  # filling
            continue
        if marker == _JPEG_END:
            return None if num_scans else "a JPEG without image data"
        if position + 4 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + length
        if marker == _JPEG_SCAN:
            num_scans += 1
            match = _MARKER_AFTER_SCAN.search(data, position)
            if match is None:
                break
            position = match.start()
    return f"a JPEG cut off after {len(data)} bytes"


def _decode(data: bytes, flags: int, name: str) -> npt.NDArray[Any]:
    import cv2

    check_whole(data, name=name)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        found = f"one OpenCV cannot decode ({error})"
        raise InputError(describe(what=name, expected="a PNG or JPEG image", found=found, fix=_FIX)) from error
    if pixels is None:
        found = "one OpenCV cannot decode"
        raise InputError(describe(what=name, expected="a PNG or JPEG image", found=found, fix=_FIX))
    return np.asarray(pixels)


def _check_size(pixels: npt.NDArray[Any], size_wh: tuple[int, int] | None, name: str) -> None:
    height, width = pixels.shape[:2]
    if size_wh is not None and (width, height) != size_wh:
        expected, found = f"{size_wh[0]} x {size_wh[1]} px", f"{width} x {height} px"
        fix = "Use the images at their published size: K and boxes belong to it."
        raise InputError(describe(what=name, expected=expected, found=found, fix=fix))
