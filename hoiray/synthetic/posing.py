"""Pose one hand many times, quickly: anatomical angles in, skin out, in compiled loops.

`hoiray.hand.model` poses batches on any device and can be differentiated; a grasp needs the opposite, one hand of one
shape posed a few hundred times with a few joints moving. Both give the same vertices (tested). Frame: the rest frame of
the right hand's model, wrist at its rest place; a left hand is the mirror image and is handled by the caller.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiray.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from hoiray.hand.anatomy import ARTICULATED_NAMES, anatomical_axes
from hoiray.hand.joints import MANO_ROTATION_NAMES, NUM_MANO_JOINTS
from hoiray.hand.load import HandArrays, mirror_hand_arrays
from hoiray.synthetic.distance import compiled

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FLEXION, ABDUCTION, TWIST = 0, 1, 2
"""Columns of the (16, 3) angles of a hand, radians; rows are MANO's joints, row 0 (the wrist) is ignored."""

MAX_BONES = 6
"""Bones a vertex may hang on; the lightest others are dropped where a model has more (MANO and the open hand: 4-6)."""


class HandRig(NamedTuple):
    """A right hand of one shape, ready to be posed; a tuple numba can take.

    Attributes:
        rest_vertices: (V, 3) metres. rest_joints: (16, 3).
        parents: (16,).
        bone_ids, bone_weights: (V, MAX_BONES); unused entries weigh 0.
        posedirs: (V, 3, 135) or (0, 3, 135) where all are zero.
        flexion_axes, abduction_axes, twist_axes: (16, 3) unit vectors, MANO order.
    """

    rest_vertices: FloatArray
    rest_joints: FloatArray
    parents: IntArray
    bone_ids: IntArray
    bone_weights: FloatArray
    posedirs: FloatArray
    flexion_axes: FloatArray
    abduction_axes: FloatArray
    twist_axes: FloatArray


def make_rig(arrays: HandArrays, betas: FloatArray) -> HandRig:
    """Shape a hand.

    Args:
        arrays: a hand model of either side; a left one is mirrored.
        betas: (10,).
    """
    right = arrays if arrays.is_right else mirror_hand_arrays(arrays)
    vertices = right.v_template + right.shapedirs @ betas
    heaviest = np.argsort(-right.weights, axis=1, kind="stable")[:, :MAX_BONES]
    weights = np.take_along_axis(right.weights, heaviest, axis=1)
    axes = anatomical_axes(right)
    rows = [MANO_ROTATION_NAMES.index(name) for name in ARTICULATED_NAMES]
    by_joint = [np.zeros((NUM_MANO_JOINTS, 3)) for _ in range(3)]
    for target, source in zip(by_joint, (axes.flexion, axes.abduction, axes.twist), strict=True):
        target[rows] = source
    return HandRig(
        rest_vertices=np.ascontiguousarray(vertices),
        rest_joints=np.ascontiguousarray(right.J_regressor @ vertices),
        parents=np.ascontiguousarray(right.parents),
        bone_ids=np.ascontiguousarray(heaviest.astype(np.int64)),
        bone_weights=np.ascontiguousarray(weights / weights.sum(axis=1, keepdims=True)),
        posedirs=np.ascontiguousarray(right.posedirs if np.any(right.posedirs) else right.posedirs[:0]),
        flexion_axes=by_joint[0],
        abduction_axes=by_joint[1],
        twist_axes=by_joint[2],
    )


def pose_rig(rig: HandRig, angles_rad: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return vertices (V, 3) and joints (16, 3) of a hand with the given (16, 3) angles, metres, hand frame."""
    rotations, shifts = np.empty((NUM_MANO_JOINTS, 3, 3)), np.empty((NUM_MANO_JOINTS, 3))
    feature = np.empty(135)
    place_bones(rig, angles_rad, rotations, shifts, feature)
    vertices = np.empty_like(rig.rest_vertices)
    skin(rig, rotations, shifts, feature, np.arange(len(vertices)), vertices)
    joints = np.einsum("jab,jb->ja", rotations, rig.rest_joints) + shifts
    return vertices, joints


def hand_pose_of_angles(rig: HandRig, angles_rad: FloatArray) -> FloatArray:
    """Turn (..., 16, 3) angles into (..., 45) axis-angle, MANO order, zero for the flat hand.

    `R_flexion R_abduction R_twist`, so that `hoiray.hand.anatomy.joint_angles` measures the same angles again.
    """
    flexed, abducted, twisted = (angles_rad[..., 1:, column, None] for column in (FLEXION, ABDUCTION, TWIST))
    turns = (
        axis_angle_to_matrix(rig.flexion_axes[1:] * flexed)
        @ axis_angle_to_matrix(rig.abduction_axes[1:] * abducted)
        @ axis_angle_to_matrix(rig.twist_axes[1:] * twisted)
    )
    pose = np.asarray(matrix_to_axis_angle(turns), dtype=np.float64)
    return pose.reshape(*pose.shape[:-2], 45)


@compiled
def turn_after(out: FloatArray, axis: FloatArray, angle: float) -> None:  # pragma: no cover - compiled
    """Replace `out` (3, 3) by `out` times the rotation about a unit axis."""
    if angle == 0.0:
        return
    sine, rest = np.sin(angle), 1.0 - np.cos(angle)
    x, y, z = axis[0], axis[1], axis[2]
    r00, r01, r02 = 1.0 - rest * (y * y + z * z), rest * x * y - sine * z, rest * x * z + sine * y
    r10, r11, r12 = rest * x * y + sine * z, 1.0 - rest * (x * x + z * z), rest * y * z - sine * x
    r20, r21, r22 = rest * x * z - sine * y, rest * y * z + sine * x, 1.0 - rest * (x * x + y * y)
    for row in range(3):
        a, b, c = out[row, 0], out[row, 1], out[row, 2]
        out[row, 0] = a * r00 + b * r10 + c * r20
        out[row, 1] = a * r01 + b * r11 + c * r21
        out[row, 2] = a * r02 + b * r12 + c * r22


@compiled
def place_bones(  # pragma: no cover - compiled
    rig: HandRig, angles_rad: FloatArray, rotations: FloatArray, shifts: FloatArray, feature: FloatArray
) -> None:
    """Write for each joint the rotation and shift its skin undergoes, and the (135,) pose feature."""
    rotations[0] = np.eye(3)
    shifts[0] = 0.0
    for joint in range(1, 16):
        local = np.eye(3)
        turn_after(local, rig.flexion_axes[joint], angles_rad[joint, 0])
        turn_after(local, rig.abduction_axes[joint], angles_rad[joint, 1])
        turn_after(local, rig.twist_axes[joint], angles_rad[joint, 2])
        parent = rig.parents[joint]
        for row in range(3):
            for column in range(3):
                feature[(joint - 1) * 9 + row * 3 + column] = local[row, column] - (1.0 if row == column else 0.0)
                total = 0.0
                for k in range(3):
                    total += rotations[parent, row, k] * local[k, column]
                rotations[joint, row, column] = total
        for row in range(3):
            # The joint itself moves with its parent: shift = R_parent J + t_parent - R_joint J.
            total = shifts[parent, row]
            for k in range(3):
                total += (rotations[parent, row, k] - rotations[joint, row, k]) * rig.rest_joints[joint, k]
            shifts[joint, row] = total


@compiled
def skin(  # noqa: PLR0917 - numba takes positional arguments  # pragma: no cover - compiled
    rig: HandRig, rotations: FloatArray, shifts: FloatArray, feature: FloatArray, chosen: IntArray, out: FloatArray
) -> None:
    """Write the posed positions of the chosen vertices, (len(chosen), 3)."""
    point = np.empty(3)
    for i in range(len(chosen)):
        vertex = chosen[i]
        for axis in range(3):
            point[axis] = rig.rest_vertices[vertex, axis]
            if len(rig.posedirs) > 0:
                for k in range(135):
                    point[axis] += rig.posedirs[vertex, axis, k] * feature[k]
        out[i] = 0.0
        for slot in range(rig.bone_ids.shape[1]):
            weight = rig.bone_weights[vertex, slot]
            if weight == 0.0:
                continue
            bone = rig.bone_ids[vertex, slot]
            for axis in range(3):
                turned = shifts[bone, axis]
                for k in range(3):
                    turned += rotations[bone, axis, k] * point[k]
                out[i, axis] += weight * turned
