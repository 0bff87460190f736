import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hoiray.benchmarks import timing
from hoiray.errors import ConfigError

ROOT = Path(__file__).parents[2]


class _Clock:
    """Stands still but for what the timed calls say they took."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s

    def takes(self, *seconds: float) -> Callable[[], None]:
        """A call that takes so long, the next time the next of them, then from the first again."""
        turns = itertools.cycle(seconds)

        def call() -> None:
            self.now_s += next(turns)

        return call


def test_the_ratio_is_subject_over_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(timing, "time", clock)
    result = timing.compare(("slow", clock.takes(4.0)), ("fast", clock.takes(1.0)), pairs=5, min_time_s=8.0)
    assert result.subject_s == timing.Spread(4.0, 4.0, 4.0)
    assert result.baseline_s == timing.Spread(1.0, 1.0, 1.0)
    assert result.ratio == timing.Spread(4.0, 4.0, 4.0)
    # 1 call to warm up, 1 to see how often it fits into 8 s, 5 measurements of 2 calls of 4 s and of 8 calls of 1 s
    assert clock.now_s == (2 + 5 * 2) * 4.0 + (2 + 5 * 8) * 1.0


def test_a_measurement_is_the_mean_of_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(timing, "time", clock)
    uneven = clock.takes(2.0, 2.0, 1.0, 3.0)
    result = timing.compare(("uneven", uneven), ("even", clock.takes(2.0)), pairs=6, min_time_s=8.0)
    assert result.subject_s == timing.Spread(2.0, 2.0, 2.0)
    assert result.ratio == timing.Spread(1.0, 1.0, 1.0)


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
