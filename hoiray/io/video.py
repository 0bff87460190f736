"""Video files: what the decoders of this machine can really read."""

import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoiray.errors import InputError, describe

PROBE_NUM_FRAMES = 12
PROBE_SIZE_PX = (64, 96)
MAX_LEVEL_ERROR = 24.0
"""Mean grey-level error allowed after a lossy codec; a frame that is one off differs by about 60 here."""

ENCODERS = {"h264": ("libx264", "mp4"), "vp9": ("libvpx-vp9", "webm")}
"""Codecs of the data sets hoiray meets (mp4 uploads; Something-Something's webm), with encoder and container."""


@dataclass(frozen=True)
class CodecProbe:
    """Whether one decoder returned the frames that were encoded, in order."""

    codec: str
    decoder: str
    ok: bool
    detail: str


def probe_codecs(folder: Path) -> list[CodecProbe]:
    """Encode a short clip per codec into `folder` and decode it with every installed decoder.

    Each frame's brightness tells its index, so a dropped, doubled or swapped frame is seen.
    """
    probes = []
    for codec, (encoder, container) in ENCODERS.items():
        path = folder / f"probe-{codec}.{container}"
        try:
            _write_probe_clip(path, encoder)
        except Exception as error:  # noqa: BLE001 - any failure of a native encoder is the finding
            probes.append(CodecProbe(codec, "encoder", ok=False, detail=f"{encoder} cannot encode: {error}"))
            continue
        probes += [_probe_decoder(codec, name, decode, path) for name, decode in _decoders().items()]
    return probes


@dataclass(frozen=True)
class ContainerFacts:
    """What the head of a video file says of itself; it may be wrong.

    Attributes:
        num_frames: counted by the container, or its duration times its rate; None where it says neither.
        frame_rate_hz: mean rate; None where it says none.
        width_px, height_px: as encoded, before any rotation.
    """

    num_frames: int | None
    frame_rate_hz: float | None
    width_px: int
    height_px: int


def container_facts(source: io.RawIOBase, *, name: str) -> ContainerFacts:
    """Read the head of a video file; only a few blocks of a large one are read.

    Args:
        source: the file, seekable.
        name: what messages call it.

    Raises:
        InputError: it is no video file.
    """
    import av

    try:
        with av.open(source) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate) if stream.average_rate else None
            if stream.duration is not None and stream.time_base is not None:
                duration_s: float | None = float(stream.duration * stream.time_base)
            else:
                duration_s = None if container.duration is None else container.duration / av.time_base
            guess = None if rate is None or duration_s is None else round(duration_s * rate)
            num_frames = stream.frames or guess
            return ContainerFacts(num_frames or None, rate, stream.codec_context.width, stream.codec_context.height)
    except (av.FFmpegError, IndexError, ValueError, OverflowError) as error:
        found, fix = f"{type(error).__name__}: {error}", "The file is truncated, damaged or no video."
        raise InputError(describe(what=name, expected="a video file", found=found, fix=fix)) from error


def _decoders() -> dict[str, Callable[[Path], np.ndarray]]:
    decoders: dict[str, Callable[[Path], np.ndarray]] = {"pyav": _decode_with_pyav}
    if importlib.util.find_spec("decord") is not None:
        decoders["decord"] = _decode_with_decord
    return decoders


def _probe_levels() -> np.ndarray:
    """(T,) grey level of each probe frame: neighbours differ by 60 or more, so one frame's shift shows."""
    return np.array([20 + (index * 97) % 211 for index in range(PROBE_NUM_FRAMES)], dtype=np.float64)


def _write_probe_clip(path: Path, encoder: str) -> None:
    import av

    height, width = PROBE_SIZE_PX
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoder, rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for level in _probe_levels():
            image = np.full((height, width, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _decode_with_pyav(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _decode_with_decord(path: Path) -> np.ndarray:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    # one after another: a jump (`reader[index]` is one) has been seen to wait for ever
    return np.stack([reader.next().asnumpy() for _ in range(len(reader))])


def _probe_decoder(codec: str, name: str, decode: Callable[[Path], np.ndarray], path: Path) -> CodecProbe:
    try:
        frames = decode(path)
    except Exception as error:  # noqa: BLE001 - decord and PyAV raise many classes; any of them is the finding
        return CodecProbe(codec, name, ok=False, detail=f"cannot decode: {type(error).__name__}: {error}")
    levels = _probe_levels()
    if len(frames) != len(levels):
        return CodecProbe(codec, name, ok=False, detail=f"{len(frames)} frames instead of {len(levels)}")
    worst = float(np.abs(frames.reshape(len(frames), -1).mean(axis=1) - levels).max())
    if worst > MAX_LEVEL_ERROR:
        return CodecProbe(
            codec, name, ok=False, detail=f"frames differ by {worst:.0f} grey levels: wrong order or colours"
        )
    return CodecProbe(codec, name, ok=True, detail=f"{len(frames)} frames in order")
