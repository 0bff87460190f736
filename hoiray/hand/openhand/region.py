"""Cut the right hand and forearm out of the human mesh, bound to MANO's sixteen joints.

One region serves two meshes: the *arm* keeps about 20 cm of the forearm and is for rendering; the *hand*, a subset of
its vertices cut behind the wrist, is what becomes the 778-vertex model.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe
from hoiray.hand.joints import Finger
from hoiray.hand.openhand.layout import FINGERS, NUM_JOINTS
from hoiray.hand.openhand.source import BaseMesh

# MakeHuman numbers the fingers from the thumb.
FINGER_NUMBERS: dict[Finger, int] = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
# MANO's wrist joint carries the palm and what is left of the forearm.
FOREARM_BONES = ("lowerarm01.R", "lowerarm02.R")
WRIST_BONES = ("wrist.R", *FOREARM_BONES, *(f"metacarpal{k}.R" for k in (1, 2, 3, 4)))
JOINT_BONES: tuple[tuple[str, ...], ...] = (
    WRIST_BONES,
    *((f"finger{FINGER_NUMBERS[finger]}-{level}.R",) for finger in FINGERS for level in (1, 2, 3)),
)
# A landmark is the centre of a small helper cube of the base mesh: sixteen joints, then five tips in MANO's order.
LANDMARK_GROUPS: tuple[str, ...] = (
    "joint-r-hand",
    *(f"joint-r-finger-{FINGER_NUMBERS[finger]}-{level}" for finger in FINGERS for level in (1, 2, 3)),
    *(f"joint-r-finger-{FINGER_NUMBERS[finger]}-4" for finger in FINGERS),
)
TIP_LANDMARK: dict[Finger, int] = {finger: NUM_JOINTS + k for k, finger in enumerate(FINGERS)}

# Cuts in metres of the base mesh, proximal of the wrist along the forearm. The first leaves a rim of 20 edges close
# behind the wrist, the second reaches 20 cm in the finished hand's scale.
HAND_CUT_M = 0.0192
ARM_CUT_M = 0.2
MIN_HAND_WEIGHT = 0.2
MIN_FOREARM_WEIGHT = 0.5
# Smaller skinning weights are dropped: at a full curl one of them moves a vertex by less than 0.1 mm.
MIN_SKIN_WEIGHT = 1e-3


@dataclass(frozen=True)
class ArmRegion:
    """The right arm as triangles over the base mesh.

    Attributes:
        vertex_ids: (A,) ascending rows of the base mesh.
        is_hand: (A,) bool, the vertices of the hand proper.
        faces: (F, 3) rows of `vertex_ids`, counter-clockwise seen from outside.
        uv: (U, 2) texture coordinates used by the arm.
        uv_faces: (F, 3) rows of `uv`, corner by corner.
        weights: (A, 16) skinning weights in MANO's joint order, rows sum to one.
        forearm_weights: (A,) in [0, 1], the part of joint 0 that does not follow the wrist's rotation.
        landmark_ids: 21 arrays of helper vertices, see `LANDMARK_GROUPS`.
    """

    vertex_ids: NDArray[np.int64]
    is_hand: NDArray[np.bool_]
    faces: NDArray[np.int64]
    uv: NDArray[np.float64]
    uv_faces: NDArray[np.int64]
    weights: NDArray[np.float64]
    forearm_weights: NDArray[np.float64]
    landmark_ids: tuple[NDArray[np.int64], ...]


def cut_arm(mesh: BaseMesh, bone_weights: NDArray[np.float64], forearm_weights: NDArray[np.float64]) -> ArmRegion:
    """Select, triangulate and renumber the right arm.

    Args:
        mesh: the base mesh.
        bone_weights: (V, 16) summed over `JOINT_BONES`.
        forearm_weights: (V,) summed over `FOREARM_BONES`.

    Raises:
        ContractError: when a landmark's helper cube is missing.
    """
    landmarks = tuple(_group(mesh, name) for name in LANDMARK_GROUPS)
    wrist = mesh.vertices[landmarks[0]].mean(axis=0)
    distal_axis = _unit(wrist - mesh.vertices[_group(mesh, "joint-r-elbow")].mean(axis=0))
    past_wrist_m = (mesh.vertices - wrist) @ distal_axis
    total = bone_weights.sum(axis=1)
    hand_quads = _inside(mesh.body_quads, (total > MIN_HAND_WEIGHT) & (past_wrist_m > -HAND_CUT_M))
    arm_quads = hand_quads | _inside(mesh.body_quads, (total > MIN_FOREARM_WEIGHT) & (past_wrist_m > -ARM_CUT_M))
    triangles, uv_triangles = split_quads(mesh.vertices, mesh.body_quads[arm_quads], mesh.body_uv_quads[arm_quads])
    vertex_ids, faces = np.unique(triangles, return_inverse=True)
    uv_ids, uv_faces = np.unique(uv_triangles, return_inverse=True)
    arm_total = total[vertex_ids]
    return ArmRegion(
        vertex_ids=vertex_ids,
        is_hand=np.isin(vertex_ids, mesh.body_quads[hand_quads]),
        faces=faces.reshape(-1, 3),
        uv=mesh.uv[uv_ids],
        uv_faces=uv_faces.reshape(-1, 3),
        weights=prune_weights(bone_weights[vertex_ids] / arm_total[:, None]),
        forearm_weights=np.clip(forearm_weights[vertex_ids] / arm_total, 0.0, 1.0),
        landmark_ids=landmarks,
    )


def split_quads(
    vertices: NDArray[np.float64], quads: NDArray[np.int64], uv_quads: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut every quad along its shorter diagonal, keeping its winding.

    Returns:
        (2Q, 3) vertex ids and (2Q, 3) texture rows.
    """
    first = np.linalg.norm(vertices[quads[:, 0]] - vertices[quads[:, 2]], axis=1)
    second = np.linalg.norm(vertices[quads[:, 1]] - vertices[quads[:, 3]], axis=1)
    corners = np.where(
        (first <= second)[:, None, None], np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0, 1, 3], [1, 2, 3]])
    ).reshape(-1, 6)
    return (
        np.take_along_axis(quads, corners, axis=1).reshape(-1, 3),
        np.take_along_axis(uv_quads, corners, axis=1).reshape(-1, 3),
    )


def prune_weights(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop weights below `MIN_SKIN_WEIGHT` and let the rows sum to one again."""
    kept = np.where(weights < MIN_SKIN_WEIGHT, 0.0, weights)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def restrict_faces(faces: NDArray[np.int64], keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Renumber the faces whose corners are all kept to the kept vertices."""
    new_index = np.cumsum(keep) - 1
    return np.asarray(new_index[faces[keep[faces].all(axis=1)]], dtype=np.int64)


def sample_mask(mask: NDArray[np.float64], uv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Look up a picture at texture coordinates, nearest pixel; v points upwards, rows downwards."""
    height, width = mask.shape
    column = np.clip((uv[:, 0] * width).astype(np.int64), 0, width - 1)
    row = np.clip(((1.0 - uv[:, 1]) * height).astype(np.int64), 0, height - 1)
    return np.asarray(mask[row, column])


def _inside(quads: NDArray[np.int64], selected: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(selected[quads].all(axis=1))


def _group(mesh: BaseMesh, name: str) -> NDArray[np.int64]:
    if name not in mesh.groups:
        raise ContractError(
            describe(what="base mesh", expected=f"group {name}", found="none of that name", fix="Check the wheel.")
        )
    return mesh.groups[name]


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))
