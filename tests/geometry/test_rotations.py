import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.geometry import rotations as rot

Array = NDArray[np.floating]

DTYPES = (np.float32, np.float64)
BATCH_SHAPES = ((), (0,), (1,), (2, 3), (2, 0, 3))
# the ends of the range, where the textbook formulas break, and its middle
ANGLES = (0.0, 1e-30, 1e-12, 1e-7, 1e-4, 1e-2, 1.0, 2.0, np.pi - 1e-2, np.pi - 1e-4, np.pi - 1e-7, np.pi)


def unit_vectors(rng: np.random.Generator, *shape: int) -> Array:
    vectors = rng.standard_normal((*shape, 3))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def eps(dtype: type) -> float:
    return float(np.finfo(dtype).eps)


def scipy_matrix(axis_angle: Array) -> Array:
    return Rotation.from_rotvec(axis_angle.astype(np.float64).reshape(-1, 3)).as_matrix()


vectors = st.tuples(*[st.floats(-10.0, 10.0, allow_nan=False)] * 3).map(np.array)
directions = st.integers(0, 2**32 - 1).map(lambda seed: unit_vectors(np.random.default_rng(seed)))
quick = settings(max_examples=100, deadline=None, derandomize=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [*ANGLES, 4.0, 6.3, 100.0])
def test_axis_angle_agrees_with_scipy_at_every_angle(angle: float, dtype: type) -> None:
    vector = (unit_vectors(np.random.default_rng(0), 200) * angle).astype(dtype)
    matrix = rot.axis_angle_to_matrix(vector)
    assert matrix.dtype == dtype
    np.testing.assert_allclose(matrix, scipy_matrix(vector), atol=8 * eps(dtype) * max(1.0, angle), rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [a for a in ANGLES if a < 3.14])
def test_axis_angle_comes_back_with_full_relative_precision(angle: float, dtype: type) -> None:
    vector = (unit_vectors(np.random.default_rng(1), 200) * angle).astype(dtype)
    back = rot.matrix_to_axis_angle(rot.axis_angle_to_matrix(vector))
    assert back.dtype == dtype
    np.testing.assert_allclose(back, vector, atol=10 * eps(dtype) * angle, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("below_pi", [0.0, 1e-12, 1e-7, 1e-5, 1e-3])
def test_near_pi_the_axis_is_right_up_to_its_sign(below_pi: float, dtype: type) -> None:
    axis = unit_vectors(np.random.default_rng(2), 200)
    back = rot.matrix_to_axis_angle(rot.axis_angle_to_matrix((axis * (np.pi - below_pi)).astype(dtype)))
    length = np.linalg.norm(back, axis=-1)
    assert length.max() <= np.pi * (1 + 4 * eps(dtype))
    np.testing.assert_allclose(np.abs((back * axis).sum(axis=-1)) / length, 1.0, atol=4 * eps(dtype))
    np.testing.assert_allclose(length, np.pi - below_pi, atol=8 * eps(dtype))


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, -1, 1]])
def test_half_turns_about_axes_and_diagonals_are_exact(axis: list[float]) -> None:
    n = np.array(axis) / np.linalg.norm(axis)
    half_turn = 2.0 * np.outer(n, n) - np.eye(3)
    back = rot.matrix_to_axis_angle(half_turn)
    assert np.linalg.norm(back) == pytest.approx(np.pi, abs=1e-15)
    np.testing.assert_allclose(rot.axis_angle_to_matrix(back), half_turn, atol=1e-15)


@quick
@given(vectors)
def test_every_representation_returns_the_same_rotation(vector: Array) -> None:
    matrix = rot.axis_angle_to_matrix(vector)
    quaternion = rot.axis_angle_to_quaternion(vector)
    ways = [
        rot.axis_angle_to_matrix(rot.matrix_to_axis_angle(matrix)),
        rot.quaternion_to_matrix(rot.matrix_to_quaternion(matrix)),
        rot.quaternion_to_matrix(quaternion),
        rot.axis_angle_to_matrix(rot.quaternion_to_axis_angle(quaternion)),
        rot.sixd_to_matrix(rot.matrix_to_6d(matrix)),
        rot.project_to_so3(matrix),
    ]
    for way in ways:
        np.testing.assert_allclose(way, matrix, atol=2e-14)
        assert rot.is_rotation(way, 1e-13)


@quick
@given(vectors)
def test_quaternions_are_unit_real_first_and_never_negative_there(vector: Array) -> None:
    expected = Rotation.from_rotvec(vector).as_quat(canonical=True, scalar_first=True)
    for found in (rot.axis_angle_to_quaternion(vector), rot.matrix_to_quaternion(rot.axis_angle_to_matrix(vector))):
        assert found[0] >= 0.0
        assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-14)
        assert abs(found @ expected) == pytest.approx(1.0, abs=1e-14)
        if expected[0] > 1e-6:
            np.testing.assert_allclose(found, expected, atol=1e-13)


def test_a_quaternion_and_its_negative_mean_the_same_and_length_does_not_matter() -> None:
    quaternion = np.random.default_rng(3).standard_normal((50, 4))
    np.testing.assert_allclose(
        rot.quaternion_to_matrix(-3.0 * quaternion), rot.quaternion_to_matrix(quaternion), atol=1e-14
    )
    np.testing.assert_allclose(
        rot.quaternion_to_axis_angle(-3.0 * quaternion), rot.quaternion_to_axis_angle(quaternion), atol=1e-14
    )
    expected = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
    np.testing.assert_allclose(rot.quaternion_to_matrix(quaternion), expected, atol=1e-14)


def test_a_quaternion_too_small_to_square_still_has_a_direction() -> None:
    tiny = np.array([0.0, 1e-30, 0.0, 0.0], dtype=np.float32)
    np.testing.assert_allclose(rot.quaternion_to_matrix(tiny), np.diag([1.0, -1.0, -1.0]), atol=1e-6)


CONVERSIONS: list[tuple[Callable[..., Array], tuple[int, ...], tuple[int, ...]]] = [
    (rot.axis_angle_to_matrix, (3,), (3, 3)),
    (rot.matrix_to_axis_angle, (3, 3), (3,)),
    (rot.matrix_to_6d, (3, 3), (6,)),
    (rot.sixd_to_matrix, (6,), (3, 3)),
    (rot.matrix_to_quaternion, (3, 3), (4,)),
    (rot.quaternion_to_matrix, (4,), (3, 3)),
    (rot.axis_angle_to_quaternion, (3,), (4,)),
    (rot.quaternion_to_axis_angle, (4,), (3,)),
    (rot.mirror_rotation, (3, 3), (3, 3)),
    (rot.mirror_axis_angle, (3,), (3,)),
    (rot.project_to_so3, (3, 3), (3, 3)),
    (rot.rotation_z, (), (3, 3)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", BATCH_SHAPES)
@pytest.mark.parametrize(("convert", "trailing", "result"), CONVERSIONS)
def test_a_batch_is_its_entries_and_the_input_is_left_alone(
    convert: Callable[..., Array],
    trailing: tuple[int, ...],
    result: tuple[int, ...],
    batch: tuple[int, ...],
    dtype: type,
) -> None:
    rng = np.random.default_rng(4)
    is_matrix = trailing == (3, 3)
    values = (
        rot.random_rotations(rng, batch, dtype) if is_matrix else rng.standard_normal((*batch, *trailing)).astype(dtype)
    )
    before = values.copy()
    values.setflags(write=False)
    converted = convert(values)
    assert converted.shape == (*batch, *result)
    assert converted.dtype == dtype
    np.testing.assert_array_equal(values, before)
    for index in np.ndindex(batch):
        np.testing.assert_allclose(converted[index], convert(values[index]), atol=4 * eps(dtype))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("convert", "trailing", "result"), CONVERSIONS[:8])
def test_a_number_that_is_none_makes_its_own_row_nan_and_no_other(
    convert: Callable[..., Array], trailing: tuple[int, ...], result: tuple[int, ...], bad: float
) -> None:
    rng = np.random.default_rng(5)
    values = rot.random_rotations(rng, (3,)) if trailing == (3, 3) else rng.standard_normal((3, *trailing))
    values[1] = bad
    converted = convert(values)
    assert np.isfinite(converted[[0, 2]]).all()
    assert not np.isfinite(converted[1]).any()


def test_6d_are_the_first_two_columns_one_after_the_other() -> None:
    matrix = np.arange(9.0).reshape(3, 3)
    assert rot.matrix_to_6d(matrix).tolist() == [0, 3, 6, 1, 4, 7]


@quick
@given(st.integers(0, 2**32 - 1))
def test_6d_is_gram_schmidt(seed: int) -> None:
    columns = np.random.default_rng(seed).standard_normal(6)
    b1 = columns[:3] / np.linalg.norm(columns[:3])
    residue = columns[3:] - (b1 @ columns[3:]) * b1
    b2 = residue / np.linalg.norm(residue)
    np.testing.assert_allclose(
        rot.sixd_to_matrix(columns), np.stack([b1, b2, np.cross(b1, b2)], axis=1), atol=1e-13 / np.linalg.norm(residue)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_6d_stays_a_rotation_when_the_columns_are_nearly_parallel(dtype: type) -> None:
    first = unit_vectors(np.random.default_rng(6), 100)
    second = first + 1e-3 * unit_vectors(np.random.default_rng(7), 100)
    assert rot.is_rotation(rot.sixd_to_matrix(np.concatenate([first, second], -1).astype(dtype)), 20 * eps(dtype)).all()


@pytest.mark.parametrize("sixd", [[0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 2, 3, 2, 4, 6], [1, 2, 3, -1, -2, -3]])
def test_6d_without_two_directions_is_no_rotation_and_no_half_of_one(sixd: list[float]) -> None:
    assert np.isnan(rot.sixd_to_matrix(np.array(sixd))).all()
    assert np.isnan(rot.sixd_to_matrix(np.array(sixd) / 3.0)).all()
    batch = rot.sixd_to_matrix(np.array([sixd, [1, 0, 0, 0, 1, 0]], dtype=np.float32))
    assert batch.dtype == np.float32
    assert np.isnan(batch).all(axis=(1, 2)).tolist() == [True, False]
    np.testing.assert_array_equal(batch[1], np.eye(3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [0.7, -3.3])
def test_6d_with_parallel_columns_is_no_rotation_whatever_rounding_leaves(factor: float, dtype: type) -> None:
    first = unit_vectors(np.random.default_rng(20), 500)
    parallel = np.concatenate([first, factor * first], axis=-1).astype(dtype)
    assert np.isnan(rot.sixd_to_matrix(parallel)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", ANGLES)
def test_geodesic_distance_is_the_angle_at_both_ends(angle: float, dtype: type) -> None:
    turn = rot.axis_angle_to_matrix((unit_vectors(np.random.default_rng(8), 100) * angle).astype(dtype))
    identity = np.eye(3, dtype=dtype)
    # against the identity no rounding of the first matrix hides the angle, so the smallest ones show in full
    np.testing.assert_allclose(
        rot.geodesic_distance(identity, turn),
        angle,
        atol=max(6 * eps(dtype) * min(angle, 1.0), float(np.finfo(dtype).tiny) ** 0.5),
        rtol=0,
    )
    base = rot.random_rotations(np.random.default_rng(9), (100,), dtype)
    found = rot.geodesic_distance(base, base @ turn)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, angle, atol=10 * eps(dtype), rtol=0)


def test_geodesic_distance_agrees_with_scipy_and_is_symmetric() -> None:
    first, second = rot.random_rotations(np.random.default_rng(10), (2, 200))
    expected = (Rotation.from_matrix(first).inv() * Rotation.from_matrix(second)).magnitude()
    np.testing.assert_allclose(rot.geodesic_distance(first, second), expected, atol=1e-14)
    np.testing.assert_allclose(rot.geodesic_distance(second, first), expected, atol=1e-14)
    assert rot.geodesic_distance(first, first).max() < 1e-15
    assert rot.geodesic_distance(first[:, None], second[None]).shape == (200, 200)


@pytest.mark.parametrize("center_deg", [0, 90, 160, 170, 175, 179, 180])
def test_the_chordal_mean_of_8_samples_with_10_deg_noise_errs_by_3_deg_anywhere(center_deg: float) -> None:
    rng = np.random.default_rng(11)
    center = rot.axis_angle_to_matrix(unit_vectors(rng, 1000) * np.radians(center_deg))
    # rms angle 10 deg; the error of the mean of 8 is then 10 / sqrt(8) = 3.5 deg rms, 3.1 deg in the median
    noise = rot.axis_angle_to_matrix(rng.standard_normal((1000, 8, 3)) * np.radians(10.0) / np.sqrt(3.0))
    mean = rot.chordal_mean(center[:, None] @ noise)
    error_deg = np.degrees(rot.geodesic_distance(center, mean.rotation))
    assert 2.8 < np.median(error_deg) < 3.4
    assert error_deg.max() < 12.0
    np.testing.assert_allclose(mean.consensus.mean(), 1.0 - np.radians(10.0) ** 2 / 3.0, atol=2e-3)


def test_averaging_axis_angles_would_fail_where_the_chordal_mean_does_not() -> None:
    rng = np.random.default_rng(12)
    center = rot.axis_angle_to_matrix(unit_vectors(rng, 500) * np.radians(179))
    noise = rot.axis_angle_to_matrix(rng.standard_normal((500, 8, 3)) * np.radians(10.0) / np.sqrt(3.0))
    naive = rot.axis_angle_to_matrix(rot.matrix_to_axis_angle(center[:, None] @ noise).mean(axis=1))
    assert np.degrees(np.median(rot.geodesic_distance(center, naive))) > 90.0


def test_the_chordal_mean_agrees_with_scipy_with_weights_on_either_axis() -> None:
    rng = np.random.default_rng(13)
    base = rot.random_rotations(rng, (5,))
    samples = base[:, None] @ rot.axis_angle_to_matrix(0.5 * rng.standard_normal((5, 7, 3)))
    weights = rng.uniform(0.1, 2.0, (5, 7))
    expected = np.stack(
        [Rotation.from_matrix(s).mean(weights=w).as_matrix() for s, w in zip(samples, weights, strict=True)]
    )
    np.testing.assert_allclose(rot.chordal_mean(samples, weights).rotation, expected, atol=1e-13)
    moved = rot.chordal_mean(samples.swapaxes(0, 1), weights.T, axis=0)
    np.testing.assert_allclose(moved.rotation, expected, atol=1e-13)


def test_consensus_is_1_for_equal_samples_and_the_cosine_for_an_even_split() -> None:
    base = rot.random_rotations(np.random.default_rng(14), (20,))
    equal = rot.chordal_mean(np.repeat(base[:, None], 4, axis=1))
    np.testing.assert_allclose(equal.consensus, 1.0, atol=1e-14)
    np.testing.assert_allclose(equal.rotation, base, atol=1e-14)
    for angle in (1e-3, 0.5, 1.0, 1.5):
        split = rot.chordal_mean(np.stack([base @ rot.rotation_z(angle), base @ rot.rotation_z(-angle)]), axis=0)
        np.testing.assert_allclose(split.consensus, np.cos(angle), atol=1e-14)
        np.testing.assert_allclose(split.rotation, base, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_without_a_mean_give_none(dtype: type) -> None:
    opposed = np.stack([np.eye(3), np.diag([-1.0, -1.0, 1.0])]).astype(dtype)
    cube = np.stack([np.eye(3), np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])]).astype(dtype)
    for samples in (opposed, cube, np.zeros((0, 3, 3), dtype), np.full((2, 3, 3), np.nan, dtype)):
        mean = rot.chordal_mean(samples)
        assert np.isnan(mean.rotation).all()
        assert mean.consensus == 0.0
        assert mean.rotation.dtype == mean.consensus.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_makes_no_mean_of_two_opposed_rotations(dtype: type) -> None:
    base = rot.random_rotations(np.random.default_rng(21), (500,))
    mean = rot.chordal_mean(np.stack([base, base @ rot.rotation_z(np.pi)]).astype(dtype), axis=0)
    assert np.isnan(mean.rotation).all()
    assert (mean.consensus == 0.0).all()


def test_a_nan_sample_counts_as_if_it_were_not_there() -> None:
    samples = rot.axis_angle_to_matrix(0.3 * np.random.default_rng(15).standard_normal((3, 6, 3)))
    expected = rot.chordal_mean(samples[:, 1:])
    damaged = samples.copy()
    damaged[:, 0, 2, 1] = np.nan
    for mean in (rot.chordal_mean(damaged), rot.chordal_mean(samples, [0, 1, 1, 1, 1, 1])):
        np.testing.assert_allclose(mean.rotation, expected.rotation, atol=1e-14)
        np.testing.assert_allclose(mean.consensus, expected.consensus, atol=1e-14)


@pytest.mark.parametrize("weights", [[1, -1], [1, np.nan], [1, np.inf], [1, 1, 1], [[1, 1], [1, 1]]])
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ContractError, match="weights"):
        rot.chordal_mean(np.stack([np.eye(3)] * 2), weights)


@pytest.mark.parametrize(("shape", "axis"), [((3, 3), -1), ((2, 3, 3), 1), ((2, 3, 3), -2)])
def test_the_mean_runs_over_batch_axes_only(shape: tuple[int, ...], axis: int) -> None:
    with pytest.raises(ContractError, match="axis of chordal_mean"):
        rot.chordal_mean(np.ones(shape), axis=axis)


@quick
@given(vectors)
def test_mirroring_twice_changes_nothing(vector: Array) -> None:
    matrix = rot.axis_angle_to_matrix(vector)
    np.testing.assert_array_equal(rot.mirror_axis_angle(rot.mirror_axis_angle(vector)), vector)
    np.testing.assert_array_equal(rot.mirror_rotation(rot.mirror_rotation(matrix)), matrix)
    np.testing.assert_allclose(
        rot.axis_angle_to_matrix(rot.mirror_axis_angle(vector)), rot.mirror_rotation(matrix), atol=1e-14
    )


def test_a_mirrored_point_turned_by_the_mirrored_rotation_is_the_mirrored_turned_point() -> None:
    rng = np.random.default_rng(16)
    matrix, point = rot.random_rotations(rng), rng.standard_normal(3)
    mirror = np.array([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(rot.mirror_rotation(matrix) @ (mirror * point), mirror * (matrix @ point), atol=1e-15)


def test_projection_finds_the_nearest_rotation_even_of_a_reflected_matrix() -> None:
    rng = np.random.default_rng(17)
    matrices = rng.standard_normal((20, 3, 3))
    nearest = rot.project_to_so3(matrices)
    assert rot.is_rotation(nearest, 1e-12).all()
    best = np.linalg.norm(matrices - nearest, axis=(1, 2))
    for candidate in rot.random_rotations(rng, (500,)):
        assert (best <= np.linalg.norm(matrices - candidate, axis=(1, 2)) + 1e-12).all()
    for nudge in rot.axis_angle_to_matrix(1e-3 * rng.standard_normal((20, 3))):
        assert (best < np.linalg.norm(matrices - nearest @ nudge, axis=(1, 2))).all()


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.ones((3, 3)), -np.eye(3), np.full((3, 3), np.nan)])
def test_a_matrix_next_to_many_rotations_is_projected_on_none(matrix: Array) -> None:
    assert np.isnan(rot.project_to_so3(np.stack([matrix, np.eye(3)]))[0]).all()
    np.testing.assert_allclose(rot.project_to_so3(np.stack([matrix, np.eye(3)]))[1], np.eye(3), atol=1e-15)


def test_reflections_scalings_and_nan_are_no_rotations() -> None:
    candidates = np.stack(
        [np.eye(3), -np.eye(3), 1.001 * np.eye(3), np.full((3, 3), np.nan), np.diag([1.0, -1.0, -1.0])]
    )
    assert rot.is_rotation(candidates).tolist() == [True, False, False, False, True]
    assert rot.is_rotation(candidates, tolerance=0.1).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(("deviation", "verdict"), [(0.9e-5, True), (1.1e-5, False)])
def test_a_rotation_may_deviate_by_the_stated_tolerance(deviation: float, verdict: bool) -> None:
    assert rot.ROTATION_TOLERANCE == 1e-5
    assert rot.is_rotation(np.eye(3) * np.sqrt(1.0 + deviation)) == verdict


def test_random_rotations_are_uniform() -> None:
    sample = rot.random_rotations(np.random.default_rng(18), (20000,))
    assert rot.is_rotation(sample, 1e-13).all()
    # each entry of a uniform rotation has mean 0 and variance 1/3; 4 sigma of 20000 draws is 0.016
    assert np.abs(sample.mean(axis=0)).max() < 0.016
    np.testing.assert_allclose((sample**2).mean(axis=0), 1.0 / 3.0, atol=0.01)
    # the angle of a uniform rotation has density (1 - cos t) / pi, hence mean pi/2 + 2/pi
    angle = rot.geodesic_distance(np.eye(3), sample)
    assert angle.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.02)


def test_the_same_generator_draws_the_same_rotations() -> None:
    first, second = (rot.random_rotations(np.random.default_rng(19), (2, 3), np.float32) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (2, 3, 3, 3)
    assert first.dtype == np.float32


def test_a_positive_turn_about_z_takes_x_towards_y() -> None:
    np.testing.assert_allclose(rot.rotation_z(np.pi / 2) @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(
        rot.rotation_z([0.3, -2.0]), rot.axis_angle_to_matrix([[0, 0, 0.3], [0, 0, -2.0]]), atol=1e-15
    )


def test_no_conversion_warns_at_zero() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zero = rot.matrix_to_axis_angle(rot.axis_angle_to_matrix(np.zeros((4, 3), np.float32)))
        assert np.isnan(rot.quaternion_to_matrix(np.zeros(4))).all()
    assert (zero == 0.0).all()
