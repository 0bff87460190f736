"""Surfaces of objects, tables and clothes: printed labels, plastic, wood, metal, ceramic, cloth; all from a seed.

A texture is (S, S, 3) float32 linear RGB. Objects are unrolled as on a printed label (`hoiray.synthetic.solids`): the
side fills the upper three quarters, the caps lie below. A `Finish` is a texture and how the surface answers to light.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from hoiray.render.shade import decode_srgb
from hoiray.synthetic.solids import SIDE_ROWS

Texture: TypeAlias = NDArray[np.float32]

TEXTURE_PX = 256
"""Side of a texture: one label about a bottle of 20 cm girth has 0.8 mm a texel."""

_LETTERS = "ABCDEFGHIKLMNOPRSTUVWXYZ"
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)


@dataclass(frozen=True, eq=False)
class Finish:
    """A surface.

    Attributes:
        texture: (S, S, 3) float32 linear RGB.
        specular: reflectance at normal incidence.
        shininess: Blinn-Phong exponent.
        mirror: share of the sharp reflection of the surroundings (glass, chrome, ceramic); 0 for rough surfaces.
        scatter: see `hoiray.render.shade.Material`.
    """

    texture: Texture
    specular: float = 0.04
    shininess: int = 20
    mirror: float = 0.0
    scatter: tuple[float, float, float] = (0.0, 0.0, 0.0)


def object_finishes(name: str, part_names: tuple[str, ...], seed: int) -> tuple[Finish, ...]:
    """Give every part of an object its surface.

    Args:
        name: of the object; its words choose between wood, metal, print and so on.
        part_names: of the object's mesh.
        seed: of the texture; the same seed gives the same bits.
    """
    rng = np.random.default_rng(seed)
    words = frozenset(name.lower().split("_"))
    finishes = []
    for part in part_names:
        make = _PART_MAKERS.get(part)
        if make is None:
            make = next((maker for word, maker in _BODY_MAKERS.items() if word in words), printed_label)
        finishes.append(make(rng))
    return tuple(finishes)


def printed_label(rng: np.random.Generator) -> Finish:
    """Print a label: a ground colour, a band, stripes or dots, and words."""
    ground, ink = _two_colours(rng)
    image = _plain(ground)
    layout = int(rng.integers(4))
    if layout == 0:
        _stripes(image, rng, vertical=bool(rng.integers(2)))
    elif layout == 1:
        _dots(image, rng)
    elif layout == 2:
        _band(image, rng, ink)
    else:
        _blobs(image, rng)
    if rng.random() < 0.85:
        _words(image, rng, ink)
    glossy = rng.random() < 0.6
    return Finish(
        _finished(image, rng, 0.02),
        0.045,
        int(rng.integers(30, 90)) if glossy else 12,
        float(rng.uniform(0.1, 0.5)) if glossy else 0.0,
    )


def plastic(rng: np.random.Generator) -> Finish:
    """Mould plain plastic."""
    colour = _colour(rng)
    return Finish(_finished(_plain(colour), rng, 0.015), 0.045, int(rng.integers(15, 60)), float(rng.uniform(0, 0.35)))


def ceramic(rng: np.random.Generator) -> Finish:
    """Glaze, one colour, at times with a band or a picture."""
    base = np.clip(rng.uniform(0.55, 0.95) + rng.uniform(-0.04, 0.04, 3), 0, 1) if rng.random() < 0.6 else _colour(rng)
    image = _plain(base)
    kind = rng.random()
    if kind < 0.35:
        _band(image, rng, _colour(rng))
    elif kind < 0.55:
        _dots(image, rng)
    elif kind < 0.75:
        _words(image, rng, _colour(rng))
    return Finish(_finished(image, rng, 0.01), 0.05, 90, float(rng.uniform(0.4, 0.8)))


def metal(rng: np.random.Generator) -> Finish:
    """Brush steel; a metal mirrors and has hardly any colour of its own."""
    grey = float(rng.uniform(0.25, 0.5))
    streaks = cv2.GaussianBlur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), (0, 0), 6, sigmaY=0.6)
    image = np.full((TEXTURE_PX, TEXTURE_PX, 3), grey) * (1 + 0.6 * streaks[..., None])
    return Finish(np.clip(image, 0.02, 0.9).astype(np.float32), 0.45, 40, 0.5)


def wood(rng: np.random.Generator) -> Finish:
    """Cut a board: rings stretched along the grain, pores, lacquer."""
    return Finish(wood_texture(rng), 0.035, int(rng.integers(10, 40)), float(rng.uniform(0, 0.12)))


def wood_texture(rng: np.random.Generator) -> Texture:
    """Return the texture of `wood`; it repeats in both directions."""
    axis = np.arange(TEXTURE_PX) / TEXTURE_PX * 2 * np.pi
    column, row = np.meshgrid(axis, axis)
    bend = sum(
        rng.normal(0, 0.28 / k) * np.sin(k * column + rng.uniform(0, 2 * np.pi) + rng.integers(-1, 2) * row)
        for k in range(1, 4)
    )
    rings = np.sin(int(rng.integers(7, 15)) * row + 2.2 * np.asarray(bend)) * 0.5 + 0.5
    pores = _tiled_blur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), 14.0, 0.7)
    tone = np.clip(0.55 * rings**2 + 0.35 * pores / pores.std() * 0.3 + 0.25, 0, 1)[..., None]
    red = rng.uniform(0.45, 0.88)
    green = red * rng.uniform(0.70, 0.84)
    light = decode_srgb(np.array([red, green, green * rng.uniform(0.55, 0.85)]))
    dark = light * rng.uniform(0.45, 0.8)
    return np.asarray(light + (dark - light) * tone, np.float32)


def cloth_texture(rng: np.random.Generator) -> Texture:
    """Weave cloth: plain, striped or checked; it repeats in both directions."""
    first, second = _two_colours(rng)
    axis = np.arange(TEXTURE_PX)
    kind = int(rng.integers(4))
    period = TEXTURE_PX // int(2 ** rng.integers(2, 6))
    along, across = (axis % period < period // 2).astype(float), (axis % period < period // 3).astype(float)
    if kind <= 1:
        mix = np.zeros((TEXTURE_PX, TEXTURE_PX))
    elif kind == 2:
        mix = np.repeat(along[:, None], TEXTURE_PX, 1)
    else:
        mix = 0.5 * along[:, None] + 0.5 * across[None]
    image = first + (second - first) * mix[..., None] * rng.uniform(0.3, 1.0)
    thread = 0.06 * np.sin(axis * np.pi)[:, None] * np.sin(axis * np.pi)[None]
    weave = _tiled_blur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), 0.7, 0.7) * 0.22
    wear = _tiled_blur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), 24.0, 24.0) * 3.0
    linear = decode_srgb(np.clip(image, 0.0, 1.0)) * 0.85
    return np.asarray(np.clip(linear * (1 + thread + weave + wear)[..., None], 0.004, 0.9), np.float32)


def cloth(rng: np.random.Generator) -> Finish:
    """Make a sleeve or a table cloth."""
    return Finish(cloth_texture(rng), 0.02, 4, 0.0, (0.12, 0.12, 0.12))


def stone_texture(rng: np.random.Generator) -> Texture:
    """Return terrazzo, laminate or plain paint for a table; it repeats in both directions."""
    base = decode_srgb(np.clip(rng.uniform(0.3, 0.88) + rng.uniform(-0.06, 0.06, 3), 0, 1))
    image = np.repeat(np.repeat(base[None, None], TEXTURE_PX, 0), TEXTURE_PX, 1)
    for sigma, amount in ((1.0, rng.uniform(0, 0.15)), (5.0, rng.uniform(0, 0.09)), (28.0, 0.04)):
        noise = _tiled_blur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), sigma, sigma)
        image = image * (1 + amount * (noise / noise.std())[..., None] * rng.uniform(0.7, 1.0, 3))
    return np.asarray(np.clip(image, 0.01, 0.9), np.float32)


def table_finish(seed: int) -> Finish:
    """Return the top of a table: wood, laminate or a cloth."""
    rng = np.random.default_rng(seed)
    kind = rng.random()
    if kind < 0.45:
        return Finish(wood_texture(rng), 0.04, 30, float(rng.uniform(0.0, 0.25)))
    if kind < 0.8:
        return Finish(stone_texture(rng), 0.04, 30, float(rng.uniform(0.0, 0.3)))
    return cloth(rng)


def sponge(rng: np.random.Generator) -> Finish:
    """Foam: one loud colour and dark pores."""
    colour = decode_srgb(np.array([rng.uniform(0.6, 0.95), rng.uniform(0.5, 0.85), rng.uniform(0.1, 0.6)]))
    noise = _tiled_blur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), 1.6, 1.6)
    pores = np.clip(noise / noise.std() - 0.8, 0, 1)
    return Finish(np.asarray(colour * (1 - 0.7 * pores[..., None]), np.float32), 0.0, 1)


def banana_skin(rng: np.random.Generator) -> Finish:
    """Yellow with brown freckles and greenish ends."""
    image = np.empty((TEXTURE_PX, TEXTURE_PX, 3))
    image[:] = decode_srgb(np.array([rng.uniform(0.86, 0.95), rng.uniform(0.70, 0.80), rng.uniform(0.16, 0.30)]))
    noise = _tiled_blur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), 1.5, 3.0)
    freckles = np.clip(noise / noise.std() - rng.uniform(1.2, 2.4), 0, 1)[..., None]
    image += freckles * (np.array([0.10, 0.05, 0.02]) - image)
    place = np.abs(np.linspace(-1, 1, int(TEXTURE_PX * SIDE_ROWS[1])))[:, None, None]
    side = image[: len(place)]
    side += np.clip((place - 0.9) / 0.08, 0, 1) * (np.array([0.06, 0.05, 0.02]) - side)
    return Finish(image.astype(np.float32), 0.035, 16, 0.0, (0.1, 0.08, 0.02))


def screen(rng: np.random.Generator) -> Finish:
    """Black glass of a telephone with a lit picture at times."""
    image = np.full((TEXTURE_PX, TEXTURE_PX, 3), 0.02)
    if rng.random() < 0.5:
        patch = np.zeros((TEXTURE_PX, TEXTURE_PX, 3), np.uint8)
        _blobs(patch, rng)
        _words(patch, rng, np.full(3, 0.9))
        image = np.maximum(image, decode_srgb(patch) * 0.5)
    return Finish(image.astype(np.float32), 0.045, 200, 1.0)


def buttons(rng: np.random.Generator) -> Finish:
    """Rows of keys on dark plastic, for a remote control."""
    image = _plain(np.full(3, rng.uniform(0.08, 0.25)))
    step = int(rng.integers(14, 26))
    for y in range(step, TEXTURE_PX - step, step):
        for x in range(step, TEXTURE_PX - step, step):
            colour = tuple(int(255 * c) for c in (_colour(rng) if rng.random() < 0.12 else np.full(3, 0.45)))
            cv2.circle(image, (x, y), step // 3, colour, -1, cv2.LINE_AA)
    return Finish(_finished(image, rng, 0.01), 0.04, 30, 0.1)


_PART_MAKERS: Mapping[str, Callable[[np.random.Generator], Finish]] = MappingProxyType(
    {"cap": plastic, "metal": metal, "handle": plastic}
)
_BODY_MAKERS: Mapping[str, Callable[[np.random.Generator], Finish]] = MappingProxyType(
    {
        "mug": ceramic,
        "bowl": ceramic,
        "cup": ceramic,
        "pitcher": plastic,
        "banana": banana_skin,
        "sponge": sponge,
        "phone": screen,
        "remote": buttons,
        "ball": plastic,
        "drill": plastic,
        "cube": wood,
    }
)


def mip_chain(texture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Halve a square texture again and again down to 4 x 4; the first is the texture itself."""
    chain = [texture]
    while chain[-1].shape[0] > 4:
        fine = chain[-1]
        chain.append((fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / np.float32(4))
    return chain


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw one sRGB colour in [0, 1]: half greyish, half strong."""
    hue, value = rng.uniform(0, 6), rng.uniform(0.15, 0.95)
    saturation = rng.uniform(0.0, 0.25) if rng.random() < 0.4 else rng.uniform(0.4, 0.95)
    wave = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return np.asarray(value * (1 - saturation * (1 - wave)))


def _two_colours(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw two colours of different lightness, as a printer would."""
    first, second = _colour(rng), _colour(rng)
    if abs(first.mean() - second.mean()) < 0.25:
        second = second + (0.5 if first.mean() < 0.5 else -0.5)
    return first, np.clip(second, 0, 1)


def _plain(colour: NDArray[np.float64]) -> NDArray[np.uint8]:
    image = np.empty((TEXTURE_PX, TEXTURE_PX, 3), np.uint8)
    image[:] = np.round(255 * np.clip(colour, 0, 1)).astype(np.uint8)
    return image


def _bytes(colour: NDArray[np.float64]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * float(c)) for c in np.clip(colour, 0, 1))
    return red, green, blue


def _stripes(image: NDArray[np.uint8], rng: np.random.Generator, *, vertical: bool) -> None:
    colours = [_colour(rng) for _ in range(3)]
    place = 0
    while place < TEXTURE_PX:
        width = int(rng.integers(4, 48))
        colour = _bytes(colours[int(rng.integers(3))])
        if rng.random() < 0.6:
            part = image[:, place : place + width] if vertical else image[place : place + width]
            part[:] = colour
        place += width


def _dots(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(8, 40))):
        centre = (int(rng.integers(TEXTURE_PX)), int(rng.integers(TEXTURE_PX)))
        cv2.circle(image, centre, int(rng.integers(3, 28)), _bytes(_colour(rng)), -1, cv2.LINE_AA)


def _band(image: NDArray[np.uint8], rng: np.random.Generator, colour: NDArray[np.float64]) -> None:
    top = int(rng.integers(20, 90))
    bottom = top + int(rng.integers(25, 90))
    image[top:bottom] = _bytes(colour)
    edge = _bytes(_colour(rng))
    image[top : top + 4] = edge
    image[bottom - 4 : bottom] = edge


def _blobs(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    noise = [_tiled_blur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), 16.0, 16.0) for _ in range(3)]
    for layer in noise:
        image[layer > 0.7 * layer.std()] = _bytes(_colour(rng))


def _words(image: NDArray[np.uint8], rng: np.random.Generator, ink: NDArray[np.float64]) -> None:
    """Write a headline and small print."""
    headline = "".join(rng.choice(list(_LETTERS), int(rng.integers(3, 8))))
    scale = float(rng.uniform(1.0, 2.2))
    row = int(rng.integers(45, 120))
    for start in (8, 8 + TEXTURE_PX // 2):
        font = _FONTS[int(rng.integers(len(_FONTS)))]
        cv2.putText(image, headline, (start, row), font, scale, _bytes(ink), max(1, int(2 * scale)), cv2.LINE_AA)
    for line in range(int(rng.integers(0, 6))):
        text = "".join(rng.choice(list(_LETTERS.lower() + "     "), 34))
        place = (10, row + 22 + 11 * line)
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.33, _bytes(ink), 1, cv2.LINE_AA)


def _finished(image: NDArray[np.uint8], rng: np.random.Generator, grain: float) -> Texture:
    """Turn paint into reflectance: paper and plastic reflect 3 to 85 per cent, with some grain and wear."""
    linear = 0.03 + 0.80 * decode_srgb(image)
    wear = cv2.GaussianBlur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), (0, 0), 20) * 20
    fine = rng.standard_normal((TEXTURE_PX, TEXTURE_PX))
    return np.asarray(np.clip(linear * (1 + grain * (wear + fine))[..., None], 0.01, 0.95), np.float32)


def _tiled_blur(noise: NDArray[np.float64], sigma_x_px: float, sigma_y_px: float) -> NDArray[np.float64]:
    """Blur so that the left edge goes on at the right one, and the upper one at the lower."""
    frequency = np.fft.fftfreq(TEXTURE_PX) * 2 * np.pi
    spectrum = np.fft.fft2(noise)
    spectrum *= np.exp(-0.5 * (sigma_y_px * frequency[:, None]) ** 2) * np.exp(-0.5 * (sigma_x_px * frequency) ** 2)
    return np.asarray(np.fft.ifft2(spectrum).real)
