"""Confidence against what else is known, on planted predictions whose spread tells of their errors."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from trust_scenes import planted, write_truth

from hoiray.benchmarks.ranking import RankingRequest, confidences, read_labelled, run
from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError
from hoiray.filters.rules import paper_rules
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.trust.features import FEATURE_NAMES
from hoiray.trust.fit import LABEL_LEARNER, fit_confidence


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = replace(LABEL_LEARNER, num_trees=(5,))
    monkeypatch.setattr("hoiray.trust.ranking.fit_confidence", partial(fit_confidence, learner=learner))


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> RankingRequest:
    places = []
    for seed in (0, 1):
        root = tmp_path_factory.mktemp(f"set{seed}")
        table, truth = planted(seed, 16, median_m=0.005)
        (root / "labels").mkdir()
        # the first files hold the last videos, as shards of a run may
        is_late = pc.greater(table["video_id"], sorted(set(table["video_id"].to_pylist()))[5])
        (root / "labels" / "1.parquet").write_bytes(parquet_bytes(table.filter(is_late)))
        (root / "labels" / "2.parquet").write_bytes(parquet_bytes(table.filter(pc.invert(is_late))))
        write_truth(root / "truth", truth)
        places.append((str(root / "labels"), str(root / "truth")))
    (first, second) = places
    return RankingRequest(
        (first[0],), (first[1],), (second[0],), (second[1],), max_error_mm=6.0, unit="video", num_lots=2
    )


def test_scores_stand_beside_each_other_at_the_papers_own_coverage(tmp_path: Path, request_of: RankingRequest) -> None:
    text = run(tmp_path, request_of, num_resamples=20)
    table = json.loads((tmp_path / "ranking.json").read_text())["tables"]["ranking"]
    assert text == (tmp_path / "ranking.md").read_text()
    rows = table["rows"]
    assert list(rows) == [
        "confidence", "spread of the members alone", "the paper's limits", "the paper's limits, then spread",
        "random", "oracle",
    ]  # fmt: skip
    risk = {name: row["risk"]["value"] for name, row in rows.items()}
    assert risk["oracle"] <= risk["spread of the members alone"] < risk["random"]
    # both accept the same labels there, in another order
    assert risk["the paper's limits"] == pytest.approx(risk["the paper's limits, then spread"])
    assert rows["the paper's limits, then spread"]["augrc"]["value"] < rows["the paper's limits"]["augrc"]["value"]
    assert rows["random"]["less"]["value"] == pytest.approx(
        rows["random"]["augrc"]["value"] - rows["confidence"]["augrc"]["value"]
    )


def test_one_set_is_parted_by_lot_and_another_is_fitted_on_whole(request_of: RankingRequest) -> None:
    tested, fitted = (read_labelled((uri,), (truth,), "video") for uri, truth in (
        (request_of.runs[0], request_of.truths[0]), (request_of.fit_runs[0], request_of.fit_truths[0])
    ))  # fmt: skip
    parted, other = confidences(tested, None, request_of), confidences(tested, fitted, request_of)
    assert parted.confidence.shape == parted.parts.shape == (2, len(tested.rows.units))
    assert other.confidence.shape == other.parts.shape == (1, len(tested.rows.units))
    assert (np.isnan(parted.confidence) == ~tested.rows.is_eligible).all()
    with pytest.raises(ConfigError, match="16 videos, 17 parts"):
        confidences(tested, None, replace(request_of, num_parts=17))


def test_verdicts_are_those_of_the_same_labels(request_of: RankingRequest) -> None:
    found = read_labelled(request_of.runs, request_of.truths, "video")
    labels = judge(planted(0, 16, median_m=0.005)[0], paper_rules(PaperLimits()), "j")
    accepted = labels["accepted"].to_numpy()
    assert 0 < accepted.sum() < len(accepted)
    assert (found.by_paper == accepted).all()
    spread = unpack_column(labels, LABELS["spread_3d_m"]).astype(np.float64)
    np.testing.assert_array_equal(found.rows.features[:, FEATURE_NAMES.index("spread_3d_m")], spread)


def test_runs_and_truths_come_in_pairs(request_of: RankingRequest) -> None:
    for runs, truths in (((), ()), (request_of.runs, ())):
        with pytest.raises(ConfigError, match="Name them in pairs"):
            read_labelled(runs, truths, "video")
