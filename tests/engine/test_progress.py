import pytest

from hoiray.engine.label import Tick
from hoiray.engine.progress import LabelProgress, duration
from hoiray.stages.label_shard import BucketResult, ShardResult


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def shard(name: str, *, num_dead: int = 0, judged: BucketResult | None = None) -> ShardResult:
    return ShardResult(name, 400, num_videos=10, num_dead=num_dead, num_rows=400, num_frames=390, judged=judged)


def bucket(num_accepted: int) -> BucketResult:
    return BucketResult("b", 400, num_accepted, {}, 0.1)


def test_one_line_says_how_far_it_is() -> None:
    clock = Clock()
    progress = LabelProgress(4, 1600, clock)
    clock.now_s += 70.0
    progress.count(Tick(0, has_begun=False))
    assert progress.line() == "0 of 4 shards, workers are starting (70 s)"
    progress.count(Tick(0))
    clock.now_s += 10.0
    assert progress.line() == "0 of 4 shards, 0.0 frames/s"
    progress.count(Tick(200))
    assert progress.line() == "0 of 4 shards, 20.0 frames/s, 70 s to go"
    progress.count(shard("a", num_dead=2, judged=bucket(100)))
    progress.count(bucket(300))
    clock.now_s += 10.0
    progress.count(Tick(500))
    assert progress.line() == "1 of 4 shards, 25.0 frames/s, 50% accepted, 2 videos given up, 44 s to go"
    for name in "bcd":
        progress.count(shard(name))
    assert progress.line() == "4 of 4 shards, 25.0 frames/s, 50% accepted, 2 videos given up"


def test_frames_of_this_process_are_counted_as_they_are_predicted() -> None:
    clock = Clock()
    progress = LabelProgress(1, 100, clock)
    clock.now_s += 50.0
    progress.begin()
    for _ in range(20):
        clock.now_s += 0.1
        progress.count_frames(1)
    assert progress.line() == "0 of 1 shards, 10.0 frames/s, 8 s to go"


def test_a_run_whose_videos_die_wholesale_is_told_to_stop() -> None:
    progress = LabelProgress(100, 40000, Clock())
    for _ in range(19):
        progress.count(shard("a", num_dead=9))
    assert progress.over_budget(0.05) is None
    assert "171 of 190 videos" in str(progress.over_budget(0.05, is_over=True))
    progress.count(shard("b", num_dead=9))
    assert "180 of 200 videos (90.0%) were given up" in str(progress.over_budget(0.05))


DURATIONS = [
    *((0.4, "0 s"), (3.2, "3 s"), (89.0, "89 s"), (120.0, "2 min")),
    *((5000.0, "83 min"), (7200.0, "2.0 h"), (9000.0, "2.5 h")),
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
