"""Everyday objects made from formulas: meshes, evaluation points, control points, symmetries, and where to hold them.

An object's name tells everything about it: `bottle` is the plain bottle, `bottle_0017` a bottle of other proportions,
`006_mustard_bottle` plays the object of that name. The players are our own shapes of about the same size; they are not
the files of YCB or FPHA, and a number measured on them is not a number on those data sets.

Object axes: z is up when the object stands, metres, origin in the middle of the bounding box. Every object is its own
mirror image under y -> -y (a handle lies along x), which is how a left hand's grasp is derived from a right hand's.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from scipy.spatial import ConvexHull

from hoiray.errors import ConfigError, describe
from hoiray.geometry.control_points import control_points
from hoiray.metrics.object_model import aabb_diagonal_m, true_diameter_m
from hoiray.metrics.symmetry import NO_SYMMETRY, ObjectSymmetry, SymmetryAxis
from hoiray.synthetic.distance import Contact, DistanceTree, build_tree, measure_contact
from hoiray.synthetic.solids import (
    FloatArray,
    IntArray,
    Solid,
    box,
    revolve,
    rounded_rectangle,
    stack,
    superellipse,
    transformed,
    tube,
)

GraspKind: TypeAlias = Literal["power", "precision", "tripod", "hook", "lateral"]

NUM_POINTS = 2621
"""Points in each `points.xyz` of the YCB-Video models, as the HO-3D object scores use them."""

NUM_PROXY_DIRECTIONS = 48
"""Directions whose farthest points span the coarse proxy."""

_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_REVOLVED = ObjectSymmetry(continuous=(SymmetryAxis(_Z),))
_REVOLVED_BOTH_ENDS = ObjectSymmetry(discrete=(SymmetryAxis(_X, num_turns=2),), continuous=(SymmetryAxis(_Z),))
_HALF_TURN = ObjectSymmetry(discrete=(SymmetryAxis(_Z, num_turns=2),))
_BOX = ObjectSymmetry(discrete=(SymmetryAxis(_Z, num_turns=2), SymmetryAxis(_X, num_turns=2)))
_CUBE = ObjectSymmetry(discrete=(SymmetryAxis(_Z, num_turns=4), SymmetryAxis(_X, num_turns=4)))
_BALL = ObjectSymmetry(continuous=(SymmetryAxis(_Z), SymmetryAxis(_X), SymmetryAxis(_Y)))
"""A ball looks the same from everywhere; an `ObjectSymmetry` can say so about three axes."""


@dataclass(frozen=True)
class Grip:
    """A stretch of an object a hand can hold, as a line the fingers go round or press towards.

    Attributes:
        kinds: ways of holding that fit here.
        start_m, end_m: the ends of the line, object axes; the hand is placed somewhere between them.
        towards_hand: directions, object axes, from the line to the palm; empty: any direction across the line.
        free_turn_rad: how far the hand may be turned about the line from such a direction.
    """

    kinds: tuple[GraspKind, ...]
    start_m: tuple[float, float, float]
    end_m: tuple[float, float, float]
    towards_hand: tuple[tuple[float, float, float], ...] = ()
    free_turn_rad: float = 0.25


@dataclass(frozen=True, eq=False)
class ObjectMesh:
    """An object: what is drawn, what is scored, and what is held.

    Attributes:
        name: as in annotations.
        vertices: (V, 3) metres, object axes.
        faces: (F, 3), counter-clockwise seen from outside; one or several closed surfaces.
        corner_uv: (F, 3, 2), see `hoiray.synthetic.solids`.
        face_part: (F,) index into `part_names`.
        part_names: "body", "handle", ...
        points: (2621, 3) evaluation points on the surface (`points.xyz`).
        control_points: (21, 3), see `control_points`.
        symmetry: the rigid motions that leave the shape (not its label) as it is.
        diameter_m: largest distance of two evaluation points.
        aabb_diagonal_m: diagonal of the evaluation points' bounding box, which some published scores call diameter.
        grips: where to hold it.
        proxy: vertices and faces of a coarse convex hull, for shadows, boxes and collision checks.
        tree: for `signed_distance`.
    """

    name: str
    vertices: FloatArray
    faces: IntArray
    corner_uv: FloatArray
    face_part: IntArray
    part_names: tuple[str, ...]
    points: FloatArray
    control_points: FloatArray
    symmetry: ObjectSymmetry
    diameter_m: float
    aabb_diagonal_m: float
    grips: tuple[Grip, ...]
    proxy: tuple[FloatArray, IntArray]
    tree: DistanceTree

    def signed_distance(self, points_m: FloatArray, *, max_distance_m: float = np.inf) -> FloatArray:
        """Measure how far (N, 3) points (object axes) are from the surface, metres, negative inside.

        Exact outside; where two parts overlap, a bound inside. Points farther than `max_distance_m` get that value.
        """
        return self.contact(points_m, max_distance_m=max_distance_m).distance_m

    def contact(self, points_m: FloatArray, *, max_distance_m: float = np.inf) -> Contact:
        """Measure signed distances and nearest surface points of (N, 3) points, object axes."""
        return measure_contact(self.tree, points_m, max_distance_m=max_distance_m)


def is_object_name(name: str) -> bool:
    """Tell whether `build_object` knows a name."""
    return _parse(name) is not None


@lru_cache(maxsize=256)
def build_object(name: str) -> ObjectMesh:
    """Build an object by its name; the same name gives the same object, bit for bit.

    Args:
        name: a key of `SHAPES`, or one followed by an underscore and a variant of four digits.

    Raises:
        ConfigError: no such object.
    """
    parsed = _parse(name)
    if parsed is None:
        found = repr(name)
        expected = f"one of {', '.join(SHAPES)}, or one with a variant such as bottle_0017"
        raise ConfigError(describe(what="object", expected=expected, found=found, fix="Correct the name."))
    base, variant = parsed
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    sizes = _Sizes() if variant is None else _Sizes(float(rng.uniform(0.85, 1.12)), float(rng.uniform(0.82, 1.2)))
    return _assemble(name, SHAPES[base](sizes), rng)


@dataclass(frozen=True)
class _Sizes:
    """Factors of one variant: across and along z."""

    width: float = 1.0
    height: float = 1.0


@dataclass(frozen=True)
class _Shape:
    """Solids in any position, their symmetry and grips; the bounding box is centred later."""

    solids: tuple[Solid, ...]
    symmetry: ObjectSymmetry
    grips: tuple[Grip, ...]


_VARIANT = re.compile(r"^(?P<base>.+)_(?P<variant>\d{4})$")


def _parse(name: str) -> tuple[str, int | None] | None:
    if name in SHAPES:
        return name, None
    match = _VARIANT.match(name)
    if match is None or match["base"] not in SHAPES:
        return None
    return match["base"], int(match["variant"])


def _assemble(name: str, shape: _Shape, rng: np.random.Generator) -> ObjectMesh:
    stacked = np.concatenate([solid.vertices for solid in shape.solids])
    centre = (stacked.min(axis=0) + stacked.max(axis=0)) / 2.0
    # Halves of the box are equal up to rounding; y is exactly 0 by construction and must stay so.
    centre[1] = 0.0
    offsets = np.cumsum([0, *(len(solid.vertices) for solid in shape.solids)])
    surfaces = [(solid.vertices - centre, solid.faces) for solid in shape.solids]
    vertices = stacked - centre
    faces = np.concatenate([f + offset for (_, f), offset in zip(surfaces, offsets, strict=False)])
    parts = tuple(dict.fromkeys(solid.part for solid in shape.solids))
    face_part = np.concatenate([np.full(len(s.faces), parts.index(s.part)) for s in shape.solids])
    tree = build_tree(surfaces)
    points = _sample_surface(vertices, faces, tree, rng)
    return ObjectMesh(
        name=name,
        vertices=vertices,
        faces=faces,
        corner_uv=np.concatenate([solid.corner_uv for solid in shape.solids]),
        face_part=face_part,
        part_names=parts,
        points=points,
        control_points=np.asarray(control_points(points), dtype=np.float64),
        symmetry=_moved_symmetry(shape.symmetry, centre),
        diameter_m=true_diameter_m(points),
        aabb_diagonal_m=aabb_diagonal_m(points),
        grips=tuple(_moved_grip(grip, centre) for grip in shape.grips),
        proxy=_proxy(vertices),
        tree=tree,
    )


def _sample_surface(vertices: FloatArray, faces: IntArray, tree: DistanceTree, rng: np.random.Generator) -> FloatArray:
    """Draw points evenly over the outer surface; the extreme vertices come first, so that the boxes agree."""
    extremes = np.unique(np.concatenate([vertices.argmin(axis=0), vertices.argmax(axis=0)]))
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    drawn: FloatArray = vertices[extremes]
    while len(drawn) < NUM_POINTS:
        # One draw per equal slice of area: no clumps, no holes.
        share = (np.arange(NUM_POINTS) + rng.uniform(size=NUM_POINTS)) / NUM_POINTS
        chosen = np.minimum(np.searchsorted(np.cumsum(area) / area.sum(), share), len(faces) - 1)
        weights = rng.dirichlet(np.ones(3), NUM_POINTS)
        candidates = np.einsum("pk,pkd->pd", weights, corners[chosen])
        is_outer = measure_contact(tree, candidates).distance_m > -1e-6  # not where one part lies inside another
        kept = candidates[is_outer]
        drawn = np.concatenate([drawn, kept[rng.permutation(len(kept))]])
    return drawn[:NUM_POINTS]


def _proxy(vertices: FloatArray) -> tuple[FloatArray, IntArray]:
    """Span a coarse convex hull over the farthest vertices in evenly spread directions."""
    k = np.arange(NUM_PROXY_DIRECTIONS) + 0.5
    height = 1.0 - 2.0 * k / NUM_PROXY_DIRECTIONS
    angle = np.pi * (1.0 + 5.0**0.5) * k
    ring = np.sqrt(1.0 - height**2)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    corners = vertices[np.unique((vertices @ directions.T).argmax(axis=0))]
    hull = ConvexHull(corners)
    faces = hull.simplices.astype(np.int64)
    normal = np.cross(corners[faces[:, 1]] - corners[faces[:, 0]], corners[faces[:, 2]] - corners[faces[:, 0]])
    inward = np.einsum("fd,fd->f", normal, hull.equations[:, :3]) < 0.0
    faces[inward] = faces[inward][:, [0, 2, 1]]
    return corners, faces


def _moved_symmetry(symmetry: ObjectSymmetry, centre: FloatArray) -> ObjectSymmetry:
    """Express the axes, which pass through the origin of the shape, after the bounding box was centred."""

    def moved(axis: SymmetryAxis) -> SymmetryAxis:
        x, y, z = (float(a - c) for a, c in zip(axis.point_m, centre, strict=True))
        return SymmetryAxis(axis.axis, (x, y, z), axis.num_turns)

    return ObjectSymmetry(tuple(map(moved, symmetry.discrete)), tuple(map(moved, symmetry.continuous)))


def _moved_grip(grip: Grip, centre: FloatArray) -> Grip:
    x, y, z = map(float, centre)
    (sx, sy, sz), (ex, ey, ez) = grip.start_m, grip.end_m
    return Grip(grip.kinds, (sx - x, sy - y, sz - z), (ex - x, ey - y, ez - z), grip.towards_hand, grip.free_turn_rad)


# --- grips of common bodies ----------------------------------------------------------------------------------------


def _round_grips(low_m: float, high_m: float, kinds: Sequence[GraspKind] = ("power", "precision")) -> Grip:
    """Hold a body of revolution anywhere round its axis between two heights."""
    return Grip(tuple(kinds), (0.0, 0.0, low_m), (0.0, 0.0, high_m))


def _rim_grip(radius_m: float, height_m: float) -> Grip:
    """Pinch the wall of a vessel from above."""
    return Grip(("precision", "tripod"), (radius_m, -0.001, height_m), (radius_m, 0.001, height_m), (_Z,), 0.2)


def _lid_grip(height_m: float) -> Grip:
    """Hold something round from above, thumb and fingers on either side."""
    return Grip(("tripod", "precision"), (0.0, -0.001, height_m), (0.0, 0.001, height_m), (_Z,))


def _box_grips(half_m: tuple[float, float, float]) -> tuple[Grip, ...]:
    """Hold a box across x (its thin side) from either narrow side, or pinch it there, or from the top."""
    _, half_y, half_z = half_m
    inset, reach = min(0.035, half_y), 0.6 * half_z
    sides = tuple(
        Grip(("power", "precision", "tripod"), (0.0, s * (half_y - inset), -reach), (0.0, s * (half_y - inset), reach),
             ((0.0, float(s), 0.0),))
        for s in (-1, 1)
    )  # fmt: skip
    top_inset = min(0.03, half_z)
    top = Grip(
        ("precision", "tripod", "power"),
        (0.0, -0.5 * half_y, half_z - top_inset),
        (0.0, 0.5 * half_y, half_z - top_inset),
        (_Z,),
    )
    return (*sides, top)


# --- shapes --------------------------------------------------------------------------------------------------------


def _can(sizes: _Sizes) -> _Shape:
    r, h = 0.033 * sizes.width, 0.115 * sizes.height
    profile = [
        (r - 0.004, 0.002), (r - 0.002, 0.0), (r, 0.0015), (r, 0.005), (r - 0.001, 0.008), (r - 0.001, h / 2),
        (r - 0.001, h - 0.008), (r, h - 0.005), (r, h - 0.0015), (r - 0.002, h), (r - 0.004, h - 0.002),
    ]  # fmt: skip
    grips = (_round_grips(0.3 * h, 0.7 * h), _lid_grip(h - 0.015))
    return _Shape((revolve(profile),), _REVOLVED, grips)


def _bottle_profile(r: float, h: float, neck: float) -> list[tuple[float, float]]:
    return [
        (r - 0.005, 0.0), (r - 0.001, 0.001), (r, 0.004), (r, 0.3 * h), (r, 0.56 * h), (0.96 * r, 0.62 * h),
        (0.8 * r, 0.7 * h), (0.58 * r, 0.77 * h), (neck + 0.001, 0.84 * h), (neck, 0.88 * h),
    ]  # fmt: skip


def _bottle(sizes: _Sizes) -> _Shape:
    r, h, neck = 0.034 * sizes.width, 0.21 * sizes.height, 0.012
    body = revolve(_bottle_profile(r, h, neck))
    cap = revolve(
        [(neck - 0.001, 0.87 * h), (neck + 0.002, 0.875 * h), (neck + 0.003, 0.88 * h), (neck + 0.003, 0.99 * h),
         (neck + 0.002, h)], part="cap", num_sides=32,
    )  # fmt: skip
    grips = (
        _round_grips(0.22 * h, 0.5 * h, ("power",)),
        _round_grips(0.3 * h, 0.5 * h, ("precision",)),
        _round_grips(0.8 * h, 0.86 * h, ("hook", "tripod")),
        _lid_grip(0.945 * h),
    )
    return _Shape((body, cap), _REVOLVED, grips)


def _vessel(outer: Sequence[tuple[float, float]], wall_m: float, floor_m: float) -> Solid:
    """Hollow a profile given from its foot to its rim."""
    inner = [(max(r - wall_m, 0.002), z) for r, z in outer if z > outer[0][1] + floor_m]
    rim_r, rim_z = outer[-1]
    rim = [(rim_r - 0.3 * wall_m, rim_z + 0.4 * wall_m), (rim_r - 0.7 * wall_m, rim_z + 0.4 * wall_m)]
    foot_r = max(inner[0][0] - 0.004, 0.002)
    return revolve([(outer[0][0] - 0.002, outer[0][1]), *outer, *rim, *inner[::-1], (foot_r, outer[0][1] + floor_m)])


def _handle(radius_m: float, middle_z_m: float, size_m: tuple[float, float], thickness_m: tuple[float, float]) -> Solid:
    """Bend a handle on a vessel's side, towards +x; its ends are sunk into the wall."""
    depth, half_height = size_m
    angle = np.linspace(-np.pi / 2.0, np.pi / 2.0, 17)
    squared = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.8
    path = np.stack([radius_m + depth * np.cos(angle) ** 0.7, middle_z_m + half_height * squared], axis=1)
    # The ends taper inside the wall, so that nothing looks out on its other side.
    path[[0, -1], 0] = radius_m - 0.0005
    radii = np.tile(thickness_m, (len(path), 1))
    radii[[0, -1]] *= 0.3
    return tube(path, radii, part="handle")


def _mug(sizes: _Sizes) -> _Shape:
    r, h = 0.043 * sizes.width, 0.086 * sizes.height
    outer = [(r - 0.004, 0.0), (r - 0.001, 0.002), (r, 0.005), (r, 0.5 * h), (r, h)]
    body = _vessel(outer, 0.004, 0.006)
    handle = _handle(r, 0.5 * h, (0.033, 0.36 * h), (0.005, 0.0065))
    far = r + 0.033
    grips = (
        Grip(("power",), (0, 0, 0.45 * h), (0, 0, 0.55 * h), ((-1.0, 0.0, 0.0),), 1.2),
        Grip(("hook",), (far, 0, 0.47 * h), (far, 0, 0.53 * h), (_X,), 0.2),
        Grip(("lateral", "precision", "tripod"), (far, 0, 0.42 * h), (far, 0, 0.58 * h), (_X,), 0.3),
        Grip(("precision", "tripod"), (-r + 0.002, -0.001, h - 0.004), (-r + 0.002, 0.001, h - 0.004), (_Z,), 0.2),
    )
    return _Shape((body, handle), NO_SYMMETRY, grips)


def _pitcher(sizes: _Sizes) -> _Shape:
    r, h = 0.054 * sizes.width, 0.236 * sizes.height
    outer = [(r - 0.004, 0.0), (r, 0.004), (r, 0.3 * h), (1.02 * r, 0.6 * h), (1.06 * r, 0.85 * h), (1.1 * r, h)]
    handle = _handle(1.02 * r, 0.55 * h, (0.06, 0.3 * h), (0.008, 0.011))
    far = 1.02 * r + 0.06
    grips = (
        Grip(("hook", "power"), (far, 0, 0.48 * h), (far, 0, 0.6 * h), (_X,), 0.2),
        _rim_grip(-1.08 * r, h - 0.004),
    )
    return _Shape((_vessel(outer, 0.004, 0.006), handle), NO_SYMMETRY, grips)


def _cup(sizes: _Sizes) -> _Shape:
    r, h = 0.036 * sizes.width, 0.098 * sizes.height
    outer = [(0.72 * r, 0.0), (0.74 * r, 0.002), (0.86 * r, 0.5 * h), (0.93 * r, 0.75 * h), (r, h)]
    grips = (_round_grips(0.35 * h, 0.65 * h), _rim_grip(r - 0.002, h - 0.005))
    return _Shape((_vessel(outer, 0.003, 0.005),), _REVOLVED, grips)


def _bowl(sizes: _Sizes) -> _Shape:
    r, h = 0.072 * sizes.width, 0.055 * sizes.height
    outer = [(0.45 * r, 0.0), (0.5 * r, 0.003), (0.68 * r, 0.2 * h), (0.84 * r, 0.45 * h), (0.94 * r, 0.72 * h), (r, h)]
    return _Shape((_vessel(outer, 0.004, 0.006),), _REVOLVED, (_rim_grip(r - 0.003, h - 0.006),))


def _ball(sizes: _Sizes) -> _Shape:
    r = 0.033 * sizes.width
    # The poles are closed by small fans: within 3 degrees of a pole a ball of 33 mm drops by 0.05 mm.
    turn = np.radians([-87.0, *np.linspace(-81.0, 81.0, 19), 87.0])
    body = revolve([(float(r * np.cos(a)), float(r * np.sin(a))) for a in turn])
    short = Grip(("power", "precision", "tripod"), (0, 0, -0.002), (0, 0, 0.002))
    sideways = Grip(("power", "precision", "tripod"), (-0.002, 0, 0), (0.002, 0, 0))
    return _Shape((body,), _BALL, (short, sideways))


def _box_shape(half_m: tuple[float, float, float], edge_m: float, symmetry: ObjectSymmetry = _BOX) -> _Shape:
    return _Shape((box(half_m, edge_m=edge_m),), symmetry, _box_grips(half_m))


def _box(sizes: _Sizes) -> _Shape:
    return _box_shape((0.022 * sizes.width, 0.045 * sizes.width, 0.07 * sizes.height), 0.0015)


def _cube(sizes: _Sizes) -> _Shape:
    half = 0.026 * sizes.width
    return _box_shape((half, half, half), 0.002, _CUBE)


def _book(sizes: _Sizes) -> _Shape:
    return _box_shape((0.012 * sizes.width, 0.07 * sizes.width, 0.1 * sizes.height), 0.001)


def _phone(sizes: _Sizes) -> _Shape:
    half = (0.0045, 0.036 * sizes.width, 0.075 * sizes.height)
    edge = Grip(
        ("lateral",), (0.0, -0.3 * half[1], -half[2] + 0.012), (0.0, 0.3 * half[1], -half[2] + 0.012), ((0, 0, -1.0),)
    )
    shape = _box_shape(half, 0.0025)
    return _Shape(shape.solids, shape.symmetry, (*shape.grips, edge))


def _remote(sizes: _Sizes) -> _Shape:
    half = (0.01, 0.022 * sizes.width, 0.085 * sizes.height)
    body = Grip(("power",), (0.0, 0.0, -0.5 * half[2]), (0.0, 0.0, 0.2 * half[2]), (_X, (-1.0, 0.0, 0.0)))
    return _Shape((box(half, edge_m=0.004),), _BOX, (*_box_grips(half), body))


def _sponge(sizes: _Sizes) -> _Shape:
    return _box_shape((0.014 * sizes.width, 0.034 * sizes.width, 0.055 * sizes.height), 0.004)


def _banana(sizes: _Sizes) -> _Shape:
    bend_r, thick = 0.105 * sizes.height, 0.0175 * sizes.width
    t = np.linspace(0.0, 1.0, 25)
    angle = (t - 0.5) * 1.75
    path = np.stack([bend_r * np.cos(angle) - bend_r, bend_r * np.sin(angle)], axis=1)
    taper = np.clip(np.minimum(t / 0.22, (1.0 - t) / 0.16), 0.0, 1.0) ** 0.6
    radii = thick * np.maximum(taper, 0.3)[:, None] * np.array([[1.0, 0.95]])
    grips = (
        Grip(("power", "hook"), (-0.002, 0, -0.02), (-0.002, 0, 0.02), (_X,), 1.5),
        Grip(("precision", "tripod"), (-0.002, 0, -0.02), (-0.002, 0, 0.02)),
    )
    return _Shape((tube(path, radii, num_sides=24, part="body"),), NO_SYMMETRY, grips)


def _marker(sizes: _Sizes) -> _Shape:
    r, h = 0.009 * sizes.width, 0.135 * sizes.height
    body = revolve([(r - 0.002, 0.0), (r, 0.002), (r, 0.3 * h), (r, 0.62 * h), (0.85 * r, 0.64 * h)], num_sides=32)
    cap = revolve(
        [(0.9 * r, 0.62 * h), (1.1 * r, 0.63 * h), (1.1 * r, 0.9 * h), (0.9 * r, 0.99 * h), (0.7 * r, h)], num_sides=32,
        part="cap",
    )  # fmt: skip
    grips = (
        _round_grips(0.2 * h, 0.45 * h, ("tripod", "precision", "lateral")),
        _round_grips(0.35 * h, 0.55 * h, ("power", "hook")),
    )
    return _Shape((body, cap), _REVOLVED, grips)


def _screwdriver(sizes: _Sizes) -> _Shape:
    r, h = 0.0145 * sizes.width, 0.1 * sizes.height
    handle = revolve(
        [(0.6 * r, 0.0), (0.95 * r, 0.004), (r, 0.02), (r, 0.5 * h), (0.75 * r, 0.75 * h), (0.9 * r, 0.9 * h),
         (0.6 * r, h)], num_sides=32, part="handle",
    )  # fmt: skip
    shaft = revolve(
        [(0.0034, 0.95 * h), (0.0035, h), (0.0035, 1.9 * h), (0.0028, 1.98 * h), (0.0008, 2.0 * h)], num_sides=16,
        part="metal",
    )  # fmt: skip
    grips = (
        _round_grips(0.4 * h, 0.6 * h, ("power",)),
        _round_grips(0.3 * h, 0.7 * h, ("precision", "lateral", "tripod")),
    )
    return _Shape((handle, shaft), _REVOLVED, grips)


def _hammer(sizes: _Sizes) -> _Shape:
    r, h = 0.0145 * sizes.width, 0.26 * sizes.height
    outline = [superellipse(0.9 * f * r, 1.15 * f * r, 2.6, 32) for f in (0.85, 1.0, 1.02, 0.85, 0.72, 0.7)]
    handle = stack(outline, [0.0, 0.004, 0.35 * h, 0.6 * h, 0.8 * h, h], part="handle")
    lying = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    profile = [(0.011, -0.05), (0.013, -0.048), (0.013, -0.03), (0.0095, -0.026), (0.0125, -0.015), (0.0125, 0.02),
               (0.007, 0.045), (0.0015, 0.05)]  # fmt: skip
    head = transformed(revolve(profile, num_sides=24, part="metal"), lying, (0.0, 0.0, h - 0.006))
    grips = (
        _round_grips(0.2 * h, 0.45 * h, ("power",)),
        _round_grips(0.3 * h, 0.6 * h, ("hook", "lateral", "precision")),
    )
    return _Shape((handle, head), NO_SYMMETRY, grips)


def _drill(sizes: _Sizes) -> _Shape:
    h = 0.185 * sizes.height
    motor = revolve(
        [(0.012, -0.075), (0.024, -0.07), (0.027, -0.05), (0.027, 0.03), (0.02, 0.045), (0.014, 0.05), (0.014, 0.085),
         (0.006, 0.095)], num_sides=32, part="metal",
    )  # fmt: skip
    lying = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    grip = stack(
        [superellipse(a * sizes.width, b * sizes.width, 2.8, 32) for a, b in
         ((0.02, 0.0165), (0.022, 0.018), (0.021, 0.0175), (0.023, 0.0185))],
        [0.02, 0.05, 0.1, h - 0.03], part="handle",
    )  # fmt: skip
    foot = transformed(box((0.045, 0.028, 0.014), edge_m=0.004), np.eye(3), (0.008, 0.0, 0.014))
    grips = (Grip(("power", "hook"), (0, 0, 0.075), (0, 0, 0.1), ((-1.0, 0.0, 0.0),), 0.2),)
    return _Shape((grip, foot, transformed(motor, lying, (0.0, 0.0, h - 0.027))), NO_SYMMETRY, grips)


def _oval_bottle(
    levels: Sequence[tuple[float, float, float]], height_m: float, cap_m: tuple[float, float], exponent: float
) -> tuple[Solid, Solid]:
    """Blow a flat bottle of (height fraction, half x, half y) that becomes round at the neck, with a cap."""
    outlines, heights = [], []
    for fraction, half_x, half_y in levels:
        roundness = np.clip((fraction - 0.55) / 0.25, 0.0, 1.0)
        outlines.append(superellipse(half_x, half_y, exponent + (2.0 - exponent) * float(roundness)))
        heights.append(fraction * height_m)
    radius, length = cap_m
    base = height_m - length
    cap = revolve(
        [(radius - 0.003, base), (radius, base + 0.001), (radius, base + 0.3 * length),
         (0.9 * radius, base + 0.95 * length),
         (0.8 * radius, height_m)], part="cap", num_sides=32,
    )  # fmt: skip
    return stack(outlines, heights), cap


def _flat_bottle_grips(h: float, half_y: float) -> tuple[Grip, ...]:
    side = 0.5 * half_y
    return (
        Grip(("power",), (0, side, 0.25 * h), (0, side, 0.5 * h), (_Y,)),
        Grip(("power",), (0, -side, 0.25 * h), (0, -side, 0.5 * h), ((0.0, -1.0, 0.0),)),
        Grip(("precision",), (0, 0, 0.3 * h), (0, 0, 0.5 * h), (_Y, (0.0, -1.0, 0.0))),
        _lid_grip(h - 0.015),
    )


def _bleach_cleanser(sizes: _Sizes) -> _Shape:
    h, w = 0.25 * sizes.height, sizes.width
    levels = [
        (0.0, 0.026 * w, 0.042 * w), (0.008, 0.031 * w, 0.048 * w), (0.3, 0.0325 * w, 0.049 * w),
        (0.52, 0.031 * w, 0.047 * w), (0.64, 0.027 * w, 0.04 * w), (0.75, 0.021 * w, 0.027 * w),
        (0.83, 0.016, 0.018), (0.86, 0.015, 0.015),
    ]  # fmt: skip
    solids = _oval_bottle(levels, h, (0.0185, 0.04), 3.2)
    return _Shape(solids, _HALF_TURN, _flat_bottle_grips(h, 0.049 * w))


def _mustard_bottle(sizes: _Sizes) -> _Shape:
    h, w = 0.19 * sizes.height, sizes.width
    levels = [
        (0.0, 0.023 * w, 0.04 * w), (0.01, 0.028 * w, 0.047 * w), (0.25, 0.029 * w, 0.048 * w),
        (0.5, 0.027 * w, 0.043 * w), (0.62, 0.025 * w, 0.036 * w), (0.72, 0.02 * w, 0.024 * w), (0.78, 0.016, 0.016),
    ]  # fmt: skip
    solids = _oval_bottle(levels, h, (0.0165, 0.045), 2.6)
    return _Shape(solids, _HALF_TURN, _flat_bottle_grips(h, 0.048 * w))


def _potted_meat_can(sizes: _Sizes) -> _Shape:
    half_x, half_y, h = 0.0255 * sizes.width, 0.0505 * sizes.width, 0.084 * sizes.height
    rims = ((0.003, 0.0), (0.0, 0.001), (0.0, 0.004), (0.0015, 0.006))
    levels = [*rims, (0.0015, h / 2), *((inset, h - z) for inset, z in rims[::-1])]
    outlines = [rounded_rectangle(half_x - inset, half_y - inset, 0.016 - inset, 8) for inset, _ in levels]
    shape = stack(outlines, [z for _, z in levels])
    grips = tuple(_moved_grip(grip, np.array([0.0, 0.0, -h / 2])) for grip in _box_grips((half_x, half_y, h / 2)))
    return _Shape((shape,), _half_turns_at(h / 2), grips)


def _half_turns_at(height_m: float) -> ObjectSymmetry:
    """The half turns of a box whose middle is at a height."""
    middle = (0.0, 0.0, height_m)
    return ObjectSymmetry(discrete=(SymmetryAxis(_Z, middle, 2), SymmetryAxis(_X, middle, 2)))


def _cracker_box(sizes: _Sizes) -> _Shape:
    return _box_shape((0.03 * sizes.width, 0.079 * sizes.width, 0.1065 * sizes.height), 0.0015)


def _sugar_box(sizes: _Sizes) -> _Shape:
    return _box_shape((0.019 * sizes.width, 0.0445 * sizes.width, 0.0875 * sizes.height), 0.0015)


def _juice_bottle(sizes: _Sizes) -> _Shape:
    return _bottle(_Sizes(sizes.width * 1.12, sizes.height * 1.05))


def _liquid_soap(sizes: _Sizes) -> _Shape:
    h, w = 0.175 * sizes.height, sizes.width
    levels = [(0.0, 0.02 * w, 0.034 * w), (0.012, 0.024 * w, 0.038 * w), (0.35, 0.025 * w, 0.039 * w),
              (0.6, 0.022 * w, 0.034 * w), (0.74, 0.014, 0.016), (0.85, 0.011, 0.011)]  # fmt: skip
    body, cap = _oval_bottle(levels, 0.86 * h, (0.0125, 0.03), 2.6)
    spout = box((0.022, 0.007, 0.006), edge_m=0.002, part="cap")
    stem = revolve(
        [(0.004, 0.8 * h), (0.0045, 0.82 * h), (0.0045, 0.96 * h), (0.004, 0.97 * h)], num_sides=16, part="cap"
    )
    pump = transformed(spout, np.eye(3), (0.012, 0.0, 0.97 * h))
    return _Shape((body, cap, stem, pump), NO_SYMMETRY, _flat_bottle_grips(0.86 * h, 0.039 * w)[:3])


def _milk(sizes: _Sizes) -> _Shape:
    half, h = 0.034 * sizes.width, 0.195 * sizes.height
    square = rounded_rectangle(half, half, 0.003, 8)
    ridge = rounded_rectangle(0.003, half, 0.0015, 8)
    middle = rounded_rectangle(0.55 * half, half, 0.003, 8)
    inset = rounded_rectangle(half - 0.001, half - 0.001, 0.002, 8)
    levels = [(inset, 0.0), (square, 0.001), (square, 0.4 * h), (square, 0.76 * h), (middle, 0.87 * h),
              (ridge, 0.93 * h), (ridge, h)]  # fmt: skip
    carton = stack([outline for outline, _ in levels], [z for _, z in levels])
    grips = (
        Grip(("power",), (0, 0.2 * half, 0.3 * h), (0, 0.2 * half, 0.5 * h), (_Y, (0.0, -1.0, 0.0))),
        Grip(("power",), (0, 0, 0.3 * h), (0, 0, 0.5 * h), (_X, (-1.0, 0.0, 0.0))),
        Grip(("precision", "tripod"), (0, -0.3 * half, 0.965 * h), (0, 0.3 * half, 0.965 * h), (_Z,)),
    )
    return _Shape((carton,), _HALF_TURN, grips)


def _salt(sizes: _Sizes) -> _Shape:
    r, h = 0.024 * sizes.width, 0.1 * sizes.height
    body = revolve([(r - 0.002, 0.0), (r, 0.002), (0.97 * r, 0.3 * h), (0.85 * r, 0.7 * h), (0.84 * r, 0.75 * h)])
    cap = revolve(
        [(0.84 * r, 0.74 * h), (0.88 * r, 0.75 * h), (0.86 * r, 0.88 * h), (0.6 * r, 0.97 * h), (0.3 * r, h)],
        part="metal",
    )
    grips = (_round_grips(0.35 * h, 0.6 * h, ("power", "precision")), _round_grips(0.6 * h, 0.7 * h, ("tripod",)))
    return _Shape((body, cap), _REVOLVED, grips)


SHAPES: Mapping[str, Callable[[_Sizes], _Shape]] = MappingProxyType(
    {
        "can": _can, "bottle": _bottle, "mug": _mug, "box": _box, "cube": _cube, "ball": _ball, "banana": _banana,
        "hammer": _hammer, "screwdriver": _screwdriver, "bowl": _bowl, "cup": _cup, "marker": _marker, "book": _book,
        "phone": _phone, "remote": _remote, "sponge": _sponge, "milk_carton": _milk, "soap_pump": _liquid_soap,
        "003_cracker_box": _cracker_box, "004_sugar_box": _sugar_box, "006_mustard_bottle": _mustard_bottle,
        "010_potted_meat_can": _potted_meat_can, "011_banana": _banana, "019_pitcher_base": _pitcher,
        "021_bleach_cleanser": _bleach_cleanser, "025_mug": _mug, "035_power_drill": _drill,
        "juice_bottle": _juice_bottle, "liquid_soap": _liquid_soap, "milk": _milk, "salt": _salt,
    }
)  # fmt: skip
"""Every object by its base name."""
