"""Video files of an export: written to disk frame by frame, so that a long video is never in memory.

Every second frame is a key frame, as a training reads frames at random.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from hoiray.export.pictures import Image

CODEC: Final = "libx264"
PIXEL_FORMAT: Final = "yuv420p"
OPTIONS: Final = {"crf": "20", "preset": "veryfast", "g": "2", "sc_threshold": "0"}


class VideoFile:
    """An H.264 file of constant rate. One thread, no clock: the same frames give the same bytes."""

    def __init__(self, path: Path, *, fps: Fraction, size_wh: tuple[int, int]) -> None:
        """Begin a file; both sides of `size_wh` are even."""
        import av
        from av.codec.context import Flags as CodecFlags
        from av.container.core import Flags as ContainerFlags

        self._container = av.open(str(path), "w", format="mp4")
        self._container.flags |= ContainerFlags.bitexact.value
        self._stream: Any = self._container.add_stream(CODEC, rate=fps, options=OPTIONS)
        self._stream.width, self._stream.height = size_wh
        self._stream.pix_fmt = PIXEL_FORMAT
        context = self._stream.codec_context
        context.flags = int(context.flags) | int(CodecFlags.bitexact.value)
        context.thread_count = 1
        self._time_base = 1 / fps
        self.num_frames = 0

    def add(self, image: Image) -> None:
        """Append a frame (H, W, 3) RGB."""
        import av

        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = self.num_frames, self._time_base
        self._container.mux(self._stream.encode(frame))
        self.num_frames += 1

    def close(self) -> None:
        """Write what is left."""
        if self.num_frames:
            self._container.mux(self._stream.encode())
        self._container.close()
