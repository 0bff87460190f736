"""Counted operations against a network whose operations are known, and the arithmetic that follows."""

import json
from pathlib import Path

import pytest

from hoiray.benchmarks import roofline
from hoiray.benchmarks.roofline import REACHED, Gpu, Pass, count_pass, markdown


def test_hands_a_second_follow_from_operations_or_bytes_whichever_takes_longer() -> None:
    heavy, bulky = Pass("a", 100.0, 1.0, 1.0), Pass("b", 0.001, 1000.0, 1.0)
    gpu = Gpu(100.0, 1.0)
    assert heavy.hands_per_s(gpu) == pytest.approx(100e12 * REACHED / 100e9 / 8)
    assert heavy.limit(gpu) == "operations"
    assert bulky.hands_per_s(gpu) == pytest.approx(1e12 / 1e9 / 8)
    assert bulky.limit(gpu) == "memory"


def test_the_published_network_costs_what_its_layers_do() -> None:
    """A ResNet-50 at 224 px is 8.2 GFLOP; at 512 px 42.9, and the pyramid and the heads come on top."""
    paper, nano = count_pass("paper"), count_pass("nano")
    assert 43.0 < paper.gflop < 100.0
    assert 30.0 < paper.mparams < 50.0
    assert nano.gflop < 0.5
    assert paper.mbytes > 100 * nano.mbytes / 10


def test_the_report_says_that_nothing_was_measured_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "count_pass", lambda preset: Pass(preset, 1.0, 2.0, 3.0))
    text = roofline.run(tmp_path)
    assert "Arithmetic, not measurements" in text
    assert text == (tmp_path / "roofline.md").read_text()
    document = json.loads((tmp_path / "roofline.json").read_text())
    assert document["decoded_frames_per_core_s"] > 10
    assert len(document["passes"]) * len(document["gpus"]) == markdown([Pass("x", 1, 1, 1)] * 4, 500.0).count("| x |")
