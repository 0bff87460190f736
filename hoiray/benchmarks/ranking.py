"""Does confidence rank labels better than what else is known? On people it was not fitted on, with paired intervals.

Either a set serves for both: its people are parted by lot, each part is ranked by a model of the *other* people, and
the figures are means over the parts of several partings. Or another set is fitted on, whole. Beside confidence stand
the paper's limits (and the spread among what they accept and among what they refuse), the spread alone, the
predictor's own confidence where it states one, and what a random order and an oracle would do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.benchmarks.timing import make_report_folder
from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError, describe
from hoiray.evaluation.label_truth import compare_labels, limit_in_words, read_true_hands
from hoiray.evaluation.tables import Table, make_bootstrap
from hoiray.evaluation.write import json_document, markdown
from hoiray.filters.rules import paper_rules
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.stages.labels_with_truth import judged
from hoiray.stages.limits import WITHOUT_LIMITS
from hoiray.trust.calibrate import CalibrationRows, Unit
from hoiray.trust.ranking import PAPER_WORD, confidence_from, held_out_confidence, parted, ranking_table, scores_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

METRIC: Final = "pa_mpjpe_mm"
NUM_RESAMPLES: Final = 500
SEED: Final = 0


@dataclass(frozen=True)
class RankingRequest:
    """What is ranked.

    Attributes:
        runs, truths: label runs and the sets with their truth, in pairs; ranked together.
        fit_runs, fit_truths: those that confidence is fitted on; none: the ranked ones, parted by lot.
        max_error_mm: a label is right up to it, in PA-MPJPE.
        unit: what is parted and resampled.
        num_parts: of the people, where there is one set.
        num_lots: partings.
    """

    runs: Sequence[str]
    truths: Sequence[str]
    fit_runs: Sequence[str] = ()
    fit_truths: Sequence[str] = ()
    max_error_mm: float = 15.0
    unit: Unit = "subject"
    num_parts: int = 2
    num_lots: int = 5


@dataclass(frozen=True, eq=False)
class Labelled:
    """N labels with their truth, and (N,) which of them the paper's limits accept."""

    rows: CalibrationRows
    by_paper: Bools


def read_labelled(runs: Sequence[str], truths: Sequence[str], unit: Unit) -> Labelled:
    """Read runs and judge them by the paper's limits.

    Raises:
        ConfigError: not one truth for every run.
        InputError, ContractError: they are missing, damaged, or of several predictors.
    """
    if not runs or len(runs) != len(truths):
        expected, fix = f"{len(runs)} sets with truth, one for each run", "Name them in pairs, at least one."
        raise ConfigError(describe(what="runs and truths", expected=expected, found=str(len(truths)), fix=fix))
    parts, accepted = [], []
    for run_uri, truth_uri in zip(runs, truths, strict=True):
        stored = judged(run_uri, WITHOUT_LIMITS)
        # a verdict sorts the rows of all its videos, those of a run's parts are sorted in each part only
        labels, by_paper = (judge(stored, rules, "-") for rules in (WITHOUT_LIMITS, paper_rules(PaperLimits())))
        compared = compare_labels(labels, read_true_hands(truth_uri))
        parts.append(
            CalibrationRows.of(labels, compared, metric=METRIC, unit=unit, labels_uri=run_uri, truth_uri=truth_uri)
        )
        accepted.append(unpack_column(by_paper, LABELS["accepted"]))
    return Labelled(CalibrationRows.joined(parts), np.concatenate(accepted))


@dataclass(frozen=True, eq=False)
class Asked:
    """(S, N) confidence of labels by models that have seen none of their people, and the parts that each is of."""

    confidence: Floats
    parts: Integers


def confidences(tested: Labelled, fitted: Labelled | None, request: RankingRequest) -> Asked:
    """Fit confidence and ask it.

    Raises:
        ConfigError: too few people to part.
    """
    rows = tested.rows
    if fitted is not None:
        is_good = fitted.rows.is_good(request.max_error_mm)
        confidence = np.where(rows.is_eligible, confidence_from(fitted.rows, is_good, rows.features), np.nan)
        return Asked(confidence[None], np.zeros((1, len(confidence)), dtype=np.int64))
    num_units = len(set(rows.units))
    if not 2 <= request.num_parts <= num_units:
        fix = "Label more videos, or name a run to fit on."
        found = f"{num_units} {request.unit}s, {request.num_parts} parts"
        raise ConfigError(describe(what="parts", expected=f"from 2 to one a {request.unit}", found=found, fix=fix))
    is_good = rows.is_good(request.max_error_mm)
    lots = [parted(rows.units, num_parts=request.num_parts, seed=seed) for seed in range(request.num_lots)]
    return Asked(np.stack([held_out_confidence(rows, is_good, part) for part in lots]), np.stack(lots))


def table_of(tested: Labelled, asked: Asked, request: RankingRequest, num_resamples: int = NUM_RESAMPLES) -> Table:
    """Rank labels by every score, at the paper's own coverage."""
    rows, by_paper = tested.rows, tested.by_paper.astype(np.float64)
    loss = (~rows.is_good(request.max_error_mm)).astype(np.float64)
    known = scores_of(rows.features, asked.confidence, loss)
    spread = known["spread of the members alone"]
    most = np.nanmax(np.abs(spread), initial=0.0) + 1.0
    # what none can accept comes last by every score, but for the two ends
    ends = ("random", "oracle")
    scores = {name: np.where(rows.is_eligible, score, np.nan) for name, score in known.items() if name not in ends}
    scores |= {
        PAPER_WORD: by_paper,
        f"{PAPER_WORD}, then spread": np.where(np.isnan(spread), -2.0 * most, spread) + 2.0 * most * by_paper,
    }
    scores |= {name: known[name] for name in ends}
    bootstrap = replace(make_bootstrap(rows.units, SEED), num_resamples=num_resamples)
    return ranking_table(scores, loss, bootstrap, at=tested.by_paper, parts=asked.parts, num_resamples=num_resamples)


def run(out: Path, request: RankingRequest, *, num_resamples: int = NUM_RESAMPLES) -> str:
    """Rank, and write `ranking.md` and `ranking.json` into `out`; return the Markdown.

    Raises:
        ConfigError: something asked for does not fit.
        InputError, ContractError: runs or truth are missing, damaged, or of several predictors.
    """
    tested = read_labelled(request.runs, request.truths, request.unit)
    fitted = read_labelled(request.fit_runs, request.fit_truths, request.unit) if request.fit_runs else None
    table = table_of(tested, confidences(tested, fitted, request), request, num_resamples)
    header = _header(tested, fitted, request, num_resamples)
    title = "Which score ranks labels best?"
    make_report_folder(out)
    text = markdown(title, header, [table])
    (out / "ranking.md").write_text(text)
    (out / "ranking.json").write_text(json_document(title, header, [table]))
    return text


def _header(
    tested: Labelled, fitted: Labelled | None, request: RankingRequest, num_resamples: int
) -> dict[str, object]:
    how = (
        f"{request.num_lots} partings into {request.num_parts}; each part by a model of the other {request.unit}s"
        if fitted is None
        else _counted(fitted.rows, request)
    )
    return {
        "labels": _counted(tested.rows, request),
        "confidence fitted on": how,
        "wrong": f"beyond {limit_in_words(request.max_error_mm, METRIC)}",
        "resampled": f"{request.unit}s, {num_resamples} times; seed {SEED}",
    }


def _counted(rows: CalibrationRows, request: RankingRequest) -> str:
    share = float((~rows.is_good(request.max_error_mm)).mean())
    return f"{len(rows.units)} of {len(set(rows.units))} {request.unit}s, {share:.1%} of them wrong"
