"""What a page of labels shows, and what it says."""

import numpy as np

from hoiray.report.label_picture import NUM_OF_EACH, WORDS, caption_of, choose_rows
from hoiray.schema.vocabularies import REJECT_REASONS


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(REJECT_REASONS)


def test_accepted_rows_of_different_videos_come_first_then_refused_ones_of_every_reason() -> None:
    count = 60
    videos = [f"v{row // 2}" for row in range(count)]
    is_accepted = np.arange(count) % 2 == 0
    reasons = np.zeros((count, 4), dtype=np.bool_)
    reasons[~is_accepted, (np.arange(count) // 2 % 4)[~is_accepted]] = True
    rows = choose_rows(is_accepted, reasons, videos, np.ones(count, dtype=np.bool_))
    assert is_accepted[rows].tolist() == [True] * NUM_OF_EACH + [False] * NUM_OF_EACH
    assert len({videos[row] for row in rows[:NUM_OF_EACH]}) == NUM_OF_EACH
    assert reasons[rows[NUM_OF_EACH:]].any(axis=0).all()
    assert np.array_equal(rows, choose_rows(is_accepted, reasons, videos, np.ones(count, dtype=np.bool_)))


def test_rows_without_an_answer_are_not_shown() -> None:
    none = np.zeros(4, dtype=np.bool_)
    assert len(choose_rows(~none, np.zeros((4, 2), dtype=np.bool_), ["a", "b", "c", "d"], none)) == 0


def test_a_caption_names_two_reasons_and_counts_the_others() -> None:
    row = {"accepted": False, "reasons": ["box_iou", "motion_2d", "motion_pose"]}
    assert caption_of(row, 7.31) == ["refused, PA 7.3 mm", WORDS["box_iou"], WORDS["motion_2d"], "and 1 more"]
    assert caption_of({"accepted": True, "reasons": []}, float("nan")) == ["accepted, no true hand"]
