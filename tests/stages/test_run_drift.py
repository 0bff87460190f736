from pathlib import Path

import numpy as np
import pyarrow as pa
from filter_scenes import predictions
from trust_scenes import calibration
from valid_tables import replaced

from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.io.store import Store
from hoiray.schema.calibration import ConfidenceModel
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.commit import CommitFields, commit_shard
from hoiray.stages.judge import judge
from hoiray.stages.limits import WITHOUT_LIMITS, rules_of
from hoiray.stages.run_drift import drift_warnings, watch_of
from hoiray.stages.run_layout import labels_area
from hoiray.trust.calibrate import numbered
from hoiray.trust.features import FEATURE_NAMES, features_of
from hoiray.trust.shift import ranges_of


def predicted(seed: int, num_videos: int) -> pa.Table:
    table = predictions(seed=seed, num_videos=num_videos)
    for name, value in (("predict_id", "p"), ("shard_id", "s1")):
        table = replaced(table, name, pa.repeat(pa.scalar(value), table.num_rows))
    return table


def limits_in(folder: Path) -> CalibratedLimits:
    """A calibration whose set is 40 videos of the same kind."""
    labels = judge(predicted(1, 40), WITHOUT_LIMITS, "j")
    ranges = ranges_of(features_of(labels), numbered(labels["video_id"].to_pylist())[1])
    model = ConfidenceModel(features=FEATURE_NAMES, base=0.0, trees=(), slope=1.0, intercept=0.0)
    path = folder / "limits.json"
    path.write_text(calibration(model).model_copy(update={"ranges": ranges}).to_json())
    return CalibratedLimits(preset="calibrated", uri=str(path))


def test_a_run_is_held_against_its_calibration_by_what_it_committed(tmp_path: Path) -> None:
    limits, store = limits_in(tmp_path), Store.open(tmp_path / "run")
    rules, _ = rules_of(limits)
    usual = predicted(2, 40)
    moved = pack_column(LABELS["box_iou"], (0.2 * unpack_column(usual, LABELS["box_iou"])).astype(np.float32))
    for judge_id, table in (("usual", usual), ("moved", replaced(usual, "box_iou", moved))):
        fields = CommitFields(plan_id="plan", predict_id="p", judge_id=judge_id, shard_id="s1", num_videos=40)
        commit_shard(store, judge(table, rules, judge_id), fields)
    assert drift_warnings(limits, store, labels_area("usual"), ["s1"]) == []
    (warning,) = drift_warnings(limits, store, labels_area("moved"), ["s1"])
    assert "box_iou" in warning
    assert drift_warnings(limits, store, labels_area("moved"), []) == []


def test_limits_without_a_calibration_are_held_against_nothing() -> None:
    assert watch_of(PaperLimits()) is None
    assert watch_of(CalibratedLimits(preset="calibrated", uri="limits.parquet")) is None
