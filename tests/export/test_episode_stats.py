import numpy as np

from hoiray.export.episode_stats import RunningStats

RNG = np.random.default_rng(3)


def test_statistics_of_parts_are_those_of_the_whole_and_leave_nan_out() -> None:
    values = RNG.normal(size=(9, 4, 3))
    values[2, 1, 0] = values[7, 3, 2] = np.nan
    joined = RunningStats()
    for part in (values[:2], values[2:8], values[8:]):
        joined.add(part)
    told = joined.to_json()
    assert told["count"] == [9]
    for name, how in {"min": np.nanmin, "max": np.nanmax, "mean": np.nanmean, "std": np.nanstd}.items():
        assert np.allclose(told[name], how(values, axis=0), atol=1e-12)


def test_one_number_a_frame_has_a_shape_of_one() -> None:
    stats = RunningStats()
    stats.add(np.array([True, False, True, True]))
    assert stats.to_json() == {"min": [0.0], "max": [1.0], "mean": [0.75], "std": [0.4330127018922193], "count": [4]}


def test_what_is_known_nowhere_is_zero_and_finite() -> None:
    stats = RunningStats()
    stats.add(np.full((3, 2), np.nan))
    assert stats.to_json() == {"min": [0, 0], "max": [0, 0], "mean": [0, 0], "std": [0, 0], "count": [3]}
