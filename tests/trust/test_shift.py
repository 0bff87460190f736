import numpy as np
import pytest
from scipy.stats import ks_2samp

from hoiray.trust.features import FEATURE_NAMES
from hoiray.trust.shift import ShiftCounter, ranges_of

NUM_UNITS, NUM_ROWS = 60, 1800
UNIT = np.repeat(np.arange(NUM_UNITS), NUM_ROWS // NUM_UNITS)


def features(seed: int, clustering: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (NUM_ROWS, len(FEATURE_NAMES))
    return clustering * rng.normal(size=(NUM_UNITS, shape[1]))[UNIT] + rng.normal(size=shape)


def counted(calibration: np.ndarray, run: np.ndarray) -> ShiftCounter:
    counter = ShiftCounter(ranges_of(calibration, UNIT))
    for start in range(0, len(run), 700):
        counter.add(run[start : start + 700])
    return counter


def test_a_run_of_the_same_kind_is_not_unusual_though_its_videos_differ() -> None:
    assert not any(shift.is_unusual for shift in counted(features(0), features(1)).shifts())


def test_a_feature_that_moved_is_named_with_its_distance() -> None:
    before, after = features(0), features(1)
    after[:, 5] += 2.0
    first = counted(before, after).shifts()[0]
    assert (first.name, first.is_unusual) == (FEATURE_NAMES[5], True)
    assert first.distance == pytest.approx(ks_2samp(before[:, 5], after[:, 5]).statistic, abs=0.01)
    assert first.outside_share > 0.05
    assert first.times_usual > 1.5


def test_the_calibration_set_itself_has_moved_nowhere() -> None:
    before = features(0)
    before[:, 2] = np.round(before[:, 2])
    for shift in counted(before, before).shifts():
        assert shift.distance < 0.006
        assert shift.outside_share < 0.011


def test_a_measurement_that_is_gone_is_unusual_and_one_that_was_never_there_is_not() -> None:
    before, after = features(0), features(1)
    after[:, 4] = np.nan
    before[:, 7] = after[:, 7] = np.nan
    by_name = {shift.name: shift for shift in counted(before, after).shifts()}
    gone, never = by_name[FEATURE_NAMES[4]], by_name[FEATURE_NAMES[7]]
    assert (gone.is_unusual, gone.missing_share) == (True, 1.0)
    assert (never.is_unusual, never.missing_before) == (False, 1.0)


def test_three_units_tell_nothing_of_what_is_usual() -> None:
    few = ranges_of(features(0)[:90], UNIT[:90])
    assert all(one.usual_distance == 1.0 for one in few)
