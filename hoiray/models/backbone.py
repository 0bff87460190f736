"""From images to one map of features at a quarter of their size: a trunk and the lowest level of its pyramid.

Where a cell of the map lies in the image is part of what a backbone promises. Every layer here that halves its map is
an odd convolution or pool with symmetric padding, whose output cell k looks at input cell 2k in the middle; so cell k
of the map looks at pixel 4k, and :attr:`Backbone.first_cell_px` is 0. (Cells cut as blocks of 4 x 4 px would have it at
1.5.) Regions are cut by that number, see :mod:`hoiray.models.roi`.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from hoiray.config.network import BackboneConfig
from hoiray.models.landmark_trunk import LandmarkTrunk
from hoiray.models.layers import BasicBlock, conv_norm_act
from hoiray.models.pretrained import load_trunk_weights
from hoiray.models.trunks import EfficientNetLite0Trunk, ResNetTrunk

STRIDE: Final = 4
"""Pixels from cell to cell of a backbone's map."""

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Final = (0.229, 0.224, 0.225)
"""Of RGB in [0, 1] over ImageNet, as torchvision's weights were trained with."""


class ConvTrunk(nn.Module):
    """A plain residual network of any width: fast on a CPU, where few wide 3x3 convolutions beat many thin layers.

    Measured on one core, channels last: a 3x3 convolution of 64 channels runs at 120 Gflop/s, forward and backward, a
    1x1 at 50, a depthwise one at 8.
    """

    def __init__(self, config: BackboneConfig) -> None:
        """Make a trunk of `config.widths` and `config.blocks`."""
        super().__init__()
        act = config.activation
        first = max(config.widths[0] // 2, 1)
        self.stem = nn.Sequential(
            conv_norm_act(3, first, 3, act, stride=2), conv_norm_act(first, config.widths[0], 3, act, stride=2)
        )
        stages, inputs = [], config.widths[0]
        for level, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
            blocks: list[nn.Module] = []
            if level > 0:
                blocks.append(conv_norm_act(inputs, width, 3, act, stride=2))
            blocks += [BasicBlock(width, width, act) for _ in range(count)]
            stages.append(nn.Sequential(*blocks))
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.channels: tuple[int, ...] = config.widths

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 4, 8, 16, 32."""
        features, maps = self.stem(images), []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps


class Pyramid(nn.Module):
    """The top-down sum of a feature pyramid (Lin et al. 2017), down to its lowest level P2, which alone is used."""

    def __init__(self, channels: tuple[int, ...], config: BackboneConfig) -> None:
        """Make the lateral layers.

        Args:
            channels: of the trunk's maps, from the largest map to the smallest.
            config: width, smoothing and upsampling.
        """
        super().__init__()
        width = config.pyramid_channels
        self.upsampling = config.pyramid_upsampling
        self.laterals = nn.ModuleList(nn.Conv2d(inputs, width, 1) for inputs in channels)
        self.smooth = nn.Conv2d(width, width, 3, padding=1) if config.pyramid_smoothing else nn.Identity()

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return (B, C, H, W) of the size of the first map."""
        levels = [lateral(level) for lateral, level in zip(self.laterals, maps, strict=True)]
        summed = levels[-1]
        for level in reversed(levels[:-1]):
            summed = level + self._enlarged(summed, level)
        out: Tensor = self.smooth(summed)
        return out

    def _enlarged(self, coarse: Tensor, like: Tensor) -> Tensor:
        size = (like.shape[-2], like.shape[-1])
        if self.upsampling == "nearest":
            return interpolate(coarse, size=size, mode="nearest")
        return interpolate(coarse, size=size, mode="bilinear", align_corners=False)


class Backbone(nn.Module):
    """Trunk and pyramid: (B, 3, S, S) to (B, C, S/4, S/4).

    Attributes:
        channels: C.
        first_cell_px: where in the image cell 0 of the map looks, px with centres at integers.
    """

    def __init__(self, config: BackboneConfig, *, loads_weights: bool = True) -> None:
        """Make a backbone of random weights, or of the file the configuration names.

        Args:
            config: see there.
            loads_weights: read the weights; False where all of them come from elsewhere anyway.

        Raises:
            ConfigError: the weights file is not there, or is no local one.
            InputError: the landmark network is not fetched.
            ContractError: its layers are not the trunk's.
        """
        super().__init__()
        self.trunk = _trunk(config)
        weights_uri = weights_of(config) if loads_weights else None
        if weights_uri is not None:
            load_trunk_weights(self.trunk, weights_uri, allows_partial=config.allows_partial_weights)
        self.pyramid = Pyramid(self.trunk.channels, config)
        self.channels = config.pyramid_channels
        self.first_cell_px = 0.0
        is_normalised = config.image_normalisation == "imagenet"
        mean, deviation = (IMAGENET_MEAN, IMAGENET_DEVIATION) if is_normalised else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("_mean", torch.tensor(mean).reshape(3, 1, 1) * 255.0, persistent=False)
        self.register_buffer("_scale", 1.0 / (torch.tensor(deviation).reshape(3, 1, 1) * 255.0), persistent=False)

    _mean: Tensor
    _scale: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Extract features.

        Args:
            images: (B, S, S, 3) uint8 or float, RGB from 0 to 255.

        Returns:
            (B, C, S/4, S/4), channels last in memory.
        """
        pixels = images.permute(0, 3, 1, 2).to(self._mean.dtype)  # of a (B, S, S, 3), this is channels last already
        out: Tensor = self.pyramid(self.trunk((pixels - self._mean) * self._scale))
        return out


def weights_of(config: BackboneConfig) -> str | None:
    """Return the file of a backbone's pre-trained weights: the one it names, else the fetched one of `landmark`.

    Raises:
        InputError: the landmark network is not fetched; the message names the command that does.
        ContractError: the file in its place is another one.
    """
    if config.weights_uri is not None or config.kind != "landmark":
        return config.weights_uri
    from hoiray.io.landmark_files import default_folder, network_path
    from hoiray.models.landmark_trunk import NETWORK

    return str(network_path(NETWORK, default_folder()))


def _trunk(config: BackboneConfig) -> ConvTrunk | ResNetTrunk | EfficientNetLite0Trunk | LandmarkTrunk:
    match config.kind:
        case "convnet":
            return ConvTrunk(config)
        case "efficientnet_lite0":
            return EfficientNetLite0Trunk()
        case "resnet18" | "resnet50":
            return ResNetTrunk(config.kind, config.activation)
        case "landmark":
            return LandmarkTrunk()
