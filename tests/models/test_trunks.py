import pytest
import torch
from torch import Tensor, nn

from hoiray.config.network import BackboneConfig
from hoiray.models.backbone import ConvTrunk
from hoiray.models.trunks import EfficientNetLite0Trunk, ResNetTrunk


def lite0() -> nn.Module:
    return EfficientNetLite0Trunk()


def resnet18() -> nn.Module:
    return ResNetTrunk("resnet18", "relu")


def convnet() -> nn.Module:
    return ConvTrunk(BackboneConfig(kind="convnet", widths=(8, 8, 8, 8)))


@pytest.mark.parametrize("make", [lite0, resnet18, convnet])
def test_a_trunk_gives_maps_at_four_strides(make: object) -> None:
    trunk = make()  # type: ignore[operator]
    maps = trunk(torch.randn(1, 3, 64, 64))
    assert [(m.shape[1], m.shape[2]) for m in maps] == list(zip(trunk.channels, (16, 8, 4, 2), strict=True))


@pytest.mark.parametrize("make", [lite0, resnet18, convnet])
def test_cell_k_of_the_first_map_looks_at_pixel_4k(make: object) -> None:
    """The convention regions are cut by: what moves a cell most, both ways alike, is the pixel it looks at.

    Weights are made equal and positive, so that the influence of a pixel is how many ways lead from it to the cell.
    """
    trunk = make()  # type: ignore[operator]
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1.0 / layer.weight[0].numel())
        elif isinstance(layer, nn.MaxPool2d):
            layer.forward = lambda x: nn.functional.avg_pool2d(x, 3, 2, 1)
    image = torch.ones(1, 3, 128, 128, requires_grad=True)
    trunk.eval()(image)[0][0, 0, 16, 16].backward()
    assert image.grad is not None
    influence: Tensor = image.grad[0].sum(dim=0)
    center = (influence.sum(dim=0) @ torch.arange(128.0)) / influence.sum()
    assert float(center) == pytest.approx(64.0, abs=1e-3)


def test_leaky_activations_reach_every_block() -> None:
    kinds = {type(m) for m in ResNetTrunk("resnet18", "leaky_relu").modules()}
    assert nn.LeakyReLU in kinds
    assert nn.ReLU not in kinds


def test_published_trunks_have_their_published_sizes() -> None:
    """torchvision's ResNet-50 has 25 557 032 weights with its classifier of 2 049 000."""
    with torch.device("meta"):
        resnet50 = ResNetTrunk("resnet50", "relu")
        lite = EfficientNetLite0Trunk()
    assert sum(p.numel() for p in resnet50.parameters()) == 25_557_032 - 2_049_000
    # EfficientNet-Lite0: 4 652 008, less head (320 * 1280 + 2 * 1280) and classifier (1280 * 1000 + 1000)
    assert sum(p.numel() for p in lite.parameters()) == 4_652_008 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000)
