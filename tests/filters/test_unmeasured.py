import numpy as np
import pytest

from hoiray.filters import unmeasured
from hoiray.schema.vocabularies import UNMEASURED_REASONS


def test_every_word_has_a_code_of_its_own_and_none_is_that_of_measured() -> None:
    codes = [unmeasured.code_of(word) for word in UNMEASURED_REASONS]
    assert unmeasured.MEASURED not in codes
    assert len(set(codes)) == len(codes)
    assert [unmeasured.WORDS[code - 1] for code in codes] == list(UNMEASURED_REASONS)


def test_rounding_changes_nothing_but_the_type() -> None:
    values, reasons = np.array([[0.1, np.nan]]), np.array([[0, unmeasured.GAP]], dtype=np.uint8)
    stored, codes = unmeasured.rounded(values, reasons)
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, np.float32([[0.1, np.nan]]))
    assert codes.tolist() == [[0, unmeasured.GAP]]


@pytest.mark.parametrize("value", [1e39, -1e39, np.inf])
def test_a_number_that_float32_cannot_hold_is_not_measured(value: float) -> None:
    stored, codes = unmeasured.rounded(np.array([[value, 1.0]]), np.zeros((1, 2), dtype=np.uint8))
    np.testing.assert_array_equal(stored, np.float32([[np.nan, 1.0]]))
    assert codes.tolist() == [[unmeasured.NON_FINITE, 0]]
