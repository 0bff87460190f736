import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import least_squares

from hoiray.errors import ContractError
from hoiray.geometry.alignment import align_root, align_scale_translation, align_similarity
from hoiray.geometry.rotations import axis_angle_to_matrix, random_rotations

Array = NDArray[np.floating]
quick = settings(max_examples=50, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def hand(rng: np.random.Generator, *batch: int, num_points: int = 21) -> Array:
    """Points with a hand's extent (a few centimetres, less in depth) half a metre away."""
    return rng.standard_normal((*batch, num_points, 3)) * [0.04, 0.03, 0.015] + [0.05, -0.02, 0.5]


def official(target: Array, source: Array) -> Array:
    """The benchmark's definition for one sample, through scipy's Procrustes solver."""
    target_mean, source_mean = target.mean(0), source.mean(0)
    target_norm = np.linalg.norm(target - target_mean) + 1e-8
    source_norm = np.linalg.norm(source - source_mean) + 1e-8
    unit = (source - source_mean) / source_norm
    rotation, scale = orthogonal_procrustes((target - target_mean) / target_norm, unit)
    return unit @ rotation.T * scale * target_norm + target_mean


def mean_error_mm(first: Array, second: Array) -> float:
    return float(1000.0 * np.linalg.norm(first - second, axis=-1).mean())


@quick
@given(seeds)
def test_with_reflections_it_is_the_official_alignment(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, source = hand(rng), hand(rng)
    aligned = align_similarity(source, target, allow_reflection=True).apply(source)
    np.testing.assert_allclose(aligned, official(target, source), atol=1e-14)


def test_the_official_offset_on_the_norms_is_there() -> None:
    # at this size the 1e-8 is 1 % of the norm and shows
    rng = np.random.default_rng(0)
    target = 1e-7 * rng.standard_normal((21, 3))
    source = target + 1e-8 * rng.standard_normal((21, 3))
    aligned = align_similarity(source, target, allow_reflection=True).apply(source)
    np.testing.assert_allclose(aligned, official(target, source), atol=1e-20)
    without = align_similarity(source, target, allow_reflection=False).apply(source)
    assert np.abs(without - aligned).max() > 1e-9


@quick
@given(seeds, st.floats(0.1, 10.0))
def test_a_known_similarity_is_found_again(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    source, rotation, shift = hand(rng), random_rotations(rng), rng.standard_normal(3)
    target = scale * source @ rotation.T + shift
    found = align_similarity(source, target, allow_reflection=False)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-11)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-11)
    np.testing.assert_allclose(found.translation, shift, atol=1e-10)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-12)
    assert found.is_rotation_unique


def test_a_mirrored_hand_is_perfect_only_where_reflections_are_allowed() -> None:
    target = hand(np.random.default_rng(1))
    mirrored = target * [-1.0, 1.0, 1.0]
    allowed = align_similarity(mirrored, target, allow_reflection=True)
    proper = align_similarity(mirrored, target, allow_reflection=False)
    assert np.linalg.det(allowed.rotation) == pytest.approx(-1.0)
    assert mean_error_mm(allowed.apply(mirrored), target) < 1e-3
    assert np.linalg.det(proper.rotation) == pytest.approx(1.0)
    assert mean_error_mm(proper.apply(mirrored), target) > 5.0


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_the_proper_alignment_is_the_least_squares_one(mirror: float) -> None:
    rng = np.random.default_rng(2)
    target, source = hand(rng), hand(rng) * [mirror, 1.0, 1.0]
    found = align_similarity(source, target, allow_reflection=False)
    cost = np.sum((found.apply(source) - target) ** 2)

    def residual(x: Array) -> Array:
        return (np.exp(x[6]) * source @ axis_angle_to_matrix(x[:3]).T + x[3:6] - target).ravel()

    # started from several orientations, because the iterative solver finds local minima
    starts = [np.concatenate([v, [0, 0, 0, -1.0]]) for v in 2.0 * rng.standard_normal((6, 3))]
    best = min(float(np.sum(least_squares(residual, start, xtol=1e-12, ftol=1e-12).fun ** 2)) for start in starts)
    assert cost == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("allow_reflection", [True, False])
def test_a_batch_is_its_entries_and_broadcasts(allow_reflection: bool) -> None:
    rng = np.random.default_rng(3)
    source, target = hand(rng, 2, 3), hand(rng)
    batch = align_similarity(source, target, allow_reflection=allow_reflection)
    assert batch.rotation.shape == (2, 3, 3, 3)
    assert batch.scale.shape == batch.is_rotation_unique.shape == (2, 3)
    for index in np.ndindex(2, 3):
        single = align_similarity(source[index], target, allow_reflection=allow_reflection)
        np.testing.assert_allclose(batch.apply(source)[index], single.apply(source[index]), atol=1e-14)


@pytest.mark.parametrize("allow_reflection", [True, False])
def test_an_empty_batch_stays_empty(allow_reflection: bool) -> None:
    none = np.zeros((0, 21, 3), dtype=np.float32)
    assert align_similarity(none, none, allow_reflection=allow_reflection).apply(none).shape == (0, 21, 3)


@pytest.mark.parametrize("allow_reflection", [True, False])
def test_a_collapsed_source_lands_on_the_centroid(allow_reflection: bool) -> None:
    target = hand(np.random.default_rng(4))
    source = np.full((21, 3), 0.1)
    found = align_similarity(source, target, allow_reflection=allow_reflection)
    assert found.scale == 0.0
    assert not found.is_rotation_unique
    np.testing.assert_allclose(found.apply(source), np.broadcast_to(target.mean(0), (21, 3)), atol=1e-8)
    back = align_similarity(target, source, allow_reflection=allow_reflection)
    np.testing.assert_allclose(back.apply(target), source, atol=1e-8)


def test_points_on_a_line_or_in_a_plane_say_that_their_rotation_is_not_the_only_one() -> None:
    rng = np.random.default_rng(5)
    line = rng.standard_normal((21, 1)) * [0.01, 0.02, 0.03]
    plane = rng.standard_normal((21, 3)) * [0.04, 0.03, 0.0]
    solid = hand(rng)
    unique = {
        reflect: [
            bool(align_similarity(p, p, allow_reflection=reflect).is_rotation_unique) for p in (line, plane, solid)
        ]
        for reflect in (True, False)
    }
    assert unique == {True: [False, False, True], False: [False, True, True]}
    np.testing.assert_allclose(align_similarity(line, line, allow_reflection=False).apply(line), line, atol=1e-15)


def test_a_missing_joint_makes_its_sample_nan_and_no_other() -> None:
    rng = np.random.default_rng(6)
    source, target = hand(rng, 3), hand(rng, 3)
    source[0, 4, 1], target[1, 0, 0] = np.nan, np.inf
    found = align_similarity(source, target, allow_reflection=True)
    assert np.isnan(found.scale).tolist() == [True, True, False]
    assert np.isnan(found.rotation).all(axis=(1, 2)).tolist() == [True, True, False]
    assert found.is_rotation_unique.tolist() == [False, False, True]
    assert np.isnan(found.apply(source)).all(axis=(1, 2)).tolist() == [True, True, False]


@pytest.mark.parametrize(("num_source", "num_target"), [(21, 778), (0, 0)])
def test_joints_are_not_aligned_with_vertices_nor_nothing_with_nothing(num_source: int, num_target: int) -> None:
    with pytest.raises(ContractError, match="same number of points"):
        align_similarity(np.zeros((num_source, 3)), np.zeros((num_target, 3)), allow_reflection=False)


def test_root_alignment_shifts_and_nothing_else() -> None:
    rng = np.random.default_rng(7)
    source, target = hand(rng, 2), hand(rng, 2)
    moved = align_root(source, target, root_index=0)
    np.testing.assert_allclose(moved[:, 0], target[:, 0], atol=1e-15)
    np.testing.assert_allclose(moved - moved[:, :1], source - source[:, :1], atol=1e-15)


def test_scale_and_translation_give_length_and_root_but_no_turn() -> None:
    rng = np.random.default_rng(8)
    source, target = hand(rng, 4), hand(rng, 4)
    moved = align_scale_translation(source, target, root_index=0, length_index=9)
    np.testing.assert_allclose(moved[:, 0], target[:, 0], atol=1e-15)
    bone, wanted = (np.linalg.norm(p[:, 9] - p[:, 0], axis=-1) for p in (moved, target))
    np.testing.assert_allclose(bone, wanted, rtol=1e-12)
    direction = (source[:, 9] - source[:, 0]) / np.linalg.norm(source[:, 9] - source[:, 0], axis=-1, keepdims=True)
    np.testing.assert_allclose((moved[:, 9] - moved[:, 0]) / bone[:, None], direction, atol=1e-12)


def test_a_source_without_length_is_only_shifted() -> None:
    target = hand(np.random.default_rng(9))
    source = np.zeros((21, 3))
    source[3] = 1.0
    moved = align_scale_translation(source, target, root_index=0, length_index=9)
    np.testing.assert_allclose(moved, source + target[0], atol=1e-15)


@pytest.mark.parametrize(("root", "length"), [(21, 9), (0, 21), (-22, 9), (9, 9), (0, -21)])
def test_joint_indices_must_name_two_joints(root: int, length: int) -> None:
    points = np.zeros((21, 3))
    with pytest.raises(ContractError, match="_index"):
        align_scale_translation(points, points, root_index=root, length_index=length)


def test_the_root_lands_on_the_targets_root_to_the_last_bit() -> None:
    rng = np.random.default_rng(7)
    source, target = rng.normal(size=(64, 21, 3)), rng.normal(size=(64, 21, 3))
    np.testing.assert_array_equal(align_root(source, target, root_index=0)[:, 0], target[:, 0])
    aligned = align_scale_translation(source, target, root_index=0, length_index=9)
    np.testing.assert_array_equal(aligned[:, 0], target[:, 0])


def test_a_similarity_of_two_hands_is_not_applied_to_three() -> None:
    rng = np.random.default_rng(10)
    found = align_similarity(hand(rng, 2), hand(rng, 2), allow_reflection=True)
    with pytest.raises(ContractError, match=r"similarity and points: .*found \(2,\) and \(3,\)"):
        found.apply(np.zeros((3, 21, 3)))
    assert found.apply(np.zeros((778, 3))).shape == (2, 778, 3)
