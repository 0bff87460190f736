import numpy as np
from report_scenes import rows_of

from hoiray.report.label_rows import join_rows


def test_rows_of_several_objects_keep_their_videos() -> None:
    first, second = rows_of(("b.mp4", "c.mp4"), seed=1), rows_of(("a.mp4", "b.mp4"), seed=2)
    joined = join_rows([first, second])
    assert joined.video_names == ("a.mp4", "b.mp4", "c.mp4")
    named = [part.video_names[index] for part in (first, second) for index in part.video]
    assert [joined.video_names[index] for index in joined.video] == named
    assert joined.unit.tolist() == [0] * len(first) + [1] * len(second)
    assert np.array_equal(joined.values("box_iou"), np.r_[first.measured["box_iou"], second.measured["box_iou"]])


def test_videos_and_frames_are_counted_once() -> None:
    rows = rows_of(("a", "b"), 6)
    numbers, accepted = rows.counts_by_video()
    assert (numbers.tolist(), accepted.tolist()) == ([6, 6], [3, 3])
    assert rows.num_frames == 12
    assert rows_of(("a",), 6, frame=np.array([0, 0, 1, 1, 2, 2])).num_frames == 3
    assert rows_of((), 6).num_frames == 0


def test_confidence_is_there_or_not() -> None:
    assert not rows_of().has_confidence
    some = np.full(12, np.nan, np.float32)
    some[3] = 0.5
    rows = rows_of(confidence=some)
    assert rows.has_confidence
    assert rows.values("confidence")[3] == np.float32(0.5)
