import numpy as np
import pyarrow as pa
import pytest

from hoiray.errors import ContractError
from hoiray.filters.unmeasured import GAP, NO_BOX, WORDS
from hoiray.stages.unmeasured_column import pack_unmeasured, pack_words, unpack_unmeasured, unpack_words

NAMES = ("box_iou", "spread_3d_m", "motion_2d_mean_box_sides")


def test_codes_become_entries_in_the_order_of_the_measurements() -> None:
    codes = np.array([[0, 0, 0], [NO_BOX, 0, GAP]], dtype=np.uint8)
    column = pack_unmeasured(codes, NAMES)
    assert column.type == pa.list_(pa.string())
    assert column.to_pylist() == [[], ["box_iou:no_box", "motion_2d_mean_box_sides:gap"]]


def test_codes_survive_the_table() -> None:
    codes = np.random.default_rng(0).integers(0, len(WORDS) + 1, size=(40, 3)).astype(np.uint8)
    column = pa.chunked_array([pack_unmeasured(codes[:7], NAMES), pack_unmeasured(codes[7:], NAMES)])
    np.testing.assert_array_equal(unpack_unmeasured(column, NAMES), codes)
    np.testing.assert_array_equal(unpack_unmeasured(column, NAMES[1:2]), codes[:, 1:2])


def test_flags_survive_the_table() -> None:
    words = ("a", "b", "c")
    flags = np.random.default_rng(0).random((30, 3)) < 0.4
    column = pa.chunked_array([pack_words(flags, words)])
    assert column.to_pylist()[3] == [word for word, is_set in zip(words, flags[3], strict=True) if is_set]
    np.testing.assert_array_equal(unpack_words(column, words), flags)
    np.testing.assert_array_equal(unpack_words(column.slice(11), words), flags[11:])


def test_no_rows_are_no_lists() -> None:
    assert pack_words(np.zeros((0, 2), dtype=bool), ("a", "b")).to_pylist() == []
    assert unpack_unmeasured(pa.chunked_array([], pa.list_(pa.string())), NAMES).shape == (0, 3)


def test_another_kind_of_column_is_refused() -> None:
    with pytest.raises(ContractError, match="lists of words"):
        unpack_words(pa.chunked_array([pa.array(["a"])]), ("a",))
