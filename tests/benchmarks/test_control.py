"""The control plane's benchmark: parts on small sizes, and the figures that are made of them."""

from pathlib import Path
from typing import Any

import pytest

from hoiray.benchmarks import control
from hoiray.benchmarks.control import Sizes, figures_of, page, run, slope
from hoiray.benchmarks.control_run import Sample, Watched
from hoiray.errors import ConfigError

TINY = Sizes((500, 1500), (1,), 30, 60, (2,), 1)


def sample(time_s: float, num_done: int, driver_mib: float, predict_mib: float = 100.0) -> Sample:
    return Sample(time_s, num_done, driver_mib, 0.002 * num_done, {"predict": predict_mib})


def watched(driver_mib_a_shard: float, predict_mib_a_shard: float = 0.0) -> Watched:
    found = Watched(1000, 2, first_begun_s=4.0, first_ready_s=5.0, first_label_s=6.0, first_shard_s=0.8, wall_s=110.0)
    found.samples += [sample(2.0, 0, 150.0)]
    found.samples += [
        sample(10.0 + step, 10 * step, 200.0 + 10 * step * driver_mib_a_shard, 100.0 + 10 * step * predict_mib_a_shard)
        for step in range(1, 101)
    ]
    return found


def test_figures_follow_the_samples_of_the_time_in_which_shards_were_done() -> None:
    found = figures_of(watched(0.004))
    assert found["driver_slope_mib_per_1000_shards"] == pytest.approx(4.0)
    assert found["driver_most_mib"] - found["driver_start_mib"] == pytest.approx(4.0, abs=0.1)
    assert found["driver_cpu_ms_a_shard"] == pytest.approx(2.0)
    assert (found["first_label_after_s"], found["actors_after_s"]) == (2.0, 1.0)
    assert slope([sample(1.0, 5, 1.0)] * 3, lambda it: it.driver_mib) is None
    assert slope([sample(1.0, 5, 1.0)], lambda it: it.driver_mib) is None


def rows_of(*found: Watched) -> dict[str, Any]:
    return {"label": {"command": "c", "machine": {}, "rows": [figures_of(it) for it in found]}}


@pytest.mark.parametrize(("driver", "predict", "missed"), [(0.0, 0.0, 0), (0.02, 0.0, 1), (0.0, 0.05, 1)])
def test_a_goal_that_is_missed_is_said_to_be(driver: float, predict: float, missed: int) -> None:
    text = page(rows_of(watched(0.0), watched(driver, predict)))
    assert text.count("**missed**") == missed


def test_growth_of_the_driver_is_that_of_the_second_half_without_the_end() -> None:
    filling = watched(0.0)
    filling.samples[:50] = [sample(it.time_s, it.num_done, 150.0) for it in filling.samples[:50]]
    filling.samples[-1] = sample(120.0, 1000, 400.0)
    growth = control.late_growth_per_million(figures_of(filling))
    assert growth == pytest.approx(0.0, abs=0.5)
    assert control.late_growth_per_million(figures_of(watched(0.0004))) == pytest.approx(
        4.0, abs=1.0
    )  # samples are kept to a tenth of a MiB
    assert control.late_growth_per_million(figures_of(Watched(1000, 2, samples=filling.samples[:3]))) is None


def test_a_driver_that_jumps_in_the_first_half_misses_its_goal() -> None:
    jumping = watched(0.0)
    for index, it in enumerate(jumping.samples):
        if index >= 30:
            jumping.samples[index] = sample(it.time_s, it.num_done, it.driver_mib + 25.0)
    assert control.late_growth_per_million(figures_of(jumping)) == pytest.approx(0.0, abs=0.5)
    assert page(rows_of(watched(0.0), jumping)).count("**missed**") == 1


def test_first_labels_count_in_shard_times() -> None:
    for label_s, is_missed in ((6.0, False), (7.0, True)):
        late = watched(0.0)
        late.first_label_s = label_s
        text = page({"first": {"command": "c", "machine": {}, "rows": [figures_of(late)]}})
        assert ("**missed**" in text) == is_missed


@pytest.mark.slow
def test_parts_are_measured_in_processes_of_their_own_and_a_report_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(control.SIZES, "small", TINY)
    run(tmp_path, size="small", parts=["boxes"], s3_uri=None, scratch=tmp_path)
    text = run(tmp_path, size="small", parts=["index"], s3_uri=None, scratch=tmp_path)
    assert "## Boxes" in text
    assert "| 1,500 |" in text
    assert (tmp_path / "control.md").read_text() == text
    assert not list(tmp_path.glob("hc*"))
    for wrong in ({"size": "huge"}, {"parts": ["none"]}):
        with pytest.raises(ConfigError, match=r"huge|none"):
            run(tmp_path, **{"size": "small", "parts": ["boxes"], "s3_uri": None, "scratch": tmp_path} | wrong)  # type: ignore[arg-type]
