import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hoiray.benchmarks import timing
from hoiray.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_the_ratio_is_subject_over_baseline() -> None:
    result = timing.compare(
        ("slow", lambda: time.sleep(0.004)), ("fast", lambda: time.sleep(0.001)), pairs=5, min_time_s=0.004
    )
    assert result.ratio.minimum > 1.0
    assert result.ratio.minimum <= result.ratio.median <= result.ratio.maximum
    assert result.subject_s.median >= 0.004


def test_fewer_than_five_pairs_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected 5 or more, found 4"):
        timing.compare(("a", int), ("b", int), pairs=4)


def test_a_loaded_machine_is_refused_unless_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 100.0, 100.0))
    with pytest.raises(ConfigError, match="machine load"):
        timing.refuse_loaded_machine(force=False)
    timing.refuse_loaded_machine(force=True)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    timing.refuse_loaded_machine(force=False)


def test_a_folder_that_takes_no_report_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError, match=r"--out .*/file/x: expected a folder that can be written to, found Not a dir"
    ):
        timing.make_report_folder(tmp_path / "file" / "x")
    assert timing.make_report_folder(tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    # a single pair is refused too, but only once the measurement begins
    place = ["--out", str(tmp_path / "file" / "x")]
    command = [sys.executable, "jobs/benchmark.py", "hand", "--force", "--pairs", "1", *place]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=dict(os.environ))
    assert done.returncode == 1
    assert done.stderr.startswith("error: --out ")
    assert "Traceback" not in done.stderr


def test_the_report_carries_machine_versions_and_figures(tmp_path: Path) -> None:
    result = timing.compare(("a", int), ("b", int), min_time_s=1e-4)
    markdown = timing.write_report(tmp_path / "new", "demo", [result], {"share": "12 %"})
    assert (tmp_path / "new" / "demo.md").read_text() == markdown
    data = json.loads((tmp_path / "new" / "demo.json").read_text())
    assert data["comparisons"][0]["ratio"]["median"] == result.ratio.median
    assert data["notes"] == {"share": "12 %"}
    assert {"cpu", "cores", "torch", "numpy"} <= data["machine"].keys()
    assert "| a | b |" in markdown
