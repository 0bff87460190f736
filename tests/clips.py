"""Video files made on the fly, whose pictures tell their own number."""

import io
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

NUM_BITS = 10
SIZE_WH = (96, 64)
BITEXACT = {"fflags": "+bitexact"}
OPTIONS = {
    # what looks ahead makes files that differ from run to run
    "libx264": {"g": "12", "bf": "2", "b_strategy": "0", "mbtree": "0", "rc-lookahead": "0"},
    "libx265": {"x265-params": "log-level=none"},
    "libsvtav1": {"preset": "12"},
    "libvpx-vp9": {"cpu-used": "8"},
}


def picture(index: int, size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    """(H, W, 3): the upper half holds the number in bits, the lower half tells left from right and up from down."""
    width, height = size_wh
    ys, xs = np.mgrid[0:height, 0:width]
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = xs * 255 // width, ys * 255 // height, index * 37 % 256
    step = width // NUM_BITS
    for bit in range(NUM_BITS):
        image[: height // 2, bit * step : (bit + 1) * step] = 235 if index >> bit & 1 else 20
    return image


def number_in(image: np.ndarray) -> int:
    """Read the number back."""
    height, width = image.shape[:2]
    step, rows = width // NUM_BITS, image[height // 8 : 3 * height // 8]
    levels = [rows[:, bit * step + step // 4 : bit * step + 3 * step // 4].mean() for bit in range(NUM_BITS)]
    return sum(int(level > 128) << bit for bit, level in enumerate(levels))


def clip(
    places: Iterable[int] = range(24),
    *,
    codec: str = "libx264",
    container: str = "mp4",
    rate: Fraction | int = 12,
    unit: Fraction | None = None,
    size_wh: tuple[int, int] = SIZE_WH,
    pixels: str = "yuv420p",
    audio_s: float = 0.0,
    options: dict[str, str] | None = None,
    has_index_first: bool = False,
) -> bytes:
    """Encode pictures 0, 1, ... shown at `places` times `unit` (one frame of `rate` where not given)."""
    unit = unit or 1 / Fraction(rate)
    chosen = OPTIONS.get(codec, {})
    flags = BITEXACT | ({"movflags": "faststart"} if has_index_first else {})
    # the index can only be moved in a real file
    with tempfile.NamedTemporaryFile() as file, av.open(file.name, "w", format=container, options=flags) as output:
        stream: Any = output.add_stream(codec, rate=Fraction(rate), options=chosen | (options or {}))
        stream.width, stream.height, stream.pix_fmt = *size_wh, pixels
        stream.codec_context.time_base, stream.codec_context.thread_count = unit, 1
        sound: Any = output.add_stream("aac", rate=8000) if audio_s else None
        for index, place in enumerate(places):
            frame = av.VideoFrame.from_ndarray(picture(index, size_wh), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = int(place), unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if sound is not None:
            output.mux(sound.encode(_silence(audio_s)))
            output.mux(sound.encode())
        output.close()
        return Path(file.name).read_bytes()


def sound_only(container: str = "mp4") -> bytes:
    """A second of silence."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        sound: Any = output.add_stream("aac", rate=8000)
        output.mux(sound.encode(_silence(1.0)))
        output.mux(sound.encode())
    return file.getvalue()


def cut_at(data: bytes, start_s: float) -> bytes:
    """Cut the start off without encoding anew, inside a group of pictures: an edit list hides what is before."""
    target = io.BytesIO()
    with av.open(io.BytesIO(data)) as read, av.open(target, "w", format="mp4") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.dts is not None:
                shift = int(start_s / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                written.mux(packet)
    return target.getvalue()


def turned(data: bytes, matrix: Sequence[float]) -> bytes:
    """Write a display matrix (a, b, c, d) into the track header of an mp4 file."""
    a, b, c, d = (int(value * 65536) for value in matrix)
    body = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], dtype=">i4").tobytes()
    start = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    return data[:start] + body + data[start + len(body) :]


def packets(data: bytes) -> list[tuple[int, int]]:
    """Where each packet's bytes lie in an mp4 or AVI file: (start, size)."""
    with av.open(io.BytesIO(data)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(container.streams.video[0]) if packet.size]


def overwritten(data: bytes, index: int, content: bytes, start: int = 0) -> bytes:
    """Write over a packet, repeating `content` up to its end."""
    begin, size = packets(data)[index]
    filled = (content * (size // len(content) + 1))[: size - start]
    return data[: begin + start] + filled + data[begin + size :]


def _silence(duration_s: float) -> av.AudioFrame:
    silence = av.AudioFrame.from_ndarray(
        np.zeros((1, int(8000 * duration_s)), dtype=np.float32), format="fltp", layout="mono"
    )
    silence.sample_rate = 8000
    return silence
