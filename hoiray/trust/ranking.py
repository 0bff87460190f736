"""Which score ranks labels best? Areas under risk over coverage, and what is wrong at a rule's own coverage, paired.

Every score is resampled by the same draws of whole videos or people, so that a difference between two scores has an
interval of its own: two intervals that overlap do not say that the scores are alike.
"""

from collections.abc import Callable, Mapping
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

NUM_RESAMPLED_RANKINGS: Final = 300
"""Resamples of a ranking, each a pass over all rows; its interval's ends move by a few per cent of its width."""

CONFIDENCE_WORD: Final = "confidence"
PAPER_WORD: Final = "the paper's limits"
_FIGURES: Final = ("aurc", "augrc", "risk")


def scores_of(features: Floats, confidence: npt.NDArray[np.floating] | None, loss: Floats) -> dict[str, Floats]:
    """Return what rows may be ranked by, and the two ends: nothing known, everything known.

    Args:
        features: (N, F).
        confidence: (N,), None where nothing was calibrated; or (S, N), see :func:`ranking_table`.
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
    num_resamples: int = NUM_RESAMPLED_RANKINGS,
) -> Table:
    """Put the areas under risk over coverage of several scores below each other.

    Args:
        scores: name to (N,); or to (S, N) where a score was made S times: its figures are means over them.
        loss: (N,) 1 where a label is bad.
        bootstrap: over the groups of the same rows.
        at: share of the rows at which the bad share is told as well; or the (N,) rows that a rule accepts, whose share
            is taken anew in every resample.
        num_resamples: passes over all rows.
    """
    names = list(scores)
    statistic = _figures_of(scores, loss, at)
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


def _figures_of(scores: Mapping[str, Floats], loss: Floats, at: float | Bools) -> Callable[[Floats], Floats]:
    """Return the statistic of (N,) weights: :data:`_FIGURES` of every score, then what the others have more of each."""
    rankings = [[Ranking.of(one, loss) for one in np.atleast_2d(score)] for score in scores.values()]

    def figures(weights: Floats) -> Floats:
        coverage = at if isinstance(at, float) else float(weights @ at / weights.sum())
        each = np.array(
            [
                np.mean([(it.aurc(weights), it.augrc(weights), it.risk_at(coverage, weights)) for it in made], axis=0)
                for made in rankings
            ]
        )
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


def held_out_confidence(rows: CalibrationRows, is_good: Bools, *, num_parts: int, seed: int) -> Floats:
    """(N,) confidence of each label by a model that has seen none of its unit; NaN where none can be accepted.

    Units are parted by lot, and the labels of each part asked of a model that was fitted on all others.

    Args:
        rows: of units that are not in any limits file.
        is_good: (N,).
        num_parts: 2: half of the units fit, as many as ``hoiray calibrate`` fits on, about.
        seed: of the lot.
    """
    names, unit = numbered(rows.units)
    part = (np.random.default_rng(seed).permutation(len(names)) % num_parts)[unit]
    confidence = np.full(len(unit), np.nan)
    for number in range(num_parts):
        asked = (part == number) & rows.is_eligible
        confidence[asked] = confidence_from(rows.of_rows(part != number), is_good[part != number], rows.features[asked])
    return confidence


def confidence_from(rows: CalibrationRows, is_good: Bools, features: Floats) -> Floats:
    """(M,) confidence of (M, F) features by a model that is fitted to all of the rows."""
    fits = rows.is_eligible
    _, unit = numbered([rows.units[row] for row in np.flatnonzero(fits)])
    return Confidence(fit_confidence(rows.features[fits], is_good[fits], unit).model).probability(features)
