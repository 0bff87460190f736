"""What a report says of trust, from files and planted truth."""

from pathlib import Path

import numpy as np
import pytest
from report_scenes import rows_of
from trust_scenes import calibration, planted, write_truth
from valid_tables import replaced

from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.evaluation.label_truth import compare_labels
from hoiray.filters.rules import Rules
from hoiray.report.html_report import Page, render_report
from hoiray.report.sections import Prose, Section, Table
from hoiray.schema.calibration import CalibrationGuards, ConfidenceModel, GuardLimit, JointConfidence
from hoiray.schema.columns import pack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.canary_file import Canaries, KindCount
from hoiray.stages.judge import judge
from hoiray.stages.report_trust import calibration_of, canary_section, promise_section, reliability_section
from hoiray.trust.canaries import MissRate

MODEL = ConfidenceModel(features=(), base=0.0, trees=(), slope=1.0, intercept=0.0)


def words_of(section: Section) -> str:
    return " ".join(str(block.text) for block in section.blocks if isinstance(block, Prose))


def tables_of(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def test_the_promise_is_told_beside_what_confidence_expects_of_this_run() -> None:
    rows = rows_of(confidence=np.linspace(0.5, 1.0, 12, dtype=np.float32))
    said = words_of(promise_section(calibration(MODEL), rows))
    assert "at most 10% of the accepted labels are beyond 10" in said
    expected = 100.0 * float(rows.confidence[rows.is_accepted].mean())
    assert f"expects {expected:.1f} % of the accepted" in said
    joints = calibration(MODEL).model_copy(update={"joints": JointConfidence(max_error_mm=7.0, model=MODEL)})
    assert "within 7 mm" in words_of(promise_section(joints, rows))
    guard = GuardLimit(measurement="palm_length_m", bound="max", limit=0.0979)
    guards = CalibrationGuards(chosen="loose", kept_share=0.97, limits=(guard,))
    guarded = words_of(promise_section(calibration(MODEL).model_copy(update={"guards": guards}), rows))
    assert "within these guards: palm_length_m at most 0.0979 m" in guarded
    assert "within 1 guards" not in guarded


def test_planted_faults_are_shown_with_their_intervals_and_say_what_they_cannot_show() -> None:
    kinds = (
        KindCount("mirrored", MissRate(20, 129, 120, 0.93, 0.85, 0.97)),
        KindCount("time shift", MissRate(0, 0, 0, float("nan"), 0.0, 1.0)),
    )
    section = canary_section(Canaries("j", "p", 3, 20, 20, kinds))
    (table,) = tables_of(section)
    assert [name for name, _ in table.rows] == ["mirrored", "time shift"]
    assert "none of them is among the labels" in words_of(section)
    html = render_report(Page("labels", "of a run", [section], {}))
    assert "93.0" in html


def test_claimed_and_observed_shares_agree_where_confidence_is_the_truth(tmp_path: Path) -> None:
    table, truth = planted(0, 20)
    write_truth(tmp_path, truth)
    labels = judge(table, Rules(()), "j")
    good = compare_labels(labels, truth).is_good(10.0)
    sure = np.where(good, 1.0, 0.0).astype(np.float32)
    labels = replaced(labels, "confidence", pack_column(LABELS["confidence"], sure))
    section = reliability_section(labels, str(tmp_path), None, seed=0)
    (table_of_bins,) = tables_of(section)
    for _, (count, claimed, observed) in table_of_bins.rows:
        assert isinstance(count, int)
        assert observed.value == pytest.approx(claimed)  # type: ignore[union-attr]
    assert "of the accepted labels are beyond 10" in words_of(section)


def test_limits_that_are_none_or_cannot_be_read_give_no_promise(tmp_path: Path) -> None:
    assert calibration_of(PaperLimits()) is None
    gone = CalibratedLimits(preset="calibrated", uri=str(tmp_path / "gone.json"))
    assert calibration_of(gone) is None
    path = tmp_path / "limits.json"
    path.write_text(limits_text(0.7))
    found = calibration_of(CalibratedLimits(preset="calibrated", uri=str(path)))
    assert found is not None
    assert found.min_confidence == 0.7


def limits_text(limit: float) -> str:
    return calibration(MODEL, limit).to_json()
