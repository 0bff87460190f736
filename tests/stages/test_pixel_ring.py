import os

import numpy as np

from hoiray.stages.pixel_ring import NUM_SLOTS, PixelRing, new_memory


def test_what_one_side_writes_the_other_reads() -> None:
    memory = new_memory()
    writer, reader, shape = PixelRing(memory), PixelRing(memory), (2, 3, 5, 3)
    writer.grow(90)
    for turn in range(NUM_SLOTS):
        writer.slot(turn, shape)[:] = turn
    assert [reader.slot(turn, shape).max() for turn in range(NUM_SLOTS)] == [0, 1, 2]
    writer.slot(NUM_SLOTS, shape)[:] = 9  # round again
    assert reader.slot(0, shape).min() == 9
    os.close(memory)


def test_the_ring_grows_and_never_shrinks() -> None:
    memory = new_memory()
    writer, reader = PixelRing(memory), PixelRing(memory)
    for side in (10, 100, 10):
        shape = (1, side, side, 3)
        writer.grow(int(np.prod(shape)))
        writer.slot(2, shape)[:] = side
        assert (reader.slot(2, shape) == side).all()
    assert os.fstat(memory).st_size == NUM_SLOTS * 100 * 100 * 3
    os.close(memory)
