"""Judging stored predictions again: seconds for so many rows, files to files, and whether the verdicts are a run's.

A run's predictions are copied under new video names until there are enough rows, and written as a run writes them. Then
they are judged by a calibrated file (confidence, guards) and by the paper's limits, in turns. No model, no video.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from hoiray.benchmarks.timing import alternate, make_report_folder, refuse_loaded_machine, write_report
from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.io.parquet import parquet_bytes
from hoiray.io.store import Store
from hoiray.schema.conform import conform
from hoiray.schema.label_columns import PREDICTION_COLUMNS
from hoiray.schema.tables import PREDICTIONS
from hoiray.stages.judge import judge
from hoiray.stages.rejudge import Judgement, list_parts, rejudge, write_labels

ROWS_A_FILE: Final = 4096
"""Rows of a file, about those of a shard of a hundred clips."""


def run(out: Path, *, run_uri: str, limits: str, rows: int = 100_000, pairs: int = 5, force: bool = False) -> str:
    """Measure, and write `rejudge.md` and `rejudge.json` into `out`; return the Markdown.

    Args:
        out: folder of the report.
        run_uri: a run, whose predictions are copied.
        limits: limits file of ``hoiray calibrate``, for its predictor.
        rows: least number of rows.
        pairs: measurements of each side.
        force: on a loaded machine, too.

    Raises:
        ConfigError: the machine is loaded.
        InputError, ContractError: run or limits cannot be read.
    """
    make_report_folder(out)
    refuse_loaded_machine(force=force)
    own = _predictions(run_uri)
    calibrated = Judgement.by(CalibratedLimits(preset="calibrated", uri=limits))
    paper = Judgement.by(PaperLimits())
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/predictions"
        num_rows = write_copies(own, Store.open(source), rows)

        def timed(judgement: Judgement) -> float:
            start_s = time.process_time()
            judge_all(source, judgement, Store.open(f"{folder}/labels"))
            return time.process_time() - start_s

        num_different = different_verdicts(source, own, calibrated)
        timed(paper)  # what is compiled at the first call is there now
        measured = alternate(
            (f"{num_rows:,} rows, calibrated file", lambda: timed(calibrated)),
            ("the same rows, the paper's limits", lambda: timed(paper)),
            pairs=pairs,
        )
    notes = {
        "command": f"python jobs/benchmark.py rejudge --run RUN --limits FILE --rows {rows}",
        "what": "read Parquet, track, measure motion and shape, judge, write Parquet; one process, no model, no video",
        "guards of the file": ", ".join(limit.measurement for limit in calibrated.rules.limits) or "none",
        "seconds": "of CPU, of all threads of the process: files are local, and nothing is waited for",
        "rows a second and core, calibrated": f"{num_rows / measured.subject_s.median:,.0f}",
        "rows with another verdict than judged in one piece": str(num_different),
    }
    return write_report(out, "rejudge", [measured], notes)


def write_copies(own: pa.Table, store: Store, rows: int) -> int:
    """Write copies of predictions, each under video names of its own, until there are enough; return their number."""
    num_rows = 0
    for index, table in enumerate(_copies(own, rows)):
        num_rows += table.num_rows
        store.write(f"rows-{index:06d}.parquet", parquet_bytes(table))
    return num_rows


def judge_all(source: str, judgement: Judgement, target: Store) -> int:
    """Judge a folder of predictions into labels, as ``hoiray judge`` does; return the number of accepted rows."""
    num_accepted = 0
    for index, labels in rejudge(list_parts(source), judgement):
        write_labels(target, index, labels)
        num_accepted += int(labels["accepted"].to_numpy().sum())
    return num_accepted


def different_verdicts(source: str, own: pa.Table, judgement: Judgement) -> int:
    """Count rows of the copies whose verdict or confidence is not that of the original, judged in one piece."""
    whole = judge(own, judgement.rules, "-")
    key = ("frame_index", "hand_index")
    kept = ("accepted", "reasons", "confidence")
    wanted: dict[str, list[object]] = {}
    for row in whole.select(["video_id", *key, *kept]).to_pylist():
        wanted.setdefault(row["video_id"], []).append([row[name] for name in (*key, *kept)])
    num_different = 0
    for _, labels in rejudge(list_parts(source), judgement):
        rows = labels.select(["video_id", *key, *kept]).to_pylist()
        found: dict[str, list[object]] = {}
        for row in rows:
            found.setdefault(row["video_id"], []).append([row[name] for name in (*key, *kept)])
        for name, verdicts in found.items():
            original = wanted[name.partition("/")[2]]
            num_different += sum(one != other for one, other in zip(verdicts, original, strict=True))
    return num_different


def _predictions(run_uri: str) -> pa.Table:
    names = [column.name for column in PREDICTION_COLUMNS]
    return conform(pa.concat_tables([part.read(names) for part in list_parts(run_uri)]), PREDICTIONS)


def _copies(own: pa.Table, rows: int) -> Iterator[pa.Table]:
    copies = -(-rows // own.num_rows)
    for copy in range(copies):
        names = pa.array([f"{copy:06d}/{name}" for name in own["video_id"].to_pylist()], pa.string())
        index = own.column_names.index("video_id")
        renamed = own.set_column(index, own.schema.field(index), names)
        for start in range(0, own.num_rows, ROWS_A_FILE):
            yield renamed.slice(start, ROWS_A_FILE)
