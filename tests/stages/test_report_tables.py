import numpy as np

from hoiray.evaluation.bootstrap import Interval
from hoiray.evaluation.tables import Column, Table, make_bootstrap
from hoiray.report.sections import Column as ReportColumn
from hoiray.report.sections import Prose
from hoiray.report.sections import Table as ReportTable
from hoiray.stages.report_tables import gauges_section, report_table


def test_a_table_keeps_its_columns_units_rows_and_note() -> None:
    cell = Interval(1.0, 0.5, 2.0)
    columns = {"a": Column("first", "mm", 1), "b": Column("second")}
    shown = report_table(Table("key", "A title", "A note.", columns, {"x": {"a": cell}, "y": {"a": 3.0, "b": "words"}}))
    assert shown.caption == "A title. A note."
    assert list(shown.columns) == [ReportColumn("first", "mm", 1), ReportColumn("second")]
    assert list(shown.rows) == [("x", [cell, None]), ("y", [3.0, "words"])]


def test_a_part_that_is_never_accepted_is_said_to_vanish() -> None:
    names = ["left", "right"] * 20
    is_accepted = np.array([name == "right" for name in names])
    bootstrap = make_bootstrap([f"video {index // 4}" for index in range(40)], 0)
    section = gauges_section({"side": names}, is_accepted, bootstrap, num_all=100)
    prose, table = section.blocks
    assert isinstance(prose, Prose)
    assert isinstance(table, ReportTable)
    assert "40 of 100 labels" in prose.text
    assert [(name, cells[-1]) for name, cells in table.rows] == [("side: left", "vanishes"), ("side: right", "")]
