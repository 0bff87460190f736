"""Labels against the truth, on rows made by hand."""

import numpy as np
import pyarrow as pa
import pytest
from valid_tables import replaced, table_of

from hoiray.benchmarks.labels import REASONS, Compared, TrueHands, compare_labels, finding_of, tables_of
from hoiray.errors import ContractError
from hoiray.evaluation.bootstrap import Interval
from hoiray.schema.columns import pack_column
from hoiray.schema.tables import LABELS

NUM_VIDEOS = 8
FAR_BOX = (400.0, 200.0, 420.0, 220.0)


def true_hands() -> TrueHands:
    """One right hand in frames 0 and 1 of each video."""
    rng = np.random.default_rng(0)
    count = 2 * NUM_VIDEOS
    joints = rng.normal(scale=0.04, size=(count, 21, 3)) + np.array([0.0, 0.0, 0.6])
    image = rng.uniform(20.0, 120.0, size=(count, 21, 2))
    box = np.concatenate([image.min(axis=1), image.max(axis=1)], axis=1)
    rows = {(str(row // 2), row % 2): [row] for row in range(count)}
    return TrueHands(rows, box, np.ones(count, dtype=np.bool_), joints, image)


def labels(truth: TrueHands, noise_m: tuple[float, float], refused_frame: int = 1) -> pa.Table:
    """A label of every true hand, with so much noise in frames 0 and 1; one of the frames fails box_iou."""
    rng = np.random.default_rng(1)
    count = 2 * NUM_VIDEOS
    scale = np.tile(noise_m, NUM_VIDEOS)[:, None, None]
    joints = truth.joints_3d_m - truth.joints_3d_m[:, :1] + scale * rng.normal(size=(count, 21, 3))
    is_accepted = np.arange(count) % 2 != refused_frame
    table = table_of(LABELS, count)
    columns = {
        "video_id": pa.array([f"folder/{row // 2}.webm" for row in range(count)]),
        "frame_index": pa.array(np.arange(count) % 2, pa.int32()),
        "bbox_xyxy": pack_column(LABELS["bbox_xyxy"], truth.bbox_xyxy.astype(np.float32)),
        "joints_3d": pack_column(LABELS["joints_3d"], joints.astype(np.float32)),
        "joints_2d": pack_column(LABELS["joints_2d"], truth.joints_2d_px.astype(np.float32)),
        "is_right": pa.array([True] * count),
        "accepted": pa.array(is_accepted),
        "reasons": pa.array([[] if accepted else ["box_iou"] for accepted in is_accepted]),
    }
    for name, values in columns.items():
        table = replaced(table, name, values)
    return table


def compared(noise_m: tuple[float, float], refused_frame: int = 1) -> Compared:
    truth = true_hands()
    return compare_labels(labels(truth, noise_m, refused_frame), truth)


def test_a_perfect_label_has_no_error_and_the_right_side() -> None:
    found = compared((0.0, 0.0))
    assert found.is_side_right.all()
    assert found.is_right_label(0.1).all()
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
    found = compare_labels(table, truth)
    assert found.true_rows[:3].tolist() == [-1, 1, 2]
    assert found.is_right_label(1.0)[:3].tolist() == [False, False, True]
    cells = tables_of(found, 1.0)[0].rows["all"]
    assert (cells["no_hand"], cells["unanswered"]) == (1, 1)


def test_refused_rows_that_are_worse_are_called_worse() -> None:
    verdict, reasons = tables_of(compared((0.001, 0.010)), 5.0)
    ratio = verdict.rows["refused / accepted"]["pa_mpjpe_mm"]
    assert isinstance(ratio, Interval)
    assert ratio.low > 5.0
    assert str(reasons.rows["box_iou"]["finding"]).startswith("worse in PA-MPJPE")
    assert reasons.rows["box_iou"]["alone"] == NUM_VIDEOS


def test_refused_rows_that_are_better_are_called_better() -> None:
    reasons = tables_of(compared((0.001, 0.010), refused_frame=0), 5.0)[1]
    assert str(reasons.rows["box_iou"]["finding"]).startswith("better in PA-MPJPE")


def test_a_reason_that_never_occurred_has_no_ratio() -> None:
    rows = tables_of(compared((0.001, 0.010)), 5.0)[1].rows
    assert list(rows) == list(REASONS)
    assert rows["held_sample"] == {"failing": 0, "alone": 0}


def test_an_interval_that_holds_one_tells_nothing() -> None:
    assert finding_of({"pa_mpjpe_mm": Interval(1.2, 0.9, 1.5)}) == "not told apart"


def test_labels_of_other_videos_are_refused() -> None:
    truth = true_hands()
    other = replaced(labels(truth, (0.0, 0.0)), "video_id", pa.array(["elsewhere.mp4"] * 2 * NUM_VIDEOS))
    with pytest.raises(ContractError, match="Name the set whose videos the run labelled"):
        compare_labels(other, truth)
