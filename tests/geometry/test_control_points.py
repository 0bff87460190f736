import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.geometry.control_points import control_points


def test_control_points_come_in_the_published_order() -> None:
    points = control_points(np.array([[-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]]))
    expected = [
        (-1, -2, -3), (1, -2, -3), (-1, 2, -3), (1, 2, -3),  # blb brb blf brf
        (-1, -2, 3), (1, -2, 3), (-1, 2, 3), (1, 2, 3),  # tlb trb tlf trf
        (-1, 0, -3), (1, 0, -3), (0, 2, -3), (0, -2, -3),  # ble bre bfe bbe
        (-1, 0, 3), (1, 0, 3), (0, 2, 3), (0, -2, 3),  # tle tre tfe tbe
        (-1, 2, 0), (-1, -2, 0), (1, 2, 0), (1, -2, 0),  # lfe lbe rfe rbe
        (0, 0, 0),
    ]  # fmt: skip
    np.testing.assert_array_equal(points, np.array(expected, dtype=float))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ContractError, match="points_m"):
        control_points(np.zeros((4, 2)))
