"""What a calibration came to, as tables for people: promise and proof, does confidence mean what it says, does it rank.

Everything is told of the units that proved the limit, which confidence was not fitted on.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.evaluation.bootstrap import GroupBootstrap
from hoiray.evaluation.label_truth import limit_in_words
from hoiray.evaluation.tables import Cell, Column, Table
from hoiray.filters.derived import unit_of
from hoiray.filters.rules import BOUND_WORDS, Limit
from hoiray.schema.calibration import Calibration, GuardLimit
from hoiray.trust.calibrate import Attempt, Wish
from hoiray.trust.confidence import Confidence
from hoiray.trust.guards import guard_fails
from hoiray.trust.ranking import NUM_RESAMPLED_RANKINGS, ranking_table, scores_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BIN_EDGES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
SEED: Final = 0

LABELS_WORD: Final = "labels"
JOINTS_WORD: Final = "joints"


def reliability_table(confidence: Floats, is_good: Bools, bootstrap: GroupBootstrap, *, of: str = LABELS_WORD) -> Table:
    """Hold claimed against observed shares of good labels, or joints, bin by bin."""
    bins = np.digitize(confidence, BIN_EDGES)
    ends = (0.0, *BIN_EDGES, 1.0)
    rows: dict[str, dict[str, Cell]] = {}
    for index in range(len(ends) - 1):
        inside = bins == index
        if inside.any():
            rows[f"{ends[index]:g} to {ends[index + 1]:g}"] = {
                "rows": int(inside.sum()),
                "claimed": 100.0 * float(confidence[inside].mean()),
                "observed": bootstrap.mean(np.where(inside, is_good, np.nan)).scaled(100.0),
            }
    rows["all"] = {
        "rows": len(confidence),
        "claimed": 100.0 * float(confidence.mean()),
        "observed": bootstrap.mean(is_good.astype(np.float64)).scaled(100.0),
    }
    columns = {"rows": Column(of), "claimed": Column("claimed good", "%", 1), "observed": Column("good", "%", 1)}
    note = f"{of.capitalize()} by confidence, on units it was not fitted on. Claimed: the mean of their confidence."
    key = "reliability" if of == LABELS_WORD else f"reliability of {of}"
    return Table(key, f"Does the confidence of {of} mean what it says?", note, columns, rows)


def outcome_tables(tried: Attempt, wish: Wish) -> list[Table]:
    """Make the tables of a calibration, whether or not it proved anything."""
    asked = tried.is_proving & tried.rows.is_eligible
    units = [tried.rows.units[row] for row in np.flatnonzero(asked)]
    bootstrap = GroupBootstrap(units, SEED, NUM_RESAMPLED_RANKINGS * 10)
    confidence, is_good = tried.confidence[asked].astype(np.float64), tried.is_good[asked]
    loss = (~is_good).astype(np.float64)
    index = tried.proof.limit_index
    coverage = 0.5 if index is None else float((confidence >= tried.plan.limits[index]).mean())
    scores = scores_of(tried.rows.features[asked], confidence, loss)
    tables = [
        reliability_table(confidence, is_good, bootstrap),
        ranking_table(scores, loss, bootstrap, at=max(coverage, 0.01)),
    ]
    if tried.guards:
        tables += [guard_table(tried)] if index is None else [guard_table(tried), acceptance_table(tried)]
    return tables if wish.max_joint_error_mm is None else [*tables, _joint_table(tried, wish.max_joint_error_mm)]


def _joint_table(tried: Attempt, max_error_mm: float) -> Table:
    """Hold claimed against observed shares of near joints, on the proving units."""
    assert tried.joints is not None
    rows, asked = tried.rows, tried.is_proving & tried.rows.is_eligible
    features, is_near = rows.joint_features[asked], rows.is_joint_near(max_error_mm)[asked]
    confidence = Confidence(tried.joints.model).probability(features.reshape(is_near.size, -1))
    units = np.repeat([rows.units[row] for row in np.flatnonzero(asked)], is_near.shape[1])
    bootstrap = GroupBootstrap(units.tolist(), SEED, NUM_RESAMPLED_RANKINGS)
    return reliability_table(confidence, is_near.ravel(), bootstrap, of=JOINTS_WORD)


def guard_table(tried: Attempt) -> Table:
    """Say of each guard, and of all together, which labels they refuse, on the proving units."""
    asked = tried.is_proving & tried.rows.is_eligible
    features, is_good = tried.rows.features[asked], tried.is_good[asked]
    bootstrap = GroupBootstrap([tried.rows.units[row] for row in np.flatnonzero(asked)], SEED, NUM_RESAMPLED_RANKINGS)
    refused = {guard_in_words(limit): guard_fails(features, limit) for limit in tried.guards}
    refused["all guards"] = ~tried.is_inside[asked]
    rows: dict[str, dict[str, Cell]] = {
        name: {
            "right": bootstrap.mean(np.where(is_good, beyond, np.nan)).scaled(100.0),
            "wrong": bootstrap.mean(np.where(is_good, np.nan, beyond)).scaled(100.0),
        }
        for name, beyond in refused.items()
    }
    columns = {"right": Column("right labels refused", "%", 1), "wrong": Column("wrong labels refused", "%", 1)}
    note = (
        "On the units that proved, whatever confidence says of a label. Guards are there for faults that the"
        " calibration has none of: of ordinary mistakes they need not catch many. 95 % intervals, by resampling groups."
    )
    return Table("guards", "What the guards refuse", note, columns, rows)


def acceptance_table(tried: Attempt) -> Table:
    """Hold the rule against confidence alone at the same limit, on the proving units."""
    index = tried.proof.limit_index
    assert index is not None
    every, is_good = tried.is_proving, tried.is_good[tried.is_proving]
    groups = [tried.rows.units[row] for row in np.flatnonzero(every)]
    bootstrap = GroupBootstrap(groups, SEED, NUM_RESAMPLED_RANKINGS)
    rows: dict[str, dict[str, Cell]] = {}
    for name, score in (("confidence and guards", tried.score), ("confidence alone", tried.confidence)):
        accepted = np.nan_to_num(score[every], nan=-1.0) >= np.float32(tried.plan.limits[index])
        rows[name] = {
            "coverage": bootstrap.mean(accepted.astype(np.float64)).scaled(100.0),
            "bad": bootstrap.mean(np.where(accepted, ~is_good, np.nan)).scaled(100.0),
        }
    columns = {"coverage": Column("accepted", "% of all labels", 1), "bad": Column("wrong among them", "%", 1)}
    note = "On the units that proved, at the limit on confidence that was taken. 95 % intervals, by resampling groups."
    return Table("acceptance", "What guards cost", note, columns, rows)


def guard_in_words(limit: Limit | GuardLimit) -> str:
    """Say a guard: `box_iou at least 0.41`."""
    value = limit.value if isinstance(limit, Limit) else limit.limit
    unit = unit_of(limit.measurement)
    return f"{limit.measurement} {BOUND_WORDS[limit.bound]} {value:.3g}{'' if unit == '1' else f' {unit}'}"


def promise_in_words(calibration: Calibration) -> str:
    """Say what the limits file promises, and on what it rests."""
    promise, proof, data = calibration.promise, calibration.proof, calibration.data
    units = {"video": "videos", "subject": "people"}[promise.unit]
    within = ""
    if calibration.guards is not None:
        count = len(calibration.guards.limits)
        within = f", within {count} guard{'' if count == 1 else 's'} on single measurements"
    return (
        f"With probability {1.0 - promise.failure_probability:.0%}, at most {promise.max_bad_fraction:.0%} of the"
        f" accepted labels are beyond {limit_in_words(promise.max_error, promise.metric)}, for {units} like these and"
        f" this predictor. Proved on {len(data.proving_units)} {units}, confidence fitted on {len(data.fitting_units)}"
        f" others. Accepted at {calibration.min_confidence:.3f} and above{within}: {proof.coverage:.1%} of the labels,"
        f" of which {proof.bad_fraction:.1%} are beyond it there. One of the {units} with more than"
        f" {promise.rows_cap:g} accepted labels counts as so many."
    )
