"""Which hands vanish through selection: sides, sizes, speeds, bends, views and occlusions, accepted against all."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.evaluation.bootstrap import GroupBootstrap
from hoiray.evaluation.difficulty import SIZE_EDGES_PX, VISIBLE_EDGES, bin_names, viewpoint_names
from hoiray.evaluation.label_truth import NO_HAND, Compared, TrueHands
from hoiray.evaluation.tables import Cell, Column, Table
from hoiray.hand.joints import FINGER_JOINTS, WRIST
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SPEED_EDGES: Final = (0.02, 0.05, 0.1)
"""Mean motion of the 2D joints since the frame before, in sides of the hand box."""

BEND_EDGES_DEG: Final = (30.0, 60.0, 90.0)
VANISHING: Final = 0.5
"""A part that is accepted less than this many times as often as all labels is said to vanish."""


def gauge_table(parts: Mapping[str, Sequence[str]], accepted: Bools, bootstrap: GroupBootstrap) -> Table:
    """Hold the accepted against all labels, part by part: what vanishes through selection?

    Args:
        parts: what is looked at, such as "size of the box", to (N,) the name of each label's part.
        accepted: (N,).
        bootstrap: over the groups of the same labels.
    """
    rows: dict[str, dict[str, Cell]] = {}
    overall = float(accepted.mean()) if accepted.size else float("nan")
    for title, names in parts.items():
        array = np.asarray(names, dtype=np.str_)
        for name in dict.fromkeys(sorted(names)):
            inside = array == name
            rate = bootstrap.mean(np.where(inside, accepted, np.nan))
            vanishes = rate.high < VANISHING * overall or rate.value == 0.0
            rows[f"{title}: {name}"] = {
                "labels": int(inside.sum()),
                "share": 100.0 * float(inside.mean()),
                "share_accepted": 100.0 * float(inside[accepted].mean()) if accepted.any() else float("nan"),
                "rate": rate.scaled(100.0),
                "finding": "vanishes" if vanishes else "",
            }
    columns = {
        "labels": Column("labels"), "share": Column("of all labels", "%", 1),
        "share_accepted": Column("of the accepted", "%", 1), "rate": Column("accepted of these", "%", 1),
        "finding": Column(""),
    }  # fmt: skip
    note = (
        f"Accepted of all: {overall:.1%}. A part vanishes where even the upper end of its interval is below"
        f" {VANISHING:g} times that. 95 % intervals by resampling whole groups."
    )
    return Table("gauges", "What selection leaves out", note, columns, rows)


def parts_of(labels: pa.Table) -> dict[str, list[str]]:
    """Return what labels can be parted by without truth, and (N,) the name of each label's part."""
    box = unpack_column(labels, LABELS["bbox_xyxy"]).astype(np.float64)
    is_right = unpack_column(labels, LABELS["is_right"])
    motion = unpack_column(labels, LABELS["motion_2d_mean_box_sides"]).astype(np.float64)
    bend = np.degrees(unpack_column(labels, LABELS["max_joint_angle_rad"]).astype(np.float64))
    return {
        "side": ["right" if one else "left" for one in is_right],
        "longer side of the box": bin_names((box[:, 2:] - box[:, :2]).max(axis=1), SIZE_EDGES_PX, "px"),
        "motion a frame": bin_names(motion, SPEED_EDGES, "box sides"),
        "largest bend": bin_names(bend, BEND_EDGES_DEG, "degrees"),
        "view": viewpoint_names(views_deg(unpack_column(labels, LABELS["joints_3d"]).astype(np.float64), is_right)),
    }


def true_parts_of(compared: Compared, truth: TrueHands) -> dict[str, list[str]]:
    """Return what the truth parts labels by: the visible share of the true hand under each."""
    has_hand = compared.true_rows != NO_HAND
    visible = np.where(has_hand, truth.visible_fraction[compared.true_rows], np.nan)
    return {"visible share of the true hand": bin_names(visible, VISIBLE_EDGES, "%", 100.0)}


def views_deg(joints_3d: Floats, is_right: Bools) -> Floats:
    """(N,) from which side hands are seen, as :func:`hoiray.evaluation.difficulty.viewpoint_deg`, from far away.

    Args:
        joints_3d: (N, 21, 3) metres about the wrist, camera axes; NaN without prediction.
        is_right: (N,).
    """
    wrist, index, little = (
        joints_3d[:, joint] for joint in (WRIST, FINGER_JOINTS["index"][0], FINGER_JOINTS["pinky"][0])
    )
    normal = np.cross(index - wrist, little - wrist) * np.where(is_right, 1.0, -1.0)[:, None]
    length = np.linalg.norm(normal, axis=1)
    # labels lie about the wrist, and how far away that is may not be known: the camera looks along z
    cosine = np.divide(-normal[:, 2], length, out=np.full(len(length), np.nan), where=length > 0.0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
