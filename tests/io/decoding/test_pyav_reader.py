from dataclasses import replace

import numpy as np
import pytest
from bad_videos import plain
from clips import overwritten

from hoiray.io.decoding.container import scan_container
from hoiray.io.decoding.failures import DamagedVideoError, UnsupportedVideoError
from hoiray.io.decoding.pyav_reader import PyavReader


def test_a_frame_that_no_packet_announced_is_damage() -> None:
    facts = scan_container(plain(), "x")
    timeline = replace(facts.timeline, pts=np.delete(facts.timeline.pts, 5), is_key=np.delete(facts.timeline.is_key, 5))
    reader = PyavReader(plain(), "x", replace(facts, timeline=timeline))
    with pytest.raises(DamagedVideoError, match="x: expected a sound frame 5, found a frame at time stamp"):
        list(reader.frames(range(10)))


def test_a_packet_without_its_frame_is_damage_in_the_middle_and_the_end_at_the_end() -> None:
    facts = scan_container(plain(), "x")
    pts = facts.timeline.pts

    def with_times(times: np.ndarray) -> PyavReader:
        is_key = np.arange(len(times)) == 0
        return PyavReader(plain(), "x", replace(facts, timeline=replace(facts.timeline, pts=times, is_key=is_key)))

    with pytest.raises(DamagedVideoError, match="a packet that gives no frame; the next is 6"):
        list(with_times(np.insert(pts, 5, pts[5] - 1)).frames(range(10)))
    assert len(list(with_times(np.append(pts, pts[-1] + 1024)).frames(range(25)))) == 24


def test_a_picture_of_another_size_is_refused() -> None:
    reader = PyavReader(plain(), "x", replace(scan_container(plain(), "x"), width_px=98))
    with pytest.raises(
        UnsupportedVideoError, match="pictures of 98 x 64 px as at its start, found 96 x 64 px at frame 0"
    ):
        list(reader.frames([0]))


def test_damage_before_the_wanted_frame_is_damage() -> None:
    reader = PyavReader(data := overwritten(plain(), 8, b"\0", start=30), "x", scan_container(data, "x"))
    with pytest.raises(DamagedVideoError):
        list(reader.frames([10]))
    assert len(list(reader.frames([12, 23]))) == 2
