import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from trust_scenes import calibration

from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import ConfigError, ContractError, InputError
from hoiray.filters.rules import Limit, paper_rules
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.calibration import CalibrationGuards, ConfidenceModel, GuardLimit
from hoiray.schema.tables import LABELS, LIMITS
from hoiray.stages.limits import read_calibration, rules_of
from hoiray.trust.confidence import ConfidenceRule
from hoiray.trust.features import FEATURE_NAMES


def row(measurement: str, bound: str, limit: float | None, **changes: Any) -> dict[str, Any]:
    values = {
        "measurement": measurement,
        "bound": bound,
        "limit": limit,
        "unit": LABELS[measurement].unit,
        "num_frames": 100,
        "num_units": 7,
        "coverage": 0.5,
        "bad_fraction": 0.1,
        "bad_fraction_bound": 0.2,
    }
    return values | changes


def written(folder: Path, *rows: dict[str, Any]) -> CalibratedLimits:
    path = folder / "limits of ours.parquet"
    path.write_bytes(parquet_bytes(pa.Table.from_pylist(list(rows), schema=LIMITS.to_arrow())))
    return CalibratedLimits(preset="calibrated", uri=str(path))


def test_the_papers_limits_come_from_no_file() -> None:
    assert rules_of(PaperLimits(min_box_iou=0.5)) == (paper_rules(PaperLimits(min_box_iou=0.5)), None)


def test_calibrated_limits_come_from_their_file_with_its_digest(tmp_path: Path) -> None:
    limits = written(
        tmp_path, row("box_iou", "min", 0.7), row("spread_3d_m", "max", 0.02), row("spread_2d_box_sides", "max", None)
    )
    rules, digest = rules_of(limits)
    assert rules.limits == (Limit("box_iou", 0.7, "min"), Limit("spread_3d_m", 0.02, "max"))
    assert (rules.max_predecessor_gap_frames, rules.allows_successor, rules.neighbour_must_pass_spatial) == (
        1,
        False,
        True,
    )
    assert digest == hashlib.sha256(Path(limits.uri).read_bytes()).hexdigest()


def test_limits_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected the unit 'm', found 'mm'"):
        rules_of(written(tmp_path, row("spread_3d_m", "max", 20.0, unit="mm")))
    with pytest.raises(ConfigError, match="limit on 'crop_change'"):
        rules_of(written(tmp_path, row("crop_change", "max", 0.1)))
    with pytest.raises(ConfigError, match="limit on 'box_iou'"):
        rules_of(written(tmp_path, row("box_iou", "max", 0.1)))
    with pytest.raises(ConfigError, match="at least one limit"):
        rules_of(written(tmp_path, row("box_iou", "min", None)))


def test_what_is_no_table_of_limits_is_refused(tmp_path: Path) -> None:
    limits = CalibratedLimits(preset="calibrated", uri=str(tmp_path / "limits.parquet"))
    with pytest.raises(InputError, match=r"limits\.parquet"):
        rules_of(limits)
    Path(limits.uri).write_bytes(b"not a table")
    with pytest.raises(ContractError, match=r"limits\.parquet"):
        rules_of(limits)
    Path(limits.uri).write_bytes(parquet_bytes(pa.table({"a": [1]})))
    with pytest.raises(ContractError, match="table limits"):
        rules_of(limits)


def test_a_calibration_judges_by_confidence_alone_and_has_the_digest_of_its_file(tmp_path: Path) -> None:
    model = ConfidenceModel(features=FEATURE_NAMES, base=0.0, trees=(), slope=1.0, intercept=0.0)
    path = tmp_path / "limits.json"
    path.write_text(calibration(model, 0.75).to_json())
    rules, digest = rules_of(CalibratedLimits(preset="calibrated", uri=str(path)))
    assert rules.limits == ()
    assert rules.confidence == ConfidenceRule(model, 0.75)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_calibration(str(path)) == calibration(model, 0.75)


def test_guards_of_a_calibration_judge_beside_confidence(tmp_path: Path) -> None:
    model = ConfidenceModel(features=FEATURE_NAMES, base=0.0, trees=(), slope=1.0, intercept=0.0)
    guard = GuardLimit(measurement="box_iou", bound="min", limit=0.3)
    guards = CalibrationGuards(chosen="loose", kept_share=0.99, limits=(guard,))
    path = tmp_path / "limits.json"
    path.write_text(calibration(model).model_copy(update={"guards": guards}).to_json())
    rules, _ = rules_of(CalibratedLimits(preset="calibrated", uri=str(path)))
    assert (rules.limits, rules.limits_are_guards) == ((Limit("box_iou", 0.3, "min"),), True)
    assert rules.confidence == ConfidenceRule(model, 0.5)


def test_what_is_no_calibration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text('{"preset": "paper"}')
    with pytest.raises(ContractError, match=r"limits\.json.*Calibrate anew"):
        rules_of(CalibratedLimits(preset="calibrated", uri=str(path)))
