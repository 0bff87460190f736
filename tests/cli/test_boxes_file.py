import json
from pathlib import Path

import numpy as np
import pytest

from hoiray.cli.boxes_file import parse_box, read_boxes
from hoiray.errors import InputError

GOOD = {"key": "a", "hand_box": [1, 2, 30.5, 40], "is_right": True}


def write(folder: Path, value: object) -> Path:
    path = folder / "boxes.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_hands_are_found_by_their_key_in_the_order_of_the_file(tmp_path: Path) -> None:
    entries = [GOOD, GOOD | {"key": 7, "is_right": False}, GOOD | {"object_box": [0, 0, 9, 9]}]
    boxes = read_boxes(write(tmp_path, entries))
    assert list(boxes) == ["a", "7"]
    assert [box.is_right for box in boxes["a"]] == [True, True]
    np.testing.assert_array_equal(boxes["a"][0].hand_box_xyxy, [1, 2, 30.5, 40])
    assert np.isnan(boxes["a"][0].object_box_xyxy).all()
    np.testing.assert_array_equal(boxes["a"][1].object_box_xyxy, [0, 0, 9, 9])
    assert not boxes["7"][0].is_right


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[{", "JSON list"),
        ([], "an empty one"),
        ({"a": 1}, "a dict"),
        ([GOOD, {"key": "b", "hand_box": [1, 2, 3, 4]}], "entry 1.*which to mirror"),
        ([GOOD | {"is_right": 1}], "entry 0"),
        ([GOOD | {"hand_box": [1, 2, 3]}], "entry 0, hand_box"),
        ([GOOD | {"hand_box": [9, 2, 3, 40]}], "x0 < x1"),
        ([GOOD | {"hand_box": None}], "hand_box"),
        ([GOOD | {"object_box": "wide"}], "entry 0, object_box"),
    ],
)
def test_an_entry_that_is_no_box_is_named(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_boxes(write(tmp_path, value))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --box"):
        read_boxes(tmp_path / "none.json")


def test_a_box_of_the_command_line() -> None:
    np.testing.assert_array_equal(parse_box("1,2,3.5,4", "--box"), [1, 2, 3.5, 4])
    for wrong in ("1,2,3", "a,b,c,d", "3,2,1,4", ""):
        with pytest.raises(InputError, match="--box"):
            parse_box(wrong, "--box")
