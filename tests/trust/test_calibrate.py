from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
from trust_scenes import planted
from valid_tables import replaced

from hoiray.errors import InputError
from hoiray.evaluation.label_truth import compare_labels
from hoiray.filters.rules import Rules
from hoiray.schema.calibration import Calibration, parse_calibration
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.trust.calibrate import (
    FITTING_SHARE,
    Attempt,
    CalibrationRows,
    Unit,
    Wish,
    attempt,
    calibration_of,
    numbered,
    proving_units,
)
from hoiray.trust.confidence import ConfidenceRule
from hoiray.trust.guarantee import Promise

PROMISE = Promise(max_bad_fraction=0.2, failure_probability=0.1)
WISH = Wish("pa_mpjpe_mm", 6.0, PROMISE, "video")


def rows(seed: int = 0, num_videos: int = 90, unit: Unit = "video") -> CalibrationRows:
    table, truth = planted(seed, num_videos)
    labels = judge(table, Rules(()), "j")
    compared = compare_labels(labels, truth)
    return CalibrationRows.of(labels, compared, metric="pa_mpjpe_mm", unit=unit, labels_uri="labels", truth_uri="truth")


@pytest.fixture(scope="module")
def tried() -> Attempt:
    return attempt(rows(), WISH)


def test_a_calibration_proves_a_limit_and_says_on_what(tried: Attempt) -> None:
    found, many = calibration_of(tried, WISH), tried.rows
    assert found.proof.log_e_value >= np.log(1.0 / PROMISE.failure_probability)
    assert found.proof.bad_fraction < PROMISE.max_bad_fraction
    assert found.proof.coverage > 0.2
    assert not set(found.data.fitting_units) & set(found.data.proving_units)
    assert len(found.data.fitting_units) == round(FITTING_SHARE * len(set(many.units)))
    assert found.data.num_rows == len(many.units)


def test_the_rule_of_the_file_accepts_what_the_proof_counted(tried: Attempt) -> None:
    found = calibration_of(tried, WISH)
    rule = ConfidenceRule.of_calibration(found, "limits.json")
    labels = judge(planted(0, 90)[0], Rules((), confidence=rule), "j")
    is_proving = np.isin([name.split("/")[-1].removesuffix(".webm") for name in labels["video_id"].to_pylist()],
                         found.data.proving_units)  # fmt: skip
    assert pc.sum(labels.filter(is_proving)["accepted"]).as_py() == found.proof.num_accepted


def test_the_promise_is_kept_on_labels_nobody_has_seen(tried: Attempt) -> None:
    found = calibration_of(tried, WISH)
    table, truth = planted(1, 60)
    labels = judge(table, Rules((), confidence=ConfidenceRule.of_calibration(found, "limits.json")), "j")
    accepted = labels["accepted"].to_numpy()
    is_bad = ~compare_labels(labels, truth).is_good(WISH.max_error)
    assert accepted.mean() > 0.2
    assert is_bad[accepted].mean() < PROMISE.max_bad_fraction < is_bad.mean()


def test_which_units_prove_is_drawn_by_their_names_alone() -> None:
    names = [f"video {index}" for index in range(50)]
    proves = proving_units(names)
    assert proves.sum() == 30
    assert np.array_equal(proving_units(names[::-1]), proves[::-1])


def test_too_few_units_are_refused_with_the_number_that_is_missing() -> None:
    with pytest.raises(InputError, match=r"20 videos: expected at least 29 .*Label at least"):
        attempt(rows(num_videos=20), replace(WISH, promise=Promise(0.1, 0.05)))


def test_a_promise_that_is_not_proved_is_refused_with_an_estimate_of_what_it_takes(tried: Attempt) -> None:
    strict = replace(WISH, promise=Promise(0.1, 0.02), max_error=4.0)
    with pytest.raises(InputError, match=r"no proof on 54 videos.*Label about \d+ further videos"):
        calibration_of(attempt(tried.rows, strict), strict)
    hopeless = replace(WISH, max_error=0.1)
    with pytest.raises(InputError, match="allow a larger error"):
        calibration_of(attempt(tried.rows, hopeless), hopeless)


def test_people_may_be_the_units() -> None:
    by_person = rows(num_videos=20, unit="subject")
    assert len(set(by_person.units)) == 10


def test_sets_are_joined_with_their_units_apart_and_predictors_are_not_mixed() -> None:
    one = rows(num_videos=4)
    both = CalibrationRows.joined([one, one])
    assert len(set(both.units)) == 2 * len(set(one.units))
    assert both.digest() != one.digest()
    with pytest.raises(InputError, match="one predict_id"):
        CalibrationRows.joined([one, replace(one, predict_id="another")])


def test_the_digest_follows_the_numbers(tried: Attempt) -> None:
    many = tried.rows
    errors = many.errors.copy()
    errors[3] += 1e-9
    assert replace(many, errors=errors).digest() != many.digest()
    assert rows().digest() == many.digest()


def test_units_are_numbered_in_the_order_of_their_names() -> None:
    names, number = numbered(["b", "a", "b"])
    assert (names, number.tolist()) == (["a", "b"], [1, 0, 1])


@pytest.fixture(scope="module")
def joint_wise() -> Calibration:
    """A calibration of labels whose joints are wrong by different amounts."""
    table, truth = planted(0, 90, joint_scatter=0.7)
    labels = judge(table, Rules(()), "j")
    compared = compare_labels(labels, truth)
    wish = replace(WISH, max_joint_error_mm=6.0)
    many = CalibrationRows.of(
        labels, compared, metric="pa_mpjpe_mm", unit="video", labels_uri="labels", truth_uri="truth"
    )
    return calibration_of(attempt(many, wish), wish)


def test_confidence_of_joints_means_what_it_says_on_videos_nobody_has_seen(joint_wise: Calibration) -> None:
    assert joint_wise.joints is not None
    table, truth = planted(1, 60, joint_scatter=0.7)
    rule = ConfidenceRule.of_calibration(parse_calibration(joint_wise.to_json(), "file"), "file")
    labels = judge(table, Rules((), confidence=rule), "j")
    said = unpack_column(labels, LABELS["confidence_by_joint"])
    near = np.nan_to_num(compare_labels(labels, truth).joint_errors_mm, nan=np.inf) <= 6.0
    known = np.isfinite(said)
    assert (known.all(axis=1) == labels["joints_3d"].is_valid().to_numpy()).all()
    for low, high in ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01)):
        part = known & (said >= low) & (said < high)
        assert part.sum() > 500
        assert said[part].mean() == pytest.approx(near[part].mean(), abs=0.06)


def test_a_joint_that_views_put_further_apart_is_never_more_confident(joint_wise: Calibration) -> None:
    labels = judge(planted(2, 3, joint_scatter=0.7)[0], Rules(()), "j")
    rule = ConfidenceRule.of_calibration(joint_wise, "file")
    column = LABELS["spread_joints_3d_m"]
    spread = unpack_column(labels, column)
    said = []
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
        changed = replaced(
            labels, column.name, pack_column(column, spread * np.float32(factor), np.isnan(spread[:, 0]))
        )
        by_joint = rule.confidence_by_joint_of(changed)
        assert by_joint is not None
        said.append(by_joint[np.isfinite(spread) & np.isfinite(by_joint)])
    steps = np.diff(said, axis=0)
    assert (steps <= 0.0).all()
    assert said[-1].mean() < said[0].mean() - 0.2


def test_without_a_limit_on_joints_none_has_a_confidence(tried: Attempt) -> None:
    found = calibration_of(tried, WISH)
    assert found.joints is None
    labels = judge(planted(1, 2)[0], Rules((), confidence=ConfidenceRule.of_calibration(found, "file")), "j")
    assert labels["confidence_by_joint"].null_count == labels.num_rows
    assert labels["confidence"].null_count < labels.num_rows
