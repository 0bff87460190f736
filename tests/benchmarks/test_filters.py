import numpy as np
import pytest

from hoiray.benchmarks import filters
from hoiray.benchmarks.filters import Rows


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows.random(100)


def test_both_sides_compute_the_same(rows: Rows) -> None:
    filters.refuse_disagreement(rows)


@pytest.mark.parametrize("baseline", ["solve_cameras_iteratively", "measure_motion_by_video"])
def test_a_baseline_that_computes_something_else_is_refused(
    rows: Rows, baseline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(filters, baseline)
    monkeypatch.setattr(filters, baseline, lambda given: 1.01 * right(given))
    with pytest.raises(RuntimeError, match="a ratio would mean nothing"):
        filters.refuse_disagreement(rows)


def test_the_filters_have_something_to_decide(rows: Rows) -> None:
    accepted = filters.run_filters(rows)
    assert accepted.shape == (100,)
    tracks = filters.find_tracks(rows)
    assert (tracks.predecessor >= 0).sum() > 90
    measured = filters.by_name(filters.spatial.MEASURED_HERE, filters.measure_spatial(rows.hands))
    measured |= filters.by_name(filters.temporal.MEASURED_HERE, filters.measure_motion(rows, tracks))
    reasons = filters.judge_early(rows, tracks, measured)
    assert reasons.any(axis=0).sum() > 2


def test_the_first_rows_are_whole_videos_and_a_rest() -> None:
    first = Rows.random(100).first(60)
    assert first.starts.tolist() == [0, filters.FRAMES_A_VIDEO, 60]
    assert np.array_equal(first.frame_index, np.r_[0 : filters.FRAMES_A_VIDEO, 0 : 60 - filters.FRAMES_A_VIDEO])
    assert len(first.first(1000).pose) == 60
