# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""Shade what the rasteriser saw: smooth normals, a lamp with soft shadow, ambient light, textures, a sheen.

Deferred: geometry is rasterised once, and light is computed once per visible sample and nowhere else. With
``supersample`` > 1 every image pixel is the mean, in linear light, of that many squared samples, each of them shaded.
One loop over the samples writes the finished linear pixel; nothing of the samples' resolution is stored but the
fragments. No fast-math, one thread: the same input gives the same bits on every run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numba
import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.render.light import SH_BAND_0, SH_BAND_1, SH_BAND_2, SH_BAND_2_XXYY, SH_BAND_2_ZZ, Light
from hoiray.render.occlusion import parallel_frame
from hoiray.render.raster import (
    DEFAULT_NEAR_M,
    FloatArray,
    Fragments,
    IntArray,
    check_mesh,
    concatenate_meshes,
    orthographic_depth,
    rasterise,
)

# Entries of the table from linear light to sRGB bytes: near black a byte is 1/3295 wide in linear light, so that
# 16384 steps put every byte within a fifth of its width.
_SRGB_STEPS = 16384
# A surface is lifted off its own shadow by these many pixels of the shadow map, along its normal and towards the lamp.
_SHADOW_LIFT_TEXELS = 2.0
_SHADOW_BIAS_TEXELS = 0.7
_SHADOW_MARGIN_PX = 3.0
# A rough surface mirrors its surroundings this much less at grazing angles than a smooth one (chosen by eye).
_ROUGH_RIM = 0.3

# Columns of the per-vertex table (normal, albedo, ambient visibility) and of the per-mesh table.
_NUM_VERTEX_COLUMNS = 7
_SPECULAR, _SHININESS, _SCATTER_R, _SCATTER_G, _SCATTER_B, _TEXTURE_START, _TEXTURE_H, _TEXTURE_W = range(8)


# Refused: fast-math, whose results differ between machines. `numpy` errors: a division by zero gives inf, not a branch.
_compiled = numba.njit(cache=True, error_model="numpy", nogil=True)
# Numba counts references wherever arrays are handed to a function; inlined, shading a sample costs half as much.
_inlined = numba.njit(cache=True, error_model="numpy", nogil=True, forceinline=True)


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface answers to light, beside its colour.

    Attributes:
        specular: reflectance at normal incidence (skin 0.028, plastic 0.04, nothing 0).
        shininess: Blinn-Phong exponent, a positive integer; larger is glossier.
        scatter: how far red, green and blue light travels under the surface, from 0 (stone) to about 0.5: it bends
            round the terminator and warms the edges of shadows.
    """

    specular: float = 0.04
    shininess: int = 24
    scatter: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """One surface in the camera frame.

    Attributes:
        vertices_cam: (V, 3) metres, OpenCV camera axes.
        faces: (F, 3), counter-clockwise seen from outside.
        albedo: (3,) or (V, 3) linear RGB; multiplies the texture where there is one.
        normals: (V, 3) unit and outward; None: area-weighted means of the faces'.
        visibility: (V,) share of the ambient light that arrives (`hoiray.render.occlusion`); None: all of it.
        corner_uv: (F, 3, 2) texture coordinates of each face's corners, (0, 0) the texture's first row and column,
            (1, 1) its last; None: no texture.
        texture: (rows, columns, 3) float32 linear RGB; needed with ``corner_uv``.
        material: sheen and scattering.
    """

    vertices_cam: FloatArray
    faces: IntArray
    albedo: FloatArray = field(default_factory=lambda: np.full(3, 0.6))
    normals: FloatArray | None = None
    visibility: FloatArray | None = None
    corner_uv: FloatArray | None = None
    texture: FloatArray | None = None
    material: Material = field(default_factory=Material)

    def __post_init__(self) -> None:
        """Refuse attributes that do not fit the mesh."""
        num_vertices, num_faces = len(self.vertices_cam), len(self.faces)
        self._expect("albedo", self.albedo, ((3,), (num_vertices, 3)))
        self._expect("normals", self.normals, ((num_vertices, 3),))
        self._expect("visibility", self.visibility, ((num_vertices,),))
        self._expect("corner_uv", self.corner_uv, ((num_faces, 3, 2),))
        if (self.corner_uv is None) != (self.texture is None):
            raise ContractError(
                describe(
                    what="Mesh",
                    expected="corner_uv and texture together, or neither",
                    found="one of them",
                    fix="Pass both for a textured mesh.",
                )
            )

    @staticmethod
    def _expect(name: str, value: FloatArray | None, shapes: tuple[tuple[int, ...], ...]) -> None:
        if value is not None and value.shape not in shapes:
            expected = " or ".join(str(shape) for shape in shapes)
            raise ContractError(
                describe(what=f"Mesh.{name}", expected=expected, found=str(value.shape), fix="Match it to the mesh.")
            )


@dataclass(frozen=True, slots=True, eq=False)
class RenderTarget:
    """The camera and the paper.

    Attributes:
        K: (3, 3) intrinsics in px of the finished image, pixel centres at integers.
        image_size: (height, width) of the finished image.
        supersample: samples per pixel and axis.
        background: (3,) or (H, W, 3) linear RGB.
        near_m: what is closer than this is cut away.
    """

    K: FloatArray
    image_size: tuple[int, int]
    supersample: int = 1
    background: FloatArray = field(default_factory=lambda: np.ones(3))
    near_m: float = DEFAULT_NEAR_M


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """A shaded frame.

    Attributes:
        linear: (H, W, 3) float32 linear RGB over the background.
        coverage: (H, W) float32 share of each pixel's samples that a mesh covers.
        fragments: what every sample sees, ``supersample`` times the image's size.
        mesh_id: (F,) int32 position, in the list of meshes, of each row that ``fragments.triangle_id`` names.
    """

    linear: npt.NDArray[np.float32]
    coverage: npt.NDArray[np.float32]
    fragments: Fragments
    mesh_id: npt.NDArray[np.int32]

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 sRGB."""
        return encode_srgb(self.linear)


def render(meshes: Sequence[Mesh], light: Light, target: RenderTarget) -> Rendering:
    """Render meshes that hide and shadow each other.

    Raises:
        ContractError: a mesh, a light or a target that does not fit (see `hoiray.render.raster.rasterise`).
    """
    # 1 one mesh out of many; 2 what every sample sees; 3 what the lamp sees; 4 light where something is seen
    vertices, faces, mesh_id = concatenate_meshes([(mesh.vertices_cam, mesh.faces) for mesh in meshes])
    K_samples = supersampled_intrinsics(target.K, target.supersample)
    height, width = target.image_size
    sample_size = (height * target.supersample, width * target.supersample)
    fragments = rasterise(vertices, faces, K_samples, sample_size, near_m=target.near_m)
    shadow_px_cam, shadow_m = _shadow_map(vertices, faces, light)
    linear = np.empty((height, width, 3), np.float32)
    for channel in range(3):  # a plane at a time: 56 us against 232 us for a broadcast at 256 px
        linear[..., channel] = target.background[..., channel]
    coverage = np.zeros((height, width), np.float32)
    if len(faces):
        textures, mesh_table = _mesh_table(meshes)
        _shade(
            linear,
            coverage,
            target.supersample,
            (fragments.depth_m, fragments.triangle_id, fragments.barycentric),
            (faces, mesh_id, _facing(vertices, faces), _corner_uv(meshes)),
            (_vertex_table(meshes), mesh_table, textures),
            np.linalg.inv(K_samples),
            (np.asarray(light.direction_cam, np.float64), np.asarray(light.colour, np.float64)),
            _sh_polynomial(light.ambient_sh),
            (shadow_px_cam, shadow_m),
        )
    return Rendering(linear, coverage, fragments, mesh_id)


def supersampled_intrinsics(K: FloatArray, factor: int) -> npt.NDArray[np.float64]:
    """Return the intrinsics of an image ``factor`` times as fine whose pixel blocks tile the pixels of ``K``'s.

    Pixel centres lie at integers, so pixel u covers samples ``factor * u`` to ``factor * u + factor - 1`` and its
    centre lies at ``factor * (u + 1/2) - 1/2``.
    """
    if factor < 1:
        raise ContractError(
            describe(what="supersample", expected="at least 1", found=str(factor), fix="Use 1, 2 or 3.")
        )
    fine = np.array(K, np.float64)
    fine[:2] *= factor
    fine[:2, 2] += (factor - 1) / 2
    return fine


def vertex_normals(vertices: FloatArray, faces: IntArray) -> npt.NDArray[np.float64]:
    """Return (V, 3) unit normals, the faces' weighted by area; zero where a vertex has no face with an area."""
    points, triangles = check_mesh(vertices, faces)
    return np.asarray(_vertex_normals(points, triangles))


def encode_srgb(linear: FloatArray) -> npt.NDArray[np.uint8]:
    """Turn linear light into sRGB bytes (IEC 61966-2-1), clipped to [0, 1]; within one byte of the exact curve."""
    flat = np.ascontiguousarray(linear, np.float32)
    encoded = np.empty(flat.shape, np.uint8)
    _look_up(flat.reshape(-1), _srgb_table(), encoded.reshape(-1))
    return encoded


def decode_srgb(encoded: FloatArray | npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Turn sRGB bytes, or sRGB values in [0, 1], into linear light (IEC 61966-2-1)."""
    scale = 255.0 if encoded.dtype == np.uint8 else 1.0
    value = np.asarray(encoded, np.float64) / scale
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0.04045) + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=1)
def _srgb_table() -> npt.NDArray[np.uint8]:
    linear = np.linspace(0.0, 1.0, _SRGB_STEPS)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)
    return np.round(value * 255).astype(np.uint8)


def _vertex_table(meshes: Sequence[Mesh]) -> npt.NDArray[np.float32]:
    """Lay normal, albedo and visibility of a vertex side by side: one cache line a vertex while shading."""
    tables = []
    for mesh in meshes:
        table = np.ones((len(mesh.vertices_cam), _NUM_VERTEX_COLUMNS), np.float32)
        table[:, :3] = vertex_normals(mesh.vertices_cam, mesh.faces) if mesh.normals is None else mesh.normals
        table[:, 3:6] = mesh.albedo
        if mesh.visibility is not None:
            table[:, 6] = mesh.visibility
        tables.append(table)
    return np.concatenate(tables)


def _mesh_table(meshes: Sequence[Mesh]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return all textures as rows of one (texels, 3) array, and each mesh's material and texture extent."""
    textures = [
        np.ascontiguousarray(mesh.texture, np.float32).reshape(-1, 3) for mesh in meshes if mesh.texture is not None
    ]
    table = np.zeros((len(meshes), 8))
    start = 0
    for row, mesh in zip(table, meshes, strict=True):
        row[_SPECULAR], row[_SHININESS] = mesh.material.specular, mesh.material.shininess
        row[_SCATTER_R : _SCATTER_B + 1] = mesh.material.scatter
        if mesh.texture is not None:
            rows, columns = mesh.texture.shape[:2]
            row[_TEXTURE_START], row[_TEXTURE_H], row[_TEXTURE_W] = start, rows, columns
            start += rows * columns
    if not textures:
        return np.zeros((0, 3), np.float32), table
    return (textures[0] if len(textures) == 1 else np.concatenate(textures)), table


def _corner_uv(meshes: Sequence[Mesh]) -> npt.NDArray[np.float32]:
    if all(mesh.corner_uv is None for mesh in meshes):
        return np.zeros((0, 3, 2), np.float32)
    return np.concatenate(
        [
            np.zeros((len(mesh.faces), 3, 2), np.float32)
            if mesh.corner_uv is None
            else np.asarray(mesh.corner_uv, np.float32)
            for mesh in meshes
        ]
    )


def _shadow_map(
    vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64], light: Light
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Look at the meshes from the lamp; return the (3, 4) map from camera frame to (px, px, m) and the depth map."""
    size = light.shadow_map_px
    if size == 0 or not len(faces):
        return np.zeros((3, 4)), np.zeros((0, 0), np.float32)
    frame = parallel_frame(light.direction_cam)
    seen = vertices @ frame.T
    low, high = seen.min(axis=0), seen.max(axis=0)
    extent_m = max(float((high - low)[:2].max()), 1e-9)
    scale = np.array([1.0, 1.0, 0.0]) * (size - 1 - 2 * _SHADOW_MARGIN_PX) / extent_m + np.array([0.0, 0.0, 1.0])
    offset = np.array([(size - 1) / 2, (size - 1) / 2, 0.0]) - scale * np.append((low + high)[:2] / 2, 0.0)
    depth_m = orthographic_depth(seen * scale + offset, faces, (size, size))
    return np.column_stack([frame * scale[:, None], offset]), depth_m


def _sh_polynomial(coefficients: FloatArray) -> npt.NDArray[np.float64]:
    """Fold the basis' constants in: (9, 3) factors of 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2."""
    bands = [SH_BAND_0, *[SH_BAND_1] * 3, SH_BAND_2, SH_BAND_2, SH_BAND_2_ZZ, SH_BAND_2, SH_BAND_2_XXYY]
    return np.asarray(np.asarray(coefficients, np.float64) * np.array(bands)[:, None])


@_inlined
def _face_normal(vertices: npt.NDArray[np.float64], i: int, j: int, k: int) -> tuple[float, float, float]:
    """Return the outward normal of a triangle, as long as twice its area."""
    ax, ay, az = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
    bx, by, bz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


@_compiled
def _vertex_normals(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    normals = np.zeros((len(vertices), 3))
    for t in range(len(faces)):
        x, y, z = _face_normal(vertices, faces[t, 0], faces[t, 1], faces[t, 2])
        for c in range(3):
            normals[faces[t, c], 0] += x
            normals[faces[t, c], 1] += y
            normals[faces[t, c], 2] += z
    for i in range(len(vertices)):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        if length > 0.0:
            normals[i] /= length
    return normals


@_compiled
def _facing(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return 1 for triangles whose outer side the camera sees and -1 for the others."""
    facing = np.ones(len(faces), np.float32)
    for t in range(len(faces)):
        i = faces[t, 0]
        x, y, z = _face_normal(vertices, i, faces[t, 1], faces[t, 2])
        if x * vertices[i, 0] + y * vertices[i, 1] + z * vertices[i, 2] > 0.0:
            facing[t] = -1.0
    return facing


@_compiled
def _look_up(linear: npt.NDArray[np.float32], table: npt.NDArray[np.uint8], encoded: npt.NDArray[np.uint8]) -> None:
    steps = len(table) - 1
    for i in range(len(linear)):
        encoded[i] = table[int(min(max(linear[i], 0.0), 1.0) * steps + 0.5)]


@_inlined
def _mix(
    table: npt.NDArray[np.float32], corners: tuple[int, int, int], weights: tuple[float, float, float], column: int
) -> float:
    """Interpolate one column of the vertex table."""
    value: float = table[corners[0], column] * weights[0]
    value += table[corners[1], column] * weights[1]
    value += table[corners[2], column] * weights[2]
    return value


@_inlined
def _texel(
    textures: npt.NDArray[np.float32], start: int, rows: int, columns: int, u: float, v: float
) -> tuple[float, float, float]:
    """Read a texture between its four nearest texels; outside [0, 1] the border goes on."""
    x = min(max(u, 0.0), 1.0) * (columns - 1)
    y = min(max(v, 0.0), 1.0) * (rows - 1)
    x0, y0 = int(x), int(y)
    share_x, share_y = x - x0, y - y0
    top = start + y0 * columns + x0
    right = 1 if x0 + 1 < columns else 0
    bottom = top + (columns if y0 + 1 < rows else 0)
    w00, w01 = (1.0 - share_y) * (1.0 - share_x), (1.0 - share_y) * share_x
    w10, w11 = share_y * (1.0 - share_x), share_y * share_x
    red = textures[top, 0] * w00 + textures[top + right, 0] * w01
    red += textures[bottom, 0] * w10 + textures[bottom + right, 0] * w11
    green = textures[top, 1] * w00 + textures[top + right, 1] * w01
    green += textures[bottom, 1] * w10 + textures[bottom + right, 1] * w11
    blue = textures[top, 2] * w00 + textures[top + right, 2] * w01
    blue += textures[bottom, 2] * w10 + textures[bottom + right, 2] * w11
    return red, green, blue


@_inlined
def _lit(shadow_m: npt.NDArray[np.float32], u: float, v: float, distance: float) -> float:
    """Return the share of the lamp that is seen: a 3 x 3 box filter of the depth comparisons, bilinearly placed."""
    x0, y0 = int(np.floor(u)), int(np.floor(v))
    size = shadow_m.shape[0]
    if x0 < 1 or y0 < 1 or x0 >= size - 2 or y0 >= size - 2:
        return 1.0
    share_x, share_y = u - x0, v - y0
    total = 0.0
    for dy in range(-1, 3):
        row = 0.0
        for dx in range(-1, 3):
            weight = 1.0 - share_x if dx == -1 else (share_x if dx == 2 else 1.0)
            row += weight if shadow_m[y0 + dy, x0 + dx] >= distance else 0.0
        total += row * (1.0 - share_y if dy == -1 else (share_y if dy == 2 else 1.0))
    return total / 9.0


@_inlined
def _shadow_at(
    shadow: tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]],
    p: tuple[float, float, float],
    n: tuple[float, float, float],
) -> float:
    """Return the lit share of a camera-frame point with normal n."""
    m, shadow_m = shadow
    if shadow_m.size == 0:
        return 1.0
    texel_m = 1.0 / np.sqrt(m[0, 0] * m[0, 0] + m[0, 1] * m[0, 1] + m[0, 2] * m[0, 2])
    lift = _SHADOW_LIFT_TEXELS * texel_m
    x, y, z = p[0] + lift * n[0], p[1] + lift * n[1], p[2] + lift * n[2]
    u = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
    v = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
    distance = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
    lit: float = _lit(shadow_m, u, v, distance - _SHADOW_BIAS_TEXELS * texel_m)
    return lit


@_inlined
def _ambient(sh: npt.NDArray[np.float64], n: tuple[float, float, float], channel: int) -> float:
    """Evaluate the ambient polynomial of one colour; a dark band-limited light may ring below zero."""
    x, y, z = n
    value: float = sh[0, channel] + sh[1, channel] * y + sh[2, channel] * z + sh[3, channel] * x
    value += sh[4, channel] * x * y + sh[5, channel] * y * z + sh[6, channel] * (3.0 * z * z - 1.0)
    value += sh[7, channel] * x * z + sh[8, channel] * (x * x - y * y)
    return max(value, 0.0)


@_inlined
def _sheen(
    material: npt.NDArray[np.float64],
    n: tuple[float, float, float],
    view: tuple[float, float, float],
    to_lamp: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Return the normalised Blinn-Phong highlight with Schlick's Fresnel term, and the rim's ambient reflectance."""
    f0 = material[_SPECULAR]
    if f0 == 0.0:
        return 0.0, 0.0
    facing = max(n[0] * view[0] + n[1] * view[1] + n[2] * view[2], 0.0)
    rim = f0 + (1.0 - f0) * (1.0 - facing) ** 5 * _ROUGH_RIM
    hx, hy, hz = to_lamp[0] + view[0], to_lamp[1] + view[1], to_lamp[2] + view[2]
    length = np.sqrt(hx * hx + hy * hy + hz * hz)
    if length < 1e-9:
        return 0.0, rim
    n_dot_h = max((n[0] * hx + n[1] * hy + n[2] * hz) / length, 0.0)
    v_dot_h = max((view[0] * hx + view[1] * hy + view[2] * hz) / length, 0.0)
    fresnel = f0 + (1.0 - f0) * (1.0 - v_dot_h) ** 5
    exponent = int(material[_SHININESS])
    return fresnel * (exponent + 8.0) / 8.0 * n_dot_h**exponent, rim


@_inlined
def _albedo(
    surface: tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.float32]],
    corner_uv: npt.NDArray[np.float32],
    t: int,
    mesh: int,
    corners: tuple[int, int, int],
    weights: tuple[float, float, float],
) -> tuple[float, float, float]:
    """Return the linear colour of the surface under one sample."""
    vertex_table, mesh_table, textures = surface
    red = _mix(vertex_table, corners, weights, 3)
    green = _mix(vertex_table, corners, weights, 4)
    blue = _mix(vertex_table, corners, weights, 5)
    rows = int(mesh_table[mesh, _TEXTURE_H])
    if rows == 0:
        return red, green, blue
    u = corner_uv[t, 0, 0] * weights[0] + corner_uv[t, 1, 0] * weights[1] + corner_uv[t, 2, 0] * weights[2]
    v = corner_uv[t, 0, 1] * weights[0] + corner_uv[t, 1, 1] * weights[1] + corner_uv[t, 2, 1] * weights[2]
    start, columns = int(mesh_table[mesh, _TEXTURE_START]), int(mesh_table[mesh, _TEXTURE_W])
    r, g, b = _texel(textures, start, rows, columns, u, v)
    return red * r, green * g, blue * b


@_inlined
def _shade_sample(
    albedo: tuple[float, float, float],
    visibility: float,
    n: tuple[float, float, float],
    p: tuple[float, float, float],
    material: npt.NDArray[np.float64],
    lamp: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    sh: npt.NDArray[np.float64],
    shadow: tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]],
) -> tuple[float, float, float]:
    """Return the linear radiance that one surface point sends to the camera."""
    to_lamp, lamp_colour = lamp
    n_dot_l = n[0] * to_lamp[0] + n[1] * to_lamp[1] + n[2] * to_lamp[2]
    reach = max(material[_SCATTER_R], material[_SCATTER_G], material[_SCATTER_B])
    lit = _shadow_at(shadow, p, n) if n_dot_l > -reach else 0.0
    inverse = 1.0 / np.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
    view = (-p[0] * inverse, -p[1] * inverse, -p[2] * inverse)
    highlight, rim = _sheen(material, n, view, to_lamp)
    highlight *= lit * max(n_dot_l, 0.0)
    # light that travels under the surface comes out of shadows' edges and creases in the colour that travels farthest
    edge, crease = lit * (1.0 - lit), visibility * (1.0 - visibility)
    r, g, b = 0.0, 0.0, 0.0
    for channel in range(3):
        scatter = material[_SCATTER_R + channel]
        diffuse = max(n_dot_l + scatter, 0.0) / (1.0 + scatter) * (lit + scatter * edge)
        ambient = _ambient(sh, n, channel)
        base = albedo[0] if channel == 0 else (albedo[1] if channel == 1 else albedo[2])
        value = base * (ambient * (visibility + scatter * crease) + lamp_colour[channel] * diffuse)
        value += lamp_colour[channel] * highlight + ambient * visibility * rim
        if channel == 0:
            r = value
        elif channel == 1:
            g = value
        else:
            b = value
    return r, g, b


@_inlined
def _sample(
    x: int,
    y: int,
    fragments: tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.float32]],
    geometry: tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]],
    surface: tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.float32]],
    K_inverse: npt.NDArray[np.float64],
    lamp: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    sh: npt.NDArray[np.float64],
    shadow: tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]],
) -> tuple[float, float, float]:
    """Gather what is known about one covered sample, and shade it."""
    depth_m, triangle_id, barycentric = fragments
    faces, mesh_id, facing, corner_uv = geometry
    vertex_table, mesh_table, _ = surface
    t = triangle_id[y, x]
    second, third = barycentric[y, x, 0], barycentric[y, x, 1]
    weights = (1.0 - second - third, float(second), float(third))
    corners = (faces[t, 0], faces[t, 1], faces[t, 2])
    nx = _mix(vertex_table, corners, weights, 0)
    ny = _mix(vertex_table, corners, weights, 1)
    nz = _mix(vertex_table, corners, weights, 2)
    scale = facing[t] / np.sqrt(max(nx * nx + ny * ny + nz * nz, 1e-30))
    z = float(depth_m[y, x])
    p = (
        z * (K_inverse[0, 0] * x + K_inverse[0, 1] * y + K_inverse[0, 2]),
        z * (K_inverse[1, 0] * x + K_inverse[1, 1] * y + K_inverse[1, 2]),
        z,
    )
    albedo = _albedo(surface, corner_uv, t, mesh_id[t], corners, weights)
    visibility = _mix(vertex_table, corners, weights, 6)
    n = (nx * scale, ny * scale, nz * scale)
    shaded: tuple[float, float, float] = _shade_sample(
        albedo, visibility, n, p, mesh_table[mesh_id[t]], lamp, sh, shadow
    )
    return shaded


@_compiled
def _shade(
    linear: npt.NDArray[np.float32],
    coverage: npt.NDArray[np.float32],
    factor: int,
    fragments: tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.float32]],
    geometry: tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]],
    surface: tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.float32]],
    K_inverse: npt.NDArray[np.float64],
    lamp: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    sh: npt.NDArray[np.float64],
    shadow: tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]],
) -> None:
    """Shade every covered sample and mix the samples of a pixel with what is behind them."""
    triangle_id = fragments[1]
    share = 1.0 / (factor * factor)
    for row in range(linear.shape[0]):
        for column in range(linear.shape[1]):
            hits, red, green, blue = 0, 0.0, 0.0, 0.0
            for y in range(row * factor, (row + 1) * factor):
                for x in range(column * factor, (column + 1) * factor):
                    if triangle_id[y, x] < 0:
                        continue
                    r, g, b = _sample(x, y, fragments, geometry, surface, K_inverse, lamp, sh, shadow)
                    hits, red, green, blue = hits + 1, red + r, green + g, blue + b
            if hits:
                behind = 1.0 - hits * share
                coverage[row, column] = hits * share
                linear[row, column, 0] = linear[row, column, 0] * behind + red * share
                linear[row, column, 1] = linear[row, column, 1] * behind + green * share
                linear[row, column, 2] = linear[row, column, 2] * behind + blue * share
