"""Predictions whose errors are known: the spread tells of them, some videos are wrong throughout."""

from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from filter_scenes import predictions
from valid_tables import replaced, table_of

from hoiray.datasets.formats.truth import hands_key
from hoiray.evaluation.label_truth import TrueHands
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.calibration import (
    Calibration,
    CalibrationData,
    CalibrationPromise,
    CalibrationProof,
    ConfidenceModel,
)
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.conform import conform
from hoiray.schema.tables import LABELS, TRUTH_HANDS


def planted(
    seed: int, num_videos: int, *, video_scatter: float = 0.3, median_m: float = 0.004, joint_scatter: float = 0.0
) -> tuple[pa.Table, TrueHands]:
    """Predictions, and true hands about them: log errors follow the spread, with a part of each video's own.

    `min_bone_length_ratio` is turned round: it is small where labels are right. `max_joint_angle_rad` tells nothing.
    With `joint_scatter` joints are wrong by different amounts, which the spread of each follows.
    """
    table = predictions(seed, num_videos)
    rng = np.random.default_rng(seed)
    count = table.num_rows
    names, video = np.unique(table["video_id"].to_pylist(), return_inverse=True)
    hint = rng.normal(size=count)
    error_m = median_m * np.exp(0.8 * hint + video_scatter * rng.normal(size=len(names))[video])
    columns = {
        "spread_3d_m": 0.003 * np.exp(0.8 * hint + 0.2 * rng.normal(size=count)),
        "min_bone_length_ratio": np.clip(0.3 + 0.1 * hint, 0.01, None),
        "max_joint_angle_rad": rng.uniform(0.2, 1.9, size=count),
        "box_iou": np.clip(0.8 + 0.1 * rng.normal(size=count), 0.0, 1.0),
    }
    for name, values in columns.items():
        missing = np.isnan(unpack_column(table, LABELS[name]))
        table = replaced(table, name, pack_column(LABELS[name], np.where(missing, np.nan, values).astype(np.float32)))
    if not joint_scatter:
        return table, _truth(table, error_m, rng)
    joint_rng = np.random.default_rng((seed, 21))
    factor = np.exp(joint_scatter * joint_rng.normal(size=(count, 21)))
    spread_m = error_m[:, None] * factor * np.exp(0.2 * joint_rng.normal(size=(count, 21)))
    column = LABELS["spread_joints_3d_m"]
    is_null = np.isnan(unpack_column(table, column)).any(axis=1)
    table = replaced(table, column.name, pack_column(column, spread_m.astype(np.float32), is_null))
    return table, _truth(table, error_m, rng, factor)


def _truth(
    table: pa.Table, error_m: np.ndarray, rng: np.random.Generator, factor: np.ndarray | float = 1.0
) -> TrueHands:
    joints = np.nan_to_num(unpack_column(table, LABELS["joints_3d"]).astype(np.float64))
    noise = rng.normal(size=joints.shape) * np.asarray(factor)[..., None]
    noise *= error_m[:, None, None] / np.linalg.norm(noise, axis=-1).mean(axis=1)[:, None, None]
    names = [PurePosixPath(name).stem for name in table["video_id"].to_pylist()]
    rows: dict[tuple[str, int], list[int]] = {}
    for row, place in enumerate(zip(names, table["frame_index"].to_pylist(), strict=True)):
        rows.setdefault(place, []).append(row)
    return TrueHands(
        rows=rows,
        bbox_xyxy=unpack_column(table, LABELS["bbox_xyxy"]).astype(np.float64),
        is_right=unpack_column(table, LABELS["is_right"]),
        joints_3d_m=joints + noise,
        joints_2d_px=np.nan_to_num(unpack_column(table, LABELS["joints_2d"]).astype(np.float64)),
        visible_fraction=np.clip(rng.random(len(names)) + 0.3, 0.0, 1.0),
        subjects={name: f"person {index // 2}" for index, name in enumerate(sorted(set(names)))},
    )


def calibration(model: ConfidenceModel, min_confidence: float = 0.5) -> Calibration:
    """A limits file with this model; its other parts are valid and dull."""
    return Calibration(
        hoiray_version="0",
        promise=CalibrationPromise(
            metric="pa_mpjpe_mm", max_error=10.0, max_bad_fraction=0.1, failure_probability=0.05, unit="video",
            rows_cap=20.0,
        ),
        min_confidence=min_confidence,
        proof=CalibrationProof(log_e_value=4.0, coverage=0.5, bad_fraction=0.05, num_accepted=100),
        data=CalibrationData(
            labels=("labels",), truth=("truth",), predict_id="p", data_sha256="0", num_rows=200, num_good=150,
            fitting_units=("a",), proving_units=("b",),
        ),
        confidence=model,
        ranges=(),
    )  # fmt: skip


def write_truth(root: Path, truth: TrueHands) -> None:
    """Write true hands as a set's own table of truth; what is not compared holds something valid and dull."""
    places = {row: place for place, rows in truth.rows.items() for row in rows}
    count = len(places)
    table = table_of(TRUTH_HANDS, count)
    columns = {
        "video_id": pa.array([places[row][0] for row in range(count)]),
        "recording_id": pa.array([places[row][0] for row in range(count)]),
        "frame_index": pa.array([places[row][1] for row in range(count)], pa.int32()),
        "subject_id": pa.array([truth.subjects[places[row][0]] for row in range(count)]),
        "is_right": pa.array(truth.is_right),
    }
    arrays = {"bbox_xyxy": truth.bbox_xyxy, "joints_3d": truth.joints_3d_m, "joints_2d": truth.joints_2d_px,
              "visible_fraction": truth.visible_fraction}  # fmt: skip
    for name, values in arrays.items():
        columns[name] = pack_column(TRUTH_HANDS[name], values.astype(np.float32))
    for name, column in columns.items():
        table = replaced(table, name, column)
    target = root / hands_key("all")
    target.parent.mkdir(parents=True)
    target.write_bytes(parquet_bytes(conform(table, TRUTH_HANDS)))
