"""One run over bad videos and bad annotations beside good ones: every good one done, every bad one named."""

import contextlib
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from bad_videos import ODD, plain
from clips import clip
from labelling import Clip, rows_of, video_bytes
from labelling_predictor import BoxPredictor

from hoiray.config.load import parse_run
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.tables import BOXES, LABELS, PREDICTIONS
from hoiray.stages.dead import list_dead
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import Tools, label_here

TESTS = Path(__file__).parents[1]
RUN_S = 600.0
LARGE, GUARDED = "4k.mp4", "annotated.mp4"
NUM_HANDS = 3
"""Frames with a hand of each video."""

RUN = """
output_uri: "{out}"
videos: {{uri: "{list}", boxes_uri: "{boxes}", box_format: parquet, hand_side: boxes}}
sharding: {{target_frames: 12, max_video_frames: 100}}
hand: {{flat_hand_mean: true}}
teacher: {{predictor: labelling_predictor.make}}
ensemble: {{num_views: 2}}
limits: {{min_box_iou: null, max_shape_deviation_sigma: null, max_motion_pose: null}}
"""

CLUSTER = """
head: {num_cpus: 4, memory_gib: 8, object_store_gib: 0.1}
pools:
  decode: {where: predictor, num_cpus: 0.25, max_video_s: 25, max_video_gib: 0.057}
  predict: {min: 2, max: 2, num_cpus: 0.25, batch_size: 4}
  measure: {min: 1, max: 2, num_cpus: 0.1}
  judge: {min: 1, max: 2, num_cpus: 0.1}
retries: {max_dead_fraction: 1.0, max_attempts_per_video: 1, no_progress_s: 200}
"""


@dataclass(frozen=True)
class BadVideo:
    """A video of which nothing becomes rows.

    Attributes:
        content: its bytes; None where there is no file.
        error_class: what is said of it.
        first_frame: of its boxes.
    """

    content: Callable[[], bytes] | None
    error_class: str
    first_frame: int = 0


BAD_VIDEOS: Mapping[str, BadVideo] = {
    **{
        # boxes behind the damage: what lies before it could be had
        it.key: BadVideo(it.content, "empty" if it.key == "empty.mp4" else it.error_class, first_frame=20)
        for it in ODD
        if it.error_class is not None
    },
    LARGE: BadVideo(
        lambda: clip(range(4), size_wh=(3840, 2160), options={"preset": "ultrafast", "crf": "40"}), "DecodeMemoryError"
    ),
    "kills its decoder.mp4": BadVideo(plain, "SIGKILL"),
    "hangs its decoder.mp4": BadVideo(plain, "DecodeTimeoutError"),
    "kills its predictor.mp4": BadVideo(lambda: video_bytes("red", Clip(6, is_red=True)), "ProcessKilled"),
    "boxes behind its end.mp4": BadVideo(plain, "FrameNotThereError", first_frame=22),
    "counts ten more, and so do its boxes.avi": BadVideo(
        next(it for it in ODD if it.key == "counts ten more.avi").content, "FrameNotThereError", first_frame=30
    ),
    "not there.mp4": BadVideo(None, "missing"),
    "../outside.mp4": BadVideo(plain, "leaves_root"),
}

NEED_RAY = ("kills its predictor.mp4", "hangs its decoder.mp4")

NAN, INF = math.nan, math.inf
BAD_BOXES: Mapping[str, tuple[list[float], str]] = {
    "NaN on the left": ([NAN, 5, 20, 30], "not_finite"),
    "NaN on top": ([2, NAN, 20, 30], "not_finite"),
    "NaN on the right": ([2, 5, NAN, 30], "not_finite"),
    "NaN at the bottom": ([2, 5, 20, NAN], "not_finite"),
    "NaN everywhere": ([NAN, NAN, NAN, NAN], "not_finite"),
    "infinite on the right": ([2, 5, INF, 30], "not_finite"),
    "infinite on the left": ([-INF, 5, 20, 30], "not_finite"),
    "left and right exchanged": ([20, 5, 2, 30], "inverted"),
    "top and bottom exchanged": ([2, 30, 20, 5], "inverted"),
    "without width": ([2, 5, 2, 30], "inverted"),
    "without height": ([2, 5, 20, 5], "inverted"),
    "a point": ([2, 5, 2, 5], "inverted"),
    "outside on the left": ([-40, 5, -20, 30], "outside"),
    "outside on top": ([2, -60, 20, -30], "outside"),
    "outside on both": ([-40, -60, -20, -30], "outside"),
    "the same box again": ([2, 5, 20, 30], "duplicate"),
    "another box of the same number": ([30, 5, 50, 30], "duplicate"),
    "of a video that is not there": ([2, 5, 20, 30], "no_video"),
    "of a video in another case": ([2, 5, 20, 30], "no_video"),
    "of a video with a blank more": ([2, 5, 20, 30], "no_video"),
}
OWNERS = {
    "of a video that is not there": "nobody's.mp4",
    "of a video in another case": GUARDED.upper(),
    "of a video with a blank more": f"{GUARDED} ",
}


def good_videos(count: int | None = None) -> dict[str, Callable[[], bytes]]:
    """Good ones by name, odd as they may be; two more have bad boxes beside good ones, and no boxes at all."""
    odd = [it for it in ODD if it.error_class is None and it.key not in (LARGE, "one frame.mp4", "counts ten more.avi")]
    chosen = {it.key: it.content for it in odd[:count]}
    return {**chosen, GUARDED: plain, "without boxes.mp4": plain}


def box(name: str, frame: int, xyxy: list[float], index: int = 0) -> dict[str, Any]:
    return {
        "video_id": name, "frame_index": frame, "kind": "hand", "box_index": index, "bbox_xyxy": xyxy, "is_right": True,
    }  # fmt: skip


def good_boxes(names: list[str]) -> list[dict[str, Any]]:
    return [
        box(name, frame, [2.0 + frame, 5.0, 20.0 + frame, 30.0])
        for name in names
        if name != "without boxes.mp4"
        for frame in range(NUM_HANDS)
    ]


def bad_boxes() -> list[dict[str, Any]]:
    """Boxes that are refused; those of a number of their own must not touch their frame's good one."""
    rows = []
    for number, (name, (xyxy, reason)) in enumerate(BAD_BOXES.items()):
        index = 0 if reason == "duplicate" else 1 + number
        rows.append(box(OWNERS.get(name, GUARDED), number % NUM_HANDS, [float(it) for it in xyxy], index))
    return rows


def write_corpus(folder: Path, num_good: int | None, bad_videos: Mapping[str, BadVideo]) -> list[str]:
    """Write everything below `folder`; return the names of the good ones."""
    good, place = good_videos(num_good), folder / "videos"
    place.mkdir(parents=True)
    contents = {**good, **{name: it.content for name, it in bad_videos.items() if it.content is not None}}
    for name, content in contents.items():
        (place / name).write_bytes(content())
    (place / "good.txt").write_text("".join(f"{name}\n" for name in good))
    (place / "all.txt").write_text("".join(f"{name}\n" for name in (*bad_videos, *good)))
    boxes = good_boxes(list(good))
    bad = [
        box(name, it.first_frame + frame, [2.0, 5.0, 20.0, 30.0])
        for name, it in bad_videos.items()
        if it.error_class not in ("empty", "missing", "leaves_root")
        for frame in range(NUM_HANDS)
    ]
    for name, rows in (("good", boxes), ("all", [*bad_boxes(), *boxes, *bad])):
        (folder / f"{name}.parquet").write_bytes(parquet_bytes(pa.Table.from_pylist(rows, schema=BOXES.to_arrow())))
    return list(good)


def label_corpus(num_good: int | None = None, *, uses_ray: bool = True) -> dict[str, Any]:
    """Label all on a Ray of its own, as a user would, and the good ones alone in this process; compare.

    Without Ray those are left out that take long, or the process along.
    """
    bad_videos = {name: it for name, it in BAD_VIDEOS.items() if uses_ray or name not in NEED_RAY}
    with tempfile.TemporaryDirectory(prefix="co") as name:
        folder = Path(name)
        good = write_corpus(folder, num_good, bad_videos)
        status = _label_all(folder, uses_ray)
        found, alone = _job(folder, "all"), _job(folder, "good")
        frames = LocalFrames(DecodeSettings(None))
        with contextlib.closing(frames):
            list(label_here(alone, Tools(BoxPredictor(), frames, batch_size=4), lambda _count: None))
        dead = [it.letter for it in list_dead(found.store, found.predict_id, found.plan)]
        ends = {letter.video_id: letter.error_class for letter in dead}
        refused = [(row["name"], row["reason"]) for row in found.plan.refusals() if row["kind"] == "box"]
        said = (folder / "said.txt").read_text()
        problems = [] if status == 0 else [f"exit status {status}: {said[-1500:]}"]
        problems += _differences(found, alone)
        problems += [f"{it}: {ends.get(it)}" for it, bad in bad_videos.items() if ends.get(it) != bad.error_class]
        problems += [f"{it} is dead" for it in good if it in ends]
        problems += [] if len(dead) == len(bad_videos) else [f"{len(dead)} dead, {len(bad_videos)} planted"]
        problems += [f"no message for {letter.video_id}" for letter in dead if len(letter.message) < 5]
        problems += _box_problems(refused)
    return {
        "num_good": len(good), "num_bad_videos": len(bad_videos), "num_bad_boxes": len(BAD_BOXES),
        "num_dead": len(dead), "num_refused_boxes": len(refused), "problems": problems,
        "ends": {
            **{f"video `{it}`": ends.get(it) for it in bad_videos},
            **{f"box: {it}": reason for it, (_, reason) in BAD_BOXES.items()},
        },
    }  # fmt: skip


def _box_problems(refused: list[tuple[str, str]]) -> list[str]:
    """Each bad box is named with its video, frame and reason, and no other box is."""
    expected = []
    for row, (name, (_, reason)) in zip(bad_boxes(), BAD_BOXES.items(), strict=True):
        owner = OWNERS.get(name)
        expected.append((owner or f"{row['video_id']}, frame {row['frame_index']}", reason))
    expected.sort()
    return [] if sorted(refused) == expected else [f"boxes: expected {expected}, found {sorted(refused)}"]


def _job(folder: Path, name: str) -> LabelJob:
    return open_label_job(parse_run(_run_text(folder, name)))


def _run_text(folder: Path, name: str) -> str:
    return RUN.format(
        out=folder / f"out-{name}", list=folder / "videos" / f"{name}.txt", boxes=folder / f"{name}.parquet"
    )


def _label_all(folder: Path, uses_ray: bool) -> int:
    (folder / "label.yaml").write_text(_run_text(folder, "all"))
    (folder / "cluster.yaml").write_text(CLUSTER)
    paths = [str(Path(__file__).parent / "saboteur"), str(TESTS), str(TESTS.parent)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_ADDRESS", "AWS_"))}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hoiray", "label", str(folder / "label.yaml")]
    command += ["--cluster", str(folder / "cluster.yaml"), *(["--ray-address", "local"] if uses_ray else ["--no-ray"])]
    with (folder / "said.txt").open("wb") as said:
        return subprocess.run(
            command,
            env=environment, stdout=said, stderr=said, timeout=RUN_S, check=False,
        ).returncode  # fmt: skip


def _differences(found: LabelJob, alone: LabelJob) -> list[str]:
    """Tables whose rows are not those of the run without bad ones, bit for bit, but for the shards they lie in."""
    problems = []
    ours, theirs = rows_of(found), rows_of(alone)
    for schema, name in ((PREDICTIONS, "predictions"), (LABELS, "labels")):
        tables = [_joined(rows, name, list(schema.key)) for rows in (ours, theirs)]
        if parquet_bytes(tables[0]) != parquet_bytes(tables[1]):
            problems.append(f"{name} differ: {tables[0].num_rows} rows, {tables[1].num_rows} without the bad ones")
    return problems


def _joined(rows: Mapping[str, pa.Table], name: str, key: list[str]) -> pa.Table:
    tables = [table.replace_schema_metadata(None) for where, table in rows.items() if where.startswith(f"{name}/")]
    table = pa.concat_tables(tables).sort_by([(column, "ascending") for column in key]).combine_chunks()
    return table.drop_columns([column for column in table.column_names if column == "shard_id"])
