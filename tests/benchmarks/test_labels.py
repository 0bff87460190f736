"""Labels against the truth, on rows made by hand."""

import numpy as np
import pyarrow as pa
import pytest
from judged_scenes import FAR_BOX, NUM_VIDEOS, PAPER, compared, labels, true_hands
from valid_tables import replaced

from hoiray.benchmarks.labels import REASONS, finding_of, judged_labels, tables_of, why_no_rows
from hoiray.errors import ContractError
from hoiray.evaluation.bootstrap import Interval
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS


def test_a_perfect_label_has_no_error_and_the_right_side() -> None:
    found = compared((0.0, 0.0))
    assert found.compared.is_side_right.all()
    assert found.is_right(0.1).all()
    for name in ("pa_mpjpe_mm", "mpjpe_mm", "joints_2d_box"):
        assert found.errors[name] == pytest.approx(0.0, abs=1e-3), name


def test_noise_is_measured_in_millimetres_about_the_wrist() -> None:
    found = compared((0.001, 0.010))
    few, many = found.errors["mpjpe_mm"][0::2].mean(), found.errors["mpjpe_mm"][1::2].mean()
    assert 1.0 < few < 4.0
    assert many == pytest.approx(10 * few, rel=0.3)


def test_a_label_of_nothing_and_one_without_answer_are_not_right() -> None:
    truth = true_hands()
    table = labels(truth, (0.0, 0.0))
    boxes = truth.bbox_xyxy.astype(np.float32)
    boxes[0] = FAR_BOX
    table = replaced(table, "bbox_xyxy", pack_column(LABELS["bbox_xyxy"], boxes))
    joints = np.nan_to_num((truth.joints_3d_m - truth.joints_3d_m[:, :1]).astype(np.float32))
    is_null = np.arange(len(joints)) == 1
    table = replaced(table, "joints_3d", pack_column(LABELS["joints_3d"], joints, is_null))
    found = judged_labels(table, truth)
    assert found.compared.true_rows[:3].tolist() == [-1, 1, 2]
    assert found.is_right(1.0)[:3].tolist() == [False, False, True]
    cells = tables_of(found, PAPER, 1.0)[0].rows["all"]
    assert (cells["no_hand"], cells["unanswered"]) == (1, 1)


def test_refused_rows_that_are_worse_are_called_worse() -> None:
    verdict, reasons, alone = tables_of(compared((0.001, 0.010)), PAPER, 5.0)
    ratio = verdict.rows["refused / accepted"]["pa_mpjpe_mm"]
    assert isinstance(ratio, Interval)
    assert ratio.low > 5.0
    assert str(reasons.rows["box_iou"]["finding"]).startswith("worse in PA-MPJPE")
    assert str(alone.rows["box_iou"]["finding"]).startswith("worse in PA-MPJPE")
    assert (alone.rows["box_iou"]["alone"], alone.rows["box_iou"]["videos"]) == (NUM_VIDEOS, NUM_VIDEOS)
    assert list(alone.rows) == ["box_iou"]


def test_refused_rows_that_are_better_are_called_better() -> None:
    reasons = tables_of(compared((0.001, 0.010), refused_frame=0), PAPER, 5.0)[1]
    assert str(reasons.rows["box_iou"]["finding"]).startswith("better in PA-MPJPE")


def test_a_second_reason_is_no_reason_alone() -> None:
    truth = true_hands()
    table = labels(truth, (0.001, 0.010))
    both = [["box_iou", "motion_2d"] if reasons else [] for reasons in table["reasons"].to_pylist()]
    tables = tables_of(judged_labels(replaced(table, "reasons", pa.array(both)), truth), PAPER, 5.0)
    assert tables[1].rows["motion_2d"]["failing"] == NUM_VIDEOS
    assert not tables[2].rows


def test_a_reason_that_never_occurred_says_why() -> None:
    judged = compared((0.001, 0.010))
    rows = tables_of(judged, PAPER, 5.0)[1].rows
    assert list(rows) == list(REASONS)
    asked = np.isfinite(judged.measurement("held_sample_score")).sum()
    assert rows["held_sample"] == {"failing": 0, "passing": asked, "finding": "no limit is set"}
    shortest = judged.measurement("min_bone_length_ratio").min()
    text = f"no row: the lowest min_bone_length_ratio is {shortest:.3g}, the limit 0.1"
    assert rows["bone_length"]["finding"] == text
    assert rows["confidence"]["finding"] == "no limit: the run is not calibrated"
    assert why_no_rows(judged, None, "joint_angle") == "no row; the limits are not known"


def test_what_was_not_measured_neither_passes_nor_fails() -> None:
    truth = true_hands()
    table = labels(truth, (0.001, 0.002), refused_frame=0)
    # the rows that pass are as good as those that fail; the worst of all were never compared in shape
    shape = np.where(np.arange(2 * NUM_VIDEOS) < NUM_VIDEOS, 1.0, np.nan).astype(np.float32)
    joints = unpack_column(table, LABELS["joints_3d"]).copy()
    joints[NUM_VIDEOS:] *= np.float32(3.0)
    reasons = [["shape_deviation"] if row < NUM_VIDEOS and row % 2 == 0 else [] for row in range(2 * NUM_VIDEOS)]
    table = replaced(table, "shape_deviation_sigma", pa.array(shape))
    table = replaced(table, "joints_3d", pack_column(LABELS["joints_3d"], joints))
    judged = judged_labels(replaced(table, "reasons", pa.array(reasons)), truth)
    row = tables_of(judged, PAPER, 5.0)[1].rows["shape_deviation"]
    assert (row["failing"], row["passing"]) == (NUM_VIDEOS // 2, NUM_VIDEOS // 2)
    assert judged.was_asked("predecessor_refused").all()
    ratio = row["mpjpe_mm"]
    assert isinstance(ratio, Interval)
    assert 0.3 < ratio.value < 1.0


def test_errors_of_the_right_side_leave_out_the_wrong_one() -> None:
    truth = true_hands()
    is_right = np.arange(2 * NUM_VIDEOS) % 2 == 0
    table = replaced(labels(truth, (0.001, 0.010)), "is_right", pa.array(is_right))
    judged = judged_labels(table, truth)
    assert judged.compared.is_side_right.tolist() == is_right.tolist()
    assert np.isnan(judged.errors["right_side_pa_mm"]).tolist() == (~is_right).tolist()
    all_rows = tables_of(judged, PAPER, 5.0)[0].rows["all"]
    assert isinstance(all_rows["side"], Interval)
    assert all_rows["side"].value == 50.0


def test_rows_in_another_order_are_the_same_rows() -> None:
    truth = true_hands()
    table = labels(truth, (0.001, 0.010))
    there, back = judged_labels(table, truth), judged_labels(table.take(np.arange(2 * NUM_VIDEOS)[::-1]), truth)
    np.testing.assert_array_equal(there.errors["mpjpe_mm"], back.errors["mpjpe_mm"])
    assert tables_of(there, PAPER, 5.0) == tables_of(back, PAPER, 5.0)


def test_an_interval_that_holds_one_tells_nothing() -> None:
    assert finding_of({"pa_mpjpe_mm": Interval(1.2, 0.9, 1.5)}) == "not told apart"


def test_labels_of_other_videos_are_refused() -> None:
    truth = true_hands()
    other = replaced(labels(truth, (0.0, 0.0)), "video_id", pa.array(["elsewhere.mp4"] * 2 * NUM_VIDEOS))
    with pytest.raises(ContractError, match="Name the set whose videos the run labelled"):
        judged_labels(other, truth)
