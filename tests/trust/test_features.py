import numpy as np
import pyarrow as pa
from filter_scenes import predictions
from valid_tables import replaced

from hoiray.filters.rules import Rules
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.tables import LABELS
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


def test_two_hands_of_a_frame_that_are_said_to_be_of_one_side_stand_out() -> None:
    labels = judge(predictions(seed=5, num_videos=8), Rules(()), "j")
    rows = labels.select(["video_id", "frame_index", "track_index", "is_right"]).to_pylist()
    found = features_of(labels, ("same_side_in_frame", "track_same_side_share"))
    wanted = []
    for row in rows:
        in_frame = [one for one in rows if all(one[key] == row[key] for key in ("video_id", "frame_index"))]
        others = [one for one in in_frame if one["track_index"] != row["track_index"]]
        wanted.append(float(any(one["is_right"] == row["is_right"] for one in others)) if others else np.nan)
    assert np.array_equal(found[:, 0], wanted, equal_nan=True)
    assert {0.0, 1.0} <= set(wanted)
    tracks = np.array([f"{row['video_id']} {row['track_index']}" for row in rows])
    for track in set(tracks.tolist()):
        known = np.array(wanted)[(tracks == track) & ~np.isnan(wanted)]
        share = known.mean() if known.size else np.nan
        np.testing.assert_allclose(found[tracks == track, 1], share)


def test_a_hand_that_was_overruled_counts_for_the_side_that_its_own_frames_told() -> None:
    labels = judge(predictions(seed=5, num_videos=8), Rules(()), "j")
    names = ("same_side_in_frame", "track_same_side_share")
    before = features_of(labels, names)
    track = unpack_column(labels, LABELS["track_index"])
    video = np.array(labels["video_id"].to_pylist())
    turned = (video == video[0]) & (track == track[0])
    is_right = unpack_column(labels, LABELS["is_right"]) ^ turned
    lead = np.where(turned, -0.01, 0.02).astype(np.float32)
    overruled = replaced(labels, "is_right", pa.array(is_right))
    after = features_of(replaced(overruled, "side_lead", pack_column(LABELS["side_lead"], lead)), names)
    assert np.array_equal(before, after, equal_nan=True)
    unknown = pack_column(LABELS["side_lead"], lead, np.ones(len(lead), np.bool_))
    assert not np.array_equal(before, features_of(replaced(overruled, "side_lead", unknown), names), equal_nan=True)


def test_directions_are_told_where_a_measurement_speaks_to_one_side_only() -> None:
    direction = dict(zip(FEATURE_NAMES, MONOTONE, strict=True))
    assert direction["box_iou"] == 1
    assert direction["spread_3d_m"] == -1
    assert direction["side_lead"] == 1
    assert direction["max_joint_angle_rad"] == direction["box_side_px"] == 0
