from fractions import Fraction

import numpy as np
import pytest
from clips import clip

from hoiray.io.decoding.container import scan_container
from hoiray.io.decoding.sampling import sampled_sources
from hoiray.io.decoding.timeline import Timeline

FFMPEG_4_2_AT_12_HZ = {
    # what `ffmpeg -i IN -r 12 %04d.png` (4.2.2) wrote of files of these rates whose pictures tell their number
    Fraction(12): (30, list(range(30))),
    Fraction(24): (24, [0, 1, 2, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]),
    Fraction(25): (
        50,
        [0, 1, 2, 3, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49],
    ),
    Fraction(30000, 1001): (
        60,
        [0, 1, 2, 4, 7, 9, 12, 14, 17, 19, 22, 24, 27, 29, 32, 34, 37, 39, 42, 44, 47, 49, 52, 54, 57, 59],
    ),
    Fraction(30): (
        60,
        [0, 1, 2, 4, 7, 9, 12, 14, 17, 19, 22, 24, 27, 29, 32, 34, 37, 39, 42, 44, 47, 49, 52, 54, 57, 59],
    ),
    Fraction(60): (80, [0, 1, 4, 9, 14, 19, 24, 29, 34, 39, 44, 49, 54, 59, 64, 69, 74, 79]),
    Fraction(15): (
        30,
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 19, 20, 22, 23, 24, 25, 27, 28, 29],
    ),
    Fraction(10): (20, [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 18, 18, 19]),
    Fraction(5): (10, [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 7, 7, 8, 8, 9, 9, 9]),
    Fraction(1): (3, [0] * 12 + [1] * 12 + [2] * 12),
}
VARIABLE_MS = [
    0, 204, 234, 287, 353, 406, 608, 826, 870, 881, 930, 1200, 1240, 1290, 1700, 1733, 1766, 1800, 1850, 2100,
]  # fmt: skip


def timeline(pts: list[int], time_base: Fraction, rate: Fraction, start_us: int = 0) -> Timeline:
    """Frames of a constant duration, as files say."""
    durations = np.full(len(pts), int(1 / rate / time_base))
    return Timeline(np.array(pts), durations, time_base, start_us, np.ones(len(pts), dtype=bool), rate)


@pytest.mark.parametrize("rate", FFMPEG_4_2_AT_12_HZ, ids=str)
@pytest.mark.parametrize("time_base", ["of the rate", Fraction(1, 1000)], ids=str)
def test_frames_get_the_numbers_ffmpeg_gives_them(rate: Fraction, time_base: Fraction | str) -> None:
    num_frames, expected = FFMPEG_4_2_AT_12_HZ[rate]
    unit = 1 / rate if isinstance(time_base, str) else time_base
    frames = timeline([round(index / rate / unit) for index in range(num_frames)], unit, rate)
    assert sampled_sources(frames, 12.0).tolist() == expected


@pytest.mark.parametrize(
    ("codec", "container", "expected"),
    [
        (
            "libx264",
            "mp4",
            [0, 0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 13, 13, 13, 14, 15, 16, 17, 18, 19],
        ),
        (
            "libvpx-vp9",
            "webm",
            [0, 0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 10, 11, 12, 13, 13, 13, 13, 14, 15, 16, 17, 18, 19],
        ),
    ],
)
def test_a_variable_rate_is_numbered_as_by_ffmpeg(codec: str, container: str, expected: list[int]) -> None:
    file = clip(VARIABLE_MS, codec=codec, container=container, unit=Fraction(1, 1000), rate=30)
    facts = scan_container(file, "variable")
    assert facts.is_variable_rate
    assert sampled_sources(facts.timeline, 12.0).tolist() == expected


def test_a_source_of_nearly_the_rate_keeps_its_numbers() -> None:
    for rate in (Fraction(12), Fraction(119, 10), Fraction(241, 20)):
        frames = timeline([round(index * 1000 / rate) for index in range(30)], Fraction(1, 1000), rate)
        assert sampled_sources(frames, 12.0).tolist() == list(range(30))


def test_without_a_rate_every_frame_has_its_own_number() -> None:
    frames = timeline([0, 7, 9, 1000], Fraction(1, 1000), Fraction(30))
    assert sampled_sources(frames, None).tolist() == [0, 1, 2, 3]


def test_a_hole_is_filled_with_the_frame_before_it() -> None:
    pts = [1000 * index + (7000 if index > 10 else 0) for index in range(14)]
    frames = timeline(pts, Fraction(1, 12000), Fraction(12))
    assert sampled_sources(frames, 12.0).tolist() == [*range(11), *[10] * 6, 11, 11, 12, 13]


def test_a_video_that_begins_after_its_sound_shows_its_first_frame_early() -> None:
    frames = timeline([400 + 1000 * index // 12 for index in range(5)], Fraction(1, 1000), Fraction(12))
    assert sampled_sources(frames, 12.0).tolist() == [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]


def test_a_file_that_begins_late_as_a_whole_begins_at_number_0() -> None:
    frames = timeline([500 + 1000 * index // 12 for index in range(5)], Fraction(1, 1000), Fraction(12), 500_000)
    assert sampled_sources(frames, 12.0).tolist() == [0, 1, 2, 3, 4]


def test_a_broken_time_stamp_is_no_day_of_repeats() -> None:
    frames = timeline([0, 1000, 10**9], Fraction(1, 1000), Fraction(1))
    with pytest.raises(ValueError, match="frame 2 would fill 999999 s"):
        sampled_sources(frames, 12.0)
