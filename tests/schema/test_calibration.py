import json

import pytest
from trust_scenes import calibration

from hoiray.errors import ContractError
from hoiray.schema.calibration import ConfidenceModel, TreeTable, parse_calibration

LEAVES = {"threshold": (0.0,) * 3, "nan_goes_left": (False,) * 3, "value": (0.1, 1.0 / 3.0, 1e-17)}
TREE = TreeTable(feature=(0, -1, -1), left=(1, 0, 0), right=(2, 0, 0), **LEAVES)
MODEL = ConfidenceModel(features=("box_iou",), base=0.1, trees=(TREE,), slope=1.0, intercept=-0.1)


def test_a_calibration_is_read_as_it_was_written_to_the_last_bit() -> None:
    written = calibration(MODEL)
    assert parse_calibration(written.to_json(), "limits.json") == written
    assert parse_calibration(written.to_json(), "limits.json").to_json() == written.to_json()


def test_a_file_from_before_there_were_guards_is_read() -> None:
    content = json.loads(calibration(MODEL).to_json())
    del content["guards"]
    assert parse_calibration(json.dumps(content), "here").guards is None
    with pytest.raises(ContractError, match=r"limits file here, guards\.limits"):
        parse_calibration(json.dumps(content | {"guards": {"chosen": "loose", "limits": []}}), "here")


def test_a_broken_file_is_refused_with_its_place() -> None:
    content = json.loads(calibration(MODEL).to_json())
    for change, word in (
        ({"calibration_version": 2}, "calibration_version"),
        ({"min_confidence": 1.5}, "min_confidence"),
        ({"surprise": 1}, "surprise"),
    ):
        with pytest.raises(ContractError, match=rf"limits file here, {word}"):
            parse_calibration(json.dumps(content | change), "here")
    with pytest.raises(ContractError, match="limits file here"):
        parse_calibration("no json", "here")


def test_a_tree_that_would_never_end_is_refused() -> None:
    for left, right in (((0, 0, 0), (2, 0, 0)), ((1, 0, 0), (3, 0, 0))):
        with pytest.raises(ValueError, match="expected nodes after it"):
            TreeTable(feature=(0, -1, -1), left=left, right=right, **LEAVES)


def test_a_tree_that_asks_for_what_is_not_listed_is_refused() -> None:
    with pytest.raises(ValueError, match="not listed"):
        MODEL.model_validate(MODEL.model_dump() | {"features": ()})
