"""Proposals that are right give the object's pose in the frame, whatever the crop did to the picture."""

import numpy as np
import pytest
from predictor_scenes import SPEC, N, Scenes, scenes, views

from hoiray.config.network import PnpConfig
from hoiray.datasets.crop_targets import crop_targets
from hoiray.geometry.boxes import from_points
from hoiray.geometry.crops import apply_affine, to_unit_box
from hoiray.predictors.object_pose import Proposed, best_proposals, solve_objects, spanning_box
from hoiray.predictors.protocol import NO_CONTROL_POINTS, NO_INTRINSICS, NO_OBJECT_BOX, HandRequest
from hoiray.predictors.request_crops import Crops, plan_crops

CELLS = 12


def perfect(scene: Scenes, crops: Crops) -> Proposed:
    """Every cell proposes the truth; the first of them is bad and says so."""
    in_crop = apply_affine(crops.A, scene.records["control_points_px"])
    unit = to_unit_box(in_crop, crops.object_boxes_xyxy, expand=1.0)
    points = np.repeat(unit[:, None], CELLS, axis=1)
    points[:, 0] += 0.4
    trust = np.full((N, CELLS, 21), 0.9)
    trust[:, 0] = 0.1
    trust[:, 3] = 0.95
    return Proposed(points, trust)


@pytest.mark.parametrize("is_turned", [False, True])
def test_true_proposals_give_the_true_pose_of_either_hand(is_turned: bool) -> None:
    scene = scenes(views() if is_turned else None)
    crops = plan_crops(scene.request, SPEC)
    solved = solve_objects(perfect(scene, crops), scene.request, crops, PnpConfig(refines=True), spec=SPEC)
    assert solved.failures == (None,) * N
    np.testing.assert_allclose(solved.T_cam_obj[:, :3, :3], scene.T_cam_obj[:, :3, :3], atol=1e-5)
    np.testing.assert_allclose(solved.T_cam_obj[:, :3, 3], scene.T_cam_obj[:, :3, 3], atol=1e-6)
    np.testing.assert_allclose(solved.control_points_2d_px, scene.control_points_px, atol=1e-3)


def test_the_mirrored_labels_of_training_have_the_same_object_box() -> None:
    scene = scenes()
    crops = plan_crops(scene.request, SPEC)
    targets = crop_targets(scene.records, crops.A, crops.rotations_rad, SPEC, takes_annotated_box=True)
    unit = best_proposals(perfect(scene, crops))
    np.testing.assert_allclose(unit, targets.control_points_unit, atol=1e-6)
    np.testing.assert_allclose(from_points(unit), np.tile([0.0, 0, 1, 1], (N, 1)), atol=1e-6)


def test_points_drawn_together_are_stretched_to_their_box_unless_the_picture_is_turned() -> None:
    """Half as large reads as twice as far."""
    config = PnpConfig(refines=True, spans_box=True, max_error_crop_sides=0.2)
    for is_turned in (False, True):
        scene = scenes(views() if is_turned else None)
        crops = plan_crops(scene.request, SPEC)
        proposed = perfect(scene, crops)
        shrunk = Proposed(0.5 * (proposed.points_unit[:, 1:2] - 0.5) + 0.5, proposed.confidences[:, 1:2])
        solved = solve_objects(shrunk, scene.request, crops, config, spec=SPEC)
        error_m = np.linalg.norm(solved.T_cam_obj[:, :3, 3] - scene.T_cam_obj[:, :3, 3], axis=1)
        is_exact = error_m < 1e-4
        assert is_exact.tolist() == [not is_turned] * N


def test_points_in_one_place_are_not_stretched() -> None:
    scene = scenes()
    crops = plan_crops(scene.request, SPEC)
    points = np.full((N, 1, 21, 2), 0.5) + np.linspace(0.0, 0.1, 21)[:, None]
    proposed = Proposed(points, np.ones((N, 1, 21)))
    np.testing.assert_array_equal(spanning_box(proposed, crops, 1.2).points_unit, points)


def test_what_is_lacking_or_goes_wrong_is_a_reason_and_no_pose() -> None:
    scene = scenes()
    whole = scene.request
    things, K, points = (np.array(part) for part in (whole.object_boxes_xyxy, whole.K, whole.control_points_m))
    things[0], K[1], points[2] = np.nan, np.nan, np.nan
    request = HandRequest.make(
        whole.frames, whole.frame_index, whole.hand_boxes_xyxy, whole.is_right,
        object_boxes_xyxy=things, K=K, control_points_m=points,
    )  # fmt: skip
    crops = plan_crops(request, SPEC)
    proposed = perfect(scene, crops)
    proposed.confidences[3] = 0.01
    proposed.points_unit[4] = np.nan
    solved = solve_objects(proposed, request, crops, PnpConfig(), spec=SPEC)
    assert solved.failures == (
        NO_OBJECT_BOX, NO_INTRINSICS, NO_CONTROL_POINTS, "too_few_proposals", "not_finite", None
    )  # fmt: skip
    assert np.isnan(solved.T_cam_obj).all(axis=(1, 2)).tolist() == [True] * 5 + [False]
    assert np.isnan(solved.control_points_2d_px[0]).all()
    assert np.isfinite(solved.control_points_2d_px[1]).all()
