import numpy as np
import pytest

from hoiray.datasets.crop_plan import (
    CropSpec,
    base_crops,
    cell_centers_px,
    hand_boxes,
    object_boxes,
    turned_box,
)
from hoiray.errors import ConfigError
from hoiray.geometry.crops import crop_affine

SPEC = CropSpec(size_px=128)
HAND = [100.0, 100.0, 140.0, 160.0]  # centre (120, 130); expanded by 1.5: 60 x 90
THING = [150.0, 110.0, 210.0, 130.0]  # centre (180, 120); expanded by 1.5: 90 x 30
SIZE = (640, 480)


def test_hand_and_object_are_expanded_fused_and_squared() -> None:
    crop = base_crops(HAND, THING, SIZE, SPEC)
    # hand 90..150 x 85..175, object 135..225 x 105..135
    np.testing.assert_allclose(crop.centers_px, [157.5, 130.0])
    assert crop.sides_px == pytest.approx(135.0)


def test_without_an_object_the_hand_alone_is_cropped() -> None:
    crop = base_crops(HAND, np.full(4, np.nan), SIZE, SPEC)
    np.testing.assert_allclose(crop.centers_px, [120.0, 130.0])
    assert crop.sides_px == pytest.approx(90.0)


def test_a_box_at_the_edge_is_clipped_before_it_is_squared() -> None:
    at_edge = [-20.0, 100.0, 20.0, 160.0]  # expanded: -30..30 x 85..175, clipped: -0.5..30
    clipped = base_crops(at_edge, np.full(4, np.nan), SIZE, SPEC)
    np.testing.assert_allclose(clipped.centers_px, [14.75, 130.0])
    unclipped = base_crops(at_edge, np.full(4, np.nan), SIZE, CropSpec(128, clip_to_image=False))
    np.testing.assert_allclose(unclipped.centers_px, [0.0, 130.0])


def test_a_hand_outside_the_image_has_no_crop() -> None:
    assert np.isnan(base_crops([700.0, 10.0, 720.0, 30.0], np.full(4, np.nan), SIZE, SPEC).sides_px)


def test_the_released_codes_centres_are_whole_numbers() -> None:
    spec = CropSpec(128, integer_centers=True)
    crop = base_crops(HAND, THING, SIZE, spec)
    np.testing.assert_array_equal(crop.centers_px, [157.0, 130.0])
    box = hand_boxes([10.0, 10.0, 21.0, 30.0], spec)
    np.testing.assert_allclose(box, [15 - 6.05, 20 - 11, 15 + 6.05, 20 + 11])


def test_batches_are_cropped_as_single_boxes_are() -> None:
    absent = np.full(4, np.nan)
    batch = base_crops([HAND, HAND], [THING, absent], [SIZE, SIZE], SPEC)
    for row, thing in enumerate((THING, absent)):
        single = base_crops(HAND, thing, SIZE, SPEC)
        np.testing.assert_array_equal(batch.centers_px[row], single.centers_px)
        assert batch.sides_px[row] == single.sides_px


def test_the_hands_box_stands_for_an_object_that_is_not_there() -> None:
    boxes = object_boxes([THING, [np.nan] * 4], [HAND, HAND], SPEC)
    np.testing.assert_array_equal(boxes, [THING, HAND])


def test_an_unturned_box_keeps_its_edges() -> None:
    A = crop_affine([150.0, 120.0], 200.0, 0.0, out_size_px=128)
    corners = np.array(THING).reshape(2, 2) @ A[:2, :2].T + A[:2, 2]
    np.testing.assert_allclose(turned_box(THING, A, 0.0), corners.ravel(), atol=1e-12)


def test_a_turned_square_box_keeps_its_size_and_a_quarter_turn_swaps_sides() -> None:
    square = [10.0, 10.0, 50.0, 50.0]
    A = crop_affine([150.0, 120.0], 128.0, np.pi / 4, out_size_px=128)
    box = turned_box(square, A, np.pi / 4)
    np.testing.assert_allclose([box[2] - box[0], box[3] - box[1]], [40.0, 40.0])
    quarter = crop_affine([150.0, 120.0], 128.0, np.pi / 2, out_size_px=128)
    box = turned_box(THING, quarter, np.pi / 2)
    np.testing.assert_allclose([box[2] - box[0], box[3] - box[1]], [20.0, 60.0])


def test_cells_go_row_by_row_and_fill_the_box() -> None:
    centers = cell_centers_px([0.0, 10.0, 4.0, 18.0], 2)
    np.testing.assert_allclose(centers, [[1, 12], [3, 12], [1, 16], [3, 16]])


@pytest.mark.parametrize(
    "change", [{"size_px": 0}, {"roi_cells": 0}, {"hand_box_factor": 0.0}, {"context_factor": np.inf}]
)
def test_a_spec_no_crop_can_have_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        CropSpec(**({"size_px": 128} | change))  # type: ignore[arg-type]  # a test
