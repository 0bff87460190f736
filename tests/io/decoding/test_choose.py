from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from bad_videos import ODD, OddVideo, plain
from clips import clip, number_in, overwritten

from hoiray.io.decoding import choose
from hoiray.io.decoding.choose import Decoder, open_reader
from hoiray.io.decoding.decord_reader import why_not_decord
from hoiray.io.decoding.failures import FAILURES, DamagedVideoError

ALIVE = [odd for odd in ODD if odd.error_class is None]
DEAD = [odd for odd in ODD if odd.error_class is not None]


@pytest.mark.parametrize("odd", ALIVE, ids=lambda odd: odd.key)
def test_odd_files_give_their_pictures_and_both_decoders_the_same(odd: OddVideo) -> None:
    data = odd.content()
    reader = open_reader(data, odd.key, "pyav")
    frames = list(reader.frames(range(reader.facts.num_frames)))
    images = [odd.turn(frame.image) if odd.turn else frame.image for frame in frames]
    assert [number_in(image) for image in images] == odd.shown
    assert [frame.source_index for frame in frames] == list(range(len(frames)))
    assert all(np.diff([frame.time_s for frame in frames]) > 0)
    if why_not_decord(reader.facts) is None:
        others = list(open_reader(data, odd.key, "decord").frames(range(len(frames))))
        for frame, other in zip(frames, others, strict=True):
            assert frame[:2] == other[:2]
            np.testing.assert_array_equal(frame.image, other.image)


@pytest.mark.parametrize("odd", DEAD, ids=lambda odd: odd.key)
def test_bad_files_are_named(odd: OddVideo) -> None:
    with pytest.raises(FAILURES[odd.error_class or ""], match=r".+: expected .+, found .+\. .+") as caught:  # noqa: PT012 - opening or reading may find it
        reader = open_reader(odd.content(), odd.key, "pyav")
        list(reader.frames(range(reader.facts.num_frames)))
    assert str(caught.value).startswith(odd.key)


@pytest.mark.parametrize(
    ("codec", "decoder"),
    [("libx264", "pyav"), ("libx264", "decord"), ("libvpx-vp9", "pyav"), ("libvpx-vp9", "decord"), ("libx265", "pyav")],
)
def test_a_segment_equals_the_same_part_of_the_whole(codec: str, decoder: Decoder) -> None:
    options = {
        "libx264": {},
        "libx265": {"x265-params": "log-level=none:keyint=8:open-gop=1"},
        "libvpx-vp9": {"g": "9"},
    }
    container = "webm" if codec == "libvpx-vp9" else "mp4"
    reader = open_reader(clip(codec=codec, container=container, options=options[codec]), "x", decoder)
    assert reader.facts.timeline.is_key.sum() > 1
    assert reader.facts.has_open_groups == (codec == "libx265")
    whole = list(reader.frames(range(24)))
    for wanted in ([11, 12, 13], [13, 17, 23], [23], [12], [1]):
        part = list(reader.frames(wanted))
        assert [frame.source_index for frame in part] == wanted
        for frame in part:
            np.testing.assert_array_equal(frame.image, whole[frame.source_index].image)


@pytest.mark.parametrize("first", [9, 12, 13, 23])
def test_far_frames_are_read_from_the_key_frame_before_them_and_are_those_of_the_whole(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "FAR_FRAMES", 10)
    whole = list(open_reader(plain(), "x", "pyav").frames(range(24)))
    reader = open_reader(plain(), "x")
    part = list(reader.frames(range(first, 24)))
    assert reader.name == ("pyav" if first >= 10 else "decord")
    for frame, other in zip(part, whole[first:], strict=True):
        assert frame[:2] == other[:2]
        np.testing.assert_array_equal(frame.image, other.image)


def test_no_frames_are_nothing() -> None:
    assert list(open_reader(plain(), "x", "pyav").frames([])) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (clip(codec="libsvtav1"), "the codec is av1"),
        (clip(pixels="yuv420p10le"), "the pixels are yuv420p10le"),
        (clip([0, 1, 5, 6], unit=Fraction(1, 12)), "frames are shown for different times"),
    ],
)
def test_what_decord_gets_wrong_goes_to_pyav(data: bytes, reason: str) -> None:
    reader = open_reader(data, "x")
    assert reader.name == "pyav"
    assert why_not_decord(reader.facts) == reason


class Complaints:
    """A log that says something at the given question."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


@pytest.mark.parametrize("at", [2, 10, 25, 26])
def test_a_complaint_that_means_nothing_changes_no_frame(at: int) -> None:
    whole = list(open_reader(plain(), "x", "pyav").frames(range(24)))
    reader = open_reader(plain(), "x", has_complained=Complaints(at))
    frames = list(reader.frames(range(24)))
    assert reader.name == ("decord" if at > 26 else "pyav")
    for frame, other in zip(frames, whole, strict=True):
        assert frame[:2] == other[:2]
        np.testing.assert_array_equal(frame.image, other.image)


def test_damage_that_decord_paints_over_is_found_once_it_complains() -> None:
    data = overwritten(plain(), 15, b"\0", start=30)
    given: list[int] = []

    def frames() -> Iterator[int]:
        for frame in open_reader(data, "x", has_complained=Complaints(20)).frames(range(24)):
            given.append(frame.source_index)
            yield frame.source_index

    with pytest.raises(DamagedVideoError, match="x: expected a sound frame 1"):
        list(frames())
    assert given == list(range(len(given)))
