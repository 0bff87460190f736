"""Put many small pictures on one labelled page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hoiray.errors import ContractError, describe
from hoiray.render.overlay import INK, Colour, Image, draw_text, text_width

_SOFT_INK: Colour = (112, 116, 122)


@dataclass(frozen=True, slots=True)
class SheetStyle:
    """Measures of a page, px; chosen for reading at 100 %.

    Attributes:
        margin_px: around the page.
        gap_px: between cells.
        title_px: height of a capital of the title.
        header_px: of row and column headers.
        paper: colour of the page.
    """

    margin_px: int = 24
    gap_px: int = 6
    title_px: float = 15.0
    header_px: float = 9.0
    paper: Colour = (255, 255, 255)


def make_sheet(
    cells: Sequence[Sequence[Image | None]],
    *,
    title: str = "",
    subtitle: str = "",
    column_headers: Sequence[str] = (),
    row_headers: Sequence[str] = (),
    style: SheetStyle | None = None,
) -> Image:
    """Lay out rows of equally large cells.

    Args:
        cells: rows of (h, w, 3) uint8 images; None leaves a place empty. Rows may be of different length.
        title: above the grid.
        subtitle: in small print below the title.
        column_headers: one per column, or none at all.
        row_headers: one per row, or none at all.
        style: measures; None for the default.

    Returns:
        (H, W, 3) uint8 page.

    Raises:
        ContractError: no cell, cells of different size, or headers that do not match.
    """
    style = style or SheetStyle()
    cell_height, cell_width = _cell_size(cells)
    num_columns = max(len(row) for row in cells)
    _check_headers("column_headers", column_headers, num_columns)
    _check_headers("row_headers", row_headers, len(cells))
    widest = max((text_width(header, style.header_px, bold=True) for header in row_headers), default=0)
    left = style.margin_px + (widest + 2 * style.gap_px if row_headers else 0)
    title_top, subtitle_top, headers_top, top = _vertical_layout(style, title, subtitle, column_headers)
    height = top + len(cells) * (cell_height + style.gap_px) - style.gap_px + style.margin_px
    width = left + num_columns * (cell_width + style.gap_px) - style.gap_px + style.margin_px
    page = np.empty((height, width, 3), np.uint8)
    page[:] = style.paper
    for r, row in enumerate(cells):
        y = top + r * (cell_height + style.gap_px)
        for c, cell in enumerate(row):
            if cell is not None:
                x = left + c * (cell_width + style.gap_px)
                page[y : y + cell_height, x : x + cell_width] = cell
    page = draw_text(page, title, (style.margin_px, title_top), style.title_px, bold=True)
    page = draw_text(page, subtitle, (style.margin_px, subtitle_top), style.header_px, colour=_SOFT_INK)
    for c, header in enumerate(column_headers):
        middle = left + c * (cell_width + style.gap_px) + cell_width / 2
        page = draw_text(page, header, (middle, headers_top), style.header_px, colour=INK, anchor="centre", bold=True)
    for r, header in enumerate(row_headers):
        middle = top + r * (cell_height + style.gap_px) + cell_height / 2
        page = draw_text(page, header, (style.margin_px, middle), style.header_px, colour=INK, bold=True)
    return page


def _vertical_layout(
    style: SheetStyle, title: str, subtitle: str, column_headers: Sequence[str]
) -> tuple[float, float, float, int]:
    """Return the middle line of title, subtitle and column headers, and the top of the first cell."""
    y = float(style.margin_px)
    title_middle = y + style.title_px / 2
    if title:
        y += style.title_px + 1.6 * style.header_px
    subtitle_middle = y + style.header_px / 2
    if subtitle:
        y += style.header_px + 2.4 * style.header_px
    headers_middle = y + style.header_px / 2
    if column_headers:
        y += style.header_px + 1.2 * style.header_px
    return title_middle, subtitle_middle, headers_middle, round(y)


def _cell_size(cells: Sequence[Sequence[Image | None]]) -> tuple[int, int]:
    sizes = {cell.shape[:2] for row in cells for cell in row if cell is not None}
    if len(sizes) != 1:
        found = ", ".join(str(size) for size in sorted(sizes)) or "no image at all"
        raise ContractError(
            describe(what="cells", expected="images of one size", found=found, fix="Resize or crop them first.")
        )
    height, width = sizes.pop()
    return height, width


def _check_headers(name: str, headers: Sequence[str], count: int) -> None:
    if headers and len(headers) != count:
        raise ContractError(
            describe(what=name, expected=f"{count} or none", found=str(len(headers)), fix="Name every one.")
        )
