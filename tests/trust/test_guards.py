from dataclasses import replace

import numpy as np
import pytest
from trust_scenes import planted
from valid_tables import replaced

from hoiray.errors import ConfigError
from hoiray.evaluation.label_truth import compare_labels
from hoiray.filters.derived import palm_length_m
from hoiray.filters.rules import Limit, Rules
from hoiray.schema.calibration import Calibration, CalibrationGuards, GuardLimit
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.trust.calibrate import CalibrationRows, Wish, attempt, calibration_of
from hoiray.trust.confidence import ConfidenceRule
from hoiray.trust.features import FEATURE_NAMES
from hoiray.trust.guarantee import Promise
from hoiray.trust.guards import LOOSE, NO_GUARDS, GuardChoice, guard_fails, guards_pass, limits_of, loose_guards

WISH = Wish("pa_mpjpe_mm", 6.0, Promise(0.2, 0.1), "video")
IOU = FEATURE_NAMES.index("box_iou")


def features(count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.gamma(4.0, 0.1, size=(count, len(FEATURE_NAMES))).astype(np.float32).astype(np.float64)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, FEATURE_NAMES.index("held_sample_score")] = np.nan
    return values


def test_loose_guards_keep_the_share_of_right_labels_they_are_to_keep_and_hardly_more() -> None:
    right = features()
    for kept in (0.99, 0.9, 1.0):
        limits = loose_guards(right, kept)
        share = guards_pass(right, limits).mean()
        assert kept <= share <= kept + 0.005
    # of what is nowhere known nothing is limited
    assert {limit.measurement for limit in limits} == set(LOOSE) - {"held_sample_score"}


def test_a_hand_that_is_too_small_is_refused_as_one_that_is_too_large() -> None:
    sizes = [limit for limit in loose_guards(features()) if limit.measurement == "palm_length_m"]
    assert [limit.bound for limit in sizes] == ["min", "max"]
    assert sizes[0].value < sizes[1].value
    table = planted(3, 20)[0]
    joints = unpack_column(table, LABELS["joints_3d"])
    palms = palm_length_m(table)
    limits = (
        Limit("palm_length_m", float(np.nanmin(palms)), "min"),
        Limit("palm_length_m", float(np.nanmax(palms)), "max"),
    )
    column = LABELS["joints_3d"]
    for scale, is_right in ((1.0, True), (0.01, False), (100.0, False)):
        scaled = pack_column(column, joints * np.float32(scale), np.isnan(joints[:, 0, 0]))
        labels = judge(replaced(table, "joints_3d", scaled), Rules(limits, limits_are_guards=True), "j")
        for row in labels.to_pylist():
            assert ("hand_size" in row["reasons"]) == (row["joints_3d"] is not None and not is_right)


def test_a_guard_lets_pass_what_lies_at_it_and_what_was_not_measured() -> None:
    at = np.float32(0.3)
    values = np.full((4, len(FEATURE_NAMES)), 0.5)
    values[:, IOU] = [np.nextafter(at, np.float32(0)), at, np.nan, 0.9]
    assert guard_fails(values, Limit("box_iou", 0.3, "min")).tolist() == [True, False, False, False]
    assert guards_pass(values, ()).all()


def test_guards_come_back_from_a_file_as_they_were_and_none_are_no_part_of_it() -> None:
    limits = (Limit("box_iou", 0.31, "min"), Limit("max_joint_angle_rad", 1.5, "below"))
    stored = GuardChoice("file", limits).stored(limits)
    assert limits_of(stored) == limits
    assert NO_GUARDS.stored(()) is None
    assert limits_of(None) == ()
    wrong = CalibrationGuards(chosen="file", limits=(GuardLimit(measurement="box_iou", bound="max", limit=0.3),))
    with pytest.raises(ConfigError, match="limit on 'box_iou'"):
        limits_of(wrong)


def rows(seed: int = 0) -> CalibrationRows:
    table, truth = planted(seed, 90)
    labels = judge(table, Rules(()), "j")
    compared = compare_labels(labels, truth)
    return CalibrationRows.of(labels, compared, metric="pa_mpjpe_mm", unit="video", labels_uri="l", truth_uri="t")


@pytest.fixture(scope="module")
def guarded() -> Calibration:
    wish = replace(WISH, guards=GuardChoice("loose"))
    return calibration_of(attempt(rows(), wish), wish)


def rules_of(found: Calibration) -> Rules:
    guards = limits_of(found.guards)
    return Rules(guards, confidence=ConfidenceRule.of_calibration(found, "file"), limits_are_guards=bool(guards))


def test_what_is_proved_is_the_whole_rule(guarded: Calibration) -> None:
    """What the judge accepts of the proving units is what the proof counted, guards included."""
    labels = judge(planted(0, 90)[0], rules_of(guarded), "j")
    names = [name.split("/")[-1].removesuffix(".webm") for name in labels["video_id"].to_pylist()]
    accepted = labels["accepted"].to_numpy()
    assert accepted[np.isin(names, guarded.data.proving_units)].sum() == guarded.proof.num_accepted
    alone = judge(planted(0, 90)[0], replace(rules_of(guarded), limits=()), "j")
    assert accepted.sum() < alone["accepted"].to_numpy().sum()


def test_guards_depend_on_the_fitting_units_only(guarded: Calibration) -> None:
    """Otherwise the proof would not hold: whatever the proving units measure, the guards stay."""
    many = rows()
    proves = np.isin(many.units, guarded.data.proving_units)
    changed = many.features.copy()
    changed[proves, IOU] = 0.01
    other = attempt(replace(many, features=changed), replace(WISH, guards=GuardChoice("loose")))
    assert other.guards == limits_of(guarded.guards)


def test_a_fault_that_confidence_never_met_is_refused_by_a_guard_with_its_reason(guarded: Calibration) -> None:
    table = planted(3, 20)[0]
    value = unpack_column(table, LABELS["min_bone_length_ratio"])
    broken = pack_column(LABELS["min_bone_length_ratio"], np.where(np.isnan(value), value, np.float32(1e-4)))
    table = replaced(table, "min_bone_length_ratio", broken)
    without = judge(table, replace(rules_of(guarded), limits=()), "j")
    assert without["accepted"].to_numpy().any()
    for row in judge(table, rules_of(guarded), "j").to_pylist():
        assert not row["accepted"]
        assert ("bone_length" in row["reasons"]) == (not np.isnan(row["min_bone_length_ratio"]))
