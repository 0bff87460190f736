import json

import numpy as np

from hoiray.evaluation.bootstrap import Interval
from hoiray.evaluation.tables import Column, Table
from hoiray.evaluation.write import json_document, markdown

NAN = float("nan")
HANDS = Table(
    "hands",
    "Hands",
    "A note.",
    {"model": Column("mine"), "constant": Column("constant hand"), "gain": Column("gain over constant")},
    {
        "mpjpe_mm": {"model": Interval(12.345, 11.0, 13.0), "constant": Interval(30.0, NAN, NAN),
                     "gain": Interval(0.5885, 0.55, 0.62)},
        "pa_f_at_15mm": {"model": Interval(0.9512, 0.94, 0.96), "gain": Interval(0.1, -0.1, 0.3)},
    },
)  # fmt: skip
PARTS = Table(
    "by object",
    "By object",
    "",
    {"num_hands": Column("hands"), "error": Column("error", "mm", 1), "accuracy": Column("correct", "%", 1)},
    {"a|b": {"num_hands": 7, "error": 2.34, "accuracy": Interval(NAN, NAN, NAN)}, "c": {"num_hands": 3, "error": NAN}},
)
HEADER = {"hoiray": "0.1", "hands": 10, "boxes": "annotated"}


def test_markdown_says_first_what_the_numbers_are() -> None:
    text = markdown("Evaluation of mine", HEADER, [HANDS, PARTS])
    lines = text.splitlines()
    assert lines[0] == "# Evaluation of mine"
    assert lines[2:5] == ["- **hoiray**: 0.1", "- **hands**: 10", "- **boxes**: annotated"]
    assert "|  | mine | constant hand | gain over constant |" in lines
    assert "| MPJPE, root-relative, mm | 12.35 [11.00, 13.00] | 30.00 | 58.9 % [55.0, 62.0] |" in lines
    assert "| F@15 mm, PA (the papers' F@15) | 0.951 [0.940, 0.960] | - | 0.100 [-0.100, 0.300] |" in lines
    assert "|  | hands | error, mm | correct, % |" in lines
    assert "| a/b | 7 | 2.3 | - |" in lines
    assert "| c | 3 | - | - |" in lines
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert widths == {5}


def test_json_holds_the_same_numbers_unrounded_and_null_for_what_is_not_known() -> None:
    document = json.loads(json_document("Evaluation", HEADER | {"objects": ["x"]}, [HANDS, PARTS]))
    assert document["layout_version"] == 1
    assert document["header"]["objects"] == ["x"]
    row = document["tables"]["hands"]["rows"]["mpjpe_mm"]
    assert row["model"] == {"value": 12.345, "low": 11.0, "high": 13.0}
    assert row["constant"] == {"value": 30.0, "low": None, "high": None}
    parts = document["tables"]["by object"]
    assert parts["rows"]["c"] == {"num_hands": 3, "error": None}
    assert parts["columns"]["error"] == {"title": "error", "unit": "mm"}
    assert np.isfinite(parts["rows"]["a|b"]["error"])
