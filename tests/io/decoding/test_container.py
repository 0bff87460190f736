from fractions import Fraction
from pathlib import Path

import pytest
from bad_videos import plain
from clips import clip, cut_at

from hoiray.io.decoding.container import scan_container
from hoiray.io.decoding.failures import MissingVideoError


def test_facts_are_those_of_the_file() -> None:
    facts = scan_container(clip(range(25), rate=25, audio_s=1.0), "x")
    assert (facts.width_px, facts.height_px, facts.codec, facts.pixel_format) == (96, 64, "h264", "yuv420p")
    assert (facts.frame_rate, facts.duration_s, facts.num_frames, facts.num_audio_streams) == (25, 1.0, 25, 1)
    assert not any((facts.is_interlaced, facts.is_variable_rate, facts.has_hidden_start, facts.timeline.is_decoded))
    assert not facts.has_open_groups
    ntsc = scan_container(clip(range(5), rate=Fraction(30000, 1001)), "x")
    assert ntsc.frame_rate == Fraction(30000, 1001)


def test_bytes_and_files_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(plain())
    assert scan_container(path, "x").timeline.pts.tolist() == scan_container(plain(), "x").timeline.pts.tolist()


def test_a_hidden_start_is_seen() -> None:
    facts = scan_container(cut_at(clip(options={"g": "24"}), 1.0), "x")
    assert facts.has_hidden_start
    assert (facts.num_frames, facts.timeline.is_decoded) == (12, False)


def test_key_frames_are_known() -> None:
    assert [index for index, is_key in enumerate(scan_container(plain(), "x").timeline.is_key) if is_key] == [0, 12]


@pytest.mark.parametrize(("name", "found"), [("none.mp4", "nothing there"), (".", "one that is refused")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(MissingVideoError, match=f"the video: expected a readable file, found {found}"):
        scan_container(tmp_path / name, "the video")
