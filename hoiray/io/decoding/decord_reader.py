"""Decoding with decord, and when it may be trusted.

decord is wrong, or knows nothing, where: an edit list hides the start (it repeats the last frame to fill up); the
codec is AV1; colours have more than 8 bits or pictures are interlaced (other values); the picture is mirrored (it only
turns); groups of pictures are open, as HEVC's often are (other frames after a jump); the container is neither mp4/mov
nor Matroska/WebM (AVI: no times, and a truncated file kills the process). It paints over damage and tells so in libav's
log only; where packets promise more frames than there are it repeats the last one, or waits for ever without letting
go of Python's lock. So it runs in a process that can be killed, and :mod:`hoiray.io.decoding.choose` has PyAV judge
what it stumbles over.
"""

import importlib.util
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hoiray.io.decoding.container import ContainerFacts, Source
from hoiray.io.decoding.reader import SourceFrame

CONTAINERS: Final = ("mov", "matroska")
CODECS: Final = frozenset({"h264", "hevc", "vp8", "vp9"})
"""Those whose packets are looked into: where one shows no picture, decord fills up with repeats of the last."""
PIXEL_FORMATS: Final = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuv444p", "gray"})
MAX_SKIP: Final = 64
"""Frames passed over in one call, so that whoever watches sees that it goes on."""


class DecordFailedError(Exception):
    """decord could not do it. Says nothing about the video: PyAV is asked next."""


def why_not_decord(facts: ContainerFacts) -> str | None:
    """Return why decord is not to be trusted with a video; None where it is."""
    reasons = {
        "it is not installed": importlib.util.find_spec("decord") is None,
        f"the container is {facts.container}": not facts.container.startswith(CONTAINERS),
        f"the codec is {facts.codec}": facts.codec not in CODECS,
        f"the pixels are {facts.pixel_format}": facts.pixel_format not in PIXEL_FORMATS,
        "pictures are interlaced": facts.is_interlaced,
        "the picture is mirrored": facts.orientation.is_mirrored,
        "an edit list or negative time stamps hide the start": facts.has_hidden_start,
        "its groups of pictures are open": facts.has_open_groups,
        "frames are shown for different times": facts.is_variable_rate,
        "the packets do not tell the frames": facts.timeline.is_decoded,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


class DecordReader:
    """A video opened with decord."""

    name: Literal["decord"] = "decord"

    def __init__(self, source: Source, facts: ContainerFacts) -> None:
        """Open a video.

        Raises:
            DecordFailedError: decord cannot, or counts other frames than its packets tell.
        """
        import decord

        self.facts = facts
        self._errors = (RuntimeError, decord.DECORDError)
        file: Any = str(source) if isinstance(source, Path) else io.BytesIO(source)
        try:
            self._reader = decord.VideoReader(file, num_threads=1)
        except self._errors as error:
            raise DecordFailedError(str(error)) from error
        if len(self._reader) != facts.num_frames:
            raise DecordFailedError(f"{len(self._reader)} frames instead of {facts.num_frames}")

    def frames(self, source_indices: Sequence[int]) -> Iterator[SourceFrame]:
        """Decode frames; see :class:`~hoiray.io.decoding.reader.FrameReader`.

        Raises:
            DecordFailedError: instead of a DecodeError.
        """
        times_s, position = self.facts.timeline.times_s, 0
        for index in source_indices:
            try:
                if position == 0 and index > 0:
                    self._reader.seek_accurate(int(index))
                    position = int(index)
                while position < index:
                    step = min(MAX_SKIP, int(index) - position)
                    self._reader.skip_frames(step)
                    position += step
                image = self._reader.next().asnumpy()
            except (*self._errors, StopIteration) as error:
                raise DecordFailedError(str(error)) from error
            position += 1
            yield SourceFrame(int(index), float(times_s[index]), self._checked(image))

    def _checked(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if image.shape != (self.facts.height_px, self.facts.width_px, 3):
            raise DecordFailedError(f"a picture of shape {image.shape}")
        return image
