import numpy as np

from hoiray.filters.compiled import compiled, inlined, kernel_inputs


@inlined
def _reciprocal(value: float) -> float:
    return 1.0 / value


@compiled
def _reciprocals(values: np.ndarray, out: np.ndarray) -> None:
    for index in range(len(values)):
        out[index] = _reciprocal(values[index])


def test_a_compiled_loop_divides_as_numpy_does() -> None:
    values, out = np.array([4.0, np.inf, 1e-300]), np.empty(3)
    _reciprocals(values, out)
    np.testing.assert_array_equal(out, 1.0 / values)


def test_kernels_meet_few_forms_of_the_same_values() -> None:
    columns = np.arange(12, dtype=np.float32).reshape(3, 4).T
    floats, integers, flags = kernel_inputs(columns, np.arange(3, dtype=np.int16), np.ones(2, dtype=bool))
    assert (floats.dtype, integers.dtype, flags.dtype) == (np.float32, np.int64, np.bool_)
    np.testing.assert_array_equal(floats, columns)
    for array in (floats, integers, flags):
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    assert columns.flags.writeable
    assert {array.dtype for array in kernel_inputs(columns, np.ones(2))} == {np.dtype(np.float64)}
    assert kernel_inputs(np.ones(2, dtype=np.float16))[0].dtype == np.float64
