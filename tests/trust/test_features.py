import numpy as np
from filter_scenes import predictions

from hoiray.filters.rules import Rules
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.stages.judge import judge
from hoiray.trust.features import FEATURE_NAMES, MONOTONE, features_of, is_answered


def test_every_measurement_is_a_feature_under_its_own_name() -> None:
    labels = judge(predictions(seed=1, num_videos=3), Rules(()), "j")
    features = features_of(labels)
    assert features.shape == (labels.num_rows, len(FEATURE_NAMES))
    for index, name in enumerate(MEASUREMENT_NAMES):
        assert np.array_equal(features[:, index], labels[name].to_numpy().astype(np.float64), equal_nan=True)


def test_a_box_has_a_longest_side_a_ratio_and_a_distance_to_the_border() -> None:
    labels = judge(predictions(seed=1, num_videos=3), Rules(()), "j")
    row, features = labels.slice(0, 1).to_pylist()[0], features_of(labels)[0]
    x0, y0, x1, y1 = row["bbox_xyxy"]
    by_name = dict(zip(FEATURE_NAMES, features, strict=True))
    assert by_name["box_side_px"] == max(x1 - x0, y1 - y0)
    assert by_name["box_side_ratio"] == min(x1 - x0, y1 - y0) / max(x1 - x0, y1 - y0)
    assert by_name["box_border_px"] == min(x0, y0, row["image_width_px"] - x1, row["image_height_px"] - y1)


def test_a_row_without_prediction_is_not_answered() -> None:
    labels = judge(predictions(seed=2, num_videos=12), Rules(()), "j")
    absent = np.array([row is None for row in labels["joints_3d"].to_pylist()])
    assert absent.any()
    assert np.array_equal(is_answered(labels), ~absent)


def test_directions_are_told_where_a_measurement_speaks_to_one_side_only() -> None:
    direction = dict(zip(FEATURE_NAMES, MONOTONE, strict=True))
    assert direction["box_iou"] == 1
    assert direction["spread_3d_m"] == -1
    assert direction["max_joint_angle_rad"] == direction["box_side_px"] == 0
