"""Random hands, videos and tables for the filters: near their limits, with several hands, holes and repetitions."""

from typing import Any

import numpy as np
import pyarrow as pa

from hoiray.schema.columns import Column, pack_column
from hoiray.schema.tables import PREDICTIONS
from hoiray.stages.measure import FUSED, measure

PHALANGES_M = ((0.04, 0.035, 0.03, 0.025), *((0.09, 0.04, 0.025, 0.02) for _ in range(4)))
SIZE_WH = (427, 240)
PREDICTED = ("joints_3d", "joints_2d", "global_orient", "hand_pose", "betas")
"""Columns that are null where the predictor gave no answer."""


def hands(rng: np.random.Generator, count: int, max_bend_deg: float = 70.0) -> np.ndarray:
    """(count, 21, 3) m: fingers of real lengths, spread in a plane and bent out of it, turned as a whole."""
    joints = np.zeros((count, 21, 3))
    for finger, lengths in enumerate(PHALANGES_M):
        azimuth = np.full(count, 0.25 * (finger - 2)) + rng.normal(scale=0.05, size=count)
        flexion = np.zeros(count)
        position = np.zeros((count, 3))
        for bone, length in enumerate(lengths):
            if bone:
                flexion = flexion + np.radians(rng.uniform(0, max_bend_deg, size=count))
            direction = np.stack(
                [np.sin(azimuth) * np.cos(flexion), np.cos(azimuth) * np.cos(flexion), np.sin(flexion)], axis=-1
            )
            position = position + length * direction
            joints[:, 1 + 4 * finger + bone] = position
    axis = rng.normal(size=(count, 3, 3))
    rotation, _ = np.linalg.qr(axis)
    return joints @ rotation


def column(spec: Column, values: np.ndarray) -> pa.Array:
    """Pack values, NaN rows as nulls where the column has them."""
    values = values.astype(spec.dtype)
    if not spec.nullable:
        return pack_column(spec, values)
    return pack_column(spec, values, np.isnan(values.reshape(len(values), -1)).any(axis=1))


def fused_of(arrays: dict[str, Any]) -> pa.Table:
    """A FUSED table of whatever arrays are given; the other columns hold something valid and dull."""
    count = len(arrays["frame_index"])
    is_absent = np.isnan(np.asarray(arrays.get("joints_3d", np.zeros((count, 1))))).reshape(count, -1).any(axis=1)
    dull: dict[str, Any] = {
        "failure": ["no hand" if absent else None for absent in is_absent],
        "image_width_px": np.full(count, SIZE_WH[0]),
        "image_height_px": np.full(count, SIZE_WH[1]),
        "num_members": np.full(count, 8),
        "is_right": np.ones(count, dtype=bool),
        "time_s": np.asarray(arrays["frame_index"]) / 12.0,
        "hand_index": np.zeros(count, dtype=int),
    }
    columns = {}
    for spec in FUSED.columns:
        values = arrays.get(spec.name, dull.get(spec.name))
        if spec.dtype == "string":
            words = values if values is not None else [None if spec.nullable else (*spec.vocabulary, "x")[0]] * count
            columns[spec.name] = pa.array(words, pa.string())
        elif values is None and spec.nullable:
            columns[spec.name] = pa.nulls(count, spec.arrow_type)
        else:
            filled = np.full((count, *spec.shape), 0.01) if values is None else np.asarray(values)
            columns[spec.name] = column(spec, filled)
    return pa.table(columns)


def videos(rng: np.random.Generator, num_videos: int, max_frames: int = 12) -> dict[str, Any]:
    """Arrays of videos in which most limits are met and each of them is broken now and then."""
    parts = [_video(rng, f"clip {index:03d}", max_frames) for index in range(num_videos)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _video(rng: np.random.Generator, name: str, max_frames: int) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for place in range(int(rng.integers(1, 4))):
        rows += _hand(rng, place, int(rng.integers(1, max_frames + 1)))
    rows += [_copy_of(rng, row) for row in rows if rng.random() < 0.05]
    rng.shuffle(rows)  # type: ignore[arg-type]
    rows.sort(key=lambda row: int(row["frame_index"]))
    for row in rows:
        if rng.random() < 0.03:  # the predictor gave no answer
            row |= {key: np.full(np.shape(row[key]), np.nan) for key in PREDICTED}
    count_in_frame: dict[int, int] = {}
    for row in rows:
        row["hand_index"] = count_in_frame.setdefault(row["frame_index"], 0)
        count_in_frame[row["frame_index"]] += 1
    part = {key: np.stack([np.asarray(row[key]) for row in rows]) for key in rows[0]}
    return part | {"video_id": np.array([name] * len(rows), dtype=object)}


def _hand(rng: np.random.Generator, place: int, num_frames: int) -> list[dict[str, Any]]:
    joints, pose = hands(rng, 1)[0], rng.normal(scale=0.5, size=48)
    betas, origin = rng.normal(size=10), np.array([80.0 + 120 * place, 120.0]) + rng.normal(scale=20, size=2)
    is_right, jitter = bool(rng.random() < 0.6), rng.choice([0.002, 0.02])
    frame, rows = int(rng.integers(0, 3)), []
    for _ in range(num_frames):
        frame += int(rng.choice([1, 1, 1, 1, 1, 2, 3, 15]))
        origin = origin + rng.normal(scale=rng.choice([1.0, 1.0, 10.0]), size=2)
        if rng.random() < 0.8:  # else the pose is repeated
            pose = pose + rng.normal(scale=rng.choice([0.02, 0.02, 0.3]), size=48)
        rows.append(_row(rng, frame, joints + rng.normal(scale=jitter, size=(21, 3)), origin, pose, betas, is_right))
    return rows


def _row(
    rng: np.random.Generator,
    frame: int,
    joints: np.ndarray,
    origin: np.ndarray,
    pose: np.ndarray,
    betas: np.ndarray,
    is_right: bool,
) -> dict[str, Any]:
    scale = 400.0
    seen = scale * joints[:, :2] + origin
    joints_2d = seen + rng.normal(scale=rng.choice([1.0, 1.0, 1.0, 12.0]), size=(21, 2))
    box = np.concatenate([seen.min(0) - 4, seen.max(0) + 4]) + rng.normal(scale=2.0, size=4)
    if rng.random() < 0.05:
        box = box * 1.6
    extent = np.concatenate([joints[:, :2].min(0) - 0.01, joints[:, :2].max(0) + 0.01])
    spread = np.full(21, np.nan) if rng.random() < 0.05 else rng.random(21)
    return {
        "frame_index": frame,
        "is_right": is_right if rng.random() < 0.97 else not is_right,
        "joints_3d": joints,
        "joints_2d": joints_2d,
        "bbox_xyxy": box,
        "mesh_extent_m": extent if rng.random() < 0.97 else np.full(4, np.nan),
        "global_orient": pose[:3],
        "hand_pose": pose[3:],
        "betas": betas + rng.normal(scale=0.02, size=10) + (rng.random() < 0.1) * rng.normal(scale=0.5, size=10),
        "crop_change": rng.choice([0.0, 0.005, 0.05, 0.05, np.nan]),
        "spread_joints_2d_px": 5.0 * spread,
        "spread_joints_3d_m": 0.02 * spread,
        "spread_rotation_rad": np.nan if np.isnan(spread).any() else 0.3 * rng.random(),
        "num_members": 1 if np.isnan(spread).any() else 8,
    }


def _copy_of(rng: np.random.Generator, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"bbox_xyxy": row["bbox_xyxy"] + rng.normal(scale=0.1, size=4)}


def predictions(seed: int, num_videos: int) -> pa.Table:
    """Measured predictions of random videos, in order."""
    table = fused_of(videos(np.random.default_rng(seed), num_videos))
    return measure(table)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as plain Python values, vectors in their shapes; a prediction that is null is NaN."""
    shapes = {spec.name: spec.shape for spec in (*PREDICTIONS.columns, *FUSED.columns) if spec.shape}
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        for name, shape in shapes.items():
            if row.get(name) is not None:
                row[name] = np.array(row[name]).reshape(shape)
            elif name in PREDICTED:
                row[name] = np.full(shape, np.nan)
    return rows
