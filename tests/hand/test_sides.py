"""Facts about mirroring."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.geometry import rotations
from hoiray.hand import sides

M = np.diag([-1.0, 1.0, 1.0])
numbers = st.floats(-1e3, 1e3, width=32)
facts = settings(max_examples=30, deadline=None, derandomize=True)


def arrays(tail: tuple[int, ...]) -> st.SearchStrategy[Any]:
    shapes = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3).map(lambda shape: (*shape, *tail))
    return hnp.arrays(st.sampled_from([np.float32, np.float64]), shapes, elements=numbers)


@given(arrays((3,)))
@facts
def test_mirroring_points_twice_returns_every_bit(points: npt.NDArray[Any]) -> None:
    twice = sides.mirror_points(sides.mirror_points(points))
    assert twice.dtype == points.dtype
    np.testing.assert_array_equal(twice, points)


@given(arrays((45,)))
@facts
def test_mirroring_a_pose_twice_returns_every_bit(pose: npt.NDArray[Any]) -> None:
    twice = sides.mirror_axis_angle(sides.mirror_axis_angle(pose))
    assert twice.dtype == pose.dtype
    np.testing.assert_array_equal(twice, pose)


@given(arrays((4,)), st.integers(1, 4096))
@facts
def test_mirroring_boxes_and_pixels_twice_returns_them(boxes: npt.NDArray[Any], width: int) -> None:
    twice = sides.mirror_boxes_xyxy(sides.mirror_boxes_xyxy(boxes, width), width)
    np.testing.assert_allclose(twice, boxes, atol=1e-3)
    points = boxes[..., :2]
    np.testing.assert_allclose(sides.mirror_points_2d(sides.mirror_points_2d(points, width), width), points, atol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 3.0, np.pi])
def test_a_mirrored_rotation_does_in_the_mirror_what_the_rotation_does(angle: float) -> None:
    axis_angle = angle * np.array([0.6, -0.48, 0.64])
    mirrored = Rotation.from_rotvec(sides.mirror_axis_angle(axis_angle)).as_matrix()
    np.testing.assert_allclose(mirrored, M @ Rotation.from_rotvec(axis_angle).as_matrix() @ M, atol=1e-12)


def test_every_joint_of_a_flattened_pose_is_mirrored_on_its_own() -> None:
    pose = np.arange(45.0)
    mirrored = sides.mirror_axis_angle(pose)
    for joint in range(15):
        np.testing.assert_array_equal(
            mirrored[3 * joint : 3 * joint + 3], pose[3 * joint : 3 * joint + 3] * [1, -1, -1]
        )


def test_mirrored_faces_keep_their_normals_outside() -> None:
    vertices = np.random.default_rng(0).normal(size=(3, 3))
    face = np.array([[0, 1, 2]])

    def normal(points: npt.NDArray[Any], faces: npt.NDArray[Any]) -> npt.NDArray[Any]:
        a, b, c = points[faces[0]]
        return np.cross(b - a, c - a)

    mirrored = normal(sides.mirror_points(vertices), sides.mirror_faces(face))
    np.testing.assert_allclose(mirrored, M @ normal(vertices, face), atol=1e-12)
    np.testing.assert_array_equal(sides.mirror_faces(sides.mirror_faces(face)), face)


def test_a_pixel_and_its_coordinate_move_together() -> None:
    image = np.zeros((4, 7), dtype=np.uint8)
    image[2, 5] = 255
    row, column = np.argwhere(sides.mirror_image(image) == 255)[0]
    moved = sides.mirror_points_2d(np.array([5.0, 2.0]), 7)
    np.testing.assert_array_equal(moved, [column, row])


def test_the_first_column_becomes_the_last() -> None:
    np.testing.assert_array_equal(sides.mirror_points_2d(np.array([0.0, 3.0]), 640), [639.0, 3.0])


def test_a_colour_image_is_mirrored_along_its_columns_only() -> None:
    image = np.random.default_rng(0).integers(0, 255, size=(3, 5, 3), dtype=np.uint8)
    mirrored = sides.mirror_image(image)
    np.testing.assert_array_equal(mirrored[:, 0], image[:, 4])
    np.testing.assert_array_equal(sides.mirror_image(mirrored), image)
    assert mirrored.flags.c_contiguous


def test_a_mirrored_box_holds_the_mirrored_points() -> None:
    box = np.array([10.0, 20.0, 50.0, 70.0])
    inside = np.array([[10.0, 20.0], [49.0, 70.0], [30.0, 30.0]])
    x0, y0, x1, y1 = sides.mirror_boxes_xyxy(box, 100)
    assert (x0, y0, x1, y1) == (49.0, 20.0, 89.0, 70.0)
    moved = sides.mirror_points_2d(inside, 100)
    assert np.all((moved >= [x0, y0]) & (moved <= [x1, y1]))


def test_projecting_and_mirroring_commute() -> None:
    K = np.array([[600.0, 2.0, 310.0], [0.0, 590.0, 250.0], [0.0, 0.0, 1.0]])
    points = np.random.default_rng(1).normal(loc=[0, 0, 5], size=(8, 3))

    def project(p: npt.NDArray[Any], intrinsics: npt.NDArray[Any]) -> npt.NDArray[Any]:
        homogeneous = p @ intrinsics.T
        return homogeneous[:, :2] / homogeneous[:, 2:]

    mirrored_pixels = sides.mirror_points_2d(project(points, K), 640)
    pixels_of_mirrored = project(sides.mirror_points(points), sides.mirror_intrinsics(K, 640))
    np.testing.assert_allclose(pixels_of_mirrored, mirrored_pixels, atol=1e-9)


def test_absence_stays_absence() -> None:
    moved = sides.mirror_points_2d(np.array([[np.nan, 2.0]]), 640)
    assert np.isnan(moved[0, 0])
    assert moved[0, 1] == 2.0


def test_arguments_are_left_alone() -> None:
    box = np.array([1.0, 2.0, 3.0, 4.0])
    box.setflags(write=False)
    sides.mirror_boxes_xyxy(box, 10)
    sides.mirror_points_2d(box[:2], 10)
    sides.mirror_points(box[:3])
    np.testing.assert_array_equal(box, [1, 2, 3, 4])


@pytest.mark.parametrize(
    "call",
    [
        lambda: sides.mirror_points(np.zeros((3, 2))),
        lambda: sides.mirror_axis_angle(np.zeros(44)),
        lambda: sides.mirror_faces(np.zeros((2, 4), dtype=np.int64)),
        lambda: sides.mirror_points_2d(np.zeros(3), 10),
        lambda: sides.mirror_boxes_xyxy(np.zeros(3), 10),
        lambda: sides.mirror_intrinsics(np.zeros((3, 4)), 10),
        lambda: sides.mirror_image(np.zeros((2, 2, 2, 2))),
    ],
)
def test_wrong_shapes_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ContractError, match="expected"):
        call()


def test_the_signs_are_those_of_the_geometry() -> None:
    assert sides.MIRRORED_POINT_SIGNS == (-1.0, 1.0, 1.0)
    assert sides.MIRRORED_AXIS_ANGLE_SIGNS == (1.0, -1.0, -1.0)
    signs = np.outer(sides.MIRRORED_POINT_SIGNS, sides.MIRRORED_POINT_SIGNS)
    np.testing.assert_array_equal(rotations.mirror_rotation(np.ones((3, 3))), signs)
