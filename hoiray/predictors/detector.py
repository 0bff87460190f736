"""Finding hands in videos for which nobody gives boxes: what a detector answers, and who can be asked.

A detector follows hands through a video, so it sees the frames of a video one after another, and keeps a hand's number
as long as it sees it. A predictor that finds hands by itself offers :meth:`FindsHands.new_tracker`; a run without boxes
then needs nothing else. For one that does not, a run names a detector (:mod:`hoiray.predictors.box_detector`).

A box that was found made the crop, and nobody else gave it: the overlap of the answer with it (`box_iou`) is circular,
wholly where the predictor's own points made the box, and the column `box_source` of a label marks it as such
(`detected`, `tracked`).

A tracker that reads a hand's points to follow it also knows how the hand is turned, which its box does not tell. It may
say so (`upright_px`): this is kept with the hand, asked with it, and stored with its prediction, so that a predictor
that wants its hands upright need not find out anew, and a replay asks the very same question.
"""

from dataclasses import dataclass, fields
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry import boxes

FloatArray = npt.NDArray[np.floating]
BoxSource: TypeAlias = Literal["given", "detected", "tracked"]

CIRCULAR_SOURCES: Final[tuple[BoxSource, ...]] = ("detected", "tracked")
"""Boxes that were found, not given: they made the crops."""


@dataclass(frozen=True, eq=False)
class DetectedHands:
    """The N hands of one frame.

    Attributes:
        boxes_xyxy: (N, 4) px, tight around each hand, cut to the image.
        is_right: (N,).
        hand_index: (N,) number of each hand: the same in every frame in which it is followed, different in a frame.
        sources: (N,) found anew, or followed from the frame before.
        upright_px: (N, 2, 2) of the square that shows each hand upright, its centre and the middle of its upper edge,
            in px of the frame; NaN where that is not known; None: of no hand.
    """

    boxes_xyxy: FloatArray
    is_right: npt.NDArray[np.bool_]
    hand_index: npt.NDArray[np.integer]
    sources: tuple[BoxSource, ...]
    upright_px: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse boxes without area, two hands of one number, and lengths that differ.

        Raises:
            ContractError: names what is wrong.
        """
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        lengths = {name: len(values) for name, values in known.items() if values is not None}
        if len(set(lengths.values())) > 1 or self.boxes_xyxy.shape[1:] != (4,):
            expected, found = "boxes (N, 4), and one side, number and source each", str(lengths)
            raise ContractError(describe(what="detected hands", expected=expected, found=found, fix=_FIX))
        if not (np.isfinite(self.boxes_xyxy).all() and (np.nan_to_num(boxes.area(self.boxes_xyxy)) > 0).all()):
            found = str(self.boxes_xyxy.tolist())
            raise ContractError(describe(what="detected hands", expected="boxes with an area", found=found, fix=_FIX))
        if self.upright_px is not None and self.upright_px.shape[1:] != (2, 2):
            expected, found = "two points of each upright square (N, 2, 2)", str(self.upright_px.shape)
            raise ContractError(describe(what="detected hands", expected=expected, found=found, fix=_FIX))
        if len(np.unique(self.hand_index)) < len(self):
            found = str(self.hand_index.tolist())
            raise ContractError(describe(what="detected hands", expected="a number each", found=found, fix=_FIX))

    def __len__(self) -> int:
        """Hands."""
        return len(self.hand_index)


_FIX: Final = "See hoiray.predictors.detector for what each array holds."


class HandTracker(Protocol):
    """Follows the hands of one video."""

    def step(self, frame_index: int, image: npt.NDArray[np.uint8]) -> DetectedHands:
        """Find the hands of the next frame.

        Args:
            frame_index: its number; grows.
            image: (H, W, 3) RGB; all of one size.
        """


@runtime_checkable
class FindsHands(Protocol):
    """A predictor that needs no boxes."""

    def new_tracker(self) -> HandTracker:
        """Begin a video. What it finds must depend on nothing but the video."""
