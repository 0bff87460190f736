"""A predictor that costs next to nothing: one hand, put into every box. What is left is the labelling's machinery."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.geometry.boxes import to_center_size
from hoiray.predictors.protocol import HandPredictions, HandRequest

FINGER_LENGTH_M: Final = 0.08
BOX_SIDE_M: Final = 0.2
TIP_SET: Final = "ho3d"


class FreePredictor:
    """Answers in joints only, without a look at the pixels."""

    name, digest, tip_set, hand = "free", "0", TIP_SET, None

    def predict(self, request: HandRequest) -> HandPredictions:
        """Put the hand into each box, as large as the box."""
        joints = np.repeat(stretched_hand_m()[None], len(request), axis=0)
        center, size = to_center_size(request.hand_boxes_xyxy)
        scale = size.max(axis=1) / BOX_SIDE_M
        middle = joints[:, :, :2].mean(axis=1, keepdims=True)
        return HandPredictions(joints, center[:, None] + scale[:, None, None] * (joints[:, :, :2] - middle))


def stretched_hand_m() -> npt.NDArray[np.float64]:
    """Return (21, 3) joints of a flat hand, metres about the wrist: five fingers like the ribs of a fan."""
    angles = np.radians(np.linspace(-30.0, 30.0, 5))
    steps = np.linspace(FINGER_LENGTH_M, 2 * FINGER_LENGTH_M, 4)
    fingers = steps[None, :, None] * np.stack([np.sin(angles), -np.cos(angles), np.zeros(5)], axis=1)[:, None]
    return np.concatenate([np.zeros((1, 3)), fingers.reshape(-1, 3)])


def make(*, checkpoint_uri: str | None, hand_path: Path | None, device: str) -> FreePredictor:
    """Make one; it has no weights, needs no hand model and no device."""
    del checkpoint_uri, hand_path, device
    return FreePredictor()
