"""Finding hands in videos for which nobody gives boxes: what a detector answers, and who can be asked.

A detector follows hands through a video, so it sees the frames of a video one after another, and keeps a hand's number
as long as it sees it. A predictor that finds hands by itself offers :meth:`FindsHands.new_tracker`; a run without boxes
then needs nothing else. For one that does not, a run names a detector (:mod:`hoiray.predictors.box_detector`).

A box that was found made the crop, and nobody else gave it: the overlap of the answer with it (`box_iou`) is circular,
wholly where the predictor's own points made the box, and the column `box_source` of a label marks it as such
(`detected`, `tracked`).
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
    """

    boxes_xyxy: FloatArray
    is_right: npt.NDArray[np.bool_]
    hand_index: npt.NDArray[np.integer]
    sources: tuple[BoxSource, ...]

    def __post_init__(self) -> None:
        """Refuse boxes without area, two hands of one number, and lengths that differ.

        Raises:
            ContractError: names what is wrong.
        """
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1 or self.boxes_xyxy.shape[1:] != (4,):
            expected, found = "boxes (N, 4), and one side, number and source each", str(lengths)
            raise ContractError(describe(what="detected hands", expected=expected, found=found, fix=_FIX))
        if not (np.isfinite(self.boxes_xyxy).all() and (np.nan_to_num(boxes.area(self.boxes_xyxy)) > 0).all()):
            found = str(self.boxes_xyxy.tolist())
            raise ContractError(describe(what="detected hands", expected="boxes with an area", found=found, fix=_FIX))
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
