"""Labels of videos beside the true hands of a set: which hand a label is of, and how far it is from it.

Every row, accepted or refused, is laid beside the true hand of its frame whose box it overlaps most, one to one. True
hands that no row is laid beside are instances that nobody found: they count wherever coverage is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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


def compare_labels(labels: pa.Table, truth: TrueHands) -> Compared:
    """Give every label its true hand and measure how far it is from it.

    Args:
        labels: schema ``labels`` or ``predictions``.
        truth: of the same videos.

    Raises:
        ContractError: no video of the labels is one of the truth.
    """
    videos = [PurePosixPath(name).stem for name in labels["video_id"].to_pylist()]
    true_rows = _matched(labels, videos, truth)
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


def _matched(labels: pa.Table, videos: list[str], truth: TrueHands) -> Indices:
    """(N,) the true hand of each label: in each frame the pairs of boxes that overlap most in all, one to one."""
    if not {video for video, _ in truth.rows} & set(videos):
        found = f"videos such as {videos[0]!r}" if videos else "no labels"
        expected = "videos such as " + repr(next(iter(truth.rows), ("none", 0))[0])
        fix = "Name the set whose videos the run labelled."
        raise ContractError(describe(what="labels beside the truth", expected=expected, found=found, fix=fix))
    boxes = unpack_column(labels, LABELS["bbox_xyxy"]).astype(np.float64)
    frames: dict[tuple[str, int], list[int]] = {}
    for row, place in enumerate(zip(videos, labels["frame_index"].to_pylist(), strict=True)):
        frames.setdefault(place, []).append(row)
    matched = np.full(len(videos), NO_HAND, dtype=np.intp)
    for place, rows in frames.items():
        hands = truth.rows.get(place, [])
        if hands:
            overlap = np.nan_to_num(iou_matrix(boxes[rows], truth.bbox_xyxy[hands]))
            for label, hand in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[label, hand] >= MIN_IOU:
                    matched[rows[label]] = hands[hand]
    return matched
