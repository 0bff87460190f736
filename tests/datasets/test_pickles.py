import pickle
from pathlib import Path

import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.pickles import finite_array, read_meta, require_keys
from hoiray.errors import InputError
from hoiray.io.store import Store


@pytest.mark.parametrize("protocol", ["python 2", 0, 2, 5])
def test_metas_of_every_python_are_read(tmp_path: Path, protocol: str | int) -> None:
    entries = {"K": np.arange(9.0).reshape(3, 3), "name": "caf\xe9", "none": None}
    data = files.python2_pickle(entries) if protocol == "python 2" else pickle.dumps(entries, protocol=protocol)  # type: ignore[arg-type]  # int
    Store.open(tmp_path).write("x.pkl", data)
    meta = read_meta(Store.open(tmp_path), "x.pkl")
    np.testing.assert_array_equal(meta["K"], entries["K"])
    assert (meta["name"], meta["none"]) == ("caf\xe9", None)


@pytest.mark.parametrize("data", [b"", b"junk", pickle.dumps([1]), pickle.dumps({"a": Path("x")}), b"\x80\x02}("])
def test_what_is_no_plain_dictionary_is_named(tmp_path: Path, data: bytes) -> None:
    Store.open(tmp_path).write("x.pkl", data)
    with pytest.raises(InputError, match=r"x\.pkl"):
        read_meta(Store.open(tmp_path), "x.pkl")


def test_missing_keys_are_named_with_those_present() -> None:
    require_keys({"a": 1}, ("a",), name="f")
    with pytest.raises(InputError, match=r"^f: expected the keys a, b, c, found no b, c among a, z"):
        require_keys({"a": 1, "z": 2}, ("a", "b", "c"), name="f")


def test_columns_and_rows_of_one_are_the_same_vector() -> None:
    assert finite_array({"r": np.ones((3, 1))}, "r", (3,), name="f").shape == (3,)
    assert finite_array({"r": [1, 2, 3]}, "r", (3,), name="f").dtype == np.float64


@pytest.mark.parametrize(
    "value", [np.ones(4), np.ones((3, 3)), [1, 2, np.nan], [1, 2, np.inf], "abc", None, [1, "a", 2]]
)
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"^f, 'r': expected"):
        finite_array({"r": value}, "r", (3,), name="f")
