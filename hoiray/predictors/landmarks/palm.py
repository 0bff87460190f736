"""What the palm network's answer means: boxes and seven points relative to a fixed grid of anchors.

The grid, the units and the weighted suppression are part of the published network (MediaPipe's graph
`palm_detection_cpu`): one layer of 24 x 24 cells with two anchors each, one of 12 x 12 with six.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.geometry import boxes
from hoiray.geometry.crops import apply_affine, invert_affine

FloatArray = npt.NDArray[np.floating]

INPUT_PX: Final = 192
MIN_SCORE: Final = 0.5
MIN_OVERLAP: Final = 0.3
"""IoU from which two answers are of the same palm."""

_LAYERS: Final = ((24, 2), (12, 6))
_NUM_POINTS: Final = 7


@dataclass(frozen=True, eq=False)
class Palms:
    """N palms, best first.

    Attributes:
        boxes_xyxy: (N, 4) px of the frame.
        points_px: (N, 7, 2): wrist, knuckles of index, middle, ring and pinky, two of the thumb.
        scores: (N,) 0 to 1.
    """

    boxes_xyxy: FloatArray
    points_px: FloatArray
    scores: FloatArray

    def __len__(self) -> int:
        """Palms."""
        return len(self.scores)


def anchors() -> FloatArray:
    """Return the centres (2016, 2) of the grid's anchors, in sides of the input."""
    layers = []
    for cells, repeats in _LAYERS:
        axis = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        layers.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(layers)


def letterbox(width: int, height: int) -> FloatArray:
    """Return the affine (3, 3) that shows a whole frame in the middle of the input."""
    scale = INPUT_PX / max(width, height)
    middle = (INPUT_PX - 1) / 2
    return np.array(
        [
            [scale, 0.0, middle - scale * (width - 1) / 2],
            [0.0, scale, middle - scale * (height - 1) / 2],
            [0.0, 0.0, 1.0],
        ]
    )


def decode_palms(regressions: npt.ArrayLike, logits: npt.ArrayLike, A: FloatArray) -> Palms:
    """Find the palms of one frame.

    Args:
        regressions: (2016, 18) centre and size of the box, then seven points; px of the input, from the anchor.
        logits: (2016,) of the scores.
        A: (3, 3) frame to input.
    """
    scores = 1.0 / (1.0 + np.exp(-np.clip(np.asarray(logits, np.float64).ravel(), -80.0, 80.0)))
    chosen = np.flatnonzero(scores >= MIN_SCORE)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    values = np.asarray(regressions, np.float64)[chosen].reshape(len(chosen), 2 + _NUM_POINTS, 2)
    origin = anchors()[chosen] * INPUT_PX - 0.5  # pixel centres are integers here, and at halves in the network
    centers, sizes = values[:, 0] + origin, values[:, 1]
    points = values[:, 2:] + origin[:, None]
    found = np.concatenate([boxes.from_center_size(centers, sizes).reshape(-1, 2, 2), points], axis=1)
    merged, kept = _merged(found, scores[chosen])
    in_frame = apply_affine(invert_affine(A), merged.reshape(-1, 2)).reshape(merged.shape)
    return Palms(in_frame[:, :2].reshape(-1, 4), in_frame[:, 2:], kept)


def _merged(found: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Average answers of the same palm by their scores: (N, 9, 2) corners and points, best first."""
    left = np.arange(len(scores))
    merged, kept = [np.zeros((0, *found.shape[1:]))], [np.zeros(0)]
    while len(left):
        overlap = boxes.iou(found[left[0], :2].reshape(4), found[left, :2].reshape(-1, 4))
        # an answer whose box has no area overlaps nothing, itself included
        same = (np.nan_to_num(np.asarray(overlap)) > MIN_OVERLAP) | (left == left[0])
        weights = scores[left[same]]
        merged.append(np.average(found[left[same]], axis=0, weights=weights)[None])
        kept.append(weights[:1])
        left = left[~same]
    return np.concatenate(merged), np.concatenate(kept)
