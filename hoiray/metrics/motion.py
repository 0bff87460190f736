"""Errors of motion: the acceleration error of HMMR and VIBE, on frames that really follow each other.

Kanazawa et al. (Learning 3D Human Dynamics from Video, CVPR 2019) compare second differences of joint positions,
``X[t-1] - 2 X[t] + X[t+1]``, of prediction and truth. Their scripts, and those that copied them, print millimetres per
frame squared although tables often say mm/s^2; the two differ by the squared frame rate (144 at 12 fps, 900 at 30).
Here a frame counts only if its neighbours are the frames with the numbers before and after it, in the same track: a
second difference across a hole measures another duration.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.metrics.inputs import AnyFloats, Floats, paired_points, predicted_points
from hoiray.metrics.summary import MM_PER_M, Summary


@dataclass(frozen=True, slots=True)
class AccelerationError:
    """Acceleration error per frame, and which frames could have had one.

    Attributes:
        error_m_per_frame2: (N,) mean over joints at each frame; NaN at the ends of a run and where one of the three
            predictions is missing.
        has_neighbours: (N,) frames whose predecessor and successor are annotated.
    """

    error_m_per_frame2: Floats
    has_neighbours: npt.NDArray[np.bool_]

    def mean_mm_per_frame2(self) -> Summary:
        """Average over the frames with neighbours; those with a prediction missing among the three are counted."""
        candidates = self.error_m_per_frame2[self.has_neighbours] * MM_PER_M
        measured = candidates[~np.isnan(candidates)]
        mean = float(measured.mean()) if measured.size else float("nan")
        return Summary(mean, candidates.size, candidates.size - measured.size)

    def mean_mm_per_s2(self, frames_per_second: float) -> Summary:
        """Average as :meth:`mean_mm_per_frame2`, in mm/s^2.

        Raises:
            ContractError: a frame rate that is not positive.
        """
        if not frames_per_second > 0.0:
            raise ContractError(
                describe(
                    what="frame rate",
                    expected="a positive number of frames per second",
                    found=f"{frames_per_second}",
                    fix="Give the rate at which frame_index counts.",
                )
            )
        return self.mean_mm_per_frame2().scaled(frames_per_second**2)


def acceleration_error(
    predicted_m: AnyFloats,
    truth_m: AnyFloats,
    frame_index: npt.NDArray[np.integer],
    track_index: npt.NDArray[np.integer] | None = None,
) -> AccelerationError:
    """Compare second differences of predicted and true joints.

    Args:
        predicted_m: (N, K, 3) joints; non-finite values mark a missing sample, which costs up to three frames.
        truth_m: (N, K, 3) joints.
        frame_index: (N,) frame numbers, strictly ascending inside a track.
        track_index: (N,) equal inside a track, the rows of a track adjacent; one track if None.

    Returns:
        Errors and the frames they could have been measured at.

    Raises:
        ContractError: wrong shapes, rows out of order, or a truth that is not finite.
    """
    predicted, truth = paired_points(predicted_m, truth_m)
    has_neighbours = _has_neighbours(predicted, frame_index, track_index)
    # NaN of a missing sample spreads to the three second differences that contain it.
    difference = _second_difference(predicted) - _second_difference(truth)
    errors = np.linalg.norm(difference, axis=2).mean(axis=1)
    return AccelerationError(np.where(has_neighbours, errors, np.nan), has_neighbours)


def acceleration_m_per_frame2(
    joints_m: AnyFloats,
    frame_index: npt.NDArray[np.integer],
    track_index: npt.NDArray[np.integer] | None = None,
) -> Floats:
    """Measure the jitter of a track without ground truth: the mean norm of its second differences.

    Args:
        joints_m: (N, K, 3) joints; non-finite values mark a missing sample.
        frame_index: (N,) frame numbers, strictly ascending inside a track.
        track_index: (N,) equal inside a track, the rows of a track adjacent; one track if None.

    Returns:
        (N,) metres per frame squared; NaN where one of the three consecutive frames is missing.

    Raises:
        ContractError: wrong shapes or rows out of order.
    """
    joints = predicted_points(joints_m, what="joints")
    has_neighbours = _has_neighbours(joints, frame_index, track_index)
    norms = np.linalg.norm(_second_difference(joints), axis=2).mean(axis=1)
    return np.where(has_neighbours, norms, np.nan)


def _second_difference(joints: Floats) -> Floats:
    """Return (N, K, 3) second differences between adjacent rows, NaN in the first and the last row."""
    differences = np.full_like(joints, np.nan)
    differences[1:-1] = joints[:-2] - 2.0 * joints[1:-1] + joints[2:]
    return differences


def _has_neighbours(
    joints: Floats, frame_index: npt.NDArray[np.integer], track_index: npt.NDArray[np.integer] | None
) -> npt.NDArray[np.bool_]:
    """Tell which of N rows stand between their predecessor and their successor."""
    num_frames = len(joints)
    frames = np.asarray(frame_index)
    tracks = np.zeros(num_frames, dtype=np.int64) if track_index is None else np.asarray(track_index)
    _require_frames(joints, frames, tracks)
    same_track = tracks[1:] == tracks[:-1]
    # int64 first: a difference of unsigned frame numbers would wrap.
    follows = same_track & (np.diff(frames.astype(np.int64)) == 1)
    result = np.zeros(num_frames, dtype=np.bool_)
    result[1:-1] = follows[:-1] & follows[1:]
    return result


def _require_frames(joints: Floats, frames: npt.NDArray[np.integer], tracks: npt.NDArray[np.integer]) -> None:
    expected_shape = (len(joints),)
    is_integer = np.issubdtype(frames.dtype, np.integer) and np.issubdtype(tracks.dtype, np.integer)
    if joints.ndim != 3 or frames.shape != expected_shape or tracks.shape != expected_shape or not is_integer:
        raise ContractError(
            describe(
                what="frames of a motion metric",
                expected="(N, K, 3) joints, integer frame_index (N,) and track_index (N,)",
                found=f"{joints.shape}, {frames.dtype} {frames.shape}, {tracks.dtype} {tracks.shape}",
                fix="Give the frame number of every row, not its position in a list.",
            )
        )
    num_runs = 1 + int((tracks[1:] != tracks[:-1]).sum()) if tracks.size else 0
    out_of_order = (tracks[1:] == tracks[:-1]) & (np.diff(frames.astype(np.int64)) <= 0)
    if num_runs != np.unique(tracks).size or out_of_order.any():
        raise ContractError(
            describe(
                what="frames of a motion metric",
                expected="rows sorted by track, then by frame number, without duplicates",
                found=f"{num_runs} runs of {np.unique(tracks).size} tracks, {int(out_of_order.sum())} steps backwards",
                fix="Sort the rows; a duplicate frame means two hands in one track.",
            )
        )
