"""Pose errors against loops over points, and what each of them cannot see."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.geometry.crops import crop_affine
from hoiray.metrics import object_pose
from hoiray.metrics.object_pose import add_m, add_s_m, is_within, mssd_m, reprojection_error_px
from hoiray.metrics.symmetry import (
    HALF_TURN_ABOUT_Z,
    NO_SYMMETRY,
    ObjectSymmetry,
    SymmetryAxis,
    symmetry_transforms,
)

K = np.array([[600.0, 0.0, 256.0], [0.0, 610.0, 250.0], [0.0, 0.0, 1.0]])
BOX = np.array(list(itertools.product((-0.05, 0.05), (-0.03, 0.03), (-0.1, 0.1))))


def _poses(num: int, seed: int, spread_rad: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (num, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(rng.normal(scale=spread_rad, size=(num, 3))).as_matrix()
    poses[:, :3, 3] = rng.normal(loc=(0.0, 0.0, 0.8), scale=0.1, size=(num, 3))
    return poses


def _model(seed: int = 0, num_points: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.04, size=(num_points, 3))


def _move(T: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.array([(T @ np.append(p, 1.0))[:3] for p in points])


def _oracle_add(points: np.ndarray, T_a: np.ndarray, T_b: np.ndarray) -> float:
    return float(np.mean([math.dist(a, b) for a, b in zip(_move(T_a, points), _move(T_b, points), strict=True)]))


def _oracle_add_s(points: np.ndarray, T_predicted: np.ndarray, T_truth: np.ndarray) -> float:
    return float(cdist(_move(T_truth, points), _move(T_predicted, points)).min(axis=1).mean())


def _oracle_mssd(points: np.ndarray, T_predicted: np.ndarray, T_truth: np.ndarray, symmetries: np.ndarray) -> float:
    predicted = _move(T_predicted, points)
    return min(
        max(math.dist(a, b) for a, b in zip(predicted, _move(T_truth @ S, points), strict=True)) for S in symmetries
    )


def _oracle_rep(points: np.ndarray, T_a: np.ndarray, T_b: np.ndarray, K: np.ndarray) -> float:
    def image(T: np.ndarray) -> np.ndarray:
        homogeneous = [K @ p for p in _move(T, points)]
        return np.array([h[:2] / h[2] for h in homogeneous])

    return float(np.mean([math.dist(a, b) for a, b in zip(image(T_a), image(T_b), strict=True)]))


def test_each_error_agrees_with_its_definition_point_by_point() -> None:
    points, predicted, truth = _model(), _poses(7, 1), _poses(7, 2)
    symmetries = symmetry_transforms(
        ObjectSymmetry(discrete=(SymmetryAxis((1, 2, 0), (0.01, 0, 0), num_turns=3),), continuous=()),
    )
    pairs = list(zip(predicted, truth, strict=True))
    np.testing.assert_allclose(add_m(points, predicted, truth), [_oracle_add(points, *p) for p in pairs], rtol=1e-10)
    np.testing.assert_allclose(
        add_s_m(points, predicted, truth), [_oracle_add_s(points, *p) for p in pairs], rtol=1e-10
    )
    np.testing.assert_allclose(
        mssd_m(points, predicted, truth, symmetries),
        [_oracle_mssd(points, *p, symmetries) for p in pairs],
        rtol=1e-10,
    )
    np.testing.assert_allclose(
        reprojection_error_px(points, predicted, truth, K), [_oracle_rep(points, *p, K) for p in pairs], rtol=1e-10
    )


def test_blocks_of_frames_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    points, predicted, truth = _model(), _poses(9, 1), _poses(9, 2)
    symmetries = symmetry_transforms(HALF_TURN_ABOUT_Z)
    predicted[4] = np.nan
    measures: tuple[Callable[[], np.ndarray], ...] = (
        lambda: add_m(points, predicted, truth),
        lambda: add_s_m(points, predicted, truth),
        lambda: mssd_m(points, predicted, truth, symmetries),
        lambda: reprojection_error_px(
            points, predicted, truth, np.stack([np.diag([1.0 + 0.1 * i, 1.0, 1.0]) @ K for i in range(9)])
        ),
    )
    whole = [measure() for measure in measures]
    monkeypatch.setattr(object_pose, "_MAX_BLOCK_POINTS", 2 * len(points))
    for measure, expected in zip(measures, whole, strict=True):
        np.testing.assert_allclose(measure(), expected, rtol=1e-12)


def test_a_pure_shift_is_its_own_error() -> None:
    truth = _poses(3, 0)
    predicted = truth.copy()
    predicted[:, :3, 3] += [0.03, 0.0, 0.04]
    np.testing.assert_allclose(add_m(_model(), predicted, truth), 0.05)
    np.testing.assert_allclose(mssd_m(_model(), predicted, truth, np.eye(4)[None]), 0.05)


def test_a_symmetric_turn_costs_add_but_neither_add_s_nor_mssd() -> None:
    truth = _poses(4, 3)
    predicted = truth @ np.diag([-1.0, -1.0, 1.0, 1.0])
    assert add_m(BOX, predicted, truth).min() > 0.1
    assert add_s_m(BOX, predicted, truth).max() < 1e-9
    assert mssd_m(BOX, predicted, truth, symmetry_transforms(HALF_TURN_ABOUT_Z)).max() < 1e-9
    assert mssd_m(BOX, predicted, truth, symmetry_transforms(NO_SYMMETRY)).min() > 0.1


def test_any_turn_of_a_bottle_costs_at_most_half_a_discretisation_step() -> None:
    ring = np.stack([np.cos(np.arange(40) / 40 * 2 * np.pi), np.sin(np.arange(40) / 40 * 2 * np.pi)], axis=1)
    points = np.concatenate([np.insert(0.03 * ring, 2, z, axis=1) for z in (0.0, 0.2)])
    truth = _poses(12, 4)
    turn = np.tile(np.eye(4), (12, 1, 1))
    turn[:, :3, :3] = Rotation.from_rotvec(np.linspace(0, 6, 12)[:, None] * [0, 0, 1]).as_matrix()
    symmetries = symmetry_transforms(ObjectSymmetry(continuous=(SymmetryAxis((0, 0, 1)),)))
    assert mssd_m(points, truth @ turn, truth, symmetries).max() <= 0.03 * math.pi / 315 + 1e-9


def test_the_symmetry_acts_on_the_object_before_the_true_pose() -> None:
    # Off-centre and with a pose that does not commute: T S and S T differ by decimetres.
    symmetry = ObjectSymmetry(discrete=(SymmetryAxis((0, 0, 1), (0.05, 0.0, 0.0), num_turns=2),))
    symmetries = symmetry_transforms(symmetry)
    truth = _poses(3, 8)
    assert mssd_m(_model(), truth @ symmetries[1], truth, symmetries).max() < 1e-9


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_add_s_is_at_most_add_which_is_at_most_mssd_without_symmetry(seed: int, spread_rad: float) -> None:
    points = _model(seed, 30)
    predicted, truth = _poses(3, seed + 1, spread_rad), _poses(3, seed + 2, spread_rad)
    add = add_m(points, predicted, truth)
    plain = mssd_m(points, predicted, truth, symmetry_transforms(NO_SYMMETRY))
    symmetric = mssd_m(points, predicted, truth, symmetry_transforms(HALF_TURN_ABOUT_Z))
    assert (add_s_m(points, predicted, truth) <= add + 1e-12).all()
    assert (add <= plain + 1e-12).all()
    assert (symmetric <= plain + 1e-12).all()
    displacement = [
        np.linalg.norm(_move(p, points) - _move(t, points), axis=1).max() for p, t in zip(predicted, truth, strict=True)
    ]
    np.testing.assert_allclose(plain, displacement, rtol=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_no_error_in_metres_depends_on_the_camera_frame(seed: int) -> None:
    points, predicted, truth, other = _model(seed), _poses(2, seed), _poses(2, seed + 1), _poses(1, seed + 2)[0]
    symmetries = symmetry_transforms(HALF_TURN_ABOUT_Z)
    for measure in (add_m, add_s_m, lambda *a: mssd_m(*a, symmetries)):
        np.testing.assert_allclose(
            measure(points, other @ predicted, other @ truth), measure(points, predicted, truth), rtol=1e-9
        )


def test_a_limit_is_met_by_an_error_of_exactly_that_size_and_never_by_a_failed_estimate() -> None:
    errors = np.array([0.25, np.nextafter(0.25, 1.0), np.nan, 0.0, np.inf])
    assert is_within(errors, 0.25).tolist() == [True, False, False, True, False]


def test_a_failed_estimate_is_nan_in_every_error() -> None:
    points, truth = _model(), _poses(4, 1)
    predicted = truth.copy()
    predicted[2, 0, 3] = np.nan
    before = predicted.copy()
    for errors in (
        add_m(points, predicted, truth),
        add_s_m(points, predicted, truth),
        mssd_m(points, predicted, truth, np.eye(4)[None]),
        reprojection_error_px(points, predicted, truth, K),
    ):
        assert np.isnan(errors).tolist() == [False, False, True, False]
        np.testing.assert_allclose(errors[[0, 1, 3]], 0.0, atol=1e-9)
    np.testing.assert_array_equal(predicted, before)


def test_an_estimate_behind_the_camera_has_no_image() -> None:
    truth = _poses(2, 1)
    predicted = truth.copy()
    predicted[1, 2, 3] = -0.8
    errors = reprojection_error_px(_model(), predicted, truth, K)
    assert np.isnan(errors).tolist() == [False, True]
    assert is_within(errors, 5.0).tolist() == [True, False]


def test_a_truth_behind_the_camera_is_refused_because_its_axes_are_opengl() -> None:
    truth = _poses(2, 1)
    truth[:, 2, 3] = -0.8
    with pytest.raises(ContractError, match="OpenGL"):
        reprojection_error_px(_model(), truth, truth, K)


def test_inputs_that_do_not_belong_together_are_refused() -> None:
    points, poses = _model(), _poses(3, 1)
    with pytest.raises(ContractError, match="3 predicted, 2 true"):
        add_m(points, poses, poses[:2])
    with pytest.raises(ContractError, match="one object at a time"):
        add_s_m(np.stack([points, points]), poses, poses)
    with pytest.raises(ContractError, match="identity at least"):
        mssd_m(points, poses, poses, np.zeros((0, 4, 4)))
    with pytest.raises(ContractError, match="intrinsics K"):
        reprojection_error_px(points, poses, poses, np.stack([K, K]))
    with pytest.raises(ContractError, match="finite ground truth"):
        add_m(points, poses, np.where(np.arange(3)[:, None, None] == 1, np.nan, poses))


@pytest.mark.parametrize(
    "bad", [K.T, np.diag([600.0, 600.0, 2.0]), np.diag([np.nan, 600.0, 1.0]), np.eye(4), np.ones(3), np.stack([K, K.T])]
)
def test_what_is_no_intrinsic_matrix_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ContractError, match="intrinsics K"):
        reprojection_error_px(_model(), _poses(2, 1), _poses(2, 1), bad)


def test_a_crop_of_the_image_counts_in_its_own_pixels_turned_or_not() -> None:
    points, predicted, truth = _model(), _poses(3, 1), _poses(3, 2)
    full = reprojection_error_px(points, predicted, truth, K)
    crop = crop_affine([300.0, 200.0], 128.0, 0.4, out_size_px=512)
    np.testing.assert_allclose(reprojection_error_px(points, predicted, truth, crop @ K), 4.0 * full, rtol=1e-9)


def test_no_frames_have_no_errors() -> None:
    none = np.zeros((0, 4, 4))
    assert add_m(_model(), none, none).shape == (0,)
    assert mssd_m(_model(), none, none, np.eye(4)[None]).shape == (0,)
