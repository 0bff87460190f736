from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hoiray.errors import ContractError
from hoiray.geometry.rotations import mirror_rotation, random_rotations
from hoiray.hand.anatomy import ARTICULATED_NAMES, NORMAL_RANGES
from hoiray.hand.joints import MANO_ROTATION_NAMES
from hoiray.hand.model import HandModel
from hoiray.predictors.fit import FitModel, FitSettings, fit_hands, rotations_of_angles
from hoiray.predictors.fit_prior import LIMIT_MARGIN_RAD, natural_angles

FloatArray = npt.NDArray[np.float64]

EXACT = FitSettings(image_sigma_m=2e-4, depth_sigma_m=2e-4, steps=40)
"""For points without noise: what they say counts for much more than what hands commonly do."""

HAND = HandModel.load(flat_hand_mean=True, tip_set="ho3d", dtype=torch.float64)
MODEL = FitModel.of(HAND)


class Posed(NamedTuple):
    """Hands of the model and their weak-perspective images."""

    joints_2d_px: FloatArray
    joints_3d_m: FloatArray
    is_right: npt.NDArray[np.bool_]


def _posed(num_each: int = 6, seed: int = 3) -> Posed:
    """Grasps and gestures from all sides, right and left, of several shapes."""
    rng = np.random.default_rng(seed)
    grasps, gestures = natural_angles(rng)
    angles = np.concatenate([grasps[-num_each:], gestures[-num_each:]])
    count = len(angles)
    rotations = np.empty((count, 16, 3, 3))
    rotations[:, 0] = random_rotations(rng, (count,))
    rows = [MANO_ROTATION_NAMES.index(name) for name in ARTICULATED_NAMES]
    rotations[:, rows] = rotations_of_angles(np.clip(angles, MODEL.prior.low, MODEL.prior.high), MODEL.frames)
    is_right = np.arange(count) % 2 == 0
    rotations[~is_right] = mirror_rotation(rotations[~is_right])
    joints = _joints(rotations, 0.7 * rng.normal(size=(count, 10)), is_right)
    scale, shift = rng.uniform(400, 2000, count), rng.uniform(100, 900, (count, 2))
    return Posed(scale[:, None, None] * joints[..., :2] + shift[:, None], joints, is_right)


def _joints(rotations: FloatArray, betas: FloatArray, is_right: npt.NDArray[np.bool_]) -> FloatArray:
    turns, shapes = torch.from_numpy(rotations), torch.from_numpy(betas)
    joints = HAND.joints_only_from_matrices(turns[:, 0], turns[:, 1:], shapes, is_right=torch.from_numpy(is_right))
    return (joints - joints[:, :1]).numpy()


def _error_mm(found: FloatArray, expected: FloatArray) -> FloatArray:
    return 1e3 * np.linalg.norm(found - expected, axis=-1).mean(axis=-1)


def test_the_model_is_fitted_to_its_own_joints_within_a_millimetre() -> None:
    posed = _posed()
    fitted = fit_hands(MODEL, posed.joints_2d_px, posed.joints_3d_m, posed.is_right, EXACT)
    assert _error_mm(fitted.joints_3d_m, posed.joints_3d_m).max() < 1.0
    side_px = np.ptp(posed.joints_2d_px, axis=1).max(axis=1)
    assert (fitted.residual_px / side_px).max() < 0.005


def test_joints_are_those_of_the_rotations_and_shape_on_either_side() -> None:
    posed = _posed(num_each=2)
    fitted = fit_hands(MODEL, posed.joints_2d_px, posed.joints_3d_m, posed.is_right)
    again = _joints(fitted.rotations, fitted.betas, posed.is_right)
    np.testing.assert_allclose(again, fitted.joints_3d_m, atol=1e-9)
    offsets = fitted.projected_px - posed.joints_2d_px
    np.testing.assert_allclose(np.sqrt((offsets**2).sum(axis=2).mean(axis=1)), fitted.residual_px)


def test_limits_hold_for_points_that_no_hand_has() -> None:
    rng = np.random.default_rng(0)
    nonsense = rng.normal(size=(8, 21, 3)) * 0.05
    fitted = fit_hands(MODEL, 1000 * nonsense[..., :2], nonsense, np.ones(8, np.bool_), EXACT)
    assert np.isfinite(fitted.angles_rad).all()
    assert (fitted.angles_rad >= MODEL.prior.low).all()
    assert (fitted.angles_rad <= MODEL.prior.high).all()
    assert (fitted.angles_rad == MODEL.prior.low).any()  # and they were what stopped some


def test_limits_are_norms_with_a_margin() -> None:
    joint = ARTICULATED_NAMES.index("index_pip")
    low, high = NORMAL_RANGES["index_pip"].flexion_rad
    assert MODEL.prior.low[3 * joint] == pytest.approx(low - LIMIT_MARGIN_RAD)
    assert MODEL.prior.high[3 * joint] == pytest.approx(high + LIMIT_MARGIN_RAD)


def test_the_wrong_side_leaves_a_larger_residual() -> None:
    posed = _posed()
    right = fit_hands(MODEL, posed.joints_2d_px, posed.joints_3d_m, posed.is_right)
    wrong = fit_hands(MODEL, posed.joints_2d_px, posed.joints_3d_m, ~posed.is_right)
    assert (right.residual_px < wrong.residual_px).mean() > 0.9


def test_how_large_the_network_guessed_the_hand_hardly_matters() -> None:
    """The fit's own hand tells what a pixel is worth, not a guess that lies flat or curled up."""
    posed, rng = _posed(), np.random.default_rng(5)
    side_px = np.ptp(posed.joints_2d_px, axis=1).max(axis=1)
    noisy = posed.joints_2d_px + 0.02 * side_px[:, None, None] * rng.normal(size=posed.joints_2d_px.shape)
    told, flat = (
        fit_hands(MODEL, noisy, posed.joints_3d_m * [across, across, 1.0], posed.is_right) for across in (1.0, 0.6)
    )
    ratio = flat.residual_px / told.residual_px
    assert np.median(np.abs(ratio - 1.0)) < 0.02
    assert ratio.max() < 1.3


def test_a_hand_is_fitted_the_same_in_any_company_on_any_number_of_threads() -> None:
    posed = _posed(num_each=3)
    together = fit_hands(MODEL, *posed, num_threads=3)
    for row in range(len(posed.is_right)):
        one = slice(row, row + 1)
        alone = fit_hands(MODEL, posed.joints_2d_px[one], posed.joints_3d_m[one], posed.is_right[one])
        for first, second in zip(together, alone, strict=True):
            np.testing.assert_array_equal(first[one], second)


def test_a_hand_and_its_mirror_image_are_fitted_alike() -> None:
    posed = _posed(num_each=2)
    mirrored = (posed.joints_2d_px * [-1, 1], posed.joints_3d_m * [-1, 1, 1], ~posed.is_right)
    fitted, other = fit_hands(MODEL, *posed), fit_hands(MODEL, *mirrored)
    np.testing.assert_array_equal(fitted.betas, other.betas)
    np.testing.assert_array_equal(fitted.joints_3d_m * [-1, 1, 1], other.joints_3d_m)


def test_what_is_not_there_stays_nan_and_nothing_given_is_changed() -> None:
    posed = _posed(num_each=1)
    posed.joints_2d_px[0] = np.nan
    posed.joints_3d_m[1] = 0.0
    posed.joints_2d_px[1] = 7.0
    before = [array.copy() for array in posed]
    fitted = fit_hands(MODEL, *posed)
    assert all(np.isnan(array).all() for array in fitted)
    for array, copy in zip(posed, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_sixteen_joints_are_refused() -> None:
    with pytest.raises(ContractError, match="all 21 joints"):
        fit_hands(MODEL, np.zeros((1, 16, 2)), np.zeros((1, 16, 3)), [True])
