import gc
from fractions import Fraction
from weakref import ref

import numpy as np
import pytest

from hoiray.io.decoding.failures import DamagedVideoError, FrameNotThereError, UnsupportedVideoError
from hoiray.io.decoding.reader import SourceFrame
from hoiray.io.decoding.sampling import sampled_sources
from hoiray.io.decoding.timeline import Timeline
from hoiray.stages import frame_selection
from hoiray.stages.frame_selection import FrameSelection, NumberedSelection, select_numbers


def timeline(num_frames: int, rate: int) -> Timeline:
    ones = np.ones(num_frames, dtype=np.int64)
    return Timeline(np.arange(num_frames), ones, Fraction(1, rate), 0, ones.astype(bool), Fraction(rate))


def select(selection: FrameSelection, num_frames: int = 10, rate: int = 12) -> NumberedSelection:
    return select_numbers(timeline(num_frames, rate), selection, "x")


def decoded(sources: list[int]) -> list[SourceFrame]:
    return [SourceFrame(index, index / 12, np.full((1, 1, 3), index, dtype=np.uint8)) for index in sources]


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [(0, None, range(10)), (4, 3, range(4, 7)), (8, 5, range(8, 10)), (10, 5, range(0)), (99, None, range(0))],
)
def test_a_segment_ends_with_the_video(first: int, count: int | None, expected: range) -> None:
    assert select(FrameSelection(first_frame_index=first, num_frames=count)).frame_index.tolist() == list(expected)


def test_listed_numbers_are_those_of_the_segment() -> None:
    chosen = select(FrameSelection(frame_indices=(1, 4, 5, 9), first_frame_index=4, num_frames=5))
    assert chosen.frame_index.tolist() == [4, 5]


def test_a_number_the_video_lacks_is_named() -> None:
    with pytest.raises(FrameNotThereError, match="x: expected a frame of number 12, found 10 numbers") as caught:
        select(FrameSelection(frame_indices=(3, 12)))
    assert caught.value.frame_index == 12


def test_frames_that_are_shown_again_are_decoded_once() -> None:
    chosen = select(FrameSelection(sample_rate_hz=12.0), num_frames=4, rate=6)
    assert chosen.frame_index.tolist() == list(range(8))
    assert chosen.sources == [0, 1, 2, 3]
    numbered = list(chosen.numbered(decoded(chosen.sources), "x"))
    assert [frame.frame_index for frame in numbered] == list(range(8))
    assert [frame.source_index for frame in numbered] == chosen.source_index.tolist()
    assert [frame.source_index for frame in chosen.after(3).numbered(decoded(chosen.after(3).sources), "x")] == [
        frame.source_index for frame in numbered[3:]
    ]


def test_a_video_that_ends_early_ends_a_segment_but_not_a_list() -> None:
    assert len(list(select(FrameSelection()).numbered(decoded([0, 1, 2]), "x"))) == 3
    with pytest.raises(FrameNotThereError, match="a frame of number 3, found a video that ends after number 2"):
        list(select(FrameSelection(frame_indices=(1, 2, 3))).numbered(decoded([1, 2]), "x"))


def test_damage_is_told_with_the_number_it_was_met_at() -> None:
    def frames() -> object:
        yield from decoded([0, 1, 3])
        raise DamagedVideoError("damage")

    with pytest.raises(DamagedVideoError) as caught:
        list(select(FrameSelection(sample_rate_hz=12.0), num_frames=20, rate=24).numbered(frames(), "x"))  # type: ignore[arg-type]
    assert caught.value.frame_index == 2


def test_a_hole_of_days_is_refused() -> None:
    frames = timeline(3, 12)
    frames.pts[2] = 10**9
    with pytest.raises(UnsupportedVideoError, match="x: expected time stamps without holes"):
        select_numbers(frames, FrameSelection(sample_rate_hz=12.0), "x")


@pytest.mark.parametrize("numbers", [(3, 2), (1, 1), (-1, 2)])
def test_numbers_that_do_not_grow_are_the_callers_mistake(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must grow from 0 on"):
        FrameSelection(frame_indices=numbers)


def test_a_file_is_numbered_once_for_all_its_segments_and_forgotten_with_its_timeline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbered: list[float | None] = []

    def counted(frames: Timeline, sample_rate_hz: float | None) -> np.ndarray:
        numbered.append(sample_rate_hz)
        return sampled_sources(frames, sample_rate_hz)

    monkeypatch.setattr(frame_selection, "sampled_sources", counted)
    frames = timeline(10, 12)
    for first in (0, 4):
        select_numbers(frames, FrameSelection(first_frame_index=first, num_frames=4, sample_rate_hz=12.0), "x")
    select_numbers(frames, FrameSelection(), "x")
    assert numbered == [12.0, None]
    kept = ref(frames)
    del frames
    gc.collect()
    assert kept() is None
