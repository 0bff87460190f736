"""Reading large JSON files in bounded memory, and lists of numbers out of them.

The published label files reach gigabytes (`training_verts.json`, Something-Else's boxes). Their outermost container is
walked item by item: one item at a time is in memory, and where each lies is told, so that it can be read again alone.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from hoiray.datasets.sample import FloatArray
from hoiray.errors import ContractError, describe
from hoiray.io.store import Store

CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Read at once; a video's boxes are some 20 KB, a hand's vertices 50 KB."""

_SPACE = re.compile(r"[ \t\r\n]*")
_IN_NUMBERS: Final = frozenset("0123456789.eE+-")
_FIX: Final = "The file is truncated or damaged: copy it again."


class ByteSource(Protocol):
    """Anything with `read`."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


@dataclass(frozen=True)
class Item:
    """One item of the outermost list or object.

    Attributes:
        key: its key; None in a list.
        value: parsed.
        start, end: where its text lies in the file, bytes.
    """

    key: str | None
    value: Any
    start: int
    end: int


def read_range(store: Store, key: str, start: int, end: int) -> bytes:
    """Read the bytes [start, end) of a file.

    Raises:
        InputError: it is missing or shorter.
    """
    return store.read_range(key, start, end)


def read_json(store: Store, key: str) -> object:
    """Parse a whole file.

    Raises:
        InputError: it is missing.
        ContractError: it is no JSON; NaN and Infinity, which Python writes though JSON has none, are read as such.
    """
    data = store.read(key)
    try:
        parsed: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ContractError(
            describe(what=store.url(key), expected="a JSON file", found=f"{type(error).__name__}: {error}", fix=_FIX)
        ) from error
    return parsed


def iterate_items(source: ByteSource, *, name: str, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Item]:
    """Walk the items of the outermost list or object of a JSON text.

    Args:
        source: the text, UTF-8.
        name: what messages call it.
        chunk_bytes: how much is read at once.

    Raises:
        ContractError: the text is cut off or no JSON list or object.
    """
    # One byte is one character of Latin-1, so positions are bytes; structure is ASCII, and values are decoded anew.
    window = _Window(source, name, chunk_bytes)
    opening = window.take_mark("[{")
    closing = "]" if opening == "[" else "}"
    if window.peek_mark() == closing:
        return
    while True:
        key: str | None = None
        if opening == "{":
            key = window.take_key()
            window.take_mark(":")
        text, value, start, end = window.take_value()
        if not text.isascii():
            value = json.loads(text.encode("latin-1"))
        yield Item(key=key, value=value, start=start, end=end)
        if window.take_mark("," + closing) == closing:
            return


def iterate_lists(
    source: ByteSource, names: Collection[str], *, name: str, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[str, Any]]:
    """Walk the items of some of the lists that an object holds (`{"images": [...], "annotations": [...]}`), in order.

    Args:
        source: the text, UTF-8.
        names: of the lists wanted; whatever else the object holds is skipped, one value in memory at a time.
        name: what messages call it.
        chunk_bytes: how much is read at once.

    Yields:
        The name of the list, and an item.

    Raises:
        ContractError: the text is cut off or no JSON object, or one of the names holds no list.
    """
    window = _Window(source, name, chunk_bytes)
    window.take_mark("{")
    if window.peek_mark() == "}":
        return
    while True:
        key = window.take_key()
        window.take_mark(":")
        if key in names:
            for value in _list_items(window):
                yield key, value
        else:
            window.take_value()
        if window.take_mark(",}") == "}":
            return


def _list_items(window: "_Window") -> Iterator[Any]:
    window.take_mark("[")
    if window.peek_mark() == "]":
        window.take_mark("]")
        return
    while True:
        text, value, _, _ = window.take_value()
        yield value if text.isascii() else json.loads(text.encode("latin-1"))
        if window.take_mark(",]") == "]":
            return


def read_numbers(
    store: Store, key: str, shape: tuple[int, ...], *, dtype: type[np.floating[Any]] = np.float64
) -> FloatArray:
    """Read a JSON list of equally shaped arrays of numbers.

    Args:
        store: where it lies.
        key: the file.
        shape: of one entry; `()` for plain numbers. Singleton axes around it are accepted (FreiHAND's 1 x 61).
        dtype: of the result.

    Returns:
        (N, *shape); numbers that are not finite are kept, since they spoil one sample and not the set.

    Raises:
        InputError: the file is missing.
        ContractError: it is cut off, no list, or an entry has another shape or no numbers; the message says which.
    """
    rows: list[npt.NDArray[Any]] = []
    name = store.url(key)
    with store.open_input(key) as file:
        for item in iterate_items(file, name=name):
            rows.append(_numbers(item.value, shape, dtype, f"{name}, entry {len(rows)}"))
            if item.key is not None:
                found = "an object with keys"
                raise ContractError(describe(what=name, expected="a list of arrays", found=found, fix=_FIX))
    return np.stack(rows) if rows else np.empty((0, *shape), dtype=dtype)


def _numbers(value: object, shape: tuple[int, ...], dtype: type[np.floating[Any]], what: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        expected, found = f"numbers of shape {shape}", f"something else ({error})"
        raise ContractError(describe(what=what, expected=expected, found=found, fix=_FIX)) from error
    if array.shape != shape and array.squeeze().shape != tuple(size for size in shape if size != 1):
        expected, found = f"numbers of shape {shape}", f"shape {array.shape}"
        fix = "Check that this is the published file of that name."
        raise ContractError(describe(what=what, expected=expected, found=found, fix=fix))
    return array.reshape(shape)


class _Window:
    """The part of the text that is in memory, and a position in it."""

    def __init__(self, source: ByteSource, name: str, chunk_bytes: int) -> None:
        self._source, self._name, self._chunk_bytes = source, name, chunk_bytes
        self._text, self._position, self._offset = "", 0, 0
        self._is_ended = False
        self._decoder = json.JSONDecoder()

    def take_mark(self, wanted: str) -> str:
        """Take one of the characters of `wanted`, after white space."""
        found = self.peek_mark()
        if not found or found not in wanted:
            raise self._error(f"one of {' '.join(wanted)}", repr(found) if found else "the end of the file")
        self._position += 1
        return found

    def peek_mark(self) -> str:
        """Return the next character after white space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text) or not self._read_more():
                return self._text[self._position : self._position + 1]

    def take_key(self) -> str:
        """Take the name of an item."""
        if self.peek_mark() != '"':
            raise self._error("a name in quotes", repr(self.peek_mark()) if self.peek_mark() else "the end of the file")
        return str(json.loads(self.take_value()[0].encode("latin-1")))

    def take_value(self) -> tuple[str, Any, int, int]:
        """Take a value; return its text, what it is (text as Latin-1), and where it lies."""
        self.peek_mark()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except (ValueError, RecursionError) as error:
                if not self._read_more():
                    raise self._error("a complete value", f"{type(error).__name__}: {error}") from error
                continue
            # a number at the end of the window may go on behind it: "0" and "0." are both the start of "0.5"
            is_over = end < len(self._text) and self._text[end] not in _IN_NUMBERS
            if is_over or not self._read_more():
                break
        text, start = self._text[self._position : end], self._offset + self._position
        self._position = end
        return text, value, start, start + len(text)

    def _read_more(self) -> bool:
        if self._is_ended:
            return False
        data = self._source.read(self._chunk_bytes)
        self._is_ended = not data
        self._offset += self._position
        self._text, self._position = self._text[self._position :] + data.decode("latin-1"), 0
        return bool(data)

    def _error(self, expected: str, found: str) -> ContractError:
        what = f"{self._name}, byte {self._offset + self._position}"
        return ContractError(describe(what=what, expected=expected, found=found, fix=_FIX))
