"""The batched warp against OpenCV's, against the crops of training, and against pictures on which it is exact."""

import cv2
import numpy as np
import pytest
import torch

from hoiray.datasets.crop_pixels import Interpolation, cut_crop
from hoiray.geometry.crops import apply_affine, crop_affine, invert_affine
from hoiray.hand.sides import mirror_image
from hoiray.predictors.warp import cut_crops, cut_crops_with_opencv

H, W, S = 91, 122, 48


def frames(count: int = 3, blur_px: float = 4.0) -> np.ndarray:
    """Smooth pictures: OpenCV rounds source positions to 1/32 px, which a sharp edge would show as a grey level."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 255, (count, H, W, 3)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(picture, (0, 0), blur_px) for picture in noise]).clip(0, 255).astype(np.uint8)


def crops_of(
    pictures: np.ndarray,
    index: list[int],
    A: np.ndarray,
    mirrored: list[bool] | None = None,
    interpolation: Interpolation = "linear",
) -> np.ndarray:
    flags = None if mirrored is None else torch.tensor(mirrored)
    affines, chosen = torch.from_numpy(np.asarray(A)), torch.tensor(index, dtype=torch.int64)
    cut = cut_crops(torch.from_numpy(pictures), chosen, affines, S, is_mirrored=flags, interpolation=interpolation)
    return cut.numpy()


@pytest.mark.parametrize("turn", [0.0, 0.7, -2.9])
@pytest.mark.parametrize("side", [20.0, 48.0, 90.0])
def test_crops_are_those_of_opencv_to_a_grey_level(side: float, turn: float) -> None:
    pictures, index = frames(), [2, 0, 0, 1]
    centers = np.array([[60.0, 45.0], [3.3, 88.1], [119.0, 0.0], [70.5, 20.5]])
    A = crop_affine(centers, np.full(4, side), np.full(4, turn), out_size_px=S)
    found = crops_of(pictures, index, A)
    for row, frame in enumerate(index):
        theirs = cv2.warpAffine(pictures[frame].astype(np.float32), A[row, :2], (S, S), flags=cv2.INTER_LINEAR)
        inside = cv2.warpAffine(np.ones((H, W), np.float32), A[row, :2], (S, S), flags=cv2.INTER_LINEAR)
        whole = (inside > 0.999) | (inside < 0.001)
        assert whole.mean() > 0.9
        assert np.abs(found[row] - theirs)[whole].max() < 1.0


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("side", [30.0, 70.0, 97.0, 125.0, 170.0, 400.0])
def test_crops_are_those_of_training_to_the_rounding_of_bytes(side: float, interpolation: Interpolation) -> None:
    """At 48 px a side of 70 is smoothed, 97 averaged, 125 both; mirrored rows see the mirrored frame."""
    pictures, index, mirrored = frames(2, blur_px=2.0), [1, 0, 1, 0], [False, True, True, False]
    centers = np.array([[60.0, 45.0], [33.3, 68.1], [70.0, 40.2], [50.5, 20.5]])
    A = crop_affine(centers, np.full(4, side), np.array([0.0, 0.0, 1.1, -0.4]), out_size_px=S)
    found = crops_of(pictures, index, A, mirrored, interpolation)
    theirs = cut_crops_with_opencv(
        pictures, np.array(index), A, S, is_mirrored=np.array(mirrored), interpolation=interpolation
    ).astype(float)
    difference = np.abs(found - theirs)
    # OpenCV's positions of 1/32 px move a step from colour to black, or to the next pixel, at a few places
    assert np.quantile(difference, 0.97) < (2.5 if interpolation == "linear" else 8.0)
    assert difference.mean() < 1.0


def test_opencv_crops_are_bit_for_bit_those_of_training() -> None:
    pictures, mirrored = frames(2), np.array([False, True, True])
    A = crop_affine(np.full((3, 2), 50.0), np.array([30.0, 70.0, 140.0]), np.full(3, 0.2), out_size_px=S)
    found = cut_crops_with_opencv(pictures, np.array([1, 0, 0]), A, S, is_mirrored=mirrored)
    np.testing.assert_array_equal(found[0], cut_crop(pictures[1], A[0], S, "linear"))
    for row in (1, 2):
        np.testing.assert_array_equal(found[row], cut_crop(mirror_image(pictures[0]), A[row], S, "linear"))


def test_a_crop_shows_at_each_pixel_what_its_affine_says() -> None:
    """On a picture linear in x and y bilinear sampling is exact: half a pixel of error would be one grey level."""
    picture = np.zeros((1, 40, 60, 3), np.uint8)
    picture[0, ..., 0] = 2 * np.arange(60)[None]
    picture[0, ..., 1] = 3 * np.arange(40)[:, None]
    A = crop_affine([30.2, 20.7], 17.3, 0.4, out_size_px=S)
    grid = np.stack(np.meshgrid(np.arange(S), np.arange(S)), axis=-1).reshape(1, -1, 2).astype(float)
    there = apply_affine(invert_affine(A), grid[0]).reshape(S, S, 2)
    found = crops_of(picture, [0], A[None])[0]
    np.testing.assert_allclose(found[..., 0], 2 * there[..., 0], atol=1e-4)
    np.testing.assert_allclose(found[..., 1], 3 * there[..., 1], atol=1e-4)


@pytest.mark.parametrize("block", [2, 3])
def test_averaging_blocks_does_not_shift_the_picture(block: int) -> None:
    picture = np.zeros((1, 150, 150, 3), np.uint8)
    picture[0, ..., 0] = np.arange(150)[None]
    picture[0, ..., 1] = np.arange(150)[:, None]
    A = crop_affine([74.3, 75.1], S * block * 1.01, 0.0, out_size_px=S)
    there = apply_affine(invert_affine(A), np.array([[5.0, 9.0], [40.0, 30.0]]))
    found = crops_of(picture, [0], A[None])[0]
    np.testing.assert_allclose([found[9, 5, :2], found[30, 40, :2]], there, atol=1e-3)


def test_a_crop_of_a_picture_at_its_own_size_is_the_picture() -> None:
    pictures = np.random.default_rng(1).integers(0, 255, (1, S, S, 3)).astype(np.uint8)
    A = crop_affine([(S - 1) / 2, (S - 1) / 2], float(S), 0.0, out_size_px=S)
    np.testing.assert_allclose(crops_of(pictures, [0], A[None])[0], pictures[0], atol=1e-3)
    np.testing.assert_array_equal(crops_of(pictures, [0], A[None], interpolation="nearest")[0], pictures[0])


def test_a_mirrored_row_is_the_crop_of_the_mirrored_picture() -> None:
    pictures = frames(1)
    A = crop_affine([40.0, 30.0], 50.0, 0.3, out_size_px=S)
    there = crops_of(mirror_image(pictures[0])[None], [0], A[None])
    np.testing.assert_allclose(crops_of(pictures, [0], A[None], [True]), there, atol=1e-4)


def test_a_crop_beyond_the_picture_is_black() -> None:
    A = crop_affine([1e7, -1e7], 10.0, 0.0, out_size_px=S)
    assert crops_of(frames(1), [0], A[None]).max() == 0.0


def test_no_crops_are_no_error() -> None:
    assert crops_of(frames(1), [], np.zeros((0, 3, 3))).shape == (0, S, S, 3)
