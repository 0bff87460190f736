import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hoiray.errors import ContractError
from hoiray.geometry import transforms as tf
from hoiray.geometry.rotations import axis_angle_to_matrix, random_rotations

Array = NDArray[np.floating]
quick = settings(max_examples=50, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
FLIP = np.diag([1.0, -1.0, -1.0])


def random_transforms(rng: np.random.Generator, *batch: int, dtype: type = np.float64) -> Array:
    return tf.make_transform(random_rotations(rng, batch, dtype), rng.standard_normal((*batch, 3)).astype(dtype))


def pose_like_mano(rest: Array, root: Array, global_orient: Array, transl: Array) -> Array:
    """The rigid part of the MANO layer: turned about the rest root joint, then shifted."""
    return (rest - root) @ axis_angle_to_matrix(global_orient).T + root + transl


@quick
@given(seeds)
def test_the_inverse_is_that_of_linear_algebra_and_undoes_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    T_a_b, points_b = random_transforms(rng), rng.standard_normal((7, 3))
    T_b_a = tf.invert_transform(T_a_b)
    np.testing.assert_allclose(T_b_a, np.linalg.inv(T_a_b), atol=1e-12)
    np.testing.assert_allclose(tf.transform_points(T_b_a, tf.transform_points(T_a_b, points_b)), points_b, atol=1e-13)


def test_inner_letters_cancel_and_the_last_transform_acts_first() -> None:
    rng = np.random.default_rng(0)
    T_a_b, T_b_c, T_c_d = random_transforms(rng, 3)
    points_d = rng.standard_normal((5, 3))
    step_by_step = tf.transform_points(T_a_b, tf.transform_points(T_b_c, tf.transform_points(T_c_d, points_d)))
    composed = tf.compose_transforms(T_a_b, T_b_c, T_c_d)
    np.testing.assert_allclose(tf.transform_points(composed, points_d), step_by_step, atol=1e-13)
    np.testing.assert_array_equal(tf.compose_transforms(T_a_b), T_a_b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
def test_batches_and_precision_are_kept(batch: tuple[int, ...], dtype: type) -> None:
    rng = np.random.default_rng(1)
    T_a_b, points = random_transforms(rng, *batch, dtype=dtype), rng.standard_normal((*batch, 4, 3)).astype(dtype)
    for result, shape in [
        (tf.invert_transform(T_a_b), (*batch, 4, 4)),
        (tf.compose_transforms(T_a_b, T_a_b), (*batch, 4, 4)),
        (tf.transform_points(T_a_b, points), (*batch, 4, 3)),
        (tf.points_opengl_to_opencv(points), (*batch, 4, 3)),
        (tf.transform_opengl_to_opencv(T_a_b), (*batch, 4, 4)),
        (tf.mano_opengl_to_opencv(points[..., 0, :], points[..., 1, :], points[..., 2, :])[0], (*batch, 3)),
        (tf.mano_opengl_to_opencv(points[..., 0, :], points[..., 1, :], points[..., 2, :])[1], (*batch, 3)),
    ]:
        assert result.shape == shape
        assert result.dtype == dtype
    assert tf.is_rigid(T_a_b).shape == batch
    assert tf.is_rigid(T_a_b).all()


def test_one_transform_serves_many_clouds_and_many_transforms_one() -> None:
    rng = np.random.default_rng(2)
    T_a_b, cloud = random_transforms(rng, 4), rng.standard_normal((6, 3))
    moved = tf.transform_points(T_a_b, cloud)
    assert moved.shape == (4, 6, 3)
    np.testing.assert_allclose(moved[2], cloud @ T_a_b[2, :3, :3].T + T_a_b[2, :3, 3], atol=1e-14)
    with pytest.raises(ContractError, match="T_a_b and points_b"):
        tf.transform_points(T_a_b, rng.standard_normal((3, 6, 3)))


def test_scaled_mirrored_and_projective_matrices_are_not_rigid() -> None:
    good = np.eye(4)
    scaled, mirrored, projective, nowhere = (good.copy() for _ in range(4))
    scaled[0, 0], mirrored[0, 0], projective[3, 2], nowhere[1, 3] = 1.01, -1.0, 0.1, np.nan
    assert tf.is_rigid(np.stack([good, scaled, mirrored, projective, nowhere])).tolist() == [True] + [False] * 4


def test_a_point_up_and_in_front_in_opengl_has_negative_y_and_positive_z_in_opencv() -> None:
    np.testing.assert_array_equal(tf.points_opengl_to_opencv([0.1, 0.2, -0.7]), [0.1, -0.2, 0.7])


@quick
@given(seeds)
def test_flipping_the_axes_twice_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, pose = rng.standard_normal((5, 3)), random_transforms(rng)
    np.testing.assert_array_equal(tf.points_opencv_to_opengl(tf.points_opengl_to_opencv(points)), points)
    np.testing.assert_array_equal(tf.transform_opencv_to_opengl(tf.transform_opengl_to_opencv(pose)), pose)


def test_a_flipped_object_pose_puts_the_same_mesh_at_the_flipped_points() -> None:
    rng = np.random.default_rng(3)
    pose, mesh = random_transforms(rng), rng.standard_normal((9, 3))
    flipped = tf.transform_opengl_to_opencv(pose)
    assert tf.is_rigid(flipped)
    expected = tf.points_opengl_to_opencv(tf.transform_points(pose, mesh))
    np.testing.assert_allclose(tf.transform_points(flipped, mesh), expected, atol=1e-14)


@quick
@given(seeds)
def test_mano_parameters_move_with_the_vertices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rest, root = 0.1 * rng.standard_normal((20, 3)), 0.1 * rng.standard_normal(3)
    orient, transl, T_new_old = 2.0 * rng.standard_normal(3), rng.standard_normal(3), random_transforms(rng)
    new_orient, new_transl = tf.transform_mano(orient, transl, T_new_old, root)
    expected = tf.transform_points(T_new_old, pose_like_mano(rest, root, orient, transl))
    np.testing.assert_allclose(pose_like_mano(rest, root, new_orient, new_transl), expected, atol=1e-13)


def test_flipping_mano_parameters_and_back_gives_the_same_hand() -> None:
    rng = np.random.default_rng(4)
    # an orientation near pi: what HO-3D's hands have after the flip
    root, orient, transl = np.array([0.096, 0.006, 0.006]), np.array([3.1, 0.2, -0.1]), np.array([0.02, 0.1, -0.6])
    flipped = tf.mano_opengl_to_opencv(orient, transl, root)
    back = tf.mano_opengl_to_opencv(*flipped, root)
    np.testing.assert_allclose(back[0], orient, atol=1e-13)
    np.testing.assert_allclose(back[1], transl, atol=1e-14)
    rest = 0.1 * rng.standard_normal((20, 3))
    expected = pose_like_mano(rest, root, orient, transl) @ FLIP
    np.testing.assert_allclose(pose_like_mano(rest, root, *flipped), expected, atol=1e-14)


def test_flipping_the_translation_alone_would_be_off_by_the_rest_root() -> None:
    root, transl = np.array([0.096, 0.006, 0.006]), np.array([0.02, 0.1, -0.6])
    _, right = tf.mano_opengl_to_opencv(np.zeros(3), transl, root)
    np.testing.assert_allclose(right - FLIP @ transl, (FLIP - np.eye(3)) @ root, atol=1e-15)
    assert np.linalg.norm(right - FLIP @ transl) == pytest.approx(0.017, abs=1e-3)


def test_mano_parameters_of_three_hands_are_not_moved_by_two_transforms() -> None:
    three, T_new_old = np.zeros((3, 3)), np.tile(np.eye(4), (2, 1, 1))
    with pytest.raises(ContractError, match="global_orient, transl, T_new_old and rest_root_joint"):
        tf.transform_mano(three, three, T_new_old, np.zeros(3))
    with pytest.raises(ContractError, match="global_orient, transl, T_new_old and rest_root_joint"):
        tf.transform_mano(three, np.zeros(3), T_new_old, np.zeros(3))
