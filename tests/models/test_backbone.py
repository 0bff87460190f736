import numpy as np
import pytest
import torch

from hoiray.config.network import BackboneConfig
from hoiray.models.backbone import Backbone

TINY = {"kind": "convnet", "widths": (8, 8, 8, 8), "pyramid_channels": 12}


def make(**changes: object) -> Backbone:
    torch.manual_seed(0)
    return Backbone(BackboneConfig(**(TINY | changes))).eval()  # type: ignore[arg-type]


def images(side: int = 64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("smoothing", [True, False])
def test_the_map_has_a_quarter_of_the_images_size(upsampling: str, smoothing: bool) -> None:
    backbone = make(pyramid_upsampling=upsampling, pyramid_smoothing=smoothing)
    features = backbone(images(96))
    assert features.shape == (2, 12, 24, 24)
    assert backbone.channels == 12


def test_the_lowest_level_hears_of_the_highest() -> None:
    backbone = make()
    before = backbone(images())
    with torch.no_grad():
        for weight in backbone.pyramid.laterals[3].parameters():
            weight.zero_()
    assert not torch.allclose(backbone(images()), before)


def test_the_released_code_sees_pixels_from_0_to_1_and_imagenet_its_mean() -> None:
    plain, imagenet = make(image_normalisation="none"), make(image_normalisation="imagenet")
    seen: list[torch.Tensor] = []
    for backbone in (plain, imagenet):
        backbone.trunk.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        backbone(images())
    pixels = images().permute(0, 3, 1, 2) / 255.0
    torch.testing.assert_close(seen[0], pixels)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    torch.testing.assert_close(seen[1], (pixels - mean) / deviation, atol=1e-5, rtol=0.0)


def test_images_arrive_channels_last_without_a_copy_of_that_kind() -> None:
    seen: list[bool] = []
    backbone = make()
    backbone.trunk.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    backbone(images())
    assert seen == [True]
