# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""What a camera does to light: motion blur, exposure, white balance, defocus, noise, a tone curve, compression.

Light comes in linear; bytes go out in sRGB. Everything follows from the recording's seed (`draw_flaws`) and, for the
noise, from recording, camera and frame, so that frames can be made in any order on any number of workers.

Motion blur (`expose`) needs one sharp picture and by how much each of its pixels moves while the shutter is open. For
each instant it asks of every pixel which of the meshes' points has come there (McGuire et al., "A reconstruction filter
for plausible motion blur", I3D 2012, guess that from neighbours; here the point is found, by following the motion
backwards), so that a moving hand passes over what stands still and not through it. What a mesh uncovers is known where
it is table or room, which are painted behind it; another mesh there is guessed from what of it can be seen beside it.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe
from hoiray.synthetic.distance import compiled
from hoiray.synthetic.domains import Knobs, Range
from hoiray.synthetic.scene import Appearance
from hoiray.synthetic.shading import Layers, inlined

FloatArray = NDArray[np.float64]
Float32 = NDArray[np.float32]
Index: TypeAlias = np.uint32
Corners: TypeAlias = tuple[Index, Index, Index, Index, float, float, float, float]
Course: TypeAlias = tuple[float, float, float, float]
"""Of a pixel: px by which it moves during the exposure (2), depth in metres, share that meshes cover."""

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

_INSTANT_STEP_PX = 2.0
_FEWEST_INSTANTS = 2
_MAX_INSTANTS = 24
"""An exposure has this many instants and one more for each step of motion: an edge that moves by 4 px is a ramp of four
steps of 1 px, one that moves by 20 px of twelve, each 8 % of its contrast."""

_LEAST_MOTION_PX = 0.5
"""What moves less than this during the exposure is as sharp as what stands still."""

_TILE_PX = 8
_ZERO, _HALF, _ONE = (cast("float", np.float32(value)) for value in (0.0, 0.5, 1.0))
_NEXT = np.uint32(1)
_SAME_PX = 1.0
"""A point that is followed backwards and forwards again ends no farther than this from where it began."""

_ALIKE_PX = 0.1
"""Motions that differ by less are one."""

_BEHIND_M = 0.004
"""A surface that lies this much deeper than another is behind it."""


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


def expose(layers: Layers) -> Float32:
    """Let light fall on the sensor while things move.

    Args:
        layers: the picture at the middle of the exposure, in its parts, and how they move. Motion is taken to be even.

    Returns:
        (H, W, 3) linear light. Where nothing moves it is the picture itself.
    """
    linear = np.empty(layers.back.shape, np.float32)
    back = layers.back
    if layers.back_course.size:
        back = np.empty_like(linear)
        _smear_back(layers.back, layers.back_course, back)
    if not layers.course.size:
        _lay_over(layers.front, back, linear)
        return linear
    fastest = _fastest_near(layers.course)
    _smear_front(layers.front, _spread(layers.course, layers.front, fastest), fastest, back, linear)
    return linear


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


def _spread(course: Float32, front: Float32, fastest: Float32) -> Float32:
    """Give every pixel where something moves the motion and depth of the nearest one that has a mesh.

    Returns:
        (H, W, 5) as `course`, the distance in px, infinite where nothing moves, and the share which meshes cover.
    """
    height, width = course.shape[:2]
    near = np.full((height, width, 5), np.inf, np.float32)
    near[..., 4] = front[..., 3]
    rows, columns = (np.flatnonzero(fastest[..., 2].any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return near
    y, x = int(rows[0]) * _TILE_PX, int(columns[0]) * _TILE_PX
    part = np.ascontiguousarray(course[y : (rows[-1] + 1) * _TILE_PX, x : (columns[-1] + 1) * _TILE_PX])
    is_empty = np.isinf(part[..., 2])
    distance_px, nearest = cv2.distanceTransformWithLabels(
        is_empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3, labelType=cv2.DIST_LABEL_PIXEL
    )
    _take(part, np.asarray(distance_px, np.float32), np.asarray(nearest, np.int32), near[y:, x:])
    return near


@compiled
def _take(  # pragma: no cover - compiled
    course: Float32, distance_px: Float32, nearest: NDArray[np.int32], near: Float32
) -> None:
    """Look up what each pixel's nearest one has, which are numbered from 1 in no order that matters."""
    place = np.zeros((nearest.max() + 1, 3), np.float32)
    for y in range(course.shape[0]):
        for x in range(course.shape[1]):
            if distance_px[y, x] == 0.0:
                place[nearest[y, x]] = course[y, x]
    for y in range(course.shape[0]):
        for x in range(course.shape[1]):
            found = nearest[y, x]
            near[y, x, 0], near[y, x, 1], near[y, x, 2] = place[found, 0], place[found, 1], place[found, 2]
            near[y, x, 3] = distance_px[y, x]


@compiled
def _fastest_near(course: Float32) -> Float32:  # pragma: no cover - compiled
    """Return for each tile the fastest motion (x, y, in px) of all meshes that can pass through it."""
    height, width = course.shape[:2]
    rows, columns = (height + _TILE_PX - 1) // _TILE_PX, (width + _TILE_PX - 1) // _TILE_PX
    own, fastest = np.zeros((rows, columns, 3), np.float32), np.zeros((rows, columns, 3), np.float32)
    longest = 0.0
    for y in range(height):
        for x in range(width):
            u, v = course[y, x, 0], course[y, x, 1]
            square, tile = u * u + v * v, own[y // _TILE_PX, x // _TILE_PX]
            if square > tile[2]:
                tile[0], tile[1], tile[2] = u, v, square
                longest = max(longest, square)
    reach = int(np.ceil(0.5 * np.sqrt(longest) / _TILE_PX)) + 1
    for row in range(rows):
        for column in range(columns):
            for r in range(max(row - reach, 0), min(row + reach + 1, rows)):
                for c in range(max(column - reach, 0), min(column + reach + 1, columns)):
                    apart_px = (max(abs(r - row), abs(c - column)) - 1) * _TILE_PX
                    if own[r, c, 2] > fastest[row, column, 2] and 0.5 * np.sqrt(own[r, c, 2]) > apart_px - 1.0:
                        fastest[row, column] = own[r, c]
    return fastest


@inlined
def _instants(u: float, v: float) -> int:
    """Return how many instants a motion by (u, v) px needs."""
    return min(_FEWEST_INSTANTS + int(np.sqrt(u * u + v * v) / _INSTANT_STEP_PX), _MAX_INSTANTS)


@compiled
def _lay_over(front: Float32, back: Float32, linear: Float32) -> None:  # pragma: no cover - compiled
    for y in range(front.shape[0]):
        for x in range(front.shape[1]):
            free = _ONE - front[y, x, 3]
            for c in range(3):
                linear[y, x, c] = front[y, x, c] + free * back[y, x, c]


@inlined
def _single(value: float) -> float:
    """Return a number in single precision, which is half the work."""
    single: float = np.float32(value)  # type: ignore[assignment] # for numba, whose numbers have a size
    return single


@inlined
def _corners(x: float, y: float, size: tuple[int, int]) -> Corners:
    """Return rows, columns and weights of the four pixels about a place, which is moved into the image."""
    px, py = min(max(x, _ZERO), _single(size[1] - 1.001)), min(max(y, _ZERO), _single(size[0] - 1.001))
    # numba need not ask of an unsigned index whether it counts from the end
    x0, y0 = np.uint32(px), np.uint32(py)
    fx, fy = px - _single(int(x0)), py - _single(int(y0))
    gx, gy = _ONE - fx, _ONE - fy
    return y0, y0 + _NEXT, x0, x0 + _NEXT, gx * gy, fx * gy, gx * fy, fx * fy


@inlined
def _mix(image: Float32, at: Corners, c: int) -> float:
    """Interpolate a channel between four pixels."""
    y0, y1, x0, x1, w00, w01, w10, w11 = at
    mixed: float = image[y0, x0, c] * w00 + image[y0, x1, c] * w01 + image[y1, x0, c] * w10 + image[y1, x1, c] * w11
    return mixed


@compiled
def _smear_back(sharp: Float32, course: Float32, smeared: Float32) -> None:  # pragma: no cover - compiled
    """Blur table and room by the camera's motion; neighbours move alike, so that each pixel can take its own."""
    size = sharp.shape[:2]
    for y in range(size[0]):
        for x in range(size[1]):
            u, v = course[y, x, 0], course[y, x, 1]
            if u * u + v * v < _LEAST_MOTION_PX * _LEAST_MOTION_PX:
                for c in range(3):
                    smeared[y, x, c] = sharp[y, x, c]
                continue
            count = _instants(u, v)
            step_x, step_y, half = u / _single(count), v / _single(count), _single(0.5 * count - 0.5)
            here_x, here_y = _single(x) + half * step_x, _single(y) + half * step_y
            red, green, blue = _ZERO, _ZERO, _ZERO
            for _ in range(count):
                at = _corners(here_x, here_y, size)
                here_x, here_y = here_x - step_x, here_y - step_y
                red, green, blue = red + _mix(sharp, at, 0), green + _mix(sharp, at, 1), blue + _mix(sharp, at, 2)
            share = _ONE / _single(count)
            smeared[y, x, 0], smeared[y, x, 1], smeared[y, x, 2] = red * share, green * share, blue * share


@inlined
def _pixel_at(x: float, y: float, size: tuple[int, int]) -> tuple[Index, Index]:
    """Return row and column of the pixel of an image which a place is nearest to."""
    last_y, last_x = _single(size[0] - 1), _single(size[1] - 1)
    return np.uint32(min(max(y, _ZERO), last_y) + _HALF), np.uint32(min(max(x, _ZERO), last_x) + _HALF)


@inlined
def _arrive(
    course: Float32, place: tuple[float, float], time: float, flow: tuple[float, float]
) -> tuple[float, float, float, float, float]:
    """Find the point that is at a place at a time of the exposure (-1/2 to 1/2), if it moves somewhat like `flow`.

    Returns:
        Where it is in the middle of the exposure (2), its depth, the share of its pixel that meshes cover, and how far
        from the place it comes to lie (squared).
    """
    x, y = place
    size = course.shape[:2]
    row, column = _pixel_at(x - time * flow[0], y - time * flow[1], size)
    u, v = course[row, column, 0], course[row, column, 1]
    px, py = x - time * u, y - time * v
    row, column = _pixel_at(px, py, size)
    du, dv = time * (course[row, column, 0] - u), time * (course[row, column, 1] - v)
    return px, py, course[row, column, 2], course[row, column, 4], du * du + dv * dv


@inlined
def _uncovered(course: Float32, place: tuple[float, float], time: float, own: Course) -> tuple[float, float]:
    """Guess from where the light comes if what is at a place in the middle of the exposure is not there at its time.

    Where that has come from or goes to something else is seen. If that lies deeper it may well reach behind what has
    moved away; if it is in front, it hides what came. `own` is the place's part of `course`.
    """
    x, y = place
    from_x, from_y = x - time * own[0], y - time * own[1]
    row, column = _pixel_at(from_x, from_y, course.shape[:2])
    return (from_x, from_y) if course[row, column, 2] > own[2] + _BEHIND_M else (x, y)


@inlined
def _find(
    course: Float32, place: tuple[float, float], time: float, own: Course, other: tuple[float, float]
) -> tuple[float, float, bool]:
    """Find what is seen at a place at a time of the exposure: where it is in the middle of it, and whether it is known.

    Two points can have come there: one that moves like what is seen there, or nearest to it, in the middle of the
    exposure, and one that moves like the fastest thing about. The nearer one is seen.
    """
    px, py, depth_m, covered, error = _arrive(course, place, time, (own[0], own[1]))
    is_known = error <= _SAME_PX * _SAME_PX
    if abs(own[0] - other[0]) + abs(own[1] - other[1]) > _ALIKE_PX:
        qx, qy, other_depth_m, other_covered, error = _arrive(course, place, time, other)
        is_first = not is_known or covered <= 0.0 or other_depth_m < depth_m
        if error <= _SAME_PX * _SAME_PX and other_covered > 0.0 and is_first:
            return qx, qy, True
    if is_known:
        return px, py, True
    qx, qy = _uncovered(course, place, time, own)
    return qx, qy, own[3] > 0.0


@compiled
def _smear_front(  # pragma: no cover - compiled
    front: Float32, course: Float32, fastest: Float32, back: Float32, linear: Float32
) -> None:
    """Average the meshes over the exposure and lay them over what is behind them."""
    size = front.shape[:2]
    for y in range(size[0]):
        for x in range(size[1]):
            tile = (y // _TILE_PX, x // _TILE_PX)
            other, square = (fastest[tile[0], tile[1], 0], fastest[tile[0], tile[1], 1]), fastest[tile[0], tile[1], 2]
            # nothing that moves comes here
            if square < _LEAST_MOTION_PX * _LEAST_MOTION_PX or course[y, x, 3] > 0.5 * np.sqrt(square) + 2.0:
                free = _ONE - front[y, x, 3]
                for c in range(3):
                    linear[y, x, c] = front[y, x, c] + free * back[y, x, c]
                continue
            count, here = _instants(other[0], other[1]), (_single(x), _single(y))
            own = (course[y, x, 0], course[y, x, 1], course[y, x, 2], course[y, x, 4])
            red, green, blue, share = _ZERO, _ZERO, _ZERO, _ZERO
            for k in range(count):
                px, py, is_known = _find(course, here, _single((k + 0.5) / count - 0.5), own, other)
                if not is_known:
                    continue
                at = _corners(px, py, size)
                red, green, blue = red + _mix(front, at, 0), green + _mix(front, at, 1), blue + _mix(front, at, 2)
                share += _mix(front, at, 3)
            part = _ONE / _single(count)
            free = _ONE - share * part
            linear[y, x, 0] = red * part + free * back[y, x, 0]
            linear[y, x, 1] = green * part + free * back[y, x, 1]
            linear[y, x, 2] = blue * part + free * back[y, x, 2]
