"""Rigid transforms, and the change between OpenGL and OpenCV camera axes.

`T_a_b` is a (..., 4, 4) matrix that takes coordinates in frame b to frame a, so that inner letters cancel:
`T_a_c = compose_transforms(T_a_b, T_b_c)` and `p_a = transform_points(T_a_b, p_b)`. Metres.

OpenCV camera axes: x right, y down, z forward. OpenGL: x right, y up, z backward. One is the other turned by pi about
x, F = diag(1, -1, -1), so both are right-handed and F undoes itself.
"""

import numpy as np
import numpy.typing as npt

from hoiray.geometry.arrays import BoolArray, FloatArray, as_floats, require_broadcast
from hoiray.geometry.rotations import ROTATION_TOLERANCE, axis_angle_to_matrix, is_rotation, matrix_to_axis_angle

_AXIS_FLIP = np.array([1.0, -1.0, -1.0])


def make_transform(rotation: npt.ArrayLike, translation: npt.ArrayLike) -> FloatArray:
    """Assemble `T_a_b` (..., 4, 4) from a rotation (..., 3, 3) and a translation (..., 3), batch shapes broadcast.

    The translation is the origin of b in coordinates of a.
    """
    turn = as_floats(rotation, (3, 3), "rotation")
    shift = as_floats(translation, (3,), "translation")
    shape = require_broadcast("rotation and translation", turn.shape[:-2], shift.shape[:-1])
    T_a_b = np.zeros((*shape, 4, 4), dtype=np.result_type(turn, shift))
    T_a_b[..., :3, :3] = turn
    T_a_b[..., :3, 3] = shift
    T_a_b[..., 3, 3] = 1.0
    return T_a_b


def invert_transform(T_a_b: npt.ArrayLike) -> FloatArray:
    """Return `T_b_a` (..., 4, 4) in closed form, [R^T | -R^T t]; the rotation part must be one."""
    values = as_floats(T_a_b, (4, 4), "T_a_b")
    R_b_a = np.swapaxes(values[..., :3, :3], -1, -2)
    return make_transform(R_b_a, -(R_b_a @ values[..., :3, 3, None])[..., 0])


def compose_transforms(first: npt.ArrayLike, *others: npt.ArrayLike) -> FloatArray:
    """Multiply `T_a_b, T_b_c, ...` (..., 4, 4) from left to right into `T_a_z`; the last one acts first."""
    product = as_floats(first, (4, 4), "transform 0")
    for position, other in enumerate(others, start=1):
        factor = as_floats(other, (4, 4), f"transform {position}")
        require_broadcast(f"transforms up to {position}", product.shape[:-2], factor.shape[:-2])
        product = np.asarray(product @ factor)
    return product


def transform_points(T_a_b: npt.ArrayLike, points_b: npt.ArrayLike) -> FloatArray:
    """Take points (..., N, 3) from frame b to frame a by (..., 4, 4); batch shapes broadcast, N may be 0."""
    transform = as_floats(T_a_b, (4, 4), "T_a_b")
    points = as_floats(points_b, (None, 3), "points_b")
    require_broadcast("T_a_b and points_b", transform.shape[:-2], points.shape[:-2])
    turned = points @ np.swapaxes(transform[..., :3, :3], -1, -2)
    return np.asarray(turned + transform[..., None, :3, 3])


def is_rigid(T_a_b: npt.ArrayLike, tolerance: float = ROTATION_TOLERANCE) -> BoolArray:
    """Say for each (..., 4, 4) whether it is a rotation and a finite shift above the row (0, 0, 0, 1)."""
    values = as_floats(T_a_b, (4, 4), "T_a_b")
    last_row = np.all(values[..., 3, :] == np.array([0.0, 0.0, 0.0, 1.0]), axis=-1)
    is_placed = np.all(np.isfinite(values[..., :3, 3]), axis=-1)
    return np.asarray(is_rotation(values[..., :3, :3], tolerance) & last_row & is_placed)


def points_opengl_to_opencv(points: npt.ArrayLike) -> FloatArray:
    """Take points (..., 3) from OpenGL to OpenCV camera axes: y and z change sign."""
    values = as_floats(points, (3,), "points")
    return np.asarray(values * _AXIS_FLIP.astype(values.dtype))


def points_opencv_to_opengl(points: npt.ArrayLike) -> FloatArray:
    """Take points (..., 3) from OpenCV to OpenGL camera axes, as the HO-3D submission wants them."""
    return points_opengl_to_opencv(points)


def transform_opengl_to_opencv(T_gl_obj: npt.ArrayLike) -> FloatArray:
    """Take an object pose (..., 4, 4) from OpenGL to OpenCV camera axes: F [R | t].

    Only the camera's side of the pose changes; the mesh keeps its own frame. (F R F, seen elsewhere, belongs to a mesh
    that was flipped too.)
    """
    values = as_floats(T_gl_obj, (4, 4), "T_gl_obj")
    return np.asarray(values * np.append(_AXIS_FLIP, 1.0).astype(values.dtype)[:, None])


def transform_opencv_to_opengl(T_cv_obj: npt.ArrayLike) -> FloatArray:
    """Take an object pose (..., 4, 4) from OpenCV to OpenGL camera axes; undoes :func:`transform_opengl_to_opencv`."""
    return transform_opengl_to_opencv(T_cv_obj)


def transform_mano(
    global_orient: npt.ArrayLike, transl: npt.ArrayLike, T_new_old: npt.ArrayLike, rest_root_joint: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Express MANO parameters in another frame, so that the model's vertices are those of the old frame, transformed.

    MANO turns the hand about its rest root joint J0, not about the origin: v = R (v0 - J0) + J0 + transl. Hence with
    T_new_old = [F | f]: R' = F R and transl' = F (J0 + transl) + f - J0. Transforming `transl` itself is wrong by
    (F - I) J0, centimetres for the OpenGL flip.

    Args:
        global_orient: (..., 3) axis-angle in rad.
        transl: (..., 3) metres.
        T_new_old: (..., 4, 4) rigid transform from the old to the new frame.
        rest_root_joint: (..., 3) metres, the wrist of the unposed hand of these betas, before any translation.

    Returns:
        `global_orient` and `transl` in the new frame; batch shapes broadcast.

    Raises:
        ContractError: the batch shapes do not fit together.
    """
    transform = as_floats(T_new_old, (4, 4), "T_new_old")
    orient = as_floats(global_orient, (3,), "global_orient")
    root = as_floats(rest_root_joint, (3,), "rest_root_joint")
    shift = as_floats(transl, (3,), "transl")
    batches = (orient.shape[:-1], shift.shape[:-1], transform.shape[:-2], root.shape[:-1])
    require_broadcast("global_orient, transl, T_new_old and rest_root_joint", *batches)
    turned = matrix_to_axis_angle(transform[..., :3, :3] @ axis_angle_to_matrix(orient))
    moved = transform_points(transform, (root + shift)[..., None, :])[..., 0, :]
    return turned, np.asarray(moved - root)


def mano_opengl_to_opencv(
    global_orient: npt.ArrayLike, transl: npt.ArrayLike, rest_root_joint: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Take MANO parameters from OpenGL to OpenCV camera axes (or back); see :func:`transform_mano`."""
    shift = as_floats(transl, (3,), "transl")
    flip = make_transform(np.diag(_AXIS_FLIP).astype(shift.dtype), np.zeros(3, dtype=shift.dtype))
    return transform_mano(global_orient, shift, flip, rest_root_joint)
