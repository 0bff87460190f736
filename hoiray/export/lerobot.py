"""A LeRobot v3 dataset: one episode a track of a hand, with every frame of its video from its first label to its last.

A frame says what is known of the hand in it: `hand.verdict` is 2 for an accepted label, 1 for a refused one, 0 where
there is no row. Joints are NaN wherever there is no label that was to be exported: nothing is filled in, so a consumer
masks by the verdict. Episodes of one video share its file: each has its own span of time in it.

The format has one frame rate and one size of frames. Frames of another size than the first video's are scaled to fit,
with black at the right or below; 2D joints and the camera are those of the scaled frame.
"""

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hoiray.datasets.video_frames import numbered_frames, video_facts
from hoiray.errors import InputError, describe
from hoiray.export.card import FormatCard
from hoiray.export.episode_stats import RunningStats
from hoiray.export.job import ExportJob
from hoiray.export.pictures import letterbox, letterbox_affine
from hoiray.export.rows import Row, VideoLabels
from hoiray.geometry.arrays import FloatArray
from hoiray.geometry.crops import apply_affine
from hoiray.io.encode import H264_SEEKABLE_MP4, PIXEL_FORMAT, VideoEncoder, encode_json
from hoiray.io.parquet import parquet_bytes
from hoiray.io.store import open_uri

CODEBASE_VERSION: Final = "v3.0"
CHUNK_FILES: Final = 1000
DATA_FILE_MB: Final = 100
VIDEO_FILE_MB: Final = 200
"""What the format calls the sizes a file grows to; here a file ends with its video."""

EPISODES_A_FILE: Final = 500
"""Rows of the table of episodes that are kept before they are written; with their statistics some 25 KB each."""

VIDEO_KEY: Final = "observation.images.camera"
TASK: Final = "a hand is seen"
NO_LABEL, REFUSED, ACCEPTED = 0, 1, 2

_NAMES: Final = ("global_orient", "hand_pose", "betas", "transl")
_FEATURES: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "hand.joints_3d": ("float32", (21, 3)),
    "hand.joints_2d": ("float32", (21, 2)),
    "hand.global_orient": ("float32", (3,)),
    "hand.hand_pose": ("float32", (45,)),
    "hand.betas": ("float32", (10,)),
    "hand.transl": ("float32", (3,)),
    "hand.bbox_xyxy": ("float32", (4,)),
    "hand.confidence": ("float32", (1,)),
    "hand.is_right": ("bool", (1,)),
    "hand.verdict": ("int64", (1,)),
    "hand.reasons": ("string", (1,)),
    "camera.K": ("float32", (3, 3)),
    "source.frame_index": ("int64", (1,)),
    "timestamp": ("float32", (1,)),
    "frame_index": ("int64", (1,)),
    "episode_index": ("int64", (1,)),
    "index": ("int64", (1,)),
    "task_index": ("int64", (1,)),
}

CARD: Final = FormatCard(
    title="LeRobot v3 dataset",
    holds=(
        "one episode a track of a hand, all frames from its first label to its last; `observation.images.camera` is the"
        " frame, scaled to fit where videos differ in size",
        "`hand.verdict`: 2 accepted, 1 refused, 0 no row; `hand.reasons`: why refused, with commas",
        "`hand.joints_3d` (metres about the wrist, camera axes of OpenCV), `hand.joints_2d` (pixels of the frame as it"
        " is here), parameters, box, calibrated confidence, camera: NaN where there is none",
        "`meta/videos.jsonl`: which video and track an episode is",
    ),
    lacks=(
        "actions and robots: hands are observed, `robot_type` is null",
        "any number for a frame without an accepted label (or, where they were asked for, a refused one)",
        "statistics of pixels: those of numbers leave NaN out",
    ),
    loading="""
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("local/hands", root="FOLDER")
item = dataset[0]
joints, is_good = item["hand.joints_3d"], item["hand.verdict"] == 2
""",
    metadata={
        "task_categories": ["robotics"],
        "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
    },
)


class OtherRateError(InputError):
    """A video that is whole, and has another frame rate than the dataset."""


@dataclass
class _Dataset:
    """What is known of the dataset while it is written.

    Attributes:
        fps: of the first video; all others must have it.
        size_wh: of the first video, px, even.
        num_videos, num_frames, num_episodes: written.
        episodes: rows of the table of episodes that are not written yet.
        videos: lines that say which episode is what.
        stats: of every feature of numbers.
    """

    fps: Fraction | None = None
    size_wh: tuple[int, int] = (0, 0)
    num_videos: int = 0
    num_frames: int = 0
    num_episodes: int = 0
    episodes: list[dict[str, Any]] = field(default_factory=list)
    videos: list[bytes] = field(default_factory=list)
    stats: dict[str, RunningStats] = field(default_factory=lambda: defaultdict(RunningStats))


def write_lerobot(job: ExportJob) -> None:
    """Write the dataset of a run's labels; `meta/info.json`, without which nothing opens it, comes last."""
    made = _Dataset()
    for video, chosen in job.videos():
        try:
            _add_video(job, made, video, chosen)
        except OtherRateError as error:
            job.tally.unreadable(error, len(chosen), why="other_rate")
        except InputError as error:
            job.tally.unreadable(error, len(chosen))
    if made.num_episodes:
        _write_episodes(job, made)
        _write_meta(job, made)


def _add_video(job: ExportJob, made: _Dataset, video: VideoLabels, chosen: list[Row]) -> None:
    """Write the frames and the episodes of a video.

    Raises:
        InputError: the video cannot be read; nothing of it is in the dataset then.
        OtherRateError: it has another frame rate.
    """
    tracks: dict[int, dict[int, Row]] = defaultdict(dict)
    for row in video.rows(with_refused=True):
        tracks[row["track_index"]].setdefault(row["frame_index"], row)
    wanted = {(row["track_index"], row["frame_index"]) for row in chosen}
    tracks = {track: rows for track, rows in tracks.items() if any((track, number) in wanted for number in rows)}
    fps = _rate_of(job, video)
    if made.fps is not None and fps != made.fps:
        fix = "Label with videos.sample_rate_hz, so that all videos have one rate, or label videos of one rate."
        expected, found = f"{float(made.fps):g} frames a second, as the first video", f"{float(fps):g}"
        raise OtherRateError(describe(what=video.video_id, expected=expected, found=found, fix=fix))
    first_row = next(iter(next(iter(tracks.values())).values()))
    from_wh = first_row["image_width_px"], first_row["image_height_px"]
    size_wh = made.size_wh if made.fps is not None else (from_wh[0] // 2 * 2, from_wh[1] // 2 * 2)
    spans = {track: (min(rows), max(rows)) for track, rows in tracks.items()}
    first, last = min(span[0] for span in spans.values()), max(span[1] for span in spans.values())
    _write_video(job, made.num_videos, video, range(first, last + 1), fps=fps, size_wh=size_wh)
    made.fps, made.size_wh = fps, size_wh
    A = letterbox_affine(from_wh, size_wh)
    parts = []
    for track in sorted(tracks):
        episode = _Episode(track, spans[track], tracks[track], wanted, A)
        parts.append(_add_episode(job, made, video, episode, first))
    job.out.write(f"data/{_place(made.num_videos)}.parquet", parquet_bytes(pa.concat_tables(parts)))
    made.num_videos += 1


def _rate_of(job: ExportJob, video: VideoLabels) -> Fraction:
    if job.run.sample_rate_hz is not None:
        return Fraction(job.run.sample_rate_hz).limit_denominator(1001)
    store, key = open_uri(video.require_stored().uri)
    rate = video_facts(store, key).frame_rate
    if rate is None:
        fix = "Label with videos.sample_rate_hz, or re-encode it: ffmpeg -i IN -fps_mode cfr OUT.mp4"
        raise InputError(describe(what=video.video_id, expected="a frame rate", found="none", fix=fix))
    return rate.limit_denominator(1001)


def _write_video(
    job: ExportJob, number: int, video: VideoLabels, frames: range, *, fps: Fraction, size_wh: tuple[int, int]
) -> None:
    with tempfile.TemporaryDirectory(prefix="hoiray-export-") as folder:
        path = Path(folder) / "video.mp4"
        encoder = VideoEncoder(H264_SEEKABLE_MP4, fps=fps, size_wh=size_wh, path=path)
        try:
            for image in numbered_frames(video.require_stored(), frames, job.run.sample_rate_hz):
                encoder.add(letterbox(image, size_wh))
        finally:
            encoder.finish()
        job.out.write(f"videos/{VIDEO_KEY}/{_place(number)}.mp4", path.read_bytes())


def _place(number: int) -> str:
    return f"chunk-{number // CHUNK_FILES:03d}/file-{number % CHUNK_FILES:03d}"


@dataclass(frozen=True, eq=False)
class _Episode:
    """A track: its frames, the rows it has in them, which of those are exported, and where pixels go."""

    track: int
    span: tuple[int, int]
    rows: Mapping[int, Row]
    wanted: set[tuple[int, int]]
    A: FloatArray

    def __len__(self) -> int:
        return self.span[1] - self.span[0] + 1

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return (T, ...) of every feature but the counters."""
        frames = [self._frame(number) for number in range(self.span[0], self.span[1] + 1)]
        return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}

    def _frame(self, number: int) -> dict[str, Any]:
        row = self.rows.get(number)
        is_told = row is not None and (self.track, number) in self.wanted
        values: dict[str, Any] = {
            f"hand.{name}": _floats(row if is_told else None, name, _FEATURES[f"hand.{name}"][1])
            for name in ("joints_3d", "joints_2d", *_NAMES, "bbox_xyxy", "confidence")
        }
        values["camera.K"] = np.float32(self.A @ _floats(row if is_told else None, "K", (3, 3)))
        for name, shape in (("hand.joints_2d", (21, 2)), ("hand.bbox_xyxy", (2, 2))):
            moved = apply_affine(self.A, np.reshape(values[name], shape).astype(np.float64))
            values[name] = np.float32(moved).reshape(values[name].shape)
        values["hand.is_right"] = np.bool_(next(iter(self.rows.values()))["is_right"])
        values["hand.verdict"] = np.int64(NO_LABEL if row is None else ACCEPTED if row["accepted"] else REFUSED)
        values["hand.reasons"] = "" if row is None else ",".join(row["reasons"])
        values["source.frame_index"] = np.int64(number)
        return values


def _floats(row: Row | None, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a value of a row, NaN where there is no row or no value; one number is a scalar."""
    whole = () if shape == (1,) else shape
    if row is None or row[name] is None:
        return np.full(whole, np.nan, dtype=np.float32)
    return np.asarray(row[name], dtype=np.float32).reshape(whole)


def _add_episode(job: ExportJob, made: _Dataset, video: VideoLabels, episode: _Episode, first: int) -> pa.Table:
    """Note an episode, and return its rows of the data."""
    assert made.fps is not None
    count, number = len(episode), made.num_episodes
    steps = np.arange(count, dtype=np.int64)
    columns = {
        **episode.columns(),
        "timestamp": (steps / float(made.fps)).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(count, number, dtype=np.int64),
        "index": made.num_frames + steps,
        "task_index": np.zeros(count, dtype=np.int64),
    }
    start_s = (episode.span[0] - first) / float(made.fps)
    told = {
        "episode_index": number,
        "tasks": [TASK],
        "length": count,
        "data/chunk_index": made.num_videos // CHUNK_FILES,
        "data/file_index": made.num_videos % CHUNK_FILES,
        "dataset_from_index": made.num_frames,
        "dataset_to_index": made.num_frames + count,
        f"videos/{VIDEO_KEY}/chunk_index": made.num_videos // CHUNK_FILES,
        f"videos/{VIDEO_KEY}/file_index": made.num_videos % CHUNK_FILES,
        f"videos/{VIDEO_KEY}/from_timestamp": start_s,
        f"videos/{VIDEO_KEY}/to_timestamp": start_s + count / float(made.fps),
        "meta/episodes/chunk_index": number // EPISODES_A_FILE // CHUNK_FILES,
        "meta/episodes/file_index": number // EPISODES_A_FILE % CHUNK_FILES,
    }
    for name, values in columns.items():
        if _FEATURES[name][0] != "string":
            own = RunningStats()
            own.add(values)
            made.stats[name].join(own)
            told |= {f"stats/{name}/{statistic}": value for statistic, value in own.to_json().items()}
    made.episodes.append(told)
    made.num_frames, made.num_episodes = made.num_frames + count, number + 1
    if made.num_episodes % EPISODES_A_FILE == 0:
        _write_episodes(job, made)
    line = {"episode_index": number, "video_id": video.video_id, "track_index": episode.track}
    made.videos.append(encode_json({**line, "first_frame_index": episode.span[0]}))
    for track, frame in sorted(episode.wanted):
        if track == episode.track:
            job.tally.wrote(episode.rows[frame])
    return _table(columns)


def _table(columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    return pa.table({name: _column(columns[name], *_FEATURES[name]) for name in _FEATURES})


def _column(values: NDArray[Any], dtype: str, shape: tuple[int, ...]) -> pa.Array:
    """Return a column as `datasets` has it: lists for vectors, lists of lists for matrices."""
    if dtype == "string":
        return pa.array(values.tolist(), pa.string())
    kind = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}[dtype]
    array = pa.array(np.ravel(values), kind)
    if shape == (1,):
        return array
    for place in range(len(shape) - 1, -1, -1):
        if place == 0 and len(shape) == 1:
            return pa.FixedSizeListArray.from_arrays(array, shape[0])
        num_lists = len(array) // shape[place]
        array = pa.ListArray.from_arrays(np.arange(num_lists + 1, dtype=np.int32) * shape[place], array)
    return array


def _write_episodes(job: ExportJob, made: _Dataset) -> None:
    """Write the rows of the table of episodes that are kept, as one file."""
    if made.episodes:
        place = _place(made.episodes[0]["episode_index"] // EPISODES_A_FILE)
        job.out.write(f"meta/episodes/{place}.parquet", parquet_bytes(pa.Table.from_pylist(made.episodes)))
        made.episodes = []


def _write_meta(job: ExportJob, made: _Dataset) -> None:
    assert made.fps is not None
    job.out.write("meta/videos.jsonl", b"".join(made.videos))
    tasks = pa.table({"task_index": pa.array([0], pa.int64()), "task": pa.array([TASK])})
    job.out.write("meta/tasks.parquet", parquet_bytes(tasks, {"pandas": _INDEX_IS_TASK}))
    job.out.write("meta/stats.json", encode_json({name: own.to_json() for name, own in sorted(made.stats.items())}))
    job.out.write("meta/info.json", encode_json(_info(made)))


_INDEX_IS_TASK: Final = (
    '{"index_columns": ["task"], "column_indexes": [], "columns": ['
    '{"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64",'
    ' "metadata": null}, {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object",'
    ' "metadata": null}], "creator": {"library": "hoiray", "version": "1"}, "pandas_version": "2.0.0"}'
)
"""By this a table of tasks is read by pandas with its names as index, which LeRobot relies on."""


def _info(made: _Dataset) -> dict[str, Any]:
    assert made.fps is not None
    fps = float(made.fps)
    width, height = made.size_wh
    pixels = {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"]}
    about = {
        "video.height": height, "video.width": width, "video.codec": "h264", "video.pix_fmt": PIXEL_FORMAT,
        "video.is_depth_map": False, "video.fps": fps, "video.channels": 3, "has_audio": False,
    }  # fmt: skip
    features: dict[str, Any] = {VIDEO_KEY: {**pixels, "info": about}}
    for name, (dtype, shape) in _FEATURES.items():
        features[name] = {"dtype": dtype, "shape": list(shape), "names": None}
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": None,
        "total_episodes": made.num_episodes,
        "total_frames": made.num_frames,
        "total_tasks": 1,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": DATA_FILE_MB,
        "video_files_size_in_mb": VIDEO_FILE_MB,
        "fps": int(fps) if fps.is_integer() else fps,
        "splits": {"train": f"0:{made.num_episodes}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
