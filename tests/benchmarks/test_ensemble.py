from pathlib import Path

import numpy as np

from hoiray.benchmarks.control_run import TINY, write_videos
from hoiray.benchmarks.ensemble import decord_frames, request_of


def test_every_frame_asks_for_its_hand() -> None:
    request = request_of(np.zeros((5, 240, 427, 3), np.uint8))
    assert request.frame_index.tolist() == [0, 1, 2, 3, 4]
    assert np.isfinite(request.hand_boxes_xyxy).all()


def test_a_file_is_decoded_whole(tmp_path: Path) -> None:
    write_videos(tmp_path, 1, 6, TINY)
    (path,) = (tmp_path / "videos").rglob("*.mp4")
    assert decord_frames(path).shape == (6, 48, 64, 3)
