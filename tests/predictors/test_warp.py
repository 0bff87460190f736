"""The batched warp against OpenCV's, and against exact linear pictures."""

import cv2
import numpy as np
import pytest
import torch

from hoiray.geometry.crops import apply_affine, crop_affine, invert_affine
from hoiray.hand.sides import mirror_image
from hoiray.predictors.warp import cut_crops

H, W, S = 90, 120, 48


def frames(count: int = 3) -> np.ndarray:
    """Smooth pictures: OpenCV rounds source positions to 1/32 px, which a sharp edge would show as a grey level."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 255, (count, H, W, 3)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(picture, (0, 0), 4) for picture in noise]).clip(0, 255).astype(np.uint8)


def crops_of(pictures: np.ndarray, index: list[int], A: np.ndarray) -> np.ndarray:
    cut = cut_crops(torch.from_numpy(pictures), torch.tensor(index), torch.from_numpy(np.asarray(A)), S)
    return cut.numpy()


@pytest.mark.parametrize("turn", [0.0, 0.7, -2.9])
@pytest.mark.parametrize("side", [20.0, 48.0, 100.0, 260.0])
def test_crops_are_those_of_opencv_to_a_grey_level(side: float, turn: float) -> None:
    pictures, index = frames(), [2, 0, 0, 1]
    centers = np.array([[60.0, 45.0], [3.3, 88.1], [119.0, 0.0], [70.5, 20.5]])
    A = crop_affine(centers, np.full(4, side), np.full(4, turn), out_size_px=S)
    found = crops_of(pictures, index, A)
    for row, frame in enumerate(index):
        theirs = cv2.warpAffine(pictures[frame].astype(np.float32), A[row, :2], (S, S), flags=cv2.INTER_LINEAR)
        inside = cv2.warpAffine(np.ones((H, W), np.float32), A[row, :2], (S, S), flags=cv2.INTER_LINEAR) > 0.999
        if inside.any():
            assert np.abs(found[row] - theirs)[inside].max() < 1.0
        outside = cv2.warpAffine(np.ones((H, W), np.float32), A[row, :2], (S, S), flags=cv2.INTER_LINEAR) < 0.001
        assert np.abs(found[row][outside]).max(initial=0.0) < 1.0


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


def test_a_crop_of_a_picture_at_its_own_size_is_the_picture() -> None:
    pictures = np.random.default_rng(1).integers(0, 255, (1, S, S, 3)).astype(np.uint8)
    A = crop_affine([(S - 1) / 2, (S - 1) / 2], float(S), 0.0, out_size_px=S)
    np.testing.assert_allclose(crops_of(pictures, [0], A[None])[0], pictures[0], atol=1e-3)


def test_a_mirroring_affine_gives_the_crop_of_the_mirrored_picture() -> None:
    pictures = frames(1)
    A = crop_affine([40.0, 30.0], 50.0, 0.3, out_size_px=S)
    mirror = np.array([[-1.0, 0, W - 1], [0, 1, 0], [0, 0, 1]])
    there = crops_of(mirror_image(pictures[0])[None], [0], A[None])
    np.testing.assert_allclose(crops_of(pictures, [0], (A @ mirror)[None]), there, atol=1e-3)


def test_a_crop_beyond_the_picture_is_black() -> None:
    A = crop_affine([1e7, -1e7], 10.0, 0.0, out_size_px=S)
    assert crops_of(frames(1), [0], A[None]).max() == 0.0
