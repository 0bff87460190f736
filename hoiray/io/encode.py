"""Files as bytes: the same content gives the same bytes, whenever and by whichever process it is encoded.

Clocks and random numbers hide in file formats: a zip archive holds times, a Matroska file a random identity and the
name of the library's version, a multi-threaded encoder the luck of its threads. None of them is let in here. Equal
bytes hold for equal versions of the libraries; another version of an encoder may compress otherwise.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe

JPEG_QUALITY: Final = 95
"""OpenCV's own default; edges of 0/255 masks ring by less than 30 levels at it."""

PNG_COMPRESSION: Final = 1
"""Of 0 to 9. With one filter for all rows and, in colour, runs instead of matches, a rendered 640 x 480 frame takes a
third of the time of level 3 and is 6 % smaller: noise has no matches to look for."""

ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The first moment a zip archive can name."""

_NEW_NUMPY: Final = b"cnumpy._core.multiarray\n"
_OLD_NUMPY: Final = b"cnumpy.core.multiarray\n"

# --- still images -----------------------------------------------------------------------------------------------------


def encode_png(image: npt.NDArray[Any]) -> bytes:
    """Encode RGB (H, W, 3) uint8 or levels (H, W) uint8 or uint16.

    Raises:
        ContractError: another shape or type.
    """
    import cv2

    is_colour = image.ndim == 3 and image.shape[2] == 3
    strategy = cv2.IMWRITE_PNG_STRATEGY_RLE if is_colour else cv2.IMWRITE_PNG_STRATEGY_DEFAULT
    filters = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB, cv2.IMWRITE_PNG_STRATEGY, strategy]
    return _encode_still(image, ".png", [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION, *filters])


def encode_jpeg(image: npt.NDArray[np.uint8], *, quality: int = JPEG_QUALITY) -> bytes:
    """Encode RGB (H, W, 3) or levels (H, W) uint8; `quality` from 1 to 100.

    Raises:
        ContractError: another shape or type.
    """
    import cv2

    return _encode_still(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode_still(image: npt.NDArray[Any], suffix: str, parameters: list[int]) -> bytes:
    import cv2

    is_colour = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    is_level = image.ndim == 2 and (image.dtype == np.uint8 or (image.dtype == np.uint16 and suffix == ".png"))
    if not (is_colour or is_level):
        found = f"{image.dtype} of shape {image.shape}"
        expected = "uint8 RGB (H, W, 3) or levels (H, W)"
        raise ContractError(describe(what=f"image for {suffix}", expected=expected, found=found, fix="Convert it."))
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if is_colour else image
    ok, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels), parameters)
    if not ok:
        raise ContractError(
            describe(what=f"image for {suffix}", expected="bytes", found="a refusal", fix="Look at it.")
        )
    return encoded.tobytes()


# --- data -------------------------------------------------------------------------------------------------------------


def encode_json(value: object, *, indent: int | None = None) -> bytes:
    """Encode plain data: ASCII, sorted keys, a line feed at the end.

    Raises:
        ContractError: it holds NaN or infinity, which JSON does not have.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        text = json.dumps(value, sort_keys=True, separators=separators, indent=indent, allow_nan=False)
    except ValueError as error:
        fix = "Absence is a null or a missing entry."
        raise ContractError(describe(what="JSON", expected="finite numbers", found=str(error), fix=fix)) from error
    return text.encode("ascii") + b"\n"


def encode_pickle(entries: Mapping[str, object]) -> bytes:
    """Encode a dictionary as Python 2 would have: protocol 2, read back with `encoding="latin1"`.

    Arrays are written under the name NumPy had before version 2 (`numpy.core`), which every version reads; new NumPy
    writes a name that the versions of the toolkits' time do not know.
    """
    # copies: an array's memory order, and whether two entries are one object, must not show in the bytes
    plain = {key: value.copy(order="C") if isinstance(value, np.ndarray) else value for key, value in entries.items()}
    return pickle.dumps(plain, protocol=2).replace(_NEW_NUMPY, _OLD_NUMPY)


def encode_npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Encode arrays as a compressed NumPy archive without times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            body = io.BytesIO()
            np.lib.format.write_array(body, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(entry, body.getvalue())
    return buffer.getvalue()


def encode_obj(vertices: npt.NDArray[np.floating[Any]], faces: npt.NDArray[np.integer[Any]]) -> bytes:
    """Encode a mesh (V, 3) metres, (F, 3) as a Wavefront OBJ file, to a tenth of a micrometre."""
    lines = [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in vertices.tolist()]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces.tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def encode_ply(vertices: npt.NDArray[np.floating[Any]], faces: npt.NDArray[np.integer[Any]]) -> bytes:
    """Encode a mesh (V, 3) metres, (F, 3) as an ASCII PLY file, to a tenth of a micrometre."""
    header = [
        "ply", "format ascii 1.0", f"element vertex {len(vertices)}", "property float x", "property float y",
        "property float z", f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header",
    ]  # fmt: skip
    rows = [f"{x:.7f} {y:.7f} {z:.7f}" for x, y, z in vertices.tolist()]
    rows += [f"3 {a} {b} {c}" for a, b, c in faces.tolist()]
    return ("\n".join(header + rows) + "\n").encode("ascii")


def encode_points(points: npt.NDArray[np.floating[Any]]) -> bytes:
    """Encode points (P, 3) metres as lines `x y z`, as `points.xyz` has them."""
    return "".join(f"{x:.7f} {y:.7f} {z:.7f}\n" for x, y, z in points.tolist()).encode("ascii")


# --- masks ------------------------------------------------------------------------------------------------------------


def encode_rle(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Encode a mask (H, W) as COCO's uncompressed run lengths: column by column, beginning with a run of False."""
    flat = np.ravel(mask, order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], changes, [flat.size]])
    runs = np.diff(starts)
    return (runs if not flat[0] else np.concatenate([[0], runs])).astype(np.int32)


def decode_rle(runs: Sequence[int] | npt.NDArray[np.integer[Any]], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Undo :func:`encode_rle` for a mask of (height, width).

    Raises:
        ContractError: the runs do not add up to the mask's pixels.
    """
    lengths = np.asarray(runs, dtype=np.int64)
    if lengths.sum() != size[0] * size[1]:
        found, expected = f"{lengths.sum()} pixels", f"{size[0]} x {size[1]} pixels"
        raise ContractError(describe(what="run lengths", expected=expected, found=found, fix="Check the image's size."))
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size, order="F")


# --- video ------------------------------------------------------------------------------------------------------------


PIXEL_FORMAT: Final = "yuv420p"
"""Colour at half resolution, as all video on the web has it."""


@dataclass(frozen=True)
class VideoCodec:
    """How frames become a file.

    Attributes:
        encoder: FFmpeg's name.
        container: FFmpeg's name of the file format.
        options: of the encoder.
        odd_pixel_format: for frames with an odd side; H.264 cannot have those with colour at half resolution.
    """

    encoder: str
    container: str
    options: Mapping[str, str]
    odd_pixel_format: str = PIXEL_FORMAT


VP9_WEBM: Final = VideoCodec(
    "libvpx-vp9", "webm", MappingProxyType({"crf": "33", "b": "0", "deadline": "good", "cpu-used": "5"})
)
H264_MP4: Final = VideoCodec("libx264", "mp4", MappingProxyType({"crf": "23", "preset": "veryfast"}), "yuv444p")
H264_MKV: Final = VideoCodec("libx264", "matroska", H264_MP4.options, "yuv444p")
MPEG4_AVI: Final = VideoCodec("mpeg4", "avi", MappingProxyType({"qmin": "5", "qmax": "5"}))

H264_SEEKABLE_MP4: Final = VideoCodec(
    "libx264", "mp4", MappingProxyType({"crf": "20", "preset": "veryfast", "g": "2", "sc_threshold": "0"}), "yuv444p"
)
"""Every second frame is a key frame, for a training that reads frames at random."""

VIDEO_CODECS: Final[Mapping[str, VideoCodec]] = MappingProxyType(
    {"mp4": H264_MP4, "webm": VP9_WEBM, "mkv": H264_MKV, "avi": MPEG4_AVI}
)
"""By the suffix of the file."""

QUANTISER_RANGES: Final[Mapping[str, tuple[tuple[str, ...], float, float]]] = MappingProxyType(
    {
        "libvpx-vp9": (("crf",), 10.0, 60.0),
        "libx264": (("crf",), 16.0, 42.0),
        "mpeg4": (("qmin", "qmax"), 3.0, 24.0),
    }
)
"""Per encoder the options that set its quantiser, which is kept constant, at the best and the worst quality."""


def at_quality(codec: VideoCodec, quality: float) -> VideoCodec:
    """Return the codec at a quality from 1 to 100, on the scale of JPEG; linear in the encoder's own scale."""
    options, best, worst = QUANTISER_RANGES[codec.encoder]
    level = worst + (best - worst) * float(np.clip(quality, 0.0, 100.0)) / 100.0
    return replace(codec, options=MappingProxyType({**codec.options, **dict.fromkeys(options, f"{level:.0f}")}))


def steady_options(encoder: str) -> dict[str, str]:
    """Return options without which an encoder writes other bytes now and then.

    The AVX-512 code of x264 (core 165, on an AMD EPYC) made of equal frames other bytes in up to 7 % of the files while
    other processes ran beside it; its AVX2 code writes what AVX-512 should, always.
    """
    return {"x264-params": "asm=AVX2"} if encoder == "libx264" and _has_avx512() else {}


@cache
def _has_avx512() -> bool:
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


class VideoEncoder:
    """Take frames one by one, return the file. One thread, no clock, no random identity.

    Attributes:
        num_frames: taken so far.
    """

    def __init__(
        self, codec: VideoCodec, *, fps: float | Fraction, size_wh: tuple[int, int], path: Path | None = None
    ) -> None:
        """Begin a file.

        Args:
            codec: how.
            fps: constant rate.
            size_wh: width and height of every frame, px.
            path: where it is written as frames come, so that a long video is never in memory; None: into memory.
        """
        import av
        from av.codec.context import Flags as CodecFlags
        from av.container.core import Flags as ContainerFlags

        self._size_wh, self.num_frames = size_wh, 0
        self._buffer = io.BytesIO()
        self._container = av.open(self._buffer if path is None else str(path), "w", format=codec.container)
        self._container.flags |= ContainerFlags.bitexact.value
        rate = Fraction(fps).limit_denominator(1001)
        self._time_base = 1 / rate
        options = {**codec.options, **steady_options(codec.encoder)}
        self._stream: Any = self._container.add_stream(codec.encoder, rate=rate, options=options)
        self._stream.width, self._stream.height = size_wh
        is_odd = bool(size_wh[0] % 2 or size_wh[1] % 2)
        self._stream.pix_fmt = codec.odd_pixel_format if is_odd else PIXEL_FORMAT
        context = self._stream.codec_context
        context.flags = int(context.flags) | int(CodecFlags.bitexact.value)
        context.thread_count = 1

    def add(self, image: npt.NDArray[np.uint8]) -> None:
        """Append a frame (H, W, 3) RGB.

        Raises:
            ContractError: it has another size.
        """
        import av

        width, height = self._size_wh
        if image.shape != (height, width, 3):
            expected = f"(H, W, 3) = ({height}, {width}, 3)"
            what = f"frame {self.num_frames}"
            raise ContractError(describe(what=what, expected=expected, found=str(image.shape), fix="Keep one size."))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = self.num_frames
        frame.time_base = self._time_base
        self._container.mux(self._stream.encode(frame))
        self.num_frames += 1

    def finish(self) -> bytes:
        """Close the file, and return it; nothing where it was written to a path."""
        if self.num_frames:
            self._container.mux(self._stream.encode())
        self._container.close()
        return self._buffer.getvalue()


def encode_video(
    frames: Iterator[npt.NDArray[np.uint8]], codec: VideoCodec, *, fps: float, size_wh: tuple[int, int]
) -> bytes:
    """Encode frames (H, W, 3) RGB; see :class:`VideoEncoder`."""
    encoder = VideoEncoder(codec, fps=fps, size_wh=size_wh)
    for frame in frames:
        encoder.add(frame)
    return encoder.finish()
