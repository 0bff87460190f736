import io
import random

import pytest

from hoiray.io.ranged import RangedReader

DATA = random.Random(0).randbytes(1000)


def reader(block_bytes: int = 64) -> tuple[RangedReader, list[tuple[int, int]]]:
    asked: list[tuple[int, int]] = []

    def read_range(start: int, end: int) -> bytes:
        asked.append((start, end))
        assert 0 <= start < end <= len(DATA)
        return DATA[start:end]

    return RangedReader(read_range, len(DATA), block_bytes=block_bytes), asked


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 5000])
def test_it_reads_as_a_file_in_memory_does(block_bytes: int) -> None:
    rng = random.Random(1)
    file, _ = reader(block_bytes)
    oracle = io.BytesIO(DATA)
    for _ in range(500):
        if rng.random() < 0.5:
            whence = rng.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
            offset = rng.randrange(0, 1100) if whence == io.SEEK_SET else rng.randrange(-50, 50)
            if oracle.tell() + offset < 0 and whence == io.SEEK_CUR:
                continue
            assert file.seek(offset, whence) == oracle.seek(offset, whence)
        size = rng.choice([-1, 0, 1, 10, 300, 2000])
        assert file.read(size) == oracle.read(size)
        assert file.tell() == oracle.tell()


def test_neighbouring_reads_share_one_request() -> None:
    file, asked = reader()
    assert file.read(10) + file.read(20) == DATA[:30]
    assert asked == [(0, 64)]


def test_it_serves_buffered_readers() -> None:
    file, _ = reader()
    assert io.BufferedReader(file).read() == DATA
