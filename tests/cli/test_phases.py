"""What is shown while commands run one after another."""

import pytest

from hoiray.cli.phases import PhaseProgress, duration, phase_progress
from hoiray.selftrain.phases import Done, Phase

PHASE = Phase("round-1/label", "label the videos", ("label", "run file.yaml"))


def test_a_command_is_named_once_and_its_lines_are_shown_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []
    progress = PhaseProgress(shown.append, interval_s=0.0)
    for line in ("  1 of 4 shards", "", "2 of 4 shards"):
        progress.watch(PHASE, line)
    progress.done(Done(PHASE, 61.0, was_done=False))
    progress.done(Done(PHASE, 3.0, was_done=True))
    assert capsys.readouterr().err.splitlines() == [
        "round-1/label: label the videos",
        "  $ hoiray label 'run file.yaml'",
        "round-1/label: done in 1 min 01 s",
        "round-1/label: was done before, in 3 s",
    ]
    assert shown == ["  1 of 4 shards", "  2 of 4 shards"]


def test_commands_that_run_at_once_are_each_named_once_and_their_lines_say_whose_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown: list[str] = []
    progress = PhaseProgress(shown.append, interval_s=0.0)
    other = Phase("round-2/train", "train", ("train", "run.yaml"))
    for number in range(3):
        progress.watch(PHASE, f"{number} of 4 shards")
        progress.watch(other, f"step {number}")
    progress.done(Done(PHASE, 1.0, was_done=False))
    progress.watch(other, "step 3")
    said = capsys.readouterr().err.splitlines()
    assert said.count("round-1/label: label the videos") == said.count("round-2/train: train") == 1
    assert shown[0] == "  0 of 4 shards"
    assert shown[1:6:2] == [f"  round-2/train: step {number}" for number in range(3)]
    assert shown[2:6:2] == [f"  round-1/label: {number} of 4 shards" for number in (1, 2)]
    assert shown[6:] == ["  step 3"]


def test_lines_that_come_fast_are_not_all_shown() -> None:
    shown: list[str] = []
    progress = PhaseProgress(shown.append, interval_s=3600.0)
    for number in range(100):
        progress.watch(PHASE, f"line {number}")
    assert shown == []


def test_without_a_terminal_plain_lines_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    with phase_progress() as progress:
        progress.watch(PHASE, "a line")
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (60.0, "1 min 00 s"), (3599.6, "1 h 00 min"), (7325.0, "2 h 02 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
