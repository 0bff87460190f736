"""Boxes a user gives: a JSON list, one entry a hand.

    [{"key": "SM1/0003", "hand_box": [210, 95, 330, 240], "is_right": true, "object_box": [250, 60, 400, 300]},
     {"key": "12", "hand_box": [...], "is_right": false}]

`key` is a sample's id for `hoiray evaluate`, and an image's file name or a frame's number (counted from 0) for
`hoiray predict`. `object_box` may be left out or null. Pixels, corners x0, y0, x1, y1, pixel centres at integers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import InputError, describe
from hoiray.geometry.boxes import is_valid

EXPECTED: Final = 'a JSON list of {"key": ..., "hand_box": [x0, y0, x1, y1], "is_right": true or false}'


@dataclass(frozen=True, eq=False)
class GivenBox:
    """A hand's box, its side, and the box of its object (NaN where none is given)."""

    hand_box_xyxy: npt.NDArray[np.float64]
    is_right: bool
    object_box_xyxy: npt.NDArray[np.float64]


def read_boxes(path: Path) -> Mapping[str, tuple[GivenBox, ...]]:
    """Read a boxes file: key to the hands of that sample or frame, in the order of the file.

    Raises:
        InputError: it is missing, no such list, or an entry is none; the message names the entry.
    """
    if not path.is_file():
        fix = "Name a boxes file, or give --box."
        raise InputError(describe(what=str(path), expected=EXPECTED, found="nothing there", fix=fix))
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(describe(what=str(path), expected=EXPECTED, found=str(error), fix="Correct it.")) from error
    if not isinstance(entries, list) or not entries:
        found = f"a {type(entries).__name__}" if entries else "an empty one"
        raise InputError(describe(what=str(path), expected=EXPECTED, found=found, fix="Correct it."))
    hands: dict[str, list[GivenBox]] = {}
    for number, entry in enumerate(entries):
        what = f"{path}, entry {number}"
        key, box = _entry(entry, what)
        hands.setdefault(key, []).append(box)
    return {key: tuple(boxes) for key, boxes in hands.items()}


def _entry(entry: object, what: str) -> tuple[str, GivenBox]:
    if not isinstance(entry, dict) or not isinstance(entry.get("is_right"), bool) or "key" not in entry:
        found = str(entry)[:200]
        fix = "Name key and side of every hand: a network of right hands must know which to mirror."
        raise InputError(describe(what=what, expected=EXPECTED, found=found, fix=fix))
    hand = _box(entry.get("hand_box"), f"{what}, hand_box")
    given = entry.get("object_box")
    thing = np.full(4, np.nan) if given is None else _box(given, f"{what}, object_box")
    return str(entry["key"]), GivenBox(hand, entry["is_right"], thing)


def _box(values: object, what: str) -> npt.NDArray[np.float64]:
    try:
        box = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        box = np.empty(0)
    if box.shape != (4,) or not bool(is_valid(box)):
        expected, fix = "four numbers x0, y0, x1, y1 with x0 < x1 and y0 < y1", "Correct it."
        raise InputError(describe(what=what, expected=expected, found=str(values), fix=fix))
    return box


def parse_box(text: str, option: str) -> npt.NDArray[np.float64]:
    """Read a box given as `x0,y0,x1,y1` on the command line.

    Raises:
        InputError: it is none.
    """
    parts = text.split(",")
    try:
        numbers: object = [float(part) for part in parts]
    except ValueError:
        numbers = text
    return _box(numbers, option)
