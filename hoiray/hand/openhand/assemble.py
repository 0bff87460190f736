"""Put the parts of the free hand into MANO's array layout."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiray.hand.openhand.axes import AnatomicalAxes
from hoiray.hand.openhand.layout import NUM_JOINTS, PARENTS
from hoiray.hand.openhand.poses import PoseBasis
from hoiray.hand.openhand.region import ArmRegion
from hoiray.hand.openhand.shapes import ShapeBasis

NO_PARENT = 4294967295  # how MANO's kintree_table marks the root: minus one in 32 unsigned bits

ArrayFile = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class HandMesh:
    """The reduced hand over the arm's vertices.

    Attributes:
        arm_ids: (778,) the arm vertex of every hand vertex.
        faces: (1538, 3).
        joint_regressor: (16, 778).
    """

    arm_ids: NDArray[np.int64]
    faces: NDArray[np.int64]
    joint_regressor: NDArray[np.float64]


def assemble_hand(
    *,
    region: ArmRegion,
    basis: ShapeBasis,
    mesh: HandMesh,
    posedirs: NDArray[np.float64],
    axes: AnatomicalAxes,
    poses: PoseBasis,
    provenance: Mapping[str, Any],
) -> ArrayFile:
    """Make the file of the 778-vertex hand.

    Keys of MANO's layout, readable by `smplx.MANO`: v_template, shapedirs, posedirs, weights, J_regressor, J,
    kintree_table, f, hands_components, hands_coeffs, hands_mean, bs_style, bs_type. Keys of hoiray: flexion_axes,
    abduction_axes, twist_axes (16, 3), the rest frame's anatomical axes in MANO's joint order; provenance, JSON text.

    Args:
        region: the arm.
        basis: its shapes.
        mesh: the reduced hand.
        posedirs: (A, 3, 135) of the arm.
        axes: of the rest hand.
        poses: the pose space.
        provenance: where the numbers come from; anything JSON can hold.
    """
    ids = mesh.arm_ids
    template = basis.mean[ids]
    parents = np.array([NO_PARENT if parent < 0 else parent for parent in PARENTS])
    return {
        "v_template": _single(template),
        "shapedirs": _single(basis.directions[ids]),
        "posedirs": _single(posedirs[ids]),
        "weights": _single(region.weights[ids]),
        "J_regressor": _single(mesh.joint_regressor),
        "J": _single(mesh.joint_regressor @ template),
        "kintree_table": np.stack([parents, np.arange(NUM_JOINTS)]).astype(np.int64),
        "f": mesh.faces.astype(np.uint32),
        "hands_components": _single(poses.components),
        "hands_coeffs": _single(poses.coefficients),
        "hands_mean": _single(poses.mean),
        "bs_style": np.array("lbs"),
        "bs_type": np.array("lrotmin"),
        "flexion_axes": _single(axes.flexion),
        "abduction_axes": _single(axes.abduction),
        "twist_axes": _single(axes.twist),
        "provenance": np.array(json.dumps(provenance, sort_keys=True)),
    }


def assemble_arm(
    *,
    region: ArmRegion,
    basis: ShapeBasis,
    hand_ids: NDArray[np.int64],
    posedirs: NDArray[np.float64],
    nail_mask: NDArray[np.float64],
    provenance: Mapping[str, Any],
) -> ArrayFile:
    """Make the file of the full-resolution arm, posed and shaped by the hand's own parameters.

    Keys: v_template (A, 3), shapedirs (A, 3, 10), posedirs (A, 3, 135), weights (A, 16), f (F, 3); uv (U, 2) with v
    upwards and f_uv (F, 3), the texture row of every corner; nail_mask (U,) in [0, 1] per texture row;
    forearm_weights (A,), the part of joint 0 that stays when the wrist bends; hand_vertex_ids (778,), the arm vertex
    of every vertex of the hand; provenance. Joints come from the hand: the arm has no regressor of its own.

    Args:
        region: the arm.
        basis: its shapes.
        hand_ids: (778,) the arm vertex of every hand vertex.
        posedirs: (A, 3, 135).
        nail_mask: (U,) per texture row.
        provenance: as for the hand.
    """
    return {
        "v_template": _single(basis.mean),
        "shapedirs": _single(basis.directions),
        "posedirs": _single(posedirs),
        "weights": _single(region.weights),
        "f": region.faces.astype(np.uint32),
        "uv": _single(region.uv),
        "f_uv": region.uv_faces.astype(np.uint32),
        "nail_mask": _single(nail_mask),
        "forearm_weights": _single(region.forearm_weights),
        "hand_vertex_ids": hand_ids.astype(np.uint32),
        "provenance": np.array(json.dumps(provenance, sort_keys=True)),
    }


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
