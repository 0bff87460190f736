import numpy as np
import numpy.typing as npt
import pytest

from hoiray.errors import ContractError
from hoiray.render.sheet import SheetStyle, make_sheet

STYLE = SheetStyle(margin_px=10, gap_px=4)


def cell(value: int, height: int = 30, width: int = 50) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def test_cells_stand_in_rows_and_columns() -> None:
    page = make_sheet([[cell(10), cell(20)], [cell(30), cell(40)]], style=STYLE)
    assert page.shape == (10 + 30 + 4 + 30 + 10, 10 + 50 + 4 + 50 + 10, 3)
    for value, y, x in ((10, 10, 10), (20, 10, 64), (30, 44, 10), (40, 44, 64)):
        np.testing.assert_array_equal(page[y : y + 30, x : x + 50], value)
    assert (page == 255).mean() == pytest.approx(1 - 4 * 1500 / (84 * 124))


def test_an_empty_place_shows_the_paper() -> None:
    style = SheetStyle(margin_px=10, gap_px=4, paper=(250, 240, 230))
    page = make_sheet([[cell(10), None], [cell(30)]], style=style)
    np.testing.assert_array_equal(page[12:70, 70:110], np.broadcast_to([250, 240, 230], (58, 40, 3)))


def test_headers_stand_beside_the_cells_and_never_on_them() -> None:
    plain = make_sheet([[cell(200), cell(200)]], style=STYLE)
    page = make_sheet(
        [[cell(200), cell(200)]],
        title="A title",
        subtitle="small print",
        column_headers=["left", "right"],
        row_headers=["row"],
        style=STYLE,
    )
    assert (page == 200).all(axis=2).sum() >= 2 * 1500
    rows, columns = np.nonzero((page == 200).all(axis=2))
    top, left = int(np.median(rows)) - 15, columns[rows == int(np.median(rows))].min()
    ink = page.min(axis=2) < 100
    assert ink[:top].any()
    assert ink[top : top + 30, :left].any()
    assert not ink[top : top + 30, left:].any()
    assert page.shape[0] > plain.shape[0]
    assert page.shape[1] > plain.shape[1]


def test_what_cannot_be_laid_out_is_refused() -> None:
    with pytest.raises(ContractError, match=r"one size, found \(30, 50\), \(31, 50\)"):
        make_sheet([[cell(1), cell(1, height=31)]])
    with pytest.raises(ContractError, match="no image at all"):
        make_sheet([[None]])
    with pytest.raises(ContractError, match="column_headers: expected 2 or none, found 1"):
        make_sheet([[cell(1), cell(1)]], column_headers=["one"])
    with pytest.raises(ContractError, match="row_headers: expected 1 or none, found 2"):
        make_sheet([[cell(1)]], row_headers=["one", "two"])
