"""The arm that is drawn: the hand's own surface at full resolution, a forearm that bends at the wrist, and a sleeve.

The truth is MANO's mesh of 778 vertices, which ends behind the wrist. The arm has it as a subset of its vertices, posed
by the same weights, shapes and correctives, so that both surfaces are one up to the triangles between the vertices
(0.09 mm on average). What lies behind the wrist cut moves on its own: the forearm turns about the centre of the cut,
by an angle that grows from nothing at the cut, so that nothing of the labelled hand moves with it.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.sample import ManoParameters
from hoiray.errors import ContractError, describe
from hoiray.hand.load import HandArrays, load_hand_arrays
from hoiray.hand.sides import mirror_axis_angle, mirror_faces, mirror_points
from hoiray.render.raster import IntArray
from hoiray.synthetic.distance import compiled

FloatArray = NDArray[np.float64]

ARM_PATH = Path(load_hand_arrays.__code__.co_filename).parent / "assets" / "openarm_right.npz"

_BEND_LENGTH_M = 0.05
"""The forearm has turned by the whole angle this far behind the wrist cut."""

_SLEEVE_SIDES = 24
_SLEEVE_END_M = 0.7
"""A sleeve reaches this far behind the wrist cut: past the arm's own end at 0.18 m, so that it is never seen."""

_CUFF_INNER_M = 0.012
_NUM_SLEEVE_RINGS = 22


@dataclass(frozen=True, eq=False)
class ArmMesh:
    """The right arm at rest, mean shape; read-only.

    Attributes:
        vertices: (A, 3) metres, MANO's rest frame (fingers towards -x, back of the hand towards +y, thumb +z).
        shapedirs: (A, 3, 10). posedirs: (A * 3, 135) float32. weights: (A, 16).
        faces: (F, 3). face_is_hand: (F,) bool, on MANO's side of the wrist cut.
        uv: (U, 2), v upwards; uv_faces: (F, 3) rows of `uv`. nail: (U,) in [0, 1].
        hand_ids: (778,) the row of each vertex of the hand.
        behind_cut_m: (A,) distance behind the plane of the wrist cut, negative in the hand.
        rim_ids: (16,) vertices on the rim of the wrist cut.
        hand: the 778-vertex model.
    """

    vertices: FloatArray
    shapedirs: FloatArray
    posedirs: NDArray[np.float32]
    weights: FloatArray
    faces: NDArray[np.int64]
    face_is_hand: NDArray[np.bool_]
    uv: FloatArray
    uv_faces: NDArray[np.int64]
    nail: FloatArray
    hand_ids: NDArray[np.int64]
    behind_cut_m: FloatArray
    rim_ids: NDArray[np.int64]
    hand: HandArrays


@dataclass(frozen=True)
class SleeveCut:
    """How long and wide a sleeve is.

    Attributes:
        start_m: from the wrist cut to the cuff.
        slack_m: between skin and cloth.
        fold_m: depth of the folds.
        seed: of the folds.
    """

    start_m: float = 0.06
    slack_m: float = 0.005
    fold_m: float = 0.002
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ShapedArm:
    """One person's right arm with its sleeve, at rest.

    Attributes:
        vertices: (A + S, 3) metres, the sleeve's last.
        joints: (16, 3) MANO order.
        faces: (F + G, 3), counter-clockwise from outside for the right hand.
        face_is_hand: (F + G,) bool.
        num_arm_vertices: A.
        arm_face_ids: (F,) the rows of `ArmMesh.faces` that are left: what the sleeve hides is not there.
        pivot: (3,) centre of the wrist cut. bend: (A + S,) share of the forearm's rotation.
    """

    vertices: FloatArray
    joints: FloatArray
    faces: NDArray[np.int64]
    face_is_hand: NDArray[np.bool_]
    num_arm_vertices: int
    arm_face_ids: NDArray[np.int64]
    pivot: FloatArray
    bend: FloatArray


@lru_cache(maxsize=1)
def load_arm() -> ArmMesh:
    """Load the packaged arm.

    Raises:
        ContractError: the file is missing, or is not of the same build as the packaged hand.
    """
    if not ARM_PATH.is_file():
        raise ContractError(
            describe(what=str(ARM_PATH), expected="the packaged arm", found="no file", fix="Reinstall hoiray.")
        )
    hand = load_hand_arrays()
    with np.load(ARM_PATH, allow_pickle=False) as raw:
        data = {key: raw[key] for key in raw.files if key != "provenance"}
    vertices, hand_ids = data["v_template"].astype(np.float64), data["hand_vertex_ids"].astype(np.int64)
    if np.abs(vertices[hand_ids] - hand.v_template).max() > 1e-6:
        fix = "Build both files together with scripts/build_open_hand.py."
        raise ContractError(describe(what=str(ARM_PATH), expected="the hand's vertices", found="others", fix=fix))
    rim = np.unique(_boundary(hand.faces))
    behind = _distance_behind(hand.v_template[rim], vertices)
    faces = data["f"].astype(np.int64)
    return ArmMesh(
        vertices=vertices,
        shapedirs=data["shapedirs"].astype(np.float64),
        posedirs=np.ascontiguousarray(data["posedirs"].reshape(-1, 135), np.float32),
        weights=data["weights"].astype(np.float64),
        faces=faces,
        # The rim lies within 1.2 mm of its plane and the next row of vertices 7 mm behind it.
        face_is_hand=(behind[faces] < 0.003).all(axis=1),
        uv=data["uv"].astype(np.float64),
        uv_faces=data["f_uv"].astype(np.int64),
        nail=data["nail_mask"].astype(np.float64),
        hand_ids=hand_ids,
        behind_cut_m=behind,
        rim_ids=hand_ids[rim],
        hand=hand,
    )


def shape_arm(betas: FloatArray, sleeve: SleeveCut) -> ShapedArm:
    """Give the arm a person's shape and put a sleeve on it.

    Args:
        betas: (10,).
        sleeve: its cut.
    """
    arm = load_arm()
    vertices = arm.vertices + arm.shapedirs @ betas
    joints = arm.hand.J_regressor @ vertices[arm.hand_ids]
    pivot = vertices[arm.rim_ids].mean(axis=0)
    cloth, cloth_faces, cloth_behind = _sleeve(arm, vertices, pivot, sleeve)
    everything = np.concatenate([vertices, cloth])
    shown = np.flatnonzero((arm.behind_cut_m[arm.faces] < sleeve.start_m + 2 * _CUFF_INNER_M).any(axis=1))
    behind = np.concatenate([arm.behind_cut_m, cloth_behind])
    share = np.clip(behind / _BEND_LENGTH_M, 0.0, 1.0)
    return ShapedArm(
        vertices=everything,
        joints=joints,
        faces=np.concatenate([arm.faces[shown], cloth_faces + len(vertices)]),
        face_is_hand=np.concatenate([arm.face_is_hand[shown], np.zeros(len(cloth_faces), np.bool_)]),
        num_arm_vertices=len(vertices),
        arm_face_ids=shown,
        pivot=pivot,
        bend=share * share * (3.0 - 2.0 * share),
    )


def pose_arm(shaped: ShapedArm, mano: ManoParameters, forearm: FloatArray, *, is_right: bool) -> FloatArray:
    """Pose an arm.

    Args:
        shaped: the right arm of the person; `mano.betas` is not looked at.
        mano: pose of the hand of the given side, camera axes.
        forearm: (3,) axis-angle of the forearm relative to the hand, in the rest axes of that side's model; zero is
            the straight wrist.
        is_right: side; a left arm is the mirror image.

    Returns:
        (A + S, 3) metres, camera frame.
    """
    arm = load_arm()
    orient, pose, bend = (np.asarray(value, np.float64) for value in (mano.global_orient, mano.hand_pose, forearm))
    if not is_right:
        orient, pose, bend = mirror_axis_angle(orient), mirror_axis_angle(pose), mirror_axis_angle(bend)
    local = turns_of(np.concatenate([orient, pose]).reshape(16, 3))
    rest = shaped.vertices.copy()
    feature = (local[1:] - np.eye(3)).reshape(-1).astype(np.float32)
    rest[: shaped.num_arm_vertices] += (arm.posedirs @ feature).reshape(-1, 3)
    _bend(rest, shaped.bend, bend, shaped.pivot)
    rotations, shifts = _chain(local, shaped.joints, arm.hand.parents)
    posed = np.empty_like(rest)
    _skin(rest, arm.weights, rotations, shifts, posed)
    if not is_right:
        posed = mirror_points(posed)
    return np.asarray(posed + np.asarray(mano.transl, np.float64))


def faces_of_side(shaped: ShapedArm, *, is_right: bool) -> IntArray:
    """Return the arm's faces, counter-clockwise from outside for that side."""
    return shaped.faces if is_right else mirror_faces(shaped.faces)


@lru_cache(maxsize=1)
def sleeve_uv() -> NDArray[np.float32]:
    """Return (G, 3, 2) texture coordinates of the sleeve's corners for the right arm: once round, once along."""
    faces = _tube_faces(_NUM_SLEEVE_RINGS, _SLEEVE_SIDES)
    ring, side = faces // _SLEEVE_SIDES, faces % _SLEEVE_SIDES
    # where a face closes the circle its far corners have run on to 1, not back to 0
    side = np.where((side == 0) & (side.max(axis=1) == _SLEEVE_SIDES - 1)[:, None], _SLEEVE_SIDES, side)
    return np.stack([side / _SLEEVE_SIDES, ring / _NUM_SLEEVE_RINGS], axis=2).astype(np.float32)


def _boundary(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the edges (E, 2) that belong to one face only."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    return np.asarray(unique[count == 1])


def _distance_behind(rim: FloatArray, vertices: FloatArray) -> FloatArray:
    """Measure how far vertices lie behind the plane through the rim; fingers point to -x, so behind is +x."""
    centre = rim.mean(axis=0)
    normal = np.linalg.svd(rim - centre)[2][2]
    return np.asarray((vertices - centre) @ (normal * np.sign(normal[0])))


def _sleeve(
    arm: ArmMesh, vertices: FloatArray, pivot: FloatArray, cut: SleeveCut
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
    """Return a tube of cloth about the forearm: vertices, faces, and how far behind the cut each vertex is."""
    rng = np.random.default_rng(cut.seed)
    forearm = vertices[arm.behind_cut_m > -0.004]
    axis = forearm[np.argsort(forearm[:, 0])[-12:]].mean(axis=0) - pivot
    axis /= np.linalg.norm(axis)
    across = np.cross(axis, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    frame = np.stack([axis, across, np.cross(axis, across)])
    local = (forearm - pivot) @ frame.T
    # the cuff is folded inwards: the first ring lies inside, behind the second
    along = np.concatenate(
        [[cut.start_m + _CUFF_INNER_M], np.linspace(cut.start_m, _SLEEVE_END_M, _NUM_SLEEVE_RINGS - 1)]
    )
    angle = 2 * np.pi * np.arange(_SLEEVE_SIDES) / _SLEEVE_SIDES
    outwards = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    phases = rng.uniform(0, 2 * np.pi, 4)
    rings = np.empty((_NUM_SLEEVE_RINGS, _SLEEVE_SIDES, 3))
    for k, s in enumerate(along):
        near = local[np.abs(local[:, 0] - np.clip(s, 0.0, local[:, 0].max() - 0.015)) < 0.022, 1:]
        middle = (near.max(axis=0) + near.min(axis=0)) / 2
        # the support function encloses the forearm in every direction, which an ellipse of its extents does not
        reach = ((near - middle) @ outwards.T).max(axis=0)
        fold = cut.fold_m * (
            np.sin(3 * angle + 60 * s + phases[0])
            + np.sin(2 * angle - 95 * s + phases[1])
            + np.sin(140 * s + phases[2])
        )
        slack = (cut.slack_m if k else 0.2 * cut.slack_m) + (fold if k else 0.0) * min(1.0, (s - cut.start_m) / 0.03)
        rings[k] = np.column_stack([np.full(_SLEEVE_SIDES, s), middle + (reach + slack)[:, None] * outwards])
    faces = _tube_faces(_NUM_SLEEVE_RINGS, _SLEEVE_SIDES)
    return rings.reshape(-1, 3) @ frame + pivot, faces, np.repeat(along, _SLEEVE_SIDES)


def _tube_faces(num_rings: int, num_sides: int) -> NDArray[np.int64]:
    """Join rings that follow each other along the axis and turn about it, with the outside outwards."""
    ring, side = np.meshgrid(np.arange(num_rings - 1), np.arange(num_sides), indexing="ij")
    a = (ring * num_sides + side).ravel()
    b = (ring * num_sides + (side + 1) % num_sides).ravel()
    return np.concatenate([np.stack([a, b, b + num_sides], 1), np.stack([a, b + num_sides, a + num_sides], 1)])


def _chain(local: FloatArray, joints: FloatArray, parents: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Return for each joint the rotation (16, 3, 3) and shift (16, 3) that its skin undergoes."""
    rotations, shifts = np.empty((16, 3, 3)), np.empty((16, 3))
    for joint, parent in enumerate(parents):
        rotations[joint] = local[joint] if parent < 0 else rotations[parent] @ local[joint]
        at = joints[joint] if parent < 0 else rotations[parent] @ joints[joint] + shifts[parent]
        shifts[joint] = at - rotations[joint] @ joints[joint]
    return rotations, shifts


@compiled
def turns_of(axis_angle: FloatArray) -> FloatArray:  # pragma: no cover - compiled
    """Return the rotations (N, 3, 3) of axis-angles (N, 3) by Rodrigues' formula.

    `hoiray.geometry.rotations` checks its input and takes any shape; for sixteen joints that takes 0.2 ms, this 2 us.
    """
    turns = np.empty((len(axis_angle), 3, 3))
    for i in range(len(axis_angle)):
        x, y, z = axis_angle[i, 0], axis_angle[i, 1], axis_angle[i, 2]
        square = x * x + y * y + z * z
        angle = np.sqrt(square)
        # at 1e-4 rad the next terms of both series are 1e-9 of what is kept of them
        a = np.sin(angle) / angle if angle > 1e-4 else 1.0 - square / 6.0
        b = (1.0 - np.cos(angle)) / square if angle > 1e-4 else 0.5 - square / 24.0
        turns[i, 0, 0], turns[i, 0, 1], turns[i, 0, 2] = 1.0 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y
        turns[i, 1, 0], turns[i, 1, 1], turns[i, 1, 2] = b * x * y + a * z, 1.0 - b * (x * x + z * z), b * y * z - a * x
        turns[i, 2, 0], turns[i, 2, 1], turns[i, 2, 2] = b * x * z - a * y, b * y * z + a * x, 1.0 - b * (x * x + y * y)
    return turns


@compiled
def _bend(points: FloatArray, share: FloatArray, bend: FloatArray, pivot: FloatArray) -> None:  # pragma: no cover
    """Turn each point about the pivot by its share of an axis-angle, in place (Rodrigues' formula)."""
    angle = np.sqrt(bend[0] * bend[0] + bend[1] * bend[1] + bend[2] * bend[2])
    if angle == 0.0:
        return
    kx, ky, kz = bend[0] / angle, bend[1] / angle, bend[2] / angle
    for v in range(len(points)):
        if share[v] <= 0.0:
            continue
        sine, cosine = np.sin(share[v] * angle), np.cos(share[v] * angle)
        x, y, z = points[v, 0] - pivot[0], points[v, 1] - pivot[1], points[v, 2] - pivot[2]
        along = (kx * x + ky * y + kz * z) * (1.0 - cosine)
        points[v, 0] = pivot[0] + cosine * x + sine * (ky * z - kz * y) + along * kx
        points[v, 1] = pivot[1] + cosine * y + sine * (kz * x - kx * z) + along * ky
        points[v, 2] = pivot[2] + cosine * z + sine * (kx * y - ky * x) + along * kz


@compiled
def _skin(
    rest: FloatArray, weights: FloatArray, rotations: FloatArray, shifts: FloatArray, posed: FloatArray
) -> None:  # pragma: no cover - compiled
    """Blend; rows beyond those of `weights` (the sleeve) follow the wrist."""
    for v in range(len(rest)):
        x, y, z = rest[v, 0], rest[v, 1], rest[v, 2]
        for axis in range(3):
            total = 0.0
            for joint in range(16):
                weight = weights[v, joint] if v < len(weights) else (1.0 if joint == 0 else 0.0)
                if weight != 0.0:
                    r = rotations[joint, axis]
                    total += weight * (r[0] * x + r[1] * y + r[2] * z + shifts[joint, axis])
            posed[v, axis] = total
