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
_TABLE_MAX_LEVEL = 5.0
_TABLE_GIVES_WAY_M = 0.03
"""A table hides only what is deeper in it than this: fingers that press on it some millimetres too deep stay whole."""
_MAX_SCATTER = 0.5
"""Light wraps round a terminator no farther than this cosine, see `SCATTER_R`."""


def _spiral(count: int) -> Float64:
    """Spread (count, 3) points over the unit disc by the golden angle (Vogel, 1979): x, y and radius."""
    radius = np.sqrt((np.arange(count) + 0.5) / count)
    angle = np.arange(count) * (np.pi * (3.0 - np.sqrt(5.0)))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), radius], axis=1)


_DISC = _spiral(16)


def _inlined(function: Function) -> Function:
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
        surface: (1, 19) and texels: (T, 8) of its top.
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


@_inlined
def _octahedral(x: float, y: float, z: float) -> tuple[float, float]:
    """Return where in [-1, 1]^2 a direction of the room lies; see `environments.octahedral_map`."""
    scale = 1.0 / (abs(x) + abs(y) + abs(z))
    u, v = x * scale, z * scale
    if y < 0.0:
        u, v = (1.0 - abs(v)) * (1.0 if u >= 0.0 else -1.0), (1.0 - abs(u)) * (1.0 if v >= 0.0 else -1.0)
    return u, v


@_inlined
def _power(base: float, exponent: int) -> float:
    """Raise to a positive integer by squaring."""
    result, rest = 1.0, exponent
    while rest > 0:
        if rest & 1:
            result *= base
        base *= base
        rest >>= 1
    return result


@compiled
def _look_around(  # pragma: no cover - compiled
    samples: Float64, count: int, R_room_cam: Float64, octahedron: Float32, gain: Float64
) -> None:
    """Write what is seen of the room in the direction (MX, MY, MZ), camera axes, of samples that want it (ROOM > 0)."""
    size = octahedron.shape[0]
    for s in range(count):
        if samples[s, ROOM] <= 0.0:
            continue
        x, y, z = samples[s, MX], samples[s, MX + 1], samples[s, MX + 2]
        u, v = _octahedral(
            R_room_cam[0, 0] * x + R_room_cam[0, 1] * y + R_room_cam[0, 2] * z,
            R_room_cam[1, 0] * x + R_room_cam[1, 1] * y + R_room_cam[1, 2] * z,
            R_room_cam[2, 0] * x + R_room_cam[2, 1] * y + R_room_cam[2, 2] * z,
        )
        u = min(max((u + 1.0) * 0.5 * size - 0.5, 0.0), size - 1.001)
        v = min(max((v + 1.0) * 0.5 * size - 0.5, 0.0), size - 1.001)
        x0, y0 = int(u), int(v)
        fx, fy = u - x0, v - y0
        for c in range(3):
            top = octahedron[y0, x0, c] * (1.0 - fx) + octahedron[y0, x0 + 1, c] * fx
            below = octahedron[y0 + 1, x0, c] * (1.0 - fx) + octahedron[y0 + 1, x0 + 1, c] * fx
            samples[s, ER + c] = (top * (1.0 - fy) + below * fy) * gain[c]


@compiled
def _read_texels(  # pragma: no cover - compiled
    samples: Float64, surface_of: Int32, count: int, surfaces: Float64, texels: Float32
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


@compiled
def _cast_shadows(  # pragma: no cover - compiled
    samples: Float64, count: int, lamp: Float64, m: Float64, depth: Float32, block_m: Float32, spread: float
) -> None:
    """Write the share of the lamp that each sample sees.

    Shadows are sharp where things touch and soft far away (percentage-closer soft shadows: Fernando, SIGGRAPH 2005
    sketches): the mean distance of what is in the way gives the width of the penumbra.
    """
    size = depth.shape[0]
    margin = SHADOW_BLOCK_PX + 1.0
    texel_m = 1.0 / np.sqrt(m[0, 0] * m[0, 0] + m[0, 1] * m[0, 1] + m[0, 2] * m[0, 2]) if size else 1.0
    lift = _SHADOW_LIFT_TEXELS * texel_m
    for s in range(count):
        nx, ny, nz = samples[s, NX], samples[s, NX + 1], samples[s, NX + 2]
        n_dot_l = nx * lamp[0] + ny * lamp[1] + nz * lamp[2]
        samples[s, LIT] = 1.0
        if size == 0 or n_dot_l <= -_MAX_SCATTER:
            continue
        x, y, z = samples[s, PX] + lift * nx, samples[s, PX + 1] + lift * ny, samples[s, PX + 2] + lift * nz
        u = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        v = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        distance = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3] - _SHADOW_BIAS_TEXELS * texel_m
        if u < margin or v < margin or u >= size - margin or v >= size - margin:
            continue
        # nine of ten samples end here: nothing near them is in the way
        if block_m[int(v) // SHADOW_BLOCK_PX, int(u) // SHADOW_BLOCK_PX] >= distance:
            continue
        # the surface itself is nearer to the lamp on one side of the disc, the more the flatter the light
        slope = min(np.sqrt(max(1.0 - n_dot_l * n_dot_l, 0.0)) / max(n_dot_l, 0.25), 3.0) * texel_m
        blockers, total = 0, 0.0
        for k in range(_DISC.shape[0]):
            near = depth[int(v + _SEARCH_TEXELS * _DISC[k, 1] + 0.5), int(u + _SEARCH_TEXELS * _DISC[k, 0] + 0.5)]
            if near < distance - _SEARCH_TEXELS * _DISC[k, 2] * slope:
                blockers += 1
                total += near
        width = 1.0
        if blockers > 0:
            width = min(max(spread * (distance - total / blockers) / texel_m, 1.0), _SEARCH_TEXELS)
        free = 0.0
        for k in range(_DISC.shape[0]):
            limit = distance - (width - 1.0) * _DISC[k, 2] * slope
            free += _compare(depth, u + width * _DISC[k, 0], v + width * _DISC[k, 1], limit)
        # towards the border of the map shadows fade, for what would throw them may lie outside
        fade = min((min(u, v, size - u, size - v) - margin) / _SHADOW_FADE_PX, 1.0)
        samples[s, LIT] = 1.0 - fade * (1.0 - free / _DISC.shape[0])


@_inlined
def _compare(depth: Float32, u: float, v: float, distance: float) -> float:
    """Return the free share of the four nearest texels of a depth map, weighted by their nearness."""
    x0, y0 = int(u), int(v)
    fx, fy = u - x0, v - y0
    near = (1.0 - fx if depth[y0, x0] >= distance else 0.0) + (fx if depth[y0, x0 + 1] >= distance else 0.0)
    far = (1.0 - fx if depth[y0 + 1, x0] >= distance else 0.0) + (fx if depth[y0 + 1, x0 + 1] >= distance else 0.0)
    return near * (1.0 - fy) + far * fy


@compiled
def _reflect(  # pragma: no cover - compiled
    samples: Float64, surface_of: Int32, count: int, surfaces: Float64, lamp: Float64
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
        lobe = (exponent + 8.0) / 8.0 * _power(n_dot_h, exponent)
        samples[s, HIGHLIGHT] = fresnel * lobe * n_dot_l * samples[s, LIT]


@compiled
def _add_light(  # pragma: no cover - compiled
    line: Float32,
    samples: Float64,
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
def _add_room(  # pragma: no cover - compiled
    line: Float32, samples: Float64, count: int
) -> None:
    """Add what `_look_around` found behind everything to one line of the image."""
    for s in range(count):
        for c in range(3):
            line[int(samples[s, COLUMN]), c] += samples[s, WEIGHT] * samples[s, ER + c]


@compiled
def _surface_sample(  # pragma: no cover - compiled
    samples: Float64,
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


@compiled
def _table_samples(  # pragma: no cover - compiled
    samples: Float64, count: int, plane: Float64, axes: Float64, grid_axes: Float64, openness: Float32, pixel: float
) -> None:
    """Write normal, texture place and openness of samples of the table, which have their point already."""
    size = openness.shape[0]
    for s in range(count):
        x, y, z = samples[s, PX], samples[s, PX + 1], samples[s, PX + 2]
        for axis in range(3):
            samples[s, NX + axis] = plane[axis]
        u = (axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z + axes[0, 3]) * _TABLE_REPEATS_PER_M
        v = (axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z + axes[1, 3]) * _TABLE_REPEATS_PER_M
        samples[s, U], samples[s, V] = u - np.floor(u), v - np.floor(v)
        # between the extents along and across the slant, so that the far end neither shimmers nor washes out
        slant = -z / min(plane[0] * x + plane[1] * y + plane[2] * z, -0.08 * z)
        texels_per_pixel = z * pixel * np.sqrt(slant) * _TABLE_REPEATS_PER_M * TABLE_TEXTURE_PX
        samples[s, LEVEL] = 0.0
        while texels_per_pixel > 1.5 and samples[s, LEVEL] < _TABLE_MAX_LEVEL:
            samples[s, LEVEL] += 1.0
            texels_per_pixel *= 0.5
        u = grid_axes[0, 0] * x + grid_axes[0, 1] * y + grid_axes[0, 2] * z + grid_axes[0, 3]
        v = grid_axes[1, 0] * x + grid_axes[1, 1] * y + grid_axes[1, 2] * z + grid_axes[1, 3]
        samples[s, OPEN] = 1.0
        if 0.0 <= u < size - 1.0 and 0.0 <= v < size - 1.0:
            x0, y0 = int(u), int(v)
            top = openness[y0, x0] * (1.0 - (u - x0)) + openness[y0, x0 + 1] * (u - x0)
            below = openness[y0 + 1, x0] * (1.0 - (u - x0)) + openness[y0 + 1, x0 + 1] * (u - x0)
            samples[s, OPEN] = top * (1.0 - (v - y0)) + below * (v - y0)


@_inlined
def _put(samples: Float64, s: int, column: int, weight: float, dx: float, dy: float, z: float) -> None:
    samples[s, COLUMN], samples[s, WEIGHT] = column, weight
    samples[s, PX], samples[s, PX + 1], samples[s, PX + 2] = dx * z, dy * z, z


@compiled
def _behind(  # pragma: no cover - compiled
    ray: Float64, plane: Float64, axes: Float64, half_m: Float64, pixel: float
) -> tuple[float, float]:
    """Return depth and coverage (0 to 1) of the table along the ray (dx, dy, 1)."""
    towards = plane[0] * ray[0] + plane[1] * ray[1] + plane[2]
    # the camera is above the table and looks at its upper side, or does not see it
    if plane[3] >= 0.0 or towards >= -1e-6:
        return np.inf, 0.0
    z = plane[3] / towards
    x, y = ray[0] * z, ray[1] * z
    inside = min(
        half_m[0] - abs(axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z + axes[0, 3]),
        half_m[1] - abs(axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z + axes[1, 3]),
    )
    # the edge is smoothed over the width of a pixel, stretched by the slant
    coverage = min(max(inside * min(max(-towards, 0.05), 1.0) / (z * pixel) + 0.5, 0.0), 1.0)
    return (z if coverage > 0.0 else np.inf), coverage


@compiled
def _find_table(  # pragma: no cover - compiled
    behind: Float64, y: int, K_inverse: Float64, plane: Float64, axes: Float64, half_m: Float64
) -> None:
    """Write for one line of pixels the ray (dx, dy), depth and coverage of the table, and the depth it hides from."""
    for x in range(len(behind)):
        behind[x, 0] = K_inverse[0, 0] * x + K_inverse[0, 1] * y + K_inverse[0, 2]
        behind[x, 1] = K_inverse[1, 0] * x + K_inverse[1, 1] * y + K_inverse[1, 2]
        behind[x, 2], behind[x, 3] = _behind(behind[x], plane, axes, half_m, K_inverse[0, 0])
        behind[x, 4] = np.inf
        if behind[x, 3] >= 0.5:
            behind[x, 4] = behind[x, 2] * (plane[3] - _TABLE_GIVES_WAY_M) / plane[3]


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
    behind = np.zeros((labels.shape[1], 5))
    for y in range(labels.shape[0]):
        _find_table(behind, y, K_inverse, table.plane, table.axes, table.half_m)
        for x in range(labels.shape[1]):
            t = labelled.triangle_id[y, x]
            labels[y, x] = label[t] if t >= 0 and labelled.depth_m[y, x] <= behind[x, 4] else 0
            depth_out[y, x] = seen.depth_m[y, x]
            if seen.triangle_id[y, x] < 0 or seen.depth_m[y, x] > behind[x, 4]:
                depth_out[y, x] = behind[x, 2] if behind[x, 3] >= 0.5 else np.inf


@compiled
def _collect(  # pragma: no cover - compiled
    samples: Float64,
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
    smooth = fine_id.size > 0
    count = 0
    for x in range(len(behind)):
        dx, dy, z_hidden = behind[x, 0], behind[x, 1], behind[x, 4]
        t, z = triangle_id[y, x], depth_m[y, x]
        plain = True
        if smooth:
            for k in range(4):
                f, fz = fine_id[2 * y + k // 2, 2 * x + k % 2], fine_m[2 * y + k // 2, 2 * x + k % 2]
                if (f < 0) != (t < 0) or (t >= 0 and (mesh[f] != mesh[t] or abs(fz - z) > _STEP_M)):
                    plain = False
        shares[x] = 0.0
        if plain:
            if t < 0 or z > z_hidden:
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


@compiled
def _collect_behind(  # pragma: no cover - compiled
    table: Float64, room: Float64, shares: Float64, behind: Float64
) -> tuple[int, int]:
    """Turn what the meshes leave of each pixel into samples of the table and of the room; return their numbers."""
    num_table, num_room = 0, 0
    for x in range(len(shares)):
        if shares[x] <= 0.0:
            continue
        coverage = behind[x, 3]
        if coverage > 0.0:
            _put(table, num_table, x, shares[x] * coverage, behind[x, 0], behind[x, 1], behind[x, 2])
            num_table += 1
        if coverage < 1.0:
            room[num_room, COLUMN], room[num_room, WEIGHT], room[num_room, ROOM] = x, shares[x] * (1.0 - coverage), 1.0
            room[num_room, MX], room[num_room, MX + 1], room[num_room, MX + 2] = behind[x, 0], behind[x, 1], 1.0
            num_room += 1
    return num_table, num_room


@compiled
def _light_up(  # pragma: no cover - compiled
    line: Float32,
    samples: Float64,
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
def paint(  # pragma: no cover - compiled
    linear: Float32,
    seen: Seen,
    fine: Seen,
    scene: Scene,
    light: Lighting,
    table: Table,
    K_inverse: Float64,
    weight: float,
) -> None:
    """Add `weight` times the light of every pixel to `linear`.

    `fine` has twice the resolution, or no pixels at all: then nothing is supersampled. Line by line, and in a line step
    by step over all samples: numba counts references of arrays per call, which must not be per sample.
    """
    height, width = linear.shape[:2]
    samples, place = np.zeros((4 * width, NUM_SAMPLE_COLUMNS)), np.zeros(4 * width, np.int64)
    others, room = np.zeros((width, NUM_SAMPLE_COLUMNS)), np.zeros((width, NUM_SAMPLE_COLUMNS))
    surface_of, table_row = np.zeros(4 * width, np.int32), np.zeros(width, np.int32)
    shares, behind, line = np.zeros(width), np.zeros((width, 5)), np.zeros((width, 3), np.float32)
    slopes = np.array([K_inverse[0, 0], K_inverse[1, 1]])
    for y in range(height):
        line[:] = 0.0
        _find_table(behind, y, K_inverse, table.plane, table.axes, table.half_m)
        count = _collect(samples, place, shares, behind, y, seen, fine, scene.mesh, slopes)
        for s in range(count):
            surface_of[s] = scene.surface[place[s]]
        _surface_sample(samples, place, count, scene.faces, scene.corner_uv, scene.level, scene.facing, scene.vertices)
        _light_up(line, samples, surface_of, count, scene.surfaces, scene.texels, light)
        num_table, num_room = _collect_behind(others, room, shares, behind)
        _table_samples(others, num_table, table.plane, table.axes, table.grid_axes, table.openness, K_inverse[0, 0])
        _light_up(line, others, table_row, num_table, table.surface, table.texels, light)
        _look_around(room, num_room, light.R_room_cam, light.octahedron, light.gain)
        _add_room(line, room, num_room)
        for x in range(width):
            for c in range(3):
                linear[y, x, c] += weight * line[x, c]


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
def _splat_depth(  # pragma: no cover - compiled
    placed: Float64, faces: NDArray[np.int64], depth_m: Float32
) -> None:
    """Write the smallest depth at every pixel centre; a plain loop over bounding boxes, since triangles are tiny."""
    size = depth_m.shape[0]
    for t in range(len(faces)):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, bx, by, cx, cy = placed[i, 0], placed[i, 1], placed[j, 0], placed[j, 1], placed[k, 0], placed[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        x0, x1 = max(int(np.ceil(min(ax, bx, cx))), 0), min(int(np.floor(max(ax, bx, cx))), size - 1)
        y0, y1 = max(int(np.ceil(min(ay, by, cy))), 0), min(int(np.floor(max(ay, by, cy))), size - 1)
        inverse = 1.0 / area
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                second = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
                third = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inverse
                if second >= 0.0 and third >= 0.0 and second + third <= 1.0:
                    z = placed[i, 2] + second * (placed[j, 2] - placed[i, 2]) + third * (placed[k, 2] - placed[i, 2])
                    depth_m[y, x] = min(depth_m[y, x], z)


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
    """
    seen, weight = np.zeros(len(points)), np.zeros(len(points))
    placed = np.empty((num_vertices, 3))
    depth_m = np.empty((size, size), np.float32)
    for d in range(len(frames)):
        f = frames[d]
        for i in range(num_vertices):
            x, y, z = points[i, 0] - centre[0], points[i, 1] - centre[1], points[i, 2] - centre[2]
            placed[i, 0] = (f[0, 0] * x + f[0, 1] * y + f[0, 2] * z) * texels_per_m + 0.5 * size
            placed[i, 1] = (f[1, 0] * x + f[1, 1] * y + f[1, 2] * z) * texels_per_m + 0.5 * size
            placed[i, 2] = f[2, 0] * x + f[2, 1] * y + f[2, 2] * z
        depth_m[:] = np.inf
        _splat_depth(placed, faces, depth_m)
        for i in range(len(points)):
            # light that arrives from behind the eye travels along its forward axis
            cosine = -(f[2, 0] * normals[i, 0] + f[2, 1] * normals[i, 1] + f[2, 2] * normals[i, 2])
            if cosine <= 0.0:
                continue
            x = points[i, 0] + lift_m * normals[i, 0] - centre[0]
            y = points[i, 1] + lift_m * normals[i, 1] - centre[1]
            z = points[i, 2] + lift_m * normals[i, 2] - centre[2]
            u = (f[0, 0] * x + f[0, 1] * y + f[0, 2] * z) * texels_per_m + 0.5 * size
            v = (f[1, 0] * x + f[1, 1] * y + f[1, 2] * z) * texels_per_m + 0.5 * size
            weight[i] += cosine
            if u < 0.0 or v < 0.0 or u >= size - 1.0 or v >= size - 1.0:
                seen[i] += cosine
            else:
                seen[i] += cosine * _compare(depth_m, u, v, f[2, 0] * x + f[2, 1] * y + f[2, 2] * z)
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
