"""Build closed solids with texture coordinates: stacks of rings, tubes, and what they are made of.

Every solid is one closed surface with shared vertices and outward, counter-clockwise faces. Texture coordinates belong
to the corners of the faces, so a seam needs no doubled vertex and the surface stays watertight.

The texture of one solid is laid out as on a printed label: the side, unrolled once round, fills `SIDE_ROWS` from the
top edge (row 0) downwards; below it lie the bottom cap (`CAP_COLUMNS[0]`) and the top cap (`CAP_COLUMNS[1]`), each seen
from outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SIDE_ROWS = (0.0, 0.75)
CAP_ROWS = (0.77, 0.99)
CAP_COLUMNS = ((0.01, 0.23), (0.26, 0.48))
"""Fractions of the texture; the gaps between the areas keep bilinear lookups inside their own area."""

DEFAULT_SIDES = 48
"""Corners of a ring: at 5 cm radius a 48-gon lies 0.11 mm inside its circle, a tenth of the contact tolerance."""


@dataclass(frozen=True, eq=False)
class Solid:
    """One closed surface.

    Attributes:
        vertices: (V, 3) metres.
        faces: (F, 3), counter-clockwise seen from outside.
        corner_uv: (F, 3, 2) texture coordinates of each corner, (0, 0) the first row and column of the texture.
        part: what it is ("body", "handle", ...), for whoever colours it.
    """

    vertices: FloatArray
    faces: IntArray
    corner_uv: FloatArray
    part: str = "body"


def superellipse(half_x_m: float, half_y_m: float, exponent: float, num_sides: int = DEFAULT_SIDES) -> FloatArray:
    """Return (N, 2) points of |x/a|^p + |y/b|^p = 1, counter-clockwise from +x, symmetric under y -> -y.

    Args:
        half_x_m: a.
        half_y_m: b.
        exponent: p; 2 is an ellipse, 8 nearly a rectangle.
        num_sides: N, a multiple of 4.
    """
    angles = 2.0 * np.pi * np.arange(num_sides) / num_sides
    cosine, sine = np.cos(angles), np.sin(angles)
    # A point at the given polar direction of the unit superellipse: even spacing, unlike the textbook parametrisation,
    # whose points crowd at the corners and leave the flat sides empty.
    radius = (np.abs(cosine) ** exponent + np.abs(sine) ** exponent) ** (-1.0 / exponent)
    return np.stack([half_x_m * radius * cosine, half_y_m * radius * sine], axis=1)


def rounded_rectangle(half_x_m: float, half_y_m: float, radius_m: float, corner_steps: int = 4) -> FloatArray:
    """Return the (4 * (corner_steps + 1), 2) corners of a rectangle with round corners, counter-clockwise.

    Symmetric under x -> -x and y -> -y.
    """
    quarter = np.linspace(0.0, np.pi / 2.0, corner_steps + 1)
    arcs = []
    for quadrant, (sign_x, sign_y) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        angle = quarter + quadrant * np.pi / 2.0
        centre = np.array([sign_x * (half_x_m - radius_m), sign_y * (half_y_m - radius_m)])
        arcs.append(centre + radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return np.concatenate(arcs)


def stack(outlines: Sequence[FloatArray], heights_m: Sequence[float], *, part: str = "body") -> Solid:
    """Join outlines at given heights into a solid along z, closed by a fan at either end.

    The heights may fall again: a cup goes up outside, over its rim and down inside.

    Args:
        outlines: (N, 2) each, counter-clockwise seen from +z, all with the same N.
        heights_m: z of each outline.
        part: name of the part.
    """
    rings = [np.column_stack([line, np.full(len(line), z)]) for line, z in zip(outlines, heights_m, strict=True)]
    return loft(np.stack(rings), part=part)


def revolve(profile_m: Sequence[tuple[float, float]], *, num_sides: int = DEFAULT_SIDES, part: str = "body") -> Solid:
    """Turn a profile of (radius, z) about the z axis; both ends are closed by a fan."""
    circle = superellipse(1.0, 1.0, 2.0, num_sides)
    return stack([radius * circle for radius, _ in profile_m], [z for _, z in profile_m], part=part)


def box(half_extents_m: tuple[float, float, float], *, edge_m: float = 0.002, part: str = "body") -> Solid:
    """Make a box with rounded edges, long axes along x, y, z."""
    half_x, half_y, half_z = half_extents_m
    turn = np.linspace(0.0, np.pi / 2.0, 4)
    insets, drops = edge_m * (1.0 - np.sin(turn)), edge_m * (1.0 - np.cos(turn))
    outlines, heights = [], []
    for inset, drop in zip(insets, drops, strict=True):
        outlines.append(rounded_rectangle(half_x - inset, half_y - inset, 1.05 * edge_m - inset))
        heights.append(float(drop - half_z))
    # The middle ring keeps the triangles of the sides from being needles.
    middle = [(outlines[-1], 0.0)]
    levels = [*zip(outlines, heights, strict=True), *middle, *((o, -z) for o, z in zip(outlines, heights, strict=True))]
    levels[len(outlines) + 1 :] = levels[: len(outlines) : -1]
    return stack([outline for outline, _ in levels], [height for _, height in levels], part=part)


def tube(path_m: FloatArray, radii_m: FloatArray, *, num_sides: int = 20, part: str = "handle") -> Solid:
    """Sweep an ellipse along a path in the xz plane; both ends are rounded off.

    Args:
        path_m: (M, 2) x and z of the centre line.
        radii_m: (M, 2) half-widths, within the plane and across it (along y).
        num_sides: corners of a ring.
        part: name of the part.
    """
    path, radii = _with_round_ends(path_m, radii_m)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    angles = 2.0 * np.pi * np.arange(num_sides) / num_sides
    # tangent, normal and +y are right-handed in this order, so the ring turns counter-clockwise about the tangent.
    normal = np.stack([tangent[:, 1], np.zeros(len(path)), -tangent[:, 0]], axis=1)
    centre = np.stack([path[:, 0], np.zeros(len(path)), path[:, 1]], axis=1)
    across = np.array([0.0, 1.0, 0.0])
    rings = (
        centre[:, None]
        + radii[:, None, :1] * np.cos(angles)[None, :, None] * normal[:, None]
        + radii[:, None, 1:] * np.sin(angles)[None, :, None] * across
    )
    return loft(rings, part=part)


def loft(rings_m: FloatArray, *, part: str = "body") -> Solid:
    """Join rings into a closed solid.

    Args:
        rings_m: (R, N, 3), each ring counter-clockwise seen from the side of the rings that follow it.
        part: name of the part.

    Raises:
        ContractError: fewer than two rings or three corners, or rings that make the solid inside out.
    """
    if rings_m.ndim != 3 or rings_m.shape[0] < 2 or rings_m.shape[1] < 3:
        raise ContractError(
            describe(
                what="loft", expected="(R >= 2, N >= 3, 3)", found=f"{rings_m.shape}", fix="Pass a stack of rings."
            )
        )
    num_rings, num_sides = rings_m.shape[:2]
    vertices = np.concatenate([rings_m.reshape(-1, 3), rings_m[[0, -1]].mean(axis=1)])
    ring, side = (grid.ravel() for grid in np.meshgrid(np.arange(num_rings - 1), np.arange(num_sides), indexing="ij"))
    following = (side + 1) % num_sides
    a, b = ring * num_sides + side, ring * num_sides + following
    walls = np.stack([np.stack([a, b, b + num_sides], 1), np.stack([a, b + num_sides, a + num_sides], 1)], 1)
    corner, next_corner = np.arange(num_sides), (np.arange(num_sides) + 1) % num_sides
    top, last = num_rings * num_sides + 1, (num_rings - 1) * num_sides
    floor = np.stack([np.full(num_sides, top - 1), next_corner, corner], 1)
    lid = np.stack([np.full(num_sides, top), last + corner, last + next_corner], 1)
    faces = np.concatenate([walls.reshape(-1, 3), floor, lid])
    corner_uv = np.concatenate([_side_uv(rings_m, ring, side), _cap_uv(rings_m[0], 0), _cap_uv(rings_m[-1], 1)])
    solid = Solid(vertices, faces, corner_uv, part)
    if signed_volume_m3(solid.vertices, solid.faces) <= 0.0:
        raise ContractError(
            describe(what="loft", expected="outward faces", found="a negative volume", fix="Reverse the rings.")
        )
    return solid


def signed_volume_m3(vertices: FloatArray, faces: IntArray) -> float:
    """Measure the volume a closed surface encloses; negative where the faces look inwards."""
    corners = vertices[faces]
    return float(np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6.0)


def transformed(solid: Solid, R: FloatArray, shift_m: Sequence[float]) -> Solid:
    """Turn a solid by a rotation matrix, then shift it."""
    return Solid(solid.vertices @ R.T + np.asarray(shift_m), solid.faces, solid.corner_uv, solid.part)


def _with_round_ends(path_m: FloatArray, radii_m: FloatArray, steps: int = 3) -> tuple[FloatArray, FloatArray]:
    """Add half an ellipsoid of rings before the first and after the last point of a tube."""
    angle = np.linspace(0.0, np.pi / 2.0, steps + 2)[1:-1]
    start = path_m[0] - path_m[1]
    end = path_m[-1] - path_m[-2]
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    first, last = radii_m[0], radii_m[-1]
    head = path_m[0] + np.sin(angle)[::-1, None] * first.min() * start
    tail = path_m[-1] + np.sin(angle)[:, None] * last.min() * end
    path = np.concatenate([head, path_m, tail])
    radii = np.concatenate([np.cos(angle)[::-1, None] * first, radii_m, np.cos(angle)[:, None] * last])
    return path, radii


def _side_uv(rings_m: FloatArray, ring: IntArray, side: IntArray) -> FloatArray:
    """Return (2 * W, 3, 2) of the wall triangles: u by length round the longest ring, v by length along the profile."""
    steps = np.linalg.norm(np.diff(rings_m, axis=0), axis=2).max(axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    low, high = SIDE_ROWS
    # The top of the object is at the top of the texture.
    v = low + (high - low) * (1.0 - along / along[-1])
    edges = np.linalg.norm(np.roll(rings_m, -1, axis=1) - rings_m, axis=2)
    longest = edges[edges.sum(axis=1).argmax()]
    u = np.concatenate([[0.0], np.cumsum(longest)])
    u /= u[-1]
    left, right = u[side], u[side + 1]
    here, there = v[ring], v[ring + 1]
    first = np.stack([np.stack([left, here], 1), np.stack([right, here], 1), np.stack([right, there], 1)], 1)
    second = np.stack([np.stack([left, here], 1), np.stack([right, there], 1), np.stack([left, there], 1)], 1)
    return np.stack([first, second], axis=1).reshape(-1, 3, 2)


def _cap_uv(ring_m: FloatArray, cap: int) -> FloatArray:
    """Return (N, 3, 2) of one cap: the ring, seen flat from outside, scaled into its square of the texture."""
    centred = ring_m - ring_m.mean(axis=0)
    normal = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
    outward = normal / np.linalg.norm(normal) * (1.0 if cap == 1 else -1.0)
    right = centred[0] - (centred[0] @ outward) * outward
    right /= np.linalg.norm(right)
    # Seen from outside: rows of a texture go down.
    flat = np.stack([centred @ right, -centred @ np.cross(outward, right)], axis=1)
    square = flat / (2.0 * np.abs(flat).max())
    (left, right_column), (low, high) = CAP_COLUMNS[cap], CAP_ROWS
    scale = np.array([right_column - left, high - low])
    middle = np.array([left + right_column, low + high]) / 2.0
    corners = middle + square * scale
    following = np.roll(corners, -1, axis=0)
    centre = np.broadcast_to(middle, corners.shape)
    pair = (following, corners) if cap == 0 else (corners, following)
    return np.stack([centre, *pair], axis=1)
