from dataclasses import replace

import numpy as np
import pytest
from landmark_files import FOLDER, needs_landmarks
from landmark_scenes import rendered_hand
from torch import Tensor

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import draw_views, plain_views
from hoiray.errors import InputError
from hoiray.predictors.landmarks.networks import HandNetworks, Readings
from hoiray.predictors.landmarks.regions import regions_of_boxes, regions_of_points, regions_of_upright

ONE = np.zeros(1, np.int64)


def _readings(value: float) -> Readings:
    shapes = ((2, 21, 2), (2, 21, 3), (2,), (2,))
    return Readings(*(np.full(shape, value) for shape in shapes))


def test_readings_are_replaced_row_by_row() -> None:
    first = _readings(0.25)
    both = first.replaced(np.array([1]), _readings(0.75).rows(np.array([0])))
    assert both.presence.tolist() == [0.25, 0.75]
    assert both.points_m[:, 0, 0].tolist() == [0.25, 0.75]
    assert first.presence.tolist() == [0.25, 0.25]
    assert len(both.rows(np.array([True, False]))) == 1


def _counting(networks: HandNetworks) -> list[str]:
    """Note every time a network computes."""
    computed: list[str] = []
    compute = networks._computed

    def noting(name: str, pixels: Tensor) -> list[np.ndarray]:
        computed.append(name)
        return compute(name, pixels)

    networks._computed = noting  # type: ignore[method-assign]
    return computed


@needs_landmarks
def test_a_crop_is_read_once_and_another_one_anew() -> None:
    networks = HandNetworks(FOLDER, device="cpu", variants=("lite",))
    hand = rendered_hand(turn_rad=0.5)
    regions = regions_of_points(hand.joints_2d_px[None])
    computed = _counting(networks)
    first, second = (networks.read(hand.image[None], ONE, regions, variant="lite") for _ in range(2))
    assert computed == ["hand_landmark_lite"]
    np.testing.assert_array_equal(first.points_px, second.points_px)
    networks.forget()
    anew = networks.read(hand.image[None], ONE, regions, variant="lite")
    assert len(computed) == 2
    np.testing.assert_array_equal(first.points_px, anew.points_px)
    darker = networks.read(hand.image[None] // 2, ONE, regions, variant="lite")
    assert len(computed) == 3
    assert not np.array_equal(darker.points_px, first.points_px)


@needs_landmarks
def test_a_hand_is_read_again_only_where_it_lies_elsewhere_in_its_square() -> None:
    networks = HandNetworks(FOLDER, device="cpu", variants=("full",))
    computed = _counting(networks)
    hand = rendered_hand()
    centred = regions_of_points(hand.joints_2d_px[None])
    off = replace(centred, centers_px=centred.centers_px + np.array([0.12, 0.0]) * centred.sides_px)
    for regions, num_readings in ((centred, 1), (off, 2)):
        computed.clear()
        readings, squares = networks.settle(hand.image[None], ONE, regions, min_presence=0.5)
        assert len(computed) == num_readings
        assert squares.is_near(regions_of_points(readings.points_px)).all()
        again = networks.read(hand.image[None], ONE, regions_of_upright(squares.upright_px))
        np.testing.assert_array_equal(again.points_px, readings.points_px)
        assert len(computed) == num_readings


def test_missing_files_are_named_with_the_command(tmp_path: object) -> None:
    with pytest.raises(InputError, match="hoiray assets fetch landmarks"):
        HandNetworks(FOLDER / "nowhere", device="cpu")


@needs_landmarks
def test_points_sides_and_palms_are_those_of_the_picture() -> None:
    networks = HandNetworks(FOLDER, device="cpu")
    for is_right, turn in ((True, 0.0), (False, -1.2)):
        hand = rendered_hand(is_right=is_right, turn_rad=turn, pose="spread" if turn else "relaxed")
        upright = regions_of_boxes(hand.bbox_xyxy[None]).turned(turn)
        readings = networks.read(hand.image[None], ONE, upright)
        side_px = np.sqrt(np.prod(hand.bbox_xyxy[2:] - hand.bbox_xyxy[:2]))
        offsets = np.linalg.norm(readings.points_px[0] - hand.joints_2d_px, axis=1)
        assert offsets.mean() < 0.06 * side_px
        assert readings.presence[0] > 0.5
        assert (readings.right[0] > 0.5) == is_right
        palms = networks.find_palms(hand.image)
        assert len(palms) == 1
        wrist_px = np.linalg.norm(palms.points_px[0, 0] - hand.joints_2d_px[0])
        assert wrist_px < 0.15 * side_px


@needs_landmarks
def test_views_are_undone_and_one_that_changes_nothing_changes_nothing() -> None:
    networks = HandNetworks(FOLDER, device="cpu", variants=("lite",))
    hand = rendered_hand(turn_rad=0.5)
    regions = regions_of_points(hand.joints_2d_px[None])
    plain = networks.read(hand.image[None], ONE, regions, variant="lite")
    same = networks.read(hand.image[None], ONE, regions, views=plain_views(1), variant="lite")
    np.testing.assert_array_equal(plain.points_px, same.points_px)
    drawn = draw_views(Augmentation(max_rotation_deg=25.0), seed=1, epochs=[1], indices=[4])
    varied = networks.read(hand.image[None], ONE, regions, views=drawn, variant="lite")
    side_px = np.ptp(hand.joints_2d_px, axis=0).max()
    difference = np.linalg.norm(varied.points_px - plain.points_px, axis=-1).mean()
    assert 0.0 < difference < 0.06 * side_px
