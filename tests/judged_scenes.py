"""Labels beside the truth, made by hand: one right hand in each of two frames of every video."""

import numpy as np
import pyarrow as pa
from valid_tables import replaced, table_of

from hoiray.benchmarks.labels import Judged, judged_labels
from hoiray.config.what import PaperLimits
from hoiray.evaluation.label_truth import TrueHands
from hoiray.schema.columns import pack_column
from hoiray.schema.tables import LABELS

NUM_VIDEOS = 8
PAPER = PaperLimits()
FAR_BOX = (400.0, 200.0, 420.0, 220.0)


def true_hands(videos_a_person: int = 1) -> TrueHands:
    """One right hand in frames 0 and 1 of each video."""
    rng = np.random.default_rng(0)
    count = 2 * NUM_VIDEOS
    joints = rng.normal(scale=0.04, size=(count, 21, 3)) + np.array([0.0, 0.0, 0.6])
    image = rng.uniform(20.0, 120.0, size=(count, 21, 2))
    box = np.concatenate([image.min(axis=1), image.max(axis=1)], axis=1)
    rows = {(str(row // 2), row % 2): [row] for row in range(count)}
    visible, subjects = (
        np.ones(count),
        {str(video): f"person {video // videos_a_person}" for video in range(NUM_VIDEOS)},
    )
    return TrueHands(rows, box, np.ones(count, dtype=np.bool_), joints, image, visible, subjects)


def labels(truth: TrueHands, noise_m: tuple[float, float], refused_frame: int = 1) -> pa.Table:
    """A label of every true hand, with so much noise in frames 0 and 1; one of the frames fails box_iou."""
    rng = np.random.default_rng(1)
    count = 2 * NUM_VIDEOS
    scale = np.tile(noise_m, NUM_VIDEOS)[:, None, None]
    joints = truth.joints_3d_m - truth.joints_3d_m[:, :1] + scale * rng.normal(size=(count, 21, 3))
    is_accepted = np.arange(count) % 2 != refused_frame
    table = table_of(LABELS, count)
    columns = {
        "video_id": pa.array([f"folder/{row // 2}.webm" for row in range(count)]),
        "frame_index": pa.array(np.arange(count) % 2, pa.int32()),
        "bbox_xyxy": pack_column(LABELS["bbox_xyxy"], truth.bbox_xyxy.astype(np.float32)),
        "joints_3d": pack_column(LABELS["joints_3d"], joints.astype(np.float32)),
        "joints_2d": pack_column(LABELS["joints_2d"], truth.joints_2d_px.astype(np.float32)),
        "is_right": pa.array([True] * count),
        "accepted": pa.array(is_accepted),
        "reasons": pa.array([[] if accepted else ["box_iou"] for accepted in is_accepted]),
    }
    for name, values in columns.items():
        table = replaced(table, name, values)
    return table


def compared(noise_m: tuple[float, float], refused_frame: int = 1) -> Judged:
    truth = true_hands()
    return judged_labels(labels(truth, noise_m, refused_frame), truth)
