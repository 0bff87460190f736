# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""Rasterise triangles into a z-buffer on one CPU core, without a graphics driver.

A corner in front of the camera is snapped to 1/4096 px. All edge functions are then multiples of 2^-24 below 2^27,
which float64 holds *exactly*: a pixel centre on an edge, or on a corner where many triangles meet, belongs to exactly
one of them, by the top-left rule. A triangle that passes the near plane, or reaches very far out of the image, takes
the same way in homogeneous coordinates (Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates",
Graphics Hardware 1997): nothing is clipped, a test ``depth >= near`` per pixel does it. Two such triangles evaluate
their common edge with opposite sign and equal rounding, so it has neither gap nor overlap either. Barycentric
coordinates are perspective-correct on both ways.

Pixel centres lie at integers, as in OpenCV: the point that projects to (0, 0) is the centre of the first pixel.
No fast-math: the same input gives the same bits on every run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]

# A point closer than one centimetre has no sharp image in any hand camera, and 1/z is still well conditioned there.
DEFAULT_NEAR_M = 0.01
# Corners on a grid of 2^-12 px within 2^13 px: edge functions need 51 of the 53 bits of a float64 and are exact.
_SUBPIXELS = 4096.0
_MAX_SNAPPED_PX = 8192.0
# Of unsnapped triangles, boxes come from divided coordinates and edges from undivided ones: the box must never be the
# stricter of the two. Rounding moves u by about 1e-11 px in a 4000 px image; the margin costs no pixel off an edge.
_BOX_MARGIN_PX = 1e-6
# The smallest positive double: `edge >= _POSITIVE` says `edge > 0` and `edge >= 0.0` admits the edge itself.
_POSITIVE = 5e-324

# Columns of a triangle's row in the table that the set-up writes and the fill reads.
_A0, _B0, _C0, _A1, _B1, _C1, _A2, _B2, _C2 = range(9)
_AK, _BK, _CK, _MIN_KEY, _MAX_KEY, _CUT_KEY = range(9, 15)
_S0, _S1, _S2 = range(15, 18)
_NUM_COLUMNS = 18

# Refused: fast-math, whose results differ between machines. `numpy` errors: a division by zero gives inf, not a branch.
_compiled = numba.njit(cache=True, error_model="numpy", nogil=True)


@dataclass(frozen=True, slots=True)
class Fragments:
    """What every pixel sees.

    Attributes:
        depth_m: (H, W) float32 z in the camera frame, inf where nothing is seen.
        triangle_id: (H, W) int32 row of ``faces``, -1 where nothing is seen.
        barycentric: (H, W, 2) float32 perspective-correct weights of the triangle's second and third corner; the
            first corner has the rest to one. Zero where nothing is seen.
    """

    depth_m: npt.NDArray[np.float32]
    triangle_id: npt.NDArray[np.int32]
    barycentric: npt.NDArray[np.float32]

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """(H, W) True where a triangle is seen."""
        return self.triangle_id >= 0


def rasterise(
    vertices_cam: FloatArray,
    faces: IntArray,
    K: FloatArray,
    image_size: tuple[int, int],
    *,
    near_m: float = DEFAULT_NEAR_M,
) -> Fragments:
    """Find the nearest triangle at every pixel centre; both sides of a triangle are seen.

    Where two triangles are equally near (to float32), the one that comes first in ``faces`` is kept.

    Args:
        vertices_cam: (V, 3) metres, OpenCV camera frame (x right, y down, z forward).
        faces: (F, 3) rows of ``vertices_cam``. Triangles without area in the image cover nothing.
        K: (3, 3) intrinsics in px; the last row is (0, 0, 1).
        image_size: (height, width) in px.
        near_m: what lies closer than this is cut away, through the middle of a triangle where need be.

    Raises:
        ContractError: a wrong shape, a vertex that is not finite, or a face that names a vertex that is not there.
    """
    vertices, triangles = check_mesh(vertices_cam, faces)
    height, width = _check_image_size(image_size)
    intrinsics = _check_intrinsics(K)
    if not near_m > 0:
        raise ContractError(
            describe(what="near_m", expected="a positive distance", found=str(near_m), fix="Give metres, such as 0.01.")
        )
    homogeneous = vertices @ intrinsics.T
    ones = np.ones(len(vertices))
    table, boxes = _set_up(homogeneous, ones, triangles, near_m, 1.0 / near_m, height, width)
    key = np.zeros((height, width), np.float32)
    triangle_id = np.full((height, width), -1, np.int32)
    _fill(table, boxes, key, triangle_id)
    barycentric = np.zeros((height, width, 2), np.float32)
    _resolve(table, triangles, vertices, triangle_id, key, barycentric)
    return Fragments(key, triangle_id, barycentric)


def orthographic_depth(points: FloatArray, faces: IntArray, image_size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Rasterise under parallel projection, for shadow maps and visibility from a direction.

    Args:
        points: (V, 3) u in px, v in px, and the distance along the viewing direction in metres (any sign).
        faces: (F, 3) rows of ``points``.
        image_size: (height, width) in px.

    Returns:
        (H, W) smallest distance at each pixel centre, inf where nothing is seen.

    Raises:
        ContractError: as `rasterise`.
    """
    vertices, triangles = check_mesh(points, faces)
    height, width = _check_image_size(image_size)
    homogeneous = vertices.copy()
    homogeneous[:, 2] = 1.0
    table, boxes = _set_up(homogeneous, -vertices[:, 2], triangles, 0.5, np.inf, height, width)
    key = np.full((height, width), -np.inf, np.float32)
    _fill(table, boxes, key, np.zeros((0, 0), np.int32))
    return -key


def concatenate_meshes(
    parts: Sequence[tuple[FloatArray, IntArray]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Join meshes into one, so that they hide each other.

    Args:
        parts: (vertices (V_i, 3), faces (F_i, 3)) of each mesh.

    Returns:
        vertices (sum V_i, 3), faces (sum F_i, 3) and mesh_id (sum F_i,), the position in ``parts`` of each face.
    """
    if not parts:
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros(0, np.int32)
    checked = [check_mesh(vertices, faces) for vertices, faces in parts]
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in checked[:-1]])
    return (
        np.concatenate([vertices for vertices, _ in checked]),
        np.concatenate([faces + start for (_, faces), start in zip(checked, starts, strict=True)]),
        np.repeat(np.arange(len(parts), dtype=np.int32), [len(faces) for _, faces in checked]),
    )


def interpolate(fragments: Fragments, faces: IntArray, attribute: FloatArray) -> npt.NDArray[np.float32]:
    """Carry a per-vertex attribute to the pixels.

    Args:
        fragments: what `rasterise` returned for these ``faces``.
        faces: (F, 3).
        attribute: (V, C) one row per vertex.

    Returns:
        (H, W, C) float32, NaN where nothing is seen.
    """
    seen = fragments.covered
    corners = attribute[faces[fragments.triangle_id[seen]]]
    second, third = fragments.barycentric[seen, 0, None], fragments.barycentric[seen, 1, None]
    result = np.full((*seen.shape, attribute.shape[1]), np.nan, np.float32)
    result[seen] = corners[:, 0] * (1 - second - third) + corners[:, 1] * second + corners[:, 2] * third
    return result


def check_mesh(vertices: FloatArray, faces: IntArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return vertices as contiguous float64 (V, 3) and faces as contiguous int64 (F, 3), or say what is wrong.

    Raises:
        ContractError: a wrong shape, a vertex that is not finite, or a face that names a vertex that is not there.
    """
    points = np.ascontiguousarray(vertices, np.float64)
    triangles = np.ascontiguousarray(faces, np.int64)
    for name, array in (("vertices", points), ("faces", triangles)):
        if array.ndim != 2 or array.shape[1] != 3:
            raise ContractError(
                describe(what=name, expected="shape (N, 3)", found=str(array.shape), fix="Pass one row per element.")
            )
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise ContractError(
            describe(
                what=f"vertices[{row}]",
                expected="finite coordinates",
                found=str(points[row].tolist()),
                fix="Leave out meshes whose pose is unknown; a drawn guess would pass for data.",
            )
        )
    if triangles.size and (triangles.min() < 0 or triangles.max() >= len(points)):
        raise ContractError(
            describe(
                what="faces",
                expected=f"vertex numbers from 0 to {len(points) - 1}",
                found=f"{triangles.min()} to {triangles.max()}",
                fix="Check that faces and vertices belong to the same mesh.",
            )
        )
    return points, triangles


def _check_image_size(image_size: tuple[int, int]) -> tuple[int, int]:
    height, width = image_size
    if height < 1 or width < 1:
        raise ContractError(
            describe(
                what="image_size", expected="(height, width) >= 1 px", found=str(image_size), fix="Swap or fix it."
            )
        )
    return height, width


def _check_intrinsics(K: FloatArray) -> npt.NDArray[np.float64]:
    intrinsics = np.asarray(K, np.float64)
    if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all() or np.any(intrinsics[2] != (0, 0, 1)):
        raise ContractError(
            describe(
                what="K",
                expected="a finite (3, 3) matrix whose last row is (0, 0, 1)",
                found=np.array2string(intrinsics, separator=", "),
                fix="Pass pixel intrinsics [[fx, s, cx], [0, fy, cy], [0, 0, 1]].",
            )
        )
    return intrinsics


@_compiled
def _snap(homogeneous: npt.NDArray[np.float64], near: float) -> npt.NDArray[np.float64]:
    """Return (V, 3) u and v on the sub-pixel grid and 1/w; 1/w is 0 where a vertex cannot be snapped."""
    screen = np.zeros_like(homogeneous)
    for i in range(len(homogeneous)):
        if homogeneous[i, 2] >= near:
            inverse = 1.0 / homogeneous[i, 2]
            u, v = homogeneous[i, 0] * inverse, homogeneous[i, 1] * inverse
            if max(abs(u), abs(v)) < _MAX_SNAPPED_PX:
                screen[i, 0] = np.rint(u * _SUBPIXELS) / _SUBPIXELS
                screen[i, 1] = np.rint(v * _SUBPIXELS) / _SUBPIXELS
                screen[i, 2] = inverse
    return screen


@_compiled
def _edge(
    table: npt.NDArray[np.float64],
    t: int,
    column: int,
    p: tuple[float, float, float],
    q: tuple[float, float, float],
    sign: float,
) -> None:
    """Write the edge through p and q: the cross product p x q, positive on the inner side."""
    table[t, column] = sign * (p[1] * q[2] - p[2] * q[1])
    table[t, column + 1] = sign * (p[2] * q[0] - p[0] * q[2])
    table[t, column + 2] = sign * (p[0] * q[1] - p[1] * q[0])


@_compiled
def _include(box: FloatArray, u: float, v: float) -> None:
    """Grow a box (u_min, u_max, v_min, v_max)."""
    box[0] = min(box[0], u)
    box[1] = max(box[1], u)
    box[2] = min(box[2], v)
    box[3] = max(box[3], v)


@_compiled
def _bound(p: tuple[float, float, float], q: tuple[float, float, float], near: float, box: FloatArray) -> None:
    """Grow the box by what of the edge from p to q lies beyond the near plane, except for the end q."""
    if p[2] >= near:
        _include(box, p[0] / p[2], p[1] / p[2])
    if (p[2] >= near) != (q[2] >= near):
        share = (near - p[2]) / (q[2] - p[2])
        _include(box, (p[0] + share * (q[0] - p[0])) / near, (p[1] + share * (q[1] - p[1])) / near)


@_compiled
def _pixel_box(boxes: npt.NDArray[np.int64], t: int, box: FloatArray, height: int, width: int) -> None:
    """Write the pixels of a box that lie in the image; the first column lies after the last where none does."""
    boxes[t, 0] = int(np.ceil(min(max(box[0] - _BOX_MARGIN_PX, 0.0), float(width))))
    boxes[t, 1] = int(np.floor(min(max(box[1] + _BOX_MARGIN_PX, -1.0), width - 1.0)))
    boxes[t, 2] = int(np.ceil(min(max(box[2] - _BOX_MARGIN_PX, 0.0), float(height))))
    boxes[t, 3] = int(np.floor(min(max(box[3] + _BOX_MARGIN_PX, -1.0), height - 1.0)))


@_compiled
def _set_up(
    homogeneous: npt.NDArray[np.float64],
    numerator: npt.NDArray[np.float64],
    faces: npt.NDArray[np.int64],
    near: float,
    cut_key: float,
    height: int,
    width: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Turn triangles into edge functions, the plane of the depth key, and pixel boxes (empty: nothing to fill).

    The key is ``sum_i barycentric_i * numerator_i / w`` and larger is nearer: 1/z in perspective (numerator 1), -z in
    parallel projection (w = 1, numerator -z).
    """
    table = np.zeros((len(faces), _NUM_COLUMNS))
    boxes = np.zeros((len(faces), 4), np.int64)
    screen = _snap(homogeneous, near)
    box = np.zeros(4)
    for t in range(len(faces)):
        boxes[t, 1] = -1
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        if max(homogeneous[i, 2], homogeneous[j, 2], homogeneous[k, 2]) < near:
            continue
        if screen[i, 2] > 0.0 and screen[j, 2] > 0.0 and screen[k, 2] > 0.0:
            p, q, r = (
                (screen[i, 0], screen[i, 1], 1.0),
                (screen[j, 0], screen[j, 1], 1.0),
                (screen[k, 0], screen[k, 1], 1.0),
            )
            s0, s1, s2 = screen[i, 2], screen[j, 2], screen[k, 2]
        else:
            p = (homogeneous[i, 0], homogeneous[i, 1], homogeneous[i, 2])
            q = (homogeneous[j, 0], homogeneous[j, 1], homogeneous[j, 2])
            r = (homogeneous[k, 0], homogeneous[k, 1], homogeneous[k, 2])
            s0, s1, s2 = 1.0, 1.0, 1.0
        det = (
            p[0] * (q[1] * r[2] - q[2] * r[1]) + p[1] * (q[2] * r[0] - q[0] * r[2]) + p[2] * (q[0] * r[1] - q[1] * r[0])
        )
        if det == 0.0:
            continue
        sign = 1.0 if det > 0 else -1.0
        _edge(table, t, _A0, q, r, sign)
        _edge(table, t, _A1, r, p, sign)
        _edge(table, t, _A2, p, q, sign)
        table[t, _S0], table[t, _S1], table[t, _S2] = s0, s1, s2
        box[0], box[1], box[2], box[3] = np.inf, -np.inf, np.inf, -np.inf
        _bound(p, q, near, box)
        _bound(q, r, near, box)
        _bound(r, p, near, box)
        _pixel_box(boxes, t, box, height, width)
        keys = (numerator[i] * s0, numerator[j] * s1, numerator[k] * s2)
        _key_plane(table, t, keys, (p[2], q[2], r[2]), abs(det), near, cut_key)
    return table, boxes


@_compiled
def _key_plane(
    table: npt.NDArray[np.float64],
    t: int,
    keys: tuple[float, float, float],
    w: tuple[float, float, float],
    det: float,
    near: float,
    cut_key: float,
) -> None:
    """Write the plane of the depth key and its range over the triangle.

    A triangle seen almost edge-on has a badly conditioned plane; the range of its corners bounds what rounding can do.
    """
    for c in range(3):
        plane = keys[0] * table[t, _A0 + c] + keys[1] * table[t, _A1 + c] + keys[2] * table[t, _A2 + c]
        table[t, _AK + c] = plane / det
    if min(w[0], w[1], w[2]) >= near:
        k0, k1, k2 = keys[0] / w[0], keys[1] / w[1], keys[2] / w[2]
        table[t, _MIN_KEY], table[t, _MAX_KEY] = min(k0, k1, k2), max(k0, k1, k2)
        table[t, _CUT_KEY] = np.inf
    else:
        table[t, _MIN_KEY], table[t, _MAX_KEY], table[t, _CUT_KEY] = 0.0, cut_key, cut_key


@_compiled
def _least_inside(a: float, b: float) -> float:
    """Return the smallest value of an edge function that counts as inside: zero on left and top edges."""
    return 0.0 if a > 0.0 or (a == 0.0 and b > 0.0) else _POSITIVE


@_compiled
def _narrow(first: int, last: int, a: float, row: float, least: float, guess: float) -> tuple[int, int]:
    """Cut a run of pixels to the inside of one edge, ``a * x + row >= least``.

    ``guess`` is where the edge crosses the row, up to rounding. It only chooses where to begin; the edge function
    decides, taken afresh at each pixel as a product and a sum, so that neighbours agree (see the module's head).
    Hardly ever does a loop turn even once, so that the processor predicts both.
    """
    if a > 0.0:
        start = first
        if guess > first:
            first = int(guess) + 1 if guess < last else last + 1
        while first > start and a * (first - 1) + row >= least:
            first -= 1
        while first <= last and a * first + row < least:
            first += 1
    elif a < 0.0:
        end = last
        if guess < last:
            last = int(guess) if guess > first else first
        while last < end and a * (last + 1) + row >= least:
            last += 1
        while first <= last and a * last + row < least:
            last -= 1
    elif row < least:
        last = first - 1
    return first, last


@_compiled
def _fill(
    table: npt.NDArray[np.float64],
    boxes: npt.NDArray[np.int64],
    key: npt.NDArray[np.float32],
    triangle_id: npt.NDArray[np.int32],
) -> None:
    """Keep the nearest triangle of every pixel. Where ``triangle_id`` has no pixels, only the key is kept."""
    with_id = triangle_id.size > 0
    for t in range(len(table)):
        if boxes[t, 0] > boxes[t, 1]:
            continue
        a0, a1, a2, ak = table[t, _A0], table[t, _A1], table[t, _A2], table[t, _AK]
        least0 = _least_inside(a0, table[t, _B0])
        least1 = _least_inside(a1, table[t, _B1])
        least2 = _least_inside(a2, table[t, _B2])
        slope0, slope1, slope2 = -1.0 / a0, -1.0 / a1, -1.0 / a2
        min_key, max_key, cut_key = table[t, _MIN_KEY], table[t, _MAX_KEY], table[t, _CUT_KEY]
        for y in range(boxes[t, 2], boxes[t, 3] + 1):
            row0 = table[t, _B0] * y + table[t, _C0]
            row1 = table[t, _B1] * y + table[t, _C1]
            row2 = table[t, _B2] * y + table[t, _C2]
            row_key = table[t, _BK] * y + table[t, _CK]
            first, last = _narrow(boxes[t, 0], boxes[t, 1], a0, row0, least0, row0 * slope0)
            first, last = _narrow(first, last, a1, row1, least1, row1 * slope1)
            first, last = _narrow(first, last, a2, row2, least2, row2 * slope2)
            for x in range(first, last + 1):
                plane_key = ak * x + row_key
                pixel_key = np.float32(min(max(plane_key, min_key), max_key))
                if pixel_key > key[y, x] and plane_key <= cut_key:
                    key[y, x] = pixel_key
                    if with_id:
                        triangle_id[y, x] = t


@_compiled
def _resolve(
    table: npt.NDArray[np.float64],
    faces: npt.NDArray[np.int64],
    vertices: npt.NDArray[np.float64],
    triangle_id: npt.NDArray[np.int32],
    depth_m: npt.NDArray[np.float32],
    barycentric: npt.NDArray[np.float32],
) -> None:
    """Compute depth and barycentric coordinates of the triangles that won their pixels.

    Of other pixels only the depth is written: memory that nobody has touched since it was zeroed costs no time.
    """
    height, width = triangle_id.shape
    for y in range(height):
        for x in range(width):
            t = triangle_id[y, x]
            if t < 0:
                depth_m[y, x] = np.inf
                continue
            edge0 = (table[t, _A0] * x + (table[t, _B0] * y + table[t, _C0])) * table[t, _S0]
            edge1 = (table[t, _A1] * x + (table[t, _B1] * y + table[t, _C1])) * table[t, _S1]
            edge2 = (table[t, _A2] * x + (table[t, _B2] * y + table[t, _C2])) * table[t, _S2]
            scale = 1.0 / (edge0 + edge1 + edge2)
            second, third = edge1 * scale, edge2 * scale
            z0, z1, z2 = vertices[faces[t, 0], 2], vertices[faces[t, 1], 2], vertices[faces[t, 2], 2]
            depth_m[y, x] = z0 * (1.0 - second - third) + z1 * second + z2 * third
            barycentric[y, x, 0] = second
            barycentric[y, x, 1] = third
