import numpy as np
from report_scenes import rows_of

from hoiray.report.label_rows import REASONS
from hoiray.report.lots import draw_evenly, draw_labels_by_lot, window

VIDEOS = tuple(f"v{index:02d}" for index in range(10))


def test_accepted_labels_come_from_as_many_videos_as_there_are() -> None:
    rows = rows_of(VIDEOS, 8)
    shown = draw_labels_by_lot(rows, 10, 0, seed=3)
    assert rows.is_accepted[shown].all()
    assert len(set(rows.video[shown])) == 10
    assert len(set(rows.video[draw_labels_by_lot(rows, 20, 0, seed=3)][10:])) == 10


def test_every_reason_is_shown_however_rare() -> None:
    rows = rows_of(VIDEOS, 8)
    reasons = rows.reasons.copy()
    reasons[0] = False
    reasons[0, REASONS.index("shape_deviation")] = True
    rows = rows_of(VIDEOS, 8, reasons=reasons, is_accepted=~reasons.any(axis=1))
    shown = draw_labels_by_lot(rows, 0, 4, seed=1)
    assert rows.reasons[shown].any(axis=0).sum() == 4


def test_a_label_with_one_reason_shows_it_before_one_with_many() -> None:
    rows = rows_of(VIDEOS, 8)
    reasons = rows.reasons.copy()
    refused = np.flatnonzero(reasons.any(axis=1))
    reasons[refused[1:], 5:9] = True
    rows = rows_of(VIDEOS, 8, reasons=reasons, is_accepted=~reasons.any(axis=1))
    assert draw_labels_by_lot(rows, 0, 5, seed=0)[0] == refused[0]


def test_one_kind_takes_the_places_the_other_leaves() -> None:
    rows = rows_of(VIDEOS, 8)
    none = rows_of(VIDEOS, 8, is_accepted=np.zeros(80, np.bool_), reasons=np.ones((80, len(REASONS)), np.bool_))
    assert len(draw_labels_by_lot(none, 10, 20, seed=0)) == 30
    everything = rows_of(VIDEOS, 8, is_accepted=np.ones(80, np.bool_), reasons=np.zeros((80, len(REASONS)), np.bool_))
    assert len(draw_labels_by_lot(everything, 10, 20, seed=0)) == 30
    assert len(draw_labels_by_lot(rows, 100, 100, seed=0)) == 80


def test_no_label_is_shown_twice_and_none_without_a_prediction() -> None:
    is_answered = np.ones(80, np.bool_)
    is_answered[::3] = False
    rows = rows_of(VIDEOS, 8, is_answered=is_answered)
    shown = draw_labels_by_lot(rows, 60, 60, seed=0)
    assert len(set(shown.tolist())) == len(shown) == is_answered.sum()
    assert is_answered[shown].all()
    assert len(draw_labels_by_lot(rows_of(()), 5, 5, seed=0)) == 0


def test_the_lot_is_the_seeds() -> None:
    rows = rows_of(VIDEOS, 8)
    first, same, other = (draw_labels_by_lot(rows, 10, 10, seed=seed).tolist() for seed in (4, 4, 5))
    assert first == same
    assert first != other


def test_numbers_are_spread_evenly_with_both_ends() -> None:
    assert draw_evenly(9, 3) == [0, 4, 8]
    assert draw_evenly(2, 5) == [0, 1]
    assert draw_evenly(0, 5) == []
    assert draw_evenly(7, 1) == [0]


def test_a_long_track_is_shown_around_the_wanted_frame() -> None:
    frames = np.arange(10, 5000)
    for wanted in (10, 2000, 4999):
        kept = frames[window(frames, wanted, 400)]
        assert len(kept) == 400
        assert wanted in kept
    assert window(frames[:50], 20, 400).all()
