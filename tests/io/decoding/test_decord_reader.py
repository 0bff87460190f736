from dataclasses import replace

import pytest
from bad_videos import filler_at_the_end, plain

from hoiray.io.decoding.container import scan_container
from hoiray.io.decoding.decord_reader import DecordFailedError, DecordReader, why_not_decord


def test_another_count_than_that_of_the_packets_is_a_failure() -> None:
    facts = scan_container(plain(), "x")
    short = replace(facts.timeline, pts=facts.timeline.pts[:-1])
    with pytest.raises(DecordFailedError, match="24 frames instead of 23"):
        DecordReader(plain(), replace(facts, timeline=short))


def test_what_decord_cannot_open_is_a_failure() -> None:
    with pytest.raises(DecordFailedError):
        DecordReader(b"junk" * 100, scan_container(plain(), "x"))


def test_a_file_that_promises_too_many_frames_is_kept_from_decord() -> None:
    facts = scan_container(filler_at_the_end(), "x")
    assert why_not_decord(facts) == "the packets do not tell the frames"
    assert (facts.claimed_num_frames, facts.num_frames) == (24, 22)
