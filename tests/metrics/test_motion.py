"""Acceleration, on frames that follow each other and on no others."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.errors import ContractError
from hoiray.metrics.motion import acceleration_error, acceleration_m_per_frame2


def _oracle(predicted: np.ndarray, truth: np.ndarray, frames: list[int], tracks: list[int]) -> np.ndarray:
    """Look every frame's neighbours up by track and number."""
    row_of = {key: row for row, key in enumerate(zip(tracks, frames, strict=True))}
    errors = np.full(len(frames), np.nan)
    for row, (track, frame) in enumerate(zip(tracks, frames, strict=True)):
        before, after = row_of.get((track, frame - 1)), row_of.get((track, frame + 1))
        if before is None or after is None:
            continue
        distances = []
        for k in range(predicted.shape[1]):
            a = predicted[before, k] - 2 * predicted[row, k] + predicted[after, k]
            b = truth[before, k] - 2 * truth[row, k] + truth[after, k]
            distances.append(math.sqrt(sum((a - b) ** 2)))
        errors[row] = np.mean(distances)
    return errors


def _motion(num_frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.02, size=(num_frames, 21, 3)).cumsum(axis=0)


def test_errors_agree_with_a_lookup_by_frame_number() -> None:
    frames = [3, 4, 5, 6, 9, 10, 11, 13, 14, 1, 2, 3]
    tracks = [7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 2, 2]
    truth, predicted = _motion(12), _motion(12, 1)
    found = acceleration_error(predicted, truth, np.array(frames), np.array(tracks))
    np.testing.assert_allclose(found.error_m_per_frame2, _oracle(predicted, truth, frames, tracks), rtol=1e-12)
    assert np.flatnonzero(found.has_neighbours).tolist() == [1, 2, 5, 10]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 8)), min_size=1), st.integers(0, 100))
def test_holes_anywhere_are_never_bridged(keys: set[tuple[int, int]], seed: int) -> None:
    tracks, frames = (list(column) for column in zip(*sorted(keys), strict=True))
    truth, predicted = _motion(len(keys), seed), _motion(len(keys), seed + 1)
    found = acceleration_error(predicted, truth, np.array(frames), np.array(tracks)).error_m_per_frame2
    np.testing.assert_allclose(found, _oracle(predicted, truth, frames, tracks), rtol=1e-10)


def test_a_gap_never_joins_two_parts_of_a_track() -> None:
    steady = np.arange(6.0)[:, None, None] * np.ones((1, 2, 3))
    frames = np.array([0, 1, 2, 5, 6, 7])
    found = acceleration_error(steady + 1.0, steady, frames)
    assert found.has_neighbours.tolist() == [False, True, False, False, True, False]
    assert found.error_m_per_frame2[[1, 4]].tolist() == [0.0, 0.0]


def test_consecutive_numbers_in_different_tracks_are_no_neighbours() -> None:
    found = acceleration_error(_motion(4), _motion(4), np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1]))
    assert not found.has_neighbours.any()
    assert found.mean_mm_per_frame2().num_samples == 0
    assert math.isnan(found.mean_mm_per_frame2().mean)


def test_a_missing_prediction_costs_three_frames_and_they_are_counted() -> None:
    truth = _motion(9)
    predicted = truth.copy()
    predicted[4, 3, 1] = np.nan
    found = acceleration_error(predicted, truth, np.arange(9))
    assert np.isnan(found.error_m_per_frame2).tolist() == [True, False, False, True, True, True, False, False, True]
    summary = found.mean_mm_per_frame2()
    assert (summary.num_samples, summary.num_missing) == (7, 3)
    assert summary.mean == pytest.approx(0.0, abs=1e-12)


def test_an_error_that_moves_steadily_is_no_acceleration_error() -> None:
    truth = _motion(6)
    drift = 0.01 * np.arange(6)[:, None, None]
    assert np.nanmax(acceleration_error(truth + drift, truth, np.arange(6)).error_m_per_frame2) < 1e-12


def test_a_trembling_prediction_has_the_error_of_its_second_difference() -> None:
    truth = np.zeros((8, 5, 3))
    predicted = truth.copy()
    predicted[::2, :, 0] = 0.001
    found = acceleration_error(predicted, truth, np.arange(8))
    assert found.mean_mm_per_frame2().mean == pytest.approx(2.0)
    assert found.mean_mm_per_s2(12.0).mean == pytest.approx(2.0 * 144)
    np.testing.assert_allclose(acceleration_m_per_frame2(predicted, np.arange(8))[1:-1], 0.002)


def test_jitter_without_truth_is_the_error_against_rest() -> None:
    joints = _motion(10)
    joints[6] = np.nan
    frames = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9, 10])
    expected = acceleration_error(joints, np.zeros_like(joints), frames).error_m_per_frame2
    np.testing.assert_array_equal(acceleration_m_per_frame2(joints, frames), expected)


@pytest.mark.parametrize("num_frames", [0, 1, 2])
def test_fewer_than_three_frames_have_no_acceleration(num_frames: int) -> None:
    found = acceleration_error(_motion(num_frames), _motion(num_frames), np.arange(num_frames))
    assert not found.has_neighbours.any()
    assert np.isnan(found.error_m_per_frame2).all()


def test_unsigned_frame_numbers_do_not_wrap() -> None:
    with pytest.raises(ContractError, match="1 steps backwards"):
        acceleration_error(_motion(2), _motion(2), np.array([5, 4], dtype=np.uint8))
    found = acceleration_error(_motion(3), _motion(3), np.array([254, 255, 256], dtype=np.uint16))
    assert found.has_neighbours.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("frames", "tracks"),
    [
        (np.array([0, 2, 1]), None),
        (np.array([0, 1, 1]), None),
        (np.array([0, 5, 1]), np.array([0, 1, 0])),
        (np.array([0, 1]), None),
        (np.array([0.0, 1.0, 2.0]), None),
        (np.arange(3), np.arange(2)),
    ],
)
def test_rows_out_of_order_are_refused(frames: np.ndarray, tracks: np.ndarray | None) -> None:
    with pytest.raises(ContractError, match="frames of a motion metric"):
        acceleration_error(_motion(3), _motion(3), frames, tracks)


@pytest.mark.parametrize("rate", [0.0, -12.0, math.nan])
def test_a_frame_rate_must_be_positive(rate: float) -> None:
    with pytest.raises(ContractError, match="frame rate"):
        acceleration_error(_motion(3), _motion(3), np.arange(3)).mean_mm_per_s2(rate)
