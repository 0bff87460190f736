"""Whether a packet shows a picture, read from its first bits.

Encoders may store pictures that are only referred to, and damaged files hold packets without any. A decoder that counts
packets then counts too many frames: decord fills up with repeats of the last one.
"""

from collections.abc import Iterator
from typing import Final

H264_PICTURES: Final = range(1, 6)
"""Types of NAL units that carry a part of a picture (H.264, table 7-1)."""

HEVC_PICTURES: Final = range(32)
"""The same for HEVC (table 7-1); reserved types below 32 are of pictures too."""

CHECKED_CODECS: Final = frozenset({"h264", "hevc", "vp8", "vp9"})


def nal_length_bytes(codec: str, extradata: bytes | None) -> int | None:
    """Return how many bytes tell the length of a NAL unit (avcC, hvcC); None where start codes part them."""
    if not extradata or extradata[0] != 1:
        return None
    position = {"h264": 4, "hevc": 21}[codec]
    return (extradata[position] & 3) + 1 if len(extradata) > position else None


def shows_picture(codec: str, data: bytes, length_bytes: int | None) -> bool:
    """Say whether a packet shows a picture.

    Args:
        codec: one of `CHECKED_CODECS`.
        data: the packet.
        length_bytes: see :func:`nal_length_bytes`; None: not looked into, taken for one that does.
    """
    if not data:
        return False
    if codec == "vp8":
        return bool(data[0] & 0x10)
    if codec == "vp9":
        return any(_vp9_is_shown(data[start]) for start in _vp9_starts(data))
    if length_bytes is None:
        return True
    if codec == "h264":
        return any(data[start] & 0x1F in H264_PICTURES for start in _nal_starts(data, length_bytes))
    return any(data[start] >> 1 & 0x3F in HEVC_PICTURES for start in _nal_starts(data, length_bytes))


def _nal_starts(data: bytes, length_bytes: int) -> Iterator[int]:
    position = 0
    while position + length_bytes < len(data):
        length = int.from_bytes(data[position : position + length_bytes], "big")
        yield position + length_bytes
        position += length_bytes + length


def _vp9_starts(data: bytes) -> Iterator[int]:
    """Yield where the frames of a VP9 packet begin; a superframe has an index at its end (VP9, annex B)."""
    marker = data[-1]
    num_frames, size_bytes = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = len(data) - (2 + num_frames * size_bytes)
    if marker & 0xE0 != 0xC0 or index < 0 or data[index] != marker:
        yield 0
        return
    position = 0
    for number in range(num_frames):
        size_at = index + 1 + number * size_bytes
        if position < index:
            yield position
        position += int.from_bytes(data[size_at : size_at + size_bytes], "little")


def _vp9_is_shown(first_byte: int) -> bool:
    bits = first_byte << 1 if first_byte & 0x30 == 0x30 else first_byte  # profile 3 has one bit more before these
    return bool(bits & 0x08) or bool(bits & 0x02)
