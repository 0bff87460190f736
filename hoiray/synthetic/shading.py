# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""Turn what the rasteriser saw into light: the compiled inner loops of `hoiray.synthetic.draw`.

A pixel is shaded once, at its centre; only where its four
sub-samples disagree (another surface, or a step in depth) each of them is shaded and the mean is taken, which gives
edges the smoothness of four samples for the price of about 1.3. Labels and depths are those of the pixel's centre.

No fast-math, one thread: the same input gives the same bits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from hoiray.synthetic.distance import compiled

Function = TypeVar("Function", bound=Callable[..., Any])
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]

TEXEL_COLUMNS = 8
"""Red, green, blue, specular factor, tilt x, tilt y, tilt z, unused."""

(
    START,
    SIZE,
    LEVELS,
    SPECULAR,
    SHININESS,
    MIRROR,
    SCATTER_R,
    SCATTER_G,
    SCATTER_B,
    RELIEF,
) = range(10)
TURN = 10
SURFACE_COLUMNS = 19
"""Columns of a surface: its mip chain among the texels, material, whether it has relief, and the (3, 3) rotation of the
relief's axes to the camera."""

(COLUMN, WEIGHT, PX, NX, RED, SHINE, OPEN, LIT, HIGHLIGHT, RIM, ROOM, MX, ER, U, V, LEVEL) = (
    0, 1, 2, 5, 8, 11, 12, 13, 14, 15, 16, 17, 20, 23, 24, 25,
)  # fmt: skip
NUM_SAMPLE_COLUMNS = 26
"""Columns of a sample: its pixel's column and its weight there; point, normal, colour, specular factor; share of the
ambient light and of the lamp that arrives; highlight, reflectance and sharpness of the mirrored room, the mirrored
direction and what is seen there; place in the texture (before that, barycentric) and mip level."""

(
    T_U, T_V, G_U, G_V, S_U, S_V, S_D, DENSE, COS_H, RIM_V, RIM_H,
    SHARE, T_RED, T_GREEN, T_BLUE, T_SHINE, T_FREE, T_LIT, LOBE, M_RED, M_GREEN, M_BLUE,
) = range(22)  # fmt: skip
NUM_PLACE_ROWS = 22
"""Rows about the table in a line of pixels: place in its texture, its grid, the shadow map (px, px, m); texels per
pixel; cosine between normal and half vector; Schlick's fifth powers for view and half vector; share of the pixel; what
was read there: colour, shine, ambient share, lit share, the lamp's highlight before Fresnel, the room it mirrors."""

_STEP_M = 0.004
"""Neighbouring samples of one smooth surface differ less in depth, even where it is seen at a slant."""

_SHADOW_LIFT_TEXELS = 1.2
_SHADOW_BIAS_TEXELS = 0.8
SHADOW_BLOCK_PX = 8
_SHADOW_FADE_PX = 24.0
_SEARCH_TEXELS = 7.0
"""No penumbra is wider than this; it must stay below `SHADOW_BLOCK_PX`, which bounds where blockers are looked for."""

TABLE_TEXTURE_PX = 256
_TABLE_REPEATS_PER_M = 2.0
_TABLE_MAX_LEVEL = 5
_TABLE_OPEN_SHARE = 0.99
"""Where so much of the ambient light arrives the table counts as open, so that most of it need not be lit anew."""
_TABLE_GIVES_WAY_M = 0.03
"""A table hides only what is deeper in it than this: fingers that press on it some millimetres too deep stay whole."""
_CLEARLY_AWAY = 0.01**2
"""Squared cosine; a face seen nearer on edge than this may turn round when the rasteriser snaps its corners."""

_FAINT_LOBE = 14.0
"""A highlight of exponent e has fallen to exp(-14), a millionth, where e (1 - cosine) is this."""

_MAX_SCATTER = 0.5
"""Light wraps round a terminator no farther than this cosine, see `SCATTER_R`."""


def _spiral(count: int) -> Float64:
    """Spread (count, 3) points over the unit disc by the golden angle (Vogel, 1979): x, y and radius."""
    radius = np.sqrt((np.arange(count) + 0.5) / count)
    angle = np.arange(count) * (np.pi * (3.0 - np.sqrt(5.0)))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), radius], axis=1)


_NEXT = np.uint32(1)
"""Indices are unsigned where time counts: numba need not ask whether they count from the end."""

_NUM_TAPS = 16
_DISC = _spiral(_NUM_TAPS)


def inlined(function: Function) -> Function:
    """Compile into the caller: numba counts references wherever arrays are handed to a function."""
    return cast("Function", numba.njit(error_model="numpy", nogil=True, forceinline=True)(function))


class Seen(NamedTuple):
    """What the rasteriser saw: depth (H, W), triangle (H, W), barycentric (H, W, 2) as `render.raster.Fragments`."""

    depth_m: Float32
    triangle_id: Int32
    barycentric: Float32


class Scene(NamedTuple):
    """The meshes of a frame.

    Attributes:
        faces: (F, 3). corner_uv: (F, 3, 2). level: (F,) mip level. mesh: (F,) which mesh. surface: (F,) row of
            `surfaces`. label: (F,) what the label image says. facing: (F,) 1 where the outside is seen, else -1.
        vertices: (V, 4) normal (camera axes) and the share of ambient light that arrives.
        surfaces: (S, 19), see `SURFACE_COLUMNS`. texels: (T, 8).
    """

    faces: NDArray[np.int64]
    corner_uv: Float32
    level: Int32
    mesh: Int32
    surface: Int32
    label: NDArray[np.uint8]
    facing: Float32
    vertices: Float32
    surfaces: Float64
    texels: Float32


class Lighting(NamedTuple):
    """The light of a frame, camera axes.

    Attributes:
        lamp_direction: (3,). lamp_colour: (3,). sh: (9, 3) polynomial in the normal.
        shadow_px_cam: (3, 4) camera to shadow map (px, px, m). shadow_m: (S, S) depths.
        block_m: (S / 8, S / 8) smallest depth of each block of the shadow map and its eight neighbours.
        spread: penumbra's width over the distance from what throws the shadow: twice the lamp's angular radius.
        R_room_cam: (3, 3). octahedron: (O, O, 3) the surroundings. gain: (3,) factor on them.
    """

    lamp_direction: Float64
    lamp_colour: Float64
    sh: Float64
    shadow_px_cam: Float64
    shadow_m: Float32
    block_m: Float32
    spread: float
    R_room_cam: Float64
    octahedron: Float32
    gain: Float64


class Table(NamedTuple):
    """A rectangle in a horizontal plane.

    Attributes:
        plane: (4,) normal n and offset c in camera axes, n . p = c; zero where there is no table.
        axes: (2, 4) from a camera-frame point to metres along the table's sides, from its middle.
        half_m: (2,) half its sides.
        surface: (1, 19) and texels: (T, 4) of its top: red, green, blue, shine.
        grid_axes: (2, 4) from a camera-frame point to the cells of `openness`.
        openness: (G, G) share of the ambient light that arrives.
    """

    plane: Float64
    axes: Float64
    half_m: Float64
    surface: Float64
    texels: Float32
    grid_axes: Float64
    openness: Float32


class Motion(NamedTuple):
    """How things move during the exposure, camera axes.

    Attributes:
        vertices_m: (V, 3) by how much each vertex moves; no vertices at all where nothing moves.
        still: (3, 4) from a point at the middle of the exposure, with a one appended, to by how much it moves if it
            stands still in the world: what the camera's own motion does.
        focal_px: (2,).
        longest_px: no motion in the image is taken to be longer.
    """

    vertices_m: Float32
    still: Float64
    focal_px: Float64
    longest_px: float


class Layers(NamedTuple):
    """A picture whose meshes still lie apart from what is behind them, so that each can move its own way.

    Attributes:
        front: (H, W, 4) light of the meshes, times the share of the pixel which they cover, and that share.
        back: (H, W, 3) light of table and room, where anything of them can come to be seen.
        course: (H, W, 3) px by which the nearest mesh moves during the exposure, and its depth in metres, infinite
            where there is none. Without pixels where nothing moves.
        back_course: (H, W, 2) of table and room; without pixels where the camera does not move.
    """

    front: Float32
    back: Float32
    course: Float32
    back_course: Float32


@inlined
def _octahedral(x: float, y: float, z: float) -> tuple[float, float]:
    """Return where in [-1, 1]^2 a direction of the room lies; see `environments.octahedral_map`."""
    scale = 1.0 / (abs(x) + abs(y) + abs(z))
    u, v = x * scale, z * scale
    if y < 0.0:
        u, v = (1.0 - abs(v)) * (1.0 if u >= 0.0 else -1.0), (1.0 - abs(u)) * (1.0 if v >= 0.0 else -1.0)
    return u, v


@inlined
def _power(base: float, exponent: int) -> float:
    """Raise to a positive integer by squaring."""
    result, rest = 1.0, exponent
    while rest > 0:
        if rest & 1:
            result *= base
        base *= base
        rest >>= 1
    return result


@inlined
def _room(octahedron: Float32, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return what is seen of the room in a direction (room axes, of any length)."""
    last, half = octahedron.shape[0] - 1.001, 0.5 * octahedron.shape[0]
    u, v = _octahedral(x, y, z)
    return _room_at(octahedron, min(max(u * half + half - 0.5, 0.0), last), min(max(v * half + half - 0.5, 0.0), last))


@inlined
def _room_at(octahedron: Float32, u: float, v: float) -> tuple[float, float, float]:
    """Return what is seen of the room at a place of its picture."""
    x0, y0 = np.uint32(u), np.uint32(v)
    x1, y1, o = x0 + _NEXT, y0 + _NEXT, octahedron
    fx, fy = u - x0, v - y0
    w00, w01, w10, w11 = (1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy
    return (
        o[y0, x0, 0] * w00 + o[y0, x1, 0] * w01 + o[y1, x0, 0] * w10 + o[y1, x1, 0] * w11,
        o[y0, x0, 1] * w00 + o[y0, x1, 1] * w01 + o[y1, x0, 1] * w10 + o[y1, x1, 1] * w11,
        o[y0, x0, 2] * w00 + o[y0, x1, 2] * w01 + o[y1, x0, 2] * w10 + o[y1, x1, 2] * w11,
    )


@compiled
def _look_around(  # pragma: no cover - compiled
    samples: Float32, count: int, R_room_cam: Float64, octahedron: Float32, gain: Float64
) -> None:
    """Write what is seen of the room in the direction (MX, MY, MZ), camera axes, of samples that want it (ROOM > 0)."""
    R = R_room_cam
    for s in range(count):
        if samples[s, ROOM] <= 0.0:
            continue
        x, y, z = samples[s, MX], samples[s, MX + 1], samples[s, MX + 2]
        red, green, blue = _room(
            octahedron,
            R[0, 0] * x + R[0, 1] * y + R[0, 2] * z,
            R[1, 0] * x + R[1, 1] * y + R[1, 2] * z,
            R[2, 0] * x + R[2, 1] * y + R[2, 2] * z,
        )
        samples[s, ER], samples[s, ER + 1], samples[s, ER + 2] = red * gain[0], green * gain[1], blue * gain[2]


@compiled
def _read_texels(  # pragma: no cover - compiled
    samples: Float32, surface_of: Int32, count: int, surfaces: Float64, texels: Float32
) -> None:
    """Write colour and shine from the texture at (U, V), mip level LEVEL, and tilt the normal by the relief."""
    for s in range(count):
        row = surface_of[s]
        start, size = int(surfaces[row, START]), int(surfaces[row, SIZE])
        for _ in range(int(samples[s, LEVEL])):
            start += size * size
            size //= 2
        x = min(max(samples[s, U] * size - 0.5, 0.0), size - 1.0)
        y = min(max(samples[s, V] * size - 0.5, 0.0), size - 1.0)
        x0, y0 = int(x), int(y)
        fx, fy = x - x0, y - y0
        top = start + y0 * size + x0
        right = 1 if x0 + 1 < size else 0
        below = top + (size if y0 + 1 < size else 0)
        for c in range(4):
            upper = texels[top, c] * (1.0 - fx) + texels[top + right, c] * fx
            lower = texels[below, c] * (1.0 - fx) + texels[below + right, c] * fx
            samples[s, RED + c] = upper * (1.0 - fy) + lower * fy
        if surfaces[row, RELIEF] > 0.0:
            nearest = (top if fy < 0.5 else below) + (0 if fx < 0.5 else right)
            tx, ty, tz = texels[nearest, 4], texels[nearest, 5], texels[nearest, 6]
            for axis in range(3):
                turned = TURN + 3 * axis
                tilt = surfaces[row, turned] * tx + surfaces[row, turned + 1] * ty + surfaces[row, turned + 2] * tz
                samples[s, NX + axis] += tilt
            scale = 1.0 / np.sqrt(samples[s, NX] ** 2 + samples[s, NX + 1] ** 2 + samples[s, NX + 2] ** 2)
            for axis in range(3):
                samples[s, NX + axis] *= scale


@inlined
def _compare(depth: Float32, u: float, v: float, distance: float) -> float:
    """Return the free share of the four nearest texels of a depth map, weighted by their nearness."""
    x0, y0 = np.uint32(u), np.uint32(v)
    x1, y1 = x0 + _NEXT, y0 + _NEXT
    fx, fy = u - x0, v - y0
    near = (1.0 - fx if depth[y0, x0] >= distance else 0.0) + (fx if depth[y0, x1] >= distance else 0.0)
    far = (1.0 - fx if depth[y1, x0] >= distance else 0.0) + (fx if depth[y1, x1] >= distance else 0.0)
    return near * (1.0 - fy) + far * fy


@inlined
def _lit_share(
    u: float,
    v: float,
    distance: float,
    n_dot_l: float,
    depth: Float32,
    block_m: Float32,
    spread: float,
    texel_m: float,
) -> float:
    """Return the share of the lamp that a point at a place (px, px, m) of the shadow map sees.

    Shadows are sharp where things touch and soft far away (percentage-closer soft shadows: Fernando, SIGGRAPH 2005
    sketches): the mean distance of what is in the way gives the width of the penumbra.
    """
    size, margin = depth.shape[0], SHADOW_BLOCK_PX + 1.0
    if size == 0 or n_dot_l <= -_MAX_SCATTER:
        return 1.0
    if u < margin or v < margin or u >= size - margin or v >= size - margin:
        return 1.0
    # nine of ten samples end here: nothing near them is in the way
    if block_m[int(v) // SHADOW_BLOCK_PX, int(u) // SHADOW_BLOCK_PX] >= distance:
        return 1.0
    # the surface itself is nearer to the lamp on one side of the disc, the more the flatter the light
    slope = min(np.sqrt(max(1.0 - n_dot_l * n_dot_l, 0.0)) / max(n_dot_l, 0.25), 3.0) * texel_m
    blockers, total = 0, 0.0
    for k in range(_NUM_TAPS):
        row, column = v + _SEARCH_TEXELS * _DISC[k, 1] + 0.5, u + _SEARCH_TEXELS * _DISC[k, 0] + 0.5
        near = depth[np.uint32(row), np.uint32(column)]
        if near < distance - _SEARCH_TEXELS * _DISC[k, 2] * slope:
            blockers += 1
            total += near
    # towards the border of the map shadows fade, for what would throw them may lie outside
    fade = min((min(u, v, size - u, size - v) - margin) / _SHADOW_FADE_PX, 1.0)
    # half of the rest end here: no penumbra is wider than what was searched
    if blockers in (0, _NUM_TAPS):
        return 1.0 if blockers == 0 else 1.0 - fade
    width = min(max(spread * (distance - total / blockers) / texel_m, 1.0), _SEARCH_TEXELS)
    free = 0.0
    for k in range(_NUM_TAPS):
        limit = distance - (width - 1.0) * _DISC[k, 2] * slope
        free += _compare(depth, u + width * _DISC[k, 0], v + width * _DISC[k, 1], limit)
    lit: float = 1.0 - fade * (1.0 - free / _NUM_TAPS)
    return lit


@inlined
def _texel_size_m(shadow_px_cam: Float64) -> float:
    """Return the side of a pixel of the shadow map; 1 where there is no map."""
    m = shadow_px_cam
    scale = np.sqrt(m[0, 0] * m[0, 0] + m[0, 1] * m[0, 1] + m[0, 2] * m[0, 2])
    return 1.0 / scale if scale > 0.0 else 1.0


@compiled
def _cast_shadows(  # pragma: no cover - compiled
    samples: Float32, count: int, lamp: Float64, m: Float64, depth: Float32, block_m: Float32, spread: float
) -> None:
    """Write the share of the lamp that each sample sees."""
    texel_m = _texel_size_m(m)
    lift, bias = _SHADOW_LIFT_TEXELS * texel_m, _SHADOW_BIAS_TEXELS * texel_m
    for s in range(count):
        nx, ny, nz = samples[s, NX], samples[s, NX + 1], samples[s, NX + 2]
        x, y, z = samples[s, PX] + lift * nx, samples[s, PX + 1] + lift * ny, samples[s, PX + 2] + lift * nz
        u = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        v = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        distance = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3] - bias
        n_dot_l = nx * lamp[0] + ny * lamp[1] + nz * lamp[2]
        samples[s, LIT] = _lit_share(u, v, distance, n_dot_l, depth, block_m, spread, texel_m)


@compiled
def _reflect(  # pragma: no cover - compiled
    samples: Float32, surface_of: Int32, count: int, surfaces: Float64, lamp: Float64
) -> None:
    """Write the lamp's highlight, the reflectance of the room, and the mirrored direction of view.

    The highlight is Blinn and Phong's, normalised, with Schlick's Fresnel term.
    """
    for s in range(count):
        row = surface_of[s]
        f0 = surfaces[row, SPECULAR] * samples[s, SHINE]
        samples[s, HIGHLIGHT], samples[s, RIM], samples[s, ROOM] = 0.0, 0.0, 0.0
        if f0 <= 0.0:
            continue
        nx, ny, nz = samples[s, NX], samples[s, NX + 1], samples[s, NX + 2]
        x, y, z = samples[s, PX], samples[s, PX + 1], samples[s, PX + 2]
        inverse = -1.0 / np.sqrt(x * x + y * y + z * z)
        x, y, z = x * inverse, y * inverse, z * inverse
        n_dot_v = nx * x + ny * y + nz * z
        mirror = surfaces[row, MIRROR]
        # a rough surface mirrors its surroundings less at grazing angles than a smooth one
        rough = (0.3 + 0.5 * mirror) * min(samples[s, SHINE], 1.0)
        samples[s, RIM] = f0 + rough * (1.0 - f0) * _power(1.0 - max(n_dot_v, 0.0), 5)
        samples[s, ROOM] = mirror
        samples[s, MX] = 2.0 * n_dot_v * nx - x
        samples[s, MX + 1] = 2.0 * n_dot_v * ny - y
        samples[s, MX + 2] = 2.0 * n_dot_v * nz - z
        n_dot_l = nx * lamp[0] + ny * lamp[1] + nz * lamp[2]
        if n_dot_l <= 0.0 or samples[s, LIT] <= 0.0:
            continue
        hx, hy, hz = lamp[0] + x, lamp[1] + y, lamp[2] + z
        inverse = 1.0 / np.sqrt(max(hx * hx + hy * hy + hz * hz, 1e-12))
        n_dot_h = min(max((nx * hx + ny * hy + nz * hz) * inverse, 0.0), 1.0)
        fresnel = f0 + (1.0 - f0) * _power(1.0 - min(max((x * hx + y * hy + z * hz) * inverse, 0.0), 1.0), 5)
        exponent = int(surfaces[row, SHININESS])
        if exponent * (1.0 - n_dot_h) > _FAINT_LOBE:
            continue
        lobe = (exponent + 8.0) / 8.0 * _power(n_dot_h, exponent)
        samples[s, HIGHLIGHT] = fresnel * lobe * n_dot_l * samples[s, LIT]


@compiled
def _add_light(  # pragma: no cover - compiled
    line: Float32,
    samples: Float32,
    surface_of: Int32,
    count: int,
    surfaces: Float64,
    lamp: Float64,
    lamp_colour: Float64,
    sh: Float64,
) -> None:
    """Add the radiance each sample sends to the camera to its pixel of one (W, 3) line of the image."""
    for s in range(count):
        row, column, weight = surface_of[s], int(samples[s, COLUMN]), samples[s, WEIGHT]
        x, y, z = samples[s, NX], samples[s, NX + 1], samples[s, NX + 2]
        n_dot_l = x * lamp[0] + y * lamp[1] + z * lamp[2]
        lit, openness, mirror = samples[s, LIT], samples[s, OPEN], surfaces[row, MIRROR]
        xy, yz, zz, xz, xx = x * y, y * z, 3.0 * z * z - 1.0, x * z, x * x - y * y
        for c in range(3):
            scatter, base = surfaces[row, SCATTER_R + c], samples[s, RED + c]
            wrapped = max(n_dot_l + scatter, 0.0) / ((1.0 + scatter) * (1.0 + scatter))
            # under the skin light leaks across the edge of a shadow
            diffuse = wrapped * (lit + scatter * lit * (1.0 - lit))
            ambient = sh[0, c] + sh[1, c] * y + sh[2, c] * z + sh[3, c] * x
            ambient += sh[4, c] * xy + sh[5, c] * yz + sh[6, c] * zz + sh[7, c] * xz + sh[8, c] * xx
            ambient = max(ambient, 0.0)
            # light that bounces in a crease is not lost: the whiter the walls, the less (Jimenez et al., 2016)
            arriving = openness / (1.0 - base * (1.0 - openness))
            value = base * (ambient * arriving + lamp_colour[c] * diffuse) + lamp_colour[c] * samples[s, HIGHLIGHT]
            value += samples[s, RIM] * openness * (mirror * samples[s, ER + c] + (1.0 - mirror) * ambient)
            line[column, c] += weight * value


@compiled
def _surface_sample(  # pragma: no cover - compiled
    samples: Float32,
    place: NDArray[np.int64],
    count: int,
    faces: NDArray[np.int64],
    corner_uv: Float32,
    level: Int32,
    facing: Float32,
    vertices: Float32,
) -> None:
    """Interpolate normal, openness and texture place of samples whose triangle is `place` and weights are U, V."""
    for s in range(count):
        t = place[s]
        second, third = samples[s, U], samples[s, V]
        first = 1.0 - second - third
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        nx = vertices[i, 0] * first + vertices[j, 0] * second + vertices[k, 0] * third
        ny = vertices[i, 1] * first + vertices[j, 1] * second + vertices[k, 1] * third
        nz = vertices[i, 2] * first + vertices[j, 2] * second + vertices[k, 2] * third
        scale = facing[t] / np.sqrt(max(nx * nx + ny * ny + nz * nz, 1e-30))
        samples[s, NX], samples[s, NX + 1], samples[s, NX + 2] = nx * scale, ny * scale, nz * scale
        samples[s, OPEN] = vertices[i, 3] * first + vertices[j, 3] * second + vertices[k, 3] * third
        samples[s, U] = corner_uv[t, 0, 0] * first + corner_uv[t, 1, 0] * second + corner_uv[t, 2, 0] * third
        samples[s, V] = corner_uv[t, 0, 1] * first + corner_uv[t, 1, 1] * second + corner_uv[t, 2, 1] * third
        samples[s, LEVEL] = level[t]


@inlined
def _table_openness(openness: Float32, u: float, v: float) -> float:
    """Return the share of the ambient light at a place of the grid: all of it outside or where little is missing."""
    size = openness.shape[0]
    if not (0.0 <= u < size - 1.0 and 0.0 <= v < size - 1.0):
        return 1.0
    x0, y0 = np.uint32(u), np.uint32(v)
    x1, y1 = x0 + _NEXT, y0 + _NEXT
    fx, fy = u - x0, v - y0
    top = openness[y0, x0] * (1.0 - fx) + openness[y0, x1] * fx
    below = openness[y1, x0] * (1.0 - fx) + openness[y1, x1] * fx
    share: float = min((top * (1.0 - fy) + below * fy) / _TABLE_OPEN_SHARE, 1.0)
    return share


@inlined
def _table_texel(texels: Float32, u: float, v: float, texels_per_pixel: float) -> tuple[float, float, float, float]:
    """Return red, green, blue and shine of the table at a place, 1 being one repeat of its texture."""
    start, size = 0, TABLE_TEXTURE_PX
    for _ in range(_TABLE_MAX_LEVEL):
        if texels_per_pixel <= 1.5:
            break
        texels_per_pixel *= 0.5
        start += size * size
        size //= 2
    x = min(max((u - np.floor(u)) * size - 0.5, 0.0), size - 1.0)
    y = min(max((v - np.floor(v)) * size - 0.5, 0.0), size - 1.0)
    x0, y0 = int(x), int(y)
    fx, fy = x - x0, y - y0
    across, down = 1 if x0 + 1 < size else 0, size if y0 + 1 < size else 0
    i = np.uint32(start + y0 * size + x0)
    j, k = i + np.uint32(across), i + np.uint32(down)
    n = k + np.uint32(across)
    w00, w01, w10, w11 = (1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy
    return (
        texels[i, 0] * w00 + texels[j, 0] * w01 + texels[k, 0] * w10 + texels[n, 0] * w11,
        texels[i, 1] * w00 + texels[j, 1] * w01 + texels[k, 1] * w10 + texels[n, 1] * w11,
        texels[i, 2] * w00 + texels[j, 2] * w01 + texels[k, 2] * w10 + texels[n, 2] * w11,
        texels[i, 3] * w00 + texels[j, 3] * w01 + texels[k, 3] * w10 + texels[n, 3] * w11,
    )


@inlined
def _fifth(base: float) -> float:
    square = base * base
    return square * square * base


@compiled
def _place_on_table(  # pragma: no cover - compiled
    place: Float64, behind: Float64, table: Table, light: Lighting, pixel: float
) -> None:
    """Write where on the table, its grid and the shadow map the pixels of a line lie, and how the lamp is mirrored.

    No branch, nothing but numbers in the loop: the compiler takes eight pixels at once.
    """
    n0, n1, n2 = table.plane[0], table.plane[1], table.plane[2]
    l0, l1, l2 = light.lamp_direction[0], light.lamp_direction[1], light.lamp_direction[2]
    a, g, m = table.axes, table.grid_axes, light.shadow_px_cam
    a0, a1, a2, a3, b0, b1, b2, b3 = a[0, 0], a[0, 1], a[0, 2], a[0, 3], a[1, 0], a[1, 1], a[1, 2], a[1, 3]
    g0, g1, g2, g3, h0, h1, h2, h3 = g[0, 0], g[0, 1], g[0, 2], g[0, 3], g[1, 0], g[1, 1], g[1, 2], g[1, 3]
    texel_m = _texel_size_m(m)
    lift, bias = _SHADOW_LIFT_TEXELS * texel_m, _SHADOW_BIAS_TEXELS * texel_m
    u0, u1, u2, u3 = m[0, 0], m[0, 1], m[0, 2], m[0, 3] + lift * (m[0, 0] * n0 + m[0, 1] * n1 + m[0, 2] * n2)
    v0, v1, v2, v3 = m[1, 0], m[1, 1], m[1, 2], m[1, 3] + lift * (m[1, 0] * n0 + m[1, 1] * n1 + m[1, 2] * n2)
    d0, d1, d2, d3 = m[2, 0], m[2, 1], m[2, 2], m[2, 3] + lift * (m[2, 0] * n0 + m[2, 1] * n1 + m[2, 2] * n2) - bias
    repeats, n_dot_l = _TABLE_REPEATS_PER_M, n0 * l0 + n1 * l1 + n2 * l2
    density = repeats * TABLE_TEXTURE_PX * pixel
    for i in range(behind.shape[1]):
        z = behind[2, i] if behind[3, i] > 0.0 else 1.0
        x, y = behind[0, i] * z, behind[1, i] * z
        place[T_U, i] = (a0 * x + a1 * y + a2 * z + a3) * repeats
        place[T_V, i] = (b0 * x + b1 * y + b2 * z + b3) * repeats
        place[G_U, i], place[G_V, i] = g0 * x + g1 * y + g2 * z + g3, h0 * x + h1 * y + h2 * z + h3
        place[S_U, i], place[S_V, i] = u0 * x + u1 * y + u2 * z + u3, v0 * x + v1 * y + v2 * z + v3
        place[S_D, i] = d0 * x + d1 * y + d2 * z + d3
        n_dot_p = n0 * x + n1 * y + n2 * z
        # between the extents along and across the slant, so that the far end neither shimmers nor washes out
        place[DENSE, i] = z * density * np.sqrt(-z / min(n_dot_p, -0.08 * z))
        inverse = -1.0 / np.sqrt(x * x + y * y + z * z)
        n_dot_v, l_dot_v = n_dot_p * inverse, (l0 * x + l1 * y + l2 * z) * inverse
        # lamp and view are unit vectors: the sum of both is this long
        half = 1.0 / np.sqrt(max(2.0 + 2.0 * l_dot_v, 1e-12))
        place[COS_H, i] = min(max((n_dot_l + n_dot_v) * half, 0.0), 1.0)
        place[RIM_V, i] = _fifth(1.0 - min(max(n_dot_v, 0.0), 1.0))
        place[RIM_H, i] = _fifth(1.0 - min(max((1.0 + l_dot_v) * half, 0.0), 1.0))


@compiled
def _read_table(  # pragma: no cover - compiled
    place: Float64, behind: Float64, shares: Float64, redo: Float64, table: Table, light: Lighting
) -> None:
    """Read texture, ambient light, shadow and highlight for the pixels of a line that show the table.

    Of pixels that are known as they are when nothing is near (`redo` is 0) only those are read on which less light
    falls; they are then to be painted anew (`redo` becomes 1).
    """
    texels, openness, depth_m, block_m = table.texels, table.openness, light.shadow_m, light.block_m
    n, lamp, spread = table.plane, light.lamp_direction, light.spread
    exponent, n_dot_l = int(table.surface[0, SHININESS]), n[0] * lamp[0] + n[1] * lamp[1] + n[2] * lamp[2]
    texel_m, mirror = _texel_size_m(light.shadow_px_cam), table.surface[0, MIRROR]
    R, octahedron, gain = light.R_room_cam, light.octahedron, light.gain
    for i in range(len(shares)):
        place[SHARE, i] = 0.0
        if shares[i] <= 0.0 or behind[3, i] <= 0.0:
            place[T_RED, i], place[T_GREEN, i], place[T_BLUE, i], place[T_SHINE, i] = 0.0, 0.0, 0.0, 0.0
            place[T_FREE, i], place[T_LIT, i], place[LOBE, i] = 1.0, 0.0, 0.0
            continue
        free = _table_openness(openness, place[G_U, i], place[G_V, i])
        lit = _lit_share(place[S_U, i], place[S_V, i], place[S_D, i], n_dot_l, depth_m, block_m, spread, texel_m)
        place[T_FREE, i], place[T_LIT, i] = free, lit
        if redo[i] == 0.0 and free >= 1.0 and lit >= 1.0:
            continue
        redo[i], place[SHARE, i] = 1.0, behind[3, i]
        red, green, blue, shine = _table_texel(texels, place[T_U, i], place[T_V, i], place[DENSE, i])
        place[T_RED, i], place[T_GREEN, i], place[T_BLUE, i], place[T_SHINE, i] = red, green, blue, shine
        cosine, lobe = place[COS_H, i], 0.0
        if n_dot_l > 0.0 and exponent * (1.0 - cosine) <= _FAINT_LOBE:
            lobe = (exponent + 8.0) / 8.0 * _power(cosine, exponent) * n_dot_l * lit
        place[LOBE, i] = lobe
        if mirror > 0.0:
            x, y = behind[0, i], behind[1, i]
            twice = 2.0 * (n[0] * x + n[1] * y + n[2])
            x, y, z = x - twice * n[0], y - twice * n[1], 1.0 - twice * n[2]
            red, green, blue = _room(
                octahedron,
                R[0, 0] * x + R[0, 1] * y + R[0, 2] * z,
                R[1, 0] * x + R[1, 1] * y + R[1, 2] * z,
                R[2, 0] * x + R[2, 1] * y + R[2, 2] * z,
            )
            place[M_RED, i], place[M_GREEN, i], place[M_BLUE, i] = red * gain[0], green * gain[1], blue * gain[2]


@compiled
def _light_table(  # pragma: no cover - compiled
    line: Float32, place: Float64, surface: Float64, arriving: Float64, lamp_colour: Float64
) -> None:
    """Add the light that the table sends from what was read, as `_reflect` and `_add_light` do for meshes."""
    f0, mirror = surface[SPECULAR], surface[MIRROR]
    # a rough surface mirrors its surroundings less at grazing angles than a smooth one
    rough = 0.3 + 0.5 * mirror
    for c in range(3):
        ambient, diffuse, lamp, scatter = arriving[0, c], arriving[1, c], lamp_colour[c], surface[SCATTER_R + c]
        for i in range(len(line)):
            free, base, shine, lit = place[T_FREE, i], place[T_RED + c, i], place[T_SHINE, i], place[T_LIT, i]
            at_normal = f0 * shine
            rim = at_normal + rough * min(shine, 1.0) * (1.0 - at_normal) * place[RIM_V, i]
            fresnel = at_normal + (1.0 - at_normal) * place[RIM_H, i]
            # light that bounces in a crease is not lost: the whiter the walls, the less (Jimenez et al., 2016)
            value = base * ambient * free / (1.0 - base * (1.0 - free))
            value += base * diffuse * (lit + scatter * lit * (1.0 - lit)) + lamp * fresnel * place[LOBE, i]
            value += rim * free * (mirror * place[M_RED + c, i] + (1.0 - mirror) * ambient)
            line[i, c] += place[SHARE, i] * value


@compiled
def _light_on_table(table: Table, light: Lighting) -> Float64:  # pragma: no cover - compiled
    """Return the (2, 3) ambient light and the lamp's that arrive on the open table."""
    arriving = np.zeros((2, 3))
    x, y, z = table.plane[0], table.plane[1], table.plane[2]
    lamp, sh = light.lamp_direction, light.sh
    n_dot_l = x * lamp[0] + y * lamp[1] + z * lamp[2]
    for c in range(3):
        ambient = sh[0, c] + sh[1, c] * y + sh[2, c] * z + sh[3, c] * x + sh[4, c] * x * y + sh[5, c] * y * z
        ambient += sh[6, c] * (3.0 * z * z - 1.0) + sh[7, c] * x * z + sh[8, c] * (x * x - y * y)
        scatter = table.surface[0, SCATTER_R + c]
        wrapped = max(n_dot_l + scatter, 0.0) / ((1.0 + scatter) * (1.0 + scatter))
        arriving[0, c], arriving[1, c] = max(ambient, 0.0), light.lamp_colour[c] * wrapped
    return arriving


@compiled
def _place_in_room(place: Float64, behind: Float64, R: Float64, size: int) -> None:  # pragma: no cover - compiled
    """Write where in the picture of the room the rays of a line of pixels end; no branch, as `_place_on_table`."""
    r0, r1, r2 = R[0, 0], R[0, 1], R[0, 2]
    r3, r4, r5 = R[1, 0], R[1, 1], R[1, 2]
    r6, r7, r8 = R[2, 0], R[2, 1], R[2, 2]
    half, last = 0.5 * size, size - 1.001
    for i in range(behind.shape[1]):
        dx, dy = behind[0, i], behind[1, i]
        x, y, z = r0 * dx + r1 * dy + r2, r3 * dx + r4 * dy + r5, r6 * dx + r7 * dy + r8
        scale = 1.0 / (abs(x) + abs(y) + abs(z))
        u, v = x * scale, z * scale
        # the lower half of the octahedron, folded out, as in `_octahedral`
        low_u, low_v = 1.0 - abs(v), 1.0 - abs(u)
        u, v = (
            (u if y >= 0.0 else (low_u if u >= 0.0 else -low_u)),
            (v if y >= 0.0 else (low_v if v >= 0.0 else -low_v)),
        )
        place[0, i] = min(max(u * half + half - 0.5, 0.0), last)
        place[1, i] = min(max(v * half + half - 0.5, 0.0), last)


@compiled
def _paint_room(  # pragma: no cover - compiled
    line: Float32,
    place: Float64,
    behind: Float64,
    shares: Float64,
    redo: Float64,
    octahedron: Float32,
    gain: Float64,
) -> None:
    """Add what is seen of the room to the pixels of a line that are to be painted and the table does not fill."""
    for i in range(len(shares)):
        weight = 1.0 - behind[3, i]
        if shares[i] <= 0.0 or weight <= 0.0 or redo[i] == 0.0:
            continue
        red, green, blue = _room_at(octahedron, place[0, i], place[1, i])
        line[i, 0] += weight * red * gain[0]
        line[i, 1] += weight * green * gain[1]
        line[i, 2] += weight * blue * gain[2]


@inlined
def _put(samples: Float32, s: int, column: int, weight: float, dx: float, dy: float, z: float) -> None:
    samples[s, COLUMN], samples[s, WEIGHT] = column, weight
    samples[s, PX], samples[s, PX + 1], samples[s, PX + 2] = dx * z, dy * z, z


@compiled
def _find_table(  # pragma: no cover - compiled
    behind: Float64, y: int, K_inverse: Float64, plane: Float64, axes: Float64, half_m: Float64
) -> None:
    """Write for one line of pixels the ray (dx, dy, 1), depth and coverage (0 to 1) of the table, where it hides from.

    That is the depth from which on the table hides a mesh. No branch, nothing but numbers in the loop: the compiler
    takes eight pixels at once.
    """
    p0, p1, p2, p3 = plane[0], plane[1], plane[2], plane[3]
    # the camera is above the table, or does not see it
    exists, give_way = p3 < 0.0, 1.0 - _TABLE_GIVES_WAY_M / p3 if p3 < 0.0 else 1.0
    k0, k1, k2 = K_inverse[0, 0], K_inverse[0, 1] * y + K_inverse[0, 2], K_inverse[1, 0]
    k3 = K_inverse[1, 1] * y + K_inverse[1, 2]
    a0, a1, a2, a3 = axes[0, 0], axes[0, 1], axes[0, 2], axes[0, 3]
    b0, b1, b2, b3 = axes[1, 0], axes[1, 1], axes[1, 2], axes[1, 3]
    half_a, half_b = half_m[0], half_m[1]
    for x in range(behind.shape[1]):
        dx, dy = k0 * x + k1, k2 * x + k3
        towards = p0 * dx + p1 * dy + p2
        # so does it look at its upper side
        seen = exists and towards < -1e-6
        z = p3 / min(towards, -1e-6)
        along = half_a - abs((a0 * dx + a1 * dy + a2) * z + a3)
        across = half_b - abs((b0 * dx + b1 * dy + b2) * z + b3)
        # the edge is smoothed over the width of a pixel, stretched by the slant
        inside = min(along, across) * min(max(-towards, 0.05), 1.0) / max(z * k0, 1e-12)
        coverage = min(max(inside + 0.5, 0.0), 1.0) if seen else 0.0
        behind[0, x], behind[1, x] = dx, dy
        behind[2, x] = z if coverage > 0.0 else np.inf
        behind[3, x] = coverage
        behind[4, x] = z * give_way if coverage >= 0.5 else np.inf


@compiled
def write_labels(  # pragma: no cover - compiled
    labels: NDArray[np.uint8],
    depth_out: Float32,
    seen: Seen,
    labelled: Seen,
    label: NDArray[np.uint8],
    table: Table,
    K_inverse: Float64,
) -> None:
    """Write the label at each pixel centre, and how far away the nearest surface is: a mesh, the table, or infinity.

    `seen` is everything; `labelled` is hands and objects alone, whose triangles have the labels `label`.
    """
    behind = np.zeros((5, labels.shape[1]))
    for y in range(labels.shape[0]):
        _find_table(behind, y, K_inverse, table.plane, table.axes, table.half_m)
        for x in range(labels.shape[1]):
            t = labelled.triangle_id[y, x]
            labels[y, x] = label[t] if t >= 0 and labelled.depth_m[y, x] <= behind[4, x] else 0
            depth_out[y, x] = seen.depth_m[y, x]
            if seen.triangle_id[y, x] < 0 or seen.depth_m[y, x] > behind[4, x]:
                depth_out[y, x] = behind[2, x] if behind[3, x] >= 0.5 else np.inf


@compiled
def _collect(  # pragma: no cover - compiled
    samples: Float32,
    place: NDArray[np.int64],
    shares: Float64,
    behind: Float64,
    y: int,
    seen: Seen,
    fine: Seen,
    mesh: Int32,
    slopes: Float64,
) -> int:
    """Choose the samples of one line: a pixel's centre, or its four sub-samples where they disagree.

    Writes point, weight and triangle of each, and for each pixel the share of it that shows what is behind the meshes.
    """
    depth_m, triangle_id, barycentric = seen
    fine_m, fine_id, fine_barycentric = fine
    count = 0
    for x in range(behind.shape[1]):
        dx, dy, z_hidden = behind[0, x], behind[1, x], behind[4, x]
        t, z = triangle_id[y, x], depth_m[y, x]
        above, below = 2 * y, 2 * y + 1
        left, right = 2 * x, 2 * x + 1
        # of an id below zero all bits are set: nine of ten pixels end here
        none = fine_id[above, left] & fine_id[above, right] & fine_id[below, left] & fine_id[below, right]
        if t < 0 and none < 0:
            shares[x] = 1.0
            continue
        plain = True
        for k in range(4):
            f, fz = fine_id[2 * y + k // 2, 2 * x + k % 2], fine_m[2 * y + k // 2, 2 * x + k % 2]
            if (f < 0) != (t < 0) or (t >= 0 and (mesh[f] != mesh[t] or abs(fz - z) > _STEP_M)):
                plain = False
        shares[x] = 0.0
        if plain:
            if z > z_hidden:
                shares[x] = 1.0
                continue
            _put(samples, count, x, 1.0, dx, dy, z)
            samples[count, U], samples[count, V] = barycentric[y, x, 0], barycentric[y, x, 1]
            place[count] = t
            count += 1
            continue
        for k in range(4):
            fy, fx = 2 * y + k // 2, 2 * x + k % 2
            if fine_id[fy, fx] < 0 or fine_m[fy, fx] > z_hidden:
                shares[x] += 0.25
                continue
            ex, ey = dx + slopes[0] * (0.5 * (k % 2) - 0.25), dy + slopes[1] * (0.5 * (k // 2) - 0.25)
            _put(samples, count, x, 0.25, ex, ey, fine_m[fy, fx])
            samples[count, U], samples[count, V] = fine_barycentric[fy, fx, 0], fine_barycentric[fy, fx, 1]
            place[count] = fine_id[fy, fx]
            count += 1
    return count


@inlined
def _project_motion(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, motion: Motion
) -> tuple[float, float]:
    """Return by how many px a point (x, y, z) that moves by (dx, dy, dz) does so in the image."""
    inverse = 1.0 / z
    u, v = (
        motion.focal_px[0] * (dx - x * inverse * dz) * inverse,
        motion.focal_px[1] * (dy - y * inverse * dz) * inverse,
    )
    square = u * u + v * v
    if square > motion.longest_px * motion.longest_px:
        shorter = motion.longest_px / np.sqrt(square)
        u, v = u * shorter, v * shorter
    return u, v


@compiled
def _follow_meshes(  # pragma: no cover - compiled
    course: Float32, samples: Float32, place: NDArray[np.int64], count: int, faces: NDArray[np.int64], motion: Motion
) -> None:
    """Write how the nearest sample of each pixel of a line moves; its triangle's weights are U and V."""
    course[:, 0], course[:, 1], course[:, 2] = 0.0, 0.0, np.inf
    moved = motion.vertices_m
    for s in range(count):
        column, z = int(samples[s, COLUMN]), samples[s, PX + 2]
        if z >= course[column, 2]:
            continue
        second, third = samples[s, U], samples[s, V]
        first = 1.0 - second - third
        i, j, k = faces[place[s], 0], faces[place[s], 1], faces[place[s], 2]
        course[column, 2] = z
        course[column, 0], course[column, 1] = _project_motion(
            samples[s, PX],
            samples[s, PX + 1],
            z,
            moved[i, 0] * first + moved[j, 0] * second + moved[k, 0] * third,
            moved[i, 1] * first + moved[j, 1] * second + moved[k, 1] * third,
            moved[i, 2] * first + moved[j, 2] * second + moved[k, 2] * third,
            motion,
        )


@compiled
def _follow_back(course: Float32, behind: Float64, motion: Motion) -> None:  # pragma: no cover - compiled
    """Write how what is behind each pixel of a line moves because the camera does: the table, or the distant room."""
    m, longest = motion.still, motion.longest_px
    m0, m1, m2, m3 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
    n0, n1, n2, n3 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
    o0, o1, o2, o3 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
    focal_x, focal_y = motion.focal_px[0], motion.focal_px[1]
    for x in range(behind.shape[1]):
        dx, dy = behind[0, x], behind[1, x]
        # of the room only the direction counts, for it is far away
        nearness = 1.0 / behind[2, x] if behind[3, x] >= 0.5 else 0.0
        along = o0 * dx + o1 * dy + o2 + nearness * o3
        u = focal_x * (m0 * dx + m1 * dy + m2 + nearness * m3 - dx * along)
        v = focal_y * (n0 * dx + n1 * dy + n2 + nearness * n3 - dy * along)
        shorter = min(longest / max(np.sqrt(u * u + v * v), 1e-12), 1.0)
        course[x, 0], course[x, 1] = u * shorter, v * shorter


@compiled
def _light_up(  # pragma: no cover - compiled
    line: Float32,
    samples: Float32,
    surface_of: Int32,
    count: int,
    surfaces: Float64,
    texels: Float32,
    light: Lighting,
) -> None:
    """Give samples with a point, a normal and a texture place their light, and add it to one line of the image."""
    _read_texels(samples, surface_of, count, surfaces, texels)
    _cast_shadows(
        samples, count, light.lamp_direction, light.shadow_px_cam, light.shadow_m, light.block_m, light.spread
    )
    _reflect(samples, surface_of, count, surfaces, light.lamp_direction)
    _look_around(samples, count, light.R_room_cam, light.octahedron, light.gain)
    _add_light(line, samples, surface_of, count, surfaces, light.lamp_direction, light.lamp_colour, light.sh)


@compiled
def paint_meshes(  # pragma: no cover - compiled
    layers: Layers,
    bare: NDArray[np.uint8],
    seen: Seen,
    fine: Seen,
    scene: Scene,
    light: Lighting,
    table: Table,
    motion: Motion,
    K_inverse: Float64,
) -> None:
    """Write the light of the meshes, how they move, and 1 where they leave something of a pixel (H, W) `bare`.

    `fine` has twice the resolution. Line by line, and in a line step by step over all samples: numba counts references
    of arrays per call, which must not be per sample.
    """
    height, width = layers.front.shape[:2]
    samples, place = np.zeros((4 * width, NUM_SAMPLE_COLUMNS), np.float32), np.zeros(4 * width, np.int64)
    surface_of, shares, behind = np.zeros(4 * width, np.int32), np.zeros(width), np.zeros((5, width))
    slopes = np.array([K_inverse[0, 0], K_inverse[1, 1]])
    for y in range(height):
        front = layers.front[y]
        _find_table(behind, y, K_inverse, table.plane, table.axes, table.half_m)
        count = _collect(samples, place, shares, behind, y, seen, fine, scene.mesh, slopes)
        for s in range(count):
            surface_of[s] = scene.surface[place[s]]
        if layers.course.size > 0:
            _follow_meshes(layers.course[y], samples, place, count, scene.faces, motion)
        if layers.back_course.size > 0:
            _follow_back(layers.back_course[y], behind, motion)
        _surface_sample(samples, place, count, scene.faces, scene.corner_uv, scene.level, scene.facing, scene.vertices)
        _light_up(front, samples, surface_of, count, scene.surfaces, scene.texels, light)
        front[:, 3] = 1.0 - shares
        for x in range(width):
            bare[y, x] = 1 if shares[x] > 0.0 else 0


@compiled
def paint_back(  # pragma: no cover - compiled
    back: Float32, wanted: NDArray[np.uint8], known: Float32, light: Lighting, table: Table, K_inverse: Float64
) -> None:
    """Write the light of table and room where it is `wanted` (H, W; not zero).

    `known` is what they are (H, W, 3) where nothing takes light from the table, as this function gives it for another
    frame of the same camera; without pixels where that is not known. The result has the same bits either way.
    """
    height, width = back.shape[:2]
    arriving, shares, redo, behind = (
        _light_on_table(table, light),
        np.zeros(width),
        np.zeros(width),
        np.zeros((5, width)),
    )
    on_table, in_room = np.zeros((NUM_PLACE_ROWS, width)), np.zeros((2, width))
    for y in range(height):
        line = back[y]
        _find_table(behind, y, K_inverse, table.plane, table.axes, table.half_m)
        for x in range(width):
            shares[x], redo[x] = wanted[y, x], 0.0 if known.size > 0 else 1.0
        if known.size > 0:
            line[:] = known[y]
        sees_table = behind[3].max() > 0.0
        if sees_table:
            _place_on_table(on_table, behind, table, light, K_inverse[0, 0])
            _read_table(on_table, behind, shares, redo, table, light)
        for x in range(width):
            if redo[x] > 0.0:
                line[x, 0], line[x, 1], line[x, 2] = 0.0, 0.0, 0.0
        if sees_table:
            _light_table(line, on_table, table.surface[0], arriving, light.lamp_colour)
        if behind[3].min() < 1.0:
            _place_in_room(in_room, behind, light.R_room_cam, len(light.octahedron))
            _paint_room(line, in_room, behind, shares, redo, light.octahedron, light.gain)


@compiled
def face_views(  # pragma: no cover - compiled
    vertices: Float64, faces: NDArray[np.int64], corner_uv: Float32, texture_px: Float64, levels: Int32, K: Float64
) -> tuple[Float32, Int32]:
    """Return for each face whether its outside is seen (1) or not (-1), and the mip level that fits its pixels."""
    facing, level = np.ones(len(faces), np.float32), np.zeros(len(faces), np.int32)
    for t in range(len(faces)):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, az = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        bx, by, bz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        towards = nx * vertices[i, 0] + ny * vertices[i, 1] + nz * vertices[i, 2]
        if towards > 0.0:
            facing[t] = -1.0
        z = vertices[i, 2]
        if z <= 0.0 or levels[t] <= 1:
            continue
        du0, dv0 = corner_uv[t, 1, 0] - corner_uv[t, 0, 0], corner_uv[t, 1, 1] - corner_uv[t, 0, 1]
        du1, dv1 = corner_uv[t, 2, 0] - corner_uv[t, 0, 0], corner_uv[t, 2, 1] - corner_uv[t, 0, 1]
        texels = abs(du0 * dv1 - du1 * dv0) * texture_px[t] * texture_px[t]
        # the area a face would have if it faced the camera: blurring by the slant would wash out the rim of a can
        pixels = np.sqrt(nx * nx + ny * ny + nz * nz) * K[0, 0] * K[1, 1] / (z * z)
        ratio = texels / max(pixels, 1e-12)
        while ratio > 2.5 and level[t] < levels[t] - 1:
            ratio *= 0.25
            level[t] += 1
    return facing, level


@compiled
def find_shown(  # pragma: no cover - compiled
    vertices: Float64, faces: NDArray[np.int64], is_open: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the rows of `faces` that can be seen: of a closed surface (not `is_open`) never those that look away."""
    shown, count = np.empty(len(faces), np.int64), 0
    for t in range(len(faces)):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        ax, ay, az = vertices[j, 0] - x, vertices[j, 1] - y, vertices[j, 2] - z
        bx, by, bz = vertices[k, 0] - x, vertices[k, 1] - y, vertices[k, 2] - z
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        towards = nx * x + ny * y + nz * z
        away = towards > 0.0 and towards * towards > _CLEARLY_AWAY * (nx * nx + ny * ny + nz * nz) * (
            x * x + y * y + z * z
        )
        if is_open[t] or not away:
            shown[count] = t
            count += 1
    return shown[:count]


@compiled
def splat_depth(  # pragma: no cover - compiled
    placed: Float64, faces: NDArray[np.int64], depth_m: Float32, is_closed: bool
) -> None:
    """Write the smallest depth at every pixel centre; a plain loop over bounding boxes, since triangles are tiny."""
    size = depth_m.shape[0]
    for t in range(len(faces)):
        i, j, k = np.uint32(faces[t, 0]), np.uint32(faces[t, 1]), np.uint32(faces[t, 2])
        ax, ay, bx, by, cx, cy = placed[i, 0], placed[i, 1], placed[j, 0], placed[j, 1], placed[k, 0], placed[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # seen from outside corners turn to the left, which is negative where rows run downwards
        if area == 0.0 or (is_closed and area > 0.0):
            continue
        x0, x1 = int(max(np.ceil(min(ax, bx, cx)), 0.0)), int(min(np.floor(max(ax, bx, cx)), size - 1.0))
        y0, y1 = int(max(np.ceil(min(ay, by, cy)), 0.0)), int(min(np.floor(max(ay, by, cy)), size - 1.0))
        # two of three triangles are so small that no pixel centre is near
        if x0 > x1 or y0 > y1:
            continue
        inverse = 1.0 / area
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                second = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
                third = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inverse
                if second >= 0.0 and third >= 0.0 and second + third <= 1.0:
                    z = placed[i, 2] + second * (placed[j, 2] - placed[i, 2]) + third * (placed[k, 2] - placed[i, 2])
                    depth_m[y, x] = min(depth_m[y, x], z)


@compiled
def _look_from(  # pragma: no cover - compiled
    look: Float64, points: Float64, normals: Float64, f: Float64, texels_per_m: float, middle_px: float
) -> None:
    """Write place (px, px), distance in metres and cosine to the eye's forward axis of (3, P) points with normals."""
    for row in range(3):
        scale, shift = (texels_per_m, middle_px) if row < 2 else (1.0, 0.0)
        a, b, c = f[row, 0] * scale, f[row, 1] * scale, f[row, 2] * scale
        for i in range(points.shape[1]):
            look[row, i] = a * points[0, i] + b * points[1, i] + c * points[2, i] + shift
    a, b, c = f[2, 0], f[2, 1], f[2, 2]
    for i in range(points.shape[1]):
        look[3, i] = a * normals[0, i] + b * normals[1, i] + c * normals[2, i]


@compiled
def measure_openness(  # pragma: no cover - compiled
    points: Float64,
    normals: Float64,
    num_vertices: int,
    faces: NDArray[np.int64],
    frames: Float64,
    centre: Float64,
    texels_per_m: float,
    lift_m: float,
    size: int,
    is_closed: bool = False,
) -> Float32:
    """Return for each point the cosine-weighted share of the directions above it from which it is seen.

    Args:
        points: (P, 3), the first `num_vertices` of which are the vertices of `faces`.
        normals: (P, 3) unit, outward.
        num_vertices: see `points`.
        faces: (C, 3) what hides.
        frames: (D, 3, 3) rows right, down, forward of an eye that looks in from each direction.
        centre: (3,) middle of the maps.
        texels_per_m: scale of the maps.
        lift_m: points are lifted off their own surface by this much.
        size: side of a map in px.
        is_closed: of a closed surface, counter-clockwise from outside, the inside is never nearest: half the work.
    """
    seen, weight = np.zeros(len(points)), np.zeros(len(points))
    placed = np.empty((num_vertices, 3))
    around = np.ascontiguousarray((points - centre).T)
    upwards = np.ascontiguousarray(normals.T)
    look = np.empty((4, len(points)))
    depth_m = np.empty((size, size), np.float32)
    for d in range(len(frames)):
        _look_from(look, around, upwards, frames[d], texels_per_m, 0.5 * size)
        for i in range(num_vertices):
            placed[i, 0], placed[i, 1], placed[i, 2] = look[0, i], look[1, i], look[2, i]
        depth_m[:] = np.inf
        splat_depth(placed, faces, depth_m, is_closed)
        lift_texels, f = lift_m * texels_per_m, frames[d]
        for i in range(len(points)):
            # light that arrives from behind the eye travels along its forward axis
            cosine = -look[3, i]
            if cosine <= 0.0:
                continue
            nx, ny, nz = upwards[0, i], upwards[1, i], upwards[2, i]
            u = look[0, i] + lift_texels * (f[0, 0] * nx + f[0, 1] * ny + f[0, 2] * nz)
            v = look[1, i] + lift_texels * (f[1, 0] * nx + f[1, 1] * ny + f[1, 2] * nz)
            weight[i] += cosine
            if u < 0.0 or v < 0.0 or u >= size - 1.0 or v >= size - 1.0:
                seen[i] += cosine
            else:
                seen[i] += cosine * _compare(depth_m, u, v, look[2, i] - lift_m * cosine)
    share = np.ones(len(points), np.float32)
    for i in range(len(points)):
        if weight[i] > 0.0:
            share[i] = seen[i] / weight[i]
    return share


@compiled
def block_minima(depth_m: Float32) -> Float32:  # pragma: no cover - compiled
    """Return the smallest depth of each block of a shadow map together with its eight neighbours."""
    count = depth_m.shape[0] // SHADOW_BLOCK_PX
    own, blocks = np.empty((count, count), np.float32), np.empty((count, count), np.float32)
    for y in range(count):
        for x in range(count):
            low = np.float32(np.inf)
            for dy in range(SHADOW_BLOCK_PX):
                for dx in range(SHADOW_BLOCK_PX):
                    low = min(low, depth_m[y * SHADOW_BLOCK_PX + dy, x * SHADOW_BLOCK_PX + dx])
            own[y, x] = low
    for y in range(count):
        for x in range(count):
            low = np.float32(np.inf)
            for ny in range(max(y - 1, 0), min(y + 2, count)):
                for nx in range(max(x - 1, 0), min(x + 2, count)):
                    low = min(low, own[ny, nx])
            blocks[y, x] = low
    return blocks


@compiled
def longest_motion_px(  # pragma: no cover - compiled
    vertices: Float64, moved: Float32, K: Float64, height: int, width: int, near_m: float
) -> float:
    """Return how far a vertex that is in the picture, and before and after farther away than `near_m`, moves in it."""
    longest = 0.0
    for i in range(len(vertices)):
        z, later_z = vertices[i, 2], vertices[i, 2] + moved[i, 2]
        if z <= near_m or later_z <= near_m:
            continue
        x, y = vertices[i, 0] / z, vertices[i, 1] / z
        u, v = K[0, 0] * x + K[0, 1] * y + K[0, 2], K[1, 1] * y + K[1, 2]
        if not (0.0 <= u < width and 0.0 <= v < height):
            continue
        dx, dy = (vertices[i, 0] + moved[i, 0]) / later_z - x, (vertices[i, 1] + moved[i, 1]) / later_z - y
        across, down = K[0, 0] * dx + K[0, 1] * dy, K[1, 1] * dy
        longest = max(longest, across * across + down * down)
    return float(np.sqrt(longest))
