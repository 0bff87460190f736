from dataclasses import replace

import numpy as np
import pytest

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import draw_views, plain_views
from hoiray.geometry.boxes import from_points
from hoiray.geometry.crops import apply_affine
from hoiray.hand.joints import SIMPLE_NAMES
from hoiray.predictors.landmarks.regions import (
    BOX_FACTOR,
    MAX_VIEW_TURN_RAD,
    Regions,
    regions_of_boxes,
    regions_of_palms,
    regions_of_points,
    regions_of_upright,
)


def _upright_hand() -> np.ndarray:
    """21 points of a hand whose fingers point up, px."""
    points = np.zeros((21, 2))
    for finger in range(5):
        for joint in range(4):
            points[1 + 4 * finger + joint] = [20.0 * (finger - 2), -60.0 - 25.0 * joint]
    return points + np.array([300.0, 200.0])


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Clockwise on the screen, y down."""
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T


def test_an_upright_hand_is_shown_as_it_is() -> None:
    regions = regions_of_points(_upright_hand()[None])
    assert regions.turns_rad[0] == pytest.approx(0.0, abs=1e-12)
    inner = [i for i, name in enumerate(SIMPLE_NAMES) if name.split("_")[-1] in ("wrist", "cmc", "mcp", "pip")]
    inner = sorted({*inner, SIMPLE_NAMES.index("thumb_ip")})
    box = from_points(_upright_hand()[inner])
    longer = max(box[2] - box[0], box[3] - box[1])
    assert regions.sides_px[0] == pytest.approx(2.0 * longer)
    assert regions.centers_px[0] == pytest.approx([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 0.1 * longer])


@pytest.mark.parametrize("angle", [0.3, np.pi / 2, -2.5])
def test_a_turned_moved_larger_hand_has_its_square_turned_moved_and_larger(angle: float) -> None:
    hand = _upright_hand()
    plain = regions_of_points(hand[None])
    moved = regions_of_points(2.0 * _turned(hand, angle)[None] + 7.0)
    assert moved.turns_rad[0] == pytest.approx(angle)
    assert moved.sides_px[0] == pytest.approx(2.0 * plain.sides_px[0])
    np.testing.assert_allclose(moved.centers_px, 2.0 * _turned(plain.centers_px, angle) + 7.0)


@pytest.mark.parametrize("angle", [0.3, np.pi / 2, -2.5])
def test_two_points_of_a_square_are_the_square_and_stay_what_they_are(angle: float) -> None:
    regions = regions_of_points(_turned(_upright_hand(), angle)[None])
    again = regions_of_upright(regions.upright_px)
    np.testing.assert_allclose(again.centers_px, regions.centers_px, rtol=1e-6)
    np.testing.assert_allclose(again.sides_px, regions.sides_px, rtol=1e-5)
    np.testing.assert_allclose(again.turns_rad, regions.turns_rad, atol=1e-5)
    assert again.upright_px.dtype == np.float32
    np.testing.assert_array_equal(again.upright_px, regions.upright_px)


def test_squares_are_near_until_they_have_moved_grown_or_turned_too_far() -> None:
    square = Regions(np.array([[50.0, 60.0]]), np.array([100.0]), np.array([np.pi - 0.01]))
    assert square.is_near(square.turned(0.1)).all()  # across half a turn
    assert not square.is_near(square.turned(0.5)).any()
    for moved, is_near in ((3.0, True), (20.0, False)):
        assert square.is_near(replace(square, centers_px=square.centers_px + moved)).all() == is_near
    for factor, is_near in ((1.1, True), (1 / 1.1, True), (1.4, False), (1 / 1.4, False)):
        assert square.is_near(replace(square, sides_px=square.sides_px * factor)).all() == is_near


@pytest.mark.parametrize("angle", [0.0, 1.0, np.pi])
def test_a_crop_shows_the_fingers_above_the_wrist(angle: float) -> None:
    hand = _turned(_upright_hand(), angle)
    seen = apply_affine(regions_of_points(hand[None]).affines(224)[0], hand)
    assert seen[SIMPLE_NAMES.index("middle_tip"), 1] < seen[0, 1] - 50
    assert (seen > 0).all()
    assert (seen < 224).all()


def test_the_square_of_a_palm_reaches_to_the_fingers() -> None:
    palm = np.array([[100.0, 100.0, 140.0, 140.0]])
    points = np.zeros((1, 7, 2))
    points[0, 0], points[0, 2] = [120.0, 140.0], [120.0, 100.0]  # wrist below the middle knuckle
    regions = regions_of_palms(palm, points)
    assert regions.turns_rad[0] == 0.0
    np.testing.assert_allclose(regions.centers_px, [[120.0, 100.0]])
    np.testing.assert_allclose(regions.sides_px, [104.0])


def test_the_square_of_a_box_holds_it_and_more() -> None:
    regions = regions_of_boxes([[10.0, 20.0, 50.0, 100.0]])
    np.testing.assert_allclose(regions.centers_px, [[30.0, 60.0]])
    np.testing.assert_allclose(regions.sides_px, [BOX_FACTOR * 80.0])
    assert regions.turned(1.5).turns_rad[0] == 1.5


def test_views_turn_around_the_upright_hand_and_no_further_than_the_network_reads() -> None:
    regions = regions_of_points(np.stack([_turned(_upright_hand(), 2.0)] * 40))
    drawn = draw_views(Augmentation(), seed=0, epochs=[1] * 40, indices=list(range(40)))
    views = regions.views(drawn)
    assert views is not None
    extra = views.rotations_rad + 2.0
    assert np.abs(drawn.rotations_rad).max() > 2.0
    assert np.abs(extra).max() == pytest.approx(MAX_VIEW_TURN_RAD)
    small = np.abs(drawn.rotations_rad) < MAX_VIEW_TURN_RAD
    np.testing.assert_allclose(extra[small], drawn.rotations_rad[small])


def test_a_view_that_changes_nothing_is_the_square_itself() -> None:
    regions = regions_of_points(_turned(_upright_hand(), 1.0)[None])
    views = regions.views(plain_views(1))
    assert views is not None
    same = views.affines(regions.centers_px, regions.sides_px, out_size_px=224)
    np.testing.assert_allclose(same, regions.affines(224))
    assert regions.views(None) is None
