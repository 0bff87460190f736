"""Reduce a triangle mesh to an exact number of vertices by half-edge collapses.

The order of the collapses comes from quadric error metrics (Garland and Heckbert, "Surface Simplification Using
Quadric Error Metrics", SIGGRAPH 1997). A half-edge collapse moves a vertex onto its neighbour and never makes a new
position: the kept vertices are a *subset* of the given ones, so shapes, skinning weights and texture coordinates carry
over by index, and the full mesh and the reduced one share every parameter.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe

# Penalties beside the quadric error (m^2 times m^2, doubled areas). On the hand half of all collapses have a quadric
# error above 2e-12 and penalties below 1e-13: these decide between collapses that are geometrically alike.
SKINNING_PENALTY = 1e-12  # an edge of the reference length whose ends have weights one apart
LENGTH_PENALTY = 1e-13
REFERENCE_LENGTH_M = 0.004  # half the hand's mean edge once reduced
BOUNDARY_PENALTY = 3.0  # planes that hold the rim in place, relative to its squared edge length
MIN_NORMAL_COSINE = 0.3  # a face may turn by up to 72 degrees
MIN_ASPECT = 0.12  # doubled area over the squared longest edge; 0.87 for an equilateral triangle

# cost, the vertex that goes, the vertex it goes to, and the versions of both when the cost was computed
Move: TypeAlias = tuple[float, int, int, int, int]


@dataclass(frozen=True)
class Decimation:
    """A reduced mesh.

    Attributes:
        kept: (K,) ascending ids of the vertices that stay.
        faces: (F, 3) rows of `kept`, wound as before.
    """

    kept: NDArray[np.int64]
    faces: NDArray[np.int64]


def decimate(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    num_vertices: int,
    num_boundary_edges: int,
    protected: Collection[int] = (),
) -> Decimation:
    """Collapse a manifold mesh with one boundary loop to exact counts.

    The rim is reduced first, to exactly `num_boundary_edges`, then the inside.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3).
        weights: (V, J) skinning weights; vertices with unlike weights are merged late.
        num_vertices: how many stay.
        num_boundary_edges: how many edges of the rim stay.
        protected: ids that stay in any case.

    Raises:
        ContractError: when the counts cannot be reached without folding the surface or changing its topology.
    """
    work = _Collapser(vertices, faces, weights, frozenset(protected))
    work.collapse(lambda: work.num_boundary <= num_boundary_edges, boundary=True)
    work.collapse(lambda: work.num_alive <= num_vertices, boundary=False)
    if (work.num_alive, work.num_boundary) != (num_vertices, num_boundary_edges):
        raise ContractError(
            describe(
                what="decimation",
                expected=f"{num_vertices} vertices and {num_boundary_edges} boundary edges",
                found=f"{work.num_alive} and {work.num_boundary}",
                fix="Protect fewer vertices or ask for more.",
            )
        )
    return work.result()


class _Collapser:
    """A mesh under reduction: faces by vertex, a quadric per vertex, and a heap of possible collapses."""

    def __init__(
        self,
        vertices: NDArray[np.float64],
        faces: NDArray[np.int64],
        weights: NDArray[np.float64],
        protected: frozenset[int],
    ) -> None:
        self._vertices = vertices
        self._weights = weights
        self._protected = protected
        self._faces: list[tuple[int, int, int]] = [(int(a), int(b), int(c)) for a, b, c in faces]
        self._faces_of: list[set[int]] = [set() for _ in vertices]
        for index, face in enumerate(self._faces):
            for vertex in face:
                self._faces_of[vertex].add(index)
        edges = Counter(frozenset(edge) for face in self._faces for edge in _edges(face))
        self._rim = {vertex for edge, count in edges.items() if count == 1 for vertex in edge}
        self._quadrics = _quadrics(vertices, self._faces, edges)
        self._version = [0] * len(vertices)
        self._gone: set[int] = set()

    @property
    def num_alive(self) -> int:
        return len(self._vertices) - len(self._gone)

    @property
    def num_boundary(self) -> int:
        return len(self._rim)

    def collapse(self, done: Callable[[], bool], *, boundary: bool) -> None:
        """Collapse in order of cost until done; either rim vertices along the rim, or inner vertices only."""
        alive = [v for v in range(len(self._vertices)) if v not in self._gone]
        heap = [entry for vertex in alive for entry in self._moves_of(vertex, boundary=boundary)]
        heapq.heapify(heap)
        while heap and not done():
            _, start, end, start_version, end_version = heapq.heappop(heap)
            if (self._version[start], self._version[end]) != (start_version, end_version):
                continue
            if not self._is_allowed(start, end):
                continue
            self._merge(start, end)
            touched = self._neighbours(end) | {end}
            for vertex in touched:
                self._version[vertex] += 1
            around = touched.union(*(self._neighbours(vertex) for vertex in touched))
            for vertex in sorted(around):
                for entry in self._moves_of(vertex, boundary=boundary):
                    if vertex in touched or entry[2] in touched:
                        heapq.heappush(heap, entry)

    def result(self) -> Decimation:
        kept = np.array([v for v in range(len(self._vertices)) if v not in self._gone], dtype=np.int64)
        alive = sorted(set().union(*(self._faces_of[v] for v in kept)))
        faces = np.array([self._faces[index] for index in alive], dtype=np.int64)
        return Decimation(kept, np.searchsorted(kept, faces).astype(np.int64))

    def _moves_of(self, start: int, *, boundary: bool) -> Iterator[Move]:
        """List the collapses that would remove this vertex."""
        if start in self._protected or (start in self._rim) != boundary:
            return
        for end in sorted(self._neighbours(start)):
            if not boundary or len(self._faces_of[start] & self._faces_of[end]) == 1:
                yield self._cost(start, end), start, end, self._version[start], self._version[end]

    def _cost(self, start: int, end: int) -> float:
        point = np.append(self._vertices[end], 1.0)
        error = float(point @ (self._quadrics[start] + self._quadrics[end]) @ point)
        length = float(np.linalg.norm(self._vertices[start] - self._vertices[end])) / REFERENCE_LENGTH_M
        unlike = float(np.abs(self._weights[start] - self._weights[end]).sum())
        return max(error, 0.0) + SKINNING_PENALTY * unlike * length**2 + LENGTH_PENALTY * length**4

    def _is_allowed(self, start: int, end: int) -> bool:
        """Check that the mesh stays a manifold (link condition) and that no face folds or degenerates."""
        shared = self._faces_of[start] & self._faces_of[end]
        if len(self._neighbours(start) & self._neighbours(end)) != len(shared):
            return False
        return all(self._keeps_shape(self._faces[i], start, end) for i in self._faces_of[start] - shared)

    def _keeps_shape(self, face: tuple[int, int, int], start: int, end: int) -> bool:
        before = self._vertices[list(face)]
        after = self._vertices[[end if vertex == start else vertex for vertex in face]]
        normal_before, normal_after = (np.cross(t[1] - t[0], t[2] - t[0]) for t in (before, after))
        size_before, size_after = float(np.linalg.norm(normal_before)), float(np.linalg.norm(normal_after))
        longest_squared = float(np.max(np.sum((after - np.roll(after, 1, axis=0)) ** 2, axis=1)))
        turned = float(normal_before @ normal_after) < MIN_NORMAL_COSINE * size_before * size_after
        return not turned and size_after >= MIN_ASPECT * longest_squared

    def _merge(self, start: int, end: int) -> None:
        for index in sorted(self._faces_of[start]):
            face = self._faces[index]
            if end in face:
                for vertex in face:
                    self._faces_of[vertex].discard(index)
            else:
                a, b, c = (end if vertex == start else vertex for vertex in face)
                self._faces[index] = (a, b, c)
                self._faces_of[end].add(index)
        self._faces_of[start] = set()
        self._rim.discard(start)
        self._gone.add(start)
        self._quadrics[end] += self._quadrics[start]

    def _neighbours(self, vertex: int) -> set[int]:
        return {other for index in self._faces_of[vertex] for other in self._faces[index]} - {vertex}


def _edges(face: tuple[int, int, int]) -> tuple[tuple[int, int], ...]:
    a, b, c = face
    return (a, b), (b, c), (c, a)


def _quadrics(
    vertices: NDArray[np.float64], faces: list[tuple[int, int, int]], edges: Counter[frozenset[int]]
) -> NDArray[np.float64]:
    """Sum the squared-distance forms (V, 4, 4) of the planes around every vertex, weighted by area."""
    quadrics = np.zeros((len(vertices), 4, 4))
    for face in faces:
        a, b, c = vertices[list(face)]
        normal = np.cross(b - a, c - a)
        size = float(np.linalg.norm(normal))
        if size == 0.0:
            continue  # a face without area has no plane to hold
        normal /= size
        quadrics[list(face)] += size * _plane_form(normal, a)
        for start, end in _edges(face):
            if edges[frozenset((start, end))] == 1:
                along = vertices[end] - vertices[start]
                wall = np.cross(along, normal) / np.linalg.norm(along)
                quadrics[[start, end]] += BOUNDARY_PENALTY * float(along @ along) * _plane_form(wall, vertices[start])
    return quadrics


def _plane_form(normal: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    plane = np.append(normal, -normal @ point)
    return np.outer(plane, plane)
