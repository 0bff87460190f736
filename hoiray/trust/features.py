"""What confidence is told of a label: every measurement, and what else the row says of how it was made.

The numbers are taken from rows of schema ``labels`` that were judged **without limits**: which frames a track's shape
is compared with depends on the limits, and a calibration must see a measurement as the labels it is made for will.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.filters.derived import palm_length_m
from hoiray.schema.columns import unpack_column
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.tables import LABELS

Floats = npt.NDArray[np.float64]

_EVIDENCE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "box_iou": 1,
        "reprojection_frobenius_box_sides": -1,
        "reprojection_mean_box_sides": -1,
        "reprojection_max_box_sides": -1,
        "spread_2d_box_sides": -1,
        "spread_3d_m": -1,
        "spread_rotation_rad": -1,
        "held_sample_score": -1,
        "shape_deviation_sigma": -1,
        "rotation_consensus": 1,
        "max_spread_joint_2d_box_sides": -1,
        "max_spread_joint_3d_m": -1,
        "mean_joint_confidence": 1,
        "min_joint_confidence": 1,
        "side_lead": 1,
        "same_side_in_frame": -1,
        "track_same_side_share": -1,
    }
)
"""1: more of it can only speak for a label; -1: only against it. The others may do either: a bent finger is no fault,
a fast hand is blurred and a frozen one is suspicious. A person has one hand of each side. Where two of a frame tell for
one side, one of them is given the other, and its `side_lead` is negative; that they told for one goes on to speak
against both (of the synthetic wild set's hands whose side was guessed, 91 % of those beside a hand that told for the
other side had their own, 76 % of those beside one that told for the same)."""

_DERIVED: Final = (
    "rotation_consensus",
    "max_spread_joint_2d_box_sides",
    "max_spread_joint_3d_m",
    "mean_joint_confidence",
    "min_joint_confidence",
    "box_side_px",
    "box_side_ratio",
    "box_border_px",
    "predecessor_gap_frames",
    "palm_length_m",
    "side_lead",
    "same_side_in_frame",
    "track_same_side_share",
)

FEATURE_NAMES: Final = (*MEASUREMENT_NAMES, *_DERIVED)
"""In the order of the columns of :func:`features_of`."""

MONOTONE: Final = tuple(_EVIDENCE.get(name, 0) for name in FEATURE_NAMES)
"""Direction of each feature, in that order; 0 where there is none."""


def features_of(labels: pa.Table, names: Sequence[str] = FEATURE_NAMES) -> Floats:
    """Return (N, F) features, NaN where a thing is not known.

    Args:
        labels: schema ``labels``, whole videos, judged without limits.
        names: of :data:`FEATURE_NAMES`; a limits file of an older version knows fewer, or in another order.
    """
    columns = {name: unpack_column(labels, LABELS[name]).astype(np.float64) for name in MEASUREMENT_NAMES}
    columns |= _derived(labels)
    features = np.empty((labels.num_rows, len(names)))
    for index, name in enumerate(names):
        features[:, index] = columns[name]
    return features


def is_answered(labels: pa.Table) -> npt.NDArray[np.bool_]:
    """(N,) whether there is a prediction: nothing else can be a label."""
    return np.asarray(labels["joints_3d"].combine_chunks().is_valid().to_numpy(zero_copy_only=False))


def _derived(labels: pa.Table) -> dict[str, Floats]:
    box = unpack_column(labels, LABELS["bbox_xyxy"]).astype(np.float64)
    sides = box[:, 2:] - box[:, :2]
    longest = sides.max(axis=1)
    width, height = (
        unpack_column(labels, LABELS[name]).astype(np.float64) for name in ("image_width_px", "image_height_px")
    )
    border = np.min([box[:, 0], box[:, 1], width - box[:, 2], height - box[:, 3]], axis=0)
    spread_2d = unpack_column(labels, LABELS["spread_joints_2d_px"]).astype(np.float64)
    spread_3d = unpack_column(labels, LABELS["spread_joints_3d_m"]).astype(np.float64)
    joint_confidence = unpack_column(labels, LABELS["joint_confidence"]).astype(np.float64)
    gap = labels["predecessor_gap_frames"].cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    return {
        "rotation_consensus": unpack_column(labels, LABELS["rotation_consensus"]).astype(np.float64),
        "max_spread_joint_2d_box_sides": spread_2d.max(axis=1) / np.maximum(longest, 1.0),
        "max_spread_joint_3d_m": spread_3d.max(axis=1),
        "mean_joint_confidence": joint_confidence.mean(axis=1),
        "min_joint_confidence": joint_confidence.min(axis=1),
        "box_side_px": longest,
        "box_side_ratio": sides.min(axis=1) / np.maximum(longest, 1.0),
        "box_border_px": border,
        "predecessor_gap_frames": np.asarray(gap, dtype=np.float64),
        "palm_length_m": palm_length_m(labels).astype(np.float64),
        "side_lead": unpack_column(labels, LABELS["side_lead"]).astype(np.float64),
    } | _sides(labels)


def _sides(labels: pa.Table) -> dict[str, Floats]:
    """Tell 1 where another hand of the frame tells for the same side, 0 where all others tell for the other, NaN alone.

    What a hand tells for is its side, but where it was overruled. Rows of one track in one frame are one hand that was
    found twice. The track's share is over its frames with others.
    """
    count = labels.num_rows
    if not count:
        return {name: np.empty(0) for name in ("same_side_in_frame", "track_same_side_share")}
    video = labels["video_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    track, frame, is_right, lead = (
        unpack_column(labels, LABELS[name]) for name in ("track_index", "frame_index", "is_right", "side_lead")
    )
    _, place = np.unique(np.stack([video, frame]), axis=1, return_inverse=True)
    hands, first, hand = np.unique(np.stack([place.ravel(), track]), axis=1, return_index=True, return_inverse=True)
    hand_place, hand_right = hands[0], (is_right ^ (lead < 0.0))[first]
    every = np.bincount(hand_place)[hand_place]
    right = np.bincount(hand_place, weights=hand_right)[hand_place]
    others_alike = np.where(hand_right, right, every - right) > 1.0
    same = np.where(every > 1, others_alike, np.nan)[hand.ravel()]
    _, whole = np.unique(np.stack([video, track]), axis=1, return_inverse=True)
    known = ~np.isnan(same)
    counts = [np.bincount(whole.ravel()[known], weights=part, minlength=count) for part in (same[known], None)]
    share = np.divide(counts[0], counts[1], out=np.full(count, np.nan), where=counts[1] > 0)
    return {"same_side_in_frame": same, "track_same_side_share": share[whole.ravel()]}
