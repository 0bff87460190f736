"""Which hands of which frames a shard asks the predictor about: one entry a video, from the plan's boxes.

Where nobody gave boxes, all frames of a video are wanted, and the predictor's own detector says frame by frame which
hands are there (:func:`detected_in_frame`).
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.config.what import Videos
from hoiray.geometry import boxes
from hoiray.predictors.detector import BoxSource, DetectedHands
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import BOXES, SHARDS, VIDEOS
from hoiray.stages.frame_selection import FrameSelection
from hoiray.stages.plan import Shard

HandSide: TypeAlias = Literal["boxes", "right", "left", "both"]
SideSource: TypeAlias = Literal["given", "configured", "guessed"]
FloatArray: TypeAlias = npt.NDArray[np.float32]

MAX_OBJECT_GAP_BOX_SIDES: Final = 1.0
"""An object further from the hand's box than this is not handled: a crop around both would show a tiny hand."""


@dataclass(frozen=True, eq=False)
class WantedVideo:
    """A video, or a segment of one, and its N hands in the order of their frames.

    Attributes:
        video_id, uri, etag: the video as it was planned.
        first_frame_index: where the segment begins.
        frame_index: (N,) int32.
        hand_index: (N,) int16 number of the hand's box in its frame.
        bbox_xyxy: (N, 4) of the hand.
        object_bbox_xyxy: (N, 4) of the object it may hold; NaN where there is none near.
        is_right: (N,) side; where it is guessed, the first hypothesis.
        side_source: (N,) who says so.
        K: (3, 3) of the full image; NaN where unknown.
        box_sources: (N,) who gave each box; empty: all are given.
        is_boxed: False: there are no boxes, and all frames of the segment are wanted.
        num_frames: of the segment; None: up to the end of the video.
        upright_px: (N, 2, 2) see :class:`hoiray.predictors.detector.DetectedHands`; None: nobody said.
    """

    video_id: str
    uri: str
    etag: str | None
    first_frame_index: int
    frame_index: npt.NDArray[np.int32]
    hand_index: npt.NDArray[np.int16]
    bbox_xyxy: FloatArray
    object_bbox_xyxy: FloatArray
    is_right: npt.NDArray[np.bool_]
    side_source: tuple[SideSource, ...]
    K: FloatArray
    box_sources: tuple[BoxSource, ...] = ()
    is_boxed: bool = True
    num_frames: int | None = None
    upright_px: FloatArray | None = None

    def __len__(self) -> int:
        """Hands."""
        return len(self.frame_index)

    def selection(self, sample_rate_hz: float | None) -> FrameSelection:
        """Return the frames to decode: those with hands, and before a segment's first the one it is compared with.

        Without boxes: all of the segment.
        """
        if not self.is_boxed:
            return FrameSelection(sample_rate_hz, None, self.first_frame_index, self.num_frames)
        numbers = set(self.frame_index.tolist())
        first = self.first_frame_index
        if first in numbers and first > 0:
            numbers.add(first - 1)
        return FrameSelection(sample_rate_hz=sample_rate_hz, frame_indices=tuple(sorted(numbers)))

    def box_source(self, row: int) -> BoxSource:
        """Who gave a hand's box."""
        return self.box_sources[row] if self.box_sources else "given"

    def upright(self, row: int) -> FloatArray:
        """Return centre and upper edge (2, 2) of the square that shows a hand upright; NaN where nobody said."""
        return np.full((2, 2), np.nan, np.float32) if self.upright_px is None else self.upright_px[row]

    def rows_of(self, frame_index: int) -> range:
        """Return which hands are in a frame."""
        start, end = np.searchsorted(self.frame_index, [frame_index, frame_index + 1])
        return range(int(start), int(end))


def wanted_videos(shard: Shard, hand_side: HandSide, *, has_boxes: bool = True) -> list[WantedVideo]:
    """List what a shard asks for, one entry a row of its segments, sorted by video and segment.

    Args:
        shard: as the plan has it.
        hand_side: `Videos.hand_side` of the run. A box that tells no side, where boxes should, is guessed.
        has_boxes: False: the predictor finds the hands, in all frames.
    """
    segments = shard.segments.sort_by([(name, "ascending") for name in SHARDS.key]).to_pylist()
    facts = {row["video_id"]: (index, row) for index, row in enumerate(shard.videos.to_pylist())}
    K = unpack_column(shard.videos, VIDEOS["K"])
    by_video = _boxes_by_video(shard.boxes)
    nothing = shard.boxes.slice(0, 0)
    wanted = []
    for segment in segments:
        name = segment["video_id"]
        index, video = facts[name]
        found = by_video.get(name, nothing)
        one = _wanted(video, K[index], segment["first_frame_index"], found, hand_side)
        wanted.append(one if has_boxes else replace(one, is_boxed=False, num_frames=segment["num_frames"]))
    return wanted


def nearest_object(hand_xyxy: npt.NDArray[np.floating], objects_xyxy: npt.NDArray[np.floating]) -> FloatArray:
    """Choose the object a hand may hold: the one its box overlaps most (IoU), else the nearest, not too far away.

    Args:
        hand_xyxy: (4,).
        objects_xyxy: (M, 4) of the same frame, in the order that decides between equals.

    Returns:
        (4,); NaN where there is none within `MAX_OBJECT_GAP_BOX_SIDES` (root of the hand box's area).
    """
    if len(objects_xyxy) == 0:
        return np.full(4, np.nan, dtype=np.float32)
    overlap = np.nan_to_num(boxes.iou(hand_xyxy, objects_xyxy), nan=0.0)
    if overlap.max() > 0.0:
        return np.asarray(objects_xyxy[int(overlap.argmax())], dtype=np.float32)
    gaps = np.maximum(objects_xyxy[:, :2] - hand_xyxy[2:], hand_xyxy[:2] - objects_xyxy[:, 2:]).clip(min=0.0)
    distance = np.hypot(gaps[:, 0], gaps[:, 1])
    nearest = int(distance.argmin())
    side = float(np.sqrt(boxes.area(hand_xyxy)))
    is_near = distance[nearest] <= MAX_OBJECT_GAP_BOX_SIDES * side
    return np.where(is_near, objects_xyxy[nearest], np.nan).astype(np.float32)


def sides(told: list[bool | None], hand_side: HandSide) -> tuple[npt.NDArray[np.bool_], tuple[SideSource, ...]]:
    """Return the (first) hypothesis for each hand's side, and who says so.

    Args:
        told: by the boxes.
        hand_side: of the run.
    """
    if hand_side in ("right", "left"):
        configured: tuple[SideSource, ...] = tuple("configured" for _ in told)
        return np.full(len(told), hand_side == "right", dtype=np.bool_), configured
    is_given = [side is not None and hand_side == "boxes" for side in told]
    first = np.array(
        [bool(side) if given else True for side, given in zip(told, is_given, strict=True)], dtype=np.bool_
    )
    source: tuple[SideSource, ...] = tuple("given" if given else "guessed" for given in is_given)
    return first, source


def detected_in_frame(video: WantedVideo, frame_index: int, found: DetectedHands, hand_side: HandSide) -> WantedVideo:
    """Return the hands a detector found in one frame, as if they had been wanted.

    Args:
        video: without boxes.
        frame_index: number of the frame.
        found: by the detector, in it.
        hand_side: of the run; `boxes`: as the detector says.
    """
    is_right, source = sides([bool(side) for side in found.is_right], hand_side)
    order = np.argsort(found.hand_index, kind="stable")
    count = len(found)
    return replace(
        video,
        frame_index=np.full(count, frame_index, dtype=np.int32),
        hand_index=found.hand_index[order].astype(np.int16),
        bbox_xyxy=np.asarray(found.boxes_xyxy, dtype=np.float32)[order],
        object_bbox_xyxy=np.full((count, 4), np.nan, dtype=np.float32),
        is_right=is_right[order],
        side_source=tuple(source[row] for row in order),
        box_sources=tuple(found.sources[row] for row in order),
        upright_px=None if found.upright_px is None else np.asarray(found.upright_px, dtype=np.float32)[order],
    )


def asks_for_boxes(videos: Videos) -> bool:
    """Tell whether a run names boxes; without any, the predictor has to find the hands."""
    return videos.box_format != "none"


def _boxes_by_video(table: pa.Table) -> dict[str, pa.Table]:
    """Cut a table sorted by video into one for each."""
    if table.num_rows == 0:
        return {}
    codes = table["video_id"].combine_chunks().dictionary_encode()
    names = codes.dictionary.to_pylist()
    numbers = codes.indices.to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    ends = np.concatenate([starts[1:], [len(numbers)]])
    return {
        names[numbers[start]]: table.slice(int(start), int(end - start))
        for start, end in zip(starts, ends, strict=True)
    }


def _wanted(
    video: dict[str, object], K: FloatArray, first_frame_index: int, found: pa.Table, hand_side: HandSide
) -> WantedVideo:
    hands = found.filter(pc.equal(found["kind"], "hand"))
    objects = found.filter(pc.equal(found["kind"], "object"))
    frame_index = unpack_column(hands, BOXES["frame_index"])
    bbox = unpack_column(hands, BOXES["bbox_xyxy"])
    object_frames, object_boxes = (unpack_column(objects, BOXES[name]) for name in ("frame_index", "bbox_xyxy"))
    starts, ends = (np.searchsorted(object_frames, frame_index, side) for side in ("left", "right"))
    near = [nearest_object(box, object_boxes[start:end]) for box, start, end in zip(bbox, starts, ends, strict=True)]
    is_right, source = sides(hands["is_right"].to_pylist(), hand_side)
    etag = video["etag"]
    return WantedVideo(
        video_id=str(video["video_id"]),
        uri=str(video["uri"]),
        etag=None if etag is None else str(etag),
        first_frame_index=first_frame_index,
        frame_index=frame_index,
        hand_index=unpack_column(hands, BOXES["box_index"]),
        bbox_xyxy=bbox,
        object_bbox_xyxy=np.stack(near) if near else np.zeros((0, 4), dtype=np.float32),
        is_right=is_right,
        side_source=source,
        K=K,
    )
