import numpy as np
import numpy.typing as npt
import pytest

from hoiray.hand.model import HandModel
from hoiray.render.hand_sheet import (
    _BACK_VIEW,
    _PALM_VIEW,
    _cell,
    _posed,
    _poses,
    _shapes,
    _skin_albedo,
    hand_contact_sheet,
)

Image = npt.NDArray[np.uint8]
CELL_PX = 40


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load(None, flat_hand_mean=True, tip_set="smplx")


@pytest.fixture(scope="module")
def sheet(model: HandModel) -> Image:
    return hand_contact_sheet(model, cell_px=CELL_PX)


def is_skin(image: Image) -> npt.NDArray[np.bool_]:
    red, green, blue = (image[..., channel].astype(int) for channel in range(3))
    return np.asarray((red > green + 12) & (green >= blue))


def test_every_pose_and_shape_has_its_cell(model: HandModel, sheet: Image) -> None:
    num_rows, num_columns = 4 + len(_shapes()), len(_poses(model))
    assert (num_rows, num_columns) == (9, 12)
    height, width = CELL_PX, round(CELL_PX * 0.78)
    grid = sheet[-24 - num_rows * height : -24, -24 - num_columns * width : -24]
    skin = is_skin(grid).reshape(num_rows, height, num_columns, width).mean(axis=(1, 3))
    assert skin.min() > 0.04
    assert skin.max() < 0.8
    assert (sheet[:24] == sheet[0, 0]).all()


def test_a_pose_looks_the_same_whatever_the_models_convention(model: HandModel) -> None:
    relative = HandModel.load(None, flat_hand_mean=False, tip_set="smplx")
    pose = _poses(model)["pinch"]
    np.testing.assert_array_equal(_poses(relative)["pinch"], pose)
    hands = [_posed(either, pose, np.zeros(10), is_right=False) for either in (model, relative)]
    np.testing.assert_allclose(hands[0].vertices, hands[1].vertices, atol=1e-6)


def test_a_cell_is_the_same_bytes_every_time(model: HandModel) -> None:
    pictures = []
    for _ in range(2):
        hand = _posed(model, _poses(model)["random 1"], _shapes()["random shape"], is_right=True)
        pictures.append(_cell(hand, np.full((778, 3), 0.5), _BACK_VIEW, 64).tobytes())
    assert pictures[0] == pictures[1]


def test_a_left_hand_is_the_mirror_image_in_outline(model: HandModel) -> None:
    pose = _poses(model)["point"]
    right, left = (_posed(model, pose, np.zeros(10), is_right=side) for side in (True, False))
    albedo = _skin_albedo(_posed(model, np.zeros(45), np.zeros(10), is_right=True))
    seen = [is_skin(_cell(hand, albedo, _PALM_VIEW, 96)) for hand in (right, left)]
    assert (seen[0] != seen[1][:, ::-1]).mean() < 0.02
    assert (seen[0] != seen[1]).mean() > 0.05


def test_the_thumb_of_a_right_hand_is_left_of_its_back_and_right_of_its_palm(model: HandModel) -> None:
    hand = _posed(model, _poses(model)["thumb up"], np.zeros(10), is_right=True)
    albedo = _skin_albedo(_posed(model, np.zeros(45), np.zeros(10), is_right=True))
    for view, side in ((_BACK_VIEW, -1), (_PALM_VIEW, 1)):
        columns = np.nonzero(is_skin(_cell(hand, albedo, view, 96)))[1]
        assert side * (np.median(columns) - (columns.min() + columns.max()) / 2) < -3


def test_a_larger_first_shape_coefficient_is_a_larger_hand_on_the_sheet(model: HandModel) -> None:
    albedo = _skin_albedo(_posed(model, np.zeros(45), np.zeros(10), is_right=True))
    areas = [
        is_skin(_cell(_posed(model, np.zeros(45), _shapes()[name], is_right=True), albedo, _BACK_VIEW, 96)).sum()
        for name in ("beta 0 = -2.5", "beta 0 = +2.5")
    ]
    assert areas[1] > 1.3 * areas[0]


def test_the_palm_is_lighter_than_the_back(model: HandModel) -> None:
    rest = _posed(model, np.zeros(45), np.zeros(10), is_right=True)
    albedo = _skin_albedo(rest)
    knuckle_line = np.abs(rest.vertices[:, 0] - rest.joints[9, 0]) < 0.03
    middle_m = np.median(rest.vertices[knuckle_line, 1])
    palm, back = knuckle_line & (rest.vertices[:, 1] < middle_m), knuckle_line & (rest.vertices[:, 1] > middle_m)
    assert albedo[palm].mean() > albedo[back].mean()
    assert ((albedo > 0) & (albedo < 1)).all()
