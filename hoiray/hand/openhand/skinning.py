"""Linear blend skinning of a MANO-layout hand in numpy, and the surface measures the build is judged by.

The product poses hands through smplx; this small version exists because the build must pose hands before there is a
model file to load. The tests compare the two.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.hand.openhand.layout import NUM_JOINTS, PARENTS


@dataclass(frozen=True)
class Skin:
    """A hand mesh in its rest pose, ready to be posed.

    Attributes:
        vertices: (V, 3) rest positions in metres.
        joints: (16, 3) rest joints in metres.
        weights: (V, 16), rows sum to one.
        posedirs: (V, 3, 135) offset in metres per element of the fifteen `R - I`; None for none.
    """

    vertices: NDArray[np.float64]
    joints: NDArray[np.float64]
    weights: NDArray[np.float64]
    posedirs: NDArray[np.float64] | None = None


def pose_features(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flatten `R - I` of the fifteen finger joints, the (135,) vector that MANO's `posedirs` multiply.

    Args:
        rotations: (16, 3, 3), the wrist first.
    """
    return (rotations[1:] - np.eye(3)).reshape(-1)


def joint_transforms(joints: NDArray[np.float64], rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chain the rotations of every joint about its rest position.

    Args:
        joints: (16, 3) rest joints.
        rotations: (16, 3, 3) relative to the parent.

    Returns:
        (16, 4, 4) taking a rest point that is rigid with the joint to its posed position.
    """
    transforms = np.tile(np.eye(4), (NUM_JOINTS, 1, 1))
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - rotations[joint] @ joints[joint]
        transforms[joint] = local if parent < 0 else transforms[parent] @ local
    return transforms


def blend(
    vertices: NDArray[np.float64], weights: NDArray[np.float64], transforms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move every vertex by the weighted mean of its joints' transforms.

    Args:
        vertices: (V, 3).
        weights: (V, 16).
        transforms: (16, 4, 4), see `joint_transforms`.
    """
    mixed = (weights @ transforms[:, :3, :].reshape(NUM_JOINTS, 12)).reshape(-1, 3, 4)
    return np.asarray(np.einsum("vab,vb->va", mixed[:, :, :3], vertices) + mixed[:, :, 3])


def pose_skin(skin: Skin, hand_pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pose a hand, the wrist at rest.

    Args:
        skin: the hand.
        hand_pose: (45,) axis-angle in rad, MANO's joint order.

    Returns:
        (V, 3) in metres.
    """
    rotations = Rotation.from_rotvec(np.concatenate([np.zeros((1, 3)), hand_pose.reshape(-1, 3)])).as_matrix()
    vertices = skin.vertices
    if skin.posedirs is not None:
        vertices = vertices + skin.posedirs @ pose_features(rotations)
    return blend(vertices, skin.weights, joint_transforms(skin.joints, rotations))


def face_normals(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (F, 3) outward normals whose length is twice the face's area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (V, 3) unit normals, the mean of the faces around a vertex weighted by area."""
    per_face = face_normals(vertices, faces)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], per_face)
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))


def boundary_edges(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (B, 2) the edges that belong to one face only, each in the direction of its face."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, group, count = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(directed[count[group.reshape(-1)] == 1], dtype=np.int64)


def euler_characteristic(faces: NDArray[np.int64], num_vertices: int) -> int:
    """Count vertices - edges + faces; 1 for a disc."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return num_vertices - len(np.unique(edges, axis=0)) + len(faces)


def volume_m3(vertices: NDArray[np.float64], faces: NDArray[np.int64], rim: NDArray[np.int64]) -> float:
    """Measure the enclosed volume; the open wrist is closed by a fan to the centre of its rim.

    Tetrahedra are taken from that centre, so the fan itself contributes nothing.

    Args:
        vertices: (V, 3) in metres.
        faces: (F, 3) outward.
        rim: ids of the boundary vertices.
    """
    x = vertices - vertices[rim].mean(axis=0)
    return float(np.einsum("fi,fi->", x[faces[:, 0]], np.cross(x[faces[:, 1]], x[faces[:, 2]])) / 6.0)
