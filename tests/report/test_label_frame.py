from typing import Any

import numpy as np
import pytest
import torch

from hoiray.hand.model import HandModel
from hoiray.render.overlay import text_width
from hoiray.report.label_frame import caption_of_label, draw_label_frame
from hoiray.report.label_picture import BAD, GOOD

MODEL = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
GREY = np.full((240, 320, 3), 90, np.uint8)
SCALE_PX_PER_M = 500.0


def _label(**changes: Any) -> dict[str, Any]:
    """A flat hand in the middle of the frame."""
    with torch.no_grad():
        joints = MODEL(torch.zeros(3), torch.zeros(45), torch.zeros(10)).joints.numpy()
    joints_2d = SCALE_PX_PER_M * (joints - joints[0])[:, :2] + [190.0, 120.0]
    low, high = joints_2d.min(axis=0), joints_2d.max(axis=0)
    row: dict[str, Any] = {
        "accepted": True, "reasons": [], "failure": None, "is_right": True, "track_index": 2,
        "bbox_xyxy": [*(low - 8), *(high + 8)], "joints_2d": joints_2d.ravel().tolist(),
        "camera_scale_px_per_m": SCALE_PX_PER_M, "camera_shift_px": [190.0, 120.0],
        "global_orient": [0.0] * 3, "hand_pose": [0.0] * 45, "betas": [0.0] * 10,
    }  # fmt: skip
    return row | changes


def _changed(drawn: np.ndarray) -> np.ndarray:
    return np.asarray((drawn != GREY).any(axis=-1))


def test_a_mesh_is_drawn_where_its_joints_are_and_the_frame_is_left_alone() -> None:
    before = GREY.copy()
    row = _label()
    with_mesh, without = (_changed(draw_label_frame(GREY, [row], model)) for model in (MODEL, None))
    np.testing.assert_array_equal(GREY, before)
    assert with_mesh.sum() > without.sum() + 500
    x0, y0, _, y1 = (int(value) for value in row["bbox_xyxy"])
    outside = with_mesh.copy()
    outside[y0 - 30 : y1 + 3, x0 - 3 :] = False  # the words above the box may reach far to the right
    assert not outside.any()


def test_a_hand_beyond_the_edge_is_cut_off_at_it() -> None:
    shift = [-15.0, 235.0]
    row = _label()
    moved = np.array(row["joints_2d"]).reshape(21, 2) + np.array(shift) - [190.0, 120.0]
    box = (np.array(row["bbox_xyxy"]).reshape(2, 2) + np.array(shift) - [190.0, 120.0]).ravel()
    drawn = draw_label_frame(
        GREY, [_label(joints_2d=moved.ravel().tolist(), camera_shift_px=shift, bbox_xyxy=box.tolist())], MODEL
    )
    assert drawn.shape == GREY.shape


def test_a_label_without_answer_shows_its_box_and_why() -> None:
    absent = dict.fromkeys(
        ("joints_2d", "camera_scale_px_per_m", "camera_shift_px", "global_orient", "hand_pose", "betas")
    )
    row = _label(accepted=False, reasons=["not_measured"], failure="no_hand_in_box", **absent)
    assert _changed(draw_label_frame(GREY, [row], MODEL)).any()
    assert caption_of_label(row) == "right 2: no answer: no_hand_in_box"


@pytest.mark.parametrize("box", [[290.0, 100.0, 318.0, 140.0], [2.0, 1.0, 30.0, 40.0], [290.0, 0.0, 318.0, 10.0]])
def test_words_stay_in_the_frame_wherever_the_box_is(box: list[float]) -> None:
    row = _label(bbox_xyxy=box, joints_2d=None, accepted=False, reasons=["shape_deviation", "motion_2d"])
    drawn = draw_label_frame(GREY, [row], None)
    is_bar = (drawn == np.array(BAD)).all(axis=-1)
    columns, rows = np.flatnonzero(is_bar.any(axis=0)), np.flatnonzero(is_bar.any(axis=1))
    assert columns[-1] - columns[0] >= text_width(caption_of_label(row), 9.0, bold=True)
    assert rows[-1] - rows[0] >= 9


def test_words_of_neighbours_do_not_lie_on_each_other() -> None:
    def bar_of(drawn: np.ndarray, colour: tuple[int, int, int]) -> set[int]:
        return set(np.flatnonzero((drawn == np.array(colour)).all(axis=-1).sum(axis=1) > 20).tolist())

    first = _label(bbox_xyxy=[100.0, 100.0, 130.0, 140.0], joints_2d=None)
    second = _label(bbox_xyxy=[125.0, 102.0, 150.0, 142.0], joints_2d=None, accepted=False, reasons=["motion_2d"])
    drawn = draw_label_frame(GREY, [first, second], None)
    assert max(bar_of(drawn, GOOD)) < 100
    assert min(bar_of(drawn, BAD)) >= 142


@pytest.mark.parametrize(
    ("changes", "caption"),
    [
        ({}, "right 2: accepted"),
        ({"is_right": False}, "left 2: accepted"),
        ({"accepted": False, "reasons": ["motion_2d"]}, "right 2: jumps in the image"),
        ({"accepted": False, "reasons": ["motion_2d", "duplicate"]}, "right 2: jumps in the image +1"),
    ],
)
def test_the_words_say_side_track_and_verdict(changes: dict[str, Any], caption: str) -> None:
    assert caption_of_label(_label(**changes)) == caption
