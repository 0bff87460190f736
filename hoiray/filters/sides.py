"""Which hand a track is, where nobody says so: one decision a track, from the evidence of all its frames.

A predictor that is told the wrong side of a hand sees its mirror image, and answers less consistently (Liu et al. are
silent about sides; Something-Else's boxes have none). In one frame this is weak evidence. But a hand does not change
its side on its way through a video, so the frames of a track are asked together, and a single frame in which the wrong
hypothesis happens to look better is overruled by its neighbours.

Tracks are found from the boxes alone, by the rule of :mod:`hoiray.filters.tracks` with every hand on one side. What is
found there is stricter than it need be: where two hands of a frame compete for a track, it ends, and its continuation
is decided by itself.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.filters.tracks import track_hands

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

MAX_LEAD: Final = 0.1
"""What one frame says at most, in the unit of the leads. Without a limit a few frames in which one hypothesis collapses
outvote all others."""

SIDE_RULE: Final = "by track"
"""Part of the id of predictions whose sides are guessed: another rule makes other rows."""


def track_leads(
    lead: FloatArray, frame_index: npt.NDArray[np.integer], bbox_xyxy: FloatArray, video_starts: IntArray
) -> FloatArray:
    """Ask the frames of each track for its side.

    Args:
        lead: (N,) by how much the first hypothesis is the more consistent in a frame, negative where the second one is;
            infinite where only one of them has an answer.
        frame_index: (N,) not decreasing within a video.
        bbox_xyxy: (N, 4) px.
        video_starts: (V + 1,) first row of each video, and N at the end.

    Returns:
        (N,) mean over the track of what its frames say, each at most :data:`MAX_LEAD`: negative tells for the
        second hypothesis, all else keeps the first.

    Raises:
        ContractError: rows of a video are not in order.
    """
    one_side = np.ones(len(lead), dtype=np.bool_)
    tracks = track_hands(frame_index, one_side, bbox_xyxy, video_starts)
    video = np.repeat(np.arange(len(video_starts) - 1), np.diff(video_starts))
    _, track = np.unique(np.stack([video, tracks.track_index]), axis=1, return_inverse=True)
    said = np.clip(np.nan_to_num(lead, nan=0.0, posinf=MAX_LEAD, neginf=-MAX_LEAD), -MAX_LEAD, MAX_LEAD)
    total, count = (np.bincount(track.ravel(), weights=weights, minlength=1) for weights in (said, None))
    return np.asarray((total / np.maximum(count, 1))[track.ravel()])
