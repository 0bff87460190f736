"""Reading a network out of a `.tflite` file: its operators, their options and their constants, as plain arrays.

The format is a FlatBuffer (TensorFlow Lite's `schema.fbs`): tables whose fields are found through a small index
(the vtable), so that a reader of a dozen lines replaces an interpreter. Only what image networks of floats consist of
is understood; anything else is refused by name.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe

Array = npt.NDArray[Any]

IDENTIFIER: Final = b"TFL3"
"""Bytes 4 to 7 of every such file."""

OPERATORS: Final = MappingProxyType(
    {
        0: "add",
        2: "concatenation",
        3: "conv_2d",
        4: "depthwise_conv_2d",
        6: "dequantize",
        9: "fully_connected",
        14: "logistic",
        17: "max_pool_2d",
        22: "reshape",
        23: "resize_bilinear",
        34: "pad",
        40: "mean",
        54: "prelu",
    }
)
"""Codes of the operators that are understood (`enum BuiltinOperator`)."""

_DTYPES: Final = MappingProxyType({0: np.float32, 1: np.float16, 2: np.int32})
"""`enum TensorType`."""

_INT, _BYTE = "<i", "<b"
_OPTIONS: Final = MappingProxyType(
    {
        "add": {"activation": (0, _BYTE)},
        "concatenation": {"axis": (0, _INT), "activation": (1, _BYTE)},
        "conv_2d": {"padding": (0, _BYTE), "stride": (2, _INT), "activation": (3, _BYTE)},
        "depthwise_conv_2d": {"padding": (0, _BYTE), "stride": (2, _INT), "activation": (4, _BYTE)},
        "fully_connected": {"activation": (0, _BYTE)},
        "max_pool_2d": {"padding": (0, _BYTE), "stride": (2, _INT), "size": (4, _INT), "activation": (5, _BYTE)},
        "resize_bilinear": {"aligns_corners": (2, _BYTE), "half_pixel_centers": (3, _BYTE)},
    }
)
"""Fields of each operator's options: number in its table, and type. Strides and sizes are alike in both directions."""


@dataclass(frozen=True, eq=False)
class Operator:
    """One step of a network.

    Attributes:
        name: a value of :data:`OPERATORS`.
        inputs, outputs: numbers of tensors.
        options: by name; 0 where the file leaves one out.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]


@dataclass(frozen=True, eq=False)
class Graph:
    """A network.

    Attributes:
        operators: in the order in which they run.
        constants: weights by number of tensor, float32 or int32; images are (N, H, W, C).
        shapes: of every tensor, for a batch of one.
        inputs, outputs: numbers of tensors.
    """

    operators: tuple[Operator, ...]
    constants: dict[int, Array]
    shapes: dict[int, tuple[int, ...]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(path: Path) -> Graph:
    """Read a network.

    Raises:
        ContractError: it is no such file, or holds an operator or type that is not understood.
    """
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        fix = "Fetch the file anew."
        raise ContractError(describe(what=str(path), expected="a .tflite file", found=repr(data[4:8]), fix=fix))
    model = _Table(data, struct.unpack_from("<I", data, 0)[0])
    graph = model.tables(2)[0]
    tensors, buffers = graph.tables(0), model.tables(4)
    codes = [max(code.number(0, _BYTE), code.number(3, _INT)) for code in model.tables(1)]
    constants = {
        index: array for index, tensor in enumerate(tensors) if (array := _constant(tensor, buffers)) is not None
    }
    operators = []
    for row in graph.tables(3):
        operator = _operator(row, codes, path)
        if operator.name == "dequantize":
            # weights are stored as halves, and unpacked once
            constants[operator.outputs[0]] = constants[operator.inputs[0]].astype(np.float32)
        else:
            operators.append(operator)
    shapes = {index: tuple(tensor.integers(0)) for index, tensor in enumerate(tensors)}
    return Graph(tuple(operators), constants, shapes, tuple(graph.integers(1)), tuple(graph.integers(2)))


def _operator(row: "_Table", codes: list[int], path: Path) -> Operator:
    code = codes[row.number(0, _INT)]
    if code not in OPERATORS:
        expected, fix = f"operators {', '.join(OPERATORS.values())}", "Use one of the networks that hoiray fetches."
        raise ContractError(describe(what=str(path), expected=expected, found=f"operator {code}", fix=fix))
    name, options = OPERATORS[code], row.table(4)
    fields = _OPTIONS.get(name, {})
    read = {key: 0 if options is None else options.number(field, kind) for key, (field, kind) in fields.items()}
    return Operator(name, tuple(row.integers(1)), tuple(row.integers(2)), read)


def _constant(tensor: "_Table", buffers: "list[_Table]") -> Array | None:
    """Return what a tensor always holds; None for one that is computed."""
    data = buffers[tensor.number(2, _INT)].array(0)
    if data.size == 0:
        return None
    kind = tensor.number(1, _BYTE)
    if kind not in _DTYPES:
        fix = "Use one of the networks that hoiray fetches."
        expected = "tensors of float32, float16 or int32"
        raise ContractError(
            describe(what="a constant of the network", expected=expected, found=f"type {kind}", fix=fix)
        )
    return data.view(_DTYPES[kind]).reshape(tensor.integers(0))


class _Table:
    """A table of a FlatBuffer; a field that is absent is 0, None or empty."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position
        self._vtable = position - self._at("<i", position)
        self._size = self._at("<H", self._vtable)

    def number(self, field: int, kind: str) -> int:
        place = self._place(field)
        return 0 if place is None else self._at(kind, place)

    def table(self, field: int) -> "_Table | None":
        place = self._place(field)
        return None if place is None else _Table(self._data, place + self._at("<I", place))

    def tables(self, field: int) -> "list[_Table]":
        start, count = self._vector(field)
        places = range(start, start + 4 * count, 4)
        return [_Table(self._data, place + self._at("<I", place)) for place in places]

    def integers(self, field: int) -> list[int]:
        start, count = self._vector(field)
        return [int(number) for number in np.frombuffer(self._data, "<i4", count, start)]

    def array(self, field: int) -> npt.NDArray[np.uint8]:
        start, count = self._vector(field)
        return np.frombuffer(self._data, np.uint8, count, start)

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._place(field)
        if place is None:
            return 0, 0
        start = place + self._at("<I", place)
        return start + 4, self._at("<I", start)

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = self._at("<H", self._vtable + entry) if entry < self._size else 0
        return self._position + offset if offset else None

    def _at(self, kind: str, place: int) -> int:
        return int(struct.unpack_from(kind, self._data, place)[0])
