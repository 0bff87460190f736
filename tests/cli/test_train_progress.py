import time

import pytest

from hoiray.cli.train_progress import epoch_line, show_progress, step_line
from hoiray.training.reports import EpochReport, Note, StepReport, Timing

STEP = StepReport(2, 30, 100, 5, 230, 1e-3, {"total": 12.345678, "pose": 0.25, "grad_norm": 3.0}, Timing(80.0, 0.031))
SCORES = {"pa_mpjpe_mm": 8.0, "mpjpe_mm": 25.0, "constant_pa_mpjpe_mm": 8.74, "constant_mpjpe_mm": 105.3,
          "joints_2d_percent": 4.0}  # fmt: skip


def test_a_step_tells_place_losses_speed_and_time_left() -> None:
    # 270 steps of 32 samples at 80 a second are 108 s
    assert step_line(STEP, 32) == (
        "epoch 3/5 step 30/100  loss 12.35 (pose 0.25)  80 samples/s, 3% waiting for data, 2 min left"
    )


def test_an_epoch_tells_each_score_beside_the_constant_hands() -> None:
    report = EpochReport(1, 5, 200, {"total": 9.87654}, SCORES)
    assert epoch_line(report) == (
        "epoch 2/5 ended  loss 9.877  PA-MPJPE 8.00 mm (constant hand 8.74)  MPJPE 25.00 mm (constant hand 105.30)"
        "  2D 4.0 % of the box"
    )
    assert epoch_line(EpochReport(1, 5, 200, {"total": 9.87654}, {})) == "epoch 2/5 ended  loss 9.877"


def test_without_a_terminal_steps_are_told_now_and_then_and_epochs_always(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with show_progress(32) as tell:
        for pause_s in (0.0, 5.0, 11.0):
            now[0] += pause_s
            tell(STEP)
        tell(EpochReport(1, 5, 200, {"total": 1.0}, {}))
        tell(Note("goes on"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "epoch 3/5 step 30/100", "epoch 3/5 step 30/100", "epoch 2/5 ended", "goes on"
    ]  # fmt: skip


def test_a_terminal_shows_a_bar_with_the_epochs_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    with show_progress(32) as tell:
        tell(STEP)
        tell(EpochReport(1, 5, 200, {"total": 1.0}, {}))
    shown = capsys.readouterr().err
    assert "epoch 2/5 ended  loss 1" in shown
    assert "230/500" in shown
