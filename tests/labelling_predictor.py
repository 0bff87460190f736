"""A predictor that costs next to nothing and looks at the pixels; workers import it by its name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from filter_scenes import hands

from hoiray.geometry.boxes import to_center_size
from hoiray.predictors.detector import DetectedHands
from hoiray.predictors.protocol import HandPredictions, HandRequest

REST_M = hands(np.random.default_rng(5), 1, 20.0)[0]
REST_M.setflags(write=False)

SLOW_CALL_S = 0.5


class BoxPredictor:
    """Puts one hand into every box, turned a little by the colour it sees there; a red box kills the process.

    With `with_hand` it answers in parameters of the open hand, else in joints only, which needs no torch. It takes its
    time while there is a file `slow_while`.
    """

    name, digest, tip_set = "boxes", "0", "ho3d"

    def __init__(self, with_hand: bool = False, slow_while: str | None = None) -> None:
        self.hand: Any = None
        self.slow_while = slow_while
        self.shapes_seen: set[int] = set()
        if with_hand:
            from hoiray.hand.model import HandModel

            self.hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")

    def predict(self, request: HandRequest) -> HandPredictions:
        if self.slow_while is not None and Path(self.slow_while).exists():
            time.sleep(SLOW_CALL_S)
        self.shapes_seen.add(len(request))
        colours = np.stack([self._colour(request, row) for row in range(len(request))])
        if ((colours[:, 0] > 150) & (colours[:, 1] < 60)).any():
            os.kill(os.getpid(), signal.SIGKILL)
        turns = (colours.mean(axis=1) - 128.0) / 2000.0
        if request.views is not None:
            turns = turns + 0.01 * request.views.shifts_sides[:, 0]
        return self._answer(request, turns)

    def _colour(self, request: HandRequest, row: int) -> np.ndarray:
        x0, y0, x1, y1 = np.maximum(request.hand_boxes_xyxy[row], 0).astype(int)
        return np.asarray(
            request.frames[request.frame_index[row]][y0 : y1 + 1, x0 : x1 + 1].reshape(-1, 3).mean(axis=0)
        )

    def _answer(self, request: HandRequest, turns: np.ndarray) -> HandPredictions:
        cosine, sine, zero, one = np.cos(turns), np.sin(turns), np.zeros_like(turns), np.ones_like(turns)
        R = np.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)
        count = len(turns)
        known: dict[str, Any] = {}
        joints = REST_M @ np.swapaxes(R, -1, -2)
        if self.hand is not None:
            known["rotations"] = np.broadcast_to(np.eye(3), (count, 16, 3, 3)).copy()
            known["rotations"][:, 0] = R
            known["betas"] = np.repeat(turns[:, None], 10, axis=1)
        centre, size = to_center_size(request.hand_boxes_xyxy)
        scale = size.max(axis=1) / 0.25
        middle = joints[:, :, :2].mean(axis=1, keepdims=True)
        pixels = centre[:, None] + scale[:, None, None] * (joints[:, :, :2] - middle)
        return HandPredictions(joints, pixels, **known)


def make(
    *,
    checkpoint_uri: str | None,
    hand_path: Path | None,
    device: str,
    with_hand: bool = False,
    slow_while: str | None = None,
) -> BoxPredictor:
    return BoxPredictor(with_hand, slow_while)


class FindingPredictor(BoxPredictor):
    """Finds one hand in the middle of every frame, anew in the first frame it sees; answers as its tracker had it."""

    def new_tracker(self) -> "_MiddleTracker":
        return _MiddleTracker()

    def _answer(self, request: HandRequest, turns: np.ndarray) -> HandPredictions:
        if request.upright_px is not None:
            turns = turns + 0.05 * np.nan_to_num(request.upright_px[:, 1, 0])
        return super()._answer(request, turns)


def make_finding(*, checkpoint_uri: str | None, hand_path: Path | None, device: str) -> FindingPredictor:
    return FindingPredictor()


class _MiddleTracker:
    def __init__(self) -> None:
        self.has_begun = False

    def step(self, frame_index: int, image: np.ndarray) -> DetectedHands:
        height, width = image.shape[:2]
        box = np.array([[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]])
        source, self.has_begun = "tracked" if self.has_begun else "detected", True
        upright = np.array([[[width / 2, height / 2], [width / 2 + frame_index, 0.0]]])
        return DetectedHands(box, np.array([True]), np.array([0]), (source,), upright)
