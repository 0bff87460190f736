"""How the kernels of this package are compiled.

They are loops over rows that read like the definitions. The general functions of :mod:`hoiray.geometry` and
:mod:`hoiray.hand` take 20 microseconds a row for the same numbers, six times the budget of all filters together; the
tests hold the two against each other.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile with numba, once per machine; no fast-math, whose results differ between machines."""
    return cast("Function", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def inlined(function: Function) -> Function:
    """Compile into the caller: numba counts references wherever arrays are handed to a function."""
    return cast("Function", numba.njit(error_model="numpy", nogil=True, forceinline=True)(function))
