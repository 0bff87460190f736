"""Pictures of labels: close-ups with the mesh over the frame, and the frame without it."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np

from hoiray.errors import InputError
from hoiray.hand.model import HandModel
from hoiray.render.overlay import Image
from hoiray.report.label_picture import close_up_affine, cut_close_up, draw_close_up

CELL_PX: Final = 440
STILL_PX: Final = 200
MIN_BARE_PX: Final = 96

JPEG_QUALITY: Final = 84
STILL_QUALITY: Final = 76
MAX_PICTURE_BYTES: Final = 12_000_000
"""Of all pictures together, so that a page stays below :data:`hoiray.report.html_report.MAX_BYTES`."""

NO_MORE_ROOM: Final = "no more room in this file"

Row = Mapping[str, Any]
Stills = Callable[[str, Sequence[int]], Iterator[tuple[int, Image]]]
"""Gives frames of a video by name and numbers, growing; raises InputError where it cannot."""


@dataclass
class Pictures:
    """Pictures as data URIs by the number of their row.

    Attributes:
        close_ups: with mesh.
        bare: the same frame without.
        stills: small, with mesh.
        missing: video to why its frames could not be shown.
        num_bytes: of all of them.
    """

    close_ups: dict[int, str] = field(default_factory=dict)
    bare: dict[int, str] = field(default_factory=dict)
    stills: dict[int, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    num_bytes: int = 0

    def add(self, into: dict[int, str], row: int, picture: str) -> bool:
        """Keep a picture where there is room for it; say whether there was."""
        if self.num_bytes + len(picture) > MAX_PICTURE_BYTES:
            return False
        into[row] = picture
        self.num_bytes += len(picture)
        return True


def draw_pictures(
    rows: Mapping[int, Row], close_ups: Sequence[int], stills: Sequence[int], read: Stills, model: HandModel | None
) -> Pictures:
    """Draw labels; each video is decoded once, and only as far as it is needed.

    Args:
        rows: labels as dictionaries, by number; those with a prediction.
        close_ups: numbers of those that get a large picture.
        stills: numbers of those that get a small one.
        read: gives the frames.
        model: the hand the parameters are of; None draws joints only.
    """
    pictures = Pictures()
    wanted: dict[str, dict[int, list[int]]] = {}
    for number in sorted({*close_ups, *stills}):
        frames = wanted.setdefault(rows[number]["video_id"], {})
        frames.setdefault(rows[number]["frame_index"], []).append(number)
    large, small = set(close_ups), set(stills)
    # videos of large pictures first: where room runs out, small ones are missing
    is_later = {
        name: large.isdisjoint(row for own in frames.values() for row in own) for name, frames in wanted.items()
    }
    for video in sorted(wanted, key=lambda name: (is_later[name], name)):
        frames = wanted[video]
        try:
            for frame_index, image in read(video, sorted(frames)):
                for number in frames[frame_index]:
                    if number in large:
                        _draw_large(pictures, number, rows[number], image, model)
                    if number in small:
                        still = draw_close_up(rows[number], image, model, cell_px=STILL_PX, with_joints=model is None)
                        pictures.add(pictures.stills, number, data_uri(still, STILL_QUALITY))
        except InputError as error:
            pictures.missing[video] = str(error)
    return pictures


def _draw_large(pictures: Pictures, number: int, row: Row, image: Image, model: HandModel | None) -> None:
    close = draw_close_up(row, image, model, cell_px=CELL_PX)
    bare_px = _native_px(row)
    bare = cut_close_up(image, close_up_affine(row, bare_px), bare_px)
    if pictures.add(pictures.close_ups, number, data_uri(close, JPEG_QUALITY)):
        pictures.add(pictures.bare, number, data_uri(bare, JPEG_QUALITY))


def _native_px(row: Row) -> int:
    """Side of a close-up that holds every pixel of the frame and no invented one; the browser enlarges it."""
    A = close_up_affine(row, CELL_PX)
    return int(np.clip(round(CELL_PX / float(np.hypot(A[0, 0], A[1, 0]))), MIN_BARE_PX, CELL_PX))


def data_uri(image: Image, quality: int) -> str:
    """Return a picture as a data URI: JPEG with full colour resolution, or thin coloured lines would blur."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    data = cv2.imencode(".jpg", image[..., ::-1], options)[1]
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
