import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.datasets.json_files import iterate_items, iterate_lists, read_json, read_numbers, read_range
from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(VALUES, max_size=6) | st.dictionaries(st.text(), VALUES, max_size=6), st.integers(1, 40), st.booleans())
def test_items_are_those_of_a_full_parse_wherever_the_chunks_end(value: object, chunk: int, is_ascii: bool) -> None:
    data = json.dumps(value, ensure_ascii=is_ascii, indent=chunk % 3 or None).encode("utf-8", errors="surrogatepass")
    items = list(iterate_items(io.BytesIO(data), name="x", chunk_bytes=chunk))
    assert [item.value for item in items] == (list(value.values()) if isinstance(value, dict) else value)
    assert [item.key for item in items] == (list(value) if isinstance(value, dict) else [None] * len(items))
    for item in items:
        assert json.loads(data[item.start : item.end]) == item.value


@pytest.mark.parametrize("cut", range(1, 38))
def test_every_truncation_is_noticed(cut: int) -> None:
    data = b'{"a": [1, 2, {"b": "x"}], "c": 12345}'
    assert len(list(iterate_items(io.BytesIO(data), name="x"))) == 2
    with pytest.raises(ContractError, match=r"^x, byte \d+: expected"):
        list(iterate_items(io.BytesIO(data[:-cut]), name="x", chunk_bytes=5))


@pytest.mark.parametrize("data", [b"12", b'"x"', b"[1 2]", b"{1: 2}", b"[1,]", b""])
def test_what_is_no_container_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError):
        list(iterate_items(io.BytesIO(data), name="x"))


def test_numbers_come_with_the_shape_asked_for(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write("x.json", json.dumps([[[1, 2.5]], [[3, 4]]]).encode())
    np.testing.assert_array_equal(read_numbers(store, "x.json", (2,)), [[1, 2.5], [3, 4]])
    assert read_numbers(store, "x.json", (2,), dtype=np.float32).dtype == np.float32
    store.write("x.json", b"[1, 2, NaN]")
    np.testing.assert_array_equal(read_numbers(store, "x.json", ()), [1, 2, np.nan])
    store.write("x.json", b"[]")
    assert read_numbers(store, "x.json", (3, 3)).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1, 2], [1]]", r"entry 1: expected numbers of shape \(2,\), found shape \(1,\)"),
        ('[[1, 2], ["a", "b"]]', "entry 1: expected numbers"),
        ("[[1, 2], [[1, 2], [3]]]", "entry 1: expected numbers"),
        ('{"a": [1, 2]}', "a list of arrays, found an object"),
    ],
)
def test_numbers_of_another_shape_are_named(tmp_path: Path, text: str, message: str) -> None:
    store = Store.open(tmp_path)
    store.write("x.json", text.encode())
    with pytest.raises(ContractError, match=message):
        read_numbers(store, "x.json", (2,))


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for call in (lambda: read_numbers(store, "x.json", ()), lambda: read_json(store, "x.json")):
        with pytest.raises(InputError, match=r"x\.json"):
            call()
    store.write("x.json", b"[1, 2")
    with pytest.raises(ContractError, match=r"x\.json: expected a JSON file"):
        read_json(store, "x.json")


def test_a_range_is_read_alone_and_never_short(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write("x", b"0123456789")
    assert read_range(store, "x", 3, 6) == b"345"
    with pytest.raises(InputError, match="expected at least 12 bytes, found 10"):
        read_range(store, "x", 3, 12)


@pytest.mark.s3
def test_a_file_on_s3_is_walked_too(s3_environment: object) -> None:
    store = Store.open(f"{s3_environment.uri}/json")  # type: ignore[attr-defined]  # the server
    store.write("x.json", b'{"a": [1], "b": [2, 3]}')
    with store.open_input("x.json") as file:
        items = list(iterate_items(file, name="x"))
    assert [item.value for item in items] == [[1], [2, 3]]
    assert json.loads(read_range(store, "x.json", items[1].start, items[1].end)) == [2, 3]


NESTED = (
    b'{"info": {"images": [9]}, "images": [{"id": 1}, {"id": 2}], "empty": [], "n": 1.5, '
    b'"annotations": ["\xc3\xa4", 7]}'
)


@pytest.mark.parametrize("chunk_bytes", [1, 3, 1000])
def test_lists_inside_an_object_are_walked_item_by_item(chunk_bytes: int) -> None:
    names = ("images", "annotations", "empty")
    found = list(iterate_lists(io.BytesIO(NESTED), names, name="x", chunk_bytes=chunk_bytes))
    assert found == [("images", {"id": 1}), ("images", {"id": 2}), ("annotations", "ä"), ("annotations", 7)]


def test_lists_of_a_cut_object_are_refused() -> None:
    for length in (1, 40, 60, len(NESTED) - 1):
        with pytest.raises(ContractError, match="x, byte"):
            list(iterate_lists(io.BytesIO(NESTED[:length]), ("images",), name="x"))
    with pytest.raises(ContractError, match="expected one of \\["):
        list(iterate_lists(io.BytesIO(b'{"images": 3}'), ("images",), name="x"))
    assert list(iterate_lists(io.BytesIO(b" {} "), ("images",), name="x")) == []
