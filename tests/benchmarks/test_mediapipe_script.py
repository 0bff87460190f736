from pathlib import Path
from types import SimpleNamespace

from hoiray.benchmarks.control_run import TINY, write_videos
from hoiray.benchmarks.mediapipe_script import run


class OneHand:
    """Finds a hand in every second frame."""

    def __init__(self) -> None:
        self.num_frames = 0

    def process(self, _frame: object) -> SimpleNamespace:
        self.num_frames += 1
        found = [SimpleNamespace(landmark=[1])] if self.num_frames % 2 else None
        return SimpleNamespace(multi_hand_landmarks=found, multi_hand_world_landmarks=found)


def test_frames_and_hands_of_all_clips_are_counted(tmp_path: Path) -> None:
    write_videos(tmp_path, 2, 6, TINY)
    clips = sorted(map(str, (tmp_path / "videos").rglob("*.mp4")))
    assert run(OneHand(), clips) == (12, 6)
