"""What JSON cannot hold becomes null."""

import json

import numpy as np

from hoiray.io.json_values import nan_to_none


def test_numbers_that_are_not_finite_become_null_at_any_depth() -> None:
    numbers = [1.5, (float("inf"), -float("inf"))]
    value = {"a": float("nan"), "b": numbers, "c": {"d": np.float64("nan")}, "e": "nan", "f": 3}
    assert nan_to_none(value) == {"a": None, "b": [1.5, [None, None]], "c": {"d": None}, "e": "nan", "f": 3}
    assert json.loads(json.dumps(nan_to_none(value), allow_nan=False))["b"][0] == 1.5
    assert numbers == [1.5, (float("inf"), -float("inf"))]
