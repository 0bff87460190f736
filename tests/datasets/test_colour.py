import numpy as np
import pytest

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import COLOUR_OPERATIONS, draw_views, plain_views
from hoiray.datasets.colour import (
    blur,
    change_brightness,
    change_colours,
    change_contrast,
    change_saturation,
    turn_hue,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
IMAGE.setflags(write=False)
GREY = IMAGE @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 1.5])
def test_brightness_contrast_and_saturation_follow_their_formulas(factor: float) -> None:
    pixels = IMAGE.astype(float)
    mean = np.floor(np.rint(GREY).mean() + 0.5)
    cases = (
        (change_brightness(IMAGE, factor), factor * pixels),
        (change_contrast(IMAGE, factor), mean + factor * (pixels - mean)),
        (change_saturation(IMAGE, factor), GREY[..., None] + factor * (pixels - GREY[..., None])),
    )
    for changed, expected in cases:
        assert changed.dtype == np.uint8
        assert np.abs(changed - expected.clip(0, 255)).max() <= 1.0


def test_a_third_of_a_turn_takes_red_to_green() -> None:
    red = np.full((2, 2, 3), (200, 0, 0), dtype=np.uint8)
    np.testing.assert_array_equal(turn_hue(red, 1 / 3), np.full((2, 2, 3), (0, 200, 0)))
    np.testing.assert_array_equal(turn_hue(red, -1 / 3), np.full((2, 2, 3), (0, 0, 200)))


def test_hue_leaves_grey_alone() -> None:
    grey = np.repeat(IMAGE[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(turn_hue(grey, 0.15), grey)


def test_a_blur_keeps_the_mean_and_lowers_the_contrast() -> None:
    blurred = blur(IMAGE, 0.5)
    assert abs(blurred.mean() - IMAGE.mean()) < 1.0
    assert blurred.std() < 0.9 * IMAGE.std()


def test_nothing_to_change_gives_the_very_image() -> None:
    assert change_colours(blur(IMAGE, 0.0), plain_views(1), 0) is IMAGE


def test_operations_come_in_the_order_drawn() -> None:
    views = draw_views(Augmentation.released(), seed=0, epochs=[0] * 8, indices=range(8))
    operations = {
        "brightness": lambda x, row: change_brightness(x, views.colour_factors[row, 0]),
        "contrast": lambda x, row: change_contrast(x, views.colour_factors[row, 1]),
        "saturation": lambda x, row: change_saturation(x, views.colour_factors[row, 2]),
        "hue": lambda x, row: turn_hue(x, float(views.hue_turns[row])),
    }
    for row in range(8):
        expected = IMAGE
        for number in views.colour_order[row]:
            expected = operations[COLOUR_OPERATIONS[number]](expected, row)
        np.testing.assert_array_equal(change_colours(IMAGE, views, row), expected)
