"""Skin: ten tones, palms and knuckles and nails, creases, pores; baked once a person into one texture of the arm.

A place on the skin is known by its position on the resting hand, so that colour and relief stay with the skin however
it moves. They are evaluated once for each texel (`bake_skin`), not for each pixel of each frame.

The ten tones are linear reflectances chosen by eye between the lightest and the darkest of everyday photographs; they
are not a measurement of people and carry no meaning beyond variety.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from hoiray.errors import ContractError, describe
from hoiray.render.raster import rasterise
from hoiray.render.shade import decode_srgb, vertex_normals
from hoiray.synthetic.arm import load_arm
from hoiray.synthetic.distance import compiled

FloatArray = NDArray[np.float64]

SKIN_TONES: FloatArray = decode_srgb(
    np.array(
        [
            [232, 196, 176],
            [226, 184, 160],
            [217, 175, 151],
            [206, 160, 134],
            [190, 142, 114],
            [170, 122, 96],
            [146, 101, 77],
            [120, 82, 62],
            [94, 64, 50],
            [72, 50, 40],
        ],
        np.uint8,
    )
)
"""(10, 3) linear RGB reflectance, light to dark."""

SKIN_TONES.setflags(write=False)

ATLAS_PX = 512
"""Side of the baked texture: about 0.5 mm of skin a texel, half a pixel where a hand fills a frame of 640 x 480."""

SPECULAR = 0.028
"""Reflectance of skin at normal incidence (refractive index 1.4)."""

SHININESS = 18
SCATTER = (0.32, 0.14, 0.08)
"""How far red, green and blue wrap round the terminator; red light travels farthest in skin."""

_NOISE_PX = 64
_NOISE_SEED = 20210
_ISLAND_SPLIT_V = 0.5
"""In the body's texture the hand's island lies below this height and the forearm's above."""


@dataclass(frozen=True, eq=False)
class SkinAtlas:
    """One person's skin, laid out on the arm's texture.

    Attributes:
        texels: (S, S, 8) float32: linear RGB reflectance, specular factor, relief (a tilt of the normal along the rest
            frame's axes), one unused column that fills a row to 32 bytes.
    """

    texels: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Layout:
    """What is the same for everybody, for each texel that shows skin.

    Attributes:
        inside: (S, S) bool. nearest: (S, S) index into the texels inside, for those outside.
        position: (N, 3) metres, rest frame. palm, nail, knuckle, tip, crease, wrinkle: (N,) in [0, 1].
    """

    inside: NDArray[np.bool_]
    nearest: NDArray[np.int64]
    position: FloatArray
    palm: FloatArray
    nail: FloatArray
    knuckle: FloatArray
    tip: FloatArray
    crease: FloatArray
    wrinkle: FloatArray


@lru_cache(maxsize=1)
def atlas_uv() -> NDArray[np.float32]:
    """Return (F, 3, 2) texture coordinates of the arm's corners, (0, 0) the first row and column.

    The hand and the forearm are two far-apart islands of a whole body's texture; here they share one square.
    """
    arm = load_arm()
    uv = arm.uv.copy()
    hand = uv[:, 1] < _ISLAND_SPLIT_V
    for island, (left, top, width) in ((hand, (0.01, 0.01, 0.76)), (~hand, (0.66, 0.73, 0.26))):
        low = uv[island].min(axis=0)
        size = np.ptp(uv[island], axis=0).max()
        uv[island] = (uv[island] - low) / size * width + (left, top)
    return np.ascontiguousarray(uv[arm.uv_faces], np.float32)


def bake_skin(tone_index: int, seed: int) -> SkinAtlas:
    """Colour one person's arm.

    Args:
        tone_index: row of `SKIN_TONES`.
        seed: of everything that differs between people of one tone.

    Raises:
        ContractError: no such tone.
    """
    if not 0 <= tone_index < len(SKIN_TONES):
        expected = f"0 to {len(SKIN_TONES) - 1}"
        raise ContractError(
            describe(what="skin tone index", expected=expected, found=str(tone_index), fix="Draw it from SKIN_TONES.")
        )
    layout = _layout()
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(0, _NOISE_PX, (4, 3))
    base = SKIN_TONES[tone_index] * rng.uniform(0.92, 1.08) * rng.uniform(0.97, 1.03, 3)
    colour = _colour(layout, base, rng, offsets)
    relief, specular = _relief(layout, rng, offsets)
    inside = np.concatenate([colour, specular[:, None], relief, np.zeros((len(colour), 1))], axis=1)
    texels = inside.astype(np.float32)[layout.nearest]
    texels.setflags(write=False)
    return SkinAtlas(texels)


def _colour(layout: _Layout, base: FloatArray, rng: np.random.Generator, offsets: FloatArray) -> FloatArray:
    """Return (N, 3) reflectance."""
    # A palm has little melanin whatever the tone: it is the back of a light hand, less light, more pink.
    light_palm = np.array([0.50, 0.26, 0.19])
    darkness = 1.0 - float(base.mean() / SKIN_TONES[0].mean())
    palm_colour = base * (0.62 - 0.25 * darkness) + light_palm * (0.38 + 0.12 * darkness)
    colour = base + layout.palm[:, None] * (palm_colour - base)
    blood = 0.5 * layout.knuckle + 0.55 * layout.tip * layout.palm + 0.25 * layout.tip
    blotches = (
        value_noise(layout.position * 70.0 + offsets[0]) * 0.22
        + value_noise(layout.position * 240.0 + offsets[1]) * 0.10
    )
    blood = blood + (0.30 + 0.5 * layout.palm) * blotches
    strength = rng.uniform(0.6, 1.3)
    colour *= 1.0 + strength * blood[:, None] * np.array([0.02, -0.15, -0.13])
    melanin = value_noise(layout.position * 420.0 + offsets[2])
    colour *= (1.0 + 0.045 * melanin * (1.0 - 0.5 * layout.palm))[:, None]
    pores = value_noise(layout.position * 1500.0 + offsets[3])
    colour *= (1.0 + 0.05 * pores)[:, None]
    lines = np.clip(layout.crease + 0.6 * layout.wrinkle, 0.0, 1.0)[:, None]
    colour *= 1.0 - lines * np.array([0.26, 0.36, 0.38])
    nail_colour = 0.55 * base + 0.45 * np.array([0.62, 0.40, 0.34])
    colour += (0.8 * layout.nail)[:, None] * (nail_colour - colour)
    return np.clip(colour, 0.01, 0.95)


def _relief(layout: _Layout, rng: np.random.Generator, offsets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the (N, 3) tilt of the normal and the (N,) factor of the specular reflectance."""
    depth = rng.uniform(0.03, 0.07)
    coarse = np.stack([value_noise(layout.position * 700.0 + offset) for offset in offsets[:3]], axis=1)
    fine = np.stack([value_noise(layout.position * 1900.0 + offset) for offset in offsets[1:]], axis=1)
    tilt = depth * (0.6 * coarse + 0.7 * fine) * (1.0 - 0.9 * layout.nail)[:, None]
    grease = rng.uniform(0.5, 1.3)
    shine = grease * (1.0 + 0.25 * value_noise(layout.position * 300.0 + offsets[3]))
    specular = np.clip(shine, 0.2, 2.0) * (1.0 - 0.5 * layout.crease) + 2.0 * layout.nail
    return tilt, specular


@lru_cache(maxsize=1)
def _noise_volume() -> NDArray[np.float32]:
    """Return a (64, 64, 64) periodic volume of unit variance."""
    white = np.random.default_rng(_NOISE_SEED).standard_normal((_NOISE_PX,) * 3)
    smooth = gaussian_filter(white, 0.8, mode="wrap")
    return np.asarray(smooth / smooth.std(), np.float32)


def value_noise(points: FloatArray) -> FloatArray:
    """Look up smooth noise of about unit variance at (N, 3) points; one lattice cell is one unit, period 64."""
    return _value_noise(np.ascontiguousarray(points, np.float64), _noise_volume())


@compiled
def _value_noise(points: FloatArray, volume: NDArray[np.float32]) -> FloatArray:  # pragma: no cover - compiled
    total = np.zeros(len(points))
    period = volume.shape[0]
    for i in range(len(points)):
        x0, y0, z0 = int(np.floor(points[i, 0])), int(np.floor(points[i, 1])), int(np.floor(points[i, 2]))
        fx, fy, fz = points[i, 0] - x0, points[i, 1] - y0, points[i, 2] - z0
        for a in range(2):
            for b in range(2):
                for c in range(2):
                    weight = (fx if a else 1.0 - fx) * (fy if b else 1.0 - fy) * (fz if c else 1.0 - fz)
                    total[i] += weight * volume[(x0 + a) % period, (y0 + b) % period, (z0 + c) % period]
    return total


@lru_cache(maxsize=1)
def _layout() -> _Layout:
    arm = load_arm()
    corner_uv = atlas_uv().astype(np.float64)
    points = np.concatenate([corner_uv.reshape(-1, 2) * ATLAS_PX - 0.5, np.ones((len(corner_uv) * 3, 1))], axis=1)
    faces = np.arange(len(points)).reshape(-1, 3)
    seen = rasterise(points, faces, np.eye(3), (ATLAS_PX, ATLAS_PX))
    inside = seen.covered
    face = seen.triangle_id[inside]
    weights = np.empty((len(face), 3))
    weights[:, 1:] = seen.barycentric[inside]
    weights[:, 0] = 1.0 - weights[:, 1] - weights[:, 2]
    rows, columns = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    index = np.cumsum(inside.ravel()).reshape(inside.shape) - 1
    corners = arm.faces[face]
    position = np.einsum("nk,nkd->nd", weights, arm.vertices[corners])
    normals = np.einsum("nk,nkd->nd", weights, vertex_normals(arm.vertices, arm.faces)[corners])
    nail = np.einsum("nk,nk->n", weights, arm.nail[arm.uv_faces[face]])
    return _features(inside, index[rows, columns], position, normals, nail)


def _features(
    inside: NDArray[np.bool_], nearest: NDArray[np.int64], position: FloatArray, normals: FloatArray, nail: FloatArray
) -> _Layout:
    arm = load_arm()
    joints = arm.hand.rest_joints
    # the thumb's pad looks sideways, between palm (-y) and thumb side: its palm is told by its own axes elsewhere
    palm = np.clip(0.5 - 1.6 * normals[:, 1], 0.0, 1.0)
    palm = palm * palm * (3 - 2 * palm) * np.clip((0.13 - position[:, 0]) / 0.03, 0.0, 1.0)
    to_joint = np.linalg.norm(position[:, None] - joints[None, 1:], axis=2)
    knuckle = np.exp(-((to_joint.min(axis=1) / 0.011) ** 2)) * np.clip(normals[:, 1] * 1.5, 0.0, 1.0)
    tip_vertices = arm.hand.v_template[[744, 320, 443, 554, 671]]
    tip = np.exp(-((np.linalg.norm(position[:, None] - tip_vertices, axis=2).min(axis=1) / 0.014) ** 2))
    crease, wrinkle = _lines(position, normals, palm)
    return _Layout(inside, nearest, position, palm, np.clip(nail, 0.0, 1.0), knuckle, tip, crease, wrinkle)


def _lines(position: FloatArray, normals: FloatArray, palm: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Draw the flexion creases on the palm's side of each joint, and the wrinkles over the finger joints behind."""
    arm = load_arm()
    joints, parents = arm.hand.rest_joints, arm.hand.parents
    wave = 0.0006 * value_noise(position * 260.0 + 17.0)
    crease, wrinkle = np.zeros(len(position)), np.zeros(len(position))
    for joint in range(1, 16):
        parent = int(parents[joint])
        first = parent == 0
        following = joint + 1 if joint % 3 else -1
        towards = joints[following] - joints[joint] if following > 0 else joints[joint] - joints[parent]
        axis = towards / np.linalg.norm(towards)
        along = (position - joints[joint]) @ axis + wave
        radial = np.linalg.norm((position - joints[joint]) - along[:, None] * axis, axis=1)
        near = np.exp(-((radial / 0.011) ** 6))
        # a finger's basal crease lies 18 mm in front of its knuckle, where the web ends
        places = ((0.020, 0.8),) if first else ((-0.001, 1.0), (0.0015, 0.6))
        for place, strength in places:
            crease = np.maximum(crease, strength * near * palm * np.exp(-(((along - place) / 0.0006) ** 2)))
        if not first:
            back = near * np.clip(normals[:, 1], 0.0, 1.0) * np.exp(-((along / 0.005) ** 2))
            wrinkle = np.maximum(wrinkle, back * (0.5 + 0.5 * np.cos(along * 2 * np.pi / 0.0019)))
    for start, middle, end in _PALM_LINES:
        crease = np.maximum(crease, palm * 0.8 * _near_curve(position, start, middle, end, wave))
    return crease, wrinkle


_PALM_LINES = (
    ((0.012, -0.026), (0.004, 0.004), (-0.022, 0.022)),
    ((0.012, 0.042), (0.030, 0.008), (0.050, -0.024)),
    ((0.012, 0.042), (0.036, 0.030), (0.078, 0.010)),
)
"""Heart, head and life line as quadratic curves: (x, z) of start, control point and end, metres in the rest frame."""


def _near_curve(
    position: FloatArray,
    start: tuple[float, float],
    middle: tuple[float, float],
    end: tuple[float, float],
    wave: FloatArray,
) -> FloatArray:
    """Return how much each point lies on a curve of the palm, from 0 to 1."""
    t = np.linspace(0.0, 1.0, 40)[:, None]
    curve = (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(middle) + t**2 * np.array(end)
    flat = position[:, [0, 2]] + wave[:, None]
    distance = np.full(len(flat), np.inf)
    for point in curve:
        distance = np.minimum(distance, np.linalg.norm(flat - point, axis=1))
    return np.exp(-((distance / 0.0011) ** 2))
