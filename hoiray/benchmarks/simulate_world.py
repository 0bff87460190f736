"""A world of videos that follow from a seed: lengths with a long tail, planted faults, and verdicts that are known.

Nothing is stored. A video's number and the world's seed say how long it is and what is wrong with it; its frames carry
number and frame in their first pixels, and the predictor reads them there and answers what the world says. So plan,
dispatch, tracking, filters, verdicts, commits, resume and snapshots run as on real videos, at the speed of memory.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.benchmarks.free_predictor import BOX_SIDE_M, TIP_SET, stretched_hand_m
from hoiray.io.decoding.failures import UnreadableVideoError
from hoiray.predictors.detector import DetectedHands
from hoiray.predictors.protocol import HandPredictions, HandRequest
from hoiray.stages.decode import FrameBatch
from hoiray.stages.frame_source import Frames
from hoiray.stages.listing import FoundVideo
from hoiray.stages.wanted import WantedVideo

IntArray = npt.NDArray[np.int64]

BYTES_A_FRAME: Final = 2500.0
"""With which a plan reckons the length of a video from its size."""

SHORTEST: Final = 8
LONGEST: Final = 4096
TAIL_INDEX: Final = 1.3
"""Of the Pareto distribution of lengths: finite mean, no variance."""

MEDIAN_TAIL: Final = 24.0
SIZE_GUESS: Final = 0.5
"""Sizes in bytes are off by up to this factor, so that a plan's cost is a guess as it is for real files."""

HEIGHT, WIDTH = 48, 64
CODE_BYTES: Final = 8
FRAME_BYTES: Final = 3
BOX_XYXY: Final = (6.0, 5.0, 34.0, 40.0)
DRIFT_PX: Final = 0.02
JUMP_PX: Final = 30.0
FRAMES_A_SECOND: Final = 12.0
BATCH_FRAMES: Final = 64
MIXED: Final = 0x9E3779B97F4A7C15
WORD: Final = 1 << 64

FAULTS: Final = ("none", "jump", "short_bones", "wrong_place", "no_hand", "unreadable")
SHARES: Final = (0.80, 0.06, 0.05, 0.04, 0.03, 0.02)
REASON_OF: Final = {"jump": "motion_2d", "short_bones": "bone_length", "wrong_place": "reprojection"}


@dataclass(frozen=True)
class World:
    """Videos by number.

    Attributes:
        seed: of everything.
        num_videos: how many there are.
    """

    seed: int
    num_videos: int

    def length(self, number: int) -> int:
        """Return the frames of a video."""
        tail = (1.0 - self._uniform(number, 1)) ** (-1.0 / TAIL_INDEX) - 1.0
        return int(min(SHORTEST + MEDIAN_TAIL * tail, LONGEST))

    def fault(self, number: int) -> str:
        """Return what is wrong with a video."""
        return FAULTS[int(np.searchsorted(np.cumsum(SHARES)[:-1], self._uniform(number, 2), side="right"))]

    def listing(self) -> Iterator[FoundVideo]:
        """List all videos as a folder would."""
        for number in range(self.num_videos):
            guess = 1.0 + SIZE_GUESS * (2.0 * self._uniform(number, 3) - 1.0)
            size = round(self.length(number) * BYTES_A_FRAME * guess)
            name = f"{number:010d}.mp4"
            yield FoundVideo(name, f"s3://nowhere/{name}", size, f"{self.seed}", None)

    def verdict(self, number: int) -> "Verdict":
        """Say what a labelling by the paper's rules has to find."""
        frames, fault = self.length(number), self.fault(number)
        if fault in {"no_hand", "unreadable"}:
            return Verdict(0, 0, Counter(), is_dead=fault == "unreadable")
        # a track's first frame has no predecessor; a jump spoils two pairs; other faults spoil every frame
        reasons = Counter({"no_predecessor": 1})
        if fault == "none":
            return Verdict(frames, frames - 1, reasons, is_dead=False)
        spoilt = 2 if fault == "jump" else frames
        accepted = frames - 1 - spoilt if fault == "jump" else 0
        return Verdict(frames, accepted, reasons + Counter({REASON_OF[fault]: spoilt}), is_dead=False)

    def _uniform(self, number: int, stream: int) -> float:
        """Return a number in [0, 1) that follows from the video and the stream (splitmix64, Steele et al. 2014)."""
        mixed = (number * 4 + stream + self.seed * 0x5851F42D4C957F2D + 1) * MIXED % WORD
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % WORD
        return ((mixed ^ (mixed >> 31)) >> 11) / float(1 << 53)


@dataclass(frozen=True)
class Verdict:
    """What is known of a video's labels.

    Attributes:
        num_rows, num_accepted: labels.
        reasons: rows by the reason that was planted; a row that is refused for it may have further ones.
        is_dead: the video is given up.
    """

    num_rows: int
    num_accepted: int
    reasons: Counter[str]
    is_dead: bool


class WorldFrames:
    """Shows the frames of a world; see :class:`hoiray.stages.frame_source.FrameSource`."""

    def __init__(self, world: World) -> None:
        """Remember the world."""
        self._world = world

    def videos(self, wanted: Sequence[WantedVideo]) -> Generator[Frames, None, None]:
        """Show the videos one after another."""
        for video in wanted:
            yield video, self._batches(video)

    def one_by_one(self, wanted: Sequence[WantedVideo]) -> Generator[Frames, None, None]:
        """Do the same: nothing is ever opened ahead."""
        yield from self.videos(wanted)

    def close(self) -> None:
        """Nothing is held."""

    def _batches(self, video: WantedVideo) -> Iterator[FrameBatch]:
        number = number_of(video.video_id)
        if self._world.fault(number) == "unreadable":
            raise UnreadableVideoError(f"{video.uri}: this world has planned that nobody can read it")
        length = self._world.length(number)
        for start in range(0, length, BATCH_FRAMES):
            index = np.arange(start, min(start + BATCH_FRAMES, length), dtype=np.int32)
            yield FrameBatch(video.video_id, index, index, index / FRAMES_A_SECOND, coded_frames(number, index))


class WorldPredictor:
    """Answers for the frames of a world, and finds their hands."""

    name, digest, tip_set, hand, device = "world", "1", TIP_SET, None, "cpu"

    def __init__(self, world: World) -> None:
        """Remember the world."""
        self._world = world

    def frame_source(self) -> WorldFrames:
        """Return where its frames come from."""
        return WorldFrames(self._world)

    def new_tracker(self) -> "WorldTracker":
        """Begin a video."""
        return WorldTracker(self._world)

    def predict(self, request: HandRequest) -> HandPredictions:
        """Answer what the world says of each hand: a flat hand in its box, but for the fault of its video."""
        numbers, frames = read_codes(request.frames[request.frame_index])
        joints = np.repeat(stretched_hand_m()[None], len(request), axis=0)
        faults = np.array([self._world.fault(number) for number in numbers.tolist()])
        middles = np.array([self._world.length(number) // 2 for number in numbers.tolist()])
        # the outermost bone of every finger has no length
        short = faults == "short_bones"
        joints[np.ix_(short, range(4, 21, 4))] = joints[np.ix_(short, range(3, 21, 4))]
        box = request.hand_boxes_xyxy
        center, side = (box[:, :2] + box[:, 2:]) / 2.0, (box[:, 2:] - box[:, :2]).max(axis=1)
        middle = joints[:, :, :2].mean(axis=1, keepdims=True)
        points = center[:, None] + (side / BOX_SIDE_M)[:, None, None] * (joints[:, :, :2] - middle)
        # two fingers where no camera can put them
        points[faults == "wrong_place", 1:9] += JUMP_PX
        points[(faults == "jump") & (frames == middles)] += JUMP_PX
        return HandPredictions(joints, points)


class WorldTracker:
    """Finds the one hand that a frame of a world has, or none."""

    def __init__(self, world: World) -> None:
        """Remember the world."""
        self._world = world

    def step(self, frame_index: int, image: npt.NDArray[np.uint8]) -> DetectedHands:
        """Return the hand of a frame; it drifts a little from frame to frame."""
        (number,) = read_codes(image[None])[0].tolist()
        count = 0 if self._world.fault(number) == "no_hand" else 1
        drift = DRIFT_PX * (frame_index % 100)
        box = np.array([BOX_XYXY])[:count] + drift
        return DetectedHands(
            box,
            np.ones(count, np.bool_),
            np.zeros(count, np.int64),
            ("tracked" if frame_index else "detected",) * count,
        )


def number_of(video_id: str) -> int:
    """Return the number of a video from its name."""
    return int(video_id.partition(".")[0])


def coded_frames(number: int, index: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Return (N, HEIGHT, WIDTH, 3) frames that carry the number of their video and their own."""
    frames = np.zeros((len(index), HEIGHT, WIDTH, 3), np.uint8)
    code = (np.int64(number) << (8 * FRAME_BYTES)) + index.astype(np.int64)
    frames[:, 0, :CODE_BYTES, 0] = code.astype("<i8").view(np.uint8).reshape(len(index), CODE_BYTES)
    return frames


def read_codes(frames: npt.NDArray[np.uint8]) -> tuple[IntArray, IntArray]:
    """Return the numbers of videos and of frames that (N, H, W, 3) frames carry."""
    code = np.ascontiguousarray(frames[:, 0, :CODE_BYTES, 0]).view("<i8")[:, 0].astype(np.int64)
    return code >> (8 * FRAME_BYTES), code & ((1 << (8 * FRAME_BYTES)) - 1)


def make(
    *, checkpoint_uri: str | None, hand_path: Path | None, device: str, seed: int, num_videos: int
) -> WorldPredictor:
    """Make the predictor of a world."""
    del checkpoint_uri, hand_path, device
    return WorldPredictor(World(seed, num_videos))
