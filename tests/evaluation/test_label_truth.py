"""Labels against the truth, on rows made by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from judged_scenes import FAR_BOX, NUM_VIDEOS, labels, true_hands
from valid_tables import replaced, table_of

from hoiray.errors import ContractError, InputError
from hoiray.evaluation.label_truth import (
    ERROR_NAMES,
    NO_HAND,
    Compared,
    TrueHands,
    compare_labels,
    labels_of_known_videos,
    limit_in_words,
    read_true_hands,
)
from hoiray.metrics.pose import pa_mpjpe_m
from hoiray.schema.columns import pack_column
from hoiray.schema.tables import LABELS, TRUTH_HANDS

VIDEOS_A_PERSON = 4


def compared(noise_m: float) -> Compared:
    truth = true_hands(VIDEOS_A_PERSON)
    return compare_labels(labels(truth, (noise_m, noise_m)), truth)


def test_a_perfect_label_has_no_error_and_the_right_side() -> None:
    found = compared(0.0)
    assert found.is_side_right.all()
    assert found.is_good(0.1).all()
    assert found.joint_errors_mm == pytest.approx(0.0, abs=1e-3)
    for name in ("pa_mpjpe_mm", "mpjpe_mm", "joints_2d_box"):
        assert found.errors[name] == pytest.approx(0.0, abs=1e-3), name


def test_noise_is_measured_in_millimetres_about_the_wrist() -> None:
    few, many = compared(0.001), compared(0.010)
    assert 1.0 < few.errors["mpjpe_mm"].mean() < 4.0
    assert many.errors["mpjpe_mm"].mean() == pytest.approx(10 * few.errors["mpjpe_mm"].mean(), rel=0.3)


def test_the_aligned_error_is_the_mean_of_its_joints_and_the_metric_of_that_name() -> None:
    truth = true_hands(VIDEOS_A_PERSON)
    table = labels(truth, (0.01, 0.01))
    found = compare_labels(table, truth)
    joints = np.array(table["joints_3d"].to_pylist()).reshape(-1, 21, 3)
    wanted = 1000.0 * pa_mpjpe_m(joints, truth.joints_3d_m, allow_reflection=False)
    assert found.errors["pa_mpjpe_mm"] == pytest.approx(wanted, rel=1e-6)
    assert found.joint_errors_mm.mean(axis=1) == pytest.approx(wanted, rel=1e-6)


def test_a_label_of_nothing_and_one_without_answer_are_not_good() -> None:
    truth = true_hands(VIDEOS_A_PERSON)
    table = labels(truth, (0.0, 0.0))
    boxes = truth.bbox_xyxy.astype(np.float32)
    boxes[0] = FAR_BOX
    table = replaced(table, "bbox_xyxy", pack_column(LABELS["bbox_xyxy"], boxes))
    joints = np.nan_to_num((truth.joints_3d_m - truth.joints_3d_m[:, :1]).astype(np.float32))
    is_null = np.arange(len(joints)) == 1
    table = replaced(table, "joints_3d", pack_column(LABELS["joints_3d"], joints, is_null))
    found = compare_labels(table, truth)
    assert found.true_rows[:3].tolist() == [NO_HAND, 1, 2]
    assert found.is_good(1.0)[:3].tolist() == [False, False, True]
    assert np.isnan(found.joint_errors_mm[:2]).all()


def test_instances_count_hands_that_nobody_found_in_the_videos_of_the_labels_only() -> None:
    truth = true_hands(VIDEOS_A_PERSON)
    table = labels(truth, (0.0, 0.0))
    part = table.slice(0, 3)
    # videos 0 and 1, of which the second frame of the second has no label
    assert compare_labels(part, truth).num_instances == 4
    truth.bbox_xyxy[3] = np.nan
    assert compare_labels(part, truth).num_instances == 3


def test_a_video_is_of_the_person_whose_hand_it_shows() -> None:
    found = compared(0.0)
    assert found.videos[:3] == ["0", "0", "1"]
    assert found.subjects[0] == found.subjects[7] == "person 0"
    assert found.subjects[8] == "person 1"


def test_two_hands_of_a_frame_are_given_to_two_labels() -> None:
    truth = true_hands(VIDEOS_A_PERSON)
    table = labels(truth, (0.0, 0.0)).slice(0, 1)
    both = pa.concat_tables([table, table])
    found = compare_labels(both, truth)
    assert sorted(found.true_rows.tolist()) == [NO_HAND, 0]


def test_labels_of_other_videos_are_refused() -> None:
    truth = true_hands(VIDEOS_A_PERSON)
    other = replaced(labels(truth, (0.0, 0.0)), "video_id", pa.array(["elsewhere.mp4"] * 2 * NUM_VIDEOS))
    with pytest.raises(ContractError, match="Name the set whose videos the run labelled"):
        compare_labels(other, truth)


def with_boxes(truth: TrueHands, table: pa.Table, boxes_xyxy: np.ndarray) -> tuple[TrueHands, pa.Table]:
    """The truth's own boxes replaced, and the labels laid on them."""
    moved = replace(truth, bbox_xyxy=boxes_xyxy)
    return moved, replaced(table, "bbox_xyxy", pack_column(LABELS["bbox_xyxy"], boxes_xyxy.astype(np.float32)))


def scattered_boxes() -> np.ndarray:
    """One box a row, each somewhere else, none on another's."""
    corners = 200.0 * np.arange(2 * NUM_VIDEOS)[:, None] + np.array([[0.0, 50.0]])
    return np.concatenate([corners, corners + 100.0], axis=1)


def test_a_truth_whose_videos_have_the_same_names_only_is_refused() -> None:
    truth = true_hands(VIDEOS_A_PERSON)
    truth, table = with_boxes(truth, labels(truth, (0.0, 0.0)), scattered_boxes())
    assert compare_labels(table, truth).is_good(1.0).all()
    other = replace(truth, bbox_xyxy=np.roll(truth.bbox_xyxy, 2, axis=0))
    with pytest.raises(ContractError, match="names of the videos agree, what they show does not"):
        compare_labels(table, other)


def test_labels_that_miss_most_hands_are_not_taken_for_those_of_another_set() -> None:
    truth = true_hands(VIDEOS_A_PERSON)
    truth, table = with_boxes(truth, labels(truth, (0.0, 0.0)), scattered_boxes())
    boxes = truth.bbox_xyxy.copy()
    boxes[::2] = boxes[1::4].repeat(2, axis=0)[: len(boxes[::2])] + 10_000.0
    boxes[1::4] += 10_000.0
    found = compare_labels(
        replaced(table, "bbox_xyxy", pack_column(LABELS["bbox_xyxy"], boxes.astype(np.float32))), truth
    )
    assert (found.true_rows != NO_HAND).mean() == pytest.approx(0.25, abs=0.05)


def test_labels_of_videos_without_truth_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    truth = true_hands(VIDEOS_A_PERSON)
    table = labels(truth, (0.0, 0.0))
    names = table["video_id"].to_pylist()
    mixed = replaced(table, "video_id", pa.array(["elsewhere.mp4" if name == names[0] else name for name in names]))
    assert labels_of_known_videos(table, truth) is table
    kept = labels_of_known_videos(mixed, truth)
    assert kept["video_id"].to_pylist() == [name for name in names if name != names[0]]
    assert "2 labels of 1 videos such as 'elsewhere' are left out" in caplog.text
    with pytest.raises(ContractError, match="Name the set whose videos the run labelled"):
        labels_of_known_videos(mixed.slice(0, 1), truth)


def test_a_table_of_truth_says_whose_target_hand_a_video_shows() -> None:
    table = table_of(TRUTH_HANDS, 4)
    table = replaced(table, "video_id", pa.array(["a", "a", "b", "b"]))
    table = replaced(table, "subject_id", pa.array(["x", "other", "y", "y"]))
    table = replaced(table, "is_target", pa.array([True, False, True, True]))
    truth = TrueHands.of_table(table)
    assert truth.subjects == {"a": "x", "b": "y"}
    assert truth.rows[("a", 0)] == [0]


def test_a_set_without_truth_is_refused(tmp_path: object) -> None:
    with pytest.raises(InputError, match="Name the root of a set that hoiray synth made"):
        read_true_hands(str(tmp_path))


def test_a_limit_is_said_with_its_unit_for_every_error() -> None:
    assert limit_in_words(10.0, "pa_mpjpe_mm") == "10 mm in PA-MPJPE"
    said = {limit_in_words(0.5, metric) for metric in ERROR_NAMES}
    assert len(said) == len(ERROR_NAMES)
    assert all(words.startswith("0.5 ") for words in said)
