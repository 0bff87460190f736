from typing import Any

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.predictors.detector import DetectedHands

BOX = [1.0, 2.0, 30.0, 40.0]


def _hands(**changes: Any) -> DetectedHands:
    values: dict[str, Any] = {
        "boxes_xyxy": np.array([BOX, BOX]),
        "is_right": np.array([True, False]),
        "hand_index": np.array([0, 3]),
        "sources": ("detected", "tracked"),
    }
    return DetectedHands(**(values | changes))


def test_hands_are_counted() -> None:
    assert len(_hands()) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_right": np.array([True])}, "one side, number and source each"),
        ({"boxes_xyxy": np.zeros((2, 3))}, r"boxes \(N, 4\)"),
        ({"boxes_xyxy": np.array([BOX, [5.0, 5.0, 5.0, 9.0]])}, "boxes with an area"),
        ({"boxes_xyxy": np.array([BOX, [np.nan] * 4])}, "boxes with an area"),
        ({"hand_index": np.array([1, 1])}, "a number each"),
        ({"upright_px": np.zeros((1, 2, 2))}, "one side, number and source each"),
        ({"upright_px": np.zeros((2, 4))}, r"two points of each upright square \(N, 2, 2\)"),
    ],
)
def test_what_no_frame_can_hold_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        _hands(**changes)
