"""The contract of all metrics: a truth is complete, a prediction may be missing as a whole."""

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.metrics.inputs import (
    is_missing,
    paired_points,
    predicted_points,
    predicted_poses,
    require_truth_points,
    require_truth_poses,
)


def _poses(num: int) -> np.ndarray:
    return np.tile(np.eye(4), (num, 1, 1))


@pytest.mark.parametrize("batch", [(), (1,), (2, 3), (0,)])
def test_every_batch_shape_is_kept(batch: tuple[int, ...]) -> None:
    predicted, truth = paired_points(np.ones((*batch, 4, 3), np.float32), np.ones((*batch, 4, 3), np.float32))
    assert predicted.shape == truth.shape == (*batch, 4, 3)
    assert predicted.dtype == truth.dtype == np.float64
    assert is_missing(predicted).shape == batch


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_coordinate_makes_the_whole_sample_missing_and_no_other(value: float) -> None:
    points = np.ones((3, 4, 3))
    points[1, 2, 0] = value
    before = points.copy()
    checked = predicted_points(points, what="points")
    assert is_missing(checked).tolist() == [False, True, False]
    assert np.isnan(checked[1]).all()
    assert np.isfinite(checked[[0, 2]]).all()
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_hole_in_the_truth_is_refused_and_named(value: float) -> None:
    truth = np.ones((5, 4, 3))
    truth[3, 1, 1] = value
    with pytest.raises(ContractError, match=r"1 of 5 samples .* the first is sample 3"):
        require_truth_points(truth, what="true points")


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 0, 3)])
def test_what_is_no_point_set_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ContractError, match=r"\(\.\.\., K, 3\)"):
        predicted_points(np.ones(shape), what="points")


def test_points_of_different_shape_are_never_broadcast() -> None:
    with pytest.raises(ContractError, match=r"\(1, 4, 3\) and \(5, 4, 3\)"):
        paired_points(np.ones((1, 4, 3)), np.ones((5, 4, 3)))


def test_a_failed_pose_is_missing_as_a_whole() -> None:
    poses = _poses(3)
    poses[1, 2, 3] = np.nan
    checked = predicted_poses(poses, what="poses")
    assert np.isnan(checked[1]).all()
    assert np.isfinite(checked[[0, 2]]).all()
    assert is_missing(checked).tolist() == [False, True, False]


def test_a_failed_pose_in_the_truth_is_refused() -> None:
    poses = _poses(3)
    poses[1] = np.nan
    with pytest.raises(ContractError, match="1 of 3 poses"):
        require_truth_poses(poses, what="true poses")


@pytest.mark.parametrize(
    "bad",
    [
        np.diag([1.0, -1.0, 1.0, 1.0]),  # mirrored
        np.diag([1.001, 1.001, 1.001, 1.0]),  # scaled
        np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.1, 0.2, 0.5, 1]], dtype=float),  # transposed
    ],
)
def test_a_matrix_that_is_no_rigid_transform_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ContractError, match="rigid transforms"):
        predicted_poses(np.stack([np.eye(4), bad]), what="poses")


def test_rounding_to_single_precision_is_still_a_rigid_transform() -> None:
    angle = 0.7
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert predicted_poses(pose[None].astype(np.float32), what="poses").dtype == np.float64


def test_one_pose_without_batch_axis_is_refused() -> None:
    with pytest.raises(ContractError, match=r"\(N, 4, 4\)"):
        predicted_poses(np.eye(4), what="poses")


def test_no_poses_at_all_pass_the_check() -> None:
    assert require_truth_poses(np.zeros((0, 4, 4)), what="poses").shape == (0, 4, 4)
