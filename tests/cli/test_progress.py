import pytest

from hoiray.cli import progress
from hoiray.cli.progress import hands_progress


def test_lines_are_told_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 3.0, 12.0, 12.0, 15.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    with hands_progress("teacher", "frames") as tell:
        for done in (1, 2, 3):
            tell(done, 9)
    assert capsys.readouterr().err == "teacher: 2 of 9 frames\n"
