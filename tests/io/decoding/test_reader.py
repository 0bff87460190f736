from bad_videos import plain

from hoiray.io.decoding.container import scan_container
from hoiray.io.decoding.decord_reader import DecordReader
from hoiray.io.decoding.pyav_reader import PyavReader
from hoiray.io.decoding.reader import FrameReader


def test_both_decoders_are_readers() -> None:
    facts = scan_container(plain(), "x")
    readers: list[FrameReader] = [PyavReader(plain(), "x", facts), DecordReader(plain(), facts)]
    assert [reader.name for reader in readers] == ["pyav", "decord"]
    assert all(reader.facts is facts for reader in readers)
