import struct

import numpy as np
import pytest

from hoiray.io.decoding.orientation import Orientation


def matrix(a: float, b: float, c: float, d: float) -> bytes:
    return struct.pack("=9i", *(int(value * 65536) for value in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)


IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize(
    ("values", "expected", "degrees", "is_mirrored"),
    [
        ((1, 0, 0, 1), IMAGE, 0, False),
        ((0, 1, -1, 0), np.rot90(IMAGE, -1), 90, False),
        ((-1, 0, 0, -1), np.rot90(IMAGE, 2), 180, False),
        ((0, -1, 1, 0), np.rot90(IMAGE, 1), 270, False),
        ((-1, 0, 0, 1), IMAGE[:, ::-1], 0, True),
        ((1, 0, 0, -1), IMAGE[::-1], 180, True),
        ((0, 1, 1, 0), IMAGE.swapaxes(0, 1), 90, True),
        ((0, -1, -1, 0), np.rot90(IMAGE, 2).swapaxes(0, 1), 270, True),
    ],
)
def test_each_of_the_eight_turns_is_applied(
    values: tuple[int, int, int, int], expected: np.ndarray, degrees: int, is_mirrored: bool
) -> None:
    orientation = Orientation.of_matrix(matrix(*values))
    assert orientation is not None
    np.testing.assert_array_equal(orientation.upright(IMAGE), expected)
    assert (orientation.clockwise_deg, orientation.is_mirrored) == (degrees, is_mirrored)
    turned = np.rot90(IMAGE, -degrees // 90)
    np.testing.assert_array_equal(expected, turned[:, ::-1] if is_mirrored else turned)


def test_a_turn_by_other_angles_is_none() -> None:
    assert Orientation.of_matrix(matrix(0.7, 0.7, -0.7, 0.7)) is None
    assert Orientation.of_matrix(matrix(1, 0.2, 0, 1)) is None
