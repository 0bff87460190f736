from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from labelling import Clip, clips, run_of, write_videos

from hoiray.io.decoding.failures import DecodeError
from hoiray.io.store import Store
from hoiray.stages.frame_source import DecodeSettings, Frames, LocalFrames
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.plan import load_shard
from hoiray.stages.wanted import WantedVideo, wanted_videos

BAD = "clip 01b.mp4"
Opened = Callable[[Sequence[WantedVideo]], Iterator[Frames]]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> list[WantedVideo]:
    folder = tmp_path_factory.mktemp("frames")
    write_videos(str(folder), clips(4) | {BAD: Clip(40, damage=lambda it: it[:-100])})
    run = run_of(folder, folder / "out", target_frames=1000, max_video_frames=1000)
    plan = make_plan(IndexRequest(run.videos, run.sharding), Store.open(folder / "plan"))
    (entry,) = plan.shards()
    return wanted_videos(load_shard(plan, entry), "both")


def read(videos: Iterator[Frames]) -> dict[str, object]:
    """Frames of each video in the order they come, or the class of its error."""
    found: dict[str, object] = {}
    for video, batches in videos:
        try:
            found[video.video_id] = np.concatenate([batch.frames for batch in batches]).tobytes()
        except DecodeError as error:
            found[video.video_id] = type(error).__name__
    return found


def test_decoding_ahead_gives_the_frames_of_decoding_one_by_one(wanted: list[WantedVideo]) -> None:
    frames = LocalFrames(DecodeSettings(None, num_decoders=3))
    try:
        ahead, plain = read(frames.videos(wanted)), read(frames.one_by_one(wanted))
    finally:
        frames.close()
    assert list(ahead) == [video.video_id for video in wanted]
    assert ahead == plain
    assert ahead[BAD] == "TruncatedVideoError"


def test_videos_that_nobody_reads_hold_up_no_other(wanted: list[WantedVideo]) -> None:
    frames = LocalFrames(DecodeSettings(None, num_decoders=1))
    try:
        for _, batches in frames.videos(wanted):
            assert len(next(batches).frames) > 0
            batches.close()  # type: ignore[attr-defined]  # a generator
            break
        assert list(read(frames.videos(wanted))) == [video.video_id for video in wanted]
    finally:
        frames.close()
