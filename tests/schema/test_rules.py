import numpy as np
import pyarrow as pa
import pytest
from valid_tables import replaced, table_of

from hoiray.errors import ContractError
from hoiray.schema.columns import TableSchema
from hoiray.schema.conform import conform
from hoiray.schema.rules import accepted_has_no_reason, nan_has_a_reason
from hoiray.schema.tables import LABELS, PREDICTIONS
from hoiray.schema.vocabularies import REJECT_REASONS


def with_nan(table: pa.Table, name: str, unmeasured: list[list[str]]) -> pa.Table:
    values = table[name].to_numpy().copy()
    values[1] = np.nan
    entries = pa.array(unmeasured, pa.list_(pa.string()))
    return replaced(replaced(table, name, pa.array(values)), "unmeasured", entries)


@pytest.mark.parametrize("schema", [PREDICTIONS, LABELS], ids=["predictions", "labels"])
def test_every_measurement_may_be_missing_for_a_reason_and_only_so(schema: TableSchema) -> None:
    for name in schema.measurements:
        table = with_nan(table_of(schema), name, [[], [f"{name}:no_box"], [], [], []])
        assert conform(table, schema).num_rows == 5
        with pytest.raises(ContractError, match=rf"{name} is NaN without an entry in unmeasured in 1 row.*row 1"):
            conform(with_nan(table_of(schema), name, [[], [], [], [], []]), schema)
        with pytest.raises(ContractError, match=rf"{name} is measured, yet listed in unmeasured in 1 row.*row 3"):
            conform(with_nan(table_of(schema), name, [[], [f"{name}:gap"], [], [f"{name}:gap"], []]), schema)


@pytest.mark.parametrize("entry", ["box_iou", "box_iou:", "box_iou:tired", "betas:no_box", "box_iou:no_box:x"])
def test_an_entry_names_a_measurement_and_a_known_reason(entry: str) -> None:
    table = with_nan(table_of(PREDICTIONS), "box_iou", [[], [entry], [], [], []])
    with pytest.raises(ContractError, match=f"table predictions: unmeasured holds '{entry}', expected"):
        conform(table, PREDICTIONS)


def test_several_entries_of_a_row_explain_several_measurements() -> None:
    table = with_nan(table_of(PREDICTIONS), "box_iou", [[]] * 5)
    entries = [[], ["box_iou:no_box", "crop_change:no_pixels"], [], [], []]
    assert conform(with_nan(table, "crop_change", entries), PREDICTIONS).num_rows == 5


@pytest.mark.parametrize(("accepted", "reasons"), [(True, ["box_iou"]), (False, [])])
def test_a_row_is_accepted_exactly_without_reasons(accepted: bool, reasons: list[str]) -> None:
    table = replaced(table_of(LABELS), "accepted", pa.array([True, True, accepted, True, True]))
    table = replaced(table, "reasons", pa.array([[], [], reasons, [], []], pa.list_(pa.string())))
    with pytest.raises(ContractError, match=r"accepted and reasons contradict each other in 1 row.* in row 2"):
        conform(table, LABELS)


def test_a_refused_row_conforms_with_its_reasons() -> None:
    table = replaced(table_of(LABELS), "accepted", pa.array([False] * 5))
    table = replaced(table, "reasons", pa.array([[reason] for reason in list(REJECT_REASONS)[:5]]))
    assert conform(table, LABELS)["accepted"].to_pylist() == [False] * 5


@pytest.mark.parametrize("num_nan", range(4))
def test_a_rule_counts_the_rows_that_break_it_and_names_the_first(num_nan: int) -> None:
    values = np.ones(5, np.float32)
    values[5 - num_nan :] = np.nan
    table = pa.table({"a": values, "unmeasured": pa.array([[]] * 5, pa.list_(pa.string()))})
    wrong = f"a is NaN without an entry in unmeasured in {num_nan} row(s), first in row {5 - num_nan}"
    assert nan_has_a_reason(table, ["a"]) == (wrong if num_nan else "")
    reasons = pa.array([[]] * (5 - num_nan) + [["box_iou"]] * num_nan, pa.list_(pa.string()))
    table = pa.table({"accepted": [True] * 5, "reasons": reasons})
    wrong = f"accepted and reasons contradict each other in {num_nan} row(s), first in row {5 - num_nan}"
    assert accepted_has_no_reason(table) == (wrong if num_nan else "")
