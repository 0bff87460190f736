import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.config.what import Sharding
from hoiray.stages.packing import Candidate, pack

SHARDING = Sharding(target_frames=100, max_video_frames=300)


def candidate(name: str, cost: int, *, known: bool = False, etag: str = "e") -> Candidate:
    return Candidate(name, (cost, etag, None), cost if known else None, cost)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 900), max_size=60), st.integers(0, 1000))
def test_every_frame_is_in_one_shard_whatever_the_order(costs: list[int], seed: int) -> None:
    videos = [candidate(f"v{index}", cost, known=index % 2 == 0) for index, cost in enumerate(costs)]
    shards = pack(videos, SHARDING, None)
    shuffled = videos[:]
    random.Random(seed).shuffle(shuffled)
    assert pack(shuffled, SHARDING, None) == shards
    assert [shard.shard_id for shard in shards] == sorted({shard.shard_id for shard in shards})
    by_video: dict[str, list[tuple[int, int | None]]] = {}
    for shard in shards:
        for segment in shard.segments:
            name = segment.video.video_id
            by_video.setdefault(name, []).append((segment.first_frame_index, segment.num_frames))
    assert set(by_video) == {video.video_id for video in videos}
    for spans in by_video.values():
        ordered = sorted(spans)
        assert ordered[0][0] == 0
        assert ordered[-1][1] is None
        for (first, count), (following, _) in itertools.pairwise(ordered):
            assert count is not None
            assert first + count == following
    assert sum(shard.cost_frames for shard in shards) == sum(costs)


def test_shards_are_of_about_equal_cost() -> None:
    rng = random.Random(0)
    shards = pack([candidate(f"v{index}", rng.randint(1, 90)) for index in range(400)], SHARDING, None)
    costs = [shard.cost_frames for shard in shards]
    assert max(costs) <= 110
    assert max(costs) - min(costs) <= 10


def test_a_long_video_becomes_a_bucket_of_segments_that_ends_at_its_real_end() -> None:
    shards = pack([candidate("long", 350, known=True), candidate("short", 10)], SHARDING, None)
    long = sorted(
        (s for s in shards if s.segments[0].video.video_id == "long"), key=lambda s: s.segments[0].segment_index
    )
    spans = [(s.segments[0].first_frame_index, s.segments[0].num_frames, s.cost_frames) for s in long]
    assert spans == [(0, 100, 100), (100, 100, 100), (200, 100, 100), (300, None, 50)]
    assert len({shard.bucket_id for shard in long}) == 1
    short = next(s for s in shards if s not in long)
    assert short.bucket_id == short.shard_id
    assert long[0].bucket_id not in {shard.shard_id for shard in shards}


def test_an_id_changes_with_what_is_in_the_shard_and_with_nothing_else() -> None:
    def ids(*videos: Candidate, rate: float | None = None) -> set[str]:
        return {shard.shard_id for shard in pack(videos, SHARDING, rate)}

    base = ids(candidate("a", 50), candidate("b", 40))
    assert ids(candidate("a", 50, etag="other"), candidate("b", 40)) != base
    assert ids(candidate("a", 50), candidate("c", 40)) != base
    assert ids(candidate("a", 50), candidate("b", 40), rate=12.0) != base
    # an estimate, or a length that becomes known, is no content
    assert {s.shard_id for s in pack([Candidate("a", (1, "e", None), None, 5)], SHARDING, None)} == {
        s.shard_id for s in pack([Candidate("a", (1, "e", None), 7, 7)], SHARDING, None)
    }
    # another video far away changes no shard but those it is packed with
    big = ids(candidate("a", 100), candidate("b", 100))
    assert big < ids(candidate("a", 100), candidate("b", 100), candidate("c", 100))
