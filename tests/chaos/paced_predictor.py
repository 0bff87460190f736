"""A predictor that takes its time and leaves a log of its work; workers import it by its name."""

import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from labelling_predictor import BoxPredictor

from hoiray.predictors.protocol import HandPredictions, HandRequest

PACE, LOG, HOLD = "pace_s", "work.log", "hold_at_call"

HOLD_LOOK_S = 0.02

FIRST_Y0, STEP_Y0, FIRST_Y1, STEP_Y1 = 2.0, 0.25, 30.0, 0.25
"""Where a hand's box lies tells its video and its frame: upper and lower side, in px."""

Frame = tuple[int, int]
"""Number of the video, number of the frame in it."""


class PacedPredictor(BoxPredictor):
    """Sleeps for the seconds that stand in a file of `folder`, and notes which frames it was asked for, and by whom.

    From the call on whose number (of all predictors together) stands in another file, it waits until that file is gone.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = Path(folder)

    def predict(self, request: HandRequest) -> HandPredictions:
        # what a batch lacks is filled with its first hand: each counts once
        boxes = {tuple(box) for box in request.hand_boxes_xyxy.tolist()}
        words = [f"{round((y0 - FIRST_Y0) / STEP_Y0)}.{round((y1 - FIRST_Y1) / STEP_Y1)}" for _, y0, _, y1 in boxes]
        with (self.folder / LOG).open("ab", buffering=0) as log:
            log.write(f"{os.getpid()} {' '.join(words)}\n".encode())
        time.sleep(float((self.folder / PACE).read_text()))
        while is_held(self.folder):
            time.sleep(HOLD_LOOK_S)
        return super().predict(request)


def make(*, checkpoint_uri: str | None, hand_path: Path | None, device: str, folder: str) -> PacedPredictor:
    return PacedPredictor(folder)


def is_held(folder: Path) -> bool:
    """Whether there have been as many calls as are to be held at."""
    with suppress(FileNotFoundError):
        return (folder / LOG).read_text().count("\n") >= int((folder / HOLD).read_text())
    return False


def read_log(folder: Path) -> dict[int, Counter[Frame]]:
    """How often each frame's hands were predicted, by the process that did, in order of their first calls."""
    text = (folder / LOG).read_text() if (folder / LOG).exists() else ""
    found: dict[int, Counter[Frame]] = {}
    for line in text.splitlines():
        pid, *words = line.split()
        found.setdefault(int(pid), Counter()).update(_frame(word) for word in words)
    return found


def _frame(word: str) -> Frame:
    video, frame = word.split(".")
    return int(video), int(frame)
