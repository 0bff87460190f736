"""Canaries: predictions that are made wrong on purpose, in ways that teachers are wrong in.

A canary is a clip of a run's own predictions of which the judge accepted some. What is stored of it is changed as such
a fault would change it; what was measured then, by the run's own rules, says how many of the wrong labels would have
been accepted. No model is asked, so whatever the fault would have done to the pixels' other witnesses is not in it: the
spread of the views stays that of the right prediction. What the views alone could catch is counted as missed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isnan, nan
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import beta as beta_distribution
from scipy.stats import t as t_distribution

from hoiray.geometry.boxes import to_center_size
from hoiray.hand.joints import FINGER_JOINTS, MANO_ROTATION_NAMES, WRIST, Finger
from hoiray.hand.sides import mirror_axis_angle, mirror_points
from hoiray.metrics.pose import root_aligned_mpjpe_m

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.int64]

SCALE: Final = 1.4
"""By which a hand is predicted too large, or too small."""

SHIFT_S: Final = 0.5
"""By which poses come too early."""

SWAPPED: Final[tuple[tuple[Finger, Finger], ...]] = (("index", "pinky"), ("middle", "ring"))
"""Fingers that are taken for each other."""

MIN_3D_M: Final = 0.01
MIN_2D_BOX_SIDES: Final = 0.1
"""A label is wrong where its joints moved further, on average: in 3D about the wrist, or in the image. A pose that was
held over a hand at rest is not."""

LEVEL: Final = 0.95


@dataclass(frozen=True, eq=False)
class Clip:
    """The N predictions of one hand in one video, in the order of their frames; NaN where a thing is not known.

    Attributes:
        time_s: (N,).
        bbox_xyxy: (N, 4).
        is_right: (N,).
        side_lead: (N,) by how much the track tells for that side; NaN where it was not guessed.
        joints_3d_m: (N, 21, 3) about the wrist, camera axes.
        joints_2d_px: (N, 21, 2).
        global_orient, hand_pose: (N, 3) and (N, 45), axis-angle; NaN with joints only.
        mesh_scale: (N,) by which the mesh of the parameters is too large.
        mistaken_lead: what a track tells for its side where the teacher by itself mistook it; NaN: not known.
        is_planted: (N,) rows that were changed.
        is_posed_anew: the 3D joints are to be taken from the parameters, where there are some.
    """

    time_s: Floats
    bbox_xyxy: Floats
    is_right: Bools
    side_lead: Floats
    joints_3d_m: Floats
    joints_2d_px: Floats
    global_orient: Floats
    hand_pose: Floats
    mesh_scale: Floats
    is_planted: Bools
    mistaken_lead: float = nan
    is_posed_anew: bool = False


def mirrored(clip: Clip) -> Clip:
    """Take the hand for one of the other side: everything is seen in a mirror about the middle of its box.

    Where the side was guessed, as much tells for the other one now as the run's own mistakes have; where none of those
    is known, what told for the side tells against it, which no real mistake's does.
    """
    told = -clip.side_lead if isnan(clip.mistaken_lead) else np.full(len(clip.side_lead), clip.mistaken_lead)
    centre, _ = to_center_size(clip.bbox_xyxy)
    joints_2d = clip.joints_2d_px.copy()
    joints_2d[..., 0] = 2.0 * centre[:, None, 0] - joints_2d[..., 0]
    return _planted(
        clip,
        is_right=~clip.is_right,
        side_lead=np.where(np.isnan(clip.side_lead), np.nan, told),
        joints_3d_m=mirror_points(clip.joints_3d_m),
        joints_2d_px=joints_2d,
        global_orient=mirror_axis_angle(clip.global_orient),
        hand_pose=mirror_axis_angle(clip.hand_pose),
    )


def frozen(clip: Clip) -> Clip:
    """Keep the first pose for the whole clip, carried along by the box."""
    first = np.zeros(len(clip.time_s), dtype=np.int64)
    return _posed_as(clip, first)


def time_shifted(clip: Clip) -> Clip:
    """Give each frame the pose of :data:`SHIFT_S` later, where it was; the last frames have none and stay."""
    later = np.searchsorted(clip.time_s, clip.time_s + SHIFT_S - 1e-6)
    has_one = later < len(clip.time_s)
    source = np.where(has_one, np.minimum(later, len(clip.time_s) - 1), np.arange(len(clip.time_s)))
    moved = _posed_as(clip, source, joints_2d_px=clip.joints_2d_px[source])
    return replace(moved, is_planted=has_one)


def fingers_swapped(clip: Clip) -> Clip:
    """Take the fingers of each pair of :data:`SWAPPED` for each other."""
    order = np.arange(clip.joints_3d_m.shape[1])
    rotations = np.arange(len(MANO_ROTATION_NAMES))
    for first, second in SWAPPED:
        one, other = list(FINGER_JOINTS[first]), list(FINGER_JOINTS[second])
        order[one], order[other] = other, one
        turns = [[i for i, name in enumerate(MANO_ROTATION_NAMES) if name.startswith(it)] for it in (first, second)]
        rotations[turns[0]], rotations[turns[1]] = turns[1], turns[0]
    pose = clip.hand_pose.reshape(-1, 15, 3)[:, rotations[1:] - 1].reshape(-1, 45)
    changed = _planted(
        clip, joints_3d_m=clip.joints_3d_m[:, order], joints_2d_px=clip.joints_2d_px[:, order], hand_pose=pose
    )
    return replace(changed, is_posed_anew=True)


def too_large(clip: Clip) -> Clip:
    """Predict the hand :data:`SCALE` times as large, in the image and in the room."""
    return _scaled(clip, SCALE)


def too_small(clip: Clip) -> Clip:
    """Predict the hand as much too small."""
    return _scaled(clip, 1.0 / SCALE)


Fault: TypeAlias = Callable[[Clip], Clip]

KINDS: Final[Mapping[str, tuple[Fault, ...]]] = MappingProxyType(
    {
        "mirrored": (mirrored,),
        "frozen pose": (frozen,),
        "swapped fingers": (fingers_swapped,),
        "wrong scale": (too_large, too_small),
        "time shift": (time_shifted,),
    }
)
"""What is planted, by name; of several faults of one name each is planted in every clip, and they are counted together.
"""


def is_wrong(clip: Clip, changed: Clip) -> Bools:
    """(N,) planted rows whose joints are far from where they were, or whose side is the other one."""
    _, size = to_center_size(clip.bbox_xyxy)
    off_3d = root_aligned_mpjpe_m(changed.joints_3d_m, clip.joints_3d_m, root_index=WRIST)
    off_2d = np.linalg.norm(changed.joints_2d_px - clip.joints_2d_px, axis=-1).mean(axis=1)
    is_far = (off_3d > MIN_3D_M) | (off_2d > MIN_2D_BOX_SIDES * size.max(axis=1))
    return np.asarray(changed.is_planted & (is_far | (changed.is_right != clip.is_right)))


def _scaled(clip: Clip, scale: float) -> Clip:
    centre, _ = to_center_size(clip.bbox_xyxy)
    return _planted(
        clip,
        joints_3d_m=clip.joints_3d_m * scale,
        joints_2d_px=centre[:, None] + scale * (clip.joints_2d_px - centre[:, None]),
        mesh_scale=clip.mesh_scale * scale,
    )


def _posed_as(clip: Clip, source: Integers, joints_2d_px: Floats | None = None) -> Clip:
    """Give each row the pose of another; without 2D joints, theirs as they lay in their own box."""
    if joints_2d_px is None:
        centre, size = to_center_size(clip.bbox_xyxy)
        side = size.max(axis=1)[:, None, None]
        inside = (clip.joints_2d_px - centre[:, None]) / side
        joints_2d_px = centre[:, None] + side * inside[source]
    return _planted(
        clip,
        joints_3d_m=clip.joints_3d_m[source],
        joints_2d_px=joints_2d_px,
        global_orient=clip.global_orient[source],
        hand_pose=clip.hand_pose[source],
    )


def _planted(clip: Clip, **changes: npt.NDArray[np.generic]) -> Clip:
    everything = np.ones(len(clip.time_s), dtype=np.bool_)
    return replace(clip, is_planted=everything, **changes)  # type: ignore[arg-type]


# --- how many were missed ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MissRate:
    """How many wrong labels were accepted.

    Attributes:
        num_clips: independent samples: clips with wrong labels.
        num_labels: wrong labels that would have been accepted, were they right.
        num_missed: accepted ones among them.
        rate: their share; NaN without any.
        low, high: ends of its interval of :data:`LEVEL`.
    """

    num_clips: int
    num_labels: int
    num_missed: int
    rate: float
    low: float
    high: float


def miss_rate(wrong: Integers, missed: Integers) -> MissRate:
    """Estimate the miss rate from C clips.

    The interval is that of Clopper and Pearson (1934) at the effective number of labels: labels of one clip are near
    copies, so their number is divided by how much more the share scatters over clips than labels drawn one by one would
    (Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", 1998). Where no clip differs from the others it is the number of clips.

    Args:
        wrong: (C,) wrong labels of each clip.
        missed: (C,) accepted ones among them.
    """
    has = wrong > 0
    wrong, missed = wrong[has], missed[has]
    num_clips, num_labels, num_missed = len(wrong), int(wrong.sum()), int(missed.sum())
    if not num_labels:
        return MissRate(0, 0, 0, nan, 0.0, 1.0)
    rate = num_missed / num_labels
    low, high = exact_interval(rate, _effective_number(wrong, missed, rate))
    return MissRate(num_clips, num_labels, num_missed, rate, low, high)


def _effective_number(wrong: Integers, missed: Integers, rate: float) -> float:
    num_clips, num_labels = len(wrong), float(wrong.sum())
    if num_clips < 2:
        return 1.0
    residual = missed - rate * wrong
    variance = num_clips / (num_clips - 1.0) * float((residual**2).sum()) / num_labels**2
    if variance == 0.0:
        return float(num_clips)
    effective = rate * (1.0 - rate) / variance
    if num_labels > num_clips:
        # the variance itself is an estimate from so many clips
        quantile = 0.5 + LEVEL / 2.0
        effective *= float(
            (t_distribution.ppf(quantile, num_labels - 1) / t_distribution.ppf(quantile, num_clips - 1)) ** 2
        )
    return min(max(effective, 1.0), num_labels)


def exact_interval(rate: float, number: float) -> tuple[float, float]:
    """Return the ends of Clopper's and Pearson's interval of :data:`LEVEL`; the number need not be whole."""
    if isnan(rate):
        return 0.0, 1.0
    tail, count = (1.0 - LEVEL) / 2.0, rate * number
    low = 0.0 if count <= 0.0 else float(beta_distribution.ppf(tail, count, number - count + 1.0))
    high = 1.0 if count >= number else float(beta_distribution.ppf(1.0 - tail, count + 1.0, number - count))
    return low, high
