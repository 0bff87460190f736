"""Labels of videos beside the true hands of a set: which hand a label is of, and how far it is from it.

Every row, accepted or refused, is laid beside the true hand of its frame whose box it overlaps most, one to one. True
hands that no row is laid beside are instances that nobody found: they count wherever coverage is told.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import linear_sum_assignment

from hoiray.datasets.formats.truth import TRUTH_FOLDER, read_truth
from hoiray.errors import ContractError, InputError, describe
from hoiray.geometry.boxes import iou_matrix
from hoiray.hand.joints import WRIST
from hoiray.io.store import Store
from hoiray.metrics.pose import point_errors_m, procrustes_aligned, root_aligned_mpjpe_m
from hoiray.metrics.summary import MM_PER_M
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS, TRUTH_HANDS

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

MIN_IOU: Final = 0.3
"""A label whose box overlaps no true hand by this much is a label of nothing."""

MIN_ROWS_TO_TELL: Final = 10
MAX_STRANGE_SHARE: Final = 0.5
MIN_LIFT: Final = 2.0
"""Labels of a set lie on its hands. Where, of at least so many, a smaller share does, and less than so many times the
share that lies on the hands of another video, names agree by chance: the videos are not those of the truth."""

NO_HAND: Final = -1
"""In place of a true hand's row."""

ERROR_NAMES: Final = ("pa_mpjpe_mm", "mpjpe_mm", "joints_2d_box")
"""What is wrong with a label: shape of the pose (best similarity without reflection, so a wrong side counts); pose
with its orientation, about the wrist; place in the image, in sides of the true box. Means over the 21 joints."""

_WORDS: Final = {
    "pa_mpjpe_mm": "{:g} mm in PA-MPJPE",
    "mpjpe_mm": "{:g} mm in MPJPE about the wrist",
    "joints_2d_box": "{:g} box sides in 2D",
}


_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrueHands:
    """The true hands of a set.

    Attributes:
        rows: indices of the hands of each video and frame; videos by name without folder and suffix.
        bbox_xyxy: (N, 4) px, of what is visible; NaN where nothing is.
        is_right: (N,).
        joints_3d_m: (N, 21, 3) metres, camera axes.
        joints_2d_px: (N, 21, 2), NaN where behind the camera.
        visible_fraction: (N,), NaN where not known.
        subjects: whose target hand each video shows.
    """

    rows: Mapping[tuple[str, int], list[int]]
    bbox_xyxy: Floats
    is_right: Bools
    joints_3d_m: Floats
    joints_2d_px: Floats
    visible_fraction: Floats
    subjects: Mapping[str, str]

    @cached_property
    def videos(self) -> frozenset[str]:
        """Names of the videos that have true hands."""
        return frozenset(video for video, _ in self.rows)

    @classmethod
    def of_table(cls, table: pa.Table) -> "TrueHands":
        """Take what is compared from a table of schema ``truth_hands``."""
        rows: dict[tuple[str, int], list[int]] = {}
        names, frames = table["video_id"].to_pylist(), table["frame_index"].to_pylist()
        for row, place in enumerate(zip(names, frames, strict=True)):
            rows.setdefault(place, []).append(row)
        numbers = {
            name: unpack_column(table, TRUTH_HANDS[name]).astype(np.float64)
            for name in ("bbox_xyxy", "joints_3d", "joints_2d", "visible_fraction")
        }
        targets = zip(names, table["subject_id"].to_pylist(), table["is_target"].to_pylist(), strict=True)
        return cls(
            rows=rows,
            bbox_xyxy=numbers["bbox_xyxy"],
            is_right=unpack_column(table, TRUTH_HANDS["is_right"]),
            joints_3d_m=numbers["joints_3d"],
            joints_2d_px=numbers["joints_2d"],
            visible_fraction=numbers["visible_fraction"],
            subjects={video: subject for video, subject, is_target in targets if is_target},
        )


@dataclass(frozen=True, eq=False)
class Compared:
    """N labels beside the truth.

    Attributes:
        videos: (N,) name of each row's video, without folder and suffix.
        subjects: (N,) whose target hand the video shows.
        true_rows: (N,) the true hand of each; :data:`NO_HAND` where there is none.
        is_answered: (N,) whether the teacher gave a prediction.
        is_side_right: (N,) whether its side is the true one; False without a true hand.
        errors: :data:`ERROR_NAMES` to (N,), NaN where there is no answer or no true hand.
        joint_errors_mm: (N, 21) distances after the alignment of PA-MPJPE, NaN as `errors`.
        num_instances: hands that can be seen in the videos of the labels, found or not.
    """

    videos: list[str]
    subjects: list[str]
    true_rows: Indices
    is_answered: Bools
    is_side_right: Bools
    errors: Mapping[str, Floats]
    joint_errors_mm: Floats
    num_instances: int

    def is_good(self, limit: float, metric: str = "pa_mpjpe_mm") -> Bools:
        """(N,) error at most the limit; no answer and no true hand are wrong."""
        return np.asarray(np.nan_to_num(self.errors[metric], nan=np.inf) <= limit)


def read_true_hands(uri: str) -> TrueHands:
    """Read the truth of a set that ``hoiray synth`` made, or any tables of schema ``truth_hands`` that lie as it does.

    Raises:
        InputError: there is none.
        ContractError: it is damaged.
    """
    store = Store.open(uri)
    keys = sorted(store.list(f"{TRUTH_FOLDER}/hands"))
    if not keys:
        fix = "Name the root of a set that hoiray synth made."
        raise InputError(
            describe(what=store.url(f"{TRUTH_FOLDER}/hands"), expected="tables of hands", found="none", fix=fix)
        )
    return TrueHands.of_table(pa.concat_tables([read_truth(store, key, TRUTH_HANDS) for key in keys]))


def limit_in_words(limit: float, metric: str) -> str:
    """Say a limit with its unit and metric, one of :data:`ERROR_NAMES`."""
    return _WORDS[metric].format(limit)


def labels_of_known_videos(labels: pa.Table, truth: TrueHands) -> pa.Table:
    """Leave out the labels of videos that the truth says nothing of, with a warning that counts them.

    Raises:
        ContractError: no video of the labels is one of the truth.
    """
    videos, known = _stems(labels), truth.videos
    is_known = np.array([video in known for video in videos], dtype=np.bool_)
    if is_known.all():
        return labels
    _require_known(videos, known)
    strange = {video for video in videos if video not in known}
    _log.warning(
        "%d labels of %d videos such as %r are left out: the truth has no such video",
        np.count_nonzero(~is_known),
        len(strange),
        min(strange),
    )
    return labels.filter(pa.array(is_known))


def compare_labels(labels: pa.Table, truth: TrueHands) -> Compared:
    """Give every label its true hand and measure how far it is from it.

    Args:
        labels: schema ``labels`` or ``predictions``.
        truth: of the same videos.

    Raises:
        ContractError: no video of the labels is one of the truth, or their videos have the same names only.
    """
    videos = _stems(labels)
    _require_known(videos, truth.videos)
    frames, boxes = labels["frame_index"].to_pylist(), unpack_column(labels, LABELS["bbox_xyxy"]).astype(np.float64)
    true_rows = _matched(boxes, videos, frames, truth)
    _require_same_videos(boxes, videos, frames, truth, true_rows)
    has_truth = true_rows != NO_HAND
    joints_3d = unpack_column(labels, LABELS["joints_3d"]).astype(np.float64)
    joints_2d = unpack_column(labels, LABELS["joints_2d"]).astype(np.float64)
    is_answered = np.asarray(np.isfinite(joints_3d).all(axis=(1, 2)))
    is_compared = has_truth & is_answered
    true_3d, true_2d = truth.joints_3d_m[true_rows], truth.joints_2d_px[true_rows]
    sides_px = np.ptp(truth.bbox_xyxy[true_rows].reshape(-1, 2, 2), axis=1).max(axis=1)
    off_px = np.linalg.norm(joints_2d - true_2d, axis=-1).mean(axis=-1)
    aligned = procrustes_aligned(joints_3d, true_3d, allow_reflection=False)
    joint_errors_mm = point_errors_m(aligned, true_3d) * MM_PER_M
    measured = {
        "pa_mpjpe_mm": joint_errors_mm.mean(axis=1),
        "mpjpe_mm": root_aligned_mpjpe_m(joints_3d, true_3d, root_index=WRIST) * MM_PER_M,
        "joints_2d_box": off_px / np.maximum(sides_px, 1.0),
    }
    is_same_side = unpack_column(labels, LABELS["is_right"]) == truth.is_right[true_rows]
    seen = set(videos)
    visible = np.asarray(np.isfinite(truth.bbox_xyxy).all(axis=1))
    return Compared(
        videos=videos,
        subjects=[truth.subjects.get(video, video) for video in videos],
        true_rows=true_rows,
        is_answered=is_answered,
        is_side_right=has_truth & is_same_side,
        errors={name: np.where(is_compared, values, np.nan) for name, values in measured.items()},
        joint_errors_mm=np.where(is_compared[:, None], joint_errors_mm, np.nan),
        num_instances=sum(int(visible[hands].sum()) for (video, _), hands in truth.rows.items() if video in seen),
    )


def _stems(labels: pa.Table) -> list[str]:
    """(N,) names of videos as the truth has them."""
    return [PurePosixPath(name).stem for name in labels["video_id"].to_pylist()]


def _require_known(videos: Sequence[str], known: frozenset[str]) -> None:
    if not known.intersection(videos):
        found = f"videos such as {videos[0]!r}" if videos else "no labels"
        expected = f"videos such as {min(known, default='none')!r}"
        fix = "Name the set whose videos the run labelled."
        raise ContractError(describe(what="labels beside the truth", expected=expected, found=found, fix=fix))


def _matched(boxes_xyxy: Floats, videos: Sequence[str], frame_indices: Sequence[int], truth: TrueHands) -> Indices:
    """(N,) the true hand of each label: in each frame the pairs of boxes that overlap most in all, one to one."""
    frames: dict[tuple[str, int], list[int]] = {}
    for row, place in enumerate(zip(videos, frame_indices, strict=True)):
        frames.setdefault(place, []).append(row)
    matched = np.full(len(videos), NO_HAND, dtype=np.intp)
    for place, rows in frames.items():
        hands = truth.rows.get(place, [])
        if hands:
            overlap = np.nan_to_num(iou_matrix(boxes_xyxy[rows], truth.bbox_xyxy[hands]))
            for label, hand in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[label, hand] >= MIN_IOU:
                    matched[rows[label]] = hands[hand]
    return matched


def _require_same_videos(
    boxes_xyxy: Floats, videos: Sequence[str], frame_indices: Sequence[int], truth: TrueHands, true_rows: Indices
) -> None:
    """Refuse a truth whose videos bear the labels' names and show other hands.

    Raises:
        ContractError: labels lie on the hands of their video hardly more often than on those of another.
    """
    could = np.isfinite(boxes_xyxy).all(axis=1) & np.array([video in truth.videos for video in videos])
    own = float((true_rows[could] != NO_HAND).mean()) if could.sum() >= MIN_ROWS_TO_TELL else 1.0
    if own >= MAX_STRANGE_SHARE:
        return
    names = sorted(truth.videos.intersection(videos))
    following = dict(zip(names, [*names[1:], names[0]], strict=True))
    swapped = _matched(boxes_xyxy, [following.get(video, video) for video in videos], frame_indices, truth)
    other = float((swapped[could] != NO_HAND).mean()) if len(names) > 1 else 0.0
    if own <= MIN_LIFT * other or own == 0.0:
        expected = "labels that lie on the hands of their own video"
        found = f"{own:.0%} of them do, and {other:.0%} lie on those of another video"
        fix = "The names of the videos agree, what they show does not: name the set that the run labelled."
        raise ContractError(describe(what="labels beside the truth", expected=expected, found=found, fix=fix))
