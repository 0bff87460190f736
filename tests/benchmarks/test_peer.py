import sys
from pathlib import Path

import pytest

from hoiray.benchmarks.peer import Turn, _row, _script, measure
from hoiray.errors import InputError


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="a folder of videos with hands"):
            measure(tmp_path, pairs=5, clips=folder, python=Path(sys.executable))


def test_a_python_without_the_peer_is_refused() -> None:
    here = Path(sys.executable)
    with pytest.raises(InputError, match=r"a Python with mediapipe 0\.10\.21"), _script(here, "video", []):
        pass


def test_a_ratio_is_the_scripts_seconds_over_those_of_the_labelling_turn_by_turn() -> None:
    turns = [Turn(10.0, 7, ((5.0, 30, 9), (20.0, 30, 8))), Turn(20.0, 7, ((5.0, 30, 9), (20.0, 30, 8)))]
    video, image = (_row(key, turns, index) for index, key in enumerate(("peer", "peer_images")))
    assert (video.figure.minimum, video.figure.maximum) == (0.25, 0.5)
    assert (image.figure.minimum, image.figure.maximum) == (1.0, 2.0)
    assert "7 rows with a hand against 8 hands" in image.note
