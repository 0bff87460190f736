"""From the object's features to proposals for its control points (paper, section 4.3 and appendix A)."""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from hoiray.config.network import HandDecoderConfig, NetworkConfig, ObjectDecoderConfig
from hoiray.geometry.control_points import NUM_CONTROL_POINTS
from hoiray.models.hand_decoder import JointLocator
from hoiray.models.heatmaps import cell_centers, expected_points, normalised, pooled

LEAKY_SLOPE: Final = 0.1
"""Of the released code's object head; the rest of it has 0.01."""


class Proposals(NamedTuple):
    """What is proposed for every control point: P proposals, one of every cell row by row, or one in all.

    Attributes:
        points_unit: (B, P, 21, 2) in the unit square of the object box, float32.
        confidence_logits: (B, P, 21) float32; their sigmoids are the confidences.
        heatmap_logits: (B, 21, R, R) float32; None where the head has no heatmaps.
    """

    points_unit: Tensor
    confidence_logits: Tensor
    heatmap_logits: Tensor | None = None


class HeatmapObjectDecoder(nn.Module):
    """The hand's way to its joints, for the control points: an hourglass, heatmaps, their means.

    A cell that regresses far points says the mean of all poses it deems possible; a heatmap can hold them apart, and
    learns in a third of the steps from random weights.
    """

    def __init__(self, channels: int, config: HandDecoderConfig) -> None:
        """Make the head.

        Args:
            channels: of the region's features.
            config: whose hourglass and temperature are used.
        """
        super().__init__()
        self.locator = JointLocator(channels, config, num_points=NUM_CONTROL_POINTS)
        self.trust = nn.Parameter(torch.zeros(NUM_CONTROL_POINTS, config.hourglass_channels))
        self.trust_bias = nn.Parameter(torch.zeros(NUM_CONTROL_POINTS))

    def forward(self, features: Tensor) -> Proposals:
        """Propose control points from features (B, C, R, R) of the objects' boxes."""
        features, logits = self.locator(features)
        heatmaps = normalised(logits)
        # what trust looks at does not bend what is located
        seen = pooled(features.detach(), heatmaps.detach()).float()
        confidence_logits = (seen * self.trust).sum(dim=-1) + self.trust_bias
        return Proposals(expected_points(heatmaps)[:, None], confidence_logits[:, None], logits)


def object_decoder(channels: int, config: NetworkConfig) -> "HeatmapObjectDecoder | ObjectDecoder":
    """Make the object's decoder that `config.obj.head` names, for regions of `channels` channels."""
    if config.obj.head == "heatmaps":
        return HeatmapObjectDecoder(channels, config.hand)
    return ObjectDecoder(channels, config.obj)


class ObjectDecoder(nn.Module):
    """Offsets from cell centres to control points, and how much each is to be trusted."""

    def __init__(self, channels: int, config: ObjectDecoderConfig) -> None:
        """Make the head `config.head`, streams or single.

        Args:
            channels: of the region's features.
            config: see there.
        """
        super().__init__()
        self.offset_unit = config.offset_unit
        width = config.channels
        self.location: nn.Module
        self.confidence: nn.Module
        if config.head == "streams":
            self.shared = nn.Sequential(*_convs(channels, width, config.shared_convolutions))
            self.location = nn.Sequential(
                *_convs(width, width, 1), nn.Conv2d(width, NUM_CONTROL_POINTS * 2, 3, padding=1)
            )
            self.confidence = nn.Sequential(
                *_convs(width, width, 1), nn.Conv2d(width, NUM_CONTROL_POINTS, 3, padding=1)
            )
        else:
            self.shared = nn.Sequential(*_pairs(channels, width, config.shared_convolutions))
            self.location = nn.Conv2d(width, NUM_CONTROL_POINTS * 2, 1)
            self.confidence = nn.Conv2d(width, NUM_CONTROL_POINTS, 1)

    def forward(self, features: Tensor) -> Proposals:
        """Propose control points from features (B, C, R, R) of the objects' boxes."""
        shared = self.shared(features)
        offsets = self.location(shared).float().reshape(len(features), NUM_CONTROL_POINTS, 2, -1)
        centers = grid_centers(features.shape[-1], features)
        points = centers[:, None] + offsets.permute(0, 3, 1, 2) * self.offset_unit
        return Proposals(points, self.confidence(shared).float().flatten(2).transpose(1, 2))


def grid_centers(num_cells: int, like: Tensor) -> Tensor:
    """Return the (R * R, 2) centres of the cells, x and y in the unit square, row by row."""
    along = cell_centers(num_cells, like)
    return torch.cartesian_prod(along, along).flip(1)


def _convs(inputs: int, width: int, count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(count):
        conv = nn.Conv2d(inputs if index == 0 else width, width, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(width), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)]
    return layers


def _pairs(inputs: int, width: int, count: int) -> list[nn.Module]:
    """A 1x1 convolution to half the width and a 3x3 back, as often as asked for (released code)."""
    layers: list[nn.Module] = []
    inner = max(width // 2, 1)
    for index in range(count):
        narrow = nn.Conv2d(inputs if index == 0 else width, inner, 1, bias=False)
        wide = nn.Conv2d(inner, width, 3, padding=1, bias=False)
        layers += [narrow, nn.BatchNorm2d(inner), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)]
        layers += [wide, nn.BatchNorm2d(width), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)]
    return layers
