"""Judge stored predictions on Ray: what an interrupted run left behind, or all of it by Ray's own groupby."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hoiray.config.where import ClusterConfig
from hoiray.engine.session import settle_worker
from hoiray.engine.transport import pack_result
from hoiray.schema.conform import conform
from hoiray.schema.tables import LABELS, PREDICTIONS
from hoiray.stages.judge import judge_video_group
from hoiray.stages.label_job import LabelJob
from hoiray.stages.label_shard import bucket_markers, bucket_rows, commit_labels, judge_bucket

if TYPE_CHECKING:
    from ray.data import Dataset

_BUCKET = "bucket_id"


def judge_plan(
    job: LabelJob, bucket_ids: Sequence[str], cluster: ClusterConfig, *, by_groupby: bool
) -> "Dataset | None":
    """Build the plan that judges buckets whose predictions are all committed; None where there is none.

    Args:
        job: the labelling.
        bucket_ids: which.
        cluster: pools.
        by_groupby: `groupby("video_id").map_groups(...)` over all rows at once, instead of a bucket at a time.
    """
    if not bucket_ids:
        return None
    from ray.data import range as ray_range

    from hoiray.engine.label import pool_of, resources_of

    pool = cluster.pools.judge
    # 1. Buckets: one row each, its position. 2. One call a bucket: its rows are read from the store, judged, committed.
    buckets = ray_range(len(bucket_ids), override_num_blocks=len(bucket_ids))
    compute = pool_of(pool, len(bucket_ids))
    settings: dict[str, Any] = {"batch_format": "pyarrow", "compute": compute, **resources_of(pool)}
    if not by_groupby:
        return buckets.map_batches(JudgeStored, fn_constructor_args=(job, list(bucket_ids)), batch_size=1, **settings)
    # 2'. Every row of every bucket. 3'. All rows of a video meet, in any order, and are judged. 4'. All labels of a
    #     bucket meet and are committed. Ray holds every row before it hands out the first group.
    rows = buckets.map_batches(ReadStored, fn_constructor_args=(job, list(bucket_ids)), batch_size=1, **settings)
    partitions = pool.max
    labels = rows.groupby("video_id", num_partitions=partitions).map_groups(
        judge_group, fn_kwargs={"job": job}, batch_format="pyarrow", num_cpus=pool.num_cpus
    )
    return labels.groupby(_BUCKET, num_partitions=partitions).map_groups(
        commit_group, fn_kwargs={"job": job}, batch_format="pyarrow", num_cpus=pool.num_cpus
    )


class JudgeStored:
    """Judges stored buckets."""

    def __init__(self, job: LabelJob, bucket_ids: list[str]) -> None:
        """Remember them."""
        self._job, self._bucket_ids = job, bucket_ids
        settle_worker()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Judge the buckets at these positions."""
        names = [self._bucket_ids[position] for position in batch["id"].to_pylist()]
        job = self._job
        return pa.concat_tables([pack_result(judge_bucket(job, name, bucket_markers(job, name))) for name in names])


class ReadStored:
    """Reads the predictions of stored buckets."""

    def __init__(self, job: LabelJob, bucket_ids: list[str]) -> None:
        """Remember them."""
        self._job, self._bucket_ids = job, bucket_ids
        settle_worker()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Yield the rows of the buckets at these positions."""
        for position in batch["id"].to_pylist():
            name = self._bucket_ids[position]
            rows = bucket_rows(self._job, bucket_markers(self._job, name))
            yield rows.append_column(_BUCKET, pa.repeat(pa.scalar(name), rows.num_rows))


def judge_group(group: pa.Table, job: LabelJob) -> pa.Table:
    """Judge the rows of one video."""
    bucket = group[_BUCKET]
    rows = conform(group.drop_columns([_BUCKET]).replace_schema_metadata(None), PREDICTIONS)
    labels = judge_video_group(rows, job.rules, job.judge_id).replace_schema_metadata(None)
    return labels.append_column(_BUCKET, bucket)


def commit_group(group: pa.Table, job: LabelJob) -> pa.Table:
    """Commit the labels of one bucket."""
    begin = time.monotonic()
    name = str(group[_BUCKET][0].as_py())
    labels = conform(group.drop_columns([_BUCKET]).replace_schema_metadata(None), LABELS)
    return pack_result(commit_labels(job, name, bucket_markers(job, name), labels, time.monotonic() - begin))
