"""Decode: one video in, batches of its frames out, or the reason why not.

A video ends in one of two ways: the iteration over its batches ends, or it raises. A video that raises is dead as a
whole, however many batches came before: what a decoder finds wrong later puts in doubt what it showed earlier, and half
a video would look like a video with a gap. Frames are those of the file, each once, in order; nothing is filled up.

Decoding happens in a long-lived child process, replaced after failures and from time to time. Where decord hangs, dies
or takes too much there, the video is tried again with PyAV, from the first frame that is still missing.
"""

import contextlib
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import describe
from hoiray.io.decoding.choose import Decoder
from hoiray.io.decoding.failures import (
    FAILURES,
    DecodeError,
    DecodeMemoryError,
    DecoderCrashError,
    DecodeTimeoutError,
)
from hoiray.io.store import Store
from hoiray.stages.decode_channel import Message
from hoiray.stages.decode_child import DecodeRequest
from hoiray.stages.decode_process import (
    DecodeBudget,
    DecodeProcess,
    ProcessDiedError,
    ProcessFailedError,
    ProcessLargeError,
    ProcessSlowError,
)
from hoiray.stages.frame_selection import FrameSelection
from hoiray.stages.local_copy import LatestCopy, LocalFile
from hoiray.stages.pixel_ring import PixelRing

VIDEOS_PER_PROCESS: Final = 200
"""Videos after which the child is replaced: decoders leak (decord: 14 MiB in 500 videos). Starting one takes as long as
decoding some ten clips."""

MAX_BATCH_FRAMES: Final = 16
MAX_BATCH_BYTES: Final = 16 << 20
"""Pixels of one batch; up to four exist at once: one that is filled, two that wait, one that is used. Below the 32 MiB
at which malloc gives memory back to the system each time, so that every page of the next batch would be a fault."""


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Some frames of one video. The arrays are the receiver's own.

    Attributes:
        video_id: the video.
        frame_index: (N,) int32 numbers at the sampled rate, growing.
        source_index: (N,) int32 frames of the file; equal to the one before where a frame is shown again.
        time_s: (N,) float64 when each is shown, from the file's start.
        frames: (N, H, W, 3) uint8 RGB, upright.
        cpu_s: processor time that decoding them took.
    """

    video_id: str
    frame_index: NDArray[np.int32]
    source_index: NDArray[np.int32]
    time_s: NDArray[np.float64]
    frames: NDArray[np.uint8]
    cpu_s: float = 0.0


@dataclass(frozen=True)
class VideoFacts:
    """What a video's file holds.

    Attributes:
        width_px, height_px: of a frame, upright.
        rotation_deg: clockwise turn that was applied, as the file asks for.
        is_mirrored: it was mirrored too.
        codec, container: libav's names.
        frame_rate: frames a second as the file says or libavformat guesses; None where there is no hint.
        duration_s: as the header says; None where it does not.
        num_source_frames: frames of the file.
        num_frames: numbers at the sampled rate.
        is_variable_rate: frames are shown for different times.
        has_hidden_start: an edit list or a negative time stamp hides a part.
        num_audio_streams: sound tracks.
    """

    width_px: int
    height_px: int
    rotation_deg: int
    is_mirrored: bool
    codec: str
    container: str
    frame_rate: Fraction | None
    duration_s: float | None
    num_source_frames: int
    num_frames: int
    is_variable_rate: bool
    has_hidden_start: bool
    num_audio_streams: int


class VideoDecoder:
    """A decoder with its process. Not for several threads at once: make one for each."""

    def __init__(
        self,
        budget: DecodeBudget | None = None,
        *,
        max_attempts: int = 3,
        videos_per_process: int = VIDEOS_PER_PROCESS,
        spool: Path | None = None,
    ) -> None:
        """Make a decoder; its process starts with the first video.

        Args:
            budget: what a video may cost.
            max_attempts: tries of a video whose decoding kills the process.
            videos_per_process: videos after which the process is replaced.
            spool: folder for copies of remote videos; None for the system's.
        """
        self._budget, self._max_attempts = budget or DecodeBudget(), max_attempts
        self._videos_per_process, self._copy = videos_per_process, LatestCopy(spool)
        self._process: DecodeProcess | None = None
        self._num_videos = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process, and let go of the copy of the latest video; the next video starts another."""
        self._copy.drop()
        self._end_process()

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._process, self._num_videos = None, 0

    @property
    def pid(self) -> int | None:
        """The process that decodes; None while there is none."""
        return None if self._process is None else self._process.pid

    @contextmanager
    def open(
        self,
        store: Store,
        key: str,
        *,
        video_id: str,
        etag: str | None = None,
        selection: FrameSelection | None = None,
        decoder: Decoder = "auto",
        max_batch_frames: int = MAX_BATCH_FRAMES,
    ) -> "Iterator[OpenVideo]":
        """Open a video.

        Args:
            store: where it is.
            key: its name there.
            video_id: its name in the plan.
            etag: the version that was planned; None for any.
            selection: the frames wanted; None for all.
            decoder: `auto`: decord where it is right, PyAV otherwise.
            max_batch_frames: frames of a batch; fewer where they are large.

        Raises:
            DecodeError: it cannot be decoded, here or while its batches are read.
            InputError: the place it lies at cannot be read.
        """
        with self._copy.file(store, key, etag=etag) as file:
            request = DecodeRequest(
                path=file.path,
                name=store.url(key),
                selection=selection or FrameSelection(),
                decoder=decoder,
                num_done=0,
                max_batch_frames=max_batch_frames,
                max_batch_bytes=MAX_BATCH_BYTES,
            )
            with contextlib.closing(self._decode(request, file, video_id)) as results:
                facts = next(results)
                if not isinstance(facts, _Opened):
                    raise TypeError(f"the decoder's process began with {type(facts).__name__}")
                yield OpenVideo(video_id, facts.facts, facts.decoder, facts.why_not_decord, facts.num_wanted, results)

    def _decode(
        self, request: DecodeRequest, file: LocalFile, video_id: str
    ) -> "Generator[_Opened | FrameBatch, None, None]":
        """Yield what the file holds, then batches, over as many attempts as it takes."""
        attempt = _Attempt(self._budget, request, video_id)
        while True:
            process = self._ready_process()
            is_fit = False
            try:
                yield from attempt.run(process, file)
                is_fit = True
                return
            except ProcessFailedError as failure:
                attempt.plan_another(failure, self._max_attempts)
            except DecodeError:
                is_fit = not attempt.has_begun  # it only looked at the file: nothing can be left of it
                raise
            except GeneratorExit:
                is_fit = process.release()
                raise
            finally:
                if not is_fit:
                    self._end_process()

    def _ready_process(self) -> DecodeProcess:
        if self._num_videos >= self._videos_per_process:
            self._end_process()
        if self._process is None:
            self._process = DecodeProcess(self._budget.max_bytes)
        self._num_videos += 1
        return self._process


@dataclass(frozen=True)
class OpenVideo:
    """An opened video: iterate over it once for its batches.

    Attributes:
        video_id: its name in the plan.
        facts: what the file holds.
        decoder: the decoder it was begun with.
        why_not_decord: why that is not decord; None where it is, or might have been.
        num_wanted: frames that will come, unless the file ends before it says.
    """

    video_id: str
    facts: VideoFacts
    decoder: str
    why_not_decord: str | None
    num_wanted: int
    _results: "Generator[_Opened | FrameBatch, None, None]"

    def __iter__(self) -> Iterator[FrameBatch]:
        """Yield the batches.

        Raises:
            DecodeError: the video is dead; frames that came before it do not count.
        """
        return (result for result in self._results if isinstance(result, FrameBatch))


@dataclass(frozen=True)
class _Opened:
    """The child has looked at the file."""

    facts: VideoFacts
    decoder: str
    why_not_decord: str | None
    num_wanted: int


class _Attempt:
    """How far decoding one video has come, and what it has cost, over all attempts."""

    def __init__(self, budget: DecodeBudget, request: DecodeRequest, video_id: str) -> None:
        self._budget, self._request, self._video_id = budget, request, video_id
        self._left_s, self._number, self._opened = budget.max_video_s, 1, None  # type: float, int, _Opened | None
        self._num_done, self._decoder = 0, request.decoder
        self._running: str | None = None

    @property
    def has_begun(self) -> bool:
        """Whether this attempt has come to decoding."""
        return self._running is not None

    def run(self, process: DecodeProcess, file: LocalFile) -> "Generator[_Opened | FrameBatch, None, None]":
        """Decode on from where the last attempt ended."""
        self._running = None
        process.send(self._asked().to_message(), file.descriptor)
        while True:
            message = self._receive(process)
            if message["is"] == "facts":
                opened = _opened(message)
                self._running = opened.decoder
                if self._opened is None:
                    self._opened = opened
                    yield opened
            elif message["is"] == "frames":
                batch = _batch(self._video_id, message, process.ring)
                process.send({"do": "more"})
                self._num_done += len(batch.frame_index)
                yield batch
            elif message["is"] == "error":
                failure = FAILURES[message["class"]]
                raise failure(message["message"], message["frame_index"], self._number)
            else:
                return

    def plan_another(self, failure: ProcessFailedError, max_attempts: int) -> None:
        """Decide how to go on after the process has failed.

        Raises:
            DecodeError: there is nothing left to try.
        """
        was_decord, is_over_time = self._running == "decord", self._left_s <= 0.0
        can_repeat = isinstance(failure, ProcessDiedError) and self._number < max_attempts
        if is_over_time or not (was_decord or can_repeat):
            raise self._dead(failure) from failure
        self._number += 1
        if was_decord:
            self._decoder = "pyav"

    def _asked(self) -> DecodeRequest:
        return replace(self._request, num_done=self._num_done, decoder=self._decoder)

    def _receive(self, process: DecodeProcess) -> Message:
        limit_s = min(self._left_s, self._budget.max_stall_s) if self._running == "decord" else self._left_s
        began = time.monotonic()
        try:
            return process.receive(limit_s)
        finally:
            self._left_s -= time.monotonic() - began

    def _dead(self, failure: ProcessFailedError) -> DecodeError:
        name, budget, attempts = self._request.name, self._budget, self._number
        if isinstance(failure, ProcessSlowError):
            expected = f"decoding within {budget.max_video_s:.3g} s"
            found = f"no end after {budget.max_video_s - self._left_s:.3g} s"
            message = describe(what=name, expected=expected, found=found, fix=_RAISE.format("max_video_s"))
            return DecodeTimeoutError(message, attempts=attempts)
        if isinstance(failure, ProcessLargeError):
            expected = f"decoding in {budget.max_bytes / 2**20:.0f} MiB"
            message = describe(what=name, expected=expected, found=failure.found, fix=_RAISE.format("max_video_gib"))
            return DecodeMemoryError(message, attempts=attempts)
        fix = "Leave it out, or re-encode it."
        message = describe(what=name, expected="a video that decodes", found=failure.found, fix=fix)
        return DecoderCrashError(message, attempts=attempts, ended_by=failure.signal_name)


_RAISE: Final = "Raise pools.decode.{0}, or leave it out."


def _opened(message: Message) -> _Opened:
    facts = dict(message["facts"])
    rate = facts.pop("frame_rate")
    known = VideoFacts(frame_rate=None if rate is None else Fraction(*rate), **facts)
    return _Opened(known, message["decoder"], message["why_not_decord"], message["num_wanted"])


def _batch(video_id: str, message: Message, ring: PixelRing) -> FrameBatch:
    """Copy a batch out of its slot, so that the slot is free and the batch its receiver's own."""
    numbers = np.array(message["frame_index"], dtype=np.int32)
    return FrameBatch(
        video_id=video_id,
        frame_index=numbers,
        source_index=np.array(message["source_index"], dtype=np.int32),
        time_s=np.array(message["time_s"], dtype=np.float64),
        frames=ring.slot(message["turn"], tuple(message["shape"]))[: len(numbers)].copy(),
        cpu_s=message["cpu_s"],
    )
