"""The facts of Something-Something v2 (Goyal et al., ICCV 2017) and Something-Else (Materzynska et al., CVPR 2020).

Layout below the root, as unpacked from the 20 parts of the archive::

    20bn-something-something-v2/44745.webm          VP9, 240 px high, 12 frames a second
    labels/{train,validation,test,labels}.json      or something-something-v2-{train,validation,test,labels}.json
    annotations/*.json, bounding_box_*.json         Something-Else's boxes, in parts

The lists hold `{"id": "44745", "label": ..., "template": ..., "placeholders": [...]}`; test entries only the id.
A box file maps a video's id to a list of frames. The **name** of a frame (`44745/0001.jpg`, from 1) says which it is;
its place in the list does not: frames without a box may be missing, in between and at the end.
Boxes are of hands (`"standard_category": "hand"`, without side or identity) and of objects (`"0000"`, `"0001"`, ...).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from hoiray.datasets.sample import FloatArray

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")

NUM_VIDEOS: Final = 220_847
NUM_ANNOTATED_VIDEOS: Final = 180_049
FRAMES_PER_SECOND: Final = 12.0
"""Rate at which the annotated frames were taken; with it frame number n is the n-th frame of the video."""

IMAGE_HEIGHT_PX: Final = 240
VIDEO_FOLDER: Final = "20bn-something-something-v2"
BOX_FOLDER: Final = "annotations"
BOX_FILE_PREFIX: Final = "bounding_box"
HAND_CATEGORY: Final = "hand"

BOX_CORNER_OFFSET_PX: Final = 0.5
"""Annotated boxes reach from 0 to the image's width (427.00000000000006 is found in 427 px wide videos): 0 is the
*edge* of the first pixel. In hoiray 0 is its *centre*, so half a pixel is taken off."""

_VIDEO_ID = re.compile(r"[0-9A-Za-z_-]+")
_FRAME_NAME = re.compile(r"([^/]+)/(\d+)\.jpg")


def is_video_id(text: str) -> bool:
    """Say whether a text can name a video: published ids are numbers; a path such as `../1` names none."""
    return _VIDEO_ID.fullmatch(text) is not None


def video_key(video_id: str) -> str:
    """The file of a video."""
    return f"{VIDEO_FOLDER}/{video_id}.webm"


def list_keys(split: Split) -> tuple[str, str]:
    """Where the list of a split may lie: name of the present release, name of the first one."""
    return f"labels/{split}.json", f"something-something-v2-{split}.json"


def frame_name(video_id: str, frame_number: int) -> str:
    """The name of a frame, numbered from 1."""
    return f"{video_id}/{frame_number:04d}.jpg"


def parse_frame_name(name: str) -> tuple[str, int] | None:
    """Return video and 1-based frame number of `44745/0001.jpg`; None where it is no such name."""
    match = _FRAME_NAME.fullmatch(name)
    return None if match is None or int(match.group(2)) < 1 else (match.group(1), int(match.group(2)))


def box_to_file(bbox_xyxy: FloatArray) -> dict[str, float]:
    """Return the `box2d` entry of a box (4,) px with pixel centres at integers."""
    x0, y0, x1, y1 = (float(value) + BOX_CORNER_OFFSET_PX for value in bbox_xyxy)
    return {"x1": x0, "y1": y0, "x2": x1, "y2": y1}


def box_from_file(box2d: Mapping[str, float]) -> FloatArray:
    """Undo :func:`box_to_file`; not cut to the image."""
    return np.array([box2d["x1"], box2d["y1"], box2d["x2"], box2d["y2"]], dtype=np.float64) - BOX_CORNER_OFFSET_PX


@dataclass(frozen=True, eq=False)
class LabelledBox:
    """One annotated box: `category` is `pillow` or `hand`, `standard_category` `0000` or `hand`."""

    category: str
    standard_category: str
    bbox_xyxy: FloatArray


def frame_to_file(video_id: str, frame_number: int, boxes: Iterable[LabelledBox]) -> dict[str, Any]:
    """Return one entry of a video's list."""
    labels = [
        {
            "box2d": box_to_file(box.bbox_xyxy),
            "category": box.category,
            "standard_category": box.standard_category,
        }
        for box in boxes
    ]
    placeholders = sorted(
        {label["category"] for label in labels if label["standard_category"] != HAND_CATEGORY}, key=str
    )
    return {
        "name": frame_name(video_id, frame_number),
        "labels": labels,
        "gt_placeholders": placeholders,
        "nr_instances": len(labels),
    }
