import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hoiray.errors import ContractError
from hoiray.geometry import crops
from hoiray.geometry.cameras import project_points, unproject_points
from hoiray.geometry.rotations import rotation_z

Array = NDArray[np.floating]
quick = settings(max_examples=50, deadline=None, derandomize=True)
angles = st.floats(-np.pi, np.pi)
centers = st.tuples(st.floats(-50, 700), st.floats(-50, 500)).map(np.array)
sides = st.floats(10.0, 800.0)


def blob(width: int, height: int, x: float, y: float) -> Array:
    """An image with a smooth spot whose centre of mass is (x, y), pixel centres at integers."""
    v, u = np.mgrid[:height, :width]
    return np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2.0 * 3.0**2))


def center_of_mass(image: Array) -> Array:
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(u * image).sum(), (v * image).sum()]) / image.sum()


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
def test_opencv_puts_the_picture_where_the_affine_says(angle: float) -> None:
    image = blob(160, 120, 70.25, 50.5)
    A = crops.crop_affine([75.0, 55.0], 60.0, angle, out_size_px=128)
    warped = cv2.warpAffine(image, A[:2], (128, 128), flags=cv2.INTER_LINEAR)
    expected = crops.apply_affine(A, np.array([[70.25, 50.5]]))[0]
    # OpenCV rounds to 1/32 px of the image, 1/64 at most, 2.1 times as much in this crop; half a pixel would be 1.07
    np.testing.assert_allclose(center_of_mass(warped), expected, atol=2.2 / 64)


@pytest.mark.parametrize("size", [(320, 240), (80, 60), (100, 90)])
def test_resizing_moves_points_as_opencv_moves_pixels(size: tuple[int, int]) -> None:
    image = blob(160, 120, 70.25, 50.5)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if size[0] < 160 else cv2.INTER_LINEAR)
    A = crops.resize_affine((160, 120), size)
    np.testing.assert_allclose(center_of_mass(resized), crops.apply_affine(A, np.array([[70.25, 50.5]]))[0], atol=0.02)
    # the image's outer corners stay its outer corners
    corners = crops.apply_affine(A, np.array([[-0.5, -0.5], [159.5, 119.5]]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]], atol=1e-12)


@quick
@given(centers, sides, angles)
def test_the_square_fills_the_crop_and_its_centre_is_the_crops(center: Array, side: float, angle: float) -> None:
    A = crops.crop_affine(center, side, angle, out_size_px=256)
    half = 0.5 * side * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    # the square in the image is turned back by the angle its content is turned by
    square = center + half @ rotation_z(angle)[:2, :2]
    expected = [[-0.5, -0.5], [255.5, -0.5], [255.5, 255.5], [-0.5, 255.5]]
    np.testing.assert_allclose(crops.apply_affine(A, square), expected, atol=1e-9)
    np.testing.assert_allclose(crops.apply_affine(A, center[None])[0], [127.5, 127.5], atol=1e-9)


@quick
@given(centers, sides, angles)
def test_cropping_and_uncropping_gives_the_same_points(center: Array, side: float, angle: float) -> None:
    A = crops.crop_affine(center, side, angle, out_size_px=224)
    points = np.random.default_rng(0).uniform(0, 500, (21, 2))
    back = crops.apply_affine(crops.invert_affine(A), crops.apply_affine(A, points))
    np.testing.assert_allclose(back, points, atol=1e-9)
    np.testing.assert_allclose(crops.invert_affine(A) @ A, np.eye(3), atol=1e-9)


def test_a_positive_turn_is_clockwise_on_the_screen() -> None:
    A = crops.crop_affine([100.0, 100.0], 64.0, np.pi / 2, out_size_px=64)
    right_of_centre = crops.apply_affine(A, np.array([[110.0, 100.0]]))[0]
    np.testing.assert_allclose(right_of_centre, [31.5, 41.5], atol=1e-12)


@quick
@given(centers, sides, angles, st.floats(0.8, 1.25), st.floats(-10.0, 10.0))
def test_turned_points_seen_by_the_crops_camera_are_the_cropped_projections(
    center: Array, side: float, angle: float, aspect: float, skew: float
) -> None:
    K = np.array([[600.0, skew, 320.0], [0.0, 600.0 * aspect, 240.0], [0.0, 0.0, 1.0]])
    points = np.random.default_rng(1).uniform([-0.2, -0.2, 0.4], [0.2, 0.2, 0.9], (21, 3))
    A = crops.crop_affine(center, side, angle, out_size_px=256)
    K_crop = crops.crop_intrinsics(K, A, angle)
    turned = points @ rotation_z(angle).T
    cropped = crops.apply_affine(A, project_points(points, K))
    np.testing.assert_allclose(project_points(turned, K_crop), cropped, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(unproject_points(cropped, turned[:, 2], K_crop), turned, atol=1e-9)


def test_with_square_pixels_the_crops_camera_is_an_ordinary_one_and_without_a_turn_it_is_a_k() -> None:
    K = np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
    A = crops.crop_affine([400.0, 100.0], 150.0, 0.8, out_size_px=300)
    K_crop = crops.crop_intrinsics(K, A, 0.8)
    np.testing.assert_allclose(K_crop[[0, 1], [0, 1]], 1200.0)
    np.testing.assert_allclose(K_crop[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]], [0, 0, 0, 0, 1], atol=1e-12)
    # the principal point is where the crop shows the image's
    np.testing.assert_allclose(K_crop[:2, 2], crops.apply_affine(A, np.array([[320.0, 240.0]]))[0], atol=1e-12)
    straight = crops.crop_affine([400.0, 100.0], 150.0, 0.0, out_size_px=300)
    np.testing.assert_allclose(crops.crop_intrinsics(K, straight, 0.0), straight @ K)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
def test_batches_and_precision_are_kept(batch: tuple[int, ...], dtype: type) -> None:
    rng = np.random.default_rng(2)
    center, side, angle = rng.uniform(50, 100, (*batch, 2)), rng.uniform(50, 100, batch), rng.uniform(-3, 3, batch)
    A = crops.crop_affine(np.asarray(center, dtype), np.asarray(side, dtype), np.asarray(angle, dtype), out_size_px=128)
    points = rng.uniform(0, 100, (*batch, 21, 2)).astype(dtype)
    assert A.shape == crops.invert_affine(A).shape == (*batch, 3, 3)
    assert crops.apply_affine(A, points).shape == (*batch, 21, 2)
    assert A.dtype == crops.invert_affine(A).dtype == crops.apply_affine(A, points).dtype == dtype
    for index in np.ndindex(batch):
        single = crops.crop_affine(center[index], side[index], angle[index], out_size_px=128)
        np.testing.assert_allclose(A[index], single, rtol=1e-5, atol=1e-4)


def test_one_centre_serves_eight_augmented_crops() -> None:
    A = crops.crop_affine([100.0, 80.0], 90.0, np.linspace(-1, 1, 8), out_size_px=64)
    points = crops.apply_affine(A, np.array([[100.0, 80.0], [110.0, 80.0]]))
    assert points.shape == (8, 2, 2)
    np.testing.assert_allclose(points[:, 0], 31.5, atol=1e-12)


@pytest.mark.parametrize(("side", "out"), [(0.0, 64), (-3.0, 64), (50.0, 0)])
def test_a_crop_without_size_is_refused(side: float, out: int) -> None:
    with pytest.raises(ContractError, match="crop"):
        crops.crop_affine(np.zeros(2), side, 0.0, out_size_px=out)


def test_an_affine_without_inverse_and_an_empty_image_are_refused() -> None:
    with pytest.raises(ContractError, match="inverse"):
        crops.invert_affine(np.diag([1.0, 0.0, 1.0]))
    with pytest.raises(ContractError, match="image size"):
        crops.resize_affine((640, 480), (0, 100))


@quick
@given(st.floats(1.0, 2.0), st.floats(5.0, 300.0), st.floats(5.0, 300.0))
def test_unit_box_coordinates_come_back(expand: float, width: float, height: float) -> None:
    box = np.array([40.0, 30.0, 40.0 + width, 30.0 + height])
    points = np.random.default_rng(3).uniform(-50, 400, (21, 2))
    unit = crops.to_unit_box(points, box, expand=expand)
    np.testing.assert_allclose(crops.from_unit_box(unit, box, expand=expand), points, atol=1e-9)


def test_the_unit_box_is_the_expanded_one_and_each_axis_has_its_own_unit() -> None:
    box = np.array([100.0, 200.0, 200.0, 220.0])
    points = np.array([[100.0, 200.0], [150.0, 210.0], [95.0, 199.0], [205.0, 221.0]])
    np.testing.assert_allclose(
        crops.to_unit_box(points, box, expand=1.1), [[5 / 110, 1 / 22], [0.5, 0.5], [0, 0], [1, 1]], atol=1e-12
    )
    np.testing.assert_allclose(crops.to_unit_box(points[:2], box, expand=1.0), [[0, 0], [0.5, 0.5]], atol=1e-12)


def test_a_box_without_area_has_no_unit() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [3.0, 0.0, 3.0, 10.0], [5.0, 0.0, 2.0, 3.0], [np.nan, 0.0, 1.0, 1.0]])
    points = np.ones((4, 2, 2))
    for convert in (crops.to_unit_box, crops.from_unit_box):
        assert np.isnan(convert(points, boxes, expand=1.1)).all(axis=(1, 2)).tolist() == [False, True, True, True]


def test_the_two_pixel_conventions_differ_by_half_a_pixel() -> None:
    corner_box = np.array([0.0, 0.0, 640.0, 480.0])
    assert crops.corner_to_center_convention(corner_box).tolist() == [-0.5, -0.5, 639.5, 479.5]
    np.testing.assert_array_equal(
        crops.center_to_corner_convention(crops.corner_to_center_convention(corner_box)), corner_box
    )
