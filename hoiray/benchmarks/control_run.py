"""A labelling with a predictor that costs nothing, watched from outside: memory of driver and workers, first labels.

The videos are real, tiny, and few: each of some clips lies under many names. Decoding, commits and Ray are those of a
user's run; the command is `hoiray label`, started as a user would.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from hoiray.benchmarks.processes import Usage, descendants, usage
from hoiray.io.encode import H264_MP4, VideoCodec, encode_video
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.tables import BOXES

NUM_CLIPS: Final = 8
NUM_FRAMES: Final = 4
"""Of a video of a run whose memory is watched: as few as make up a video."""

FRAMES_A_CLIP: Final = 40
"""Of a video as long as those of Something-Something: a hundred of them are a shard as it is by default."""
BLOCK_PX: Final = 8
NAMES_A_FOLDER: Final = 1000
SAMPLE_S: Final = 2.0
WATCH_S: Final = 0.02
"""Between two looks for the first shard and the first label."""

READY_S: Final = 0.2
"""Between two looks whether all actors have started."""

RUN_OF_VIDEOS: Final = """
output_uri: "{folder}/out"
videos: {{uri: "{folder}/videos", boxes_uri: "{folder}/boxes.parquet", box_format: parquet, hand_side: boxes}}
sharding: {{target_frames: {target_frames}, max_video_frames: 100000}}
hand: {{flat_hand_mean: true}}
"""
"""What every run over :func:`write_videos` begins with."""

_FREE: Final = """
name: control
teacher: {{predictor: hoiray.benchmarks.free_predictor.make}}
ensemble: {{num_views: 1}}
limits: {{min_box_iou: null, max_shape_deviation_sigma: null, max_motion_pose: null}}
"""
RUN: Final = RUN_OF_VIDEOS + _FREE

CLUSTER: Final = """
head: {{num_cpus: 4, memory_gib: 8, object_store_gib: 0.3}}
pools:
  decode: {{where: predictor, num_cpus: 0.25}}
  predict: {{min: {count}, max: {count}, num_cpus: 0.5, batch_size: {batch_size}}}
  measure: {{min: 1, max: 2, num_cpus: 0.1}}
  judge: {{min: 1, max: 2, num_cpus: 0.1}}
"""

ROLES: Final = {"Predict": "predict", "Measure": "measure", "Judge": "judge"}


@dataclass(frozen=True)
class Sample:
    """The processes at one moment.

    Attributes:
        time_s: since the command was started.
        num_done: shards whose labels are committed.
        driver_mib, driver_cpu_s: of the command; memory of its own.
        workers_mib: own memory of the largest actor of each kind that has its `id` (process), by kind.
    """

    time_s: float
    num_done: int
    driver_mib: float
    driver_cpu_s: float
    workers_mib: dict[str, float]


@dataclass
class Watched:
    """A labelling from its start to its end.

    Attributes:
        num_shards, videos_a_shard: what was asked for.
        samples: its processes, now and then.
        first_begun_s: when the first shard was begun, since the start of the command.
        first_ready_s: when an actor of every kind was there.
        first_label_s: when the first labels were committed.
        first_shard_s: how long the quickest shard took up to then.
        wall_s: all of it.
    """

    num_shards: int
    videos_a_shard: int
    samples: list[Sample] = field(default_factory=list)
    first_begun_s: float | None = None
    first_ready_s: float | None = None
    first_label_s: float | None = None
    first_shard_s: float | None = None
    wall_s: float = 0.0


@dataclass(frozen=True)
class Look:
    """How the videos of a benchmark look.

    Attributes:
        size_wh: of a frame, px.
        bbox_xyxy: of the hand of every frame, px.
        codec: of the files.
        suffix: of their names.
    """

    size_wh: tuple[int, int]
    bbox_xyxy: tuple[float, float, float, float]
    codec: VideoCodec
    suffix: str


TINY: Final = Look((64, 48), (6.0, 5.0, 34.0, 40.0), H264_MP4, ".mp4")


def make_videos(folder: Path, num_shards: int, videos_a_shard: int, num_frames: int = NUM_FRAMES) -> None:
    """Write tiny videos with their boxes, and the files of a run with a free predictor."""
    write_videos(folder, num_shards * videos_a_shard, num_frames, TINY)
    (folder / "run.yaml").write_text(RUN.format(folder=folder, target_frames=num_frames * videos_a_shard))
    (folder / "cluster.yaml").write_text(CLUSTER.format(count=2, batch_size=16))


def write_videos(folder: Path, num_videos: int, num_frames: int, look: Look) -> None:
    """Write a few clips, name them again and again by hard links, and write a box for each frame."""
    clips = [_clip(folder, number, num_frames, look) for number in range(NUM_CLIPS)]
    names = [f"{index // NAMES_A_FOLDER:04d}/{index:08d}{look.suffix}" for index in range(num_videos)]
    for index, name in enumerate(names):
        path = folder / "videos" / name
        if index % NAMES_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        os.link(clips[index % NUM_CLIPS], path)
    count = len(names) * num_frames
    corners = np.tile(np.array(look.bbox_xyxy, dtype=np.float32), count)
    values = {
        "video_id": pa.array(np.repeat(np.array(names), num_frames)),
        "frame_index": pa.array(np.tile(np.arange(num_frames), len(names)), pa.int32()),
        "kind": pa.repeat(pa.scalar("hand"), count), "box_index": pa.repeat(pa.scalar(0, pa.int16()), count),
        "bbox_xyxy": pa.FixedSizeListArray.from_arrays(pa.array(corners), type=BOXES["bbox_xyxy"].arrow_type),
        "is_right": pa.repeat(pa.scalar(True), count),
    }  # fmt: skip
    schema = BOXES.to_arrow()
    arrays = [values.get(it.name, pa.nulls(count, it.type)).cast(it.type) for it in schema]
    (folder / "boxes.parquet").write_bytes(parquet_bytes(pa.Table.from_arrays(arrays, schema=schema)))


def _clip(folder: Path, number: int, num_frames: int, look: Look) -> Path:
    """Write a clip: a coarse pattern that moves on by a pixel a frame, with some noise as cameras have it."""
    width, height = look.size_wh
    rng = np.random.default_rng(number)
    shape = (-(-height // BLOCK_PX), -(-(width + num_frames) // BLOCK_PX), 3)
    blocks = rng.integers(60, 200, shape, dtype=np.uint8).repeat(BLOCK_PX, axis=0).repeat(BLOCK_PX, axis=1)
    base = blocks[:height] + rng.integers(0, 6, blocks[:height].shape, dtype=np.uint8)
    path = folder / f"clip-{number}{look.suffix}"
    frames = (base[:, it : it + width] for it in range(num_frames))
    path.write_bytes(encode_video(frames, look.codec, fps=12, size_wh=look.size_wh))
    return path


def watch_labelling(folder: Path, num_shards: int, videos_a_shard: int) -> Watched:
    """Label what :func:`make_videos` made.

    Raises:
        RuntimeError: the command failed; with what it said last.
    """
    watched = Watched(num_shards, videos_a_shard)
    command = [sys.executable, "-m", "hoiray", "label", str(folder / "run.yaml")]
    command += ["--cluster", str(folder / "cluster.yaml"), "--ray-address", "local"]
    begin_s = time.monotonic()
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        for number, now_s in enumerate(_moments(process, begin_s)):
            _note_first(watched, folder / "out", now_s)
            if watched.first_ready_s is None and number % round(READY_S / WATCH_S) == 0 and _is_ready(process.pid):
                watched.first_ready_s = now_s
            if number % round(SAMPLE_S / WATCH_S) == 0:
                watched.samples += _sample(process.pid, folder / "out", now_s)
    finally:
        process.kill()
        status = process.wait()
    watched.wall_s = time.monotonic() - begin_s
    if status != 0:
        raise RuntimeError(f"hoiray label ended with {status}: {(folder / 'said.txt').read_text()[-3000:]}")
    return watched


def _moments(process: "subprocess.Popen[bytes]", begin_s: float) -> Iterator[float]:
    """Yield the seconds since the start, until the process ends."""
    while process.poll() is None:
        yield time.monotonic() - begin_s
        time.sleep(WATCH_S)


def role_of(title: str) -> str | None:
    """Return which of :data:`ROLES` a process of this title has; None where it is no actor of the plan."""
    return next((role for word, role in ROLES.items() if title.startswith(f"ray::MapWorker(MapBatches({word})")), None)


def _is_ready(pid: int) -> bool:
    """Whether an actor of every kind has started; while it does, Ray shows so in its title."""
    started = {role_of(it.title) for it in descendants(pid) if not it.title.endswith(".__init__")}
    return started >= set(ROLES.values())


def _note_first(watched: Watched, out: Path, now_s: float) -> None:
    if watched.first_begun_s is None:
        watched.first_begun_s = now_s if next(out.glob("inflight/*/*"), None) else None
    elif watched.first_label_s is None and next(out.glob("labels/*/commit/*.json"), None):
        watched.first_label_s = now_s
        markers = [json.loads(path.read_text()) for path in out.glob("predictions/*/commit/*.json")]
        watched.first_shard_s = min(sum(it["timings_s"].values()) for it in markers)


def _sample(pid: int, out: Path, now_s: float) -> list[Sample]:
    driver, below = usage(pid), descendants(pid)
    if driver is None:
        return []
    done = sum(1 for folder in out.glob("labels/*/commit") for _ in os.scandir(folder))
    return [Sample(now_s, done, driver.own_mib, driver.cpu_s, _by_role(below))]


def _by_role(below: list[Usage]) -> dict[str, float]:
    found: dict[str, float] = {}
    for it in below:
        if (role := role_of(it.title)) is not None:
            found[role] = max(found.get(role, 0.0), it.own_mib)
        if "hoiray.stages.decode_child" in it.title:
            found["decoder"] = max(found.get("decoder", 0.0), it.own_mib)
    return found
