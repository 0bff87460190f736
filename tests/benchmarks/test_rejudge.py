"""Judging copies of a run's predictions again, as a benchmark does: the verdicts are those of the run in one piece."""

from pathlib import Path

import numpy as np
import pytest
from filter_scenes import predictions
from trust_scenes import calibration
from valid_tables import replaced

from hoiray.benchmarks import rejudge
from hoiray.config.what import CalibratedLimits
from hoiray.io.store import Store
from hoiray.schema.calibration import CalibrationGuards, ConfidenceModel, GuardLimit, TreeTable
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.stages.rejudge import Judgement
from hoiray.trust.features import FEATURE_NAMES

IOU = FEATURE_NAMES.index("box_iou")
TREE = TreeTable(
    feature=(IOU, -1, -1), threshold=(0.7, 0.0, 0.0), nan_goes_left=(False, False, False),
    left=(1, 0, 0), right=(2, 0, 0), value=(0.0, -2.0, 3.0),
)  # fmt: skip


@pytest.fixture
def judgement(tmp_path: Path) -> Judgement:
    model = ConfidenceModel(features=FEATURE_NAMES, base=0.0, trees=(TREE,), slope=1.0, intercept=0.0)
    guard = GuardLimit(measurement="max_joint_angle_rad", bound="below", limit=1.5)
    guards = CalibrationGuards(chosen="file", limits=(guard,))
    (tmp_path / "limits.json").write_text(calibration(model).model_copy(update={"guards": guards}).to_json())
    return Judgement.by(CalibratedLimits(preset="calibrated", uri=str(tmp_path / "limits.json")))


def test_copies_are_judged_as_the_original_wherever_files_end(
    tmp_path: Path, judgement: Judgement, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = predictions(seed=3, num_videos=6)
    monkeypatch.setattr(rejudge, "ROWS_A_FILE", own.num_rows // 3)
    source = str(tmp_path / "copies")
    num_rows = rejudge.write_copies(own, Store.open(source), 2 * own.num_rows)
    assert num_rows == 2 * own.num_rows
    assert rejudge.different_verdicts(source, own, judgement) == 0
    accepted = judge(own, judgement.rules, "-")["accepted"].to_numpy().sum()
    assert 0 < accepted < own.num_rows
    assert rejudge.judge_all(source, judgement, Store.open(str(tmp_path / "labels"))) == 2 * accepted


def test_another_verdict_would_be_seen(tmp_path: Path, judgement: Judgement) -> None:
    own = predictions(seed=3, num_videos=6)
    angle = unpack_column(own, LABELS["max_joint_angle_rad"])
    bent = pack_column(LABELS["max_joint_angle_rad"], np.where(np.isnan(angle), angle, np.float32(1.6)))
    rejudge.write_copies(replaced(own, "max_joint_angle_rad", bent), Store.open(str(tmp_path / "others")), 1)
    assert rejudge.different_verdicts(str(tmp_path / "others"), own, judgement) > 0
