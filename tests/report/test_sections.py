import math

import pytest

from hoiray.errors import ContractError
from hoiray.evaluation.bootstrap import Interval as BootstrapInterval
from hoiray.report.sections import NOT_KNOWN, Column, Interval, Table, cell_texts


def test_a_cell_is_a_number_with_its_interval_whoever_computed_it() -> None:
    for kind in (Interval, BootstrapInterval):
        assert cell_texts(kind(9.84, 9.1, 10.56), 1) == ("9.8", "[9.1, 10.6]")


def test_a_number_is_grouped_and_has_a_true_minus_sign() -> None:
    assert cell_texts(-12345.678, 1) == ("\u221212,345.7", "")
    assert cell_texts(1234567, 2) == ("1,234,567", "")


def test_what_is_not_known_is_a_dash_and_never_a_number() -> None:
    assert cell_texts(None, 1) == (NOT_KNOWN, "")
    assert cell_texts(math.nan, 1) == (NOT_KNOWN, "")
    assert cell_texts(Interval(math.nan), 1) == (NOT_KNOWN, "")
    assert cell_texts(Interval(1.0), 1) == ("1.0", "")


def test_a_row_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(ContractError, match=r"expected 2 cells, found 1"):
        Table("errors", (Column("a"), Column("b")), (("x", (1.0,)),))


def test_columns_of_words_are_told_from_columns_of_numbers() -> None:
    columns = (Column("words"), Column("numbers"), Column("both"))
    assert Table("t", columns, (("x", ("a", 1.0, "-")), ("y", (None, 2.0, 3.0)))).word_columns() == {0}
    assert Table("t", columns, ()).word_columns() == set()
    assert Table("t", columns, (("x", (None, None, None)),)).word_columns() == set()
