import pytest
import torch

from hoiray.models.heatmaps import cell_centers, expected_points, gaussians, normalised, pooled


def test_cells_are_seen_at_their_centres() -> None:
    assert cell_centers(4, torch.zeros(1)).tolist() == [0.125, 0.375, 0.625, 0.875]


def test_a_single_lit_cell_is_its_own_centre_x_first() -> None:
    logits = torch.full((1, 1, 4, 4), -1e4)
    logits[0, 0, 1, 3] = 1e4  # row 1, column 3
    torch.testing.assert_close(expected_points(normalised(logits)), torch.tensor([[[0.875, 0.375]]]))


def test_the_flattest_heatmap_says_the_middle() -> None:
    heatmaps = normalised(torch.zeros(2, 21, 8, 8))
    torch.testing.assert_close(heatmaps.sum(dim=(2, 3)), torch.ones(2, 21))
    torch.testing.assert_close(expected_points(heatmaps), torch.full((2, 21, 2), 0.5))


def test_a_true_heatmap_is_a_gaussian_around_its_point() -> None:
    point = torch.tensor([[[0.53, 0.41]]])
    heatmap = gaussians(point, 16, sigma_cells=1.5)
    torch.testing.assert_close(heatmap.sum(), torch.tensor(1.0))
    torch.testing.assert_close(expected_points(heatmap), point, atol=1e-3, rtol=0.0)
    # ratio of two cells by the formula: distances in cells from (8.48, 6.56), centres at k + 0.5
    near, far = heatmap[0, 0, 6, 8], heatmap[0, 0, 6, 10]
    expected = torch.exp(torch.tensor(-((8.5 - 8.48) ** 2 - (10.5 - 8.48) ** 2) / (2 * 1.5**2)))
    torch.testing.assert_close(near / far, expected, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("place", [-5.0, 7.0])
def test_a_joint_outside_the_box_has_its_heatmap_at_the_border(place: float) -> None:
    heatmap = gaussians(torch.tensor([[[place, 0.5]]]), 8, sigma_cells=1.0)
    assert torch.isfinite(heatmap).all()
    column = 0 if place < 0.0 else 7
    torch.testing.assert_close(heatmap[0, 0, :, column].sum(), torch.tensor(1.0), atol=1e-3, rtol=0.0)


def test_features_are_gathered_under_the_heatmap() -> None:
    features = torch.randn(2, 5, 4, 4)
    heatmaps = normalised(torch.randn(2, 3, 4, 4))
    by_hand = torch.stack(
        [torch.stack([(features[b] * heatmaps[b, j]).sum(dim=(1, 2)) for j in range(3)]) for b in range(2)]
    )
    torch.testing.assert_close(pooled(features, heatmaps), by_hand)
