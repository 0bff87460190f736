"""Which score ranks labels best? Areas under risk over coverage, and what is wrong at a rule's own coverage, paired.

Every score is resampled by the same draws of whole videos or people, so that a difference between two scores has an
interval of its own: two intervals that overlap do not say that the scores are alike.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.evaluation.bootstrap import GroupBootstrap
from hoiray.evaluation.label_truth import Compared
from hoiray.evaluation.tables import Cell, Column, Table
from hoiray.metrics.selection import Ranking, oracle_score, random_score
from hoiray.schema.calibration import Calibration
from hoiray.trust.calibrate import CalibrationRows, numbered
from hoiray.trust.confidence import Confidence
from hoiray.trust.features import FEATURE_NAMES
from hoiray.trust.fit import fit_confidence

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

NUM_RESAMPLED_RANKINGS: Final = 300
"""Resamples of a ranking, each a pass over all rows; its interval's ends move by a few per cent of its width."""

CONFIDENCE_WORD: Final = "confidence"
PAPER_WORD: Final = "the paper's limits"
_FIGURES: Final = ("aurc", "augrc", "risk")


def scores_of(features: Floats, confidence: npt.NDArray[np.floating] | None, loss: Floats) -> dict[str, Floats]:
    """Return what rows may be ranked by, and the two ends: nothing known, everything known.

    Args:
        features: (N, F).
        confidence: (N,), None where nothing was calibrated; or (S, N).
        loss: (N,) 1 where a label is bad.
    """
    known = dict(zip(FEATURE_NAMES, features.T, strict=True))
    scores = {} if confidence is None else {CONFIDENCE_WORD: confidence.astype(np.float64)}
    scores["spread of the members alone"] = -known["spread_3d_m"]
    if not np.isnan(known["mean_joint_confidence"]).all():
        scores["predictor's own confidence"] = known["mean_joint_confidence"]
    return scores | {"random": random_score(loss), "oracle": oracle_score(loss)}


def ranking_table(
    scores: Mapping[str, Floats],
    loss: Floats,
    bootstrap: GroupBootstrap,
    *,
    at: float | Bools,
    parts: Integers | None = None,
    num_resamples: int = NUM_RESAMPLED_RANKINGS,
) -> Table:
    """Put the areas under risk over coverage of several scores below each other.

    Args:
        scores: name to (N,); or to (S, N) where a score was made S times.
        loss: (N,) 1 where a label is bad.
        bootstrap: over the groups of the same rows.
        at: share of the rows at which the bad share is told as well; or the (N,) rows that a rule accepts, whose share
            is taken anew in every resample.
        parts: (S, N) number of the part that a row belongs to in each of S partings: every part is ranked by itself,
            by every score, and figures are means over all of them, as large as they are; None: the rows are one part.
        num_resamples: passes over all rows.
    """
    names = list(scores)
    statistic = _figures_of(scores, loss, at, np.zeros((1, len(loss)), dtype=np.int64) if parts is None else parts)
    bounded = [interval.scaled(100.0) for interval in bootstrap.of_weights(statistic, num_resamples)]
    size = len(_FIGURES)
    own, more = bounded[: size * len(names)], bounded[size * len(names) :]
    rows: dict[str, dict[str, Cell]] = {}
    for place, name in enumerate(names):
        rows[name] = dict(zip(_FIGURES, own[size * place : size * (place + 1)], strict=True))
        if place:
            rows[name] |= {"less": more[size * (place - 1) + 1], "risk_more": more[size * (place - 1) + 2]}
    coverage = at if isinstance(at, float) else float(at.mean())
    columns = {
        "aurc": Column("AURC x 100", "", 2),
        "augrc": Column("AUGRC x 100", "", 2),
        "less": Column(f"AUGRC more than {names[0]}", "", 2),
        "risk": Column(f"bad at {coverage:.0%} coverage", "%", 1),
        "risk_more": Column(f"bad there more than {names[0]}", "%", 1),
    }
    note = (
        "Lower is better. Rows are accepted from the highest score down; AUGRC is the mean share of rows that are bad"
        " and accepted, AURC the mean bad share of the accepted. Intervals are 95 %, by resampling whole groups; those"
        f" of differences to {names[0]} are paired: from the same resamples. A detector's box score is not stored with"
        " labels; the predictor's own confidence is that in its 2D joints."
    )
    return Table("ranking", "Which score ranks labels best?", note, columns, rows)


def _figures_of(
    scores: Mapping[str, Floats], loss: Floats, at: float | Bools, parts: Integers
) -> Callable[[Floats], Floats]:
    """Return the statistic of (N,) weights: :data:`_FIGURES` of every score, then what the others have more of each."""
    ranked = []
    for lot, part in enumerate(parts):
        for number in np.unique(part):
            rows = np.flatnonzero(part == number)
            made = [np.broadcast_to(score, parts.shape)[lot, rows] for score in scores.values()]
            ranked.append((rows, [Ranking.of(score, loss[rows]) for score in made]))

    def figures(weights: Floats) -> Floats:
        total, each = 0.0, np.zeros((len(scores), len(_FIGURES)))
        for rows, rankings in ranked:
            weight = weights[rows]
            size = float(weight.sum())
            if not size:
                continue
            coverage = at if isinstance(at, float) else float(weight @ at[rows]) / size
            found = [(it.aurc(weight), it.augrc(weight), it.risk_at(coverage, weight)) for it in rankings]
            each += size * np.array(found)
            total += size
        each /= total
        return np.concatenate([each.ravel(), (each[1:] - each[0]).ravel()])

    return figures


def seen_in_fitting(calibration: Calibration, compared: Compared) -> Bools:
    """(N,) labels of the people, or videos, that bear the name of one that confidence was fitted on."""
    fitted = calibration.data.fitting_units
    if len(calibration.data.truth) > 1:
        # of several sets: their number stands before the name
        fitted = tuple(name.partition("/")[2] for name in fitted)
    units = compared.videos if calibration.promise.unit == "video" else compared.subjects
    return np.isin(np.array(units, dtype=np.str_), fitted)


def parted(units: Sequence[str], *, num_parts: int, seed: int) -> Integers:
    """(N,) part of each row: whole units by lot."""
    names, unit = numbered(units)
    return np.asarray((np.random.default_rng(seed).permutation(len(names)) % num_parts)[unit], dtype=np.int64)


def held_out_confidence(rows: CalibrationRows, is_good: Bools, part: Integers) -> Floats:
    """(N,) confidence of each label by a model that has seen none of its part; NaN where none can be accepted.

    Every part has a model of its own, fitted on all others: what two of them say is not of one scale, and a ranking is
    one of a part.

    Args:
        rows: labels with their truth.
        is_good: (N,).
        part: (N,) see :func:`parted`; of two parts each fits on about as many units as ``hoiray calibrate`` does.
    """
    confidence = np.full(len(part), np.nan)
    for number in np.unique(part):
        asked = (part == number) & rows.is_eligible
        confidence[asked] = confidence_from(rows.of_rows(part != number), is_good[part != number], rows.features[asked])
    return confidence


def confidence_from(rows: CalibrationRows, is_good: Bools, features: Floats) -> Floats:
    """(M,) confidence of (M, F) features by a model that is fitted to all of the rows."""
    fits = rows.is_eligible
    _, unit = numbered([rows.units[row] for row in np.flatnonzero(fits)])
    return Confidence(fit_confidence(rows.features[fits], is_good[fits], unit).model).probability(features)
