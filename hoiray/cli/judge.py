"""`hoiray judge`: judge stored predictions again, with other limits, without model or video."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from hoiray.config.load import load_run, parse_run
from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import ConfigError, describe
from hoiray.io.store import Store
from hoiray.schema.vocabularies import REJECT_REASONS
from hoiray.stages.judge import reason_counts
from hoiray.stages.limits import CALIBRATION_SUFFIX
from hoiray.stages.rejudge import Judgement, Part, list_parts, rejudge, write_labels
from hoiray.stages.run_drift import watch_of
from hoiray.trust.drift import DriftWatch

_ANY_RUN = "output_uri: '-'\nvideos: {uri: '-'}\nhand: {flat_hand_mean: true}\nteacher: {predictor: none}\n"
"""The least run file: limits are read by the same rules as in one, wherever they are said."""


def judge_stored(
    sources: Sequence[str],
    *,
    limits: str,
    overrides: Sequence[str],
    out: str,
    predict_id: str | None,
) -> int:
    """Judge, write labels, print how many rows each reason refuses; return the exit status.

    Args:
        sources: runs, folders or Parquet files of predictions or labels.
        limits: ``paper``, a calibrated limits file (.json, .parquet), or a run file (.yaml) whose limits are taken.
        overrides: ``limits.KEY=VALUE``.
        out: folder for the labels, without labels in it.
        predict_id: which predictions of a run.

    Raises:
        ConfigError: limits that cannot be meant, or an output folder that holds labels.
        InputError: nothing to judge.
        ContractError: files of something else.
    """
    judgement = Judgement.by(read_limits(limits, overrides))
    target = Store.open(out)
    if any(key.startswith("labels-") for key in target.list(recursive=False)):
        fix = "Choose another folder: two verdicts in one would be read as one."
        raise ConfigError(describe(what=f"--out {out}", expected="a folder without labels", found="labels", fix=fix))
    parts = [part for source in sources for part in list_parts(source, predict_id)]
    watch = watch_of(judgement.limits)
    _print_summary(*_judge_all(parts, judgement, target, watch), out)
    for warning in [] if watch is None else watch.warnings():
        typer.echo(f"warning: {warning}", err=True)
    return 0


def read_limits(limits: str, overrides: Sequence[str]) -> PaperLimits | CalibratedLimits:
    """Return the limits that the command line means; see :func:`judge_stored`.

    Raises:
        ConfigError: names what is wrong.
    """
    foreign = [text for text in overrides if not text.startswith("limits.")]
    if foreign:
        fix = "Only limits can be changed here; for the rest, label anew."
        raise ConfigError(describe(what=f"--set {foreign[0]}", expected="limits.KEY=VALUE", found=foreign[0], fix=fix))
    suffix = Path(limits).suffix
    if suffix in (".yaml", ".yml"):
        return load_run(limits, overrides).limits
    if suffix in (".parquet", CALIBRATION_SUFFIX):
        return parse_run(f"{_ANY_RUN}limits: {{preset: calibrated, uri: {json.dumps(limits)}}}\n", overrides).limits
    if limits != "paper":
        expected, fix = "paper, a limits file (.json, .parquet) or a run file (.yaml)", "Correct it."
        raise ConfigError(describe(what="--limits", expected=expected, found=limits, fix=fix))
    return parse_run(f"{_ANY_RUN}limits: {{preset: paper}}\n", overrides, source="--limits paper").limits


def _judge_all(
    parts: list[Part], judgement: Judgement, target: Store, watch: DriftWatch | None
) -> tuple[Counter[str], int, int, float]:
    counts, num_rows, num_accepted, start_s = Counter[str](), 0, 0, time.perf_counter()
    for index, labels in rejudge(parts, judgement):
        write_labels(target, index, labels)
        if watch is not None:
            watch.add(labels)
        counts.update(reason_counts(labels))
        num_rows += labels.num_rows
        num_accepted += int(labels["accepted"].to_numpy().sum())
    return counts, num_rows, num_accepted, time.perf_counter() - start_s


def _print_summary(counts: Counter[str], num_rows: int, num_accepted: int, elapsed_s: float, out: str) -> None:
    table = Table("verdict", "rows", "share", "meaning", title_justify="left")
    for column in (1, 2):
        table.columns[column].justify = "right"
    table.add_row("accepted", f"{num_accepted}", _share(num_accepted, num_rows), "passes every limit")
    for reason, meaning in REJECT_REASONS.items():
        if counts[reason]:
            table.add_row(reason, f"{counts[reason]}", _share(counts[reason], num_rows), meaning)
    table.add_row("all", f"{num_rows}", "", "a refused row counts once for each of its reasons")
    Console().print(table)
    typer.echo(f"{num_rows} rows in {elapsed_s:.1f} s; labels: {out}")


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "-"
