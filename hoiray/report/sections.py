"""What a report is made of: sections of prose, tables and graphics, without a word of HTML.

Whoever has something to report makes a :class:`Section` of it and hands it to
:func:`hoiray.report.html_report.write_report`::

    Section(
        "Teacher against student",
        (
            Prose("The student was trained on 1,204 accepted labels."),
            Table(
                "Error on held-out videos; 95 % intervals by resampling videos.",
                (Column("teacher", "mm", 1), Column("student", "mm", 1)),
                (("PA-MPJPE", (Interval(9.8, 9.1, 10.5), Interval(8.9, 8.2, 9.7))),),
            ),
        ),
    )

All text is plain: the name of a video, a run or a model may hold anything; it is shown as it is, never read as HTML.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from markupsafe import Markup

from hoiray.errors import ContractError, describe

NOT_KNOWN: Final = "\u2013"
NO_BREAK: Final = "\u00a0"


class HasInterval(Protocol):
    """A statistic with its interval, whoever computed it; NaN where there is none."""

    @property
    def value(self) -> float:
        """The statistic."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic with its interval; low and high are NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


Cell: TypeAlias = HasInterval | float | int | str | None
"""What a table holds: a statistic with its interval, a number, words, or nothing."""


@dataclass(frozen=True, slots=True)
class Column:
    """How a column is shown: its title, its unit (shown beside the title), decimals of its numbers."""

    title: str
    unit: str = ""
    decimals: int = 2


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: above it: what the numbers are, of how many, and what intervals mean.
        columns: of the cells, in order.
        rows: the name of each row and its cells, one a column.
        row_heading: what the names of the rows are.

    Raises:
        ContractError: a row has another number of cells than there are columns.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    row_heading: str = ""

    def word_columns(self) -> set[int]:
        """Return which columns hold words and no number, and are set as such."""
        cells = [[cells[place] for _, cells in self.rows] for place in range(len(self.columns))]
        return {place for place, own in enumerate(cells) if _is_words(own)}

    def __post_init__(self) -> None:
        """Refuse rows that do not fit the columns."""
        for name, cells in self.rows:
            if len(cells) != len(self.columns):
                what, expected = f"row {name!r} of table {self.caption[:40]!r}", f"{len(self.columns)} cells"
                fix = "Give None where there is nothing to show."
                raise ContractError(describe(what=what, expected=expected, found=f"{len(cells)}", fix=fix))


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """Sentences one below the other, each with a command to copy or without (None)."""

    items: Sequence[tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Tile:
    """One number at the top of a report: what it is, the number as text, and what must be known of it."""

    title: str
    number: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    """The few numbers that are read first."""

    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True)
class Figure:
    """A graphic of :mod:`hoiray.report.graphics` with its caption."""

    caption: str
    graphic: Markup
    title: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Small graphics side by side; folded away where `summary` says under which words."""

    figures: Sequence[Figure]
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Widget:
    """A part of the page that a template of its own draws, from values of its own."""

    template: str
    values: object


Block: TypeAlias = Prose | Bullets | Table | Tiles | Figure | Figures | Widget


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report with a title, which its table of contents lists."""

    title: str
    blocks: Sequence[Block]


def _is_words(cells: Sequence[Cell]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return bool(known) and all(isinstance(cell, str) for cell in known)


def cell_texts(cell: Cell, decimals: int) -> tuple[str, str]:
    """Return a cell as it is read: the number or words, and the interval or nothing."""
    if cell is None:
        return NOT_KNOWN, ""
    if isinstance(cell, str):
        return cell, ""
    if isinstance(cell, int):
        return f"{cell:,}", ""
    if isinstance(cell, float):
        return _number(cell, decimals), ""
    if math.isnan(cell.low) or math.isnan(cell.high):
        return _number(cell.value, decimals), ""
    return _number(cell.value, decimals), f"[{_number(cell.low, decimals)}, {_number(cell.high, decimals)}]"


def _number(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace("-", "\u2212") if math.isfinite(value) else NOT_KNOWN
