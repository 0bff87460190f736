"""Batched colours and blur against those of training, crop by crop."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import Views, draw_views, plain_views
from hoiray.datasets.colour import blur, change_colours
from hoiray.predictors.device_colour import change_crops

B, S = 6, 40


def crops() -> np.ndarray:
    noise = np.random.default_rng(3).uniform(0, 255, (B, S, S, 3)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(picture, (0, 0), 2) for picture in noise])
    return ((smooth - 128) * 4 + 128).clip(0, 255).astype(np.uint8)


def of_training(pixels: np.ndarray, views: Views) -> np.ndarray:
    rows = range(len(pixels))
    return np.stack([change_colours(blur(pixels[row], float(views.blur_px[row])), views, row) for row in rows])


def of_device(pixels: np.ndarray, views: Views) -> np.ndarray:
    return change_crops(torch.from_numpy(pixels).float(), views).numpy()


def drawn(**ranges: float) -> Views:
    nothing = {"max_colour_change": 0.0, "max_hue_change": 0.0, "max_blur_px": 0.0}
    return draw_views(Augmentation(**(nothing | ranges)), seed=1, epochs=[0] * B, indices=list(range(B)))


@pytest.mark.parametrize("ranges", [{"max_colour_change": 0.5}, {"max_blur_px": 2.0}])
def test_brightness_contrast_saturation_and_blur_are_those_of_training(ranges: dict[str, float]) -> None:
    views = drawn(**ranges)
    difference = np.abs(of_device(crops(), views) - of_training(crops(), views))
    # a level of rounding, multiplied by the factors that follow
    assert difference.max() <= 3.0
    assert difference.mean() < 0.4
    assert np.abs(of_device(crops(), views) - crops()).mean() > 2.0


def test_a_hue_of_whole_steps_is_that_of_training_to_its_eight_bits() -> None:
    turns = np.array([0, 3, 20, -15, 60, 90]) / 180
    views = replace(plain_views(B), hue_turns=turns)
    difference = np.abs(of_device(crops(), views) - of_training(crops(), views))
    # OpenCV keeps hue to 2 degrees and saturation to 1/255: up to 4 levels of a vivid colour
    assert np.quantile(difference, 0.99) <= 5.0
    assert difference.mean() < 1.2


def test_everything_at_once_follows_each_rows_order() -> None:
    views = drawn(max_colour_change=0.5, max_hue_change=0.1, max_blur_px=1.0)
    assert len({tuple(order) for order in views.colour_order.tolist()}) > 1
    difference = np.abs(of_device(crops(), views) - of_training(crops(), views))
    assert difference.mean() < 2.5
    assert np.quantile(difference, 0.95) < 8.0


def test_a_plain_view_changes_nothing() -> None:
    np.testing.assert_array_equal(of_device(crops(), plain_views(B)), crops())
