"""`hoiray calibrate`: from labels with truth to a limits file whose acceptance rule keeps a promise."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from hoiray.cli.judge import read_limits
from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError, InputError, describe
from hoiray.evaluation.label_truth import ERROR_NAMES
from hoiray.evaluation.tables import Table
from hoiray.evaluation.write import json_document, markdown, row_texts
from hoiray.filters.rules import paper_rules
from hoiray.io.store import Store
from hoiray.stages.labels_with_truth import TruthRequest, calibration_rows
from hoiray.stages.limits import CALIBRATION_SUFFIX, rules_of
from hoiray.trust.calibrate import Unit, Wish, attempt, calibration_of
from hoiray.trust.guarantee import Promise
from hoiray.trust.guards import KEPT_SHARE, NO_GUARDS, GuardChoice
from hoiray.trust.outcome import outcome_tables, promise_in_words

_LENGTHS_MM: Final = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
_BOX_SIDES: Final = "joints_2d_box"
_OF_JOINTS: Final = "pa_mpjpe_mm"
"""What joints are limited by: their distances after the alignment of this metric."""

UNITS: Final = ("video", "subject")


@dataclass(frozen=True)
class CalibrationRequest:
    """What the command line asks for.

    Attributes:
        labels, truth: places, in pairs.
        max_error: a length with its unit, such as ``10mm``; of ``joints_2d_box`` a number of box sides.
        precision: least share of good labels among the accepted.
        delta: probability that the promise is broken.
        unit: video or subject.
        metric: of :data:`hoiray.evaluation.label_truth.ERROR_NAMES`.
        out: the limits file to write, local or on S3.
        report: folder for tables; None for none.
        predict_id: which predictions of a run.
        max_joint_error: a joint is near the truth up to it, such as ``10mm``; None: as `max_error`, where that is a
            length; joints get no confidence where it is not.
        guards: ``loose``, ``paper``, ``none``, or a file of limits.
        guards_keep: share of the right labels that loose guards let pass.
    """

    labels: tuple[str, ...]
    truth: tuple[str, ...]
    max_error: str
    precision: float
    delta: float
    unit: str
    metric: str
    out: str
    report: Path | None
    predict_id: str | None
    max_joint_error: str | None = None
    guards: str = "loose"
    guards_keep: float = KEPT_SHARE


def calibrate(request: CalibrationRequest) -> None:
    """Calibrate, show what came of it, and write the limits file.

    Raises:
        ConfigError: something asked for does not exist or does not fit.
        InputError: the set is too small for the promise, says by how much; or labels or truth are missing.
        ContractError: they are damaged, or of other videos.
    """
    wish = wish_of(request)
    tried = attempt(calibration_rows(TruthRequest(request.labels, request.truth, wish.metric, wish.unit,
                                                  request.predict_id)), wish)  # fmt: skip
    tables = outcome_tables(tried, wish)
    show(tables)
    if request.report is not None:
        write_tables(
            request.report, "calibration", "Calibration", _header(request, wish, len(tried.rows.units)), tables
        )
    calibration = calibration_of(tried, wish)
    path = PurePosixPath(request.out)
    Store.open(request.out.removesuffix(path.name) or ".").write(
        path.name, calibration.to_json().encode(), durable=True
    )
    typer.echo(promise_in_words(calibration))
    typer.echo(f"limits: {request.out}; use it with: hoiray judge RUN --limits {request.out} --out FOLDER")


def wish_of(request: CalibrationRequest) -> Wish:
    """Check what is wished for.

    Raises:
        ConfigError: names the option.
    """
    one_of("--metric", request.metric, ERROR_NAMES)
    one_of("--unit", request.unit, UNITS)
    if not request.out.endswith(CALIBRATION_SUFFIX):
        fix = "Limits of single measurements are .parquet; a calibration is a document."
        found = request.out
        raise ConfigError(describe(what="--out", expected=f"a file {CALIBRATION_SUFFIX}", found=found, fix=fix))
    shares = (("--precision", request.precision), ("--delta", request.delta), ("--guards-keep", request.guards_keep))
    for name, value in shares:
        if not 0.0 < value < 1.0:
            fix = "Promise a share, such as --precision 0.9 --delta 0.05."
            raise ConfigError(describe(what=name, expected="between 0 and 1", found=f"{value:g}", fix=fix))
    promise = Promise(round(1.0 - request.precision, 12), request.delta)
    limit = error_limit(request.max_error, request.metric)
    of_joints = limit if request.metric != _BOX_SIDES else None
    if request.max_joint_error is not None:
        of_joints = error_limit(request.max_joint_error, _OF_JOINTS)
    guards = guards_of(request.guards, request.guards_keep)
    return Wish(request.metric, limit, promise, cast("Unit", request.unit), of_joints, guards)


def guards_of(text: str, kept_share: float = KEPT_SHARE) -> GuardChoice:
    """Read which guards are wished for.

    Raises:
        ConfigError: no such word, or a file without limits on measurements.
        InputError, ContractError: the file cannot be read, or is none of limits.
    """
    if text == "none":
        return NO_GUARDS
    if text == "loose":
        return GuardChoice("loose", kept_share=kept_share)
    if text == "paper":
        return GuardChoice("paper", paper_rules(PaperLimits()).limits)
    if PurePosixPath(text).suffix not in (".parquet", ".yaml", ".yml", CALIBRATION_SUFFIX):
        expected, fix = "loose, paper, none, or a file of limits (.json, .parquet) or run file (.yaml)", "Correct it."
        raise ConfigError(describe(what="--guards", expected=expected, found=text, fix=fix))
    rules, _ = rules_of(read_limits(text, []))
    if not rules.limits:
        fix = "Name a file of limits on measurements, or --guards none."
        raise ConfigError(describe(what=f"--guards {text}", expected="at least one limit", found="none", fix=fix))
    return GuardChoice("file", rules.limits)


def error_limit(text: str, metric: str) -> float:
    """Return an error in the metric's unit: millimetres, or sides of the hand's box.

    Raises:
        ConfigError: no positive number, or a unit that is not the metric's.
    """
    units = "" if metric == _BOX_SIDES else "|".join(_LENGTHS_MM)
    found = re.fullmatch(rf"([0-9]*\.?[0-9]+)({units})", text.strip())
    if found is None or float(found[1]) <= 0.0:
        expected = "a number of box sides, such as 0.1" if metric == _BOX_SIDES else "a length, such as 10mm or 1.5cm"
        raise ConfigError(describe(what=f"--max-error {text}", expected=expected, found=text, fix="Name the unit too."))
    return float(found[1]) * _LENGTHS_MM.get(found[2], 1.0)


def show(tables: Sequence[Table]) -> None:
    """Print tables."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    for table in tables:
        shown = RichTable(title=table.title, caption=table.note, title_justify="left", caption_justify="left")
        shown.add_column("")
        for column in table.columns.values():
            shown.add_column(f"{column.title}, {column.unit}" if column.unit else column.title, justify="right")
        for name in table.rows:
            shown.add_row(escape(name), *(escape(text) for text in row_texts(table, name)))
        console.print(shown)


def write_tables(out: Path, name: str, title: str, header: dict[str, object], tables: Sequence[Table]) -> None:
    """Write tables as Markdown and JSON.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.md").write_text(markdown(title, header, tables), encoding="utf-8")
        (out / f"{name}.json").write_text(json_document(title, header, tables), encoding="utf-8")
    except OSError as error:
        fix = "Choose another folder."
        what = f"folder {out}"
        raise InputError(describe(what=what, expected="one to write to", found=str(error), fix=fix)) from error


def _header(request: CalibrationRequest, wish: Wish, num_rows: int) -> dict[str, object]:
    return {
        "labels": ", ".join(request.labels),
        "truth": ", ".join(request.truth),
        "good": f"{wish.metric} at most {wish.max_error:g}",
        "promise": f"at most {wish.promise.max_bad_fraction:.0%} bad, but for {wish.promise.failure_probability:.0%}",
        "unit": wish.unit,
        "guards": request.guards,
        "rows": num_rows,
    }


def one_of(option: str, found: str, names: Sequence[str]) -> None:
    """Refuse a word that is none of those an option takes.

    Raises:
        ConfigError: names the option and the words.
    """
    if found not in names:
        raise ConfigError(describe(what=option, expected=f"one of {', '.join(names)}", found=found, fix="Correct it."))
