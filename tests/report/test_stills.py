from pathlib import Path

import numpy as np
import pytest

from hoiray.datasets.video_frames import read_frames
from hoiray.errors import InputError
from hoiray.io.encode import H264_MP4, encode_video
from hoiray.io.store import Store
from hoiray.report.stills import read_stills


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 24 frames at 24 a second, each of another brightness."""
    frames = (np.full((48, 64, 3), 10 * index, np.uint8) for index in range(24))
    path = tmp_path_factory.mktemp("stills") / "clip.mp4"
    path.write_bytes(encode_video(frames, H264_MP4, fps=24, size_wh=(64, 48)))
    return path


def test_frames_come_by_their_numbers_and_equal_those_of_the_reader(video: Path) -> None:
    found = dict(read_stills(str(video), [3, 7, 20], None))
    expected = read_frames(Store.open(video.parent), video.name, [3, 7, 20])
    assert list(found) == [3, 7, 20]
    assert all(np.array_equal(image, other) for image, other in zip(found.values(), expected, strict=True))


def test_numbers_count_at_the_sampled_rate(video: Path) -> None:
    (sampled,) = (image for _, image in read_stills(str(video), [10], 12.0))
    brightness = float(sampled.mean())
    assert 150 < brightness < 230  # frame 19 or so of the file, not 10
    # a slower source shows a frame under two numbers
    assert list(dict(read_stills(str(video), [0, 1, 2, 3], 48.0))) == [0, 1, 2, 3]


def test_a_missing_video_and_a_missing_frame_are_told(video: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.mp4"):
        list(read_stills(str(tmp_path / "gone.mp4"), [0], None))
    with pytest.raises(InputError, match="a frame of number 24, found 24 numbers"):
        list(read_stills(str(video), [1, 24], None))
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"junk\.mp4"):
        list(read_stills(str(tmp_path / "junk.mp4"), [0], None))
