import pytest

from hoiray.io.decoding.packets import nal_length_bytes, shows_picture


def nal(header: bytes) -> bytes:
    return (len(header) + 2).to_bytes(4, "big") + header + b"\0\0"


@pytest.mark.parametrize(
    ("codec", "data", "expected"),
    [
        ("h264", nal(b"\x65"), True),  # a key picture
        ("h264", nal(b"\x67") + nal(b"\x41"), True),  # parameters, then a picture
        ("h264", nal(b"\x0c") + nal(b"\x06"), False),  # filler and information
        ("hevc", nal(b"\x26\x01"), True),
        ("hevc", nal(b"\x4c\x01"), False),
        ("vp8", b"\x10\0", True),
        ("vp8", b"\x00\0", False),
        ("vp9", b"\x86\0\0", True),
        ("vp9", b"\x84\0\0", False),
        ("vp9", b"\x88\0\0", True),  # shows an older picture
        ("vp9", b"\xb1\0\0", True),  # profile 3
        ("vp9", b"\xb2\0\0", False),
        ("vp9", b"\x84\0" + b"\x86\0" + b"\xc1\x02\x02\xc1", True),  # a superframe: one hidden, one shown
        ("vp9", b"\x84\0" + b"\x84\0" + b"\xc1\x02\x02\xc1", False),
        ("vp9", b"", False),
    ],
)
def test_a_packet_tells_whether_it_shows_a_picture(codec: str, data: bytes, expected: bool) -> None:
    assert shows_picture(codec, data, 4) is expected


def test_a_broken_length_ends_the_search() -> None:
    assert not shows_picture("h264", b"\xff\xff\xff\xff\x0c\0", 4)
    assert not shows_picture("h264", b"\0\0", 4)


def test_the_length_of_lengths_is_in_the_header() -> None:
    assert nal_length_bytes("h264", bytes([1, 0, 0, 0, 0xFF])) == 4
    assert nal_length_bytes("hevc", bytes([1, *[0] * 20, 0xFD])) == 2
    assert nal_length_bytes("h264", b"\0\0\0\1\x67") is None
    assert nal_length_bytes("h264", None) is None
    assert shows_picture("h264", b"\0\0\0\1\x0c", None)  # start codes are not looked into
