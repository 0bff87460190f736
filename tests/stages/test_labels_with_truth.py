from pathlib import Path

import pytest
from trust_scenes import planted, write_truth

from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError
from hoiray.filters.rules import paper_rules
from hoiray.io.parquet import parquet_bytes
from hoiray.stages.judge import judge
from hoiray.stages.labels_with_truth import TruthRequest, calibration_rows, compare_stored, judged


def stored(folder: Path) -> tuple[str, str]:
    table, truth = planted(3, 6)
    (folder / "labels").mkdir()
    half = table.num_rows // 2
    # a video whose rows lie in two files is judged whole
    (folder / "labels" / "1.parquet").write_bytes(parquet_bytes(table.slice(0, half)))
    (folder / "labels" / "2.parquet").write_bytes(parquet_bytes(table.slice(half)))
    write_truth(folder / "truth", truth)
    return str(folder / "labels"), str(folder / "truth")


def test_stored_predictions_get_the_verdicts_of_a_run(tmp_path: Path) -> None:
    rules = paper_rules(PaperLimits())
    found = judged(stored(tmp_path)[0], rules).sort_by([(name, "ascending") for name in ("video_id", "frame_index")])
    wanted = judge(planted(3, 6)[0], rules, "j")
    assert sorted(map(str, found["reasons"].to_pylist())) == sorted(map(str, wanted["reasons"].to_pylist()))
    assert found.num_rows == wanted.num_rows


def test_labels_are_compared_with_their_sets_own_truth(tmp_path: Path) -> None:
    labels, compared = compare_stored(*stored(tmp_path))
    assert len(compared.videos) == labels.num_rows
    assert compared.is_good(5.0).any()
    assert not compared.is_good(5.0).all()


def test_every_place_of_labels_has_its_truth(tmp_path: Path) -> None:
    labels, truth = stored(tmp_path)
    rows = calibration_rows(TruthRequest((labels, labels), (truth, truth), "mpjpe_mm", "subject"))
    assert len(set(rows.units)) == 6  # three people in each
    with pytest.raises(ConfigError, match="in pairs"):
        calibration_rows(TruthRequest((labels, labels), (truth,), "mpjpe_mm", "subject"))
