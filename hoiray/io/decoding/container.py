"""What a video file holds, found by reading its packets and decoding its first frame only."""

import io
from array import array
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from hoiray.errors import describe
from hoiray.io.decoding.declared_size import missing_bytes
from hoiray.io.decoding.failures import (
    COPY_AGAIN,
    MissingVideoError,
    NoVideoStreamError,
    TruncatedVideoError,
    UnsupportedVideoError,
    damaged,
    not_a_video,
)
from hoiray.io.decoding.orientation import Orientation
from hoiray.io.decoding.packets import CHECKED_CODECS, nal_length_bytes, shows_picture
from hoiray.io.decoding.timeline import MICROSECONDS, Timeline, rescale

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

Source: TypeAlias = Path | bytes
"""A file of this machine, or its content."""

READ_FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,mpegvideo,ogg,asf,gif,ivf,mxf,wtv,dv,h264,hevc,obu,"
    "mp3,aac,wav,flac"
)
"""libavformat's demuxers that are let near a file. Others make a video of a text, or open what a play list names. Those
of sound are there to tell sound from junk."""

STRICT: Final = {"err_detect": "explode"}
"""Makes libavcodec raise where it would otherwise paint over what it cannot decode."""

MAX_MISSING_FRAMES: Final = 1.5
"""Frames a file may end before the duration in its header says: containers round, and the last frame's own duration is
counted or not."""

FORMATS_WITHOUT_TIMES: Final = frozenset({"avi", "mpegvideo", "h264", "hevc", "obu", "dv"})
"""Formats whose packets carry no times of presentation."""

NUM_BYTES_SHOWN: Final = 16


@dataclass(frozen=True, eq=False)
class ContainerFacts:
    """What a video file holds.

    Attributes:
        width_px, height_px: of a picture, turned as it is to be seen.
        orientation: how decoded pictures are turned.
        codec, container: libav's names.
        pixel_format: of decoded pictures, libav's name.
        is_interlaced: the first picture is two half pictures.
        duration_s: of the video as the header says; None where it says nothing.
        claimed_num_frames: as the header says; None where it says nothing. Nothing relies on it.
        num_audio_streams: sound tracks.
        has_hidden_start: an edit list or a negative time stamp hides a part of the stream.
        has_open_groups: frames are shown before the key frame they are stored behind: they need the group before it.
        timeline: the frames that are shown.
    """

    width_px: int
    height_px: int
    orientation: Orientation
    codec: str
    container: str
    pixel_format: str
    is_interlaced: bool
    duration_s: float | None
    claimed_num_frames: int | None
    num_audio_streams: int
    has_hidden_start: bool
    has_open_groups: bool
    timeline: Timeline

    @property
    def frame_rate(self) -> Fraction | None:
        """Frames a second, exactly, as the file says or libavformat guesses; None where there is no hint."""
        return self.timeline.rate_hz

    @property
    def num_frames(self) -> int:
        """Frames that the file shows, by its packets."""
        return self.timeline.num_frames

    @property
    def is_variable_rate(self) -> bool:
        """Whether frames are shown for different times."""
        return self.timeline.is_variable_rate


def scan_container(source: Source, name: str) -> ContainerFacts:
    """Read what a file holds.

    Args:
        source: the file, or its bytes.
        name: what messages call it.

    Raises:
        DecodeError: it is missing, no video, without pictures, cut off, or its first frame is damaged; the class says
            which.
    """
    import av

    head = _head(source, name)
    is_whole = _check_size(source, name)
    try:
        with open_container(source) as container:
            scan = _read_packets(container, _video_stream(container, name), name)
            facts = _facts(container, scan, name)
    except MemoryError:  # libav's is one of its errors too, and says nothing about the file
        raise
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise not_a_video(name, f"a file that begins with {head!r} and cannot be opened ({told(error)})") from error
    if _is_doubtful(facts, scan):
        facts = replace(facts, timeline=_decoded_timeline(source, facts, name))
    if not is_whole:
        _check_end(facts, name)
    return facts


def open_container(source: Source) -> "InputContainer":
    """Open a file with PyAV; only formats of videos are tried, and nothing outside the file is opened."""
    import av

    options = {"format_whitelist": READ_FORMATS, "protocol_whitelist": "file"}
    opened: InputContainer = av.open(str(source) if isinstance(source, Path) else io.BytesIO(source), options=options)
    return opened


def strict_stream(container: "InputContainer") -> "VideoStream":
    """Return the video stream, set to decode on one thread and to raise on damage."""
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    stream.codec_context.options = STRICT
    return stream


def told(error: Exception) -> str:
    """What libav says of an error, without the path it knows the file by."""
    return str(getattr(error, "strerror", None) or error)


@dataclass
class _Scan:
    """The packets of one file."""

    pts: "array[int]" = field(default_factory=lambda: array("q"))
    dts: "array[int]" = field(default_factory=lambda: array("q"))
    durations: "array[int]" = field(default_factory=lambda: array("q"))
    is_key: "array[int]" = field(default_factory=lambda: array("b"))
    num_hidden: int = 0
    latest_key: int | None = None
    has_open_groups: bool = False
    num_doubtful: int = 0
    first: "VideoFrame | None" = None

    def add(self, packet: "Packet[VideoStream]", *, is_shown: bool) -> None:
        if packet.is_discard:  # an edit list hides it: it is decoded, never shown
            self.num_hidden += 1
        elif packet.pts is None or not is_shown:
            self.num_doubtful += 1
        else:
            self._note_group(packet)
            self.pts.append(packet.pts)
            self.dts.append(packet.pts if packet.dts is None else packet.dts)
            self.durations.append(packet.duration or 0)
            self.is_key.append(packet.is_keyframe)

    def _note_group(self, packet: "Packet[VideoStream]") -> None:
        if packet.is_keyframe:
            self.latest_key = packet.pts
        elif packet.pts is not None and self.latest_key is not None:
            self.has_open_groups |= packet.pts < self.latest_key


def _head(source: Source, name: str) -> bytes:
    try:
        head = source[:NUM_BYTES_SHOWN] if isinstance(source, bytes) else _first_bytes(source)
    except OSError as error:
        found = "nothing there" if isinstance(error, FileNotFoundError) else f"one that is refused ({error.strerror})"
        fix = "Restore it, or allow it to be read."
        raise MissingVideoError(describe(what=name, expected="a readable file", found=found, fix=fix)) from error
    if not head:
        raise not_a_video(name, "an empty file")
    return head


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(NUM_BYTES_SHOWN)


def _video_stream(container: "InputContainer", name: str) -> "VideoStream":
    # the cover picture of a song is an attached picture, not a video
    if container.streams.video and not _is_cover(container.streams.video[0]):
        return strict_stream(container)
    kinds = sorted({stream.type for stream in container.streams})
    if "audio" in kinds:
        fix = "There is nothing to see in it: leave it out."
        raise NoVideoStreamError(describe(what=name, expected="a video", found="sound only", fix=fix))
    raise not_a_video(name, f"a file of {' and '.join(kinds) or 'nothing'}")


def _is_cover(stream: "VideoStream") -> bool:
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _read_packets(container: "InputContainer", stream: "VideoStream", name: str) -> _Scan:
    scan, codec = _Scan(), stream.codec_context.codec.canonical_name
    is_checked = codec in CHECKED_CODECS
    length_bytes = nal_length_bytes(codec, stream.codec_context.extradata) if codec in ("h264", "hevc") else None
    for packet in container.demux(stream):
        if scan.first is None:
            scan.first = _first_frame(packet, name)
        if packet.size or packet.dts is not None:
            scan.add(packet, is_shown=not is_checked or shows_picture(codec, bytes(packet), length_bytes))
    return scan


def _first_frame(packet: "Packet[VideoStream]", name: str) -> "VideoFrame | None":
    import av

    try:
        frames: list[Any] = packet.decode()
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise damaged(name, 0, f"one that does not decode ({told(error)})") from error
    return frames[0] if frames else None


def _facts(container: "InputContainer", scan: _Scan, name: str) -> ContainerFacts:
    first, stream = scan.first, container.streams.video[0]
    if first is None:
        if scan.pts:
            raise damaged(name, 0, "nothing that decodes")
        raise not_a_video(name, "a video without frames")
    orientation = _orientation(first, name)
    width, height = (first.height, first.width) if orientation.is_transposed else (first.width, first.height)
    timeline = _timeline(container, stream, scan)
    return ContainerFacts(
        width_px=int(width),
        height_px=int(height),
        orientation=orientation,
        codec=stream.codec_context.codec.canonical_name,
        container=container.format.name,
        pixel_format=first.format.name,
        is_interlaced=bool(first.interlaced_frame),
        duration_s=_duration_in_header(container, stream),
        claimed_num_frames=stream.frames or None,
        num_audio_streams=len(container.streams.audio),
        has_hidden_start=scan.num_hidden > 0 or (timeline.num_frames > 0 and bool(timeline.ticks[0] < 0)),
        has_open_groups=scan.has_open_groups,
        timeline=timeline,
    )


def _orientation(first: "VideoFrame", name: str) -> Orientation:
    matrix = first.side_data.get("DISPLAYMATRIX")
    orientation = Orientation() if matrix is None else Orientation.of_matrix(bytes(matrix))
    if orientation is None:
        expected, found = "a video that is turned by quarters", f"one turned by {first.rotation} degrees or skewed"
        raise UnsupportedVideoError(describe(what=name, expected=expected, found=found, fix="Re-encode it upright."))
    return orientation


def _timeline(container: "InputContainer", stream: "VideoStream", scan: _Scan) -> Timeline:
    pts, durations = np.array(scan.pts, dtype=np.int64), np.array(scan.durations, dtype=np.int64)
    unit = Fraction(stream.time_base)
    if container.format.name.startswith("mov") and not np.array_equal(pts, np.array(scan.dts, dtype=np.int64)):
        # ffmpeg 4.2, whose numbering is ours, takes the codec's word where frames are not stored as they are shown
        codec_rate = _rate(stream.codec_context.framerate)
        durations[:] = 0 if codec_rate is None else rescale(1, 1 / codec_rate, unit)
    order = np.argsort(pts, kind="stable")
    start: int | None = container.start_time
    return Timeline(
        pts=pts[order],
        durations=durations[order],
        time_base=unit,
        start_us=start or 0,
        is_key=np.array(scan.is_key, dtype=np.bool_)[order],
        rate_hz=_rate(stream.guessed_rate),
    )


def _rate(rate: Fraction | None) -> Fraction | None:
    return Fraction(rate) if rate else None


def _is_doubtful(facts: ContainerFacts, scan: _Scan) -> bool:
    """Whether the packets may not be the frames that are shown, at their times."""
    pts = facts.timeline.pts
    if facts.container in FORMATS_WITHOUT_TIMES or scan.num_doubtful or not len(pts):
        return True
    is_first_wrong = scan.first is None or scan.first.pts != int(pts[0])
    begins_in_the_middle = not scan.num_hidden and not scan.is_key[0]
    return is_first_wrong or begins_in_the_middle or bool(np.any(np.diff(pts) == 0))


def _decoded_timeline(source: Source, facts: ContainerFacts, name: str) -> Timeline:
    """Decode every frame to learn which there are."""
    import av

    pts, durations = array("q"), array("q")
    with open_container(source) as container:
        try:
            for frame in container.decode(strict_stream(container)):
                pts.append(len(pts) if frame.pts is None else frame.pts)
                durations.append(frame.duration or 0)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            raise damaged(name, len(pts), f"one that does not decode ({told(error)})") from error
    if len(pts) == 0:
        raise not_a_video(name, "a video without frames")
    return _timed(np.array(pts, dtype=np.int64), np.array(durations, dtype=np.int64), facts, name)


def _timed(pts: "NDArray[np.int64]", durations: "NDArray[np.int64]", facts: ContainerFacts, name: str) -> Timeline:
    """Give decoded frames their times; formats without any have a constant rate."""
    old, is_key = facts.timeline, np.arange(len(pts)) == 0
    if facts.container in FORMATS_WITHOUT_TIMES and facts.frame_rate:
        counted, ones = np.arange(len(pts), dtype=np.int64), np.ones(len(pts), dtype=np.int64)
        return Timeline(counted, ones, 1 / facts.frame_rate, 0, is_key, facts.frame_rate, is_decoded=True)
    if np.any(np.diff(pts) <= 0):
        expected, found = "frames with times that grow", "times that repeat or go back"
        fix = "Re-encode it: ffmpeg -i IN -fps_mode cfr OUT.mp4"
        raise UnsupportedVideoError(describe(what=name, expected=expected, found=found, fix=fix))
    return replace(old, pts=pts, durations=durations, is_key=is_key, is_decoded=True)


def _duration_in_header(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return how long the video is by its header, seconds; None where only a sound track may last that long."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is None or len(container.streams) > 1:
        return None
    return float(container.duration) / MICROSECONDS


def _check_size(source: Source, name: str) -> bool:
    """Refuse a file that is shorter than its headers say. Returns whether they say that it is whole."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        missing = missing_bytes(file)
    if missing:
        expected, found = "as many bytes as its header says", f"{missing} bytes less"
        raise TruncatedVideoError(describe(what=name, expected=expected, found=found, fix=COPY_AGAIN))
    return missing is not None


def _check_end(facts: ContainerFacts, name: str) -> None:
    """Refuse a video that ends before its header says, where its bytes do not tell. A whole file may count wrongly."""
    if facts.duration_s is None or facts.num_frames < 2 or facts.is_variable_rate:
        return  # nothing to compare with; or a long last frame cannot be told from missing ones
    stamps_s = facts.timeline.pts * float(facts.timeline.time_base)
    step_s = float(np.median(np.diff(stamps_s)))
    last_s = max(float(stamps_s[-1] - stamps_s[0]), float(stamps_s[-1]))  # some count from zero, some from the start
    num_missing = (facts.duration_s - last_s) / step_s - 1.0
    if num_missing > MAX_MISSING_FRAMES:
        expected, found = f"{facts.duration_s:.2f} s as its header says", f"about {num_missing:.0f} frames less"
        raise TruncatedVideoError(describe(what=name, expected=expected, found=found, fix=COPY_AGAIN))
