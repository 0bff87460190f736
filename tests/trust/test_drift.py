import numpy as np
from filter_scenes import predictions
from trust_scenes import calibration
from valid_tables import replaced

from hoiray.filters.rules import Rules
from hoiray.schema.calibration import Calibration, ConfidenceModel
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.trust.calibrate import numbered
from hoiray.trust.drift import MAX_NAMED, DriftWatch
from hoiray.trust.features import FEATURE_NAMES, features_of
from hoiray.trust.shift import ranges_of

LABELLED = judge(predictions(seed=1, num_videos=40), Rules(()), "j")


def of_labels() -> Calibration:
    model = ConfidenceModel(features=FEATURE_NAMES, base=0.0, trees=(), slope=1.0, intercept=0.0)
    dull = calibration(model)
    ranges = ranges_of(features_of(LABELLED), numbered(LABELLED["video_id"].to_pylist())[1])
    data = dull.data.model_copy(update={"predict_id": LABELLED["predict_id"][0].as_py()})
    return dull.model_copy(update={"ranges": ranges, "data": data})


def test_labels_like_those_of_the_calibration_are_not_warned_of() -> None:
    watch = DriftWatch(of_labels())
    watch.add(judge(predictions(seed=2, num_videos=40), Rules(()), "j"))
    assert watch.warnings() == []


def test_a_measurement_that_moved_is_named_with_how_far() -> None:
    watch = DriftWatch(of_labels())
    iou = unpack_column(LABELLED, LABELS["box_iou"])
    watch.add(replaced(LABELLED, "box_iou", pack_column(LABELS["box_iou"], (0.3 * iou).astype(np.float32))))
    (warning,) = watch.warnings()
    assert "box_iou" in warning.split(";")[0]
    assert "times as far as chance explains" in warning


def test_many_that_moved_are_counted_and_the_furthest_named() -> None:
    watch = DriftWatch(of_labels())
    moved = LABELLED
    for name in ("box_iou", "spread_3d_m", "spread_2d_box_sides", "min_bone_length_ratio", "max_joint_angle_rad",
                 "reprojection_mean_box_sides", "reprojection_max_box_sides"):  # fmt: skip
        values = unpack_column(moved, LABELS[name])
        moved = replaced(moved, name, pack_column(LABELS[name], (5.0 + 9.0 * values).astype(np.float32)))
    watch.add(moved)
    (warning,) = watch.warnings()
    assert warning.startswith("7 of ")
    assert f"and {7 - MAX_NAMED} more" in warning


def test_another_predictor_is_warned_of() -> None:
    other = of_labels()
    watch = DriftWatch(other.model_copy(update={"data": other.data.model_copy(update={"predict_id": "theirs"})}))
    watch.add(LABELLED)
    assert "another predictor (theirs" in watch.warnings()[0]
