# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""What one frame tells: does the 3D hand, seen through its best camera, agree with the image, and is it a hand?

Liu et al., CVPR 2021, section 5.1.1. The camera (Eq. 7) has three unknowns, scale and shift, and is solved in closed
form; a free rotation would absorb a wrong orientation, which is what the residual is for. It is weak perspective in
every row, also where intrinsics are known: a limit calibrated on recordings with known cameras must mean the same on
videos without, so both have to be measured by one instrument. (:mod:`hoiray.filters.perspective` solves the other
camera, for the place of the wrist.)

The projected mesh is never computed. Under ``x = scale * X + shift`` with a positive scale, the box of the projected
vertices is ``scale * box of the vertices + shift`` exactly, so four numbers of the mesh are enough and the vertices
stay on the device that made them.

All arithmetic is in float64, whatever comes in.
"""

from dataclasses import dataclass
from math import atan2, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.filters import unmeasured as why
from hoiray.filters.compiled import compiled, inlined, kernel_inputs
from hoiray.filters.unmeasured import CodeArray
from hoiray.geometry.cameras import MIN_JOINT_SPREAD_M, MIN_PROJECTED_SPREAD_PX
from hoiray.hand.anatomy import ARTICULATED_JOINTS
from hoiray.hand.joints import MIDDLE_MCP, NUM_JOINTS, PARENTS, WRIST

FloatArray = npt.NDArray[np.floating]

IMAGE_BORDER_PX: Final = 0.5
"""Pixel centres are integers, so an image reaches half a pixel beyond its outer centres (geometry.boxes)."""

MEASURED_HERE: Final = (
    "box_iou",
    "reprojection_frobenius_box_sides",
    "reprojection_mean_box_sides",
    "reprojection_max_box_sides",
    "min_bone_length_ratio",
    "max_joint_angle_rad",
    "spread_2d_box_sides",
    "spread_3d_m",
)
"""Columns of :class:`Spatial`'s values, in order."""

_BOX_IOU, _FROBENIUS, _MEAN, _MAX, _BONE, _ANGLE, _SPREAD_2D, _SPREAD_3D = range(len(MEASURED_HERE))
_PARENT_OF: Final = np.array(PARENTS)
_ARTICULATED: Final = np.array(ARTICULATED_JOINTS)
_MIN_VARIANCE_M2: Final = MIN_JOINT_SPREAD_M**2
_NUM_JOINTS, _WRIST, _MIDDLE_MCP = NUM_JOINTS, WRIST, MIDDLE_MCP
_MEASURED, _NON_FINITE, _NO_BOX, _NOT_ATTEMPTED = why.MEASURED, why.NON_FINITE, why.NO_BOX, why.NOT_ATTEMPTED
_DEGENERATE, _MIRRORED, _COINCIDE = why.CAMERA_DEGENERATE, why.CAMERA_MIRRORED, why.JOINTS_COINCIDE
_TOO_FEW_MEMBERS = why.TOO_FEW_MEMBERS


@dataclass(frozen=True, eq=False)
class Hands:
    """Fused predictions of N hands, any float type.

    Attributes:
        joints_3d_m: (N, 21, 3) relative to the wrist, camera axes, simple order.
        joints_2d_px: (N, 21, 2) full image.
        mesh_extent_m: (N, 4) smallest x and y, then largest x and y of the vertices, relative to the wrist; NaN where
            there is no mesh. See :func:`mesh_extent`.
        bbox_xyxy: (N, 4) px; the hand box.
        image_size_wh_px: (N, 2).
        spread_joints_2d_px: (N, 21) of the ensemble's members; NaN with fewer than two.
        spread_joints_3d_m: (N, 21) likewise.
    """

    joints_3d_m: FloatArray
    joints_2d_px: FloatArray
    mesh_extent_m: FloatArray
    bbox_xyxy: FloatArray
    image_size_wh_px: npt.NDArray[np.integer]
    spread_joints_2d_px: FloatArray
    spread_joints_3d_m: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays of another shape: a compiled loop would read past their end.

        Raises:
            ContractError: names the array.
        """
        count = len(self.joints_3d_m)
        shapes: dict[str, tuple[int, ...]] = {
            "joints_3d_m": (NUM_JOINTS, 3),
            "joints_2d_px": (NUM_JOINTS, 2),
            "mesh_extent_m": (4,),
            "bbox_xyxy": (4,),
            "image_size_wh_px": (2,),
            "spread_joints_2d_px": (NUM_JOINTS,),
            "spread_joints_3d_m": (NUM_JOINTS,),
        }
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            if found != (count, *shape):
                fix = "One row a hand; NaN where nothing is known."
                raise ContractError(describe(what=name, expected=f"{(count, *shape)}", found=f"{found}", fix=fix))


@dataclass(frozen=True, eq=False)
class Spatial:
    """What was measured of N hands.

    Attributes:
        values: (N, 8) columns :data:`MEASURED_HERE`; NaN where not measured.
        reasons: (N, 8) codes of :mod:`hoiray.filters.unmeasured`, 0 where measured.
        camera: (N, 3) scale in px/m and shift in px; NaN where unsolved.
    """

    values: npt.NDArray[np.float64]
    reasons: CodeArray
    camera: npt.NDArray[np.float64]


def mesh_extent(vertices_m: FloatArray) -> FloatArray:
    """Return smallest x, y and largest x, y (..., 4) of vertices (..., V, 3) relative to the wrist; NaN stays NaN."""
    planar = vertices_m[..., :2]
    return np.concatenate([planar.min(axis=-2), planar.max(axis=-2)], axis=-1)


def measure_spatial(hands: Hands) -> Spatial:
    """Measure every hand by itself; see the columns of the table ``predictions`` for what each number is."""
    count = len(hands.joints_3d_m)
    values = np.full((count, len(MEASURED_HERE)), np.nan)
    reasons = np.zeros(values.shape, dtype=np.uint8)
    camera = np.full((count, 3), np.nan)
    joints_3d, joints_2d, extent, box, image_size, spread_2d, spread_3d = kernel_inputs(
        hands.joints_3d_m,
        hands.joints_2d_px,
        hands.mesh_extent_m,
        hands.bbox_xyxy,
        hands.image_size_wh_px,
        hands.spread_joints_2d_px,
        hands.spread_joints_3d_m,
    )
    _measure_rows(joints_3d, joints_2d, extent, box, image_size, spread_2d, spread_3d, values, reasons, camera)
    return Spatial(values, reasons, camera)


@compiled
def _measure_rows(
    joints_3d_m: FloatArray,
    joints_2d_px: FloatArray,
    mesh_extent_m: FloatArray,
    bbox_xyxy: FloatArray,
    image_size_wh_px: npt.NDArray[np.integer],
    spread_2d_px: FloatArray,
    spread_3d_m: FloatArray,
    values: FloatArray,
    reasons: CodeArray,
    camera: FloatArray,
) -> None:
    X, x = np.empty((_NUM_JOINTS, 3)), np.empty((_NUM_JOINTS, 2))
    for row in range(len(joints_3d_m)):
        is_hand = _load(joints_3d_m, row, X)
        is_image = _load(joints_2d_px, row, x)
        side_px = _box_side(bbox_xyxy, row)
        status = _solve(X, x, row, camera) if is_hand and is_image else _NON_FINITE
        _box_overlap(mesh_extent_m, bbox_xyxy, image_size_wh_px, camera, status, row, values, reasons)
        _reprojection(X, x, camera, side_px, status, row, values, reasons)
        _anatomy(X, is_hand, row, values, reasons)
        _spread(spread_2d_px, side_px, row, _SPREAD_2D, values, reasons)
        _spread(spread_3d_m, 1.0, row, _SPREAD_3D, values, reasons)


@inlined
def _load(joints: FloatArray, row: int, into: FloatArray) -> bool:
    """Copy the joints of a row; False where one is not finite."""
    is_finite = True
    for joint in range(into.shape[0]):
        for axis in range(into.shape[1]):
            into[joint, axis] = joints[row, joint, axis]
            is_finite &= np.isfinite(into[joint, axis])
    return is_finite


@inlined
def _box_side(bbox_xyxy: FloatArray, row: int) -> float:
    """Return the geometric mean of a box's sides, px; NaN where it has no area."""
    width = np.float64(bbox_xyxy[row, 2]) - np.float64(bbox_xyxy[row, 0])
    height = np.float64(bbox_xyxy[row, 3]) - np.float64(bbox_xyxy[row, 1])
    if np.isfinite(width) and np.isfinite(height) and width > 0.0 and height > 0.0:
        return sqrt(width * height)
    return np.nan


@inlined
def _solve(X: FloatArray, x: FloatArray, row: int, camera: FloatArray) -> int:
    """Solve scale and shift (Eq. 7) as :func:`hoiray.geometry.cameras.solve_weak_perspective` does; return why not."""
    mean_X, mean_Y, mean_u, mean_v = 0.0, 0.0, 0.0, 0.0
    for joint in range(_NUM_JOINTS):
        mean_X += X[joint, 0] / _NUM_JOINTS
        mean_Y += X[joint, 1] / _NUM_JOINTS
        mean_u += x[joint, 0] / _NUM_JOINTS
        mean_v += x[joint, 1] / _NUM_JOINTS
    variance_m2, covariance = 0.0, 0.0
    for joint in range(_NUM_JOINTS):
        dX, dY = X[joint, 0] - mean_X, X[joint, 1] - mean_Y
        variance_m2 += (dX * dX + dY * dY) / _NUM_JOINTS
        covariance += (dX * (x[joint, 0] - mean_u) + dY * (x[joint, 1] - mean_v)) / _NUM_JOINTS
    if not variance_m2 > _MIN_VARIANCE_M2:
        return _DEGENERATE
    scale = covariance / variance_m2
    if not scale * sqrt(variance_m2) > MIN_PROJECTED_SPREAD_PX:
        return _MIRRORED
    camera[row, 0] = scale
    camera[row, 1] = mean_u - scale * mean_X
    camera[row, 2] = mean_v - scale * mean_Y
    return _MEASURED


@inlined
def _box_overlap(
    mesh_extent_m: FloatArray,
    bbox_xyxy: FloatArray,
    image_size_wh_px: npt.NDArray[np.integer],
    camera: FloatArray,
    status: int,
    row: int,
    values: FloatArray,
    reasons: CodeArray,
) -> None:
    """IoU of the projected mesh's box, cut to the image, with the hand box; 0 where the mesh is outside the image."""
    has_mesh, is_broken, box_area, mesh_area, common = True, False, 1.0, 1.0, 1.0
    for axis in range(2):
        scale, shift = camera[row, 0], camera[row, 1 + axis]
        near, far = np.float64(mesh_extent_m[row, axis]), np.float64(mesh_extent_m[row, axis + 2])
        has_mesh &= not (np.isnan(near) or np.isnan(far))
        is_broken |= np.isinf(near) or np.isinf(far)
        low = max(scale * near + shift, -IMAGE_BORDER_PX)
        high = min(scale * far + shift, image_size_wh_px[row, axis] - IMAGE_BORDER_PX)
        box_low, box_high = np.float64(bbox_xyxy[row, axis]), np.float64(bbox_xyxy[row, axis + 2])
        box_area *= box_high - box_low
        mesh_area *= max(high - low, 0.0)
        common *= max(min(high, box_high) - max(low, box_low), 0.0)
    if status != _MEASURED:
        reasons[row, _BOX_IOU] = status
    elif np.isnan(_box_side(bbox_xyxy, row)):
        reasons[row, _BOX_IOU] = _NO_BOX
    elif is_broken:
        reasons[row, _BOX_IOU] = _NON_FINITE
    elif not has_mesh:
        reasons[row, _BOX_IOU] = _NOT_ATTEMPTED
    else:
        values[row, _BOX_IOU] = common / (box_area + mesh_area - common)


@inlined
def _reprojection(
    X: FloatArray,
    x: FloatArray,
    camera: FloatArray,
    side_px: float,
    status: int,
    row: int,
    values: FloatArray,
    reasons: CodeArray,
) -> None:
    """Distance of projected to observed joints in box sides: Frobenius norm, mean and largest over the joints."""
    if status == _MEASURED and np.isnan(side_px):
        status = _NO_BOX
    if status != _MEASURED:
        for reading in (_FROBENIUS, _MEAN, _MAX):
            reasons[row, reading] = status
        return
    squared, total, largest = 0.0, 0.0, 0.0
    for joint in range(_NUM_JOINTS):
        du = camera[row, 0] * X[joint, 0] + camera[row, 1] - x[joint, 0]
        dv = camera[row, 0] * X[joint, 1] + camera[row, 2] - x[joint, 1]
        squared += du * du + dv * dv
        total += sqrt(du * du + dv * dv)
        largest = max(largest, sqrt(du * du + dv * dv))
    values[row, _FROBENIUS] = sqrt(squared) / side_px
    values[row, _MEAN] = total / _NUM_JOINTS / side_px
    values[row, _MAX] = largest / side_px


@inlined
def _anatomy(X: FloatArray, is_hand: bool, row: int, values: FloatArray, reasons: CodeArray) -> None:
    """Shortest bone over wrist - middle knuckle, and the largest angle between a joint's two bones."""
    if not is_hand:
        reasons[row, _BONE], reasons[row, _ANGLE] = _NON_FINITE, _NON_FINITE
        return
    reference, shortest = _distance(X, _WRIST, _MIDDLE_MCP), np.inf
    for joint in range(1, _NUM_JOINTS):
        shortest = min(shortest, _distance(X, _PARENT_OF[joint], joint))
    if reference == 0.0:
        reasons[row, _BONE] = _COINCIDE
    else:
        values[row, _BONE] = shortest / reference
    if shortest == 0.0:
        reasons[row, _ANGLE] = _COINCIDE
        return
    largest = 0.0
    for index in range(len(_ARTICULATED)):
        largest = max(largest, _bend(X, _ARTICULATED[index]))
    values[row, _ANGLE] = largest


@inlined
def _distance(X: FloatArray, first: int, second: int) -> float:
    dx, dy, dz = X[first, 0] - X[second, 0], X[first, 1] - X[second, 1], X[first, 2] - X[second, 2]
    return sqrt(dx * dx + dy * dy + dz * dz)


@inlined
def _bend(X: FloatArray, joint: int) -> float:
    """Angle in [0, pi] between the bone that ends at a joint and the bone that starts there; 0 where straight."""
    parent, child = _PARENT_OF[joint], joint + 1  # in the simple order a finger's joints follow one another
    ax, ay, az = X[joint, 0] - X[parent, 0], X[joint, 1] - X[parent, 1], X[joint, 2] - X[parent, 2]
    bx, by, bz = X[child, 0] - X[joint, 0], X[child, 1] - X[joint, 1], X[child, 2] - X[joint, 2]
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return atan2(sqrt(nx * nx + ny * ny + nz * nz), ax * bx + ay * by + az * bz)


@inlined
def _spread(spread: FloatArray, unit: float, row: int, column: int, values: FloatArray, reasons: CodeArray) -> None:
    """Root mean square over the joints, in units; NaN throughout means that there were too few members."""
    squared, num_missing, is_finite = 0.0, 0, True
    for joint in range(_NUM_JOINTS):
        one = np.float64(spread[row, joint])
        squared += one * one / _NUM_JOINTS
        num_missing += np.isnan(one)
        is_finite &= np.isfinite(one)
    if num_missing == _NUM_JOINTS:
        reasons[row, column] = _TOO_FEW_MEMBERS
    elif not is_finite:
        reasons[row, column] = _NON_FINITE
    elif np.isnan(unit):
        reasons[row, column] = _NO_BOX
    else:
        values[row, column] = sqrt(squared) / unit
