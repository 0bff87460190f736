"""What judging costs, from Parquet to Parquet: beside the same verdicts in SQL, beside Ray's groupby, and as rows grow.

The rows are random hands of which some break each limit. `hoiray judge` finds tracks, measures motion (four readings of
the pose, three of the image) and shape, judges, and writes every column. DuckDB is asked for the verdicts alone: motion
in 2D and of the pose in one reading each, and the reasons, of videos with one hand, where a track is a video. Both read
and write whole files with one thread, and must find the same reasons in every row.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from hoiray.benchmarks.control_parts import BYTES_A_FRAME, lister
from hoiray.benchmarks.filters import FRAMES_A_VIDEO, Rows
from hoiray.benchmarks.free_predictor import stretched_hand_m
from hoiray.benchmarks.goals import Row
from hoiray.benchmarks.processes import forget_peak, peak_memory_mib
from hoiray.benchmarks.timing import alternate, compare
from hoiray.config.load import load_cluster, parse_run
from hoiray.config.what import PaperLimits
from hoiray.filters.rules import paper_rules
from hoiray.filters.spatial import Hands, mesh_extent
from hoiray.io.parquet import parquet_bytes
from hoiray.io.store import Store
from hoiray.schema.columns import Column, pack_column
from hoiray.stages.commit import CommitFields, commit_shard
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.measure import FUSED
from hoiray.stages.measure import measure as measure_table
from hoiray.stages.plan import load_shard
from hoiray.stages.rejudge import Judgement, list_parts, rejudge, write_labels
from hoiray.stages.run_layout import PLAN_FOLDER

NUM_VIDEOS: Final = 1000
"""Of the file that SQL judges too: 43 frames each."""

GROUPBY_VIDEOS: Final = 300

GROWTH_VIDEOS: Final = 140
"""Of one part of the rows that grow."""

GROWTH: Final = (1, 10, 100)
PART_REPEATS: Final = 5
SHARD_FRAMES: Final = 4096
PREDICT_ID: Final = "0" * 32

LIMITS: Final = PaperLimits(motion_pose_reading="axis_angle_mean_square", max_shape_deviation_sigma=None)
"""The paper's, in the reading of the pose that can be written in SQL, without shape, which needs the verdicts first."""

SQL: Final = """
COPY (
  WITH predicted AS (
    SELECT *, coalesce(box_iou < {min_box_iou}::FLOAT, false) AS far_box,
      coalesce(reprojection_frobenius_box_sides > {max_reprojection_box_sides}::FLOAT, false) AS far_joints,
      coalesce(min_bone_length_ratio < {min_bone_length_ratio}::FLOAT, false) AS short_bone,
      coalesce(max_joint_angle_rad >= {max_joint_angle_rad}::FLOAT, false) AS bent,
      list_concat(global_orient, hand_pose) AS pose
    FROM read_parquet('{source}')
  ), paired AS (
    SELECT *, lag(frame_index) OVER each = frame_index - 1 AS has_before,
      lag(far_box OR far_joints OR short_bone OR bent) OVER each AS is_before_refused,
      sqrt(list_sum(list_transform(list_zip(joints_2d, lag(joints_2d) OVER each),
        lambda pair: (pair[1]::DOUBLE - pair[2]::DOUBLE) ** 2)))
        / sqrt((lag(bbox_xyxy[3]) OVER each - lag(bbox_xyxy[1]) OVER each)::DOUBLE
             * (lag(bbox_xyxy[4]) OVER each - lag(bbox_xyxy[2]) OVER each)::DOUBLE) AS motion_2d,
      list_sum(list_transform(list_zip(pose, lag(pose) OVER each),
        lambda pair: (pair[1]::DOUBLE - pair[2]::DOUBLE) ** 2)) / 48 AS motion_pose
    FROM predicted WINDOW each AS (PARTITION BY video_id ORDER BY frame_index)
  ), judged AS (
    SELECT * EXCLUDE (far_box, far_joints, short_bone, bent, pose, has_before, is_before_refused), list_filter([
      CASE WHEN far_box THEN 'box_iou' END, CASE WHEN far_joints THEN 'reprojection' END,
      CASE WHEN short_bone THEN 'bone_length' END, CASE WHEN bent THEN 'joint_angle' END,
      CASE WHEN has_before AND motion_2d::FLOAT > {max_motion_2d_box_sides}::FLOAT THEN 'motion_2d' END,
      CASE WHEN has_before AND motion_pose::FLOAT > {max_motion_pose}::FLOAT THEN 'motion_pose' END,
      CASE WHEN NOT coalesce(has_before, false) THEN 'no_predecessor' END,
      CASE WHEN has_before AND is_before_refused THEN 'predecessor_refused' END
    ], lambda reason: reason IS NOT NULL) AS reasons
    FROM paired
  )
  SELECT *, len(reasons) = 0 AS accepted FROM judged ORDER BY video_id, frame_index
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""


def measure(folder: Path, *, pairs: int) -> list[Row]:
    """Measure judging in this process, beside SQL and as rows grow; `folder` is empty."""
    return [sql_row(folder / "sql", pairs), *growth_rows(folder / "growth")]


def predictions_of(names: Sequence[str], *, seed: int = 0) -> pa.Table:
    """Return predictions of videos of one hand each, `FRAMES_A_VIDEO` frames long; some break each limit."""
    rows = Rows.random(len(names) * FRAMES_A_VIDEO, seed)
    hands, count = _with_hands(rows, seed), len(rows.pose)
    texts = {
        "shard_id": "0" * 32, "predict_id": PREDICT_ID, "side_source": "given", "box_source": "given",
    }  # fmt: skip
    arrays: dict[str, Any] = {
        "frame_index": rows.frame_index.astype(np.int32), "hand_index": np.zeros(count, np.int16),
        "time_s": rows.frame_index / 12.0, "image_width_px": hands.image_size_wh_px[:, 0].astype(np.int32),
        "image_height_px": hands.image_size_wh_px[:, 1].astype(np.int32), "is_right": rows.is_right,
        "bbox_xyxy": hands.bbox_xyxy, "betas": rows.betas, "global_orient": rows.pose[:, :3],
        "hand_pose": rows.pose[:, 3:], "joints_3d": hands.joints_3d_m, "joints_2d": hands.joints_2d_px,
        "num_members": np.full(count, 8, np.int16), "spread_joints_2d_px": hands.spread_joints_2d_px,
        "spread_joints_3d_m": hands.spread_joints_3d_m, "rotation_consensus": np.full(count, 0.9, np.float32),
        "spread_rotation_rad": np.full(count, 0.1, np.float32), "crop_change": np.full(count, 0.05, np.float32),
        "mesh_extent_m": hands.mesh_extent_m,
    }  # fmt: skip
    arrays["video_id"] = pa.array(np.repeat(np.array(names), FRAMES_A_VIDEO))

    def filled(column: Column) -> pa.Array:
        if column.name in texts:
            return pa.repeat(pa.scalar(texts[column.name]), count)
        values = arrays.get(column.name)
        if values is None:
            return pa.nulls(count, column.arrow_type)
        return values if isinstance(values, pa.Array) else pack_column(column, values.reshape(count, *column.shape))

    return measure_table(pa.table({column.name: filled(column) for column in FUSED.columns}))


def _with_hands(rows: Rows, seed: int) -> Hands:
    """Put a hand that may pass every limit into two videos of three; random joints bend as no hand does."""
    hands, rng = rows.hands, np.random.default_rng(seed)
    video = np.arange(len(rows.pose)) // FRAMES_A_VIDEO
    still = stretched_hand_m() + rng.normal(scale=0.0005, size=(len(video), 21, 3))
    seen = 400.0 * still[..., :2] + 120.0 + rng.normal(scale=1.0, size=(len(video), 21, 2))
    is_hand = (video % 3 > 0)[:, None, None]
    joints = np.where(is_hand, still, hands.joints_3d_m).astype(np.float32)
    points = np.where(is_hand, seen, hands.joints_2d_px).astype(np.float32)
    box = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    extent = mesh_extent(joints).astype(np.float32)
    return replace(hands, joints_3d_m=joints, joints_2d_px=points, bbox_xyxy=box, mesh_extent_m=extent)


def sql_row(folder: Path, pairs: int) -> Row:
    """Compare with DuckDB.

    Raises:
        RuntimeError: it finds other reasons.
    """
    source, target = folder / "predictions" / "rows.parquet", folder / "sql.parquet"
    source.parent.mkdir(parents=True)
    source.write_bytes(parquet_bytes(predictions_of([f"{number:08d}.mp4" for number in range(NUM_VIDEOS)])))
    mine = folder / "labels"

    def sql() -> None:
        judge_by_sql(source, target)

    found = compare(("hoiray judge", lambda: judge_folder(source, mine)), ("DuckDB", sql), pairs=pairs, min_time_s=0)
    refuse_other_verdicts(mine, target)
    rate = NUM_VIDEOS * FRAMES_A_VIDEO / found.subject_s.median
    note = f"{rate:,.0f} rows/s; it also finds tracks, and measures shape and the other readings of motion."
    return Row.of("judge_sql", found, note)


def judge_folder(source: Path, target: Path) -> int:
    """Judge files as `hoiray judge` does, into an emptied folder; return the number of rows."""
    shutil.rmtree(target, ignore_errors=True)
    store, num_rows = Store.open(str(target)), 0
    for index, labels in rejudge(list_parts(str(source)), Judgement.by(LIMITS)):
        write_labels(store, index, labels)
        num_rows += labels.num_rows
    return num_rows


def judge_by_sql(source: Path, target: Path) -> None:
    """Judge a file of predictions in DuckDB, with one thread."""
    import duckdb

    angles = (limit.value for limit in paper_rules(LIMITS).limits if limit.measurement == "max_joint_angle_rad")
    limits = LIMITS.model_dump() | {"max_joint_angle_rad": next(angles)}
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(SQL.format(source=source, target=target, **limits))


def refuse_other_verdicts(mine: Path, theirs: Path) -> None:
    """Refuse to compare two that say different things.

    Raises:
        RuntimeError: a row has other reasons.
    """
    names = ["video_id", "frame_index", "accepted", "reasons"]
    ours, sql = (pq.read_table(path, columns=names).to_pylist() for path in (mine, theirs))
    wrong = [(one, two) for one, two in zip(ours, sql, strict=True) if one != two]
    if wrong or not ours or all(row["accepted"] == ours[0]["accepted"] for row in ours):
        raise RuntimeError(f"{len(wrong)} of {len(ours)} verdicts differ, so the ratio would mean nothing: {wrong[:1]}")


RUN: Final = """
name: judging
output_uri: "{folder}/out"
videos: {{uri: "s3://nowhere", boxes_uri: null, box_format: none, hand_side: boxes}}
sharding: {{target_frames: {target_frames}, max_video_frames: 1000000}}
hand: {{flat_hand_mean: true}}
teacher: {{predictor: hoiray.benchmarks.free_predictor.make}}
limits: {limits}
"""
CLUSTER: Final = """
head: {num_cpus: 8, memory_gib: 8, object_store_gib: 1}
pools:
  decode: {where: predictor, num_cpus: 0.25}
  judge: {min: 2, max: 2, num_cpus: 0.5}
"""


def predicted_job(folder: Path, num_videos: int) -> LabelJob:
    """Plan videos that are nowhere and commit random predictions of all of them, so that they wait to be judged."""
    folder.mkdir(parents=True)
    text = RUN.format(folder=folder, target_frames=SHARD_FRAMES, limits=json.dumps(LIMITS.model_dump()))
    run = parse_run(yaml.safe_dump(yaml.safe_load(text)))
    request = IndexRequest(run.videos, run.sharding, "none", BYTES_A_FRAME)
    make_plan(request, Store.open(run.output_uri).below(PLAN_FOLDER), listing=lister(num_videos, suffix=".mp4"))
    job = open_label_job(run)
    for seed, entry in enumerate(job.plan.shards()):
        names = load_shard(job.plan, entry).segments["video_id"].to_pylist()
        rows = predictions_of(names, seed=seed)
        for name, value in (("shard_id", entry.shard_id), ("predict_id", job.predict_id)):
            column = pa.repeat(pa.scalar(value), rows.num_rows)
            rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
        fields = CommitFields(
            plan_id=job.plan.plan_id, predict_id=job.predict_id, judge_id=None, shard_id=entry.shard_id,
            num_videos=len(names), dead_letters=(), attempt=1, timings_s={}, costs_s={},
        )  # fmt: skip
        commit_shard(job.store, rows, fields)
    return job


def groupby_row(folder: Path, pairs: int) -> Row:
    """Compare shards that are judged whole with Ray's groupby over all rows, on the same predictions."""
    from hoiray.engine.judge import judge_plan
    from hoiray.engine.session import quiet_ray_data, ray_session
    from hoiray.stages.pending import pending_buckets

    job = predicted_job(folder, GROUPBY_VIDEOS)
    (folder / "cluster.yaml").write_text(CLUSTER)
    cluster = load_cluster(str(folder / "cluster.yaml"))
    wanted = [it.bucket_id for it in pending_buckets(job.plan, job.store, job.predictions, job.labels)]

    def judged_s(*, by_groupby: bool) -> float:
        shutil.rmtree(folder / "out" / "labels", ignore_errors=True)
        begin = time.perf_counter()
        dataset = judge_plan(job, wanted, cluster, by_groupby=by_groupby)
        assert dataset is not None
        count = sum(1 for _ in dataset.iter_rows())
        if count != len(wanted):
            raise RuntimeError(f"{count} of {len(wanted)} buckets were judged")
        return time.perf_counter() - begin

    with ray_session(None, cluster.head):
        quiet_ray_data()
        judged_s(by_groupby=False)
        found = alternate(
            ("whole shards", lambda: judged_s(by_groupby=False)),
            ("groupby", lambda: judged_s(by_groupby=True)),
            pairs=pairs,
        )
    note = (
        f"{GROUPBY_VIDEOS * FRAMES_A_VIDEO:,} rows in {len(wanted)} shards: {found.subject_s.median:.1f} s against"
        f" {found.baseline_s.median:.1f} s, the start of their actors included."
    )
    return Row.of("judge_groupby", found, note)


@dataclass(frozen=True)
class Grown:
    """A judgement of so many rows, in a process of its own.

    Attributes:
        num_rows, seconds, peak_mib: of all of them.
        part_rows, part_s: of one part of them, judged again and again before and after, as a machine's pace changes.
    """

    num_rows: int
    seconds: float
    peak_mib: float
    part_rows: int
    part_s: float

    @property
    def times(self) -> float:
        """Time a row, against that of the part."""
        return (self.seconds / self.num_rows) / (self.part_s / self.part_rows)


def growth_rows(folder: Path) -> list[Row]:
    """Judge once, 10 and 100 times the rows, in files of equal size, each in a process of its own."""
    found = []
    for factor in GROWTH:
        place = folder / str(factor)
        (place / "predictions").mkdir(parents=True)
        for number in range(factor):
            names = [f"{number:04d}/{video:06d}.mp4" for video in range(GROWTH_VIDEOS)]
            path = place / "predictions" / f"{number:04d}.parquet"
            path.write_bytes(parquet_bytes(predictions_of(names, seed=number)))
        found.append(judged_apart(place))
        shutil.rmtree(place)
    return rows_of(found)


def rows_of(found: Sequence[Grown]) -> list[Row]:
    """Make the rows of a judgement that grows: time a row against one part, and memory against the smallest."""
    first, middle, last = found
    rows = [
        Row.single(key, it.times, f"{it.num_rows:,} rows, {1e6 * it.seconds / it.num_rows:.1f} us each.")
        for key, it in (("judge_10", middle), ("judge_100", last))
    ]
    note = f"{first.peak_mib:.0f} and {last.peak_mib:.0f} MiB."
    return [*rows, Row.single("judge_memory", last.peak_mib / first.peak_mib, note)]


def judged_apart(folder: Path) -> Grown:
    """Judge a folder in a new process.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "hoiray.benchmarks.judging", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"judging ended with {done.returncode}: {done.stderr[-3000:]}")
    return Grown(**json.loads(done.stdout.splitlines()[-1]))


def main(arguments: Sequence[str]) -> None:
    """Judge a folder: all of it, and its first file before and after; the very first time loads and compiles."""
    folder = Path(arguments[0])
    source, target = folder / "predictions", folder / "labels"
    part = min(source.iterdir())
    part_rows = judge_folder(part, target)

    def timed(path: Path) -> tuple[int, float]:
        begin = time.perf_counter()
        num_rows = judge_folder(path, target)
        return num_rows, time.perf_counter() - begin

    before = [timed(part)[1] for _ in range(PART_REPEATS)]
    forget_peak()
    num_rows, seconds = timed(source)
    peak_mib = peak_memory_mib()
    after = [timed(part)[1] for _ in range(PART_REPEATS)]
    sys.stdout.write(json.dumps(asdict(Grown(num_rows, seconds, peak_mib, part_rows, median(before + after)))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
