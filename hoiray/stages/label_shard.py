"""Label one shard: decode, predict, fuse, measure, commit; then judge and commit. Plain Python, one call after another.

This composition is what `hoiray label --no-ray` runs, what Ray's actors call stage by stage, and what their rows are
compared with. No exception of one video ends a shard: it becomes a dead letter. An exception that nobody foresaw is a
bug, and ends the run.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa

from hoiray.errors import InputError
from hoiray.io.decoding.failures import DecodeError
from hoiray.predictors.detector import FindsHands
from hoiray.predictors.protocol import Predictor
from hoiray.schema.conform import empty_table
from hoiray.schema.marker import CommitMarker, DeadLetter
from hoiray.schema.tables import PREDICTIONS
from hoiray.stages.commit import CommitFields, commit_shard, read_marker, read_rows
from hoiray.stages.decode import FrameBatch
from hoiray.stages.frame_source import FrameSource
from hoiray.stages.inflight import Attempt, Kills, begin_attempt, quarantined, reap
from hoiray.stages.judge import judge
from hoiray.stages.label_job import LabelJob
from hoiray.stages.ledger import (
    CPU,
    DECODE,
    FILTER,
    JUDGE,
    MEASURE,
    PREDICT,
    STORE,
    WAIT,
    Costs,
    Spending,
    model_on,
)
from hoiray.stages.measure import measure
from hoiray.stages.pending import EVERYTHING, Bucket, Portion, pending_buckets, pending_shards
from hoiray.stages.plan import ShardEntry, load_shard
from hoiray.stages.predict import HandBatches, Image
from hoiray.stages.teacher import finder_of
from hoiray.stages.wanted import WantedVideo, detected_in_frame, wanted_videos

MAX_KILLS_WITHOUT_VIDEO: Final = 10
"""A shard at which so many processes died with no video open is given up as a whole: trying on would never end."""

OnFrames = Callable[[int], None]
"""Told of frames that have been predicted, or wait for their batch."""


@dataclass(frozen=True)
class Tools:
    """What a worker keeps from shard to shard.

    Attributes:
        predictor: the teacher.
        frames: the decoders.
        batch_size: hands of one batch.
        max_attempts: kills after which a video is given up.
        device: where the predictor computes; its time is counted as that of a GPU or of a CPU.
        detector: finds the hands where nobody gives boxes; None: the predictor does.
    """

    predictor: Predictor
    frames: FrameSource
    batch_size: int
    max_attempts: int = 3
    device: str = "cpu"
    detector: FindsHands | None = None


@dataclass(frozen=True)
class Predicted:
    """A shard after its prediction.

    Attributes:
        entry: the shard.
        fused: its rows, schema FUSED; None where it had been committed before.
        num_frames: frames with hands that were predicted.
        dead_letters: its videos that were given up.
        attempt: which attempt it was.
        timings_s: seconds by stage.
        costs_s: seconds of each resource by stage.
    """

    entry: ShardEntry
    fused: pa.Table | None
    num_frames: int = 0
    dead_letters: tuple[DeadLetter, ...] = ()
    attempt: int = 1
    timings_s: dict[str, float] = field(default_factory=dict)
    costs_s: Costs = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A shard after its predictions were committed.

    Attributes:
        entry: the shard.
        marker: of its predictions.
        rows: schema predictions, as committed; None where they were there before.
        num_frames: as in :class:`Predicted`.
    """

    entry: ShardEntry
    marker: CommitMarker
    rows: pa.Table | None
    num_frames: int


@dataclass(frozen=True)
class BucketResult:
    """The little that is told of a judged bucket.

    Attributes:
        bucket_id: which.
        num_rows, num_accepted: of its labels.
        reasons: rows by reason.
        judge_s: seconds it took.
    """

    bucket_id: str
    num_rows: int
    num_accepted: int
    reasons: dict[str, int]
    judge_s: float


@dataclass(frozen=True)
class ShardResult:
    """The little that is told of a finished shard.

    Attributes:
        shard_id: which.
        cost_frames: what the planner reckoned with.
        num_videos, num_dead: its videos, and those given up.
        num_rows: hands with a prediction, or with the reason why there is none.
        num_frames: frames that were predicted now; zero where it had been done before.
        timings_s: seconds by stage.
        attempt: which attempt at it succeeded.
        judged: its bucket, where this shard made it complete.
    """

    shard_id: str
    cost_frames: int
    num_videos: int
    num_dead: int
    num_rows: int
    num_frames: int
    timings_s: dict[str, float] = field(default_factory=dict)
    attempt: int = 1
    judged: BucketResult | None = None


def label_here(
    job: LabelJob, tools: Tools, on_frames: OnFrames, portion: Portion = EVERYTHING
) -> Iterator[ShardResult | BucketResult]:
    """Label what is pending in this process, shard after shard; yield what became of each."""
    for bucket in pending_buckets(job.plan, job.store, job.predictions, job.labels):
        yield judge_stored(job, bucket)
    for entry in pending_shards(job.plan, job.store, job.predictions, portion):
        if not portion.may_begin():
            return
        yield label_shard(job, entry, tools, on_frames)


def label_shard(
    job: LabelJob, entry: ShardEntry, tools: Tools, on_frames: OnFrames = lambda _count: None
) -> ShardResult:
    """Label one shard from its videos to its committed labels."""
    predicted = predict_shard(job, entry, tools, on_frames)
    return judge_shard(job, measure_shard(job, predicted))


def predict_shard(
    job: LabelJob, entry: ShardEntry, tools: Tools, on_frames: OnFrames = lambda _count: None
) -> Predicted:
    """Decode and predict a shard's videos, unless its predictions are committed already.

    Raises:
        InputError: the plan or the run's folder cannot be reached.
        ContractError, ConfigError: the predictor breaks its contract, or does not fit the device.
    """
    if job.store.exists(job.predictions.commit_key(entry.shard_id)):
        return Predicted(entry, None)
    spending = Spending()
    with spending.timed(PREDICT, STORE):
        shard = load_shard(job.plan, entry)
        kills = reap(job.store, job.predict_id, entry.shard_id)
    finder = tools.detector or finder_of(job.run, tools.predictor)
    wanted = wanted_videos(shard, job.run.videos.hand_side, has_boxes=finder is None)
    letters = _given_up(kills, wanted, tools.max_attempts)
    lost = {letter.video_id for letter in letters}
    asked = [video for video in wanted if (finder or len(video)) and video.video_id not in lost]
    with _noted(job, entry, kills) as attempt:
        work = _Work(job, entry, tools, attempt, on_frames, finder=finder)
        fused, died = work.run(asked, is_careful=kills.num_kills > 0)
    spending.add(PREDICT, model_on(tools.device), work.timings_s["predict"])
    spending.add(PREDICT, WAIT, work.timings_s["input_wait"])
    spending.add(DECODE, CPU, work.decode_cpu_s)
    costs_s = spending.costs_s()
    return Predicted(entry, fused, work.num_frames, (*letters, *died), attempt.note.attempt, work.timings_s, costs_s)


def measure_shard(job: LabelJob, predicted: Predicted) -> Measured:
    """Measure a shard's predictions and commit them.

    Raises:
        ContractError: the rows do not fit their schema: a bug.
        InputError: the run's folder cannot be written.
    """
    entry = predicted.entry
    if predicted.fused is None:
        marker = read_marker(job.store, job.predictions, entry.shard_id)
        if marker is not None:
            return Measured(entry, marker, None, 0)
        raise InputError(f"the marker of shard {entry.shard_id} was there and is gone. Run the same command again.")
    begin = time.monotonic()
    rows = measure(predicted.fused) if predicted.fused.num_rows else empty_table(PREDICTIONS)
    measure_s = time.monotonic() - begin
    spending = Spending(predicted.costs_s)
    spending.add(MEASURE, FILTER, measure_s)
    fields = CommitFields(
        plan_id=job.plan.plan_id,
        predict_id=job.predict_id,
        judge_id=None,
        shard_id=entry.shard_id,
        num_videos=entry.num_videos,
        dead_letters=predicted.dead_letters,
        attempt=predicted.attempt,
        timings_s=predicted.timings_s | {"measure": measure_s},
        costs_s=spending.costs_s(),
    )
    commit = commit_shard(job.store, rows, fields)
    # the rows that count are judged, should another run have been first with other ones
    return Measured(entry, commit.marker, rows if commit.is_same_data else None, predicted.num_frames)


def judge_shard(job: LabelJob, measured: Measured) -> ShardResult:
    """Judge the bucket of a shard, if this shard made it complete, and commit its labels."""
    entry, result = measured.entry, report_shard(measured)
    shards = job.shards_of(entry.bucket_id)
    others = {name: read_marker(job.store, job.predictions, name) for name in shards if name != entry.shard_id}
    markers = [measured.marker if name == entry.shard_id else others[name] for name in shards]
    complete = [marker for marker in markers if marker is not None]
    if len(complete) < len(markers):
        return result
    bucket = judge_bucket(job, entry.bucket_id, complete, measured.rows if len(shards) == 1 else None)
    return replace(result, judged=bucket, timings_s=result.timings_s | {"judge": bucket.judge_s})


def report_shard(measured: Measured) -> ShardResult:
    """Tell of a shard whose predictions are committed, and which is not judged."""
    entry, marker = measured.entry, measured.marker
    return ShardResult(
        shard_id=entry.shard_id,
        cost_frames=entry.cost_frames,
        num_videos=marker.num_videos,
        num_dead=len(marker.dead_letters),
        num_rows=marker.num_rows,
        num_frames=measured.num_frames,
        timings_s=marker.timings_s,
        attempt=marker.attempt,
    )


def judge_stored(job: LabelJob, bucket: Bucket) -> BucketResult:
    """Judge a bucket whose predictions are all committed."""
    return judge_bucket(job, bucket.bucket_id, bucket_markers(job, bucket.bucket_id))


def judge_bucket(
    job: LabelJob, bucket_id: str, markers: list[CommitMarker], rows: pa.Table | None = None
) -> BucketResult:
    """Judge the predictions of a bucket and commit its labels, unless that has been done.

    Args:
        job: the labelling.
        bucket_id: which.
        markers: of the predictions of all its shards.
        rows: these predictions, where they are at hand.
    """
    done = read_marker(job.store, job.labels, bucket_id)
    if done is not None:
        return _told(done)
    begin = time.monotonic()
    read = bucket_rows(job, markers) if rows is None else rows
    read_s = time.monotonic() - begin
    labels = judge(read, job.rules, job.judge_id)
    return commit_labels(job, bucket_id, markers, labels, time.monotonic() - begin, read_s=read_s)


def bucket_markers(job: LabelJob, bucket_id: str) -> list[CommitMarker]:
    """Read the markers of the predictions of a complete bucket.

    Raises:
        InputError: one is gone.
    """
    markers = [read_marker(job.store, job.predictions, name) for name in job.shards_of(bucket_id)]
    found = [marker for marker in markers if marker is not None]
    if len(found) < len(markers):
        raise InputError(f"a marker of bucket {bucket_id} was there and is gone. Run the same command again.")
    return found


def bucket_rows(job: LabelJob, markers: list[CommitMarker]) -> pa.Table:
    """Read the predictions of a bucket."""
    return pa.concat_tables([read_rows(job.store, marker).replace_schema_metadata(None) for marker in markers])


def commit_labels(
    job: LabelJob,
    bucket_id: str,
    markers: list[CommitMarker],
    labels: pa.Table,
    judge_s: float,
    *,
    read_s: float = 0.0,
) -> BucketResult:
    """Commit the labels of a bucket, `judge_s` seconds after it was begun, `read_s` of them spent on reading."""
    letters = {letter.video_id: letter for marker in markers for letter in marker.dead_letters}
    fields = CommitFields(
        plan_id=job.plan.plan_id,
        predict_id=job.predict_id,
        judge_id=job.judge_id,
        shard_id=bucket_id,
        num_videos=1 if len(markers) > 1 else markers[0].num_videos,
        dead_letters=tuple(letters.values()),
        attempt=max(marker.attempt for marker in markers),
        timings_s={"judge": judge_s},
        costs_s={JUDGE: {FILTER: judge_s - read_s, STORE: read_s}},
    )
    return _told(commit_shard(job.store, labels, fields).marker)


def _told(marker: CommitMarker) -> BucketResult:
    judge_s = marker.timings_s.get("judge", 0.0)
    return BucketResult(marker.shard_id, marker.num_rows, marker.num_accepted or 0, marker.reasons, judge_s)


@contextmanager
def _noted(job: LabelJob, entry: ShardEntry, kills: Kills) -> Iterator[Attempt]:
    """Leave a note while a shard is worked on; it stays only if the process dies."""
    attempt = begin_attempt(job.store, job.predict_id, entry.shard_id, attempt=1 + kills.num_kills)
    try:
        yield attempt
    finally:
        attempt.close()


def _given_up(kills: Kills, wanted: list[WantedVideo], max_kills: int) -> list[DeadLetter]:
    uris = {video.video_id: video.uri for video in wanted}
    if kills.without_video < MAX_KILLS_WITHOUT_VIDEO:
        return quarantined(kills, uris, max_kills=max_kills)
    message = f"the process died {kills.without_video} times at this shard with no video open"
    return [
        DeadLetter(
            video_id=name, uri=uri, stage="predict", error_class="ProcessKilled", message=message,
            attempts=kills.num_kills,
        )
        for name, uri in uris.items()
    ]  # fmt: skip


class _Work:
    """One attempt at the videos of a shard."""

    def __init__(
        self,
        job: LabelJob,
        entry: ShardEntry,
        tools: Tools,
        attempt: Attempt,
        on_frames: OnFrames,
        *,
        finder: FindsHands | None,
    ) -> None:
        self._tools, self._attempt, self._on_frames = tools, attempt, on_frames
        self._finder, self._hand_side = finder, job.run.videos.hand_side
        self._batches = HandBatches(
            tools.predictor, job.run.ensemble, batch_size=tools.batch_size,
            shard_id=entry.shard_id, predict_id=job.predict_id, is_one_person=job.run.videos.persons == "one",
        )  # fmt: skip
        self.num_frames, self.decode_cpu_s = 0, 0.0
        self.timings_s = {"input_wait": 0.0, "predict": 0.0}

    def run(self, wanted: list[WantedVideo], *, is_careful: bool) -> tuple[pa.Table, list[DeadLetter]]:
        """Predict the videos; return the rows of those that decode, and letters for the others.

        Args:
            wanted: with hands.
            is_careful: a process died here before: note which video is open, decode nothing ahead, and predict each
                video to its end before the next one, so that the next death names its cause.
        """
        letters = []
        source = self._tools.frames
        videos = source.one_by_one(wanted) if is_careful else source.videos(wanted)
        with closing(videos) as opened:
            for video, batches in opened:
                if is_careful:
                    self._attempt.open_video(video.video_id)
                try:
                    self._predict(video, batches)
                except InputError as error:
                    self._batches.forget(video.video_id)
                    letters.append(_letter(video, error))
                if is_careful:
                    self._timed("predict", self._batches.flush)
                    self._attempt.open_video(None)
                self._attempt.heartbeat()
        self._timed("predict", self._batches.flush)
        return self._batches.table(), letters

    def _predict(self, video: WantedVideo, batches: Iterator[FrameBatch]) -> None:
        before: tuple[int, Image] | None = None
        num_frames = 0
        tracker = None if self._finder is None else self._finder.new_tracker()
        while True:
            begin = time.monotonic()
            batch = next(batches, None)
            self.timings_s["input_wait"] += time.monotonic() - begin
            if batch is None:
                break
            begin = time.monotonic()
            for index, moment, image in zip(
                batch.frame_index.tolist(), batch.time_s.tolist(), batch.frames, strict=True
            ):
                image_before = before[1] if before is not None and before[0] == index - 1 else None
                hands = video
                if tracker is not None:
                    hands = detected_in_frame(video, index, tracker.step(index, image), self._hand_side)
                self._batches.add(hands, index, moment, image, image_before)
                before = (index, image)
                self._on_frames(1)
            self.timings_s["predict"] += time.monotonic() - begin
            self.decode_cpu_s += batch.cpu_s
            num_frames += len(batch.frame_index)
            self._attempt.heartbeat()
        self.num_frames += num_frames

    def _timed(self, stage: str, call: Callable[[], None]) -> None:
        begin = time.monotonic()
        call()
        self.timings_s[stage] += time.monotonic() - begin


def _letter(video: WantedVideo, error: InputError) -> DeadLetter:
    known = error if isinstance(error, DecodeError) else None
    return DeadLetter(
        video_id=video.video_id,
        uri=video.uri,
        stage="decode",
        error_class=type(error).__name__ if known is None else known.error_class,
        message=str(error),
        attempts=1 if known is None else known.attempts,
        frame_index=None if known is None else known.frame_index,
    )
