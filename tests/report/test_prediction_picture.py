import dataset_files as files
import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.report.contact_sheet import Drawable
from hoiray.report.prediction_picture import (
    HAND_BOX_COLOUR,
    INTERSECTION_COLOUR,
    OBJECT_BOX_COLOUR,
    PictureHand,
    PictureObject,
    draw_attention,
    draw_prediction,
    hand_colour,
)

K = np.array([[600.0, 0, 160], [0, 600, 120], [0, 0, 1]])
IMAGE = np.full((240, 320, 3), 90, np.uint8)
CELLS = 8


def shown(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((np.abs(image.astype(int) - colour) < 12).all(axis=-1))


def test_a_hand_is_drawn_where_it_is_projected() -> None:
    hand = files.hands(1, tip_set="ho3d", seed=1)
    pixels = hand.joints[0] @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    mesh = Drawable(hand.vertices[0], files.arrays().faces, hand_colour(is_right=True))
    drawn = draw_prediction(IMAGE, [PictureHand(pixels, box, True, mesh)], [], K)
    changed = (drawn != IMAGE).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert changed.mean() > 0.02
    seen = hand.vertices[0] @ K.T
    seen = seen[:, :2] / seen[:, 2:]
    low, high = np.minimum(seen.min(axis=0), box[:2]), np.maximum(seen.max(axis=0), box[2:])
    assert low[0] - 6 < columns.min()
    assert columns.max() < high[0] + 6
    assert low[1] - 20 < rows.min()  # the letter of the side stands above the box
    assert rows.max() < high[1] + 6
    bare = draw_prediction(IMAGE, [PictureHand(pixels, box, True, None)], [], K)
    assert (bare != IMAGE).any(axis=-1).sum() < changed.sum()
    assert (IMAGE == 90).all()


def test_what_is_not_known_is_not_drawn() -> None:
    nothing = np.full((21, 2), np.nan)
    box = np.array([10.0, 10, 60, 60])
    hand = PictureHand(nothing, box, False, None)
    thing = PictureObject(np.full(4, np.nan), nothing, None)
    drawn = draw_prediction(IMAGE, [hand], [thing], K)
    assert shown(drawn, hand_colour(is_right=False))[5:66, 5:66].any()
    assert (drawn[70:] == 90).all()


def boxes() -> tuple[np.ndarray, np.ndarray]:
    return np.array([4.0, 4, 40, 40]), np.array([24.0, 20, 60, 56])


def test_the_attention_picture_has_the_three_boxes_and_one_picture_a_query() -> None:
    crop = np.full((64, 64, 3), 120, np.uint8)
    maps = np.full((CELLS**2, CELLS**2), 1 / CELLS**2)
    page = draw_attention(crop, *boxes(), maps, queries=[(0.5, 0.5)], cell_px=256)
    for colour in (HAND_BOX_COLOUR, OBJECT_BOX_COLOUR, INTERSECTION_COLOUR):
        assert shown(page, colour).sum() > 50
    wider = draw_attention(crop, *boxes(), maps, queries=[(0.5, 0.5), (0.1, 0.9)], cell_px=256)
    assert wider.shape[1] == page.shape[1] + 256 + 6


def test_the_brightest_place_is_the_cell_with_the_largest_weight() -> None:
    crop = np.zeros((64, 64, 3), np.uint8)
    maps = np.zeros((CELLS**2, CELLS**2))
    maps[2 * CELLS + 6, 1 * CELLS + 5] = 1.0  # the query of row 2, column 6 looks at row 1, column 5
    hand, thing = np.array([0.0, 0, 47, 47]), np.array([16.0, 16, 63, 63])
    query = ((6 + 0.5) / CELLS, (2 + 0.5) / CELLS)
    page = draw_attention(crop, hand, thing, maps, queries=[query], cell_px=256)
    picture = page[-24 - 256 : -24, -24 - 256 : -24].astype(int).sum(axis=-1)
    inside = picture[66:190, 66:190]  # the intersection, 16 to 47 px of the crop, four times as large, without its rim
    row, column = np.unravel_index(int(np.argmax(inside)), inside.shape)
    side = (47 - 16) * 4 / CELLS
    assert abs(column + 66 - (66 + 5.5 * side)) < side
    assert abs(row + 66 - (66 + 1.5 * side)) < side


def test_boxes_that_do_not_meet_have_no_heat_and_bad_queries_are_refused() -> None:
    crop = np.full((64, 64, 3), 120, np.uint8)
    maps = np.full((CELLS**2, CELLS**2), 1 / CELLS**2)
    page = draw_attention(crop, np.array([0.0, 0, 10, 10]), np.array([30.0, 30, 60, 60]), maps, queries=[(0.5, 0.5)])
    assert not shown(page, INTERSECTION_COLOUR).any()
    with pytest.raises(ContractError, match="unit square"):
        draw_attention(crop, *boxes(), maps, queries=[(1.5, 0.5)])
    with pytest.raises(ContractError, match="one head"):
        draw_attention(crop, *boxes(), maps[:, :9])
