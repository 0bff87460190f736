"""Measure a hand file against what a hand must be: counts, sums, and how its surface behaves when it moves.

Works on the arrays of the file alone, so a file can be checked years after it was built.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hoiray.hand.openhand.axes import AnatomicalAxes
from hoiray.hand.openhand.layout import (
    FINGER_JOINTS,
    FINGERS,
    NUM_BETAS,
    NUM_BOUNDARY_EDGES,
    NUM_FACES,
    NUM_VERTICES,
    TIP_IDS,
    tip_id,
)
from hoiray.hand.openhand.poses import curl, fist, sample_poses
from hoiray.hand.openhand.skinning import (
    Skin,
    boundary_edges,
    euler_characteristic,
    face_normals,
    pose_skin,
    volume_m3,
)

EXTREME_BETA = 2.5
NUM_CHECK_POSES = 2000
# A vertex whose weight is by more than this one finger's is that finger's own; less, and it is the web between two.
OWN_SKIN = 0.9


@dataclass(frozen=True)
class Check:
    """One measured property and the closed range it must lie in."""

    name: str
    value: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """Whether the value is in range; NaN never is."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True)
class HandFile:
    """A hand file in double precision, see `assemble.assemble_hand`."""

    vertices: NDArray[np.float64]
    shapedirs: NDArray[np.float64]
    posedirs: NDArray[np.float64]
    weights: NDArray[np.float64]
    joint_regressor: NDArray[np.float64]
    faces: NDArray[np.int64]
    components: NDArray[np.float64]
    axes: AnatomicalAxes

    def skin(self, betas: NDArray[np.float64] | None = None) -> Skin:
        """Return the hand of the given shape, the mean hand without one."""
        shaped = self.vertices if betas is None else self.vertices + self.shapedirs @ betas
        return Skin(shaped, self.joint_regressor @ shaped, self.weights, self.posedirs)


def read_hand(arrays: Mapping[str, NDArray[Any]]) -> HandFile:
    """Take the arrays the checks need out of a hand file."""

    def double(key: str) -> NDArray[np.float64]:
        return np.asarray(arrays[key], dtype=np.float64)

    return HandFile(
        vertices=double("v_template"),
        shapedirs=double("shapedirs"),
        posedirs=double("posedirs"),
        weights=double("weights"),
        joint_regressor=double("J_regressor"),
        faces=np.asarray(arrays["f"], dtype=np.int64),
        components=double("hands_components"),
        axes=AnatomicalAxes(double("flexion_axes"), double("abduction_axes"), double("twist_axes")),
    )


def check_hand(hand: HandFile, rng: np.random.Generator, num_poses: int = NUM_CHECK_POSES) -> list[Check]:
    """Take every measurement.

    Args:
        hand: the file.
        rng: draws the poses, and shapes.
        num_poses: how many.
    """
    poses = sample_poses(hand.axes, num_poses, rng)
    return [
        *_layout_checks(hand),
        *_tip_checks(hand),
        *_shape_checks(hand),
        *_volume_checks(hand, poses),
        *_shaped_volume_checks(hand, poses, rng),
        *_curl_checks(hand),
        Check("largest drift from the own bone [mm]", 1e3 * max_drift_m(hand, poses), 0.0, 10.0),
    ]


def check_arm(arm: Mapping[str, NDArray[Any]], hand: HandFile) -> list[Check]:
    """Check that the arm is the hand's own surface at full resolution, with a forearm."""
    vertices = np.asarray(arm["v_template"], dtype=np.float64)
    ids = np.asarray(arm["hand_vertex_ids"], dtype=np.int64)
    faces = np.asarray(arm["f"], dtype=np.int64)
    wrist = hand.joint_regressor[0] @ hand.vertices
    same = max(
        float(np.abs(np.asarray(arm[key], dtype=np.float64)[ids] - reference).max())
        for key, reference in (
            ("v_template", hand.vertices),
            ("shapedirs", hand.shapedirs),
            ("posedirs", hand.posedirs),
            ("weights", hand.weights),
        )
    )
    deviation = distance_to_surface_m(vertices[vertices[:, 0] < wrist[0]], hand.vertices, hand.faces)
    nails = np.asarray(arm["nail_mask"], dtype=np.float64)
    return [
        Check("arm: difference at the hand's vertices", same, 0.0, 0.0),
        Check("arm: Euler characteristic", euler_characteristic(faces, len(vertices)), 1, 1),
        Check("arm: length of the forearm [mm]", 1e3 * float(vertices[:, 0].max() - wrist[0]), 180.0, 220.0),
        Check("arm: hand surface to reduced hand, mean [mm]", 1e3 * float(deviation.mean()), 0.0, 0.2),
        Check("arm: hand surface to reduced hand, max [mm]", 1e3 * float(deviation.max()), 0.0, 1.5),
        Check("arm: texture rows on a nail", float((nails > 0.5).sum()), 25, 200),
    ]


def hand_length_m(hand: HandFile, betas: NDArray[np.float64] | None = None) -> float:
    """Measure wrist - middle finger - tip along the bones."""
    skin = hand.skin(betas)
    chain = [*skin.joints[[0, *FINGER_JOINTS["middle"]]], skin.vertices[tip_id("middle")]]
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum())


def volume_ratios(
    hand: HandFile, poses: NDArray[np.float64], shapes: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Measure what bending does to the volume.

    Args:
        hand: the file.
        poses: (N, 45) axis-angle in rad.
        shapes: (N, 10) betas, one hand for each pose; None for the mean hand.

    Returns:
        (N,) enclosed volume of each posed hand over that of the same hand at rest.
    """
    rim = np.unique(boundary_edges(hand.faces))
    skins = [hand.skin()] * len(poses) if shapes is None else [hand.skin(betas) for betas in shapes]
    posed = [volume_m3(pose_skin(skin, pose), hand.faces, rim) for skin, pose in zip(skins, poses, strict=True)]
    return np.asarray(posed) / [volume_m3(skin.vertices, hand.faces, rim) for skin in skins]


def max_drift_m(hand: HandFile, poses: NDArray[np.float64]) -> float:
    """Measure how much farther than at rest any finger vertex gets from the bone that carries most of it.

    A vertex torn off its bone shows here, however small its part of the volume.
    """
    skin = hand.skin()
    owner = hand.weights.argmax(axis=1)
    next_joint = {chain[k]: chain[k + 1] for chain in FINGER_JOINTS.values() for k in (0, 1)}
    ends = np.stack([skin.joints[next_joint.get(joint, joint)] for joint in range(len(skin.joints))])
    for finger, chain in FINGER_JOINTS.items():
        ends[chain[2]] = skin.vertices[tip_id(finger)]
    rigid = Skin(np.concatenate([skin.joints, ends]), skin.joints, np.tile(np.eye(len(ends)), (2, 1)))
    fingers = np.flatnonzero(owner > 0)

    def distance(vertices: NDArray[np.float64], bones: NDArray[np.float64]) -> NDArray[np.float64]:
        starts, stops = bones[: len(ends)][owner[fingers]], bones[len(ends) :][owner[fingers]]
        return _distance_to_segments(vertices[fingers], starts, stops)

    rest = distance(skin.vertices, rigid.vertices)
    return max(float((distance(pose_skin(skin, p), pose_skin(rigid, p)) - rest).max()) for p in poses)


def distance_to_surface_m(
    points: NDArray[np.float64], vertices: NDArray[np.float64], faces: NDArray[np.int64], num_near: int = 24
) -> NDArray[np.float64]:
    """Measure (P,) distances from points to a mesh, among the faces whose centres are nearest."""
    corners = vertices[faces]
    _, near = cKDTree(corners.mean(axis=1)).query(points, k=num_near)
    a, b, c = (corners[near][:, :, k] for k in range(3))
    p = np.broadcast_to(points[:, None], a.shape)
    edges = np.minimum.reduce([_distance_to_segments(p, u, v) for u, v in ((a, b), (b, c), (c, a))])
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    height = np.sum((p - a) * normal, axis=-1)
    foot = p - height[..., None] * normal
    inside = np.logical_and.reduce(
        [np.sum(np.cross(v - u, foot - u) * normal, axis=-1) >= 0 for u, v in ((a, b), (b, c), (c, a))]
    )
    return np.asarray(np.where(inside, np.abs(height), edges).min(axis=1))


def _layout_checks(hand: HandFile) -> Iterator[Check]:
    directed = np.concatenate([hand.faces[:, [0, 1]], hand.faces[:, [1, 2]], hand.faces[:, [2, 0]]])
    gram = hand.components @ hand.components.T
    yield Check("vertices", len(hand.vertices), NUM_VERTICES, NUM_VERTICES)
    yield Check("faces", len(hand.faces), NUM_FACES, NUM_FACES)
    yield Check("boundary edges", len(boundary_edges(hand.faces)), NUM_BOUNDARY_EDGES, NUM_BOUNDARY_EDGES)
    yield Check("Euler characteristic", euler_characteristic(hand.faces, len(hand.vertices)), 1, 1)
    yield Check("edges used twice in one direction", len(directed) - len(np.unique(directed, axis=0)), 0, 0)
    yield Check("skin weights: error of the sum", float(np.abs(hand.weights.sum(axis=1) - 1.0).max()), 0.0, 1e-6)
    yield Check("skin weights: smallest", float(hand.weights.min()), 0.0, 1.0)
    yield Check("joint regressor: error of the sum", _sum_error(hand.joint_regressor), 0.0, 1e-6)
    yield Check("joint regressor: smallest", float(hand.joint_regressor.min()), 0.0, 1.0)
    yield Check("pose space: error of orthonormality", float(np.abs(gram - np.eye(len(gram))).max()), 0.0, 1e-5)


def _tip_checks(hand: HandFile) -> Iterator[Check]:
    owner = hand.weights.argmax(axis=1)
    strangers = [v for finger, ids in TIP_IDS.items() for v in ids if owner[v] != FINGER_JOINTS[finger][2]]
    apart = [np.linalg.norm(hand.vertices[list(ids[1:])] - hand.vertices[ids[0]], axis=1) for ids in TIP_IDS.values()]
    backwards = [
        float(hand.axes.twist[FINGER_JOINTS[finger][2]] @ (hand.vertices[ids[0]] - hand.vertices[ids[-1]]))
        for finger, ids in TIP_IDS.items()
    ]
    yield Check("tip vertices on another bone", len(strangers), 0, 0)
    yield Check("tip vertices to their tip, nearest [mm]", 1e3 * float(np.concatenate(apart).min()), 1.0, 10.0)
    yield Check("tip vertices to their tip, farthest [mm]", 1e3 * float(np.concatenate(apart).max()), 1.0, 10.0)
    yield Check("HO-3D tip behind the tip, least [mm]", 1e3 * min(backwards), 0.0, 8.0)


def _shape_checks(hand: HandFile) -> Iterator[Check]:
    extremes = _extreme_shapes()
    lengths = [hand_length_m(hand, betas) for betas in extremes]
    rest = face_normals(hand.vertices, hand.faces)
    flipped = [np.sum(rest * face_normals(hand.skin(b).vertices, hand.faces), axis=1) <= 0 for b in extremes]
    yield Check("mean length [mm]", 1e3 * hand_length_m(hand), 178.0, 186.0)
    yield Check(f"shortest at beta +-{EXTREME_BETA} [mm]", 1e3 * min(lengths), 145.0, 182.0)
    yield Check(f"longest at beta +-{EXTREME_BETA} [mm]", 1e3 * max(lengths), 182.0, 220.0)
    yield Check(f"faces turned over at beta +-{EXTREME_BETA}", float(np.sum(flipped)), 0, 0)


def _volume_checks(hand: HandFile, poses: NDArray[np.float64]) -> Iterator[Check]:
    rest = volume_m3(hand.vertices, hand.faces, np.unique(boundary_edges(hand.faces)))
    ratios = volume_ratios(hand, poses).tolist()
    closed = float(volume_ratios(hand, fist(hand.axes)[None])[0])
    yield Check("rest volume [cm3]", 1e6 * rest, 200.0, 400.0)
    yield Check(f"volume over {len(poses)} poses, least", min(ratios, default=math.nan), 0.9, 1.0)
    yield Check(f"volume over {len(poses)} poses, most", max(ratios, default=math.nan), 0.95, 1.1)
    yield Check("volume, every joint at its limit", closed, 0.88, 1.1)


def _shaped_volume_checks(hand: HandFile, poses: NDArray[np.float64], rng: np.random.Generator) -> Iterator[Check]:
    """Bend other hands than the mean one: each beta alone at its extreme, and shapes of people."""
    ratios = volume_ratios(hand, poses, sample_shapes(len(poses), rng)).tolist()
    yield Check(f"volume over {len(poses)} shapes, least", min(ratios, default=math.nan), 0.9, 1.0)
    yield Check(f"volume over {len(poses)} shapes, most", max(ratios, default=math.nan), 0.95, 1.1)


def sample_shapes(num: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (num, 10) betas: in turn one alone at +-2.5, and ten standard normal ones clipped there.

    All ten at +-2.5 at once are outside: one person of 10^19 has such a shape.
    """
    drawn = np.clip(rng.normal(size=(num, NUM_BETAS)), -EXTREME_BETA, EXTREME_BETA)
    drawn[::2] = np.resize(_extreme_shapes(), (len(drawn[::2]), NUM_BETAS))
    return drawn


def _extreme_shapes() -> NDArray[np.float64]:
    """Return (20, 10) betas, one at its extreme and the others zero."""
    return np.concatenate([EXTREME_BETA * np.eye(NUM_BETAS), -EXTREME_BETA * np.eye(NUM_BETAS)])


def _curl_checks(hand: HandFile) -> Iterator[Check]:
    skin, owner = hand.skin(), hand.weights.argmax(axis=1)
    for finger in FINGERS:
        moved = pose_skin(skin, curl(hand.axes, finger)) - skin.vertices
        halfway = pose_skin(skin, curl(hand.axes, finger, 0.5)) - skin.vertices
        others = [vertex for other, ids in TIP_IDS.items() if other != finger for vertex in ids]
        to_palm = float(halfway[tip_id(finger)] @ -hand.axes.abduction[FINGER_JOINTS[finger][0]])
        yield Check(f"{finger} half curled: its tip to the palm [mm]", 1e3 * to_palm, 20.0, 120.0)
        yield Check(f"{finger} curled: other tips [mm]", 1e3 * float(np.abs(moved[others]).max()), 0.0, 0.0)
        moved_mm = 1e3 * np.linalg.norm(moved, axis=1)
        chains = [list(chain) for other, chain in FINGER_JOINTS.items() if other != finger]
        beyond = np.isin(owner, [joint for chain in chains for joint in chain[1:]])
        knuckle = np.any([hand.weights[:, chain].sum(axis=1) > OWN_SKIN for chain in chains], axis=0)
        web = np.isin(owner, [chain[0] for chain in chains])
        # Weights are float32, so that a vertex may follow its bones by 1 + 6e-8: some nanometres.
        yield Check(f"{finger} curled: others beyond the knuckle [mm]", float(moved_mm[beyond].max()), 0.0, 1e-5)
        yield Check(f"{finger} curled: others' knuckles [mm]", float(moved_mm[knuckle].max()), 0.0, 3.0)
        yield Check(f"{finger} curled: webs to the others [mm]", float(moved_mm[web].max()), 0.0, 8.5)


def _sum_error(rows: NDArray[np.float64]) -> float:
    return float(np.abs(rows.sum(axis=1) - 1.0).max())


def _distance_to_segments(
    points: NDArray[np.float64], starts: NDArray[np.float64], stops: NDArray[np.float64]
) -> NDArray[np.float64]:
    along = stops - starts
    part = np.sum((points - starts) * along, axis=-1) / np.sum(along * along, axis=-1)
    return np.asarray(np.linalg.norm(points - starts - np.clip(part, 0.0, 1.0)[..., None] * along, axis=-1))
