import sys
from pathlib import Path

import pytest

from hoiray.benchmarks.peer import _script, measure
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
