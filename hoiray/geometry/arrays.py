"""What every function of this package accepts as an array, checked in one place.

All functions are batch-first: any leading shape, `()` and `(0,)` included, followed by the trailing shape the docstring
names. Leading shapes that do not fit together are refused by name.

float32 stays float32 and float64 stays float64; where coordinates of both kinds meet, the result is float64, while
factors and weights widen nothing. Integers, booleans and half floats are computed as float64. The exception is what is
*fitted* to points: everything in :mod:`hoiray.geometry.alignment` and the weak-perspective camera return float64
whatever came in. They are measuring instruments: of the official 1e-8 on the norm of a hand's joints, about 0.25 m,
float32 (rounding 1.5e-8) keeps nothing.

An infinity is no coordinate, length or angle: it is taken as NaN at the door, which arithmetic carries on in silence,
where infinity minus infinity or times zero would be a NumPy warning first.
"""

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

_Scalar = TypeVar("_Scalar", bound=np.generic)

_KEPT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def as_floats(values: npt.ArrayLike, trailing: tuple[int | None, ...], name: str) -> FloatArray:
    """Take `values` as a float array whose shape ends in `trailing`.

    Args:
        values: anything NumPy reads as real numbers; never changed, and not copied when it is a float array without
            infinities already.
        trailing: the expected end of the shape; None stands for any length.
        name: what to call it in the message.

    Returns:
        `(..., *trailing)` in float32 where it came as native float32, float64 otherwise; NaN for infinity.

    Raises:
        ContractError: not real numbers, or another trailing shape.
    """
    array = _as_array(values, name)
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
    floats = array if array.dtype in _KEPT_DTYPES else array.astype(np.float64)
    is_infinite = np.isinf(floats)
    return np.where(is_infinite, np.nan, floats) if is_infinite.any() else floats


def _as_array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ContractError(
            describe(
                what=name, expected="rows of one length", found="a ragged sequence", fix="Pad it, or call once per row."
            )
        ) from error


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


def broadcast_onto(array: npt.NDArray[_Scalar], shape: tuple[int, ...], name: str) -> npt.NDArray[_Scalar]:
    """Repeat `array` to `shape` as a read-only view, for an argument that may be repeated but repeats no other.

    Raises:
        ContractError: it has other lengths, or axes the shape has not.
    """
    try:
        return np.broadcast_to(array, shape)
    except ValueError as error:
        raise ContractError(
            describe(
                what=name,
                expected=f"a shape that broadcasts to {shape}",
                found=f"shape {array.shape}",
                fix="Give one value per entry, or length one where one value serves all.",
            )
        ) from error


def require_image_size(size_wh: tuple[int, int]) -> tuple[int, int]:
    """Return width and height in px as they came, or refuse an image without pixels.

    Raises:
        ContractError: one of them is not positive.
    """
    width, height = size_wh
    if width <= 0 or height <= 0:
        raise ContractError(
            describe(
                what="image size",
                expected="positive width and height",
                found=f"{width}x{height}",
                fix="Give the size in pixels, width first.",
            )
        )
    return width, height
