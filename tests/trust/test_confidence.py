import pickle

import numpy as np
import pytest
from filter_scenes import predictions
from trust_scenes import calibration

from hoiray.errors import ConfigError
from hoiray.filters.rules import Rules
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.calibration import ConfidenceModel, TreeTable
from hoiray.stages.judge import judge
from hoiray.trust.confidence import Confidence, ConfidenceRule
from hoiray.trust.features import FEATURE_NAMES

IOU = FEATURE_NAMES.index("box_iou")
TREE = TreeTable(
    feature=(IOU, -1, -1), threshold=(0.7, 0.0, 0.0), nan_goes_left=(False, False, False),
    left=(1, 0, 0), right=(2, 0, 0), value=(0.0, -2.0, 3.0),
)  # fmt: skip
MODEL = ConfidenceModel(features=FEATURE_NAMES, base=0.5, trees=(TREE, TREE), slope=0.5, intercept=-0.25)


def test_leaves_are_added_to_the_base_and_a_missing_value_has_its_side() -> None:
    features = np.zeros((4, len(FEATURE_NAMES)))
    features[:, IOU] = [0.6, 0.7, 0.8, np.nan]
    assert Confidence(MODEL).log_odds(features).tolist() == [-3.5, -3.5, 6.5, 6.5]
    assert Confidence(MODEL).probability(features)[0] == pytest.approx(1.0 / (1.0 + np.exp(2.0)))


def test_a_rule_gives_a_verdict_with_its_reason_and_no_prediction_no_confidence() -> None:
    rule = ConfidenceRule(MODEL, 0.5)
    labels = judge(predictions(seed=2, num_videos=12), Rules((), confidence=rule), "j")
    for row in labels.to_pylist():
        if row["joints_3d"] is None:
            assert (row["confidence"], "not_measured" in row["reasons"]) == (None, True)
        else:
            assert ("confidence" in row["reasons"]) == (row["box_iou"] <= np.float32(0.7))
            assert row["accepted"] == (not row["reasons"])


def test_labels_judged_again_get_the_same_confidence() -> None:
    rules = Rules((), confidence=ConfidenceRule(MODEL, 0.5))
    once = judge(predictions(seed=2, num_videos=5), rules, "j")
    assert parquet_bytes(judge(once, rules, "j")) == parquet_bytes(once)


def test_a_model_without_trees_knows_the_base_rate() -> None:
    model = MODEL.model_copy(update={"trees": ()})
    assert Confidence(model).log_odds(np.zeros((2, len(FEATURE_NAMES)))).tolist() == [0.5, 0.5]


def test_a_calibration_of_other_features_is_refused() -> None:
    other = MODEL.model_copy(update={"features": (*FEATURE_NAMES[:-1], "phase_of_the_moon")})
    with pytest.raises(ConfigError, match="phase_of_the_moon"):
        ConfidenceRule.of_calibration(calibration(other), "limits.json")


def test_a_calibration_of_fewer_features_is_asked_for_those() -> None:
    """A file of an older version knows fewer measurements, or in another order."""
    names = ("spread_3d_m", "box_iou")
    tree = TREE.model_copy(update={"feature": (1, -1, -1)})
    fewer = MODEL.model_copy(update={"features": names, "trees": (tree, tree)})
    labels = judge(predictions(seed=2, num_videos=3), Rules(()), "j")
    rule = ConfidenceRule.of_calibration(calibration(fewer), "limits.json")
    assert np.array_equal(rule.confidence_of(labels), ConfidenceRule(MODEL, 0.5).confidence_of(labels), equal_nan=True)


def test_a_rule_travels_to_workers() -> None:
    rules = Rules((), confidence=ConfidenceRule(MODEL, 0.5))
    table = predictions(seed=2, num_videos=2)
    judge(table, rules, "j")  # what a model has worked out for itself must not hinder it
    travelled = pickle.loads(pickle.dumps(rules))
    assert travelled == rules
    assert parquet_bytes(judge(table, travelled, "j")) == parquet_bytes(judge(table, rules, "j"))
