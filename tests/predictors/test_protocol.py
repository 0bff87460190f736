from typing import Any

import numpy as np
import pytest

from hoiray.datasets.augment import Views, plain_views
from hoiray.errors import ContractError
from hoiray.hand.sides import mirror_boxes_xyxy
from hoiray.predictors.protocol import (
    NO_CONTROL_POINTS,
    NO_INTRINSICS,
    NO_OBJECT_BOX,
    HandPredictions,
    HandRequest,
    Predictor,
    mirror_rows,
)

FRAMES = np.zeros((2, 40, 60, 3), np.uint8)
BOXES = np.array([[5.0, 6, 20, 30], [1, 1, 9, 9], [30, 2, 50, 38]])
K = np.array([[50.0, 0, 30], [0, 50, 20], [0, 0, 1]])


def request(**changed: Any) -> HandRequest:
    values: dict[str, Any] = {
        "frames": FRAMES, "frame_index": [0, 1, 1], "hand_boxes_xyxy": BOXES, "is_right": [True, False, True],
    } | changed  # fmt: skip
    return HandRequest.make(**values)


def predictions(count: int = 3, **changed: Any) -> HandPredictions:
    values: dict[str, Any] = {"joints_3d_m": np.zeros((count, 21, 3)), "joints_2d_px": np.zeros((count, 21, 2))}
    return HandPredictions(**values | changed)


def test_what_is_not_known_is_nan() -> None:
    made = request()
    assert len(made) == 3
    assert made.image_size_wh == (60, 40)
    for array in (made.object_boxes_xyxy, made.K, made.control_points_m):
        assert np.isnan(array).all()
    assert made.object_obstacles() == (NO_OBJECT_BOX,) * 3


def test_the_first_thing_an_object_pose_lacks_is_named() -> None:
    objects = np.array([[1.0, 1, 5, 5], [np.nan] * 4, [2, 2, 9, 9]])
    points = np.zeros((3, 21, 3))
    points[2] = np.nan
    made = request(object_boxes_xyxy=objects, K=K, control_points_m=points)
    assert made.object_obstacles() == (None, NO_OBJECT_BOX, NO_CONTROL_POINTS)
    assert request(object_boxes_xyxy=objects).object_obstacles()[0] == NO_INTRINSICS


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frames": FRAMES.astype(np.float32)}, "uint8"),
        ({"frames": FRAMES[0]}, "uint8"),
        ({"frame_index": [0, 2, 1]}, "row 1.*frame of 0 to 1"),
        ({"hand_boxes_xyxy": BOXES[:2]}, "hand_boxes_xyxy"),
        ({"hand_boxes_xyxy": BOXES[:, [2, 1, 0, 3]]}, "row 0.*with an area"),
        ({"hand_boxes_xyxy": BOXES * [[1], [np.nan], [1]]}, "row 1.*with an area"),
        ({"K": np.eye(4)}, "request, K"),
        ({"control_points_m": np.zeros((3, 8, 3))}, "control_points_m"),
        ({"views": plain_views(2)}, "one a hand"),
        ({"upright_px": np.zeros((3, 4))}, "request, upright_px"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_by_name(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        request(**changed)


def test_views_multiply_hands_and_share_their_frames() -> None:
    views = plain_views(6)
    many = request(K=K).with_views(views)
    assert len(many) == 6
    assert many.frames is FRAMES
    np.testing.assert_array_equal(many.frame_index, [0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(many.is_right, [True, True, False, False, True, True])
    np.testing.assert_array_equal(many.hand_boxes_xyxy, np.repeat(BOXES, 2, axis=0))
    with pytest.raises(ContractError, match="multiple of 3"):
        request().with_views(plain_views(4))


def test_rows_and_views_take_upright_squares_along() -> None:
    upright = np.arange(12.0).reshape(3, 2, 2)
    many = request(upright_px=upright).with_views(plain_views(6))
    assert many.upright_px is not None
    np.testing.assert_array_equal(many.upright_px, np.repeat(upright, 2, axis=0))
    assert request().rows(slice(0, 2)).upright_px is None


def test_rows_take_their_views_along() -> None:
    factors = np.arange(6.0) + 1
    colours, order = np.ones((6, 3)), np.tile(np.arange(4), (6, 1))
    views = Views(factors, np.zeros((6, 2)), factors, colours, factors, factors, order)
    part = request().with_views(views).rows(np.array([4, 1]))
    assert part.views is not None
    np.testing.assert_array_equal(part.views.side_factors, [5, 2])
    np.testing.assert_array_equal(part.views.blur_px, [5, 2])
    np.testing.assert_array_equal(part.frame_index, [1, 0])


def test_left_boxes_are_mirrored_in_their_frame_and_others_stay() -> None:
    made = request(object_boxes_xyxy=BOXES + 1)
    hands, objects = mirror_rows(made, ~made.is_right)
    np.testing.assert_array_equal(hands[[0, 2]], BOXES[[0, 2]])
    np.testing.assert_array_equal(hands[1], mirror_boxes_xyxy(BOXES[1], 60))
    np.testing.assert_array_equal(objects[1], mirror_boxes_xyxy(BOXES[1] + 1, 60))


def test_a_failure_is_a_row_of_nan_with_a_reason_and_nothing_else() -> None:
    joints = np.zeros((3, 21, 3))
    joints[1] = np.nan
    predictions(joints_3d_m=joints, failures=(None, "no hand seen", None))
    with pytest.raises(ContractError, match=r"failures, row 1.*not finite and None"):
        predictions(joints_3d_m=joints)
    with pytest.raises(ContractError, match=r"failures, row 0.*finite and 'why'"):
        predictions(failures=("why", None, None))
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[2] = np.nan
    predictions(T_cam_obj=poses, object_failures=(None, None, "ransac"))
    with pytest.raises(ContractError, match="object_failures"):
        predictions(T_cam_obj=poses)


@pytest.mark.parametrize("name", ["rotations", "betas", "joint_confidence", "control_points_2d_px", "joints_2d_px"])
def test_a_field_of_another_shape_is_refused_by_name(name: str) -> None:
    with pytest.raises(ContractError, match=name):
        predictions(**{name: np.zeros((3, 2, 2))})


def test_a_landmark_plug_in_of_a_few_lines_is_a_predictor() -> None:
    class Landmarks:
        name, digest, tip_set, hand = "landmarks", "0", "freihand", None

        def predict(self, request: HandRequest) -> HandPredictions:
            return predictions(len(request))

    plug_in: Predictor = Landmarks()
    assert isinstance(plug_in, Predictor)
    assert plug_in.predict(request()).rotations is None
