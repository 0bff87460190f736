from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.special import expit
from trust_scenes import calibration, planted

from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.evaluation.label_truth import compare_labels
from hoiray.evaluation.tables import Table
from hoiray.filters.rules import Rules
from hoiray.metrics.selection import Ranking
from hoiray.schema.calibration import ConfidenceModel
from hoiray.stages.judge import judge
from hoiray.trust.calibrate import CalibrationRows
from hoiray.trust.features import FEATURE_NAMES
from hoiray.trust.fit import LABEL_LEARNER, fit_confidence
from hoiray.trust.ranking import held_out_confidence, parted, ranking_table, scores_of, seen_in_fitting

NUM_ROWS = 400
GROUPS = [f"video {row // 20}" for row in range(NUM_ROWS)]
SPREAD = FEATURE_NAMES.index("spread_3d_m")
SPREAD_WORD = "spread of the members alone"


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, confidence and what is bad: the spread tells a little, confidence all that can be known."""
    rng = np.random.default_rng(0)
    features = np.full((NUM_ROWS, len(FEATURE_NAMES)), np.nan)
    confidence = expit(2.0 * rng.normal(size=NUM_ROWS))
    features[:, SPREAD] = -confidence + rng.normal(size=NUM_ROWS)
    return features, confidence, (rng.random(NUM_ROWS) >= confidence).astype(float)


def interval(table: Table, row: str, column: str) -> Interval:
    cell = table.rows[row][column]
    assert isinstance(cell, Interval)
    return cell


def test_scores_are_ranked_between_nothing_known_and_everything_known() -> None:
    features, confidence, loss = rows()
    scores = scores_of(features, confidence, loss)
    # nobody told the predictor's own confidence, so it is no line of the table
    assert list(scores) == ["confidence", SPREAD_WORD, "random", "oracle"]
    table = ranking_table(scores, loss, GroupBootstrap(GROUPS, 0, 100), at=0.5)
    for column in ("augrc", "risk"):
        values = [interval(table, name, column).value for name in ("oracle", "confidence", SPREAD_WORD, "random")]
        assert values == sorted(values)
    for column in ("less", "risk_more"):
        assert interval(table, "random", column).low > 0.0
        assert interval(table, "oracle", column).high < 0.0


def test_a_predictor_that_states_a_confidence_of_its_own_is_ranked_by_it() -> None:
    features, confidence, loss = rows()
    features[:, FEATURE_NAMES.index("mean_joint_confidence")] = confidence
    scores = scores_of(features, None, loss)
    assert list(scores) == [SPREAD_WORD, "predictor's own confidence", "random", "oracle"]
    assert (scores["predictor's own confidence"] == confidence).all()


def test_differences_are_paired() -> None:
    """A score that is another one's, slightly changed, is as uncertain as that; what lies between them is not."""
    _, confidence, loss = rows()
    worse = confidence.copy()
    worse[np.flatnonzero(loss)[::2]] += 0.3
    table = ranking_table({"one": confidence, "two": worse}, loss, GroupBootstrap(GROUPS, 0, 200), at=0.5)
    for own, more in (("augrc", "less"), ("risk", "risk_more")):
        one, two, difference = (interval(table, *place) for place in (("one", own), ("two", own), ("two", more)))
        assert two.low < one.high
        assert difference.low > 0.0
        assert difference.value == pytest.approx(two.value - one.value)


def test_at_a_rules_own_coverage_it_is_wrong_as_often_as_what_it_accepts_in_every_resample() -> None:
    _, confidence, loss = rows()
    accepted = np.random.default_rng(1).random(NUM_ROWS) < 0.3
    bootstrap = GroupBootstrap(GROUPS, 0, 100)
    table = ranking_table({"confidence": confidence, "rule": accepted.astype(float)}, loss, bootstrap, at=accepted)
    found, wanted = interval(table, "rule", "risk"), bootstrap.mean(np.where(accepted, loss, np.nan)).scaled(100.0)
    assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))
    assert f"at {accepted.mean():.0%} coverage" in table.columns["risk"].title


def test_every_part_of_every_parting_is_ranked_by_itself() -> None:
    _, confidence, loss = rows()
    parts = np.stack([parted(GROUPS, num_parts=2, seed=seed) for seed in range(2)])
    # two models of different scale: among their own labels it makes no difference
    made = np.where(parts == 0, confidence, 0.01 * confidence)
    accepted = np.random.default_rng(1).random(NUM_ROWS) < 0.3
    scores = {"confidence": made, "same": confidence}
    table = ranking_table(scores, loss, GroupBootstrap(GROUPS, 0, 20), at=accepted, parts=parts)
    wanted, size = np.zeros(2), 0
    for part in parts:
        for number in (0, 1):
            inside = part == number
            one = Ranking.of(confidence[inside], loss[inside])
            wanted += inside.sum() * np.array([one.augrc(), one.risk_at(accepted[inside].mean())])
            size += inside.sum()
    for name in scores:
        found = [interval(table, name, column).value for column in ("augrc", "risk")]
        assert found == pytest.approx(100.0 * wanted / size)
    assert interval(table, "same", "less").high == pytest.approx(0.0)


def test_no_label_is_ranked_by_a_model_that_has_seen_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    few_trees = partial(fit_confidence, learner=replace(LABEL_LEARNER, num_trees=(5,)))
    monkeypatch.setattr("hoiray.trust.ranking.fit_confidence", few_trees)
    table, truth = planted(0, 24)
    labels = judge(table, Rules(()), "j")
    compared = compare_labels(labels, truth)
    found = CalibrationRows.of(labels, compared, metric="pa_mpjpe_mm", unit="video", labels_uri="l", truth_uri="t")
    is_good = found.is_good(6.0)
    part = parted(found.units, num_parts=2, seed=1)
    assert {len({one for one, number in zip(found.units, part, strict=True) if number == half}) for half in (0, 1)} == {
        12
    }
    first = held_out_confidence(found, is_good, part)
    assert (np.isnan(first) == ~found.is_eligible).all()
    # whatever is said of a unit's own labels, their confidence stays, and that of others does not
    is_one = np.array(found.units) == found.units[0]
    changed = held_out_confidence(found, np.where(is_one, ~is_good, is_good), part)
    np.testing.assert_array_equal(changed[is_one], first[is_one])
    assert (changed != first)[found.is_eligible].any()


def test_people_that_confidence_was_fitted_on_are_known_by_name() -> None:
    table, truth = planted(0, 8)
    compared = compare_labels(table, truth)
    model = ConfidenceModel(features=FEATURE_NAMES, base=0.0, trees=(), slope=1.0, intercept=0.0)
    dull = calibration(model)
    for unit, names in (("video", compared.videos), ("subject", compared.subjects)):
        promise = dull.promise.model_copy(update={"unit": unit})
        for truths, name in ((("t",), names[0]), (("t", "u"), f"1/{names[0]}")):
            data = dull.data.model_copy(update={"fitting_units": (name, "nobody"), "truth": truths})
            of_file = dull.model_copy(update={"promise": promise, "data": data})
            assert seen_in_fitting(of_file, compared).tolist() == [one == names[0] for one in names]
    assert not seen_in_fitting(dull, replace(compared, videos=["x"] * len(compared.videos))).any()
