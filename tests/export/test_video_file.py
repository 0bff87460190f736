from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from hoiray.export.video_file import VideoFile


def images() -> list[np.ndarray]:
    noise = np.random.default_rng(0).uniform(40, 215, (5, 3, 4, 3)).astype(np.float32)
    return [cv2.resize(one, (64, 48), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8) for one in noise]


def write(path: Path) -> None:
    file = VideoFile(path, fps=Fraction(12), size_wh=(64, 48))
    for image in images():
        file.add(image)
    file.close()


def test_frames_come_back_at_their_times_and_every_second_is_a_key_frame(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = list(container.decode(video=0))
    assert np.allclose([frame.time for frame in frames], np.arange(5) / 12)
    assert all(frame.key_frame for frame in frames[::2])
    for frame, image in zip(frames, images(), strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - image).mean() < 8


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write(tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
