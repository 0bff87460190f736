import numpy as np
import pytest

from hoiray.config.where import DecodePool, Pools, PredictPool
from hoiray.engine.decode_pool import _after, num_ahead
from hoiray.stages.decode import FrameBatch


@pytest.mark.parametrize(("decoders", "predictors", "expected"), [(8, 2, 4), (2, 4, 1), (5, 2, 2)])
def test_predictors_share_the_decoders(decoders: int, predictors: int, expected: int) -> None:
    pools = Pools(decode=DecodePool(max=decoders), predict=PredictPool(max=predictors))
    assert num_ahead(pools) == expected


def test_frames_that_were_read_before_a_task_died_are_passed_over() -> None:
    numbers = np.array([3, 4, 7], dtype=np.int32)
    batch = FrameBatch("v", numbers, numbers * 2, numbers / 12.0, np.zeros((3, 2, 2, 3), np.uint8))
    assert _after(-1, batch).frame_index.tolist() == [3, 4, 7]
    rest = _after(4, batch)
    assert (rest.frame_index.tolist(), rest.source_index.tolist(), rest.frames.shape) == ([7], [14], (1, 2, 2, 3))
