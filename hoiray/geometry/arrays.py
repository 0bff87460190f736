"""What every function of this package accepts as an array, checked in one place.

All functions are batch-first: any leading shape, `()` and `(0,)` included, followed by the trailing shape the docstring
names. float32 stays float32 and float64 stays float64; integers, booleans and half floats are computed as float64.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

_KEPT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def as_floats(values: npt.ArrayLike, trailing: tuple[int | None, ...], name: str) -> FloatArray:
    """Take `values` as a float array whose shape ends in `trailing`.

    Args:
        values: anything NumPy reads as real numbers; never changed, and not copied when it is a float array already.
        trailing: the expected end of the shape; None stands for any length.
        name: what to call it in the message.

    Returns:
        `(..., *trailing)` in float32 where it came as native float32, float64 otherwise.

    Raises:
        ContractError: not real numbers, or another trailing shape.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ContractError(
            describe(
                what=name, expected="real numbers", found=f"dtype {array.dtype}", fix="Convert it before the call."
            )
        )
    found = array.shape[len(array.shape) - len(trailing) :] if array.ndim >= len(trailing) else None
    if found is None or any(want not in (None, got) for want, got in zip(trailing, found, strict=True)):
        wanted = ", ".join("any" if length is None else str(length) for length in trailing)
        raise ContractError(
            describe(
                what=name,
                expected=f"shape (..., {wanted})",
                found=f"shape {array.shape}",
                fix="Put the batch axes first and the axes named here last.",
            )
        )
    return array if array.dtype in _KEPT_DTYPES else array.astype(np.float64)


def all_finite(values: FloatArray, num_axes: int) -> BoolArray:
    """Say which batch entries are finite throughout: NaN and infinity in the last `num_axes` axes make False."""
    return np.asarray(np.all(np.isfinite(values), axis=tuple(range(-num_axes, 0))))


def require_broadcast(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the common batch shape, or say which shapes do not fit together.

    Raises:
        ContractError: the shapes cannot be broadcast against each other.
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise ContractError(
            describe(
                what=name,
                expected="batch shapes that broadcast",
                found=" and ".join(str(shape) for shape in shapes),
                fix="Give every argument the same leading axes, or length one where one value serves all.",
            )
        ) from error
