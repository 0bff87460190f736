"""Predict: frames with their given boxes in, rows of the table FUSED out.

Hands are predicted in batches of one fixed size, across the borders of frames and videos; what a batch lacks is filled
up with repetitions that are thrown away. So the network always sees one shape, and a hand's numbers do not depend on
its company: bit for bit on a CPU. Frames of one size share a batch, as full frames travel to the device unscaled.

A hand whose side nobody tells is predicted as a right and as a left one, and which of the two is kept is decided track
by track when all is predicted (:mod:`hoiray.filters.sides`). A segment of a long video decides by itself.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.config.what import Ensemble
from hoiray.errors import ConfigError, describe
from hoiray.geometry import boxes
from hoiray.geometry.cameras import solve_weak_perspective
from hoiray.predictors.cascade import predict_views
from hoiray.predictors.ensemble import Fused, side_cost
from hoiray.predictors.protocol import FloatArray, HandRequest, Predictor
from hoiray.schema.conform import empty_table
from hoiray.stages.fused_table import HandFacts, fused_table
from hoiray.stages.measure import FUSED
from hoiray.stages.sides import Hypotheses, decided
from hoiray.stages.wanted import WantedVideo

_log = logging.getLogger(__name__)

Image = npt.NDArray[np.uint8]

MAX_WAITING_BYTES: Final = 512 << 20
"""Pixels of frames that wait for their batch to fill: beyond it, the batch that holds most is predicted unfilled."""

CHANGE_PX: Final = 32
"""Side to which hand crops are shrunk before they are compared, so that noise and coding do not look like motion."""


@dataclass(frozen=True, eq=False)
class _Hand:
    """One hand that waits for its batch."""

    video: WantedVideo
    row: int
    time_s: float
    image: Image
    crop_change: float

    @property
    def key(self) -> str:
        """Name of the hand: it alone decides the ensemble's views."""
        video = self.video
        return f"{video.video_id}/{video.frame_index[self.row]}/{video.hand_index[self.row]}"


class HandBatches:
    """The hands of a shard on their way through the predictor. Not for several threads."""

    def __init__(
        self,
        predictor: Predictor,
        ensemble: Ensemble,
        *,
        batch_size: int,
        shard_id: str,
        predict_id: str,
        is_one_person: bool,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """Begin without any.

        Args:
            predictor: answers.
            ensemble: views of each hand.
            batch_size: hands of one batch, before the ensemble multiplies them.
            shard_id: written into the rows.
            predict_id: likewise.
            is_one_person: whether two hands of a frame are presumed to be of two sides, where those are guessed.
            max_waiting_bytes: pixels that may wait.
        """
        self._predictor, self._ensemble = predictor, ensemble
        self._batch_size, self._max_waiting_bytes = batch_size, max_waiting_bytes
        self._shard_id, self._predict_id, self._is_one_person = shard_id, predict_id, is_one_person
        self._waiting: dict[tuple[int, ...], list[_Hand]] = {}
        self._predicted: list[Hypotheses] = []

    @property
    def batch_size(self) -> int:
        """Hands of one batch: as asked for, or less since the device's memory did not suffice."""
        return self._batch_size

    def add(
        self, video: WantedVideo, frame_index: int, time_s: float, image: Image, image_before: Image | None
    ) -> None:
        """Take the hands of a frame, and predict as soon as a batch is full.

        Args:
            video: whose frame it is.
            frame_index: its number.
            time_s: when it is shown.
            image: (H, W, 3) RGB; kept until it is predicted.
            image_before: the frame of the number before; None where it is not at hand.

        Raises:
            ConfigError: the device's memory does not suffice for one hand.
            ContractError: the predictor breaks its contract.
        """
        queue = self._waiting.setdefault(image.shape, [])
        for row in video.rows_of(frame_index):
            change = crop_change(image_before, image, video.bbox_xyxy[row])
            queue.append(_Hand(video, row, time_s, image, change))
        while len(queue) >= self._batch_size:
            self._run(queue)
        while self._waiting_bytes() > self._max_waiting_bytes:
            self._run(max(self._waiting.values(), key=_num_bytes))

    def flush(self) -> None:
        """Predict what waits."""
        for queue in self._waiting.values():
            while queue:
                self._run(queue)

    def forget(self, video_id: str) -> None:
        """Take back every hand of a video, predicted or not."""
        for queue in self._waiting.values():
            queue[:] = [hand for hand in queue if hand.video.video_id != video_id]
        self._predicted = [hands.without(video_id) for hands in self._predicted]

    def table(self) -> pa.Table:
        """Return what has been predicted, sorted by key, guessed sides decided track by track."""
        predicted = [hands for hands in self._predicted if hands.first.num_rows]
        return decided(predicted, is_one_person=self._is_one_person) if predicted else empty_table(FUSED)

    def _waiting_bytes(self) -> int:
        return sum(map(_num_bytes, self._waiting.values()))

    def _run(self, queue: list[_Hand]) -> None:
        """Predict the first hands of a queue, as many as fit a batch."""
        hands = queue[: self._batch_size]
        try:
            self._predicted.append(self._predict(hands))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._shrink(error)
            return
        del queue[: len(hands)]

    def _shrink(self, error: RuntimeError) -> None:
        if self._batch_size == 1:
            expected = f"memory of the device for one hand in {self._ensemble.num_views} views"
            fix = "Give the predictor a larger device, or other actors on it less."
            raise ConfigError(
                describe(what=self._predictor.name, expected=expected, found=str(error), fix=fix)
            ) from error
        _release_cached_memory()
        _log.warning("the device's memory does not suffice for batches of %d hands: halved", self._batch_size)
        self._batch_size //= 2

    def _predict(self, hands: Sequence[_Hand]) -> Hypotheses:
        """Predict up to a batch of hands of one image size, guessed sides under both hypotheses."""
        filled = [*hands, *[hands[0]] * (self._batch_size - len(hands))]
        request = _request_of(filled)
        first, cost = self._answer(filled, request, len(hands))
        is_guessed = np.array([hand.video.side_source[hand.row] == "guessed" for hand in hands])
        if not is_guessed.any():
            return Hypotheses.of_known(first)
        # of hands whose side is known both are the same, and count nothing
        guessed = np.array([hand.video.side_source[hand.row] == "guessed" for hand in filled])
        other = replace(request, is_right=request.is_right ^ guessed)
        second, other_cost = self._answer(filled, other, len(hands))
        with np.errstate(invalid="ignore"):
            lead = other_cost - cost
        # two hypotheses without an answer are alike
        lead = np.where(np.isnan(lead), 0.0, lead)
        return Hypotheses(first, second, np.where(is_guessed, lead, np.nan))

    def _answer(self, filled: Sequence[_Hand], request: HandRequest, num_hands: int) -> tuple[pa.Table, FloatArray]:
        """Predict a full batch; return rows of schema FUSED of its first hands, and what tells for their sides."""
        fused = predict_views(self._predictor, request, [hand.key for hand in filled], self._ensemble)
        facts = HandFacts(
            _columns_of(filled, request.is_right), request.K, request.image_size_wh, self._shard_id, self._predict_id
        )
        table = fused_table(facts, fused, self._predictor.hand, num_rows=num_hands)
        residual = weak_perspective_residual(fused, np.sqrt(boxes.area(request.hand_boxes_xyxy)))
        return table, side_cost(fused, residual)[:num_hands]


def crop_change(before: Image | None, image: Image, bbox_xyxy: npt.NDArray[np.floating]) -> float:
    """Measure how much the picture in a hand's box has changed since the frame before.

    Args:
        before: (H, W, 3) the frame before; None where it is not at hand.
        image: (H, W, 3).
        bbox_xyxy: (4,) the box, in both frames the same.

    Returns:
        Mean absolute difference of the two crops, shrunk to `CHANGE_PX`, 0 to 1; 0 for a copy. NaN without a frame
        before, for one of another size, and for a box outside the image.
    """
    height, width = image.shape[:2]
    x0, y0 = np.floor(np.maximum(bbox_xyxy[:2] + 0.5, 0.0)).astype(int)
    x1, y1 = np.ceil(np.minimum(bbox_xyxy[2:] + 0.5, [width, height])).astype(int)
    if before is None or before.shape != image.shape or x1 <= x0 or y1 <= y0:
        return float("nan")
    if before is image:
        return 0.0
    import cv2

    size = (CHANGE_PX, CHANGE_PX)
    first, second = (
        cv2.resize(np.ascontiguousarray(part[y0:y1, x0:x1]), size, interpolation=cv2.INTER_AREA)
        for part in (before, image)
    )
    return float(np.abs(first.astype(np.int16) - second.astype(np.int16)).mean()) / 255.0


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether a device has no memory left, which a smaller batch cures."""
    return type(error).__name__ == "OutOfMemoryError"


def _release_cached_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _num_bytes(queue: list[_Hand]) -> int:
    return sum({id(hand.image): hand.image.nbytes for hand in queue}.values())


def _request_of(hands: Sequence[_Hand]) -> HandRequest:
    images = {id(hand.image): hand.image for hand in hands}
    place = {name: index for index, name in enumerate(images)}
    return HandRequest.make(
        np.stack(list(images.values())),
        [place[id(hand.image)] for hand in hands],
        np.stack([hand.video.bbox_xyxy[hand.row] for hand in hands]),
        np.array([hand.video.is_right[hand.row] for hand in hands]),
        object_boxes_xyxy=np.stack([hand.video.object_bbox_xyxy[hand.row] for hand in hands]),
        K=np.stack([hand.video.K for hand in hands]),
        upright_px=np.stack([hand.video.upright(hand.row) for hand in hands]),
    )


def _columns_of(hands: Sequence[_Hand], is_right: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "video_id": [hand.video.video_id for hand in hands],
        "frame_index": np.array([hand.video.frame_index[hand.row] for hand in hands]),
        "hand_index": np.array([hand.video.hand_index[hand.row] for hand in hands]),
        "time_s": np.array([hand.time_s for hand in hands]),
        "is_right": is_right,
        "side_source": [hand.video.side_source[hand.row] for hand in hands],
        "bbox_xyxy": np.stack([hand.video.bbox_xyxy[hand.row] for hand in hands]),
        "box_source": [hand.video.box_source(hand.row) for hand in hands],
        "upright_px": np.stack([hand.video.upright(hand.row) for hand in hands]),
        "object_bbox_xyxy": np.stack([hand.video.object_bbox_xyxy[hand.row] for hand in hands]),
        "crop_change": np.array([hand.crop_change for hand in hands]),
    }


def weak_perspective_residual(fused: Fused, box_side_px: FloatArray) -> FloatArray:
    """Return how far the best weak-perspective image of the 3D joints is from the 2D joints, (B,) in box sides.

    The Frobenius norm over the joints, as the reprojection filter has it; NaN where there is no camera.
    """
    joints_3d, joints_2d = fused.mean.joints_3d_m, fused.mean.joints_2d_px
    camera = solve_weak_perspective(joints_3d, joints_2d)
    projected = camera.scale_px_per_m[:, None, None] * joints_3d[..., :2] + camera.translation_px[:, None]
    return np.asarray(np.linalg.norm((projected - joints_2d).reshape(len(joints_3d), -1), axis=1) / box_side_px)
