# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""What two frames tell: how far did the hand move since its track's frame before, and was a pose merely repeated?

Liu et al., CVPR 2021, section 5.1.2. A pair is measured once, at its later frame, in one box: that of the earlier one.
Pairs further apart than the limit on gaps are not measured: a threshold per frame means nothing over a hole.

The angle between rotations is taken from quaternions, which is exact at 0 and at pi alike; of rotation matrices R and S
that are phi apart, ``|R - S|^2 = 8 sin^2(phi / 2)``.
"""

from dataclasses import dataclass
from math import atan2, cos, radians, sin, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.filters import unmeasured as why
from hoiray.filters.compiled import compiled, inlined, kernel_inputs
from hoiray.filters.unmeasured import CodeArray
from hoiray.hand.joints import NUM_JOINTS, NUM_MANO_JOINTS

FloatArray = npt.NDArray[np.floating]

MEASURED_HERE: Final = (
    "motion_2d_frobenius_box_sides",
    "motion_2d_mean_box_sides",
    "motion_2d_max_box_sides",
    "motion_pose_geodesic_mean_square",
    "motion_pose_matrix_mean_square",
    "motion_pose_axis_angle_mean_square",
    "motion_pose_axis_angle_l2",
    "held_sample_score",
)
"""Columns of :class:`Temporal`'s values, in order."""

HELD_ANGLE_RAD: Final = radians(0.1)
"""Root mean square angle between two poses at which half of the evidence for a repeated one is left. Networks jitter by
a degree or more between frames; a repeated pose differs by the rounding of float32, 1e-5 degrees."""

HELD_CROP_CHANGE: Final = 0.01
"""Mean change of the crop's pixels (0 to 1) at which an image counts as half changed: 2.5 of 255 grey levels, above
what video compression does to a still scene. A copied frame has 0 and proves nothing."""

_FROBENIUS, _MEAN, _MAX, _GEODESIC, _MATRIX, _AXIS_ANGLE, _AXIS_ANGLE_L2, _HELD = range(len(MEASURED_HERE))
_NUM_JOINTS, _NUM_ROTATIONS = NUM_JOINTS, NUM_MANO_JOINTS
_RECENT = 8
"""Rows whose quaternions are kept: a predecessor is as many rows back as there are hands in a frame."""
_NON_FINITE, _NO_BOX, _NO_PIXELS, _GAP, _FIRST = why.NON_FINITE, why.NO_BOX, why.NO_PIXELS, why.GAP, why.FIRST_OF_TRACK
_NOT_ATTEMPTED = why.NOT_ATTEMPTED


@dataclass(frozen=True, eq=False)
class Motion:
    """What motion is measured of, N rows in any order.

    Attributes:
        frame_index: (N,).
        predecessor: (N,) row of the track's frame before; -1 for the first.
        is_duplicate: (N,) the hand is in the frame once already: nothing is measured.
        joints_2d_px: (N, 21, 2).
        bbox_xyxy: (N, 4) px.
        pose: (N, 48) axis-angle of 16 joints, rad; the wrist first.
        crop_change: (N,) mean absolute change of the crop since the frame numbered one less; NaN where unknown.
    """

    frame_index: npt.NDArray[np.integer]
    predecessor: npt.NDArray[np.int64]
    is_duplicate: npt.NDArray[np.bool_]
    joints_2d_px: FloatArray
    bbox_xyxy: FloatArray
    pose: FloatArray
    crop_change: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays of another shape and predecessors that do not exist: a compiled loop would read past the end.

        Raises:
            ContractError: names the array.
        """
        count = len(self.frame_index)
        shapes: dict[str, tuple[int, ...]] = {
            "predecessor": (),
            "is_duplicate": (),
            "joints_2d_px": (NUM_JOINTS, 2),
            "bbox_xyxy": (4,),
            "pose": (3 * NUM_MANO_JOINTS,),
            "crop_change": (),
        }
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            if found != (count, *shape):
                expected, fix = f"{(count, *shape)}", "One row a hand; NaN where nothing is known."
                raise ContractError(describe(what=name, expected=expected, found=f"{found}", fix=fix))
        if count and not -1 <= self.predecessor.min() <= self.predecessor.max() < count:
            found, fix = f"{self.predecessor.min()} to {self.predecessor.max()}", "Number the rows of these arrays."
            raise ContractError(describe(what="predecessor", expected=f"-1 to {count - 1}", found=found, fix=fix))


@dataclass(frozen=True, eq=False)
class Temporal:
    """What was measured of N rows.

    Attributes:
        values: (N, 8) columns :data:`MEASURED_HERE`; NaN where not measured.
        reasons: (N, 8) codes of :mod:`hoiray.filters.unmeasured`, 0 where measured.
    """

    values: npt.NDArray[np.float64]
    reasons: CodeArray


def measure_temporal(motion: Motion, max_gap_frames: int) -> Temporal:
    """Measure every row against its predecessor, where that is at most `max_gap_frames` frame numbers before."""
    values = np.full((len(motion.frame_index), len(MEASURED_HERE)), np.nan)
    reasons = np.zeros(values.shape, dtype=np.uint8)
    frame, before, is_duplicate, joints_2d, box, pose, crop_change = kernel_inputs(
        motion.frame_index,
        motion.predecessor,
        motion.is_duplicate,
        motion.joints_2d_px,
        motion.bbox_xyxy,
        motion.pose,
        motion.crop_change,
    )
    _measure_rows(frame, before, is_duplicate, joints_2d, box, pose, crop_change, max_gap_frames, values, reasons)
    return Temporal(values, reasons)


@compiled
def _measure_rows(
    frame_index: npt.NDArray[np.integer],
    predecessor: npt.NDArray[np.int64],
    is_duplicate: npt.NDArray[np.bool_],
    joints_2d_px: FloatArray,
    bbox_xyxy: FloatArray,
    pose: FloatArray,
    crop_change: FloatArray,
    max_gap_frames: int,
    values: FloatArray,
    reasons: CodeArray,
) -> None:
    quaternions = np.empty((_RECENT + 1, _NUM_ROTATIONS, 4))  # the last slot is for a predecessor that was not kept
    row_of_slot = np.full(_RECENT, -1)
    for row in range(len(frame_index)):
        before = predecessor[row]
        if is_duplicate[row]:
            reasons[row, :] = _NOT_ATTEMPTED
        elif before < 0:
            reasons[row, :] = _FIRST
        elif frame_index[row] - frame_index[before] > max_gap_frames:
            reasons[row, :] = _GAP
        else:
            _motion_2d(joints_2d_px, bbox_xyxy, before, row, values, reasons)
            then, now = before % _RECENT, row % _RECENT
            if row_of_slot[then] != before or then == now:
                then = _keep_quaternions(pose, before, _RECENT, quaternions)
            row_of_slot[now] = row
            _keep_quaternions(pose, row, now, quaternions)
            _motion_pose(quaternions, then, now, pose, before, row, values, reasons)
            _held_sample(crop_change, frame_index[row] - frame_index[before], row, values, reasons)


@inlined
def _motion_2d(
    joints_2d_px: FloatArray, bbox_xyxy: FloatArray, before: int, row: int, values: FloatArray, reasons: CodeArray
) -> None:
    width = np.float64(bbox_xyxy[before, 2]) - np.float64(bbox_xyxy[before, 0])
    height = np.float64(bbox_xyxy[before, 3]) - np.float64(bbox_xyxy[before, 1])
    squared, total, largest = 0.0, 0.0, 0.0
    for joint in range(_NUM_JOINTS):
        du = np.float64(joints_2d_px[row, joint, 0]) - np.float64(joints_2d_px[before, joint, 0])
        dv = np.float64(joints_2d_px[row, joint, 1]) - np.float64(joints_2d_px[before, joint, 1])
        squared += du * du + dv * dv
        total += sqrt(du * du + dv * dv)
        largest = max(largest, sqrt(du * du + dv * dv))
    if not np.isfinite(squared):
        reasons[row, _FROBENIUS], reasons[row, _MEAN], reasons[row, _MAX] = _NON_FINITE, _NON_FINITE, _NON_FINITE
    elif not (np.isfinite(width) and np.isfinite(height) and width > 0.0 and height > 0.0):
        reasons[row, _FROBENIUS], reasons[row, _MEAN], reasons[row, _MAX] = _NO_BOX, _NO_BOX, _NO_BOX
    else:
        side_px = sqrt(width * height)
        values[row, _FROBENIUS] = sqrt(squared) / side_px
        values[row, _MEAN] = total / _NUM_JOINTS / side_px
        values[row, _MAX] = largest / side_px


@inlined
def _motion_pose(
    quaternions: FloatArray,
    then: int,
    now: int,
    pose: FloatArray,
    before: int,
    row: int,
    values: FloatArray,
    reasons: CodeArray,
) -> None:
    squared_angles, squared_chords, squared_numbers = 0.0, 0.0, 0.0
    for joint in range(_NUM_ROTATIONS):
        w, x, y, z = quaternions[then, joint]
        a, b, c, d = quaternions[now, joint]
        sine_x, sine_y, sine_z = (
            w * b - x * a - y * d + z * c,
            w * c + x * d - y * a - z * b,
            w * d - x * c + y * b - z * a,
        )
        squared_sine = sine_x * sine_x + sine_y * sine_y + sine_z * sine_z
        angle = 2.0 * atan2(sqrt(squared_sine), abs(w * a + x * b + y * c + z * d))
        squared_angles += angle * angle
        squared_chords += 8.0 * squared_sine
    for number in range(3 * _NUM_ROTATIONS):
        change = np.float64(pose[row, number]) - np.float64(pose[before, number])
        squared_numbers += change * change
    if not (np.isfinite(squared_angles) and np.isfinite(squared_numbers)):
        for reading in (_GEODESIC, _MATRIX, _AXIS_ANGLE, _AXIS_ANGLE_L2):
            reasons[row, reading] = _NON_FINITE
        return
    values[row, _GEODESIC] = squared_angles / _NUM_ROTATIONS / 3.0
    values[row, _MATRIX] = squared_chords / (9 * _NUM_ROTATIONS)
    values[row, _AXIS_ANGLE] = squared_numbers / (3 * _NUM_ROTATIONS)
    values[row, _AXIS_ANGLE_L2] = sqrt(squared_numbers)


@inlined
def _held_sample(crop_change: FloatArray, gap_frames: int, row: int, values: FloatArray, reasons: CodeArray) -> None:
    """Stillness of the pose times change of the image; the image is compared with the frame numbered one less only."""
    change = np.float64(crop_change[row])
    if gap_frames != 1:
        reasons[row, _HELD] = _GAP
    elif np.isnan(change):
        reasons[row, _HELD] = _NO_PIXELS
    elif np.isnan(values[row, _GEODESIC]) or not np.isfinite(change):
        reasons[row, _HELD] = _NON_FINITE
    else:
        squared_angle = 3.0 * values[row, _GEODESIC]
        stillness = HELD_ANGLE_RAD**2 / (HELD_ANGLE_RAD**2 + squared_angle)
        values[row, _HELD] = stillness * change * change / (change * change + HELD_CROP_CHANGE**2)


@inlined
def _keep_quaternions(pose: FloatArray, row: int, slot: int, kept: FloatArray) -> int:
    """Compute a row's unit quaternions (w, x, y, z) into a slot, and return it."""
    for joint in range(_NUM_ROTATIONS):
        x, y, z = (
            np.float64(pose[row, 3 * joint]),
            np.float64(pose[row, 3 * joint + 1]),
            np.float64(pose[row, 3 * joint + 2]),
        )
        squared = x * x + y * y + z * z
        angle = sqrt(squared) if np.isfinite(squared) else np.nan
        ratio = 0.5 if angle == 0.0 else sin(0.5 * angle) / angle
        kept[slot, joint, 0] = cos(0.5 * angle)
        kept[slot, joint, 1] = x * ratio
        kept[slot, joint, 2] = y * ratio
        kept[slot, joint, 3] = z * ratio
    return slot
