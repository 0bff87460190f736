"""`hoiray calibrate` on predictions in a folder and a set's own truth."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trust_scenes import planted, write_truth

from hoiray.cli.calibrate import CalibrationRequest, calibrate, error_limit, guards_of, wish_of
from hoiray.cli.judge import _ANY_RUN, judge_stored
from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError, InputError
from hoiray.filters.rules import Limit, paper_rules
from hoiray.io.parquet import parquet_bytes
from hoiray.stages.limits import read_calibration
from hoiray.trust.guards import NO_GUARDS

NUM_VIDEOS = 90


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> CalibrationRequest:
    folder = tmp_path_factory.mktemp("calibrated")
    table, truth = planted(0, NUM_VIDEOS)
    (folder / "labels").mkdir()
    (folder / "labels" / "rows.parquet").write_bytes(parquet_bytes(table))
    write_truth(folder / "truth", truth)
    return CalibrationRequest(
        labels=(str(folder / "labels"),), truth=(str(folder / "truth"),), max_error="6mm", precision=0.8, delta=0.1,
        unit="video", metric="pa_mpjpe_mm", out=str(folder / "limits.json"), report=folder / "report", predict_id=None,
    )  # fmt: skip


def test_a_limits_file_is_written_and_judges_labels(
    stored: CalibrationRequest, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calibrate(stored)
    said = capsys.readouterr().out
    assert "With probability 90%, at most 20% of the accepted labels are beyond 6 mm in PA-MPJPE" in said
    assert "Which score ranks labels best?" in said
    assert "What the guards refuse" in said
    assert "guards on single measurements" in said
    assert stored.report is not None
    assert "Does the confidence of labels mean what it says?" in (stored.report / "calibration.md").read_text()
    calibration = read_calibration(stored.out)
    judge_stored(stored.labels, limits=stored.out, overrides=[], out=str(tmp_path / "judged"), predict_id=None)
    judged = pa.concat_tables([pq.read_table(path) for path in sorted((tmp_path / "judged").glob("*.parquet"))])
    accepted = judged["accepted"].to_numpy()
    assert accepted.mean() == pytest.approx(calibration.proof.coverage, abs=0.15)
    assert judged.filter(judged["accepted"])["confidence"].to_numpy().min() >= calibration.min_confidence
    assert {"confidence", "box_iou"} <= {word for words in judged["reasons"].to_pylist() for word in words}
    # the run is the calibration's own, so nothing has moved
    assert "unlike those of the calibration" not in capsys.readouterr().err


def test_a_set_that_is_too_small_is_refused_and_nothing_is_written(stored: CalibrationRequest, tmp_path: Path) -> None:
    out = str(tmp_path / "limits.json")
    with pytest.raises(InputError, match="further videos"):
        calibrate(replace(stored, precision=0.99, out=out, report=None))
    assert not Path(out).exists()


def test_an_error_is_a_length_with_its_unit_or_a_number_of_box_sides() -> None:
    assert error_limit("10mm", "pa_mpjpe_mm") == error_limit("1cm", "mpjpe_mm") == error_limit("0.01m", "mpjpe_mm")
    assert error_limit("0.1", "joints_2d_box") == 0.1
    for text, metric in (("10", "pa_mpjpe_mm"), ("10mm", "joints_2d_box"), ("0mm", "mpjpe_mm"), ("ten", "mpjpe_mm")):
        with pytest.raises(ConfigError, match="--max-error"):
            error_limit(text, metric)


def test_what_cannot_be_promised_is_refused_with_its_option(stored: CalibrationRequest) -> None:
    assert wish_of(stored).promise.max_bad_fraction == 0.2
    for change, word in (
        ({"metric": "beauty"}, "--metric"),
        ({"unit": "frame"}, "--unit"),
        ({"precision": 1.0}, "--precision"),
        ({"delta": 0.0}, "--delta"),
        ({"out": "limits.parquet"}, "--out"),
    ):
        with pytest.raises(ConfigError, match=word):
            wish_of(replace(stored, **change))  # type: ignore[arg-type]


def test_guards_are_a_word_or_a_file(stored: CalibrationRequest, tmp_path: Path) -> None:
    assert wish_of(stored).guards.chosen == "loose"
    assert guards_of("none") == NO_GUARDS
    assert guards_of("paper").limits == paper_rules(PaperLimits()).limits
    run = tmp_path / "run.yaml"
    run.write_text(f"{_ANY_RUN}limits: {{preset: paper, min_box_iou: 0.25}}\n")
    assert Limit("box_iou", 0.25, "min") in guards_of(str(run)).limits
    with pytest.raises(ConfigError, match="--guards: expected loose, paper, none"):
        guards_of("strict")


def test_labels_and_truth_come_in_pairs(stored: CalibrationRequest) -> None:
    with pytest.raises(ConfigError, match="in pairs"):
        calibrate(replace(stored, labels=stored.labels * 2))
