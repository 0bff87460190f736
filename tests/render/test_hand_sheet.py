from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hoiray.errors import ContractError
from hoiray.hand.load import MANO_LICENCE
from hoiray.hand.model import HandModel
from hoiray.render import hand_sheet
from hoiray.render.hand_sheet import (
    _BACK_VIEW,
    _DISTANCE_M,
    _PALM_VIEW,
    _cell,
    _cut,
    _fitting_frame,
    _Frame,
    _name,
    _posed,
    _poses,
    _rows,
    _shapes,
    _skin_albedo,
    _stump,
    hand_contact_sheet,
)
from hoiray.render.overlay import text_width

Image = npt.NDArray[np.uint8]
CELL_PX = 40


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load(None, flat_hand_mean=True, tip_set="smplx")


@pytest.fixture(scope="module")
def sheet(model: HandModel) -> Image:
    return hand_contact_sheet(model, cell_px=CELL_PX)


def frame(cell_px: int) -> _Frame:
    return _Frame((cell_px, round(cell_px * 0.78)), cell_px * _DISTANCE_M / 0.275)


def grid(model: HandModel, sheet: Image) -> npt.NDArray[np.bool_]:
    """Where skin is on the sheet: by row, row of pixels, column, column of pixels."""
    num_rows, num_columns = 4 + len(_shapes()), len(_poses(model))
    width = fitted(model).size_px[1]
    cells = sheet[-24 - num_rows * CELL_PX : -24, -24 - num_columns * width : -24]
    return is_skin(cells).reshape(num_rows, CELL_PX, num_columns, width)


def fitted(model: HandModel, cell_px: int = CELL_PX) -> _Frame:
    rows = _rows(model, list(_poses(model).values()))
    return _fitting_frame(((hand, row.view) for row in rows for hand in row.hands), cell_px)


def is_skin(image: Image) -> npt.NDArray[np.bool_]:
    red, green, blue = (image[..., channel].astype(int) for channel in range(3))
    return np.asarray((red > green + 12) & (green >= blue))


def test_every_pose_and_shape_has_its_cell(model: HandModel, sheet: Image) -> None:
    num_rows, num_columns = 4 + len(_shapes()), len(_poses(model))
    assert (num_rows, num_columns) == (15, 12)
    skin = grid(model, sheet).mean(axis=(1, 3))
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
        pictures.append(_cell(hand, np.full((778, 3), 0.5), _BACK_VIEW, frame(64)).tobytes())
    assert pictures[0] == pictures[1]


def test_a_left_hand_is_the_mirror_image_in_outline(model: HandModel) -> None:
    pose = _poses(model)["point"]
    right, left = (_posed(model, pose, np.zeros(10), is_right=side) for side in (True, False))
    albedo = _skin_albedo(_posed(model, np.zeros(45), np.zeros(10), is_right=True))
    seen = [is_skin(_cell(hand, albedo, _PALM_VIEW, frame(96))) for hand in (right, left)]
    assert (seen[0] != seen[1][:, ::-1]).mean() < 0.02
    assert (seen[0] != seen[1]).mean() > 0.05


def test_the_thumb_of_a_right_hand_is_left_of_its_back_and_right_of_its_palm(model: HandModel) -> None:
    hand = _posed(model, _poses(model)["thumb up"], np.zeros(10), is_right=True)
    albedo = _skin_albedo(_posed(model, np.zeros(45), np.zeros(10), is_right=True))
    for view, side in ((_BACK_VIEW, -1), (_PALM_VIEW, 1)):
        columns = np.nonzero(is_skin(_cell(hand, albedo, view, frame(96))))[1]
        assert side * (np.median(columns) - (columns.min() + columns.max()) / 2) < -3


def test_a_larger_first_shape_coefficient_is_a_larger_hand_on_the_sheet(model: HandModel) -> None:
    albedo = _skin_albedo(_posed(model, np.zeros(45), np.zeros(10), is_right=True))
    areas = [
        is_skin(_cell(_posed(model, np.zeros(45), _shapes()[name], is_right=True), albedo, _BACK_VIEW, frame(96))).sum()
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


def test_every_hand_fits_its_cell_and_the_largest_fills_it(model: HandModel, sheet: Image) -> None:
    skin = grid(model, sheet)
    for edge in (skin[:, 0], skin[:, -1], skin[:, :, :, 0], skin[:, :, :, -1]):
        assert not edge.any()
    filled = skin.any(axis=3).sum(axis=1).max() / CELL_PX, skin.any(axis=1).sum(axis=2).max() / skin.shape[3]
    assert min(filled) > 0.85


def test_a_shape_and_its_opposite_are_seen_from_the_same_side(model: HandModel) -> None:
    views = {row.name: row.view for row in _rows(model, [np.zeros(45)])}
    for beta in range(5):
        np.testing.assert_array_equal(views[f"beta {beta} = +2.5"], views[f"beta {beta} = -2.5"])
    assert any((views[f"beta {beta} = +2.5"] != views["beta 0 = +2.5"]).any() for beta in range(5))
    assert {tuple(betas) for name, betas in _shapes().items() if name.startswith("beta 3")} == {
        tuple(sign * 2.5 * np.eye(10)[3]) for sign in (1, -1)
    }


def test_random_poses_show_what_no_named_pose_shows(model: HandModel) -> None:
    joints = {name: _posed(model, pose, np.zeros(10), is_right=True).joints for name, pose in _poses(model).items()}
    for name in ("random 1", "random 2"):
        others = [other for key, other in joints.items() if key != name]
        assert min(float(np.sqrt(((joints[name] - other) ** 2).sum(axis=1).mean())) for other in others) > 0.015


def page_of(model: HandModel, monkeypatch: pytest.MonkeyPatch, cell_px: int) -> dict[str, Any]:
    """The texts of a page, whose hands are left out."""
    texts: dict[str, Any] = {}

    def keep(cells: object, **told: object) -> Image:
        texts.update(told)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(hand_sheet, "make_sheet", keep)
    poses = list(_poses(model))
    hand_sheet._page(model, {"back": []}, poses, frame(cell_px))
    return texts


def test_the_sheet_says_which_model_it_shows_and_its_licence(model: HandModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = page_of(model, monkeypatch, 160)
    assert texts["title"] == "Hand model: hoiray's open hand"
    assert texts["subtitle"].startswith("licence: CC0-1.0; one scale throughout: a cell is 275 mm high; 778 vertices")
    mine = replace(model.arrays, licence=MANO_LICENCE, source="/some/where/MANO_RIGHT.pkl")
    assert _name(mine) == "MANO_RIGHT.pkl"
    assert _name(replace(mine, source="mains_é.pkl")) == "mains_?.pkl"
    monkeypatch.setattr(model, "arrays", mine)
    subtitle = page_of(model, monkeypatch, 160)["subtitle"]
    assert subtitle.startswith("licence: MANO licence (Max-Planck-Gesellschaft), no commercial use; ")


def test_headers_that_would_run_together_are_left_out(model: HandModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for cell_px, has_headers in ((48, False), (64, False), (96, True), (160, True), (512, True)):
        texts = page_of(model, monkeypatch, cell_px)
        widest = max(text_width(name, texts["style"].header_px, bold=True) for name in _poses(model))
        assert bool(texts["column_headers"]) is has_headers
        assert not has_headers or widest < frame(cell_px).size_px[1]
        assert text_width(texts["subtitle"], texts["style"].header_px) <= 12 * frame(cell_px).size_px[1]


def test_a_line_wider_than_the_page_is_cut() -> None:
    assert _cut("short", 9.0, 200) == "short"
    cut = _cut("x" * 300, 9.0, 200)
    assert cut.endswith("x...")
    assert 180 < text_width(cut, 9.0) <= 200


def test_a_closed_mesh_needs_no_stump(model: HandModel) -> None:
    hand = _posed(model, np.zeros(45), np.zeros(10), is_right=True)
    assert len(_stump(hand.vertices, hand.faces)) == 1
    tetrahedron = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    assert _stump(np.eye(4)[:, :3], tetrahedron) == []


@pytest.mark.parametrize(("beta", "found"), [(np.nan, "nan"), (1e4, r"\d+")])
def test_a_hand_of_no_hands_size_is_refused(model: HandModel, beta: float, found: str) -> None:
    with pytest.raises(ContractError, match=rf"expected a posed hand of less than 0\.9 m, found one of {found}"):
        _posed(model, np.zeros(45), np.full(10, beta), is_right=True)
