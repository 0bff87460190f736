import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.geometry.arrays import all_finite, as_floats, require_broadcast


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_single_and_double_precision_are_kept_without_a_copy(dtype: type) -> None:
    values = np.zeros((2, 3), dtype=dtype)
    assert as_floats(values, (3,), "x") is values


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.bool_, np.float16])
def test_other_numbers_become_double_precision(dtype: type) -> None:
    assert as_floats(np.ones(3, dtype=dtype), (3,), "x").dtype == np.float64


@pytest.mark.parametrize("bad", [np.zeros(3, dtype=complex), np.array(["1", "2", "3"]), np.array([None, 1, 2])])
def test_what_is_not_a_real_number_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ContractError, match="joints: expected real numbers"):
        as_floats(bad, (3,), "joints")


@pytest.mark.parametrize("shape", [(), (2,), (3, 2), (3, 4)])
def test_the_message_names_thing_expected_and_found_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ContractError, match=r"joints: expected shape \(\.\.\., any, 3\), found shape"):
        as_floats(np.zeros(shape), (None, 3), "joints")


@pytest.mark.parametrize("shape", [(0, 3), (5, 3), (2, 0, 3)])
def test_any_length_includes_none(shape: tuple[int, ...]) -> None:
    assert as_floats(np.zeros(shape), (None, 3), "joints").shape == shape


def test_finite_is_asked_per_batch_entry() -> None:
    values = np.zeros((3, 2, 2))
    values[1, 0, 1] = np.nan
    values[2, 1, 1] = np.inf
    assert all_finite(values, 2).tolist() == [True, False, False]
    assert all_finite(np.zeros((0, 2, 2)), 2).shape == (0,)


def test_shapes_that_do_not_fit_are_both_named() -> None:
    assert require_broadcast("a and b", (2, 1), (3,)) == (2, 3)
    with pytest.raises(ContractError, match=r"a and b: .* found \(2,\) and \(3,\)"):
        require_broadcast("a and b", (2,), (3,))
