from pathlib import Path

import numpy as np
import pytest
from export_scenes import scene

from hoiray.errors import InputError
from hoiray.export.pictures import (
    fitted_size,
    labelled_frames,
    letterbox,
    letterbox_affine,
    warp,
)
from hoiray.export.rows import Tally, read_video_labels
from hoiray.geometry.crops import apply_affine

RNG = np.random.default_rng(0)


def test_frames_come_with_their_rows(tmp_path: Path) -> None:
    made = scene(tmp_path)
    (_, second) = read_video_labels(made.run, Tally())
    found = list(labelled_frames(second, second.rows(with_refused=False), None))
    assert [(number, len(rows)) for number, _, rows in found] == [(0, 1), (1, 1)]
    assert np.array_equal(found[1][1], made.images[4])


def test_a_video_of_another_size_than_was_labelled_is_refused(tmp_path: Path) -> None:
    made = scene(tmp_path, count=1)
    (video,) = read_video_labels(made.run, Tally())
    rows = [{**row, "image_width_px": 999} for row in video.rows(with_refused=True)]
    with pytest.raises(InputError, match="expected frames of 999 x 240 px, found 320 x 240 px"):
        list(labelled_frames(video, rows, None))


@pytest.mark.parametrize("from_wh", [(1280, 720), (320, 240), (300, 900), (640, 480)])
def test_points_stay_on_what_they_mark_in_a_letterbox(from_wh: tuple[int, int]) -> None:
    image = np.zeros((from_wh[1], from_wh[0], 3), np.uint8)
    x, y = from_wh[0] // 2, from_wh[1] // 3
    image[y - 8 : y + 9, x - 8 : x + 9] = 255
    boxed = letterbox(image, (640, 480))
    assert boxed.shape == (480, 640, 3)
    centre = np.average(np.argwhere(boxed[..., 0] > 0), axis=0, weights=boxed[..., 0][boxed[..., 0] > 0])[::-1]
    assert np.allclose(apply_affine(letterbox_affine(from_wh, (640, 480)), [[x, y]])[0], centre, atol=0.05)
    width, height = fitted_size(from_wh, (640, 480))
    assert not boxed[height:].any()
    assert not boxed[:, width:].any()


def test_the_right_size_changes_nothing() -> None:
    image = RNG.integers(0, 255, (480, 640, 3), dtype=np.uint8)
    assert letterbox(image, (640, 480)) is image
    assert np.array_equal(letterbox_affine((640, 480), (640, 480)), np.eye(3))


def test_a_warp_moves_pixels_as_points() -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    image[10, 20] = 255
    A = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, -3.0], [0.0, 0.0, 1.0]])
    assert np.argwhere(warp(image, A, (50, 40))[..., 0]).tolist() == [[7, 25]]
