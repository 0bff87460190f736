"""From stored measurements and truth to a limits file: fit confidence on some units, prove a limit on the others."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray import __version__
from hoiray.errors import InputError, describe
from hoiray.evaluation.label_truth import Compared, limit_in_words
from hoiray.filters.rules import Limit
from hoiray.schema.calibration import (
    Calibration,
    CalibrationData,
    CalibrationPromise,
    CalibrationProof,
    JointConfidence,
)
from hoiray.trust.confidence import Confidence
from hoiray.trust.features import features_of, is_answered
from hoiray.trust.fit import Fitted, fit_confidence, fit_joint_confidence
from hoiray.trust.guarantee import (
    Promise,
    Proof,
    TestPlan,
    UnitCounts,
    count_units,
    limits_to_try,
    plan_tests,
    prove,
    units_at_pace,
    units_needed,
)
from hoiray.trust.guards import NO_GUARDS, GuardChoice, guards_pass
from hoiray.trust.joint_features import joint_features_of
from hoiray.trust.shift import ranges_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FITTING_SHARE: Final = 0.4
"""Of the units; the others prove. What is proved depends on how many prove, far more than on how well ranks are fitted:
a promise of 90 % takes 29 faultless units."""

Unit = Literal["video", "subject"]


@dataclass(frozen=True, eq=False)
class CalibrationRows:
    """N labels with their truth.

    Attributes:
        features: (N, F) see :mod:`hoiray.trust.features`.
        is_eligible: (N,) there is a prediction, and nothing but confidence can refuse it.
        errors: (N,) of the metric; NaN where there is no prediction or no true hand: such a label is bad.
        joint_features: (N, 21, J) see :mod:`hoiray.trust.joint_features`.
        joint_errors_mm: (N, 21) after alignment, as `errors`.
        units: (N,) names of videos or subjects.
        labels, truth: places they come from.
        predict_id: of the labels.
    """

    features: Floats
    is_eligible: Bools
    errors: Floats
    joint_features: Floats
    joint_errors_mm: Floats
    units: list[str]
    labels: tuple[str, ...]
    truth: tuple[str, ...]
    predict_id: str

    @classmethod
    def of(
        cls, labels: pa.Table, compared: Compared, *, metric: str, unit: Unit, labels_uri: str, truth_uri: str
    ) -> "CalibrationRows":
        """Take what a calibration needs.

        Args:
            labels: schema ``labels``, judged without limits.
            compared: the same rows beside the truth.
            metric: of :data:`hoiray.evaluation.label_truth.ERROR_NAMES`.
            unit: what counts as an independent sample.
            labels_uri: place of the labels.
            truth_uri: of the truth.
        """
        return cls(
            features=features_of(labels),
            is_eligible=is_answered(labels) & labels["accepted"].to_numpy(),
            errors=compared.errors[metric],
            joint_features=joint_features_of(labels),
            joint_errors_mm=compared.joint_errors_mm,
            units=list(compared.videos if unit == "video" else compared.subjects),
            labels=(labels_uri,),
            truth=(truth_uri,),
            predict_id=pc.unique(labels["predict_id"]).to_pylist()[0],
        )

    @classmethod
    def joined(cls, parts: Sequence["CalibrationRows"]) -> "CalibrationRows":
        """Put sets together; units of different sets are different, whatever their names.

        Raises:
            InputError: their labels are of different predictors.
        """
        ids = sorted({part.predict_id for part in parts})
        if len(ids) > 1:
            fix = "A calibration is of one predictor: label all sets with the same weights and ensemble."
            raise InputError(describe(what="labels", expected="one predict_id", found=", ".join(ids), fix=fix))
        prefix = [""] if len(parts) == 1 else [f"{number}/" for number in range(len(parts))]
        return cls(
            features=np.concatenate([part.features for part in parts]),
            is_eligible=np.concatenate([part.is_eligible for part in parts]),
            errors=np.concatenate([part.errors for part in parts]),
            joint_features=np.concatenate([part.joint_features for part in parts]),
            joint_errors_mm=np.concatenate([part.joint_errors_mm for part in parts]),
            units=[f"{start}{name}" for start, part in zip(prefix, parts, strict=True) for name in part.units],
            labels=tuple(name for part in parts for name in part.labels),
            truth=tuple(name for part in parts for name in part.truth),
            predict_id=ids[0],
        )

    def is_good(self, max_error: float) -> Bools:
        """(N,) error at most the limit."""
        return np.asarray(np.nan_to_num(self.errors, nan=np.inf) <= max_error)

    def is_joint_near(self, max_error_mm: float) -> Bools:
        """(N, 21) joint no further from the truth than the limit."""
        return np.asarray(np.nan_to_num(self.joint_errors_mm, nan=np.inf) <= max_error_mm)

    def of_rows(self, keeps: Bools) -> "CalibrationRows":
        """Return some of the rows."""
        units = [name for name, is_kept in zip(self.units, keeps, strict=True) if is_kept]
        return CalibrationRows(
            self.features[keeps], self.is_eligible[keeps], self.errors[keeps], self.joint_features[keeps],
            self.joint_errors_mm[keeps], units, self.labels, self.truth, self.predict_id,
        )  # fmt: skip

    def digest(self) -> str:
        """Digest of all numbers and units."""
        sums = hashlib.sha256("\n".join(self.units).encode())
        for array in (self.features, self.is_eligible, self.errors, self.joint_features, self.joint_errors_mm):
            # one NaN for all
            sums.update(np.where(np.isnan(array), np.nan, array).tobytes())
        return sums.hexdigest()


@dataclass(frozen=True)
class Wish:
    """What is to be promised.

    Attributes:
        metric: the error.
        max_error: a label is good up to it.
        promise: how often, how surely.
        unit: what counts as an independent sample.
        max_joint_error_mm: a joint is near the truth up to it; None: joints get no confidence.
        guards: limits beside the one on confidence.
    """

    metric: str
    max_error: float
    promise: Promise
    unit: Unit
    max_joint_error_mm: float | None = None
    guards: GuardChoice = NO_GUARDS


@dataclass(frozen=True, eq=False)
class Attempt:
    """A calibration, whether or not it proved anything.

    Attributes:
        rows: all labels.
        is_proving: (N,) rows of the units that prove.
        fitted: confidence.
        confidence: (N,) float32, of the fitting rows by trees that have not seen their unit; NaN where not eligible.
        is_good: (N,).
        guards: fixed on the fitting units.
        is_inside: (N,) within all guards.
        counts: of the proving units, of labels within the guards.
        plan: what was fixed before.
        proof: what came of it.
        joints: confidence of joints, fitted on the same units; None where it was not wished for.
    """

    rows: CalibrationRows
    is_proving: Bools
    fitted: Fitted
    confidence: npt.NDArray[np.float32]
    is_good: Bools
    guards: tuple[Limit, ...]
    is_inside: Bools
    counts: UnitCounts
    plan: TestPlan
    proof: Proof
    joints: Fitted | None = None

    @property
    def score(self) -> npt.NDArray[np.float32]:
        """(N,) confidence of what may be accepted: NaN beyond a guard, too."""
        return np.where(self.is_inside, self.confidence, np.float32(np.nan))

    def further_units(self) -> int | None:
        """Estimate how many further units the promise takes; None where it cannot be told that any number will do.

        The more careful of two estimates: what all units promise at the best limit, and what the proving ones gave at
        the limit that was tried first.
        """
        every = count_units(numbered(self.rows.units)[1], self.score, ~self.is_good, self.plan.limits)
        caps = every.typical_accepted()
        needed = units_needed(every, self.plan.promise, caps)
        if needed is None:
            return None
        needed = max(needed, units_at_pace(self.proof, self.plan, len(self.counts.sizes)))
        return max(1, ceil(needed / (1.0 - FITTING_SHARE)) - len(every.sizes))


def numbered(units: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the different units, sorted, and the number of each row's."""
    names, number = np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)
    return names.tolist(), number.astype(np.int64)


def proving_units(names: Sequence[str]) -> Bools:
    """Say of each unit whether it proves: a draw by the digest of its name, which no label has a part in."""
    order = sorted(range(len(names)), key=lambda index: hashlib.sha256(names[index].encode()).digest())
    proves = np.ones(len(names), dtype=np.bool_)
    proves[order[: round(FITTING_SHARE * len(names))]] = False
    return proves


def attempt(rows: CalibrationRows, wish: Wish) -> Attempt:
    """Fit confidence on some units, and test limits on the others.

    Args:
        rows: labels with their truth.
        wish: what is to be promised.

    Raises:
        InputError: too few units to begin with.
    """
    names, unit = numbered(rows.units)
    proves = proving_units(names)
    require_units(names, proves, wish)
    is_proving, is_good = proves[unit], rows.is_good(wish.max_error)
    fits = ~is_proving & rows.is_eligible
    if not fits.any():
        fix = "Label videos in which the predictor finds hands."
        raise InputError(describe(what="labels to fit on", expected="predictions", found="none", fix=fix))
    fitted = fit_confidence(
        rows.features[fits], is_good[fits], numbered([rows.units[i] for i in np.flatnonzero(fits)])[1]
    )
    confidence = np.full(len(is_good), np.nan, dtype=np.float32)
    confidence[fits] = fitted.unseen.astype(np.float32)
    asked = is_proving & rows.is_eligible
    confidence[asked] = Confidence(fitted.model).probability(rows.features[asked]).astype(np.float32)
    guards = wish.guards.fixed(rows.features[fits], is_good[fits])
    is_inside = guards_pass(rows.features, guards)
    score = np.where(is_inside, confidence, np.float32(np.nan))
    limits = limits_to_try(score[fits])
    learning, counts = (
        count_units(numbered([rows.units[i] for i in np.flatnonzero(part)])[1], score[part], ~is_good[part], limits)
        for part in (~is_proving, is_proving)
    )
    plan = plan_tests(learning, limits, wish.promise)
    joints = None if wish.max_joint_error_mm is None else _fit_joints(rows, fits, wish.max_joint_error_mm)
    proof = prove(counts, plan)
    return Attempt(rows, is_proving, fitted, confidence, is_good, guards, is_inside, counts, plan, proof, joints)


def _fit_joints(rows: CalibrationRows, fits: Bools, max_error_mm: float) -> Fitted:
    unit = numbered([rows.units[index] for index in np.flatnonzero(fits)])[1]
    return fit_joint_confidence(rows.joint_features[fits], rows.is_joint_near(max_error_mm)[fits], unit)


def calibration_of(tried: Attempt, wish: Wish) -> Calibration:
    """Make the limits file of a calibration.

    Raises:
        InputError: it proved nothing; says how many further units it takes.
    """
    index = tried.proof.limit_index
    if index is None:
        _refuse(tried, wish)
    assert index is not None
    counts, rows = tried.counts, tried.rows
    accepted, wrong = int(counts.accepted[:, index].sum()), int(counts.wrong[:, index].sum())
    names, unit = numbered(rows.units)
    proves = proving_units(names)
    return Calibration(
        hoiray_version=__version__,
        promise=CalibrationPromise(
            metric=wish.metric,
            max_error=wish.max_error,
            max_bad_fraction=wish.promise.max_bad_fraction,
            failure_probability=wish.promise.failure_probability,
            unit=wish.unit,
            rows_cap=float(tried.plan.caps[index]),
        ),
        min_confidence=float(tried.plan.limits[index]),
        proof=CalibrationProof(
            log_e_value=float(tried.proof.log_e[index]),
            coverage=accepted / max(1, int(counts.sizes.sum())),
            bad_fraction=wrong / max(1, accepted),
            num_accepted=accepted,
        ),
        data=CalibrationData(
            labels=rows.labels,
            truth=rows.truth,
            predict_id=rows.predict_id,
            data_sha256=rows.digest(),
            num_rows=len(rows.units),
            num_good=int(tried.is_good.sum()),
            fitting_units=tuple(name for name, is_proving in zip(names, proves, strict=True) if not is_proving),
            proving_units=tuple(name for name, is_proving in zip(names, proves, strict=True) if is_proving),
        ),
        confidence=tried.fitted.model,
        ranges=ranges_of(rows.features, unit),
        joints=_joints_of(tried, wish),
        guards=wish.guards.stored(tried.guards),
    )


def _joints_of(tried: Attempt, wish: Wish) -> JointConfidence | None:
    if tried.joints is None or wish.max_joint_error_mm is None:
        return None
    return JointConfidence(max_error_mm=wish.max_joint_error_mm, model=tried.joints.model)


def require_units(names: Sequence[str], proves: Bools, wish: Wish) -> None:
    """Refuse a set that could not prove the promise were all its labels right.

    Raises:
        InputError: says how many further units it takes at least.
    """
    least = wish.promise.least_units
    found = int(proves.sum())
    if found >= least:
        return
    further = ceil(least / (1.0 - FITTING_SHARE)) - len(names)
    what = f"calibration set of {len(names)} {wish.unit}s"
    expected = f"at least {least} to prove the promise, which faultless labels need"
    fix = f"Label at least {further} further {wish.unit}s with truth, or promise less."
    raise InputError(describe(what=what, expected=expected, found=f"{found} (the others fit confidence)", fix=fix))


def _refuse(tried: Attempt, wish: Wish) -> None:
    share = tried.counts.wrong / np.maximum(tried.counts.accepted, 1)
    has = tried.counts.accepted.sum(axis=0) > 0
    pooled = tried.counts.wrong.sum(axis=0) / np.maximum(tried.counts.accepted.sum(axis=0), 1)
    best = float(pooled[has].min()) if has.any() and share.size else float("nan")
    further = tried.further_units()
    limit, percent = limit_in_words(wish.max_error, wish.metric), f"{wish.promise.max_bad_fraction:.0%}"
    what = f"promise that at most {percent} of the accepted labels are beyond {limit}"
    found = f"no proof on {len(tried.counts.sizes)} {wish.unit}s; least share beyond it at any confidence: {best:.1%}"
    if further is None:
        fix = "More of the same will hardly do: allow a larger error or more bad labels, or take a better teacher."
    else:
        fix = f"Label about {further} further {wish.unit}s with truth (an estimate), or promise less."
    raise InputError(describe(what=what, expected="a limit on confidence that keeps it", found=found, fix=fix))
