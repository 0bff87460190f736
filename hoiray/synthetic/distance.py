"""Signed distance from points to closed triangle meshes: exact, and fast enough to close a hand by it.

Each closed surface has a tree of boxes over its triangles. The nearest point is found by descending into the nearer box
first; the sign is that of the angle-weighted pseudo-normal of the feature the nearest point lies on (Baerentzen and
Aanaes, "Signed Distance Computation Using the Angle Weighted Pseudonormal", TVCG 2005). Closest points on triangles
follow Ericson, "Real-Time Collision Detection", section 5.1.5.

Several closed surfaces may overlap (a mug's body and its handle): the distance to their union is taken as the smallest
of theirs, which is exact outside and a bound inside.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

_LEAF_FACES = 4
_STACK_DEPTH = 64
"""Twice the depth of a balanced tree over 2^31 faces."""


def compiled(function: Function) -> Function:
    """Compile with numba, once per machine; no fast-math, whose results differ between machines."""
    return cast("Function", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


class DistanceTree(NamedTuple):
    """Triangles of one or several closed surfaces, with their boxes and pseudo-normals; a tuple numba can take.

    Attributes:
        corners: (F, 3, 3) metres, in the order of the leaves.
        normals: (F, 7, 3) pseudo-normals: the face, its edges ab, bc, ca, its corners a, b, c.
        boxes: (N, 2, 3) lower and upper corner.
        children: (N, 2) the two child boxes, or minus one minus the first face and the count of a leaf.
        roots: (S,) the box of each surface.
    """

    corners: FloatArray
    normals: FloatArray
    boxes: FloatArray
    children: IntArray
    roots: IntArray


@dataclass(frozen=True, eq=False)
class Contact:
    """Where points lie relative to a surface.

    Attributes:
        distance_m: (N,) negative inside.
        nearest: (N, 3) nearest points of the surface.
    """

    distance_m: FloatArray
    nearest: FloatArray


def build_tree(surfaces: Sequence[tuple[FloatArray, IntArray]]) -> DistanceTree:
    """Build the tree over closed surfaces.

    Args:
        surfaces: (V, 3) vertices and (F, 3) outward faces of each.
    """
    corners: list[FloatArray] = []
    normals: list[FloatArray] = []
    boxes: list[FloatArray] = []
    children: list[IntArray] = []
    roots: list[int] = []
    first_face = 0
    for vertices, faces in surfaces:
        order, lower_upper, links = _split(vertices[faces])
        offset = sum(len(part) for part in boxes)
        inner = links[:, 0] >= 0
        links[inner] += offset
        links[~inner, 0] -= first_face
        roots.append(offset)
        corners.append(vertices[faces][order])
        normals.append(_pseudo_normals(vertices, faces)[order])
        boxes.append(lower_upper)
        children.append(links)
        first_face += len(faces)
    return DistanceTree(
        np.ascontiguousarray(np.concatenate(corners)),
        np.ascontiguousarray(np.concatenate(normals)),
        np.concatenate(boxes),
        np.concatenate(children),
        np.array(roots, dtype=np.int64),
    )


def measure_contact(tree: DistanceTree, points_m: FloatArray, *, max_distance_m: float = np.inf) -> Contact:
    """Measure signed distances of (N, 3) points.

    Args:
        tree: of the surfaces.
        points_m: in the frame of the surfaces.
        max_distance_m: points farther from the surface, on either side, are given this distance and the nearest point
            NaN, which is faster. It must exceed the depth at which a point may lie inside.
    """
    points = np.ascontiguousarray(points_m, dtype=np.float64)
    distance, nearest = np.empty(len(points)), np.empty((len(points), 3))
    _measure(tree, points, float(max_distance_m), distance, nearest)
    return Contact(distance, nearest)


def _split(triangles: FloatArray) -> tuple[IntArray, FloatArray, IntArray]:
    """Halve the faces at the median of the longest axis until the leaves are small."""
    low, high, centres = triangles.min(axis=1), triangles.max(axis=1), triangles.mean(axis=1)
    boxes: list[FloatArray] = []
    children: list[list[int]] = []
    order: list[int] = []

    def grow(members: IntArray) -> int:
        node = len(boxes)
        boxes.append(np.stack([low[members].min(axis=0), high[members].max(axis=0)]))
        children.append([-1 - len(order), len(members)])
        if len(members) <= _LEAF_FACES:
            order.extend(members.tolist())
            return node
        axis = int(np.ptp(centres[members], axis=0).argmax())
        ranked = members[np.argsort(centres[members, axis], kind="stable")]
        half = len(ranked) // 2
        children[node] = [grow(ranked[:half]), grow(ranked[half:])]
        return node

    grow(np.arange(len(triangles)))
    return np.array(order, dtype=np.int64), np.stack(boxes), np.array(children, dtype=np.int64)


def _pseudo_normals(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Return (F, 7, 3): of each face, its three edges and its three corners; lengths do not matter."""
    triangles = vertices[faces]
    edges = np.roll(triangles, -1, axis=1) - triangles
    normal = np.cross(edges[:, 0], edges[:, 1])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    unit = edges / np.maximum(np.linalg.norm(edges, axis=2, keepdims=True), 1e-300)
    angle = np.arccos(np.clip(-np.einsum("fkd,fkd->fk", unit, np.roll(unit, 1, axis=1)), -1.0, 1.0))
    at_vertex = np.zeros_like(vertices)
    np.add.at(at_vertex, faces.ravel(), (angle[..., None] * normal[:, None]).reshape(-1, 3))
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2).reshape(-1, 2)
    _, edge_id = np.unique(ends, axis=0, return_inverse=True)
    edge_id = edge_id.reshape(faces.shape)
    at_edge = np.zeros((edge_id.max() + 1, 3))
    np.add.at(at_edge, edge_id.ravel(), np.repeat(normal, 3, axis=0))
    return np.concatenate([normal[:, None], at_edge[edge_id], at_vertex[faces]], axis=1)


@compiled
def _box_distance2(box: FloatArray, x: float, y: float, z: float) -> float:  # pragma: no cover - compiled
    dx = max(box[0, 0] - x, 0.0, x - box[1, 0])
    dy = max(box[0, 1] - y, 0.0, y - box[1, 1])
    dz = max(box[0, 2] - z, 0.0, z - box[1, 2])
    return float(dx * dx + dy * dy + dz * dz)


@compiled
def _dot(a: FloatArray, b: FloatArray, origin: FloatArray) -> float:  # pragma: no cover - compiled
    """Return (a - origin) . b, without a temporary array."""
    return float((a[0] - origin[0]) * b[0] + (a[1] - origin[1]) * b[1] + (a[2] - origin[2]) * b[2])


@compiled
def _products(p: FloatArray, t: FloatArray, corner: int) -> tuple[float, float]:  # pragma: no cover - compiled
    """Return ab . (p - corner) and ac . (p - corner) of triangle abc."""
    first, second = 0.0, 0.0
    for axis in range(3):
        away = p[axis] - t[corner, axis]
        first += (t[1, axis] - t[0, axis]) * away
        second += (t[2, axis] - t[0, axis]) * away
    return first, second


@compiled
def _nearest_on_triangle(  # noqa: PLR0911 - one for each of the seven features
    p: FloatArray, t: FloatArray
) -> tuple[int, float, float]:  # pragma: no cover - compiled
    """Return the feature of triangle `t` (3, 3) nearest to `p` and the weights of its second and third corner.

    Features: 0 the face; 1, 2, 3 the edges ab, bc, ca; 4, 5, 6 the corners.
    """
    d1, d2 = _products(p, t, 0)
    if d1 <= 0.0 and d2 <= 0.0:
        return 4, 0.0, 0.0
    d3, d4 = _products(p, t, 1)
    if d3 >= 0.0 and d4 <= d3:
        return 5, 1.0, 0.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        return 1, d1 / (d1 - d3), 0.0
    d5, d6 = _products(p, t, 2)
    if d6 >= 0.0 and d5 <= d6:
        return 6, 0.0, 1.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        return 3, 0.0, d2 / (d2 - d6)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        along = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 2, 1.0 - along, along
    total = va + vb + vc
    return 0, vb / total, vc / total


@compiled
def _try_face(  # pragma: no cover - compiled
    tree: DistanceTree, face: int, p: FloatArray, best: float, nearest: FloatArray
) -> tuple[float, float]:
    """Return the squared distance to one face and its side where that is below `best`, else `best` and 0."""
    t = tree.corners[face]
    feature, second, third = _nearest_on_triangle(p, t)
    first = 1.0 - second - third
    x = first * t[0, 0] + second * t[1, 0] + third * t[2, 0]
    y = first * t[0, 1] + second * t[1, 1] + third * t[2, 1]
    z = first * t[0, 2] + second * t[1, 2] + third * t[2, 2]
    distance2 = (p[0] - x) ** 2 + (p[1] - y) ** 2 + (p[2] - z) ** 2
    if distance2 >= best:
        return best, 0.0
    nearest[0], nearest[1], nearest[2] = x, y, z
    return distance2, 1.0 if _dot(p, tree.normals[face, feature], nearest) >= 0.0 else -1.0


@compiled
def _descend(  # pragma: no cover - compiled
    tree: DistanceTree, root: int, p: FloatArray, limit2: float, nearest: FloatArray
) -> tuple[float, float]:
    """Return the squared distance to one surface, at most `limit2`, and the side (+1 outside, 0 not found)."""
    pending = np.empty(_STACK_DEPTH, np.int64)
    pending[0], depth, best, side = root, 1, limit2, 0.0
    while depth > 0:
        depth -= 1
        node = pending[depth]
        if _box_distance2(tree.boxes[node], p[0], p[1], p[2]) >= best:
            continue
        left, right = tree.children[node]
        if left < 0:
            for face in range(-1 - left, -1 - left + right):
                best, found = _try_face(tree, face, p, best, nearest)
                side = side if found == 0.0 else found
            continue
        near_left = _box_distance2(tree.boxes[left], p[0], p[1], p[2])
        near_right = _box_distance2(tree.boxes[right], p[0], p[1], p[2])
        pending[depth], pending[depth + 1] = (right, left) if near_left <= near_right else (left, right)
        depth += 2
    return best, side


@compiled
def signed_distance_at(  # pragma: no cover - compiled
    tree: DistanceTree, p: FloatArray, max_distance_m: float, nearest: FloatArray
) -> float:
    """Return the signed distance of one point to the union, `max_distance_m` where that is smaller."""
    smallest = max_distance_m
    found = np.empty(3)
    nearest[:] = np.nan
    for root in tree.roots:
        distance2, side = _descend(tree, root, p, max_distance_m * max_distance_m, found)
        distance = side * np.sqrt(distance2)
        if side != 0.0 and distance < smallest:
            smallest = distance
            nearest[:] = found
    return smallest


@compiled
def _measure(  # pragma: no cover - compiled
    tree: DistanceTree, points: FloatArray, max_distance_m: float, distance: FloatArray, nearest: FloatArray
) -> None:
    for i in range(len(points)):
        distance[i] = signed_distance_at(tree, points[i], max_distance_m, nearest[i])
