import math

import filter_oracles as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.errors import ContractError
from hoiray.filters.shape import SHAPE_EPS, Shape, deviates, measure_shape
from hoiray.filters.unmeasured import WORDS


def of_one_track(betas: np.ndarray, is_confident: np.ndarray | None = None) -> Shape:
    confident = np.ones(len(betas), dtype=bool) if is_confident is None else is_confident
    return measure_shape(betas, np.zeros(len(betas), dtype=np.int64), confident)


def answer(shape: Shape, row: int, column: int) -> oracle.Answer:
    value, code = float(shape.values[row, column]), int(shape.reasons[row, column])
    assert math.isnan(value) == (code > 0)
    return WORDS[code - 1] if code else value


def on_a_line(*places: float) -> np.ndarray:
    betas = np.zeros((len(places), 10))
    betas[:, 3] = places
    return betas


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_is_that_of_its_definition(dtype: type) -> None:
    rng, count = np.random.default_rng(1), 80
    track, confident = rng.integers(0, 12, size=count), rng.random(count) < 0.6
    betas = rng.normal(size=(count, 10)).astype(dtype)
    betas[rng.random(count) < 0.1, 4] = np.nan
    betas[rng.random(count) < 0.03, 0] = np.inf
    shape = measure_shape(betas, track, confident)
    for one in range(12):
        rows = np.flatnonzero(track == one)
        deviations, sigma, size = oracle.shape(betas[rows], confident[rows].tolist())
        for row, deviation in zip(rows, deviations, strict=True):
            assert shape.set_size[row] == size
            for column, value in enumerate((deviation, sigma if deviation != "non_finite" else "non_finite")):
                same = value if isinstance(value, str) else pytest.approx(value, rel=1e-9)
                assert answer(shape, row, column) == same


def test_sigma_is_that_of_the_population_over_all_ten_betas_together() -> None:
    betas = np.zeros((2, 10))
    betas[0, 0], betas[1, 9] = 3.0, 4.0
    shape = of_one_track(betas)
    assert answer(shape, 0, 1) == pytest.approx(2.5)  # the two are 5 apart
    assert answer(shape, 0, 0) == pytest.approx(1.0)


def test_only_confident_frames_form_the_set_but_all_are_measured_against_it() -> None:
    shape = of_one_track(on_a_line(0, 2, 100), np.array([True, True, False]))
    assert answer(shape, 2, 0) == pytest.approx(99.0)
    assert answer(shape, 0, 1) == pytest.approx(1.0)
    assert shape.set_size.tolist() == [2, 2, 2]


def test_tracks_do_not_share_their_shapes() -> None:
    shape = measure_shape(on_a_line(0, 2, 50, 54), np.array([0, 0, 1, 1]), np.ones(4, dtype=bool))
    assert [answer(shape, row, 1) for row in range(4)] == pytest.approx([1, 1, 2, 2])


def test_one_frame_deviates_from_itself_by_nothing() -> None:
    shape = of_one_track(on_a_line(1.7))
    assert (answer(shape, 0, 0), answer(shape, 0, 1)) == (0.0, 0.0)
    assert not deviates(*shape.values.T, shape.set_size, limit_sigma=2.0)[0]


def test_equal_shapes_do_not_deviate_and_others_have_no_measure_among_them() -> None:
    betas = np.tile(np.random.default_rng(0).normal(size=10).astype(np.float32), (9, 1))
    betas[8] += 1
    shape = of_one_track(betas, np.arange(9) < 8)
    assert not deviates(*shape.values[:8].T, shape.set_size[:8], limit_sigma=0.0).any()
    assert (shape.values[:8, 1] < 1e-15).all()
    alone = of_one_track(on_a_line(1, 5), np.array([True, False]))
    assert (answer(alone, 1, 0), answer(alone, 1, 1)) == ("not_attempted", 0.0)


def test_the_scale_of_a_set_is_nothing_only_below_all_rounding() -> None:
    for distance, deviation in ((2.0**-67, 0.0), (2.0**-66, "not_attempted")):
        assert answer(of_one_track(on_a_line(0, distance), np.array([True, False])), 1, 0) == deviation
    for sigma, deviation in ((2.0**-83, "not_attempted"), (2.0**-82, 2.0**82)):
        one = of_one_track(on_a_line(0, 2 * sigma, 1), np.array([True, True, False]))
        assert answer(one, 0, 1) == sigma
        assert answer(one, 2, 0) == deviation


def test_without_a_confident_frame_there_is_nothing_to_compare_with() -> None:
    shape = of_one_track(on_a_line(1, 2), np.zeros(2, dtype=bool))
    assert {answer(shape, row, column) for row in (0, 1) for column in (0, 1)} == {"not_attempted"}
    assert shape.set_size.tolist() == [0, 0]


def test_a_shape_that_is_not_finite_is_left_out_of_the_set() -> None:
    betas = on_a_line(0, 2, 1)
    betas[2, 9] = np.inf
    shape = of_one_track(betas)
    assert answer(shape, 2, 0) == answer(shape, 2, 1) == "non_finite"
    assert shape.set_size.tolist() == [2, 2, 2]
    assert answer(shape, 0, 1) == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=5))
def test_five_frames_or_fewer_are_never_dropped(places: list[float]) -> None:
    """Samuelson: no member is further than sqrt(n - 1) sigma from the mean."""
    shape = of_one_track(on_a_line(*places).astype(np.float32))
    assert not deviates(*shape.values.astype(np.float32).T, shape.set_size, limit_sigma=2.0).any()


def test_the_bound_is_reached_by_one_frame_against_equal_others() -> None:
    for count in (2, 5, 6, 17):
        shape = of_one_track(on_a_line(*[0.0] * (count - 1), 1.0))
        assert answer(shape, count - 1, 0) == pytest.approx(math.sqrt(count - 1))
        is_dropped = deviates(*shape.values.astype(np.float32).T, shape.set_size, limit_sigma=2.0)
        assert is_dropped.tolist() == [False] * (count - 1) + [count > 5]


def test_a_deviation_at_the_limit_passes_and_rounding_beyond_it_too() -> None:
    deviation = 2.0 + np.array([0.0, 0.5 * SHAPE_EPS, 1.5 * SHAPE_EPS, 1.0, 1.0, np.nan])
    sigma = np.array([1.0, 1.0, 1.0, 1e-8, SHAPE_EPS, np.nan])  # the fifth is beyond by exactly the rounding
    assert deviates(deviation, sigma, np.full(6, 9), 2.0).tolist() == [False, False, True, False, False, False]


def test_a_set_that_could_not_refuse_one_of_its_own_judges_nobody_else() -> None:
    for limit, fewest in ((2.0, 6), (1.5, 4), (1.0, 3)):
        for count in range(1, 9):
            shape = of_one_track(on_a_line(*np.linspace(0, 1, count), 50.0), np.arange(count + 1) < count)
            assert shape.set_size[-1] == count
            is_dropped = deviates(*shape.values.T, shape.set_size, limit_sigma=limit)
            assert is_dropped[-1] == (count >= fewest), (limit, count)


def test_a_track_measures_the_same_wherever_it_lies() -> None:
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(30, 10)).astype(np.float32)
    alone = of_one_track(betas[::3])
    among = measure_shape(betas, np.arange(30) % 3, np.ones(30, dtype=bool))
    np.testing.assert_array_equal(among.values[::3], alone.values)


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ContractError, match="betas and tracks"):
        measure_shape(np.zeros((3, 9)), np.zeros(3, dtype=np.int64), np.ones(3, dtype=bool))
    with pytest.raises(ContractError, match="betas and tracks"):
        measure_shape(np.zeros((3, 10)), np.array([0, -1, 0]), np.ones(3, dtype=bool))
    with pytest.raises(ContractError, match="betas and tracks"):
        measure_shape(np.zeros((3, 10)), np.zeros(3, dtype=np.int64), np.ones(2, dtype=bool))
    assert len(measure_shape(np.zeros((0, 10)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)).set_size) == 0
