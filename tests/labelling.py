"""A few tiny videos with boxes, the run that labels them, and what a labelling left behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hoiray.config.load import parse_run
from hoiray.config.what import RunConfig
from hoiray.io.encode import H264_MP4, encode_video
from hoiray.io.parquet import parquet_bytes
from hoiray.io.store import Store
from hoiray.schema.marker import CommitMarker
from hoiray.schema.tables import BOXES
from hoiray.stages.commit import read_marker, read_rows
from hoiray.stages.label_job import LabelJob
from hoiray.stages.pending import committed_ids

SIZE_WH = (64, 48)
OTHER_SIZE_WH = (48, 64)
NUM_FRAMES = 6


@dataclass(frozen=True)
class Clip:
    """A video to write: grey noise that moves, or red."""

    num_frames: int = NUM_FRAMES
    size_wh: tuple[int, int] = SIZE_WH
    is_red: bool = False
    num_hands: int = 1
    damage: Callable[[bytes], bytes] = bytes


def clips(count: int = 6) -> dict[str, Clip]:
    """Ordinary videos of two sizes, every third with two hands."""
    return {
        f"clip {index:02d}.mp4": Clip(
            num_frames=NUM_FRAMES + index % 3,
            size_wh=SIZE_WH if index % 2 else OTHER_SIZE_WH,
            num_hands=2 if index % 3 == 0 else 1,
        )
        for index in range(count)
    }


def write_videos(uri: str, videos: Mapping[str, Clip]) -> None:
    """Write the videos, and `boxes.parquet` beside their folder, below `uri`."""
    store = Store.open(uri)
    for name, clip in videos.items():
        store.write(f"videos/{name}", clip.damage(video_bytes(name, clip)))
    store.write("boxes.parquet", parquet_bytes(pa.concat_tables([boxes_of(*item) for item in videos.items()])))


def video_bytes(name: str, clip: Clip) -> bytes:
    rng = np.random.default_rng(list(name.encode()))
    width, height = clip.size_wh
    base = rng.integers(60, 200, (height, width + clip.num_frames, 3), dtype=np.uint8)
    if clip.is_red:
        base[:] = (220, 10, 10)
    frames = (base[:, number : number + width] for number in range(clip.num_frames))
    return encode_video(frames, H264_MP4, fps=12, size_wh=clip.size_wh)


def boxes_of(name: str, clip: Clip) -> pa.Table:
    width, height = clip.size_wh
    rows = []
    for frame in range(clip.num_frames):
        for hand in range(clip.num_hands):
            x = 2.0 + 0.3 * frame + 26.0 * hand
            rows.append(_box(name, frame, "hand", hand, [x, 5.0, x + 18.0, 30.0], hand == 0))
        rows.append(_box(name, frame, "object", 0, [14.0, 20.0, width - 4.0, height - 6.0], None))
    return pa.Table.from_pylist(rows, schema=BOXES.to_arrow())


def _box(name: str, frame: int, kind: str, index: int, xyxy: list[float], is_right: bool | None) -> dict[str, Any]:
    return {
        "video_id": name, "frame_index": frame, "kind": kind, "box_index": index, "bbox_xyxy": xyxy,
        "is_right": is_right, "category": None, "track_id": None, "score": None,
    }  # fmt: skip


RUN = """
output_uri: "{out}"
videos: {{uri: "{data}/videos", boxes_uri: "{data}/boxes.parquet", box_format: parquet, hand_side: boxes}}
sharding: {{target_frames: {target_frames}, max_video_frames: {max_video_frames}}}
hand: {{flat_hand_mean: true}}
teacher: {{predictor: labelling_predictor.make}}
ensemble: {{num_views: 2}}
limits: {{min_box_iou: null, max_shape_deviation_sigma: null, max_motion_pose: null}}
"""
"""Pose, shape and mesh are not judged: the predictor of these tests mostly knows joints only."""


def run_of(
    data: Path | str, out: Path | str, *overrides: str, target_frames: int = 12, max_video_frames: int = 100
) -> RunConfig:
    text = RUN.format(data=data, out=out, target_frames=target_frames, max_video_frames=max_video_frames)
    return parse_run(text, overrides)


def markers_of(job: LabelJob) -> dict[str, CommitMarker]:
    """Every marker of a labelling, by table and id."""
    found = {}
    for area in (job.predictions, job.labels):
        for name in committed_ids(job.store, area):
            marker = read_marker(job.store, area, name)
            assert marker is not None
            found[f"{area.table}/{name}"] = marker
    return found


def rows_of(job: LabelJob) -> dict[str, pa.Table]:
    """Every committed row, by table and id."""
    return {name: read_rows(job.store, marker) for name, marker in markers_of(job).items()}


def is_same(first: pa.Table, second: pa.Table) -> bool:
    """Whether two tables hold the same bits; NaN is NaN."""
    return parquet_bytes(first.combine_chunks()) == parquet_bytes(second.combine_chunks())


def digests_of(job: LabelJob) -> dict[str, str]:
    """What counts, in short: the digest of every committed data object."""
    return {name: marker.data_sha256 for name, marker in markers_of(job).items()}


CLUSTER = """
head: {num_cpus: 4, memory_gib: 8}
pools:
  decode: {where: predictor, num_cpus: 0.25}
  predict: {min: 2, max: 2, num_cpus: 0.25, batch_size: 4}
  measure: {min: 1, max: 2, num_cpus: 0.1}
  judge: {min: 1, max: 2, num_cpus: 0.1}
retries: {max_dead_fraction: 1.0}
"""
"""Small enough for two runs at once on four logical CPUs."""
