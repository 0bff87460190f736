import numpy as np
import pytest

from hoiray.datasets.list_order import list_shift

REFERENCE = np.random.default_rng(0).normal(size=(30, 3))


@pytest.mark.parametrize("shift", [1, -1, 2, -8])
def test_a_list_that_moved_is_told_with_its_number(shift: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, REFERENCE.shape)
    assert list_shift(np.roll(REFERENCE, shift, axis=0) + noise, REFERENCE) == shift


def test_lists_in_order_pass_even_if_they_agree_only_roughly() -> None:
    noise = np.random.default_rng(1).normal(0, 0.3, REFERENCE.shape)
    assert list_shift(REFERENCE + noise, REFERENCE) == 0
    assert list_shift(np.zeros((30, 3)), np.zeros((30, 3))) == 0


def test_unrelated_lists_and_short_ones_are_not_called_shifted() -> None:
    assert list_shift(np.random.default_rng(2).normal(size=(30, 3)), REFERENCE) == 0
    assert list_shift(np.roll(REFERENCE[:3], 1, axis=0), REFERENCE[:3]) == 0


def test_entries_that_are_none_hide_no_shift() -> None:
    values = np.roll(REFERENCE, 1, axis=0)
    values[5] = np.nan
    assert list_shift(values, REFERENCE) == 1
    assert list_shift(np.full_like(REFERENCE, np.nan), REFERENCE) == 0
