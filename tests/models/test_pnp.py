import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.config.network import PnpConfig
from hoiray.errors import ContractError
from hoiray.geometry.control_points import control_points
from hoiray.geometry.transforms import make_transform
from hoiray.models.object_decoder import NUM_CONTROL_POINTS
from hoiray.models.pnp import ObjectPose, most_confident, solve_object_pose

Floats = NDArray[np.float64]
CROP_PX, CELLS = 256, 64
K = np.array([[700.0, 0.0, 127.5], [0.0, 690.0, 127.5], [0.0, 0.0, 1.0]])
MODEL_M = control_points(np.array([[-0.04, -0.03, -0.1], [0.04, 0.03, 0.1]]))
T_TRUE = make_transform(cv2.Rodrigues(np.array([0.4, -0.9, 0.3]))[0], [0.02, -0.03, 0.6])


def projected(T_cam_obj: Floats = T_TRUE) -> Floats:
    points = (MODEL_M @ T_cam_obj[:3, :3].T + T_cam_obj[:3, 3]) @ K.T
    return points[:, :2] / points[:, 2:]


BOX = np.concatenate([projected().min(axis=0), projected().max(axis=0)])


def proposals(noise_px: float = 0.0, num_wrong: int = 0, seed: int = 0) -> tuple[Floats, Floats]:
    """Proposals of every cell around the truth; some cells are far off and say they are sure."""
    rng = np.random.default_rng(seed)
    points_px = projected() + rng.normal(size=(CELLS, NUM_CONTROL_POINTS, 2)) * noise_px
    confidences = rng.uniform(0.6, 0.9, (CELLS, NUM_CONTROL_POINTS))
    points_px[:num_wrong] += rng.uniform(30.0, 60.0, (num_wrong, NUM_CONTROL_POINTS, 2))
    confidences[:num_wrong] = 0.95
    return (points_px - BOX[:2]) / (BOX[2:] - BOX[:2]), confidences


def solve(points_unit: Floats, confidences: Floats, **changes: object) -> ObjectPose:
    config = PnpConfig(**changes)  # type: ignore[arg-type]
    return solve_object_pose(points_unit, confidences, BOX, MODEL_M, K, crop_px=CROP_PX, config=config)


def errors(pose: ObjectPose) -> tuple[float, float]:
    """Rotation error in degrees, translation error in metres."""
    assert pose.T_cam_obj is not None
    turn = pose.T_cam_obj[:3, :3] @ T_TRUE[:3, :3].T
    angle = np.degrees(np.linalg.norm(cv2.Rodrigues(turn)[0]))
    return float(angle), float(np.linalg.norm(pose.T_cam_obj[:3, 3] - T_TRUE[:3, 3]))


@pytest.mark.parametrize("refines", [False, True])
def test_true_proposals_give_the_true_pose(refines: bool) -> None:
    pose = solve(*proposals(), refines=refines)
    assert pose.failure is None
    assert (pose.num_pairs, pose.num_inliers) == (210, 210)
    angle_deg, distance_m = errors(pose)
    assert angle_deg < 0.01
    assert distance_m < 1e-4


def test_sure_but_wrong_cells_are_outvoted() -> None:
    """Four of the ten proposals of every point are 30 to 60 px off."""
    pose = solve(*proposals(noise_px=1.0, num_wrong=4), refines=True)
    angle_deg, distance_m = errors(pose)
    assert angle_deg < 2.0
    assert distance_m < 0.01
    assert 100 <= pose.num_inliers <= 126


def test_the_same_proposals_give_the_same_pose() -> None:
    first, second = (solve(*proposals(noise_px=2.0, num_wrong=4)) for _ in range(2))
    assert np.array_equal(first.T_cam_obj, second.T_cam_obj)  # type: ignore[arg-type]


def test_the_tolerance_is_a_share_of_the_crop() -> None:
    points, confidences = proposals(noise_px=1.5)
    strict = solve(points, confidences, max_error_crop_sides=1.0 / CROP_PX)
    lax = solve(points, confidences, max_error_crop_sides=8.0 / CROP_PX)
    assert lax.num_inliers > 200
    assert strict.num_inliers < 150


def test_each_points_most_confident_proposals_are_taken_ties_to_the_lower_row() -> None:
    confidences = np.full((5, 2), 0.6)
    confidences[3, 0], confidences[4, 1], confidences[:, 1] = 0.9, 0.8, [0.1, 0.7, 0.2, 0.5, 0.8]
    rows, columns = most_confident(confidences, PnpConfig(num_proposals=3))
    chosen = sorted(zip(columns.tolist(), rows.tolist(), strict=True))
    assert chosen == [(0, 0), (0, 1), (0, 3), (1, 1), (1, 4)]


def test_a_network_that_is_not_sure_has_no_pose() -> None:
    points, confidences = proposals()
    pose = solve(points, confidences * 0.5)
    assert (pose.T_cam_obj, pose.failure, pose.num_pairs) == (None, "too_few_proposals", 0)


def test_sure_of_three_points_only_is_too_few() -> None:
    points, confidences = proposals()
    confidences[:, 3:] = 0.1
    pose = solve(points, confidences)
    assert (pose.T_cam_obj, pose.failure, pose.num_pairs) == (None, "too_few_proposals", 30)


def test_proposals_that_agree_on_nothing_have_no_pose() -> None:
    points, confidences = proposals()
    pose = solve(np.random.default_rng(1).uniform(-1.0, 2.0, points.shape), confidences)
    assert (pose.T_cam_obj, pose.failure) == (None, "no_consensus")


def test_points_on_one_spot_have_no_pose_rather_than_one_at_infinity() -> None:
    points, confidences = proposals()
    pose = solve(np.full_like(points, 0.5), confidences)
    assert (pose.T_cam_obj, pose.failure) == (None, "no_extent")


def test_points_on_one_line_are_no_crash() -> None:
    points, confidences = proposals()
    points[..., 1] = points[..., 0]
    pose = solve(points, confidences)
    assert (pose.T_cam_obj is None) == (pose.failure is not None)


def test_numbers_that_are_none_have_no_pose() -> None:
    points, confidences = proposals()
    points[3, 2, 0] = np.nan
    pose = solve(points, confidences)
    assert (pose.T_cam_obj, pose.failure) == (None, "not_finite")


def test_another_shape_is_refused() -> None:
    points, confidences = proposals()
    with pytest.raises(ContractError, match="points_unit"):
        solve(points[:, :8], confidences)
