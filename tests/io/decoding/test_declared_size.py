import io

import pytest
from bad_videos import moov_first, motion_jpeg, plain, plain_webm
from clips import clip

from hoiray.io.decoding.declared_size import missing_bytes


@pytest.mark.parametrize("make", [plain, plain_webm, moov_first, motion_jpeg])
def test_a_whole_file_lacks_nothing_and_a_cut_one_lacks_what_was_cut(make: object) -> None:
    data: bytes = make()  # type: ignore[operator]
    assert missing_bytes(io.BytesIO(data)) == 0
    assert missing_bytes(io.BytesIO(data[:-100])) == 100
    assert missing_bytes(io.BytesIO(data + b"trailing bytes")) == 0


def test_formats_that_do_not_say_are_not_judged() -> None:
    assert missing_bytes(io.BytesIO(clip(range(3), container="mpegts"))) is None
    assert missing_bytes(io.BytesIO(b"")) is None


def test_a_live_recording_of_unknown_size_is_not_judged() -> None:
    data = plain_webm()
    at = data.index(b"\x18\x53\x80\x67") + 4
    unknown = data[:at] + b"\x01" + b"\xff" * 7 + data[at + 8 :]
    assert missing_bytes(io.BytesIO(unknown)) is None
