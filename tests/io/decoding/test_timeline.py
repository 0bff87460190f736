from fractions import Fraction

import numpy as np
import pytest

from hoiray.io.decoding.timeline import Timeline, rescale


def of(pts: list[int], keys: list[int] | None = None, start_us: int = 0) -> Timeline:
    is_key = np.isin(np.arange(len(pts)), [0] if keys is None else keys)
    return Timeline(np.array(pts), np.ones(len(pts), dtype=np.int64), Fraction(1, 1000), start_us, is_key, None)


@pytest.mark.parametrize(("value", "expected"), [(5, 1), (4, 0), (-5, -1), (-4, 0), (15, 2), (0, 0)])
def test_halves_are_rounded_away_from_zero(value: int, expected: int) -> None:
    assert rescale(value, Fraction(1, 10), Fraction(1)) == expected


def test_times_count_from_the_start_of_the_file() -> None:
    np.testing.assert_allclose(of([500, 583, 667], start_us=500_000).times_s, [0.0, 0.083, 0.167])


def test_rounding_is_no_variable_rate() -> None:
    assert not of([0, 83, 167, 250]).is_variable_rate
    assert of([0, 83, 180, 250]).is_variable_rate
    assert not of([0]).is_variable_rate


def test_decoding_begins_at_the_last_key_frame() -> None:
    frames = of([0, 1, 2, 3, 4, 5], keys=[0, 3])
    assert [frames.key_before(index) for index in range(6)] == [0, 0, 0, 3, 3, 3]
    assert of([0, 1], keys=[]).key_before(1) == 0
