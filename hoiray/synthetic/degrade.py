# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""What a camera does to light: exposure, white balance, a lens out of focus, noise, a tone curve, compression.

Light comes in linear; bytes go out in sRGB. Everything follows from the recording's seed (`draw_flaws`) and, for the
noise, from recording, camera and frame, so that frames can be made in any order on any number of workers.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe
from hoiray.synthetic.distance import compiled
from hoiray.synthetic.domains import Knobs, Range
from hoiray.synthetic.scene import Appearance

FloatArray = NDArray[np.float64]

MID_GREY = 0.18
"""Linear reflectance that looks half as bright as white."""

_BYTE_SLOPE_AT_MID_GREY = 1.194
"""d(sRGB)/d(linear) at mid grey: noise is stated in sRGB, and made in linear light."""

_SHOT_SHARE = 0.7
"""Of the variance at mid grey: photons; the rest is read noise, which does not know the signal."""

_GAIN_EXPONENT = 0.5
"""A camera makes up for half of the missing light (in stops); the rest stays dark."""

_SHOULDER = 0.55
"""Linear light above this is pressed together, so that windows and highlights do not clip to flat white."""

_TONE_STEPS = 1 << 15
_TONE_MAX = 4.0
_NOISE_SIZE = 1 << 20
_NOISE_SEED = 314159
_SQRT_HALF = 0.7071067811865476
_MIN_DEFOCUS_PX = 0.15
"""A Gaussian narrower than this changes no byte by more than one."""


@dataclass(frozen=True)
class CameraFlaws:
    """The state of the camera during one recording.

    Attributes:
        exposure: factor on the light that reaches the sensor; 1 is right.
        white_balance: factor on red, green, blue beside what automatic white balance does.
        defocus_px: standard deviation of the blur.
        sensor_noise: standard deviation at mid grey and right exposure, of an sRGB range of 1.
        shutter_share: exposure time over frame time.
        compression_quality: 1 to 100; applied by whoever writes the frames, see `compress`.
    """

    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    defocus_px: float = 0.0
    sensor_noise: float = 0.0
    shutter_share: float = 0.0
    compression_quality: float = 95.0


def draw_flaws(knobs: Knobs, appearance: Appearance) -> CameraFlaws:
    """Draw the camera of a recording from the ranges of its domain; a pure function of both arguments."""
    rng = np.random.default_rng((appearance.seed, zlib.crc32(b"camera")))

    def draw(limits: Range) -> float:
        return float(rng.uniform(*limits))

    warm = float(rng.normal(0.0, 0.05))
    tint = float(rng.normal(0.0, 0.02))
    return CameraFlaws(
        exposure=appearance.exposure,
        white_balance=(float(np.exp(warm)), float(np.exp(tint)), float(np.exp(-warm))),
        defocus_px=draw(knobs.defocus_px),
        sensor_noise=draw(knobs.sensor_noise),
        shutter_share=draw(knobs.shutter_share),
        compression_quality=draw(knobs.compression_quality),
    )


def frame_generator(appearance: Appearance, camera_id: str, frame_index: int) -> np.random.Generator:
    """Return the generator of one frame of one camera."""
    return np.random.default_rng((appearance.seed, zlib.crc32(camera_id.encode()), frame_index))


def develop(linear: NDArray[np.float32], flaws: CameraFlaws, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn light into a picture.

    Args:
        linear: (H, W, 3) linear RGB, 1 is white paper under right exposure.
        flaws: of the camera.
        rng: of this frame's noise.

    Returns:
        (H, W, 3) uint8 sRGB.

    Raises:
        ContractError: another shape.
    """
    if linear.ndim != 3 or linear.shape[2] != 3:
        found, fix = str(linear.shape), "Pass linear RGB."
        raise ContractError(describe(what="linear image", expected="(H, W, 3)", found=found, fix=fix))
    light = np.ascontiguousarray(linear, np.float32)
    if flaws.defocus_px > _MIN_DEFOCUS_PX:
        light = cv2.GaussianBlur(light, (0, 0), flaws.defocus_px, borderType=cv2.BORDER_REPLICATE)
    gain = min(flaws.exposure, 1.0) ** (_GAIN_EXPONENT - 1.0)
    sigma = flaws.sensor_noise / _BYTE_SLOPE_AT_MID_GREY
    # fewer photons for the same byte: their noise grows with the root of the gain, the sensor's own with the gain
    shot = sigma * sigma * _SHOT_SHARE / MID_GREY * gain
    read = sigma * sigma * (1.0 - _SHOT_SHARE) * gain * gain
    image = np.empty(light.shape, np.uint8)
    factor = flaws.exposure * gain * np.array(flaws.white_balance)
    starts = np.asarray(rng.integers(0, _NOISE_SIZE, light.shape[0]), np.int64)
    _expose(light, factor, shot, read, _noise_tile(), starts, _tone_table(), image)
    return image


def compress(image: NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    """Send an (H, W, 3) RGB picture through JPEG, quality 1 to 100, and back."""
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def tone_curve(linear: FloatArray) -> FloatArray:
    """Map linear light [0, inf) to sRGB [0, 1]: straight up to a shoulder, then towards white without reaching it."""
    room = 1.0 - _SHOULDER
    pressed = np.where(
        linear < _SHOULDER,
        linear,
        _SHOULDER + room * (1.0 - np.exp(-(np.maximum(linear, _SHOULDER) - _SHOULDER) / room)),
    )
    return np.where(pressed <= 0.0031308, 12.92 * pressed, 1.055 * np.maximum(pressed, 0.0031308) ** (1 / 2.4) - 0.055)


@lru_cache(maxsize=1)
def _tone_table() -> NDArray[np.uint8]:
    return np.round(255.0 * tone_curve(np.linspace(0.0, _TONE_MAX, _TONE_STEPS))).astype(np.uint8)


@lru_cache(maxsize=1)
def _noise_tile() -> NDArray[np.float32]:
    """Return normal noise, drawn once; every row of every frame starts somewhere else in it: ten times as fast."""
    return np.random.default_rng(_NOISE_SEED).standard_normal(_NOISE_SIZE, np.float32)


@compiled
def _expose(  # pragma: no cover - compiled
    light: NDArray[np.float32],
    factor: FloatArray,
    shot: float,
    read: float,
    noise: NDArray[np.float32],
    starts: NDArray[np.int64],
    table: NDArray[np.uint8],
    image: NDArray[np.uint8],
) -> None:
    steps = (len(table) - 1) / 4.0
    mask = len(noise) - 1
    noisy = shot > 0.0 or read > 0.0
    for y in range(light.shape[0]):
        place = starts[y]
        for x in range(light.shape[1]):
            common = noise[place & mask]
            for c in range(3):
                value = light[y, x, c] * factor[c]
                if noisy:
                    # interpolating a Bayer pattern makes the colours of a pixel share about half of their variance
                    drawn = _SQRT_HALF * (common + noise[(place + c + 1) & mask])
                    value += np.sqrt(shot * max(value, 0.0) + read) * drawn
                image[y, x, c] = table[int(min(max(value, 0.0), 4.0) * steps + 0.5)]
            place += 4
