"""A network read from a `.tflite` file as a torch module: the same numbers, on any device, in any batch.

Images are (N, C, H, W) inside, as torch wants them; what the file knows of (N, H, W, C) is turned when it is loaded.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from hoiray.io.tflite import Graph, Operator

_SAME: Final = 0
"""`enum Padding`: as much as gives ceil(size / stride) pixels, the larger half behind. 1: none."""

_RELU, _RELU6 = 1, 3
_NCHW_FROM_NHWC: Final = (0, 3, 1, 2)
_AXIS_OF_NHWC: Final = (0, 2, 3, 1)
"""Where torch has each axis of an image."""


class GraphNetwork(nn.Module):
    """Runs a graph. Inputs and outputs are those of the file, but images are (N, C, H, W)."""

    def __init__(self, graph: "Graph") -> None:
        """Take over the weights of a graph."""
        super().__init__()
        self._graph = graph
        self._runs: list[tuple[Operator, Callable[[list[Tensor], Operator], Tensor]]] = []
        self._ends = _last_uses(graph)
        self._grown: dict[tuple[int, torch.device], Tensor] = {}
        for operator in graph.operators:
            self._runs.append((operator, getattr(self, f"_{operator.name}")))
        for number, array in graph.constants.items():
            if array.dtype == np.float32:
                self.register_buffer(_buffer(number), torch.from_numpy(self._turned(number, array)), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.buffers()).device

    def forward(self, images: Tensor) -> list[Tensor]:
        """Run it.

        Args:
            images: (N, C, H, W) float32.

        Returns:
            The outputs, in the file's order.
        """
        known = self.run(images, keeps_all=False)
        return [known[number] for number in self._graph.outputs]

    def run(self, images: Tensor, *, keeps_all: bool = True) -> dict[int, Tensor]:
        """Run it and return every tensor by its number, for who wants the features inside; or the outputs only.

        What nobody reads any more makes room that is still in the processor's cache.
        """
        known: dict[int, Tensor] = {self._graph.inputs[0]: images}
        for (operator, compute), ends in zip(self._runs, self._ends, strict=True):
            known[operator.outputs[0]] = compute([known[i] for i in operator.inputs if i in known], operator)
            for number in () if keeps_all else ends:
                del known[number]
        return known

    def _turned(self, number: int, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a constant as torch wants it."""
        users = {operator.name for operator in self._graph.operators if number in operator.inputs[1:2]}
        if "conv_2d" in users:
            array = array.transpose(_NCHW_FROM_NHWC)
        elif "depthwise_conv_2d" in users:
            array = array.transpose(3, 0, 1, 2)
        elif "prelu" in users:
            array = array.reshape(-1)
        return np.ascontiguousarray(array)

    def _weight(self, operator: "Operator", place: int) -> Tensor:
        weight: Tensor = getattr(self, _buffer(operator.inputs[place]))
        return weight

    def _conv_2d(self, given: list[Tensor], operator: "Operator", groups: int = 1) -> Tensor:
        weight, options = self._weight(operator, 1), operator.options
        images, padding = given[0], (0, 0)
        if options["padding"] == _SAME:
            rows, columns = _lacking(images, weight.shape[-1], options["stride"])
            padding = ((rows + 1) // 2, (columns + 1) // 2)
            if rows % 2 and columns % 2:
                weight = self._grown_weight(operator.inputs[1], weight)
            elif rows % 2 or columns % 2:
                images, padding = _padded(images, rows, columns), (0, 0)
        out = functional.conv2d(images, weight, self._weight(operator, 2), options["stride"], padding, groups=groups)
        return _activated(out, options)

    def _grown_weight(self, number: int, weight: Tensor) -> Tensor:
        """Return a kernel with zeros before its first row and column.

        As `SAME` has it an uneven pixel of padding goes behind. A convolution of torch pads both sides alike: with one
        pixel too many before, which the zeros meet. To copy the images for the sake of a border took longer than the
        convolution itself.
        """
        key = (number, weight.device)
        if key not in self._grown:
            grown = functional.pad(weight, (1, 0, 1, 0))
            self._grown[key] = grown.contiguous(memory_format=torch.channels_last)
        return self._grown[key]

    def _depthwise_conv_2d(self, given: list[Tensor], operator: "Operator") -> Tensor:
        return self._conv_2d(given, operator, groups=given[0].shape[1])

    def _fully_connected(self, given: list[Tensor], operator: "Operator") -> Tensor:
        out = functional.linear(given[0].flatten(1), self._weight(operator, 1), self._weight(operator, 2))
        return _activated(out, operator.options)

    def _prelu(self, given: list[Tensor], operator: "Operator") -> Tensor:
        return functional.prelu(given[0], self._weight(operator, 1))

    def _add(self, given: list[Tensor], operator: "Operator") -> Tensor:
        return _activated(given[0] + given[1], operator.options)

    def _logistic(self, given: list[Tensor], _operator: "Operator") -> Tensor:
        return torch.sigmoid(given[0])

    def _mean(self, given: list[Tensor], _operator: "Operator") -> Tensor:
        return given[0].mean(dim=(2, 3))

    def _max_pool_2d(self, given: list[Tensor], operator: "Operator") -> Tensor:
        options = operator.options
        return functional.max_pool2d(
            given[0], options["size"], options["stride"], ceil_mode=options["padding"] == _SAME
        )

    def _pad(self, given: list[Tensor], operator: "Operator") -> Tensor:
        _, rows, columns, channels = self._graph.constants[operator.inputs[1]].tolist()
        return functional.pad(given[0], (*columns, *rows, *channels))

    def _resize_bilinear(self, given: list[Tensor], operator: "Operator") -> Tensor:
        size = self._graph.constants[operator.inputs[1]].tolist()
        return functional.interpolate(
            given[0], size, mode="bilinear", align_corners=bool(operator.options["aligns_corners"])
        )

    def _reshape(self, given: list[Tensor], operator: "Operator") -> Tensor:
        images = given[0].permute(0, 2, 3, 1) if given[0].ndim == 4 else given[0]
        return images.reshape(len(images), *self._graph.shapes[operator.outputs[0]][1:])

    def _concatenation(self, given: list[Tensor], operator: "Operator") -> Tensor:
        axis = operator.options["axis"]
        return torch.cat(given, dim=_AXIS_OF_NHWC[axis] if given[0].ndim == 4 else axis)


def _last_uses(graph: "Graph") -> list[tuple[int, ...]]:
    """Return for each operator which tensors are read for the last time by it."""
    last: dict[int, int] = {}
    for place, operator in enumerate(graph.operators):
        last |= dict.fromkeys((*operator.inputs, operator.outputs[0]), place)
    kept = {*graph.constants, *graph.outputs}
    return [
        tuple(number for number, end in last.items() if end == place and number not in kept)
        for place in range(len(graph.operators))
    ]


def _buffer(number: int) -> str:
    return f"constant_{number}"


def _lacking(images: Tensor, size: int, stride: int) -> tuple[int, int]:
    """Return the rows and columns by which `SAME` pads images."""
    rows, columns = (
        max((-(-length // stride) - 1) * stride + size - length, 0) for length in (images.shape[2], images.shape[3])
    )
    return rows, columns


def _padded(images: Tensor, rows: int, columns: int) -> Tensor:
    """Pad as `SAME` has it, where an uneven pixel goes behind."""
    return functional.pad(images, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])


def _activated(values: Tensor, options: dict[str, int]) -> Tensor:
    """Activate in place: the values are new, and nobody else's."""
    kind = options["activation"]
    if kind == _RELU:
        return functional.relu(values, inplace=True)
    return functional.relu6(values, inplace=True) if kind == _RELU6 else values
