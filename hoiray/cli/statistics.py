"""`hoiray statistics`: what every filter of a run does, beside the truth where there is one."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import typer

from hoiray.cli.calibrate import UNITS, error_limit, one_of, show, write_tables
from hoiray.cli.judge import read_limits
from hoiray.config.load import parse_run
from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import ConfigError, describe
from hoiray.evaluation.label_truth import (
    ERROR_NAMES,
    Compared,
    TrueHands,
    compare_labels,
    labels_of_known_videos,
    read_true_hands,
)
from hoiray.evaluation.tables import Table, make_bootstrap
from hoiray.filters.rules import paper_rules
from hoiray.io.store import Store
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.stages.labels_with_truth import judged
from hoiray.stages.limits import CALIBRATION_SUFFIX, WITHOUT_LIMITS, read_calibration, rules_of
from hoiray.stages.run_layout import RUN_FILE
from hoiray.stages.variants import drawn_videos, verdicts_of
from hoiray.trust.features import features_of
from hoiray.trust.gauges import gauge_table, parts_of, true_parts_of
from hoiray.trust.outcome import reliability_table
from hoiray.trust.ranking import PAPER_WORD, ranking_table, scores_of, seen_in_fitting
from hoiray.trust.statistics import Verdicts, statistics_tables

SEED: Final = 0
SHOWN: Final = ("selection", "filters", "funnel", "ranking", "ranking beside the paper", "gauges")
"""Tables that are printed; the files hold all."""


@dataclass(frozen=True)
class StatisticsRequest:
    """What the command line asks for.

    Attributes:
        labels: a run, a folder or a Parquet file of predictions or labels.
        truth: root of the set with their truth; None without.
        limits: as behind ``hoiray judge``; None: the run's own.
        metric, max_error: what is good, where there is truth.
        unit: what intervals resample: video or subject.
        out: folder for the tables.
        sweeps: move every limit too.
        predict_id: which predictions of a run.
    """

    labels: str
    truth: str | None
    limits: str | None
    metric: str
    max_error: str
    unit: str
    out: Path
    sweeps: bool = True
    predict_id: str | None = None


def statistics(request: StatisticsRequest) -> None:
    """Make the tables, print the first of them and write all.

    Raises:
        ConfigError: something asked for does not exist or does not fit.
        InputError: labels or truth are missing.
        ContractError: they are damaged, or of other videos.
    """
    one_of("--metric", request.metric, ERROR_NAMES)
    one_of("--unit", request.unit, UNITS)
    limits = own_limits(request.labels) if request.limits is None else read_limits(request.limits, [])
    rules, _ = rules_of(limits)
    if request.unit == "subject" and request.truth is None:
        fix = "Resample videos, or name the truth."
        raise ConfigError(describe(what="--unit subject", expected="a truth that names people", found="none", fix=fix))
    stored = judged(request.labels, WITHOUT_LIMITS, request.predict_id)
    truth = None if request.truth is None else read_true_hands(request.truth)
    known = stored if truth is None else labels_of_known_videos(stored, truth)
    labels, verdicts = verdicts_of(drawn_videos(known), rules, sweeps=request.sweeps)
    compared = None if truth is None else compare_labels(labels, truth)
    tables = _tables(request, labels, verdicts, compared, truth)
    if compared is not None:
        tables += _ranking_tables(request, limits, labels, verdicts, compared)
    header: dict[str, object] = {
        "labels": request.labels,
        "truth": request.truth or "none",
        "limits": f"{limits.preset}" + (f" ({request.limits})" if request.limits else ""),
        "rows": f"{labels.num_rows} of {stored.num_rows}; of very many, whole videos are drawn"
        + ("" if known.num_rows == stored.num_rows else f"; {known.num_rows} are of videos with truth"),
        "good": f"{request.metric} at most {request.max_error}" if request.truth else "not known",
        "intervals": f"95 %, by resampling {request.unit}s, never frames; seed {SEED}",
    }
    write_tables(request.out, "statistics", "What the filters do", header, tables)
    show([table for table in tables if table.key in SHOWN])
    typer.echo(f"written, with overlaps and every limit moved: {request.out}/statistics.md, statistics.json")


def _tables(
    request: StatisticsRequest,
    labels: pa.Table,
    verdicts: Verdicts,
    compared: Compared | None,
    truth: TrueHands | None,
) -> list[Table]:
    parts = parts_of(labels)
    if compared is None or truth is None:
        bootstrap = make_bootstrap(labels["video_id"].to_pylist(), SEED)
        return [*statistics_tables(verdicts, bootstrap), gauge_table(parts, verdicts.accepted, bootstrap)]
    bootstrap = make_bootstrap(compared.videos if request.unit == "video" else compared.subjects, SEED)
    is_good = compared.is_good(error_limit(request.max_error, request.metric), request.metric)
    known = replace(
        verdicts,
        is_bad=~is_good,
        errors=compared.errors[request.metric],
        num_instances=compared.num_instances,
    )
    return [
        *statistics_tables(known, bootstrap),
        gauge_table(parts | true_parts_of(compared, truth), verdicts.accepted, bootstrap),
    ]


def _ranking_tables(
    request: StatisticsRequest,
    limits: PaperLimits | CalibratedLimits,
    labels: pa.Table,
    verdicts: Verdicts,
    compared: Compared,
) -> list[Table]:
    """Rank labels by every score: those of whom calibrated confidence was fitted on left out."""
    groups = compared.videos if request.unit == "video" else compared.subjects
    is_seen = np.zeros(labels.num_rows, dtype=np.bool_)
    if isinstance(limits, CalibratedLimits) and limits.uri.endswith(CALIBRATION_SUFFIX):
        is_seen = seen_in_fitting(read_calibration(limits.uri), compared)
    if is_seen.all():
        return []
    bootstrap = make_bootstrap([group for group, seen in zip(groups, is_seen, strict=True) if not seen], SEED)
    is_good = compared.is_good(error_limit(request.max_error, request.metric), request.metric)[~is_seen]
    confidence = labels["confidence"].to_numpy().astype(np.float64)[~is_seen]
    is_calibrated = bool(np.isfinite(confidence).any())
    loss = (~is_good).astype(np.float64)
    scores = scores_of(features_of(labels)[~is_seen], confidence if is_calibrated else None, loss)
    accepted = verdicts.accepted[~is_seen]
    tables = [ranking_table(scores | {"the verdict alone": accepted.astype(np.float64)}, loss, bootstrap, at=accepted)]
    if is_calibrated:
        by_paper = unpack_column(judge(labels, paper_rules(PaperLimits()), "-"), LABELS["accepted"])[~is_seen]
        ranked = ranking_table(scores | {PAPER_WORD: by_paper.astype(np.float64)}, loss, bootstrap, at=by_paper)
        tables.append(replace(ranked, key="ranking beside the paper", title="At the coverage of the paper's limits"))
        tables.append(reliability_table(np.nan_to_num(confidence, nan=0.0), is_good, bootstrap))
    if is_seen.any():
        note = f" Without the {int(is_seen.sum())} labels of those that confidence was fitted on, who flatter it."
        tables = [replace(table, note=table.note + note) for table in tables]
    return tables


def own_limits(uri: str) -> PaperLimits | CalibratedLimits:
    """Return the limits of a run's own run file.

    Raises:
        ConfigError: there is none, so limits must be named.
    """
    written = None if uri.endswith(".parquet") else Store.open(uri).read_if_there(RUN_FILE)
    if written is None:
        fix = "Name them: --limits paper, a limits file or a run file."
        raise ConfigError(describe(what=uri, expected=f"a run with its {RUN_FILE}", found="none", fix=fix))
    return parse_run(written.decode(), source=f"{uri}/{RUN_FILE}").limits
