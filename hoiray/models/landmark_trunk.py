"""The published landmark network's trunk under the feature pyramid: features that have seen many real hands.

MediaPipe's hand landmark network (Google, Apache-2.0) is a narrow EfficientNet-Lite whose norms were folded into its
convolutions before it was published; so there are none here, and its convolutions have biases. Its weights are read
from the file that `hoiray assets fetch landmarks` keeps (:mod:`hoiray.io.landmark_files`); a checkpoint of a network
that was trained on top of it holds them, and needs that file no more.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hoiray.errors import ContractError, describe
from hoiray.io.tflite import Graph
from hoiray.models.trunks import ShortcutBlock

NETWORK: Final = "hand_landmark_full"
"""Of the fetched files, the one whose trunk this is."""

STEM_CHANNELS: Final = 24
BLOCKS: Final = (
    # kernel, stride, channels inside, channels out
    (3, 1, 24, 16),
    (3, 2, 64, 24),
    (3, 1, 144, 24),
    (5, 2, 144, 40),
    (5, 1, 240, 40),
    (3, 2, 240, 80),
    (3, 1, 480, 80),
    (3, 1, 480, 80),
    (5, 1, 480, 112),
    (5, 1, 672, 112),
    (5, 1, 672, 112),
    (5, 2, 672, 192),
    (5, 1, 1152, 192),
    (5, 1, 1152, 192),
    (5, 1, 1152, 192),
)
LAST_CHANNELS: Final = 1152
"""Of the last map, which the published network reads points, presence and side from."""

MAPS: Final = (2, 4, 10)
"""Blocks whose output is the last at stride 4, 8 and 16; at stride 32 it is the last map."""


class FoldedBlock(ShortcutBlock):
    """Widen, look at each channel by itself, narrow; beside a shortcut where sizes allow. No norms."""

    def __init__(self, inputs: int, outputs: int, *, inner: int, size: int, stride: int) -> None:
        """Make a block.

        Args:
            inputs: channels in.
            outputs: channels out.
            inner: channels inside; where they are the inputs, nothing is widened.
            size: of the kernel.
            stride: 1 or 2.
        """
        super().__init__()
        widen = _conv(inputs, inner, 1) if inner != inputs else nn.Identity()
        narrow = nn.Conv2d(inner, outputs, 1)
        self.layers = nn.Sequential(widen, _conv(inner, inner, size, stride=stride, groups=inner), narrow)
        self.has_shortcut = stride == 1 and inputs == outputs


class LandmarkTrunk(nn.Module):
    """The landmark network without its heads.

    Padding is symmetric, as everywhere here; TensorFlow pads the far side more. Away from the border that is the same
    network on a shifted picture, so the published weights fit.
    """

    def __init__(self) -> None:
        """Make a trunk of random weights."""
        super().__init__()
        self.stem = _conv(3, STEM_CHANNELS, 3, stride=2)
        blocks, inputs = [], STEM_CHANNELS
        for size, stride, inner, outputs in BLOCKS:
            blocks.append(FoldedBlock(inputs, outputs, inner=inner, size=size, stride=stride))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Sequential(
            _conv(inputs, LAST_CHANNELS, 1), _conv(LAST_CHANNELS, LAST_CHANNELS, 3, groups=LAST_CHANNELS)
        )
        self.channels: tuple[int, ...] = (*(BLOCKS[block][3] for block in MAPS), LAST_CHANNELS)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 4, 8, 16, 32 of RGB in [0, 1]."""
        features, maps = self.stem(images), []
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index in MAPS:
                maps.append(features)
        return [*maps, self.last(features)]


def trunk_state(graph: Graph, *, source: str) -> dict[str, Tensor]:
    """Return a graph's convolutions under the trunk's names, in the order in which they run.

    Args:
        graph: the published network.
        source: of it, for messages.

    Raises:
        ContractError: it has other convolutions.
    """
    found: list[npt.NDArray[Any]] = []
    for operator in graph.operators:
        if operator.name in {"conv_2d", "depthwise_conv_2d"}:
            weight, bias = (graph.constants[number] for number in operator.inputs[1:3])
            axes = (3, 0, 1, 2) if operator.name == "depthwise_conv_2d" else (0, 3, 1, 2)
            found += [weight.transpose(axes), bias]
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in LandmarkTrunk().state_dict().items()}
    if [array.shape for array in found] != list(wanted.values()):
        expected, told = f"the {len(wanted) // 2} convolutions of {NETWORK}", f"{len(found) // 2}, or others"
        fix = f"Name that network's file, or leave weights_uri out for the fetched one ({NETWORK}.tflite)."
        raise ContractError(describe(what=source, expected=expected, found=told, fix=fix))
    pairs = zip(wanted, found, strict=True)
    return {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for name, array in pairs}


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups)
    return nn.Sequential(conv, nn.ReLU6(inplace=True))
