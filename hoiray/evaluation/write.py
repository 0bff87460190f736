"""An evaluation as Markdown for people and as JSON for programs; both begin with what the numbers mean."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hoiray.evaluation.bootstrap import Interval
from hoiray.evaluation.hand_metrics import HAND_METRICS
from hoiray.evaluation.tables import Cell, Column, Table
from hoiray.io.json_values import nan_to_none

JSON_VERSION: Final = 1
"""Of the layout; raised where a key changes its meaning."""

NOT_THERE: Final = "-"


def markdown(title: str, header: Mapping[str, object], tables: Sequence[Table]) -> str:
    """Write the whole evaluation as Markdown.

    Args:
        title: of the document.
        header: what must be known to compare the numbers, in order.
        tables: in order.
    """
    lines = [f"# {title}", ""]
    lines += [f"- **{name}**: {value}" for name, value in header.items()]
    for table in tables:
        lines += ["", f"## {table.title}", "", table.note, ""]
        names = [_titled(column) for column in table.columns.values()]
        lines.append(_line(["", *names]))
        lines.append(_line(["---", *("---:" for _ in names)]))
        lines += [_line([row_title(table, name), *row_texts(table, name)]) for name in table.rows]
    return "\n".join(lines) + "\n"


def json_document(title: str, header: Mapping[str, object], tables: Sequence[Table]) -> str:
    """Write the whole evaluation as JSON; what is not known is null, never NaN."""
    document = {
        "layout_version": JSON_VERSION,
        "title": title,
        "header": dict(header),
        "tables": {
            table.key: {
                "title": table.title,
                "note": table.note,
                "columns": {key: {"title": one.title, "unit": one.unit} for key, one in table.columns.items()},
                "rows": {name: {key: _plain(cell) for key, cell in row.items()} for name, row in table.rows.items()},
            }
            for table in tables
        },
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def row_title(table: Table, name: str) -> str:
    """Return how a row is called: a metric by its title and unit, anything else by its own name."""
    if table.key != "hands":
        return name
    metric = HAND_METRICS[name]
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def row_texts(table: Table, name: str) -> list[str]:
    """Return the cells of a row as they are read, in the order of the columns."""
    row = table.rows[name]
    texts = []
    for key, column in table.columns.items():
        cell = row.get(key)
        if table.key == "hands":
            metric = HAND_METRICS[name]
            is_share = key == "gain" and not metric.is_rate
            shown = cell.scaled(100.0) if is_share and isinstance(cell, Interval) else cell
            texts.append(_text(shown, 1 if is_share else metric.decimals, " %" if is_share else ""))
        else:
            texts.append(_text(cell, column.decimals, ""))
    return texts


def _text(cell: Cell | None, decimals: int, suffix: str) -> str:
    if cell is None:
        return NOT_THERE
    if isinstance(cell, Interval):
        if math.isnan(cell.value):
            return NOT_THERE
        interval = "" if math.isnan(cell.low) else f" [{cell.low:.{decimals}f}, {cell.high:.{decimals}f}]"
        return f"{cell.value:.{decimals}f}{suffix}{interval}"
    if isinstance(cell, float):
        return NOT_THERE if math.isnan(cell) else f"{cell:.{decimals}f}{suffix}"
    return str(cell)


def _titled(column: Column) -> str:
    return f"{column.title}, {column.unit}" if column.unit else column.title


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _plain(cell: Cell) -> Any:  # noqa: ANN401 - JSON
    if isinstance(cell, Interval):
        return nan_to_none({"value": cell.value, "low": cell.low, "high": cell.high})
    return nan_to_none(cell)
