"""The actors of the label plan: each loads what it needs once, and calls one stage a shard."""

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from hoiray.config.where import ClusterConfig
from hoiray.engine.session import settle_worker
from hoiray.engine.tally import Teller
from hoiray.engine.transport import (
    pack_measured,
    pack_predicted,
    pack_result,
    packed_together,
    unpack_measured,
    unpack_predicted,
)
from hoiray.predictors.protocol import Predictor
from hoiray.stages.decode_process import DecodeBudget
from hoiray.stages.frame_source import BringsFrames, DecodeSettings, FrameSource, LocalFrames
from hoiray.stages.label_job import LabelJob
from hoiray.stages.label_shard import Tools, judge_shard, measure_shard, predict_shard, report_shard
from hoiray.stages.plan import ShardEntry
from hoiray.stages.teacher import device_of, open_detector, open_teacher


@dataclass(frozen=True)
class WorkerSettings:
    """What the predictors need beside the job.

    Attributes:
        cluster: pools and retries.
        device: where the teacher computes.
        tally: handle of the actor that counts frames.
        asks: it is asked before each shard whether another one may be begun.
    """

    cluster: ClusterConfig
    device: str
    tally: Any
    asks: bool = False


def decode_settings(job: LabelJob, cluster: ClusterConfig) -> DecodeSettings:
    """Return how a predictor decodes: as many videos at once as it has CPUs to spare, one at least."""
    pools = cluster.pools
    return DecodeSettings(
        sample_rate_hz=job.run.videos.sample_rate_hz,
        budget=DecodeBudget.of(pools.decode),
        max_attempts=cluster.retries.max_attempts_per_video,
        num_decoders=max(1, int(pools.predict.num_cpus)),
    )


def frame_source_here(job: LabelJob, cluster: ClusterConfig, predictor: Predictor) -> FrameSource:
    """Return where frames come from without Ray: one child of this process, or the predictor itself."""
    if isinstance(predictor, BringsFrames):
        return predictor.frame_source()
    return LocalFrames(replace(decode_settings(job, cluster), num_decoders=1))


def frame_source(job: LabelJob, cluster: ClusterConfig, predictor: Predictor) -> FrameSource:
    """Return where a predictor's frames come from: its own children, the pool of decoders, or itself."""
    if isinstance(predictor, BringsFrames):
        return predictor.frame_source()
    settings = decode_settings(job, cluster)
    if cluster.pools.decode.where == "predictor":
        return LocalFrames(settings)
    from hoiray.engine.decode_pool import PooledFrames

    return PooledFrames(settings, cluster.pools)


class Predict:
    """Decodes and predicts shards."""

    def __init__(self, job: LabelJob, pending: Any, settings: WorkerSettings) -> None:  # noqa: ANN401 - see below
        """Load the teacher; the decoders start with the first video.

        Args:
            job: the labelling.
            pending: Ray's reference to the table of pending shards, or the table itself.
            settings: of this pool.
        """
        import ray

        self._job = job
        # seen where it lies in the object store, not copied
        self._pending: pa.Table = ray.get(pending) if isinstance(pending, ray.ObjectRef) else pending
        retries, batch_size = settings.cluster.retries, settings.cluster.pools.predict.batch_size
        predictor = open_teacher(job.run, device=settings.device, batch_size=batch_size)
        frames = frame_source(job, settings.cluster, predictor)
        device = device_of(predictor, settings.device)
        detector = open_detector(job.run, device=settings.device)
        self._tools = Tools(predictor, frames, batch_size, retries.max_attempts_per_video, device, detector)
        self._teller, self._asks = Teller(settings.tally), settings.asks
        settle_worker()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Predict the shards of these positions in the table of pending ones; none where none may be begun any more."""
        packed = []
        for position in batch["id"].to_pylist():
            if self._asks and not self._teller.may_begin():
                continue
            entry = ShardEntry(**self._pending.slice(position, 1).to_pylist()[0])
            self._teller.tell()
            packed.append(pack_predicted(predict_shard(self._job, entry, self._tools, self._teller)))
            self._teller.tell()
        return packed_together(packed)


class Measure:
    """Measures predictions and commits them."""

    def __init__(self, job: LabelJob) -> None:
        """Remember the job."""
        self._job = job
        settle_worker()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Measure the shards of a batch."""
        return packed_together([pack_measured(measure_shard(self._job, it)) for it in unpack_predicted(batch)])


class Judge:
    """Judges buckets that are complete and commits their labels."""

    def __init__(self, job: LabelJob) -> None:
        """Remember the job."""
        self._job = job
        settle_worker()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Judge the shards of a batch."""
        return packed_together([pack_result(judge_shard(self._job, it)) for it in unpack_measured(batch)])


class Report:
    """Tells of shards that are judged later."""

    def __init__(self, job: LabelJob) -> None:  # noqa: ARG002 - made as the others are
        """Remember nothing."""
        settle_worker()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Tell of the shards of a batch."""
        return packed_together([pack_result(report_shard(it)) for it in unpack_measured(batch)])
