"""Reading ``.npz`` archives of plain numbers without trusting them.

``np.load`` evaluates the header of an array as Python source, allocates what the header claims, unpacks by any method a
zip file may name, and lets through what each of these raises (``TokenError``, ``MemoryError``, ``LZMAError`` and more).
Here a header is matched against the form NumPy's format description gives it, nothing is evaluated, a claim larger than
the member is refused before memory is taken for it, and every refusal names file and key.
"""

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError
from hoiray.hand.files import file_error

Array: TypeAlias = npt.NDArray[Any]

MAX_MEMBERS: Final = 1000
"""A model has about a dozen. Each entry of the archive's directory takes a kilobyte of memory once it is read."""

_MAX_HEADER_BYTES: Final = 10_000
"""NumPy's own limit; the header of a plain array takes 128 bytes."""

_LENGTH_FORMATS: Final = {b"\x01\x00": "<H", b"\x02\x00": "<I", b"\x03\x00": "<I"}
"""How each version of the format writes the length of its header."""

_ENTRY: Final = re.compile(
    r"\s*+(?:'descr'\s*+:\s*+'(?P<descr>[^'\\]*+)'"
    r"|'fortran_order'\s*+:\s*+(?P<fortran_order>True|False)"
    r"|'shape'\s*+:\s*+\((?P<shape>\s*+(?:[0-9]{1,19}+L?\s*+(?:,\s*+|(?=\))))*+)\))\s*+(?:,|(?=\}))"
)
"""One entry of a header. Python 2 wrote sizes with an L. All repetition is possessive: no input makes it slow."""

_NUMBERS: Final = re.compile(r"[<>=|]?(?:[iu][1248]|f[248])")
"""The types that are read: integers and floating-point numbers whose size is the same on every machine."""

_FIX_COPY: Final = "The file is truncated or damaged: copy it again."
_FIX_SAVE: Final = "Save the arrays again, as plain numbers, with np.savez."

# What zipfile and zlib raise on a damaged archive: their own errors, and those of the code they parse it with.
_ZIP_ERRORS: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, OverflowError),
    *(NotImplementedError, RuntimeError, IndexError, KeyError),
)


def read_npz(content: bytes, keys: Iterable[str], *, path: Path, max_bytes: int) -> dict[str, Array]:
    """Read arrays of plain numbers from an ``.npz`` archive.

    Args:
        content: the whole file.
        keys: the arrays that are wanted; others are not looked at.
        path: what messages call the file.
        max_bytes: the arrays may unpack to this much together.

    Returns:
        Those of ``keys`` that the archive has, with the type, byte order and shape of the file; read-only.

    Raises:
        ContractError: the file is no zip archive or a damaged one, a member is encrypted, packed by another method
            than NumPy's two, present twice or larger than the limit, or does not hold one array of real numbers.
    """
    if content.count(b"PK\x01\x02") > MAX_MEMBERS:
        found = f"an archive of more than {MAX_MEMBERS} members"
        raise file_error(path, None, expected="an .npz file", found=found, fix=_FIX_SAVE)
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except _ZIP_ERRORS as error:
        found = f"no zip archive, or a damaged one ({type(error).__name__}: {error})"
        raise file_error(path, None, expected="a complete .npz file", found=found, fix=_FIX_COPY) from error
    with archive:
        members = {key: _members_of(archive, key) for key in keys}
        size = sum(member.file_size for group in members.values() for member in group)
        if size > max_bytes:
            expected, found = f"arrays of at most {max_bytes} bytes", f"{size} bytes"
            raise file_error(path, None, expected=expected, found=found, fix=_FIX_SAVE)
        return {key: _read_member(archive, group, path, key) for key, group in members.items() if group}


def _members_of(archive: zipfile.ZipFile, key: str) -> list[zipfile.ZipInfo]:
    return [member for member in archive.infolist() if member.filename == f"{key}.npy"]


def _read_member(archive: zipfile.ZipFile, group: list[zipfile.ZipInfo], path: Path, key: str) -> Array:
    if len(group) > 1:
        raise file_error(path, key, expected="one array", found=f"{len(group)} of that name", fix=_FIX_SAVE)
    member = group[0]
    if member.flag_bits & 1:
        raise file_error(path, key, expected="an array", found="an encrypted one", fix=_FIX_SAVE)
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        found = f"one packed by method {member.compress_type}"
        raise file_error(path, key, expected="a stored or deflated array", found=found, fix=_FIX_SAVE)
    try:
        with archive.open(member) as file:
            # With a size, zipfile unpacks no more than that; without, all a forged stream holds.
            data = file.read(member.file_size)
    except _ZIP_ERRORS as error:
        found = f"a damaged one ({type(error).__name__}: {error})"
        raise file_error(path, key, expected="a complete array", found=found, fix=_FIX_COPY) from error
    return _array_of(data, path, key)


class _Header(NamedTuple):
    """What an ``.npy`` file says of its array, and where the array's bytes begin."""

    descr: str
    shape: tuple[int, ...]
    is_fortran: bool
    end: int


def _array_of(data: bytes, path: Path, key: str) -> Array:
    """Read one ``.npy`` file (format 1.0 to 3.0), whose bytes must fill its shape exactly."""
    header = _header_of(data, path, key)
    if not _NUMBERS.fullmatch(header.descr):
        kind = header.descr.lstrip("<>=|")
        found = "pickled objects" if kind == "O" else f"a header of the type {header.descr[:40]!r}"
        raise file_error(path, key, expected="an array of real numbers", found=found, fix=_FIX_SAVE)
    dtype: np.dtype[Any] = np.dtype(header.descr)
    num_bytes = len(data) - header.end
    if math.prod(header.shape) * dtype.itemsize != num_bytes:
        found = f"a header of shape {str(header.shape)[:60]} and type {dtype} before {num_bytes} bytes"
        raise file_error(path, key, expected="an array that fills its shape", found=found, fix=_FIX_COPY)
    flat: Array = np.frombuffer(data, dtype, offset=header.end) if num_bytes else np.empty(0, dtype)
    try:
        return flat.reshape(header.shape, order="F" if header.is_fortran else "C")
    except ValueError as error:  # more axes than NumPy has, or 2 ** 63 rows of nothing
        found = f"shape {str(header.shape)[:60]}"
        raise file_error(path, key, expected="a shape NumPy knows", found=found, fix=_FIX_COPY) from error


def _header_of(data: bytes, path: Path, key: str) -> _Header:
    def refused(found: str) -> ContractError:
        return file_error(path, key, expected="an array in NumPy's format", found=found, fix=_FIX_COPY)

    length_format = _LENGTH_FORMATS.get(data[6:8])
    if data[:6] != np.lib.format.MAGIC_PREFIX or length_format is None:
        raise refused(f"{len(data)} bytes that begin with {data[:8]!r}")
    begin = 8 + struct.calcsize(length_format)
    end = begin + int.from_bytes(data[8:begin], "little")
    if end - begin > _MAX_HEADER_BYTES or end > len(data):
        raise refused(f"a header of {end - begin} bytes in an array of {len(data)}")
    text = data[begin:end].decode("latin-1").strip()
    entries: dict[str, str] = {}
    position = 1
    while match := _ENTRY.match(text, position):
        entries |= {name: value for name, value in match.groupdict().items() if value is not None}
        position = match.end()
    if text[:1] != "{" or text[position:].strip() != "}" or len(entries) != 3:
        raise refused(f"the header {text[:100]!r}")
    shape = tuple(int(size) for size in re.findall("[0-9]+", entries["shape"]))
    return _Header(entries["descr"], shape, is_fortran=entries["fortran_order"] == "True", end=end)
