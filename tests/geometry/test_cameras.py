import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import least_squares

from hoiray.errors import ContractError
from hoiray.geometry import cameras as cam
from hoiray.geometry.cameras import WeakPerspectiveStatus as Status
from hoiray.geometry.rotations import axis_angle_to_matrix, rotation_z

Array = NDArray[np.floating]
quick = settings(max_examples=50, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
K_HO3D = np.array([[614.6, 0.0, 320.3], [0.0, 614.1, 241.4], [0.0, 0.0, 1.0]])
IN_FRONT = np.array([0.0, 0.0, 0.5])


def hand(rng: np.random.Generator, *batch: int) -> Array:
    return rng.standard_normal((*batch, 21, 3)) * [0.04, 0.03, 0.015]


def random_intrinsics(rng: np.random.Generator, *batch: int) -> Array:
    K = np.zeros((*batch, 3, 3))
    K[..., 0, 0], K[..., 1, 1] = rng.uniform(300, 900, (2, *batch))
    K[..., 0, 1] = rng.uniform(-20, 20, batch)
    K[..., 0, 2], K[..., 1, 2] = rng.uniform(100, 500, (2, *batch))
    K[..., 2, 2] = 1.0
    return K


@quick
@given(seeds)
def test_projecting_is_multiplying_by_k_and_dividing_by_depth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    K, points = random_intrinsics(rng), hand(rng) + IN_FRONT
    homogeneous = (K @ points.T).T
    np.testing.assert_allclose(cam.project_points(points, K), homogeneous[:, :2] / homogeneous[:, 2:], rtol=1e-13)


@quick
@given(seeds)
def test_unprojecting_at_the_same_depth_undoes_projecting_with_skew_and_turned_grids(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = hand(rng, 4) + IN_FRONT
    K = random_intrinsics(rng, 4)
    for matrix in (K, K @ rotation_z(rng.uniform(-3, 3, 4))):
        pixels = cam.project_points(points, matrix)
        np.testing.assert_allclose(cam.unproject_points(pixels, points[..., 2], matrix), points, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
def test_batches_and_precision_are_kept(batch: tuple[int, ...], dtype: type) -> None:
    points = (hand(np.random.default_rng(0), *batch) + IN_FRONT).astype(dtype)
    K = K_HO3D.astype(dtype)
    pixels = cam.project_points(points, K)
    assert pixels.shape == (*batch, 21, 2)
    assert pixels.dtype == dtype
    back = cam.unproject_points(pixels, points[..., 2], K)
    assert back.dtype == dtype
    np.testing.assert_allclose(back, points, atol=1e-6)
    camera = cam.solve_weak_perspective(points, pixels)
    assert camera.scale_px_per_m.shape == camera.status.shape == camera.is_solved.shape == batch
    assert camera.translation_px.shape == (*batch, 2)
    assert camera.project(points).shape == (*batch, 21, 2)


def test_what_is_behind_the_camera_has_no_image() -> None:
    pixels = cam.project_points(np.array([[0.0, 0, 0.5], [0, 0, 0], [0, 0, -0.5], [0, 0, np.nan]]), K_HO3D)
    assert np.isnan(pixels).all(axis=-1).tolist() == [False, True, True, True]
    np.testing.assert_allclose(pixels[0], K_HO3D[:2, 2])
    lifted = cam.unproject_points(np.zeros((3, 2)), np.array([1.0, 0.0, -1.0]), K_HO3D)
    assert np.isnan(lifted).all(axis=-1).tolist() == [False, True, True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_point_that_is_nowhere_or_too_close_has_no_image_and_needs_no_warning(dtype: type) -> None:
    too_close = np.finfo(dtype).smallest_subnormal
    nowhere = [[np.inf, 0, 1], [0, -np.inf, 1], [0, 0, np.inf], [np.inf] * 3]
    on_the_plane = [[1, 0, 0], [0, 1, too_close], [1, 0, too_close], [1, 1, too_close]]
    points = np.array([[0.0, 0, 0.5], *nowhere, *on_the_plane], dtype=dtype)
    pixels = cam.project_points(points, K_HO3D.astype(dtype))
    assert np.isnan(pixels).all(axis=-1).tolist() == [False] + [True] * 8
    assert np.isnan(cam.project_points(points[:1], np.full((3, 3), np.inf))).all()
    half_known = K_HO3D.copy()
    half_known[0, 2] = np.nan
    assert np.isnan(cam.project_points(points[:1], half_known)).all()
    lifted = cam.unproject_points(points[:3, :2], np.array([np.inf, 1.0, 1.0]), K_HO3D)
    assert np.isnan(lifted).any(axis=-1).all()


@pytest.mark.parametrize("num_depths", [2, 4])
def test_pixels_and_depths_of_different_number_are_refused(num_depths: int) -> None:
    with pytest.raises(ContractError, match=r"points_2d_px, depth_m and K: .*found \(3,\) and \(\d,\) and \(1,\)"):
        cam.unproject_points(np.zeros((3, 2)), np.ones(num_depths), np.eye(3))
    lifted = cam.unproject_points(np.zeros((5, 3, 2)), np.ones(3), np.tile(np.eye(3), (5, 1, 1)))
    assert lifted.shape == (5, 3, 3)


def test_a_camera_of_two_hands_is_not_asked_about_three() -> None:
    joints = hand(np.random.default_rng(10), 2)
    camera = cam.solve_weak_perspective(joints, 900.0 * joints[..., :2])
    with pytest.raises(ContractError, match="joints_3d and joints_2d_px"):
        camera.residual_px(joints, np.zeros((3, 21, 2)))
    with pytest.raises(ContractError, match="camera and points_3d"):
        camera.residual_px(np.zeros((3, 21, 3)), np.zeros((3, 21, 2)))
    with pytest.raises(ContractError, match="joints_3d and joints_2d_px"):
        camera.residual_px(joints, np.zeros((2, 20, 2)))


def test_a_k_without_inverse_is_refused() -> None:
    with pytest.raises(ContractError, match="focal lengths that are not 0"):
        cam.unproject_points(np.zeros((1, 2)), np.ones(1), np.diag([0.0, 1.0, 1.0]))


@quick
@given(seeds, st.floats(50.0, 5000.0))
def test_a_known_weak_perspective_camera_is_found_again(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    joints, shift = hand(rng) + np.array([0.3, -0.2, 0.5]), rng.uniform(0, 500, 2)
    pixels = scale * joints[:, :2] + shift
    camera = cam.solve_weak_perspective(joints, pixels)
    assert camera.status == Status.SOLVED
    np.testing.assert_allclose(camera.scale_px_per_m, scale, rtol=1e-10)
    np.testing.assert_allclose(camera.translation_px, shift, atol=1e-8 * scale)
    np.testing.assert_allclose(camera.residual_px(joints, pixels), 0.0, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_closed_form_is_the_minimum_an_iterative_solver_finds(weighted: bool) -> None:
    rng = np.random.default_rng(1)
    joints = hand(rng, 5)
    pixels = 900.0 * joints[..., :2] + rng.uniform(100, 400, (5, 1, 2)) + 15.0 * rng.standard_normal((5, 21, 2))
    weights = rng.uniform(0.0, 2.0, (5, 21)) if weighted else None
    camera = cam.solve_weak_perspective(joints, pixels, weights)
    for i in range(5):
        root = np.ones(21) if weights is None else np.sqrt(weights[i])

        def residual(x: Array, i: int = i, root: Array = root) -> Array:
            return (root[:, None] * (x[0] * joints[i, :, :2] + x[1:] - pixels[i])).ravel()

        solution = least_squares(residual, np.array([500.0, 0.0, 0.0]), x_scale=[100, 10, 10], xtol=1e-15, ftol=1e-15).x
        np.testing.assert_allclose(camera.scale_px_per_m[i], solution[0], rtol=1e-6)
        np.testing.assert_allclose(camera.translation_px[i], solution[1:], atol=1e-5)


def test_a_wrong_orientation_shows_in_the_residual() -> None:
    joints = hand(np.random.default_rng(2))
    pixels = 1000.0 * joints[:, :2] + 300.0
    turned = joints @ rotation_z(np.radians(46.0)).T
    camera = cam.solve_weak_perspective(turned, pixels)
    residual = np.linalg.norm(camera.residual_px(turned, pixels), axis=-1)
    # the best scale cannot undo the turn: sin(46 deg) of each joint's distance from the centre remains
    spread = np.linalg.norm(pixels - pixels.mean(0), axis=-1)
    assert np.sqrt((residual**2).mean() / (spread**2).mean()) == pytest.approx(np.sin(np.radians(46.0)), rel=1e-6)


def test_moving_the_image_moves_the_camera_and_depth_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    joints = hand(rng)
    pixels = 800.0 * joints[:, :2] + 200.0 + rng.standard_normal((21, 2))
    camera = cam.solve_weak_perspective(joints, pixels)
    moved = cam.solve_weak_perspective(joints + 10.0 * IN_FRONT, 2.0 * pixels + [3.0, -4.0])
    np.testing.assert_allclose(moved.scale_px_per_m, 2.0 * camera.scale_px_per_m, rtol=1e-12)
    np.testing.assert_allclose(moved.translation_px, 2.0 * camera.translation_px + [3.0, -4.0], rtol=1e-12)


def test_what_cannot_be_solved_says_why_and_carries_no_number() -> None:
    rng = np.random.default_rng(4)
    joints, pixels = hand(rng, 7), np.zeros((7, 21, 2))
    pixels[:] = 700.0 * joints[..., :2] + 250.0
    joints[1] = joints[1, :1]  # one point
    joints[2, :, :2] = 0.1  # on the optical axis
    pixels[3] = 500.0 - pixels[3]  # turned half round
    pixels[4] = 123.4  # collapsed landmarks
    joints[5, 3, 0] = np.nan
    pixels[6, 3, 1] = np.inf
    camera = cam.solve_weak_perspective(joints, pixels)
    assert [Status(code) for code in camera.status.tolist()] == [
        Status.SOLVED,
        Status.DEGENERATE,
        Status.DEGENERATE,
        Status.NON_POSITIVE_SCALE,
        Status.NON_POSITIVE_SCALE,
        Status.NON_FINITE,
        Status.NON_FINITE,
    ]
    assert camera.is_solved.tolist() == [True] + [False] * 6
    assert np.isnan(camera.scale_px_per_m).tolist() == [False] + [True] * 6
    assert np.isnan(camera.translation_px).all(axis=-1).tolist() == [False] + [True] * 6
    assert np.isnan(camera.project(hand(rng, 7))).all(axis=(1, 2)).tolist() == [False] + [True] * 6


@pytest.mark.parametrize(("spread_m", "status"), [(0.9e-4, Status.DEGENERATE), (1.1e-4, Status.SOLVED)])
def test_the_smallest_spread_that_fixes_a_scale_is_a_tenth_of_a_millimetre(spread_m: float, status: Status) -> None:
    joints = np.array([[spread_m, 0.0, 1.0], [-spread_m, 0.0, 0.0]])
    assert cam.solve_weak_perspective(joints, joints[:, :2] * 1000.0).status == status


@pytest.mark.parametrize(("spread_px", "status"), [(0.9e-6, Status.NON_POSITIVE_SCALE), (1.1e-6, Status.SOLVED)])
def test_a_projected_spread_of_a_millionth_of_a_pixel_is_rounding(spread_px: float, status: Status) -> None:
    joints = np.array([[0.05, 0.0, 1.0], [-0.05, 0.0, 0.0]])
    assert cam.solve_weak_perspective(joints, joints[:, :2] * (spread_px / 0.05)).status == status


def test_a_joint_of_weight_0_may_be_missing_and_no_joint_at_all_is_degenerate() -> None:
    rng = np.random.default_rng(5)
    joints = hand(rng)
    pixels = 700.0 * joints[:, :2] + 250.0 + rng.standard_normal((21, 2))
    expected = cam.solve_weak_perspective(joints[2:], pixels[2:])
    joints[0], pixels[1] = np.nan, np.inf
    weights = np.r_[0.0, 0.0, np.ones(19)]
    camera = cam.solve_weak_perspective(joints, pixels, weights)
    np.testing.assert_allclose(camera.scale_px_per_m, expected.scale_px_per_m, rtol=1e-12)
    np.testing.assert_allclose(camera.translation_px, expected.translation_px, rtol=1e-12)
    assert cam.solve_weak_perspective(joints, pixels, np.zeros(21)).status == Status.DEGENERATE
    assert cam.solve_weak_perspective(np.zeros((0, 3)), np.zeros((0, 2))).status == Status.DEGENERATE


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_impossible_weights_and_other_joint_counts_are_refused(weight: float) -> None:
    joints = hand(np.random.default_rng(6))
    with pytest.raises(ContractError, match="weights: expected finite"):
        cam.solve_weak_perspective(joints, joints[:, :2], np.full(21, weight))
    with pytest.raises(ContractError, match="the same joints, found 21 and 20"):
        cam.solve_weak_perspective(joints, joints[:20, :2])


def test_weak_perspective_is_the_limit_of_a_distant_perspective_camera() -> None:
    joints = hand(np.random.default_rng(7))
    K = np.array([[6e6, 0.0, 320.0], [0.0, 6e6, 240.0], [0.0, 0.0, 1.0]])
    pixels = cam.project_points(joints + 12000.0 * IN_FRONT, K)
    camera = cam.solve_weak_perspective(joints, pixels)
    np.testing.assert_allclose(camera.scale_px_per_m, 1000.0, rtol=1e-4)
    np.testing.assert_allclose(camera.translation_px, [320.0, 240.0], atol=1e-2)


def test_an_affine_on_the_image_is_an_affine_on_k() -> None:
    rng = np.random.default_rng(8)
    points, A = hand(rng) + IN_FRONT, np.array([[1.7, 0.2, -30.0], [-0.1, 1.2, 5.0], [0.0, 0.0, 1.0]])
    expected = cam.project_points(points, K_HO3D) @ A[:2, :2].T + A[:2, 2]
    found = cam.project_points(points, cam.transform_intrinsics(K_HO3D, A))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("size", [None, (640, 480)])
def test_real_intrinsics_pass(size: tuple[int, int] | None) -> None:
    cam.check_intrinsics(K_HO3D, size)
    cam.check_intrinsics(np.stack([K_HO3D, K_HO3D]).astype(np.float32), size)
    cam.check_intrinsics(np.zeros((0, 3, 3)), size)


@pytest.mark.parametrize(
    ("row", "column", "value", "complaint"),
    [
        (0, 2, np.nan, "finite entries"),
        (1, 1, np.inf, "finite entries"),
        (2, 0, 320.0, "below the diagonal"),
        (2, 2, 2.0, "below the diagonal"),
        (1, 0, 1.0, "below the diagonal"),
        (0, 0, 0.0, "positive focal lengths"),
        (1, 1, -614.0, "positive focal lengths"),
        (0, 0, 1300.0, "within a factor"),
        (1, 1, 1300.0, "within a factor"),
        (0, 2, -1.0, "principal point"),
        (0, 2, 639.5, "principal point"),
        (1, 2, -1.0, "principal point"),
        (1, 2, 479.5, "principal point"),
    ],
)
def test_the_check_names_which_matrix_is_wrong_and_how(row: int, column: int, value: float, complaint: str) -> None:
    K = np.stack([K_HO3D, K_HO3D])
    K[1, row, column] = value
    with pytest.raises(ContractError, match=f"K number 1: expected .*{complaint}"):
        cam.check_intrinsics(K, (640, 480))


@pytest.mark.parametrize("factor", [0.1, 100.0])
def test_a_focal_length_of_another_image_size_is_found_out(factor: float) -> None:
    K = np.diag([factor, factor, 1.0]) @ K_HO3D
    cam.check_intrinsics(K)
    with pytest.raises(ContractError, match="sides of the 640x480 image"):
        cam.check_intrinsics(K, (640, 480))


@pytest.mark.parametrize("size_wh", [(0, 0), (640, 0), (-640, -480)])
def test_the_check_refuses_an_image_without_pixels_before_dividing_by_its_size(size_wh: tuple[int, int]) -> None:
    with pytest.raises(ContractError, match="image size"):
        cam.check_intrinsics(K_HO3D, size_wh)


def test_intrinsics_stored_column_by_column_are_recognised() -> None:
    with pytest.raises(ContractError, match="Transpose"):
        cam.check_intrinsics(K_HO3D.T)


def test_turning_the_hand_out_of_plane_changes_the_fit() -> None:
    joints = hand(np.random.default_rng(9))
    pixels = 1000.0 * joints[:, :2]
    tilted = joints @ axis_angle_to_matrix([0.0, 0.8, 0.0]).T
    assert np.abs(cam.solve_weak_perspective(tilted, pixels).residual_px(tilted, pixels)).max() > 5.0
