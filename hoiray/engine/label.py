"""Label on Ray: the plan, and the driver that watches over it.

Ray runs an idempotent function over pending shards; what is done exactly once is the commit of a shard
(:mod:`hoiray.stages.commit`). So actors may die and calls may be repeated as often as Ray likes.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from hoiray.config.where import ClusterConfig, Pool
from hoiray.engine.driver_memory import forget_executions
from hoiray.engine.session import quiet_ray_data
from hoiray.engine.tally import open_tally
from hoiray.engine.transport import unpack_result
from hoiray.engine.watchdog import Stream
from hoiray.engine.workers import Judge, Measure, Predict, Report, WorkerSettings
from hoiray.stages.label_job import LabelJob
from hoiray.stages.label_shard import BucketResult, ShardResult, judge_stored
from hoiray.stages.pending import EVERYTHING, Portion, pending_buckets, pending_table

if TYPE_CHECKING:
    from ray.data import ActorPoolStrategy, Dataset

GIB: Final = 1 << 30

SHARDS_A_LEG: Final = 256
"""Shards of one execution of the plan, for each predictor there may be.

Until an execution ends, Ray Data keeps for every shard a read to do (4.3 KB) on the driver, and would keep statistics
of four blocks (3.8 KB), which the watchdog has it forget. So a long run is several executions, one after the other:
what they keep follows the size of the cluster, not the number of videos. Between two of them actors start anew and the
last shards are waited for: about one shard's time and a start in the time of 256 shards."""


@dataclass(frozen=True)
class Tick:
    """Time has passed.

    Attributes:
        num_frames: that the workers have predicted so far.
        has_begun: a worker has begun with a shard; until then they start.
    """

    num_frames: int
    has_begun: bool = True


def label_plan(job: LabelJob, pending: pa.Table, settings: WorkerSettings, *, judges: bool) -> "Dataset":
    """Build the whole plan: shards in, one small row for every finished shard out.

    Args:
        job: the labelling.
        pending: shards to do, in their order; columns of ``shard_index``.
        settings: of the workers.
        judges: judge each shard in the same stream; False leaves it to :func:`hoiray.engine.judge.judge_plan`.
    """
    import ray
    from ray.data import range as ray_range

    pools = settings.cluster.pools

    # 1. Shards. One row, one block a shard: its position in the queue, 8 bytes. The queue itself (about 120 bytes a
    #    shard) lies in the object store once a node. CPU of a read: a moment.
    shards = ray_range(pending.num_rows, override_num_blocks=pending.num_rows)

    # 2. Decode, predict, fuse. One shard in, one row out: its fused predictions, about 1 KB a hand. The only stage
    #    that sees pixels, and they stay in it: its decoders are child processes of the actor (decode.where: predictor),
    #    hence CPUs beside the GPU, or tasks that stream frames to it (pool). An actor loads the weights once. Two calls
    #    in flight: the next shard waits at the actor when one ends; more would only be lost with it.
    predicted = shards.map_batches(
        Predict,
        fn_constructor_args=(job, ray.put(pending), settings),
        batch_size=1,
        batch_format="pyarrow",
        compute=pool_of(pools.predict, pending.num_rows),
        **resources_of(pools.predict),
    )

    # 3. Measure what one frame tells, and commit predictions. One row in, one out. Numbers only: a CPU, no GPU, so that
    #    a GPU never waits for a disk or a bucket.
    measured = predicted.map_batches(
        Measure,
        fn_constructor_args=(job,),
        batch_size=1,
        batch_format="pyarrow",
        compute=pool_of(pools.measure, pending.num_rows),
        **resources_of(pools.measure),
    )

    # 4. Group by video, track, measure motion and shape, judge, and commit labels. A shard holds whole videos, so no
    #    barrier is needed, and labels appear while later shards are predicted; a long video is judged by whichever of
    #    its segments is committed last. One row in, one small row out: counts.
    return measured.map_batches(
        Judge if judges else Report,
        fn_constructor_args=(job,),
        batch_size=1,
        batch_format="pyarrow",
        compute=pool_of(pools.judge, pending.num_rows),
        **resources_of(pools.judge),
    )


def pool_of(pool: Pool, num_inputs: int) -> "ActorPoolStrategy":
    """Return a pool of the cluster file as Ray Data takes it.

    Args:
        pool: of the cluster file.
        num_inputs: rows it will be given: no more actors than that are started, for they would have nothing to do. It
            may grow beyond: a pool that may hold one actor only hangs when that dies.
    """
    from ray.data import ActorPoolStrategy

    most = max(num_inputs, 1)
    return ActorPoolStrategy(
        min_size=min(pool.min, most),
        max_size=pool.max,
        initial_size=min(pool.start, most),
        max_tasks_in_flight_per_actor=pool.max_tasks_in_flight,
        max_concurrent_calls_per_actor=pool.max_concurrent_calls,
    )


def resources_of(pool: Pool) -> dict[str, float | int]:
    """Return what one actor of a pool reserves."""
    found: dict[str, float | int] = {"num_cpus": pool.num_cpus, "num_gpus": pool.num_gpus}
    if pool.memory_gib is not None:
        found["memory"] = int(pool.memory_gib * GIB)
    return {name: amount for name, amount in found.items() if amount or name == "num_cpus"}


def label_on_ray(
    job: LabelJob, cluster: ClusterConfig, *, device: str, by_groupby: bool, portion: Portion = EVERYTHING
) -> Generator[ShardResult | BucketResult | Tick, None, None]:
    """Label what is pending on the connected Ray; yield what became of each shard as it ends, in any order.

    Args:
        job: the labelling.
        cluster: pools that fit the Ray that is connected, and retries.
        device: where the teacher computes.
        by_groupby: judge at the end, by Ray's own `groupby`, instead of in the stream. The labels are the same.
        portion: of what is pending.

    Raises:
        HoirayError: what a stage raised on purpose.
        InputError: nothing moved for `retries.no_progress_s`.
    """
    from hoiray.engine.judge import judge_plan

    quiet_ray_data()
    watch = _Watch(cluster, portion)
    if not by_groupby:
        yield from watch.results(judge_plan(job, _unjudged(job), cluster, by_groupby=False))
    settings = WorkerSettings(cluster, device, watch.tally, asks=portion.ask is not None)
    for leg in legs(pending_table(job.plan, job.store, job.predictions, portion), cluster.pools.predict.max):
        if not portion.may_begin():
            return
        yield from watch.results(label_plan(job, leg, settings, judges=not by_groupby))
        forget_executions()
    if by_groupby:
        yield from watch.results(judge_plan(job, _unjudged(job), cluster, by_groupby=True))
        # a bucket without rows is no group
        for bucket in pending_buckets(job.plan, job.store, job.predictions, job.labels):
            yield judge_stored(job, bucket)


def legs(pending: pa.Table, num_predictors: int) -> Iterator[pa.Table]:
    """Cut what is to be done into executions of equal length, each of at most `SHARDS_A_LEG` for every predictor."""
    count = math.ceil(pending.num_rows / (SHARDS_A_LEG * num_predictors))
    for index in range(count):
        start, end = (pending.num_rows * it // count for it in (index, index + 1))
        # a copy: a slice would carry the whole table to the workers
        yield pending.take(pa.array(range(start, end)))


def _unjudged(job: LabelJob) -> list[str]:
    return [it.bucket_id for it in pending_buckets(job.plan, job.store, job.predictions, job.labels)]


class _Watch:
    """Executes plans under the watchdog."""

    def __init__(self, cluster: ClusterConfig, portion: Portion) -> None:
        self.tally: Any = open_tally()
        self._portion = portion
        self._no_progress_s = cluster.retries.no_progress_s
        self._num_frames, self._has_begun = 0, False

    def num_frames(self) -> int:
        """Return the frames counted so far; as many as last time where the tally does not answer."""
        import ray
        from ray.exceptions import RayError

        with suppress(RayError):  # after a restart it counts from zero: what was known stays
            count, has_begun = ray.get(self.tally.state.remote(), timeout=5.0)
            self._num_frames, self._has_begun = max(self._num_frames, count), self._has_begun or has_begun
        return self._num_frames

    def results(self, dataset: "Dataset | None") -> Generator[ShardResult | BucketResult | Tick, None, None]:
        if dataset is None:
            return
        stream = Stream(dataset, no_progress_s=self._no_progress_s, num_frames=self.num_frames)
        with closing(stream.rows()) as rows:
            for row in rows:
                if not self._portion.may_begin():
                    self.tally.stop.remote()  # again and again: after a restart it would not know
                yield Tick(self._num_frames, self._has_begun) if row is None else unpack_result(row)
