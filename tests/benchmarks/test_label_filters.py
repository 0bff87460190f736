"""What a filter is worth without its limit, and under other readings, on rows made by hand."""

import numpy as np
import pyarrow as pa
from judged_scenes import NUM_VIDEOS, PAPER, compared, labels, true_hands
from valid_tables import replaced

from hoiray.benchmarks.label_filters import READINGS, filter_tables, judged_again
from hoiray.benchmarks.labels import Judged, judged_labels
from hoiray.config.what import PaperLimits
from hoiray.evaluation.bootstrap import Interval
from hoiray.filters.rules import FILTERS, paper_rules
from hoiray.schema.columns import pack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge


def with_measured(name: str, values: np.ndarray) -> Judged:
    """Labels of which every second one is ten times as wrong, with a measurement of our choice."""
    truth = true_hands()
    column = pack_column(LABELS[name], values.astype(np.float32))
    return judged_labels(replaced(labels(truth, (0.001, 0.010)), name, column), truth)


def test_a_measurement_that_sorts_as_the_error_does_ranks_perfectly() -> None:
    errors = compared((0.001, 0.010)).errors["mpjpe_mm"]
    cells = filter_tables(with_measured("spread_3d_m", errors / 1000.0), PAPER, 5.0)[0].rows["spread_3d_m"]
    assert isinstance(cells["mpjpe_mm"], Interval)
    assert isinstance(cells["concordance"], Interval)
    assert cells["mpjpe_mm"].value > 0.999
    assert cells["concordance"].value == 1.0
    assert cells["limit"] == "no limit"
    assert "beyond" not in cells


def test_of_a_measurement_with_a_lower_limit_less_is_worse() -> None:
    errors = compared((0.001, 0.010)).errors["mpjpe_mm"]
    cells = filter_tables(with_measured("box_iou", 1.0 - errors / errors.max()), PAPER, 5.0)[0].rows["box_iou"]
    assert isinstance(cells["mpjpe_mm"], Interval)
    assert cells["mpjpe_mm"].value > 0.999
    assert cells["worst"] == 0.0
    assert cells["limit"] == "at least 0.6"
    assert cells["beyond"] == int((1.0 - errors / errors.max() < 0.6).sum())


def test_every_filter_says_where_its_limit_is() -> None:
    rows = filter_tables(compared((0.001, 0.010)), PAPER, 5.0)[0].rows
    assert list(rows) == list(FILTERS)
    assert rows["max_joint_angle_rad"]["limit"] == "below 1.57"
    assert rows["reprojection_mean_box_sides"]["limit"] == "another reading is judged"
    assert rows["held_sample_score"]["limit"] == "no limit"
    unknown = filter_tables(compared((0.001, 0.010)), None, 5.0)
    assert len(unknown) == 1
    assert unknown[0].rows["box_iou"]["limit"] == "not known"


def test_a_measurement_that_was_never_taken_ranks_nothing() -> None:
    rows = filter_tables(with_measured("held_sample_score", np.full(2 * NUM_VIDEOS, np.nan)), PAPER, 5.0)[0].rows
    assert rows["held_sample_score"] == {"measured": 0, "limit": "no limit"}


def test_labels_judged_again_by_their_own_limits_keep_their_verdicts() -> None:
    table = judge(labels(true_hands(), (0.001, 0.010)), paper_rules(PAPER), "first")
    np.testing.assert_array_equal(judged_again(table, PAPER), table["accepted"].to_pylist())


def test_every_reading_is_judged_anew() -> None:
    truth = true_hands()
    table = judge(labels(truth, (0.001, 0.010)), paper_rules(PAPER), "first")
    rows = filter_tables(judged_labels(table, truth), PAPER, 5.0)[1].rows
    assert list(rows) == ["as it was", *READINGS]
    for name, changes in READINGS.items():
        limits = PaperLimits(**changes)  # a typo is refused
        expected = judge(table, paper_rules(limits), "again")["accepted"].to_pylist()
        assert rows[name]["accepted"] == sum(expected)


def test_a_limit_left_out_accepts_what_it_alone_refused() -> None:
    truth = true_hands()
    wide = PaperLimits(
        max_reprojection_box_sides=None, max_joint_angle_deg=None, min_bone_length_ratio=None, min_box_iou=0.5,
        max_motion_2d_box_sides=None, max_motion_pose=None, max_shape_deviation_sigma=None,
    )  # fmt: skip
    values = np.tile([0.9, 0.1], NUM_VIDEOS).astype(np.float32)
    table = replaced(labels(truth, (0.001, 0.010)), "box_iou", pack_column(LABELS["box_iou"], values))
    table = replaced(table, "hand_index", pa.array(np.zeros(len(values)), pa.int16()))
    rows = filter_tables(judged_labels(judge(table, paper_rules(wide), "first"), truth), wide, 5.0)[1].rows
    assert rows["as it was"]["accepted"] == NUM_VIDEOS
    assert rows["without box_iou"]["accepted"] == 2 * NUM_VIDEOS
    ratio = rows["as it was"]["ratio_mpjpe_mm"]
    assert isinstance(ratio, Interval)
    assert ratio.low > 5.0
