"""A small run without videos: a plan, rows for its shards, and commits of them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from valid_tables import replaced, table_of

from hoiray.config.what import Sharding, Videos
from hoiray.io.store import Store
from hoiray.schema.marker import DeadLetter
from hoiray.schema.tables import LABELS, PREDICTIONS
from hoiray.stages.commit import Commit, CommitFields, commit_shard
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.listing import Found, FoundVideo
from hoiray.stages.pending import pending_shards
from hoiray.stages.plan import Plan, ShardEntry, load_shard
from hoiray.stages.run_layout import predictions_area

PREDICT_ID, JUDGE_ID = "p" * 32, "j" * 32
SMALL = Sharding(target_frames=100, max_video_frames=400)


def video(name: str, *, num_frames: int = 25, etag: str = "e0", size_bytes: int | None = None) -> FoundVideo:
    """A video whose length by its size is `num_frames`."""
    return FoundVideo(name, f"s3://bucket/{name}", size_bytes or num_frames * 1000, etag, None)


def videos(count: int, **facts: Any) -> list[FoundVideo]:
    return [video(f"v{index:04d}.mp4", **facts) for index in range(count)]


def plan_of(
    store: Store, found: Iterable[Found], *, sharding: Sharding = SMALL, update: bool = False, **request: Any
) -> Plan:
    """Plan videos that nobody has to store: 1000 bytes are reckoned as a frame."""
    asked = Videos(uri="s3://bucket", **request)
    return make_plan(
        IndexRequest(asked, sharding, probe="none", bytes_per_frame=1000.0), store, update=update, listing=iter(found)
    )


def rows_of(plan: Plan, entry: ShardEntry, *, seed: int = 0, judged: bool = False) -> pa.Table:
    """Two rows a video, valid and the same every time; another seed gives other numbers."""
    names = [name for name in load_shard(plan, entry).segments["video_id"].to_pylist() for _ in range(2)]
    table = table_of(LABELS if judged else PREDICTIONS, len(names))
    table = replaced(table, "video_id", pa.array(names))
    table = replaced(table, "frame_index", pa.array(np.arange(len(names)) % 2, pa.int32()))
    table = replaced(table, "hand_index", pa.array(np.zeros(len(names)), pa.int16()))
    if seed:
        table = replaced(table, "betas", pc_scaled(table["betas"], seed))
    return table


def pc_scaled(column: pa.ChunkedArray, factor: int) -> pa.Array:
    values = column.combine_chunks()
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.flatten().to_numpy() * np.float32(1 + factor)), type=values.type
    )


def fields_of(plan: Plan, entry: ShardEntry, *, judged: bool = False, **changes: Any) -> CommitFields:
    values: dict[str, Any] = {
        "plan_id": plan.plan_id,
        "predict_id": PREDICT_ID,
        "judge_id": JUDGE_ID if judged else None,
        "shard_id": entry.bucket_id if judged else entry.shard_id,
        "num_videos": entry.num_videos,
    }
    return CommitFields(**values | changes)


def commit(
    store: Store, plan: Plan, entry: ShardEntry, *, seed: int = 0, judged: bool = False, **changes: Any
) -> Commit:
    return commit_shard(
        store, rows_of(plan, entry, seed=seed, judged=judged), fields_of(plan, entry, judged=judged, **changes)
    )


def commit_pending(store: Store, plan: Plan) -> int:
    """What a job does: commit all that is pending; return how many those were."""
    pending = pending_shards(plan, store, predictions_area(PREDICT_ID))
    for entry in pending:
        commit(store, plan, entry)
    return len(pending)


def letter(name: str) -> DeadLetter:
    return DeadLetter(
        video_id=name,
        uri=f"s3://bucket/{name}",
        stage="decode",
        error_class="InputError",
        message="cut off",
        attempts=1,
    )
