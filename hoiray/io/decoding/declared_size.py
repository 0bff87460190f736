"""Whether a file is as long as its own headers say: what tells a file that was cut off from one that counts wrongly."""

import os
import struct
from typing import BinaryIO, Final

RIFF: Final = b"RIFF"
EBML: Final = b"\x1a\x45\xdf\xa3"
SEGMENT: Final = 0x18538067
MP4_BOXES: Final = frozenset(
    {
        b"ftyp",
        b"moov",
        b"mdat",
        b"free",
        b"skip",
        b"wide",
        b"uuid",
        b"moof",
        b"mfra",
        b"sidx",
        b"styp",
        b"meta",
        b"udta",
    }
)


def missing_bytes(file: BinaryIO) -> int | None:
    """Return how many bytes the file is shorter than its headers say.

    Args:
        file: a seekable file; mp4/mov, Matroska/WebM and AVI are understood.

    Returns:
        0 where it is whole; None where the format does not say.
    """
    size = file.seek(0, os.SEEK_END)
    head = _read_at(file, 0, 12)
    if head.startswith(RIFF):
        return _missing(_riff_end(file, size), size)
    if head.startswith(EBML):
        return _missing(_matroska_end(file), size)
    if head[4:8] in MP4_BOXES:
        return _missing(_mp4_end(file, size), size)
    return None


def _missing(end: int | None, size: int) -> int | None:
    return None if end is None else max(0, end - size)


def _read_at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def _riff_end(file: BinaryIO, size: int) -> int | None:
    """Follow the RIFF chunks; files above a gigabyte have several."""
    end = 0
    while end < size:
        head = _read_at(file, end, 8)
        if len(head) < 8 or not head.startswith(RIFF):
            return end
        length = struct.unpack_from("<I", head, 4)[0]
        if length == 0:
            return None  # a writer that was never closed, or one that streams
        end += 8 + length + length % 2
    return end


def _mp4_end(file: BinaryIO, size: int) -> int:
    end = 0
    while end < size:
        head = _read_at(file, end, 16)
        if len(head) < 8 or head[4:8] not in MP4_BOXES:
            return min(end, size)
        length = int(struct.unpack_from(">I", head)[0])
        if length == 1 and len(head) == 16:
            length = int(struct.unpack_from(">Q", head, 8)[0])
        if length == 0:
            return size  # up to the end of the file
        if length < 8:
            return size
        end += length
    return end


def _matroska_end(file: BinaryIO) -> int | None:
    position = 4
    length, used = _vint(_read_at(file, position, 8), keeps_marker=False)
    if length is None:
        return None
    position += used + length
    identifier, used = _vint(_read_at(file, position, 8), keeps_marker=True)
    if identifier != SEGMENT:
        return None
    position += used
    length, used = _vint(_read_at(file, position, 8), keeps_marker=False)
    return None if length is None else position + used + length


def _vint(data: bytes, *, keeps_marker: bool) -> tuple[int | None, int]:
    """Read a number of EBML: its first set bit tells how many bytes it has; all others set means unknown."""
    if not data or data[0] == 0:
        return None, 0
    used = 9 - data[0].bit_length()
    if len(data) < used:
        return None, 0
    value = int.from_bytes(data[:used], "big")
    if keeps_marker:
        return value, used
    mask = (1 << (7 * used)) - 1
    return (None if value & mask == mask else value & mask), used
