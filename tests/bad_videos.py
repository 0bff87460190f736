"""A corpus of odd and bad video files, each with what is to become of it."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from clips import clip, cut_at, overwritten, packets, sound_only, turned


@dataclass(frozen=True)
class OddVideo:
    """A file, and what is to become of it.

    Attributes:
        key: its name.
        content: makes its bytes; always the same.
        num_frames: frames it gives; None where it is dead.
        numbers: which pictures they show; None: 0 up to `num_frames`.
        error_class: why it is dead; None where it is not.
        frame_index: the frame it dies at, where that is told.
        turn: applied to a decoded picture, shows it as it was encoded.
    """

    key: str
    content: Callable[[], bytes]
    num_frames: int | None = None
    numbers: tuple[int, ...] | None = None
    error_class: str | None = None
    frame_index: int | None = None
    turn: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def shown(self) -> list[int]:
        """Numbers of the pictures it gives."""
        return list(range(self.num_frames or 0)) if self.numbers is None else list(self.numbers)


@cache
def plain() -> bytes:
    """24 frames of H.264 with B-frames, key frames at 0 and 12."""
    return clip()


@cache
def plain_webm() -> bytes:
    """24 frames of VP9."""
    return clip(codec="libvpx-vp9", container="webm")


@cache
def moov_first() -> bytes:
    """An mp4 with its index before its data."""
    return clip(has_index_first=True)


@cache
def motion_jpeg() -> bytes:
    """24 frames of Motion JPEG in AVI."""
    return clip(codec="mjpeg", container="avi", pixels="yuvj420p")


def shortened(data: bytes, share: float = 0.6) -> bytes:
    """The first part of a file."""
    return data[: int(len(data) * share)]


def riff_counts_more(data: bytes) -> bytes:
    """An AVI whose headers count ten frames that are not there."""
    for tag, offset in ((b"avih", 24), (b"strh", 40)):
        at = data.index(tag) + offset
        count = struct.unpack_from("<I", data, at)[0]
        data = data[:at] + struct.pack("<I", count + 10) + data[at + 4 :]
    return data


def filler_at_the_end() -> bytes:
    """An HEVC file whose last two packets hold filler instead of pictures: its index counts two frames too many."""
    data = clip(codec="libx265", options={"x265-params": "log-level=none:bframes=0"})
    for index in (22, 23):
        size = packets(data)[index][1]
        data = overwritten(data, index, struct.pack(">I", size - 4) + b"\x4c\x01" + b"\xff" * (size - 7) + b"\x80")
    return data


def dead(key: str, content: Callable[[], bytes], error_class: str, frame_index: int | None = None) -> OddVideo:
    """A file of which nothing becomes rows."""
    return OddVideo(key, content, error_class=error_class, frame_index=frame_index)


ODD: tuple[OddVideo, ...] = (
    OddVideo("plain.mp4", plain, 24),
    OddVideo("plain.webm", plain_webm, 24),
    OddVideo("name is wrong.webm", plain, 24),
    OddVideo("no suffix", plain, 24),
    OddVideo('it\'s "quoted" & ümläut 手.mp4', plain, 24),
    OddVideo("percent %04d.mp4", plain, 24),
    OddVideo("one frame.mp4", lambda: clip(range(1)), 1),
    OddVideo("av1.mp4", lambda: clip(codec="libsvtav1"), 24),
    OddVideo("hevc.mp4", lambda: clip(codec="libx265"), 24),
    OddVideo(
        "vp8 with hidden frames.webm",
        lambda: clip(codec="libvpx", container="webm", options={"auto-alt-ref": "1", "lag-in-frames": "16"}),
        24,
    ),
    OddVideo(
        "vp9 with hidden frames.webm",
        lambda: clip(codec="libvpx-vp9", container="webm", options={"auto-alt-ref": "1", "lag-in-frames": "16"}),
        24,
    ),
    OddVideo("ten bits.mp4", lambda: clip(pixels="yuv420p10le"), 24),
    OddVideo("full chroma.mp4", lambda: clip(pixels="yuv444p"), 24),
    OddVideo("interlaced.mp4", lambda: clip(options={"x264-params": "interlaced=1"}), 24),
    OddVideo("odd sides.mkv", lambda: clip(container="matroska", pixels="yuv444p", size_wh=(95, 63)), 24),
    OddVideo("mjpeg.avi", motion_jpeg, 24),
    OddVideo("b frames.avi", lambda: clip(container="avi"), 24),
    OddVideo("stream.ts", lambda: clip(container="mpegts"), 24),
    OddVideo("flash.flv", lambda: clip(container="flv"), 24),
    OddVideo(
        "picture.gif",
        lambda: clip(codec="gif", container="gif", pixels="rgb8", unit=Fraction(1, 100), places=range(0, 192, 8)),
        24,
    ),
    OddVideo("long sound.mp4", lambda: clip(range(6), audio_s=3.0), 6),
    OddVideo(
        "late start.mkv",
        lambda: clip([500 + 1000 * i // 12 for i in range(24)], container="matroska", unit=Fraction(1, 1000)),
        24,
    ),
    OddVideo(
        "variable.mp4",
        lambda: clip([0, 40, 100, 300, 340, 900, 1000, 1100, 1101, 1500], unit=Fraction(1, 1000), rate=30),
        10,
    ),
    OddVideo("cut start.mp4", lambda: cut_at(clip(options={"g": "24"}), 1.0), 12, tuple(range(12, 24))),
    OddVideo("turned right.mp4", lambda: turned(plain(), (0, 1, -1, 0)), 24, turn=lambda image: np.rot90(image, 1)),
    OddVideo("upside down.mp4", lambda: turned(plain(), (-1, 0, 0, -1)), 24, turn=lambda image: np.rot90(image, 2)),
    OddVideo("turned left.mp4", lambda: turned(plain(), (0, -1, 1, 0)), 24, turn=lambda image: np.rot90(image, 3)),
    OddVideo("mirrored.mp4", lambda: turned(plain(), (-1, 0, 0, 1)), 24, turn=lambda image: image[:, ::-1]),
    OddVideo("4k.mp4", lambda: clip(range(2), size_wh=(3840, 2160), options={"preset": "ultrafast", "crf": "40"}), 2),
    OddVideo("counts ten more.avi", lambda: riff_counts_more(motion_jpeg()), 24),
    OddVideo("counts two more.mp4", filler_at_the_end, 22),
    dead("empty.mp4", lambda: b"", "UnreadableVideoError"),
    dead("text.mp4", lambda: b"Lorem ipsum dolor sit amet. " * 40, "UnreadableVideoError"),
    dead("playlist.mp4", lambda: b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "UnreadableVideoError"),
    dead("noise.webm", lambda: np.random.default_rng(0).bytes(4096), "UnreadableVideoError"),
    dead(
        "picture.mp4",
        lambda: clip(range(1), codec="png", container="image2pipe", pixels="rgb24"),
        "UnreadableVideoError",
    ),
    dead("sound.mp4", sound_only, "NoVideoStreamError"),
    dead("askew.mp4", lambda: turned(plain(), (0.7, 0.7, -0.7, 0.7)), "UnsupportedVideoError"),
    dead("index cut off.mp4", lambda: shortened(plain()), "TruncatedVideoError"),
    dead("data cut off.mp4", lambda: shortened(moov_first()), "TruncatedVideoError"),
    dead("cut off.webm", lambda: shortened(plain_webm()), "TruncatedVideoError"),
    dead("cut off.mkv", lambda: shortened(clip(container="matroska")), "TruncatedVideoError"),
    dead("cut off.avi", lambda: shortened(motion_jpeg()), "TruncatedVideoError"),
    dead(
        "noise in the middle.mp4",
        lambda: overwritten(plain(), 12, np.random.default_rng(3).bytes(97), 20),
        "DamagedVideoError",
    ),
    dead("zeros in the middle.mp4", lambda: overwritten(plain(), 15, b"\0"), "DamagedVideoError"),
    dead("zeros at the start.mp4", lambda: overwritten(plain(), 0, b"\0"), "DamagedVideoError"),
    dead(
        "noise in the middle.avi",
        lambda: overwritten(motion_jpeg(), 15, np.random.default_rng(0).bytes(97), 700),
        "DamagedVideoError",
    ),
)
"""Files that end as frames, then files that end as dead letters."""
