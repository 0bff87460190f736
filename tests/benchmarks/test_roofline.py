"""Counted operations against a network whose operations are known, and the arithmetic that follows."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hoiray.benchmarks import roofline
from hoiray.benchmarks.roofline import (
    REACHED,
    VIEWS,
    Core,
    Gpu,
    Pass,
    count_pass,
    layer_gflop,
    markdown,
    time_pass,
)
from hoiray.benchmarks.timing import Comparison, Spread
from hoiray.models.network import NetworkOutput


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
    core = Core(Spread(0.5, 0.4, 0.6), Spread(0.7, 0.6, 0.8))
    monkeypatch.setattr(roofline, "count_pass", lambda preset: Pass(preset, 1.0, 2.0, 3.0))
    monkeypatch.setattr(roofline, "time_pass", lambda _pass: core)
    text = roofline.run(tmp_path, force=True)
    assert "Of GPUs, arithmetic, not measurements" in text
    assert text == (tmp_path / "roofline.md").read_text()
    document = json.loads((tmp_path / "roofline.json").read_text())
    assert document["decoded_frames_per_core_s"] > 10
    shown = markdown([Pass("x", 1, 1, 1)] * 4, [core] * 4, 500.0)
    assert len(document["passes"]) * (len(document["gpus"]) + 1) == shown.count("| x |")
    assert "| paper | 0.5 [0.4, 0.6] | 2.0 | 0.70 [0.60, 0.80] | 0.25 |" in text
    assert document["one_core_here"]["nano"]["share"]["median"] == 0.7


def test_the_share_is_the_passs_rate_over_that_of_a_single_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes that take 4 times as long as a layer, and have twice its operations together, reach half of its rate."""
    num_threads = torch.get_num_threads()

    def compared(*sides: tuple[str, Callable[[], object]]) -> Comparison:
        (_, run_pass), (_, run_layer) = sides
        assert torch.get_num_threads() == 1
        predicted = run_pass()
        assert isinstance(predicted, NetworkOutput)
        assert len(predicted.joints_3d_m) == VIEWS
        with FlopCounterMode(display=False) as counter:
            run_layer()
        assert counter.get_total_flops() == round(layer_gflop() * 1e9)
        ratios = Spread(4.0, 2.0, 8.0)
        return Comparison("nano", "convolution", Spread(0.4, 0.2, 0.8), Spread(0.1, 0.1, 0.1), ratios, 5)

    monkeypatch.setattr(roofline, "compare", compared)
    core = time_pass(Pass("nano", 2 * layer_gflop() / VIEWS, 1.0, 1.0))
    assert torch.get_num_threads() == num_threads
    assert (core.share.median, core.share.minimum, core.share.maximum) == (0.5, 0.25, 1.0)
    assert core.seconds == Spread(0.4 / VIEWS, 0.2 / VIEWS, 0.8 / VIEWS)
