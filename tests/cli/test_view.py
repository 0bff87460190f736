from pathlib import Path

import pytest

from hoiray.cli.view import view_video
from hoiray.errors import ConfigError


def test_only_an_mp4_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a name ending in \.mp4"):
        view_video(str(tmp_path), "one.mp4", None, str(tmp_path / "overlay.gif"), judge_id=None)
