from typing import Literal

import pytest
import torch
from torch import Tensor

from hoiray.config.network import RegionConfig
from hoiray.models.roi import crop_regions, intersection_boxes

SIDE_PX = 64
BOX = torch.tensor([[10.0, 6.0, 41.0, 50.0]])


def ramps(first_cell_px: float) -> Tensor:
    """A map whose cells hold the pixel they look at: x in the first channel, y in the second."""
    centers = first_cell_px + 4.0 * torch.arange(SIDE_PX // 4)
    rows, columns = torch.meshgrid(centers, centers, indexing="ij")
    return torch.stack([columns, rows])[None]


def true_cell_centers(cells: int) -> Tensor:
    steps = (torch.arange(cells) + 0.5) / cells
    x, y = BOX[0, 0] + steps * (BOX[0, 2] - BOX[0, 0]), BOX[0, 1] + steps * (BOX[0, 3] - BOX[0, 1])
    return torch.stack([x.expand(cells, cells), y[:, None].expand(cells, cells)])[None]


@pytest.mark.parametrize("sampling", ["roi_align", "cell_centers"])
@pytest.mark.parametrize("samples", [0, 1, 2])
@pytest.mark.parametrize("first_cell_px", [0.0, 1.5, 3.0])
def test_a_region_shows_the_pixels_its_box_names(
    sampling: Literal["roi_align", "cell_centers"], samples: int, first_cell_px: float
) -> None:
    """Also for cells that are the mean of 4 x 4 px, which look at 1.5: no half pixel is lost anywhere."""
    config = RegionConfig(cells=8, sampling=sampling, samples_per_cell=samples)
    region = crop_regions(ramps(first_cell_px), BOX, config, first_cell_px=first_cell_px)
    torch.testing.assert_close(region, true_cell_centers(8), atol=1e-4, rtol=0.0)


def test_a_map_of_block_means_is_read_without_a_shift() -> None:
    image = torch.arange(SIDE_PX).float().expand(1, 1, SIDE_PX, SIDE_PX).contiguous()
    features = torch.nn.functional.avg_pool2d(image, 4)
    region = crop_regions(features, BOX, RegionConfig(cells=8), first_cell_px=1.5)
    torch.testing.assert_close(region[0, 0], true_cell_centers(8)[0, 0], atol=1e-4, rtol=0.0)


def test_the_released_codes_way_reads_its_own_networks_map_without_a_shift_too() -> None:
    config = RegionConfig(cells=8, aligned=False)
    region = crop_regions(ramps(0.0), BOX, config, first_cell_px=0.0)
    torch.testing.assert_close(region, true_cell_centers(8), atol=1e-4, rtol=0.0)


def test_the_released_codes_way_is_a_pixel_and_a_half_off_on_block_means() -> None:
    """What `aligned` is for: torchvision's default looks half a cell of blocks too far to the right."""
    region = crop_regions(ramps(1.5), BOX, RegionConfig(cells=8, aligned=False), first_cell_px=1.5)
    torch.testing.assert_close(region - true_cell_centers(8), torch.full((1, 2, 8, 8), 1.5), atol=1e-4, rtol=0.0)


def test_a_tiny_region_is_stretched_by_the_released_codes_way_only() -> None:
    tiny = torch.tensor([[20.0, 20.0, 21.0, 21.0]])
    spans = {}
    for aligned in (True, False):
        region = crop_regions(ramps(0.0), tiny, RegionConfig(cells=8, aligned=aligned), first_cell_px=0.0)
        spans[aligned] = float(region[0, 0, 0, -1] - region[0, 0, 0, 0])
    assert spans[True] == pytest.approx(7 / 8, abs=1e-3)
    assert spans[False] == pytest.approx(4 * 7 / 8, abs=1e-3)


def test_one_sample_at_the_centre_is_roi_align_with_one_sample() -> None:
    features = torch.randn(3, 5, 16, 16)
    boxes = torch.tensor([[3.0, 8.0, 40.0, 55.0], [20.0, 20.0, 22.0, 60.0], [5.0, 30.0, 58.0, 33.0]])
    regions = [
        crop_regions(features, boxes, RegionConfig(cells=8, sampling=sampling, samples_per_cell=1), first_cell_px=0.0)
        for sampling in ("roi_align", "cell_centers")
    ]
    torch.testing.assert_close(regions[0], regions[1])


def test_every_sample_is_cut_from_its_own_map() -> None:
    features = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 2, 16, 16).contiguous()
    for sampling in ("roi_align", "cell_centers"):
        config = RegionConfig(cells=4, sampling=sampling)
        region = crop_regions(features, BOX.expand(3, 4), config, first_cell_px=0.0)
        assert region.amin(dim=(1, 2, 3)).tolist() == [0.0, 1.0, 2.0]


def test_boxes_meet_where_they_share_an_area() -> None:
    first = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).expand(4, 4)
    second = torch.tensor(
        [[5.0, 6.0, 20.0, 20.0], [10.0, 0.0, 20.0, 10.0], [12.0, 0.0, 20.0, 5.0], [2.0, 3.0, 4.0, 5.0]]
    )
    common, meets = intersection_boxes(first, second)
    assert meets.tolist() == [True, False, False, True]
    assert common[0].tolist() == [5.0, 6.0, 10.0, 10.0]
    assert common[3].tolist() == [2.0, 3.0, 4.0, 5.0]
    assert common[1].tolist() == first[1].tolist()


@pytest.mark.parametrize("sampling", ["roi_align", "cell_centers"])
def test_half_precision_features_are_still_cut_at_the_right_place(
    sampling: Literal["roi_align", "cell_centers"],
) -> None:
    """In bfloat16 pixel 301.3 would be 302: places are computed in full precision, whatever the features are."""
    features = torch.randn(1, 3, 128, 128).bfloat16()
    boxes = torch.tensor([[301.3, 77.7, 430.9, 333.3]])
    config = RegionConfig(cells=8, sampling=sampling)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        region = crop_regions(features, boxes, config, first_cell_px=0.0)
    assert region.dtype == torch.bfloat16
    whole = crop_regions(features.float(), boxes, config, first_cell_px=0.0)
    assert torch.allclose(region.float(), whole, rtol=0.01, atol=0.005)
