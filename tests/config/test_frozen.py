import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from hoiray.config.frozen import FrozenDict, FrozenList, frozen

NESTED: dict[str, Any] = {"a": 1, "layers": [1, {"deep": [0.5]}]}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.__setitem__("a", 2),
        lambda d: d.__delitem__("a"),
        lambda d: d.__ior__({"b": 1}),
        lambda d: d.update(b=1),
        lambda d: d.setdefault("b", 1),
        lambda d: d.pop("a"),
        lambda d: d.popitem(),
        lambda d: d.clear(),
        lambda d: d["layers"].__setitem__(0, 2),
        lambda d: d["layers"].__delitem__(0),
        lambda d: d["layers"].__iadd__([1]),
        lambda d: d["layers"].__imul__(2),
        lambda d: d["layers"].append(1),
        lambda d: d["layers"].extend([1]),
        lambda d: d["layers"].insert(0, 1),
        lambda d: d["layers"].pop(),
        lambda d: d["layers"].remove(1),
        lambda d: d["layers"].reverse(),
        lambda d: d["layers"].sort(),
        lambda d: d["layers"].clear(),
        lambda d: d["layers"][1].update(deep=1),
        lambda d: d["layers"][1]["deep"].append(1),
    ],
)
def test_no_method_changes_a_frozen_value_at_any_depth(change: Callable[[Any], object]) -> None:
    value = frozen(NESTED)
    with pytest.raises(TypeError, match="cannot be changed"):
        change(value)
    assert value == NESTED


def test_every_method_by_which_a_dict_or_list_changes_is_refused() -> None:
    harmless = {"copy", "fromkeys", "get", "items", "keys", "values", "count", "index"}
    for frozen_type, plain in ((FrozenDict, dict), (FrozenList, list)):
        public = {name for name in vars(plain) if not name.startswith("__")} - harmless
        assert {name for name in public if name not in vars(frozen_type)} == set()


def test_a_frozen_value_equals_the_plain_one_and_does_not_share_it() -> None:
    plain = copy.deepcopy(NESTED)
    value = frozen(plain)
    plain["layers"][1]["deep"].append(2)
    assert value == NESTED
    assert json.dumps(value) == json.dumps(NESTED)
    assert frozen("text") == "text"


@pytest.mark.parametrize(
    "again", [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy, copy.copy], ids=["pickle", "deep", "copy"]
)
def test_a_copy_is_frozen_too(again: Callable[[Any], Any]) -> None:
    value = again(frozen(NESTED))
    assert value == NESTED
    assert (type(value), type(value["layers"][1]["deep"])) == (FrozenDict, FrozenList)


def test_equal_values_have_equal_hashes_whatever_their_order() -> None:
    assert hash(frozen({"a": [1], "b": 2})) == hash(frozen({"b": 2, "a": [1]}))
    assert hash(frozen({"a": [1]})) != hash(frozen({"a": [2]}))
