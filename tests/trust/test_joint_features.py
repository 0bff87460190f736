import numpy as np
from filter_scenes import predictions
from valid_tables import replaced

from hoiray.filters.rules import Rules
from hoiray.hand.joints import NUM_JOINTS
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.trust.joint_features import JOINT_FEATURE_NAMES, JOINT_MONOTONE, joint_features_of

LABEL_ROWS = judge(predictions(seed=3, num_videos=4), Rules(()), "j")


def column(name: str) -> np.ndarray:
    return joint_features_of(LABEL_ROWS)[..., JOINT_FEATURE_NAMES.index(name)]


def test_every_joint_has_its_own_numbers_and_its_labels() -> None:
    features = joint_features_of(LABEL_ROWS)
    assert features.shape == (LABEL_ROWS.num_rows, NUM_JOINTS, len(JOINT_MONOTONE))
    np.testing.assert_array_equal(
        column("joint_spread_3d_m"), unpack_column(LABEL_ROWS, LABELS["spread_joints_3d_m"]).astype(np.float64)
    )
    iou = unpack_column(LABEL_ROWS, LABELS["box_iou"]).astype(np.float64)
    np.testing.assert_array_equal(column("box_iou"), np.repeat(iou[:, None], NUM_JOINTS, axis=1))


def test_places_tell_the_fingers_apart_and_the_tip_from_the_knuckle() -> None:
    places = set(zip(column("finger")[0].tolist(), column("place_in_finger")[0].tolist(), strict=True))
    assert len(places) == NUM_JOINTS
    assert (0.0, 0.0) in places


def test_the_residual_is_that_which_the_mean_over_the_joints_is_stored_of() -> None:
    stored = unpack_column(LABEL_ROWS, LABELS["reprojection_mean_box_sides"]).astype(np.float64)
    box = unpack_column(LABEL_ROWS, LABELS["bbox_xyxy"]).astype(np.float64)
    size = box[:, 2:] - box[:, :2]
    unit = np.sqrt(size.prod(axis=1)) / size.max(axis=1)
    known = ~np.isnan(stored)
    assert known.any()
    mean = column("joint_reprojection_box_sides").mean(axis=1)
    np.testing.assert_allclose(mean[known], (stored * unit)[known], rtol=1e-3)


def test_what_is_not_known_is_not_known_of_any_joint() -> None:
    name = "spread_joints_3d_m"
    empty = pack_column(
        LABELS[name], np.zeros((LABEL_ROWS.num_rows, 21), np.float32), np.ones(LABEL_ROWS.num_rows, np.bool_)
    )
    features = joint_features_of(replaced(LABEL_ROWS, name, empty))
    assert np.isnan(features[..., JOINT_FEATURE_NAMES.index("joint_spread_3d_m")]).all()
