"""Decoding on other CPUs than the predictor's: each video a task, its frames streamed back as uint8 blocks.

Frames cross the object store once, and only as far ahead as the predictor can use: a task pauses when so many of its
batches wait. Several videos are decoded at once for one predictor; their order, and so the rows, stay the same.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from hoiray.config.where import Pools
from hoiray.io.decoding.failures import DecoderCrashError
from hoiray.stages.decode import FrameBatch, VideoDecoder
from hoiray.stages.frame_source import DecodeSettings, Frames, decoded
from hoiray.stages.wanted import WantedVideo

BATCHES_WAITING: Final = 3
"""Of one video, in the object store, before its task pauses."""

_decoders: dict[DecodeSettings, VideoDecoder] = {}
"""Of this worker process, which Ray uses for many tasks: its child need not be started for each video."""


def num_ahead(pools: Pools) -> int:
    """Return how many videos are decoded at once for one predictor, so that all predictors share the pool."""
    return max(1, pools.decode.max // pools.predict.max)


class PooledFrames:
    """Decodes in tasks of the cluster."""

    def __init__(self, settings: DecodeSettings, pools: Pools) -> None:
        """Prepare.

        Args:
            settings: how videos are decoded.
            pools: what a decoder reserves, and how many there are.
        """
        import ray

        pool = pools.decode
        self._settings, self._num_ahead = settings, num_ahead(pools)
        self._task = ray.remote(decode_video).options(
            num_cpus=pool.num_cpus,
            memory=None if pool.memory_gib is None else int(pool.memory_gib * (1 << 30)),
            num_returns="streaming",
            max_retries=0,
            _generator_backpressure_num_objects=BATCHES_WAITING,
        )

    def videos(self, wanted: Sequence[WantedVideo]) -> Generator[Frames, None, None]:
        """See :class:`hoiray.stages.frame_source.FrameSource`."""
        yield from self._streamed(wanted, self._num_ahead)

    def one_by_one(self, wanted: Sequence[WantedVideo]) -> Generator[Frames, None, None]:
        """See :class:`hoiray.stages.frame_source.FrameSource`."""
        yield from self._streamed(wanted, 1)

    def close(self) -> None:
        """Nothing of its own is left: the workers end with their Ray."""

    def _streamed(self, wanted: Sequence[WantedVideo], num_ahead: int) -> Generator[Frames, None, None]:
        import ray

        waiting = deque(wanted)
        running: deque[tuple[WantedVideo, Any]] = deque()
        try:
            while waiting or running:
                while waiting and len(running) < num_ahead:
                    video = waiting.popleft()
                    running.append((video, self._task.remote(self._settings, video)))
                video, stream = running.popleft()
                yield video, self._batches(video, stream)
                ray.cancel(stream)
        finally:
            for _, stream in running:
                ray.cancel(stream)

    def _batches(self, video: WantedVideo, stream: Any) -> Iterator[FrameBatch]:  # noqa: ANN401 - a generator of Ray
        """Read a video; should its task die, decode it again from the start and pass over what was read already."""
        last = -1
        for attempt in range(1, self._settings.max_attempts + 1):
            try:
                for batch in _values(stream):
                    if batch.frame_index[-1] > last:
                        yield _after(last, batch)
                        last = int(batch.frame_index[-1])
                return
            except _WorkerLostError as error:
                if attempt == self._settings.max_attempts:
                    message = f"{video.uri}: expected a video that decodes, found {attempt} tasks that died: {error}"
                    raise DecoderCrashError(f"{message}. Leave it out, or re-encode it.", attempts=attempt) from error
            stream = self._task.remote(self._settings, video)


def _after(last: int, batch: FrameBatch) -> FrameBatch:
    """Return the frames of a batch behind a number."""
    start = int(np.searchsorted(batch.frame_index, last, side="right"))
    return replace(
        batch,
        frame_index=batch.frame_index[start:],
        time_s=batch.time_s[start:],
        source_index=batch.source_index[start:],
        frames=batch.frames[start:],
    )


class _WorkerLostError(Exception):
    """The task's process or machine is gone."""


def _values(stream: Any) -> Iterator[FrameBatch]:  # noqa: ANN401 - a generator of Ray
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        for reference in stream:
            batch: FrameBatch = ray.get(reference)
            yield batch
    except RayTaskError as error:
        raise error.cause from None
    except RayError as error:
        raise _WorkerLostError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error


def decode_video(settings: DecodeSettings, wanted: WantedVideo) -> Generator[FrameBatch, None, None]:
    """Decode one video in a worker of the pool."""
    if settings not in _decoders:
        _decoders[settings] = VideoDecoder(settings.budget, max_attempts=settings.max_attempts)
    yield from decoded(_decoders[settings], wanted, settings.sample_rate_hz)
