"""What confidence is told of one joint of a label.

How far the views put it apart, how far its 3D is off its 2D, where in the hand it is, and how good the label as a whole
looks. As for labels, the rows were judged without limits.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.hand.joints import FINGER_JOINTS, NUM_JOINTS
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS

Floats = npt.NDArray[np.float64]

_EVIDENCE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "joint_spread_3d_m": -1,
        "joint_spread_2d_box_sides": -1,
        "joint_reprojection_box_sides": -1,
        "own_confidence": 1,
        "spread_3d_m": -1,
        "spread_rotation_rad": -1,
        "box_iou": 1,
        "held_sample_score": -1,
        "finger": 0,
        "place_in_finger": 0,
        "box_side_px": 0,
    }
)
"""Features, and what more of each can say of a joint; see :mod:`hoiray.trust.features`."""

JOINT_FEATURE_NAMES: Final = tuple(_EVIDENCE)
"""In the order of the last axis of :func:`joint_features_of`."""

JOINT_MONOTONE: Final = tuple(_EVIDENCE.values())
"""Direction of each, in that order; 0 where there is none."""

_OF_THE_LABEL: Final = ("spread_3d_m", "spread_rotation_rad", "box_iou", "held_sample_score")


def joint_features_of(labels: pa.Table) -> Floats:
    """Return (N, 21, F) features, NaN where a thing is not known.

    Args:
        labels: schema ``labels``, judged without limits.
    """
    box = unpack_column(labels, LABELS["bbox_xyxy"]).astype(np.float64)
    side_px = np.maximum((box[:, 2:] - box[:, :2]).max(axis=1), 1.0)[:, None]
    finger, place = _places()
    columns = {
        "joint_spread_3d_m": unpack_column(labels, LABELS["spread_joints_3d_m"]),
        "joint_spread_2d_box_sides": unpack_column(labels, LABELS["spread_joints_2d_px"]) / side_px,
        "joint_reprojection_box_sides": _reprojection_px(labels) / side_px,
        "own_confidence": unpack_column(labels, LABELS["joint_confidence"]),
        "finger": finger,
        "place_in_finger": place,
        "box_side_px": side_px,
    }
    columns |= {name: unpack_column(labels, LABELS[name])[:, None] for name in _OF_THE_LABEL}
    shape = (labels.num_rows, NUM_JOINTS)
    whole = [np.broadcast_to(columns[name], shape) for name in JOINT_FEATURE_NAMES]
    return np.stack(whole, axis=-1).astype(np.float64)


def _reprojection_px(labels: pa.Table) -> Floats:
    """(N, 21) how far each projected 3D joint is from its 2D joint; NaN without camera."""
    joints_3d = unpack_column(labels, LABELS["joints_3d"]).astype(np.float64)
    joints_2d = unpack_column(labels, LABELS["joints_2d"]).astype(np.float64)
    scale = unpack_column(labels, LABELS["camera_scale_px_per_m"]).astype(np.float64)
    shift = unpack_column(labels, LABELS["camera_shift_px"]).astype(np.float64)
    projected = scale[:, None, None] * joints_3d[..., :2] + shift[:, None]
    return np.asarray(np.linalg.norm(projected - joints_2d, axis=-1))


def _places() -> tuple[Floats, Floats]:
    """(21,) number of each joint's finger, 0 for the wrist; and its place in it, from the palm."""
    finger, place = np.zeros(NUM_JOINTS), np.zeros(NUM_JOINTS)
    for number, joints in enumerate(FINGER_JOINTS.values(), start=1):
        for along, joint in enumerate(joints, start=1):
            finger[joint], place[joint] = number, along
    return finger, place
