import numpy as np
import pytest

from hoiray.datasets.crop_pixels import cut_crop
from hoiray.geometry.crops import apply_affine, crop_affine, invert_affine

WIDTH, HEIGHT, SIZE = 320, 240, 64
SLOPE = 0.613
"""Levels per px, no simple fraction, so that rounding averages out."""


def ramps(axis: int = 0) -> np.ndarray:
    """Rising, falling and flat along x (0) or y (1): what rounding adds to the rising one it adds to the falling."""
    place = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))[axis]
    image = np.rint(np.stack([SLOPE * place, 255 - SLOPE * place, np.full_like(place, 90)], axis=-1)).astype(np.uint8)
    image.setflags(write=False)
    return image


@pytest.mark.parametrize("side", [40.0, 64.0, 90.0, 100.0, 130.0, 200.0])
@pytest.mark.parametrize("rotation", [0.0, 0.6, 2.9])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_pixel_shows_the_place_the_affine_says(side: float, rotation: float, axis: int) -> None:
    A = crop_affine([161.3, 118.6], side, rotation, out_size_px=SIZE)
    crop = cut_crop(ramps(axis), A, SIZE, "linear").astype(float)
    places = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1).reshape(-1, 2).astype(float)
    seen = apply_affine(invert_affine(A), places).reshape(SIZE, SIZE, 2)
    inside = np.all((seen > 6) & (seen < np.array([WIDTH, HEIGHT]) - 7), axis=-1)
    error = ((crop[..., 0] + 255 - crop[..., 1]) / (2 * SLOPE) - seen[..., axis])[inside]
    assert abs(error.mean()) < 0.25  # of levels only 64 are seen where nothing is turned
    assert np.abs(error).max() < 2.0
    assert np.all(crop[..., 2][inside] == 90)


def test_outside_the_image_is_black_and_its_edge_stays_where_it_is() -> None:
    white = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    for side in (128.0, 400.0, 1000.0):
        A = crop_affine(
            [WIDTH - 0.5, HEIGHT - 0.5], side, 0.0, out_size_px=SIZE
        )  # the lower right corner, in the middle
        crop = cut_crop(white, A, SIZE, "linear").astype(float) / 255
        px = SIZE / side
        shown = (min(SIZE / 2, WIDTH * px), min(SIZE / 2, HEIGHT * px))
        assert crop[..., 0].sum() == pytest.approx(shown[0] * shown[1], rel=0.08)
        assert not crop[-2:].any()
        assert not crop[:, -2:].any()


def test_a_crop_beside_the_image_is_black() -> None:
    for side in (64.0, 400.0):
        A = crop_affine([-1000.0, -1000.0], side, 0.3, out_size_px=SIZE)
        assert not cut_crop(ramps(), A, SIZE, "linear").any()


def test_shrinking_averages_what_single_pixels_would_alias() -> None:
    stripes = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    for side in (96.0, 130.0, 200.0):
        A = crop_affine([160.0, 120.0], side, 0.0, out_size_px=SIZE)
        spread = cut_crop(stripes, A, SIZE, "linear")[4:-4, 4:-4].std()
        assert spread < 0.6 * cut_crop(stripes, A, SIZE, "nearest")[4:-4, 4:-4].std()


def test_nearest_takes_single_pixels_as_the_released_code_does() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    A = crop_affine([150.2, 110.7], 100.0, 0.4, out_size_px=SIZE)
    crop = cut_crop(image, A, SIZE, "nearest")
    places = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1).reshape(-1, 2).astype(float)
    columns, rows = np.rint(apply_affine(invert_affine(A), places)).astype(int).T
    same = np.all(crop.reshape(-1, 3) == image[rows, columns], axis=-1)
    assert same.mean() > 0.97  # OpenCV rounds places to a 1024th of a pixel


def test_the_image_is_never_changed() -> None:
    before = ramps()
    A = crop_affine([150.0, 110.0], 200.0, 0.4, out_size_px=SIZE)
    cut_crop(before, A, SIZE, "linear")[:] = 0
    np.testing.assert_array_equal(before, ramps())
