"""How the kernels of this package are compiled.

They are loops over rows that read like the definitions. The general functions of :mod:`hoiray.geometry` and
:mod:`hoiray.hand` take 20 microseconds a row for the same numbers, six times the budget of all filters together; the
tests hold the two against each other.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile with numba, once per machine; no fast-math, whose results differ between machines."""
    return cast("Function", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def inlined(function: Function) -> Function:
    """Compile into the caller: numba counts references wherever arrays are handed to a function."""
    return cast("Function", numba.njit(error_model="numpy", nogil=True, forceinline=True)(function))


def kernel_inputs(*arrays: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """Bring arrays into the few forms that kernels are compiled for, without changing a value.

    A kernel is compiled once for every combination of types, memory layout and writability it meets, for seconds each.

    Returns:
        Read-only, contiguous arrays: floats all as float32 if all came so, else all as float64; integers as int64.
    """
    floats = {array.dtype for array in arrays if array.dtype.kind == "f"}
    chosen = {"f": np.float32 if floats == {np.dtype(np.float32)} else np.float64, "i": np.int64, "u": np.int64}
    inputs = []
    for array in arrays:
        one = np.ascontiguousarray(array, dtype=chosen.get(array.dtype.kind)).view()
        one.setflags(write=False)
        inputs.append(one)
    return tuple(inputs)
