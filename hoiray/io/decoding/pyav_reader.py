"""Decoding with PyAV: the judge of what a file holds, and the decoder of all that decord gets wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import describe
from hoiray.io.decoding.container import ContainerFacts, Source, open_container, strict_stream, told
from hoiray.io.decoding.failures import UnsupportedVideoError, damaged
from hoiray.io.decoding.reader import SourceFrame

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter


@dataclass(frozen=True)
class PyavReader:
    """A video opened with PyAV.

    Attributes:
        source: the file, or its bytes.
        video: what messages call it.
        facts: what it holds.
    """

    source: Source
    video: str
    facts: ContainerFacts

    @property
    def name(self) -> Literal["pyav"]:
        """`pyav`."""
        return "pyav"

    def frames(self, source_indices: Sequence[int]) -> Iterator[SourceFrame]:
        """Decode frames; see :class:`~hoiray.io.decoding.reader.FrameReader`."""
        if not len(source_indices):
            return
        from av.video.reformatter import VideoReformatter

        reformatter, times_s = VideoReformatter(), self.facts.timeline.times_s
        wanted = iter(source_indices)
        next_wanted = next(wanted)
        for index, frame in self._decoded(int(next_wanted)):
            if index < next_wanted:
                continue
            yield SourceFrame(index, float(times_s[index]), self._image(reformatter, frame, index))
            following = next(wanted, None)
            if following is None:
                return
            next_wanted = following

    def _decoded(self, first: int) -> "Iterator[tuple[int, VideoFrame]]":
        """Yield every frame from a key frame at or before `first`, with its index."""
        key = 0 if self.facts.timeline.is_decoded else self.facts.timeline.key_before(first)
        if key > 0:
            frames = self._decoded_from(key)
            begun = next(frames, None)
            if begun is not None and begun[0] <= first:
                yield begun
                yield from frames
                return
        yield from self._decoded_from(0)

    def _decoded_from(self, key: int) -> "Iterator[tuple[int, VideoFrame]]":
        import av

        timeline, expected, has_begun = self.facts.timeline, key, key == 0
        with open_container(self.source) as container:
            stream = strict_stream(container)
            if key > 0:
                container.seek(int(timeline.pts[key]), stream=stream)
            try:
                for frame in container.decode(stream):
                    index = expected if timeline.is_decoded else self._index_of(frame, expected)
                    if not has_begun and index < key:
                        continue  # shown before the key frame, decoded after it: it lacks what it refers to
                    if index != expected and has_begun:
                        raise damaged(self.video, expected, f"a packet that gives no frame; the next is {index}")
                    if frame.is_corrupt:
                        raise damaged(self.video, index, "one that its decoder calls corrupt")
                    has_begun, expected = True, index + 1
                    yield index, frame
            except MemoryError:  # libav's is both; it says nothing about the video
                raise
            except av.FFmpegError as error:
                raise damaged(self.video, expected, f"one that does not decode ({told(error)})") from error

    def _index_of(self, frame: "VideoFrame", expected: int) -> int:
        pts = self.facts.timeline.pts
        index = int(np.searchsorted(pts, frame.pts)) if frame.pts is not None else len(pts)
        if index >= len(pts) or pts[index] != frame.pts:
            raise damaged(self.video, expected, f"a frame at time stamp {frame.pts}, which no packet has")
        return index

    def _image(self, reformatter: "VideoReformatter", frame: "VideoFrame", index: int) -> NDArray[np.uint8]:
        orientation = self.facts.orientation
        width, height = (frame.height, frame.width) if orientation.is_transposed else (frame.width, frame.height)
        if (width, height) != (self.facts.width_px, self.facts.height_px):
            expected, found = (
                f"pictures of {self.facts.width_px} x {self.facts.height_px} px as at its start",
                f"{width} x {height} px at frame {index}",
            )
            fix = "Re-encode it to one size, or cut it into files of one size each."
            raise UnsupportedVideoError(describe(what=self.video, expected=expected, found=found, fix=fix))
        image = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return orientation.upright(np.asarray(image, dtype=np.uint8))
