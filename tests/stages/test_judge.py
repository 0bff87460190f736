import math
from typing import Any

import filter_oracles as oracle
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from filter_scenes import predictions, rows_of

from hoiray.config.what import PaperLimits
from hoiray.errors import ContractError
from hoiray.filters.rules import Limit, Rules, paper_rules
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge, judge_video_group, reason_counts, with_confidence

PAPER = PaperLimits()
LITERAL = PaperLimits(
    reprojection_reading="max",
    motion_2d_reading="mean",
    motion_pose_reading="axis_angle_l2",
    max_joint_angle_deg=150.0,
    predecessor_must_pass_spatial=False,
    max_shape_deviation_sigma=1.5,
)
LENIENT = PaperLimits(
    max_joint_angle_deg=120.0,
    max_predecessor_gap_frames=3,
    predecessor_rule="backward_or_forward",
    predecessor_must_pass_spatial=False,
    motion_pose_reading="matrix_mean_square",
    max_motion_2d_box_sides=2.0,
    max_shape_deviation_sigma=1.2,
)
OURS = PaperLimits(
    max_reprojection_box_sides=None,
    max_spread_2d_box_sides=0.06,
    max_spread_3d_m=0.0125,
    max_spread_rotation_deg=15.0,
    max_held_sample_score=0.9,
    predecessor_must_pass_spatial=False,
    predecessor_rule="backward_or_forward",
    motion_pose_reading="axis_angle_mean_square",
    max_motion_pose=0.05,
)
STILL = PaperLimits(max_motion_2d_box_sides=None, max_motion_pose=None, max_shape_deviation_sigma=None)
every_choice = pytest.mark.parametrize(
    "limits", [PAPER, LITERAL, LENIENT, OURS, STILL], ids=["paper", "literal", "lenient", "ours", "still"]
)


def judged(limits: PaperLimits, seed: int = 0, num_videos: int = 16) -> pa.Table:
    return judge(predictions(seed, num_videos), paper_rules(limits), "judge")


def by_video(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    names = sorted({row["video_id"] for row in rows})
    return [[row for row in rows if row["video_id"] == name] for name in names]


@every_choice
def test_verdicts_are_those_of_the_plain_rules(limits: PaperLimits) -> None:
    labels = judged(limits)
    for rows in by_video(rows_of(labels)):
        assert [row["reasons"] for row in rows] == oracle.verdicts(rows, limits)
    accepted = labels["accepted"].to_numpy()
    assert 0 < accepted.sum() < len(accepted)


def test_together_the_choices_give_every_reason_but_confidence() -> None:
    seen = {
        word for limits in (PAPER, LITERAL, LENIENT, OURS) for word, n in reason_counts(judged(limits)).items() if n
    }
    assert seen == set(oracle.ORDER) - {"confidence", "hand_size"}


@every_choice
def test_measurements_over_time_are_those_of_their_definitions(limits: PaperLimits) -> None:
    num_pairs = 0
    for rows in by_video(rows_of(judged(limits))):
        for row, one in zip(rows, oracle.tracks(rows), strict=True):
            before = None if one.before is None else rows[one.before]
            gap = None if before is None else row["frame_index"] - before["frame_index"]
            assert (row["track_index"], row["predecessor_gap_frames"]) == (one.track, gap)
            wanted = wanted_motion(row, before, gap, one.is_duplicate, limits.max_predecessor_gap_frames)
            num_pairs += gap == 1
            assert_row(row, wanted)
    assert num_pairs > 50


def wanted_motion(
    row: dict[str, Any], before: dict[str, Any] | None, gap: int | None, is_duplicate: bool, max_gap: int
) -> dict[str, oracle.Answer]:
    names = MEASUREMENT_NAMES[-10:-2]
    if is_duplicate:
        return dict.fromkeys(names, "not_attempted")
    if before is None or gap is None:
        return dict.fromkeys(names, "first_of_track")
    if gap > max_gap:
        return dict.fromkeys(names, "gap")
    pose = oracle.motion_pose(*(np.concatenate([one["global_orient"], one["hand_pose"]]) for one in (before, row)))
    return {
        **{f"motion_2d_{name}_box_sides": value for name, value in oracle.motion_2d(before, row).items()},
        **{f"motion_pose_{name}": value for name, value in pose.items()},
        "held_sample_score": oracle.held_sample(pose["geodesic_mean_square"], row["crop_change"], gap),
    }


def assert_row(row: dict[str, Any], wanted: dict[str, oracle.Answer]) -> None:
    why = dict(entry.split(":") for entry in row["unmeasured"])
    for name, value in wanted.items():
        if isinstance(value, str):
            assert (math.isnan(row[name]), why.get(name)) == (True, value), name
        else:
            assert row[name] == pytest.approx(value, rel=2e-6, abs=1e-12), name
            assert name not in why


@every_choice
def test_shape_is_measured_over_what_passed_everything_before(limits: PaperLimits) -> None:
    sizes = set()
    for rows in by_video(rows_of(judged(limits))):
        for track in {row["track_index"] for row in rows}:
            members = [row for row in rows if row["track_index"] == track]
            confident = [not set(row["reasons"]) - {"shape_deviation"} for row in members]
            deviations, sigma, size = oracle.shape([row["betas"] for row in members], confident)
            for row, deviation in zip(members, deviations, strict=True):
                assert row["shape_set_size"] == size
                of_set = deviation if deviation == "non_finite" else sigma
                assert_row(row, {"shape_deviation_sigma": deviation, "shape_sigma": of_set})
            sizes.add(size)
    assert min(sizes) == 0
    assert max(sizes) > 1


@every_choice
def test_one_pass_over_many_videos_equals_one_call_a_video(limits: PaperLimits) -> None:
    """The two modes of the groupby-video stage, on rows that come in any order."""
    table, rules = predictions(seed=5, num_videos=15), paper_rules(limits)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))
    together = judge(shuffled, rules, "judge")
    names = pc.unique(shuffled["video_id"]).to_pylist()
    groups = [shuffled.filter(pc.equal(shuffled["video_id"], name)) for name in names]
    one_by_one = pa.concat_tables([judge_video_group(group, rules, "judge") for group in groups])
    key = [(name, "ascending") for name in LABELS.key]
    assert parquet_bytes(one_by_one.sort_by(key)) == parquet_bytes(together)


def test_segments_of_a_long_video_are_judged_when_they_are_joined() -> None:
    table, rules = predictions(seed=6, num_videos=3), paper_rules(LENIENT)
    segments = [table.slice(start, 9) for start in range(0, table.num_rows, 9)]
    joined, whole = judge(pa.concat_tables(segments[::-1]), rules, "j"), judge(table, rules, "j")
    assert parquet_bytes(joined) == parquet_bytes(whole)


@every_choice
def test_judging_labels_again_equals_a_fresh_run_bit_for_bit(limits: PaperLimits) -> None:
    table, rules = predictions(seed=7, num_videos=10), paper_rules(limits)
    fresh = judge(table, rules, "new")
    for other in (PAPER, OURS):
        again = judge(judge(table, paper_rules(other), "old"), rules, "new")
        assert parquet_bytes(again) == parquet_bytes(fresh)


def test_a_group_of_several_videos_is_refused() -> None:
    with pytest.raises(ContractError, match="rows of one video"):
        judge_video_group(predictions(seed=0, num_videos=2), paper_rules(PAPER), "j")
    assert judge_video_group(predictions(seed=0, num_videos=1).slice(0, 0), paper_rules(PAPER), "j").num_rows == 0


def test_no_rows_are_judged_as_none() -> None:
    assert judge(predictions(seed=0, num_videos=1).slice(0, 0), paper_rules(PAPER), "j").schema.names == LABELS.names


def test_a_table_of_something_else_is_refused() -> None:
    with pytest.raises(ContractError, match="no column video_id"):
        judge(pa.table({"a": [1]}), paper_rules(PAPER), "j")


def test_reasons_are_counted_row_by_row() -> None:
    labels = judged(OURS)
    wanted = {word: sum(word in words for words in labels["reasons"].to_pylist()) for word in oracle.ORDER}
    assert reason_counts(labels) == wanted
    assert list(reason_counts(labels)) == list(oracle.ORDER)


def test_confidence_is_written_and_judged() -> None:
    labels = judged(STILL)
    confidence = np.random.default_rng(0).random(labels.num_rows).astype(np.float32)
    confidence[::7] = np.nan
    written = with_confidence(labels, confidence, None)
    assert written["reasons"].equals(labels["reasons"])
    assert written["confidence"].null_count == len(confidence[::7])
    refused = with_confidence(labels, confidence, 0.5)
    for before, after, value in zip(
        labels["reasons"].to_pylist(), refused["reasons"].to_pylist(), confidence, strict=True
    ):
        added = {"not_measured"} if np.isnan(value) else {"confidence"} if value < 0.5 else set()
        assert set(after) == set(before) | added
    assert parquet_bytes(judge(refused, paper_rules(STILL), "judge")) == parquet_bytes(labels)


def test_guards_change_no_measurement_and_refuse_row_by_row() -> None:
    """Confidence was calibrated on labels judged without limits; a first frame or a refused neighbour is no fault."""
    table = predictions(seed=4, num_videos=10)
    plain = judge(table, Rules(()), "j")
    limits = (Limit("box_iou", 0.5, "min"), Limit("motion_pose_axis_angle_l2", 1.0, "max"))
    guarded = judge(table, Rules(limits, limits_are_guards=True), "j")
    verdict = ["accepted", "reasons"]
    assert parquet_bytes(guarded.drop_columns(verdict)) == parquet_bytes(plain.drop_columns(verdict))
    for row, before in zip(guarded.to_pylist(), plain.to_pylist(), strict=True):
        wanted = [*(["box_iou"] if row["box_iou"] < np.float32(0.5) else []),
                  *(["motion_pose"] if row["motion_pose_axis_angle_l2"] > np.float32(1.0) else [])]  # fmt: skip
        assert row["reasons"] == [*wanted, *before["reasons"]]


def test_confidence_is_not_written_twice_nor_for_other_rows() -> None:
    labels = judged(STILL)
    once = with_confidence(labels, np.ones(labels.num_rows), None)
    with pytest.raises(ContractError, match="none written yet"):
        with_confidence(once, np.ones(labels.num_rows), None)
    with pytest.raises(ContractError, match="one a row"):
        with_confidence(labels, np.ones(3), None)
