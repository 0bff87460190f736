"""Packing videos into shards of about equal cost: pure, and the same whatever the order of the videos."""

import hashlib
import heapq
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hoiray.config.what import Sharding

ID_DIGITS: Final = 32
"""Digits of an id: 128 bit, no collision among 1e9 shards (p = 1.5e-21)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video that is to be packed.

    Attributes:
        video_id: the video.
        version: what identifies its content: size, etag, digest of its boxes.
        num_frames: at the sampled rate; None where unknown.
        cost_frames: what the planner reckons with, 1 or more.
    """

    video_id: str
    version: tuple[int, str | None, str | None]
    num_frames: int | None
    cost_frames: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a video, mostly the whole of it.

    Attributes:
        video: which one.
        segment_index: its number in the video, from 0.
        first_frame_index: where it begins.
        num_frames: its frames; None up to the video's end, wherever that is.
        cost_frames: what the planner reckons with.
    """

    video: Candidate
    segment_index: int
    first_frame_index: int
    num_frames: int | None
    cost_frames: int


@dataclass(frozen=True, slots=True)
class PackedShard:
    """A shard: its segments sorted by video, and the bucket it is judged in."""

    shard_id: str
    bucket_id: str
    segments: tuple[Segment, ...]

    @property
    def cost_frames(self) -> int:
        """What the planner reckons with."""
        return sum(segment.cost_frames for segment in self.segments)


def pack(candidates: Iterable[Candidate], sharding: Sharding, sample_rate_hz: float | None) -> list[PackedShard]:
    """Pack videos into shards, sorted by shard_id.

    Whole videos go, the longest first, to the shard that has least (LPT; Graham 1969: the largest shard is at most 4/3
    of the best possible). A video of more than `max_video_frames` is cut into segments of `target_frames`, a shard
    each; they share a bucket.
    """
    ordered = sorted(candidates, key=lambda video: (-video.cost_frames, video.video_id))
    is_long = [video.num_frames is not None and video.num_frames > sharding.max_video_frames for video in ordered]
    shards = _pack_whole(
        [video for video, long in zip(ordered, is_long, strict=True) if not long], sharding, sample_rate_hz
    )
    for video, long in zip(ordered, is_long, strict=True):
        if long:
            shards += _cut(video, sharding.target_frames, sample_rate_hz)
    return sorted(shards, key=lambda shard: shard.shard_id)


def shard_id(segments: Sequence[Segment], sample_rate_hz: float | None) -> str:
    """Return a shard's id: the digest of which frames of which versions of which videos it holds, at which rate.

    Of nothing else: not of the plan, the cluster, the other shards, an estimate, or where the videos lie. So a plan
    that grew keeps the ids of the shards it did not touch, and their results.
    """
    members = [
        # a whole video is whole, whether or not its length is known
        [segment.video.video_id, *segment.video.version, segment.first_frame_index, segment.num_frames]
        for segment in sorted(segments, key=lambda segment: (segment.video.video_id, segment.first_frame_index))
    ]
    return id_of({"sample_rate_hz": sample_rate_hz, "members": members})


def id_of(content: object) -> str:
    """Return the digest of a JSON value in canonical form, `ID_DIGITS` long."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:ID_DIGITS]


def _pack_whole(ordered: Sequence[Candidate], sharding: Sharding, sample_rate_hz: float | None) -> list[PackedShard]:
    total = sum(video.cost_frames for video in ordered)
    loads = [(0, index) for index in range(min(len(ordered), math.ceil(total / sharding.target_frames)))]
    bins: list[list[Segment]] = [[] for _ in loads]
    for video in ordered:
        load, index = heapq.heappop(loads)
        bins[index].append(Segment(video, 0, 0, None, video.cost_frames))
        heapq.heappush(loads, (load + video.cost_frames, index))
    shards = []
    for segments in bins:
        name = shard_id(segments, sample_rate_hz)
        ordered_segments = tuple(sorted(segments, key=lambda segment: segment.video.video_id))
        shards.append(PackedShard(name, name, ordered_segments))
    return shards


def _cut(video: Candidate, target_frames: int, sample_rate_hz: float | None) -> list[PackedShard]:
    assert video.num_frames is not None
    count = math.ceil(video.num_frames / target_frames)
    segments = [
        Segment(
            video,
            index,
            index * target_frames,
            # what a container says of its length is not believed: the last segment goes to the real end
            target_frames if index < count - 1 else None,
            min(target_frames, video.num_frames - index * target_frames),
        )
        for index in range(count)
    ]
    names = [shard_id([segment], sample_rate_hz) for segment in segments]
    bucket = id_of({"bucket": names})
    return [PackedShard(name, bucket, (segment,)) for name, segment in zip(names, segments, strict=True)]
