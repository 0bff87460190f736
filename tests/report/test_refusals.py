import numpy as np

from hoiray.report.label_rows import REASONS
from hoiray.report.refusals import Refusal, refusals_of


def table_of(*rows: tuple[str, ...]) -> np.ndarray:
    return np.array([[reason in row for reason in REASONS] for row in rows], dtype=np.bool_)


def test_a_row_counts_for_each_reason_alone_for_one_and_is_lost_to_the_first() -> None:
    reasons = table_of((), ("box_iou",), ("box_iou", "motion_2d"), ("motion_2d",), ("motion_2d", "motion_pose"))
    assert refusals_of(reasons) == [
        Refusal("box_iou", num_rows=2, num_alone=1, num_before=5, num_left=3),
        Refusal("motion_2d", num_rows=3, num_alone=1, num_before=3, num_left=1),
        Refusal("motion_pose", num_rows=1, num_alone=0, num_before=1, num_left=1),
    ]


def test_what_is_left_at_the_end_is_what_is_accepted() -> None:
    reasons = np.random.default_rng(0).random((200, len(REASONS))) < 0.05
    found = refusals_of(reasons)
    assert found[-1].num_left == (~reasons.any(axis=1)).sum()
    assert sum(one.num_before - one.num_left for one in found) == reasons.any(axis=1).sum()
    # rows that no other reason stands against
    for one in found:
        others = np.delete(reasons, REASONS.index(one.reason), axis=1)
        assert one.num_alone == (~others.any(axis=1)).sum() - found[-1].num_left


def test_without_refusals_there_is_nothing_to_list() -> None:
    assert refusals_of(table_of((), ())) == []
    assert refusals_of(table_of()[:0].reshape(0, len(REASONS))) == []
