"""The pixels of an export: frames of the labelled videos, made to fit where a format has one size for all."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hoiray.datasets.video_frames import numbered_frames
from hoiray.errors import InputError, describe
from hoiray.export.rows import Row, VideoLabels
from hoiray.geometry.arrays import FloatArray
from hoiray.geometry.crops import resize_affine

Image: TypeAlias = npt.NDArray[np.uint8]


def labelled_frames(
    video: VideoLabels, rows: Sequence[Row], sample_rate_hz: float | None
) -> Iterator[tuple[int, Image, list[Row]]]:
    """Decode the frames that some rows are of, in one pass.

    Args:
        video: whose.
        rows: sorted by frame.
        sample_rate_hz: rate at which frames are numbered; None: every frame of the file.

    Yields:
        Number, (H, W, 3) uint8 RGB, and the rows of the frame.

    Raises:
        InputError: the video is missing, was changed, is damaged, or shows frames of another size than was labelled.
    """
    by_frame = [(number, list(group)) for number, group in groupby(rows, key=lambda row: int(row["frame_index"]))]
    images = numbered_frames(video.require_stored(), [number for number, _ in by_frame], sample_rate_hz)
    for (number, group), image in zip(by_frame, images, strict=True):
        _require_size(video, group[0], image)
        yield number, image, group


def _require_size(video: VideoLabels, row: Row, image: Image) -> None:
    size_wh = row["image_width_px"], row["image_height_px"]
    if (image.shape[1], image.shape[0]) != size_wh:
        expected, found = f"frames of {size_wh[0]} x {size_wh[1]} px", f"{image.shape[1]} x {image.shape[0]} px"
        fix = "It is not the video that was labelled: restore that one."
        raise InputError(describe(what=video.video_id, expected=expected, found=found, fix=fix))


def fitted_size(from_wh: tuple[int, int], to_wh: tuple[int, int]) -> tuple[int, int]:
    """Return the size an image has when it is scaled into another size and keeps its shape, to a pixel."""
    scale = min(to / of for to, of in zip(to_wh, from_wh, strict=True))
    width, height = (max(1, min(to, round(scale * of))) for to, of in zip(to_wh, from_wh, strict=True))
    return width, height


def letterbox_affine(from_wh: tuple[int, int], to_wh: tuple[int, int]) -> FloatArray:
    """Return the affine (3, 3) from the pixels of an image to those of its :func:`letterbox`."""
    return resize_affine(from_wh, fitted_size(from_wh, to_wh))


def letterbox(image: Image, to_wh: tuple[int, int]) -> Image:
    """Scale an image (H, W, 3) into another size; black lies right of it or below. The same size changes nothing."""
    import cv2

    from_wh = image.shape[1], image.shape[0]
    if from_wh == to_wh:
        return image
    width, height = fitted_size(from_wh, to_wh)
    canvas = np.zeros((to_wh[1], to_wh[0], 3), dtype=np.uint8)
    kind = cv2.INTER_AREA if width < from_wh[0] else cv2.INTER_LINEAR
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=kind)
    return canvas


def warp(image: Image, A: FloatArray, size_wh: tuple[int, int]) -> Image:
    """Resample an image by an affine (3, 3) that takes its pixels to the new ones; black where it does not reach."""
    import cv2

    return np.asarray(cv2.warpAffine(image, A[:2], size_wh, flags=cv2.INTER_LINEAR), dtype=np.uint8)
