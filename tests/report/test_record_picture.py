"""The record of a label as a picture."""

from typing import Any

import numpy as np
import pytest
from filter_scenes import predictions

from hoiray.config.what import PaperLimits
from hoiray.filters.rules import paper_rules
from hoiray.hand.model import HandModel
from hoiray.report.measures import measures_of
from hoiray.report.record_picture import LIMIT_AT, PANEL_PX, bar_share, draw_record, draw_spread, scaled_row
from hoiray.stages.judge import judge

RULES = paper_rules(PaperLimits())
ROWS = judge(predictions(seed=2, num_videos=12), RULES, "j").to_pylist()
FRAME = np.full((240, 426, 3), 120, np.uint8)


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load(flat_hand_mean=True, tip_set="ho3d")


def row_that(is_accepted: bool) -> dict[str, Any]:
    return next(row for row in ROWS if row["accepted"] == is_accepted and row["betas"] is not None)


@pytest.mark.parametrize("is_accepted", [True, False])
def test_a_record_has_the_colour_of_its_verdict_and_is_made_twice_alike(is_accepted: bool, model: HandModel) -> None:
    row = row_that(is_accepted)
    page = draw_record(row, FRAME, model, RULES, lineage=["shard \u00e9"])
    assert page.dtype == np.uint8
    assert page.shape[0] > PANEL_PX
    red, green, _ = page[30, 100].astype(int)
    assert (green > red) == is_accepted
    np.testing.assert_array_equal(page, draw_record(row, FRAME, model, RULES, lineage=["shard \u00e9"]))


def test_a_label_without_prediction_is_drawn_too() -> None:
    row = row_that(False) | dict.fromkeys(
        ("joints_2d", "betas", "global_orient", "hand_pose", "camera_scale_px_per_m", "camera_shift_px",
         "spread_joints_2d_px")
    )  # fmt: skip
    assert draw_record(row | {"failure": "no hand"}, FRAME, None, RULES).shape[2] == 3


def test_joints_that_views_disagree_on_have_larger_circles() -> None:
    row = row_that(True)
    small, large = (
        draw_spread(row | {"spread_joints_2d_px": [radius] * 21}, FRAME, cell_px=200).astype(int) for radius in (0.5, 9)
    )
    plain = draw_spread(row | {"spread_joints_2d_px": None}, FRAME, cell_px=200).astype(int)
    changed = [int((one != plain).any(axis=-1).sum()) for one in (small, large)]
    assert changed[0] < changed[1]


def test_a_bar_ends_at_its_limit_where_the_value_does() -> None:
    measure = next(one for one in measures_of(RULES, has_confidence=False) if one.limit is not None)
    assert measure.limit is not None
    assert bar_share(measure.limit, measure) == pytest.approx(LIMIT_AT)
    assert bar_share(100.0 * measure.limit, measure) == 1.0
    assert bar_share(float("nan"), measure) == 0.0


def test_an_enlarged_frame_keeps_a_label_on_its_pixels() -> None:
    row = row_that(True)
    scaled = scaled_row(row, 2.0)
    assert scaled["bbox_xyxy"] == pytest.approx([2.0 * (value + 0.5) - 0.5 for value in row["bbox_xyxy"]])
    joints = np.array(row["joints_3d"]).reshape(21, 3)[:, :2]
    first, second = (one["camera_scale_px_per_m"] * joints + np.array(one["camera_shift_px"]) for one in (row, scaled))
    np.testing.assert_allclose(second, (first + 0.5) * 2.0 - 0.5, rtol=1e-5)
