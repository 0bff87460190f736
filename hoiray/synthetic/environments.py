"""Real places as light and background: eighteen small panoramas with the light they cast.

A panorama is kept as an 8-bit JPEG in a reversible tone curve (`encode_radiance`), so that windows and lamps are still
several times as bright as white paper when they are decoded. Its light is split in two, because a shadow has an edge
only where light comes from one side: the *lamp* is what is brighter than its surroundings within a cone about the
brightest direction; everything else is nine spherical-harmonic coefficients. Together they are the whole light.

All environments are scaled to the same mean brightness: absolute exposure is a matter of the camera.

Axes of a panorama are those of `hoiray.render.light`: row 0 looks along +y (up), the middle column along +z.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from hoiray.errors import ConfigError, ContractError, describe
from hoiray.render.light import panorama_directions, project_environment
from hoiray.render.shade import decode_srgb, encode_srgb

FloatArray = NDArray[np.float64]

ENVIRONMENTS_FOLDER = Path(__file__).parent / "assets" / "environments"
LIGHTS_FILE = "lights.json"

ENVIRONMENT_NAMES: tuple[str, ...] = (
    "apartment",
    "bridge",
    "city",
    "dawn",
    "esplanade",
    "forest",
    "hall",
    "lab",
    "lobby",
    "night",
    "park",
    "sky",
    "studio",
    "sunrise",
    "sunset",
    "venice",
    "warehouse",
    "workshop",
)
"""The packaged places."""

MEAN_RADIANCE = 0.35
"""Mean over the sphere after scaling: a white wall that sees all of it sends out this much."""

_FIREFLY_MEDIANS = 60.0
"""DWAA-compressed lamps decode to up to 1e5 medians with negative rings about them; 60 medians keep a lamp a lamp."""

_RINGING_PX = 17
"""DWAA transforms blocks of 8 x 8: what a firefly spoils lies within two blocks."""

_LAMP_CONE_RAD = np.deg2rad(40.0)
_SPREAD_LIMITS = (0.06, 0.5)
"""A sun behind haze; a window wall. Blurred panoramas show no lamp sharper than the first."""

_MAX_COLUMNS = 512
_JPEG_QUALITY = 82
_OCTAHEDRON_PX = 384
_BACKGROUND_BLUR_PX = 1.5
_MAX_BACKGROUND = 5.0
"""Eight times white paper: what is brighter is burnt out in every picture, and only makes edges jagged."""


@dataclass(frozen=True, eq=False)
class Environment:
    """One place: what is seen of it, and the light it casts, in its own axes (y up), linear RGB.

    Attributes:
        name: as in `ENVIRONMENT_NAMES`.
        panorama: (H, 2H, 3) float32 radiance.
        ambient_sh: (9, 3) of everything but the lamp, see `hoiray.render.light`.
        lamp_direction: (3,) unit vector towards the lamp.
        lamp_colour: (3,) radiance that leaves a white matt surface facing the lamp.
        lamp_spread: width of a penumbra over the distance from what throws the shadow: twice the tangent of the
            lamp's angular radius.
    """

    name: str
    panorama: NDArray[np.float32]
    ambient_sh: FloatArray
    lamp_direction: FloatArray
    lamp_colour: FloatArray
    lamp_spread: float


def measure_environment(name: str, radiance: NDArray[np.floating]) -> Environment:
    """Clean a panorama, scale it, and split its light into lamp and rest.

    Args:
        name: what to call it.
        radiance: (H, 2H, 3) linear RGB, row 0 up. Negative values and fireflies are clamped.

    Raises:
        ContractError: not an equirectangular RGB image, or a black or non-finite one.
    """
    if radiance.ndim != 3 or radiance.shape[2] != 3 or radiance.shape[1] != 2 * radiance.shape[0]:
        raise _bad(name, "shape (H, 2H, 3)", str(radiance.shape))
    if not np.isfinite(radiance).all() or not np.median(radiance) > 0:
        raise _bad(name, "finite values with a positive median", "others")
    clean = _without_fireflies(np.asarray(radiance, np.float64))
    weight = _solid_angles(len(clean))
    clean *= MEAN_RADIANCE / ((clean.mean(axis=2) * weight).sum() / (4 * np.pi))
    direction, lamp = _split_lamp(clean, weight)
    # irradiance / pi of a surface that faces the lamp
    colour = np.einsum("hwc,hw->c", lamp, weight * np.maximum(_cosine_to(direction, len(clean)), 0.0)) / np.pi
    # squared, since the glow about a lamp is large and the lamp in it is what throws the shadow
    spread = _lamp_spread(direction, lamp.mean(axis=2) ** 2 * weight)
    return Environment(name, clean.astype(np.float32), project_environment(clean - lamp), direction, colour, spread)


def _lamp_spread(direction: FloatArray, power: FloatArray) -> float:
    """Return twice the root mean square tangent from the lamp's middle, between hard and soft light."""
    cosine = _cosine_to(direction, len(power))
    tangent_squared = np.where(cosine > 0.1, 1.0 / np.maximum(cosine, 0.1) ** 2 - 1.0, 0.0)
    return float(np.clip(2.0 * np.sqrt((tangent_squared * power).sum() / max(power.sum(), 1e-12)), *_SPREAD_LIMITS))


def _without_fireflies(radiance: FloatArray) -> FloatArray:
    """Clamp to [0, 60 medians]; negative pixels beside a firefly are its ringing and become as bright as it is."""
    limit = _FIREFLY_MEDIANS * float(np.median(radiance))
    hot = maximum_filter((radiance > limit).any(axis=2), size=_RINGING_PX)
    ringing = hot & maximum_filter((radiance < 0.0).any(axis=2), size=3)
    return np.where(ringing[..., None], limit, np.clip(radiance, 0.0, limit))


def _split_lamp(radiance: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the direction of the brightest cone and the part of the radiance that is the lamp's."""
    luminance = radiance.mean(axis=2)
    directions = panorama_directions(*luminance.shape)
    # The floor is no lamp: light from below would be a reflection, and its shadows would look wrong to everyone.
    excess = np.maximum(luminance - 2.0 * np.median(luminance), 0.0) * (directions[..., 1] > -0.05)
    candidates = directions[::8, ::8].reshape(-1, 3)
    power = np.array(
        [(excess * weight * (directions @ towards > np.cos(_LAMP_CONE_RAD))).sum() for towards in candidates]
    )
    centre = candidates[int(power.argmax())]
    inside = directions @ centre > np.cos(_LAMP_CONE_RAD)
    direction = np.einsum("hwc,hw->c", directions, np.where(inside, excess, 0.0) * weight)
    length = float(np.linalg.norm(direction))
    direction = direction / length if length > 0 else np.array([0.0, 1.0, 0.0])
    share = np.where(inside, excess / np.maximum(luminance, 1e-9), 0.0)
    return direction, radiance * share[..., None]


def _cosine_to(direction: FloatArray, height: int) -> FloatArray:
    return np.asarray(panorama_directions(height, 2 * height) @ direction)


def _solid_angles(height: int) -> FloatArray:
    """Return the (H, 2H) solid angles of a panorama's pixels; they sum to 4 pi."""
    polar = np.arange(height + 1) / height * np.pi
    rows = np.cos(polar[:-1]) - np.cos(polar[1:])
    return np.repeat(rows[:, None] * (np.pi / height), 2 * height, axis=1)


def encode_radiance(radiance: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Press radiance from [0, inf) into sRGB bytes by L / (1 + L) (Reinhard et al., SIGGRAPH 2002, equation 3)."""
    return encode_srgb(np.asarray(radiance / (1.0 + radiance), np.float32))


def decode_radiance(encoded: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Undo `encode_radiance`. The brightest byte stands for 30 (it would be infinite)."""
    pressed = np.minimum(decode_srgb(encoded), 30.0 / 31.0)
    return np.asarray(pressed / (1.0 - pressed), np.float32)


def write_environments(environments: Sequence[Environment], folder: Path) -> int:
    """Write one JPEG for each environment and one JSON file with their lights; return the number of bytes."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    lights = {}
    num_bytes = 0
    for environment in environments:
        picture = encode_radiance(environment.panorama)
        if picture.shape[1] > _MAX_COLUMNS:
            picture = cv2.resize(picture, (_MAX_COLUMNS, _MAX_COLUMNS // 2), interpolation=cv2.INTER_AREA)
        _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        (folder / f"{environment.name}.jpg").write_bytes(encoded.tobytes())
        num_bytes += len(encoded)
        lights[environment.name] = {
            "ambient_sh": np.round(environment.ambient_sh, 5).tolist(),
            "lamp_direction": np.round(environment.lamp_direction, 6).tolist(),
            "lamp_colour": np.round(environment.lamp_colour, 5).tolist(),
            "lamp_spread": [round(environment.lamp_spread, 4)],
        }
    text = json.dumps(lights, indent=1, sort_keys=True) + "\n"
    (folder / LIGHTS_FILE).write_text(text, encoding="utf-8")
    return num_bytes + len(text)


@lru_cache(maxsize=len(ENVIRONMENT_NAMES))
def load_environment(name: str) -> Environment:
    """Load a packaged environment; its arrays are read-only.

    Raises:
        ConfigError: no environment of that name.
        ContractError: a packaged file is missing or damaged.
    """
    import cv2

    lights = _lights()
    if name not in lights:
        raise ConfigError(
            describe(what="environment", expected=f"one of {', '.join(lights)}", found=repr(name), fix="Correct it.")
        )
    path = ENVIRONMENTS_FOLDER / f"{name}.jpg"
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None or picture.shape[1] != 2 * picture.shape[0]:
        raise _bad(str(path), "a JPEG panorama, twice as wide as high", "no such picture")
    panorama = decode_radiance(picture[..., ::-1])
    direction = np.array(lights[name]["lamp_direction"], np.float64)
    sh, colour = np.array(lights[name]["ambient_sh"], np.float64), np.array(lights[name]["lamp_colour"], np.float64)
    if sh.shape != (9, 3) or direction.shape != (3,) or colour.shape != (3,):
        raise _bad(f"{LIGHTS_FILE}, {name}", "(9, 3), (3,) and (3,) numbers", "others")
    direction /= np.linalg.norm(direction)
    (spread,) = np.array(lights[name]["lamp_spread"], np.float64)
    for array in (panorama, sh, direction, colour):
        array.setflags(write=False)
    return Environment(name, panorama, sh, direction, colour, float(spread))


@lru_cache(maxsize=1)
def _lights() -> dict[str, dict[str, list[object]]]:
    path = ENVIRONMENTS_FOLDER / LIGHTS_FILE
    if not path.is_file():
        raise _bad(str(path), "the packaged lights", "no file")
    loaded: dict[str, dict[str, list[object]]] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@lru_cache(maxsize=len(ENVIRONMENT_NAMES))
def octahedral_map(name: str) -> NDArray[np.float32]:
    """Lay an environment out on an octahedron, which is looked up without trigonometry, a tenth of the time a frame.

    The direction d, divided by ``|x| + |y| + |z|``, has ``(x, z)`` as its place in the square [-1, 1]^2 where y >= 0;
    the lower half is folded outwards over the edges of the diamond (Engelhardt and Dachsbacher, "Octahedron
    Environment Maps", VMV 2008).

    Returns:
        (S, S, 3) float32, read-only, texel centres at ``(i + 1/2) / S * 2 - 1``; rows are z, columns x.
    """
    import cv2

    centres = (np.arange(_OCTAHEDRON_PX) + 0.5) / _OCTAHEDRON_PX * 2 - 1
    x, z = np.meshgrid(centres, centres)
    y = 1 - np.abs(x) - np.abs(z)
    fold = np.maximum(-y, 0)
    x, z = x - np.where(x >= 0, fold, -fold), z - np.where(z >= 0, fold, -fold)
    length = np.sqrt(x * x + y * y + z * z)
    panorama = load_environment(name).panorama
    height, width = panorama.shape[:2]
    column = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * width - 0.5
    row = np.arccos(np.clip(y / length, -1, 1)) / np.pi * height - 0.5
    # the panorama has 1.4 px a degree: a lens out of focus hides its pixels, and clamped lamps have no stairs
    margin = 8
    wrapped = np.concatenate([panorama[:, -margin:], panorama, panorama[:, :margin]], axis=1)
    soft = cv2.GaussianBlur(np.minimum(wrapped, _MAX_BACKGROUND), (0, 0), _BACKGROUND_BLUR_PX)
    place = (column + margin).astype(np.float32), row.astype(np.float32)
    squared = np.ascontiguousarray(cv2.remap(soft, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    squared.setflags(write=False)
    return squared


def _bad(what: str, expected: str, found: str) -> ContractError:
    fix = "Rebuild the environments with scripts/build_environments.py."
    return ContractError(describe(what=f"environment {what}", expected=expected, found=found, fix=fix))
