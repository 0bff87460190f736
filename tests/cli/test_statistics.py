"""`hoiray statistics` on predictions in a folder, with and without truth."""

import json
from pathlib import Path

import pytest
from trust_scenes import calibration, planted, write_truth

from hoiray.cli.statistics import StatisticsRequest, statistics
from hoiray.errors import ConfigError
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.calibration import ConfidenceModel
from hoiray.trust.features import FEATURE_NAMES

RUN_YAML = """
output_uri: out
videos: {uri: videos}
hand: {flat_hand_mean: true}
teacher: {predictor: none}
limits: {preset: paper, max_spread_3d_m: 0.005}
"""


def request(folder: Path, **changes: object) -> StatisticsRequest:
    values: dict[str, object] = {
        "labels": str(folder / "labels"), "truth": None, "limits": "paper", "metric": "pa_mpjpe_mm",
        "max_error": "6mm", "unit": "video", "out": folder / "out", "sweeps": False,
    }  # fmt: skip
    return StatisticsRequest(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    table, truth = planted(0, 20)
    (root / "labels").mkdir()
    (root / "labels" / "rows.parquet").write_bytes(parquet_bytes(table))
    write_truth(root / "truth", truth)
    return root


def test_with_truth_filters_are_weighed_and_scores_ranked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statistics(request(folder, truth=str(folder / "truth"), unit="subject", sweeps=True))
    document = json.loads((folder / "out" / "statistics.json").read_text())
    tables = document["tables"]
    assert {"selection", "filters", "funnel", "refusals", "overlap", "ranking", "gauges"} <= set(tables)
    assert "sweep box_iou" in tables
    augrc = {name: row["augrc"]["value"] for name, row in tables["ranking"]["rows"].items()}
    assert augrc["oracle"] < augrc["spread of the members alone"] < augrc["random"]
    assert "keep it" in json.dumps(tables["filters"]) or "consider" in json.dumps(tables["filters"])
    assert "What each filter is worth" in capsys.readouterr().out


def test_without_truth_costs_are_told(folder: Path) -> None:
    statistics(request(folder, out=folder / "blind"))
    text = (folder / "blind" / "statistics.md").read_text()
    assert "costs" in text
    assert "AUGRC" not in text


def test_a_runs_own_limits_are_taken_where_none_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a run with its run\.yaml"):
        statistics(request(folder, limits=None))
    (folder / "labels" / "run.yaml").write_text(RUN_YAML)
    statistics(request(folder, limits=None, out=folder / "own"))
    assert "spread_3d_m" in (folder / "own" / "statistics.md").read_text()


def test_people_are_resampled_only_where_the_truth_names_them(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--unit subject"):
        statistics(request(folder, unit="subject"))
    with pytest.raises(ConfigError, match="--metric"):
        statistics(request(folder, metric="beauty"))


def test_those_that_confidence_was_fitted_on_are_not_ranked(tmp_path: Path) -> None:
    table, truth = planted(0, 6)
    labels = tmp_path / "labels.parquet"
    labels.write_bytes(parquet_bytes(table))
    write_truth(tmp_path / "truth", truth)
    model = ConfidenceModel(features=FEATURE_NAMES, base=0.5, trees=(), slope=1.0, intercept=0.0)
    dull = calibration(model)
    videos = [Path(name).stem for name in table["video_id"].to_pylist()]
    names = sorted(set(videos))
    for fitted, is_ranked in ((names[:2], True), (names, False)):
        data = dull.data.model_copy(update={"fitting_units": tuple(fitted)})
        (tmp_path / "limits.json").write_text(dull.model_copy(update={"data": data}).to_json())
        limits, out = str(tmp_path / "limits.json"), tmp_path / "out"
        statistics(request(tmp_path, labels=str(labels), truth=str(tmp_path / "truth"), limits=limits, out=out))
        tables = json.loads((out / "statistics.json").read_text())["tables"]
        assert ("ranking" in tables) == ("ranking beside the paper" in tables) == is_ranked
        if is_ranked:
            count = tables["reliability"]["rows"]["all"]["rows"]
            assert count == sum(name not in fitted for name in videos)
            assert "labels of those that confidence was fitted on" in tables["ranking"]["note"]
