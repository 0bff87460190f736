"""hoiray with the landmark networks beside a plain script with the same networks, on the same clips and one core.

The peer is MediaPipe itself, in an environment of its own (it wants another NumPy). Its output are 21 points of every
hand in the image and in space; hoiray's rows hold these too, and beside them the fitted hand, its measurements and its
verdict, as Parquet: hoiray cannot be asked for less, so it does more.

    python3.11 -m venv mp && mp/bin/pip install mediapipe==0.10.21
    python jobs/benchmark.py all --parts peer --clips FOLDER --python mp/bin/python

A few short clips are enough: some 70 frames take a minute and a half.
"""

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from hoiray.benchmarks import mediapipe_script
from hoiray.benchmarks.goals import Row
from hoiray.benchmarks.timing import Spread
from hoiray.config.load import parse_run
from hoiray.config.what import RunConfig
from hoiray.errors import InputError, describe

BATCH_SIZE: Final = 8
MODES: Final = (("peer", "video"), ("peer_images", "image"))
SUFFIXES: Final = (".mp4", ".webm", ".mkv", ".avi", ".mov")


def measure(folder: Path, *, pairs: int, clips: Path, python: Path) -> list[Row]:
    """Measure on the clips of a folder; `folder` is empty.

    Args:
        folder: for what is written.
        pairs: of measurements.
        clips: with videos of hands.
        python: of an environment that has MediaPipe 0.10.21, the last with `solutions`.

    Raises:
        InputError: there are no clips, or the landmark networks were not fetched.
    """
    paths = sorted(path for path in clips.iterdir() if path.suffix in SUFFIXES) if clips.is_dir() else []
    if not paths:
        expected, fix = "a folder of videos with hands", "Name another one: --clips FOLDER."
        raise InputError(describe(what=str(clips), expected=expected, found="no video", fix=fix))
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        label = _Labelling(folder, clips)
        with ExitStack() as stack:
            scripts = [stack.enter_context(_script(python, mode, paths)) for _, mode in MODES]
            turns = [_turn(label, scripts, is_reversed=pair % 2 == 1) for pair in range(pairs)]
        label.close()
    finally:
        os.sched_setaffinity(0, cores)
    return [_row(key, turns, index) for index, (key, _) in enumerate(MODES)]


@dataclass(frozen=True)
class Turn:
    """One measurement of every side.

    Attributes:
        label_s, num_rows: hoiray's, with the rows that have a hand.
        scripts: of each script its seconds, frames and hands.
    """

    label_s: float
    num_rows: int
    scripts: tuple[tuple[float, int, int], ...]


def _turn(label: "_Labelling", scripts: "Sequence[subprocess.Popen[str]]", *, is_reversed: bool) -> Turn:
    """Let every side go through the clips once, hoiray first or last."""
    before = () if not is_reversed else tuple(map(_told, scripts))
    label_s = label.run()
    return Turn(label_s, label.num_hands, before or tuple(map(_told, scripts)))


def _told(script: "subprocess.Popen[str]") -> tuple[float, int, int]:
    assert script.stdin is not None
    assert script.stdout is not None
    script.stdin.write("\n")
    script.stdin.flush()
    seconds, num_frames, num_hands = script.stdout.readline().split()
    return float(seconds), int(num_frames), int(num_hands)


def _row(key: str, turns: Sequence[Turn], index: int) -> Row:
    """Make the row of a script: its seconds over hoiray's, turn by turn."""
    ratios = [turn.scripts[index][0] / turn.label_s for turn in turns]
    _, frames, hands = turns[0].scripts[index]
    own = frames / statistics.median(turn.label_s for turn in turns)
    theirs = frames / statistics.median(turn.scripts[index][0] for turn in turns)
    note = f"{own:.1f} against {theirs:.1f} frames/s; {turns[0].num_rows} rows with a hand against {hands} hands."
    return Row(key, Spread.of(ratios), len(turns), note)


class _Labelling:
    """hoiray's side: the networks are loaded once, every run writes a new folder."""

    def __init__(self, folder: Path, clips: Path) -> None:
        from hoiray.engine.session import settle_threads
        from hoiray.stages.frame_source import DecodeSettings, LocalFrames
        from hoiray.stages.label_shard import Tools
        from hoiray.stages.teacher import open_teacher

        self._folder, self._clips, self.num_hands = folder / "out", clips, 0
        self._frames = LocalFrames(DecodeSettings(None))
        settle_threads()
        self._tools = Tools(open_teacher(self._run(), device="cpu", batch_size=BATCH_SIZE), self._frames, BATCH_SIZE)
        self.run()

    def _run(self) -> RunConfig:
        values = {
            "output_uri": str(self._folder),
            "videos": {"uri": str(self._clips), "box_format": "none", "hand_side": "boxes"},
            "hand": {"flat_hand_mean": True}, "teacher": {"predictor": "landmarks"},
            "ensemble": {"num_views": 1}, "limits": {"preset": "paper", "min_box_iou": None},
        }  # fmt: skip
        return parse_run(yaml.safe_dump(values))

    def run(self) -> float:
        """Label the clips from an empty folder; return the seconds."""
        from hoiray.predictors.landmarks.predictor import LandmarkPredictor
        from hoiray.stages.label_job import open_label_job
        from hoiray.stages.label_shard import ShardResult, label_here

        shutil.rmtree(self._folder, ignore_errors=True)
        # or the networks would know every crop from the run before
        assert isinstance(self._tools.predictor, LandmarkPredictor)
        self._tools.predictor.networks.forget()
        begin = time.perf_counter()
        results = list(label_here(open_label_job(self._run()), self._tools, lambda _count: None))
        seconds = time.perf_counter() - begin
        self.num_hands = sum(it.num_rows for it in results if isinstance(it, ShardResult))
        return seconds

    def close(self) -> None:
        with closing(self._frames):
            pass


@contextmanager
def _script(python: Path, mode: str, clips: Sequence[Path]) -> "Iterator[subprocess.Popen[str]]":
    command = [str(python), str(mediapipe_script.__file__), mode, *map(str, clips)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                expected, fix = "a Python with mediapipe 0.10.21", "See the head of hoiray/benchmarks/peer.py."
                raise InputError(describe(what=str(python), expected=expected, found="one that ended", fix=fix))
            yield process
        finally:
            process.kill()
