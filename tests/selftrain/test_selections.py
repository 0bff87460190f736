"""Selections of a real label run: as many as the rule accepts, and the oracle's are the best."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hoiray.selftrain.gauges import KEY
from hoiray.selftrain.selections import PARTS


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_table_of_the_paper_runs_from_nothing_to_its_numbers(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "hoiray", "reproduce", "table8", "--size", "tiny", "--seeds", "1"),
        *("--out", str(tmp_path), "--results", str(tmp_path / "results")),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "filters beat data distillation" in (tmp_path / "results/reproduce.md").read_text()
    document = json.loads((tmp_path / "results/reproduce.json").read_text())
    assert set(document["values"]) == {"semi_object", "unfiltered"}
    lists = tmp_path / "seed-0/sup_object/lists"
    about = json.loads((lists / "about.json").read_text())
    count = about["accepted"]["num_labels"]
    assert 0 < count <= about["unfiltered"]["num_labels"]
    for name in ("random", "low_spread", "oracle", "no_spatial", "no_temporal"):
        assert about[name]["num_labels"] == count
        # the same labels in another order add up to the same, but for rounding
        assert about["oracle"]["mpjpe_mm"] <= about[name]["mpjpe_mm"] + 1e-9
    kept: set[tuple[object, ...]] = set()
    for percent in PARTS:
        rows = pq.read_table(lists / f"part_{percent}.parquet").select(list(KEY)).to_pylist()
        keys = {tuple(row.values()) for row in rows}
        assert kept <= keys
        kept = keys
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "done in" not in again.stderr
    assert again.stdout == ended.stdout
