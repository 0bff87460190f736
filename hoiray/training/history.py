"""The history of a training as a table: `history.parquet`."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from hoiray.training.reports import EpochReport, StepReport
from hoiray.training.state import Row

HISTORY_FILE: Final = "history.parquet"

TIMING_COLUMNS: Final = ("samples_per_s", "data_wait_share")
"""Everything else in the table is the same in two equal runs, and in a run that was broken off and resumed."""

_LEADING: Final = ("kind", "epoch", "step", "num_steps", "learning_rate")
_WHOLE: Final = ("epoch", "step", "num_steps")


def step_row(report: StepReport) -> Row:
    """Make the row of some steps: `kind` is `step`, losses are `loss_NAME`."""
    return {
        "kind": "step",
        "epoch": report.epoch,
        "step": report.step,
        "num_steps": report.num_steps,
        "learning_rate": report.learning_rate,
        **_losses(report.means),
        "samples_per_s": report.timing.samples_per_s,
        "data_wait_share": report.timing.data_wait_share,
    }


def epoch_row(report: EpochReport) -> Row:
    """Make the row of an epoch: `kind` is `epoch`, scores of the validation are `val_NAME`."""
    scores = {f"val_{name}": value for name, value in report.scores.items()}
    return {
        "kind": "epoch",
        "epoch": report.epoch,
        "num_steps": report.num_steps,
        **_losses(report.means),
        **scores,
    }


def last_losses(rows: Sequence[Row]) -> dict[str, float]:
    """Losses of the last epoch by name; empty where none has ended."""
    return _last(rows, "loss_")


def last_scores(rows: Sequence[Row]) -> dict[str, float]:
    """Scores of the last validation by name; empty where there was none."""
    return _last(rows, "val_")


def history_table(rows: Sequence[Row]) -> pa.Table:
    """Put rows into a table; what a row lacks is null. Columns: fixed ones first, the others by name."""
    names = {name for row in rows for name in row}
    others = sorted(names - set(_LEADING) - set(TIMING_COLUMNS))
    columns = {
        name: pa.array([row.get(name) for row in rows], type=_type_of(name))
        for name in (*_LEADING, *others, *TIMING_COLUMNS)
    }
    return pa.table(columns)


def history_bytes(rows: Sequence[Row]) -> bytes:
    """Write rows as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(history_table(rows), sink)
    return bytes(sink.getvalue().to_pybytes())


def _last(rows: Sequence[Row], prefix: str) -> dict[str, float]:
    for row in reversed(rows):
        found = {name.removeprefix(prefix): float(value) for name, value in row.items() if name.startswith(prefix)}
        if found and row["kind"] == "epoch":
            return found
    return {}


def _losses(means: dict[str, float]) -> Row:
    return {name if name == "grad_norm" else f"loss_{name}": value for name, value in means.items()}


def _type_of(name: str) -> pa.DataType:
    if name == "kind":
        return pa.string()
    return pa.int64() if name in _WHOLE else pa.float64()
