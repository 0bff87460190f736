"""Crops of a request are those training cuts of the same labels, and points come back from them."""

from dataclasses import replace

import numpy as np
import pytest
from predictor_scenes import SIZE_WH, SPEC, N, scenes, views

from hoiray.datasets.augment import plain_views
from hoiray.datasets.crop_targets import crop_targets
from hoiray.predictors.request_crops import plan_crops, points_to_frame


def test_squares_and_boxes_are_those_of_training() -> None:
    scene = scenes()
    crops = plan_crops(scene.request, SPEC)
    records = scene.records
    A = plain_views(N).affines(records["crop_center_px"], records["crop_side_px"], out_size_px=SPEC.size_px)
    np.testing.assert_allclose(crops.A, A, atol=1e-5)
    targets = crop_targets(records, crops.A, crops.rotations_rad, SPEC, takes_annotated_box=True)
    np.testing.assert_allclose(crops.hand_boxes_xyxy, targets.hand_boxes_xyxy, atol=1e-5)
    np.testing.assert_allclose(crops.object_boxes_xyxy, targets.object_boxes_xyxy, atol=1e-5)
    np.testing.assert_array_equal(crops.is_mirrored, records["is_mirrored"])
    assert crops.is_inside.all()
    assert crops.has_object.all()


@pytest.mark.parametrize("is_turned", [False, True])
def test_points_of_the_crops_come_back_to_the_frame(is_turned: bool) -> None:
    scene = scenes(views() if is_turned else None)
    crops = plan_crops(scene.request, SPEC)
    assert np.any(crops.rotations_rad != 0.0) == is_turned
    targets = crop_targets(scene.records, crops.A, crops.rotations_rad, SPEC, takes_annotated_box=True)
    found = points_to_frame(targets.joints_2d_px, crops, SIZE_WH[0])
    np.testing.assert_allclose(found, scene.joints_2d_px, atol=1e-4)


def test_without_an_object_the_hand_alone_decides_and_lends_its_box() -> None:
    scene = scenes()
    things = np.array(scene.request.object_boxes_xyxy)
    things[2] = np.nan
    crops = plan_crops(replace(scene.request, object_boxes_xyxy=things), SPEC)
    assert crops.has_object.tolist() == [True, True, False, True, True, True]
    np.testing.assert_array_equal(crops.object_boxes_xyxy[2], crops.hand_boxes_xyxy[2])
    whole = plan_crops(scene.request, SPEC)
    assert crops.A[2, 0, 0] > whole.A[2, 0, 0]


def test_a_hand_beyond_the_image_is_told() -> None:
    scene = scenes()
    boxes, things = np.array(scene.request.hand_boxes_xyxy), np.array(scene.request.object_boxes_xyxy)
    boxes[1], things[1] = boxes[1] + 5000.0, np.nan
    crops = plan_crops(replace(scene.request, hand_boxes_xyxy=boxes, object_boxes_xyxy=things), SPEC)
    assert crops.is_inside.tolist() == [True, False, True, True, True, True]
