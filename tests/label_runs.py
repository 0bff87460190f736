"""Labels that equal the truth of a data set in memory, with the videos they are of: small, real files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import memory_dataset as memory
import numpy as np
import pyarrow as pa
from valid_tables import replaced, table_of

from hoiray.config.what import Hand
from hoiray.datasets.label_run import LabelFile, LabelRun
from hoiray.datasets.video_frames import StoredVideo, numbered_frames
from hoiray.geometry.boxes import from_points
from hoiray.io.encode import H264_MP4, encode_video
from hoiray.io.parquet import digest, parquet_bytes
from hoiray.io.store import Store
from hoiray.schema.columns import pack_column
from hoiray.schema.conform import conform, empty_table
from hoiray.schema.tables import LABELS, VIDEOS

PREDICT_ID, JUDGE_ID = "p" * 32, "j" * 32
FRAMES_PER_VIDEO = 3


def write_video(
    folder: Path,
    name: str,
    images: list[np.ndarray],
    size_wh: tuple[int, int] = memory.SIZE_WH,
    *,
    fps: float = 12,
) -> StoredVideo:
    store = Store.open(folder)
    store.write(name, encode_video(iter(images), H264_MP4, fps=fps, size_wh=size_wh))
    info = store.info(name)
    assert info is not None
    return StoredVideo(name, None, store.url(name), info.size_bytes, info.etag)


def filmed(
    dataset: memory.MemoryDataset, folder: Path, *, later_fps: float = 12
) -> tuple[memory.MemoryDataset, list[StoredVideo]]:
    """Film a data set's images, a few frames a video, and return it with the images the videos show.

    The first video has 12 frames a second, the others `later_fps`.
    """
    videos, images = [], []
    for first in range(0, len(dataset), FRAMES_PER_VIDEO):
        shown = dataset.images[first : first + FRAMES_PER_VIDEO]
        video = write_video(folder, f"v{first:03d}.mp4", shown, fps=later_fps if first else 12)
        videos.append(video)
        images += list(numbered_frames(video, range(len(shown)), None))
    return replace(dataset, images=images), videos


def true_rows(dataset: memory.MemoryDataset, videos: list[StoredVideo], *, object_boxes: bool = True) -> pa.Table:
    """Write the truth down as a teacher would that is never wrong."""
    count = len(dataset)
    table = table_of(LABELS, count)
    hands = [sample.hands[0] for sample in dataset.samples]
    joints = np.stack([hand.joints_3d for hand in hands])
    joints_2d = [
        memory.project(hand.joints_3d) if hand.joints_2d_px is None else hand.joints_2d_px
        for hand in hands
        if hand.joints_3d is not None
    ]
    values: dict[str, Any] = {
        "video_id": [videos[index // FRAMES_PER_VIDEO].video_id for index in range(count)],
        "frame_index": np.arange(count) % FRAMES_PER_VIDEO,
        "hand_index": np.zeros(count),
        "image_width_px": np.full(count, memory.SIZE_WH[0]),
        "image_height_px": np.full(count, memory.SIZE_WH[1]),
        "is_right": np.array([hand.is_right for hand in hands]),
        "bbox_xyxy": from_points(np.stack(joints_2d)),
        "joints_3d": joints - joints[:, :1],
        "joints_2d": np.stack(joints_2d),
        "K": None if dataset.samples[0].K is None else np.stack([sample.K for sample in dataset.samples]),
        "object_id": None,
        "T_cam_obj": None,
        "object_bbox_xyxy": None,
        "confidence": None,
        "transl": None,
    }
    manos = [hand.mano for hand in hands]
    for name in ("betas", "global_orient", "hand_pose"):
        values[name] = None if manos[0] is None else np.stack([getattr(mano, name) for mano in manos])
    if values["K"] is not None and manos[0] is not None:
        values["transl"] = np.stack([mano.transl for mano in manos if mano is not None])
    if object_boxes:
        values["object_bbox_xyxy"] = np.stack([sample.objects[0].bbox_xyxy for sample in dataset.samples])
    for name, column in values.items():
        table = replaced(table, name, packed(name, column, count))
    return conform(table, LABELS)


def packed(name: str, values: Any, count: int) -> pa.Array:
    column = LABELS[name]
    if values is None:
        return pa.nulls(count, column.arrow_type)
    if column.dtype == "string":
        return pa.array(values)
    return pack_column(column, np.asarray(values).astype(column.dtype))


def write_label_run(folder: Path, tables: list[pa.Table], videos: list[StoredVideo], **changes: Any) -> LabelRun:
    """Write tables of labels and of videos as a run has them."""
    store = Store.open(folder)
    files = []
    for number, table in enumerate(tables):
        data = parquet_bytes(table)
        store.write(f"labels/{number}.parquet", data)
        files.append(LabelFile(f"labels/{number}.parquet", digest(data)))
    rows = table_of(VIDEOS, len(videos)) if videos else empty_table(VIDEOS)
    for name in ("video_id", "uri", "size_bytes", "etag", "dataset"):
        values = pa.array([getattr(video, name) for video in videos], VIDEOS[name].arrow_type)
        rows = replaced(rows, name, values)
    store.write("videos.parquet", parquet_bytes(conform(rows, VIDEOS)))
    accepted = sum(sum(table["accepted"].to_pylist()) for table in tables)
    values = {
        "uri": store.uri, "store": store, "snapshot_id": "s" * 32, "judge_id": JUDGE_ID, "predict_id": PREDICT_ID,
        "plan_id": "q" * 32, "files": tuple(files), "num_rows": sum(table.num_rows for table in tables),
        "num_accepted": accepted, "plan": store, "video_keys": ("videos.parquet",), "sample_rate_hz": None,
        "hand": Hand(flat_hand_mean=True),
    }  # fmt: skip
    return LabelRun(**values | changes)


def refused(table: pa.Table, rows: list[int]) -> pa.Table:
    """The same rows, some of them refused."""
    is_out = np.isin(np.arange(table.num_rows), rows)
    table = replaced(table, "accepted", pa.array(~is_out))
    reasons = [["reprojection"] if out else [] for out in is_out]
    return replaced(table, "reasons", pa.array(reasons, LABELS["reasons"].arrow_type))
