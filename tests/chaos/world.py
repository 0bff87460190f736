"""The labelling that is killed: many small clips, a long one, and what an unbroken run makes of them."""

import contextlib
import io
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from labelling import Clip, digests_of, rows_of, video_bytes

from hoiray.config.load import parse_run
from hoiray.config.what import RunConfig
from hoiray.io.parquet import parquet_bytes
from hoiray.io.store import Store
from hoiray.schema.tables import BOXES, LABELS, PREDICTIONS
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import Tools, label_here
from hoiray.stages.pending import pending_buckets, pending_shards
from hoiray.stages.plan import load_shard

from .paced_predictor import (
    FIRST_Y0,
    FIRST_Y1,
    HOLD,
    LOG,
    PACE,
    STEP_Y0,
    STEP_Y1,
    Frame,
    PacedPredictor,
    is_held,
    read_log,
)

NUM_CLIPS, NUM_LONG_FRAMES = 20, 36
LONG = "a long one.mp4"
WIDTH_HAND_PX = 18.0

RUN = """
output_uri: "{out}"
videos: {{uri: "{data}/videos", boxes_uri: "{data}/boxes.parquet", box_format: parquet, hand_side: boxes}}
sharding: {{target_frames: 9, max_video_frames: 12}}
hand: {{flat_hand_mean: true}}
teacher: {{predictor: chaos.paced_predictor.make, options: {{folder: "{folder}"}}}}
ensemble: {{num_views: 2}}
limits: {{min_box_iou: null, max_shape_deviation_sigma: null, max_motion_pose: null}}
"""


@dataclass(frozen=True)
class World:
    """What every round labels.

    Attributes:
        folder: of videos, pace, and the log of work.
        data_uri: where videos and boxes lie.
        digests: of every data object that an unbroken run commits, by table and shard.
        shard_of: the shard of each frame.
        work: hands that an unbroken run predicts, by shard.
    """

    folder: Path
    data_uri: str
    digests: Mapping[str, str]
    shard_of: Mapping[Frame, str]
    work: Counter[str]

    @property
    def num_shards(self) -> int:
        """Shards of the plan."""
        return len(self.work)

    def run_text(self, out: Path | str) -> str:
        """The run file with that output."""
        return RUN.format(data=self.data_uri, out=out, folder=self.folder)

    def run(self, out: Path | str) -> RunConfig:
        """The same, read."""
        return parse_run(self.run_text(out))

    def set_pace(self, seconds_per_call: float) -> None:
        """From now on a batch takes so long."""
        (self.folder / PACE).write_text(str(seconds_per_call))

    def hold(self, at_call: int) -> None:
        """Let predictors wait from that call on, so that they still work when the kill comes, however late that is."""
        # whole or not at all: predictors look at any moment
        whole = self.folder / f"{HOLD}.new"
        whole.write_text(str(at_call))
        whole.rename(self.folder / HOLD)

    def is_held(self) -> bool:
        """Whether predictors wait."""
        return is_held(self.folder)

    def release(self) -> None:
        """Let them go on."""
        (self.folder / HOLD).unlink(missing_ok=True)

    def new_log(self) -> None:
        """Begin the log of work anew."""
        (self.folder / LOG).write_text("")

    def done(self, pids: Collection[int] | None = None) -> Counter[str]:
        """Hands predicted since the log began, by shard; by these processes only, where some are given."""
        counts: Counter[str] = Counter()
        for pid, frames in read_log(self.folder).items():
            for frame, count in frames.items():
                counts[self.shard_of[frame]] += count if pids is None or pid in pids else 0
        return +counts


def clips() -> dict[str, Clip]:
    """The videos, in the order of their numbers."""
    short = {f"clip {index:02d}.mp4": Clip(6 + index % 3, num_hands=1 + (index % 3 == 0)) for index in range(NUM_CLIPS)}
    return {**short, LONG: Clip(NUM_LONG_FRAMES)}


def boxes_of(number: int, name: str, clip: Clip) -> list[dict[str, Any]]:
    """Hands whose boxes tell video and frame."""
    rows = []
    for frame in range(clip.num_frames):
        for hand in range(clip.num_hands):
            x0, y0 = 2.0 + 0.3 * frame + 26.0 * hand, FIRST_Y0 + STEP_Y0 * number
            box = [x0, y0, x0 + WIDTH_HAND_PX, FIRST_Y1 + STEP_Y1 * frame]
            rows.append({
                "video_id": name, "frame_index": frame, "kind": "hand", "box_index": hand, "bbox_xyxy": box,
                "is_right": hand == 0,
            })  # fmt: skip
    return rows


def make_world(folder: Path, data_uri: str | None = None) -> World:
    """Write videos and boxes, and label them once in this process, unbroken."""
    data_uri = str(folder) if data_uri is None else data_uri
    store = Store.open(data_uri)
    rows: list[dict[str, Any]] = []
    for number, (name, clip) in enumerate(clips().items()):
        store.write(f"videos/{name}", video_bytes(name, clip))
        rows += boxes_of(number, name, clip)
    store.write("boxes.parquet", parquet_bytes(pa.Table.from_pylist(rows, schema=BOXES.to_arrow())))
    empty = World(folder, data_uri, {}, {}, Counter())
    empty.set_pace(0.0)
    empty.new_log()
    job = open_label_job(empty.run(folder / "unbroken"))
    frames = LocalFrames(DecodeSettings(None))
    with contextlib.closing(frames):
        for _ in label_here(job, Tools(PacedPredictor(str(folder)), frames, batch_size=4), lambda _count: None):
            pass
    assert len(job.long_videos) == 1, "the long video is to be cut"
    world = World(folder, data_uri, digests_of(job), _shard_of(job), Counter())
    return replace(world, work=world.done())


def _shard_of(job: LabelJob) -> dict[Frame, str]:
    numbers = {name: (number, clip.num_frames) for number, (name, clip) in enumerate(clips().items())}
    found = {}
    for entry in job.plan.shards():
        for row in load_shard(job.plan, entry).segments.to_pylist():
            number, length = numbers[row["video_id"]]
            first, count = row["first_frame_index"], row["num_frames"]
            for frame in range(first, length if count is None else first + count):
                found[(number, frame)] = entry.shard_id
    return found


def problems_of(world: World, out: Path | str) -> list[str]:
    """Compare a finished run with the unbroken one; what is wrong, in words."""
    from hoiray.cli.verify import verify_run

    job = open_label_job(world.run(out))
    problems = []
    pending = len(pending_shards(job.plan, job.store, job.predictions))
    pending += len(pending_buckets(job.plan, job.store, job.predictions, job.labels))
    if pending:
        problems.append(f"{pending} shards or buckets are pending after the end")
    digests = digests_of(job)
    problems += [f"lost: {name}" for name in sorted(world.digests.keys() - digests.keys())]
    problems += [f"invented: {name}" for name in sorted(digests.keys() - world.digests.keys())]
    problems += [f"differs: {name}" for name in sorted(world.digests) if digests.get(name) != world.digests[name]]
    problems += _doubled(job)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = verify_run(str(out), None)
    if status or said.getvalue().count("0 damaged, 0 nondeterministic, 0 of other plans") != 2:
        problems.append(f"hoiray verify: {said.getvalue()}")
    return problems


def _doubled(job: LabelJob) -> list[str]:
    """Rows that are there twice, over all shards."""
    found, rows = [], rows_of(job)
    for schema, area in ((PREDICTIONS, "predictions"), (LABELS, "labels")):
        tables = [table for name, table in rows.items() if name.startswith(area)]
        keys = Counter(tuple(row.values()) for table in tables for row in table.select(list(schema.key)).to_pylist())
        found += [f"twice in {area}: {key}" for key, count in keys.items() if count > 1]
    return found
