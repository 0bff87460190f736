"""Tables of an evaluation or of statistics, as a report shows them."""

import numpy as np
import numpy.typing as npt

from hoiray.evaluation import tables as evaluated
from hoiray.evaluation.bootstrap import GroupBootstrap
from hoiray.evaluation.write import row_title
from hoiray.report.sections import Column, Prose, Section, Table
from hoiray.trust.gauges import gauge_table


def report_table(table: evaluated.Table) -> Table:
    """Turn a table of :mod:`hoiray.evaluation.tables` into one of a report; its title and note become the caption."""
    columns = [Column(one.title, one.unit, one.decimals) for one in table.columns.values()]
    rows = [(row_title(table, name), [cells.get(key) for key in table.columns]) for name, cells in table.rows.items()]
    end = "" if table.title.endswith("?") else "."
    return Table(f"{table.title}{end} {table.note}", columns, rows)


def gauges_section(
    parts: dict[str, list[str]], is_accepted: npt.NDArray[np.bool_], bootstrap: GroupBootstrap, *, num_all: int
) -> Section:
    """Say which hands vanish through selection.

    Args:
        parts: what labels are parted by, to (N,) the name of each label's part.
        is_accepted: (N,).
        bootstrap: over the videos of these labels.
        num_all: labels of the run.
    """
    count = len(is_accepted)
    of = f"all {count:,} labels" if count == num_all else f"{count:,} of {num_all:,} labels"
    text = (
        f"A training on the accepted labels sees these hands more or less often than they occur. Measured on {of}, by"
        " what the teacher says of them: where it is wrong, so is the part."
    )
    return Section("What selection leaves out", [Prose(text), report_table(gauge_table(parts, is_accepted, bootstrap))])
