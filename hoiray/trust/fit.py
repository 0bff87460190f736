"""Fitting confidence: boosted trees, monotone where a measurement can speak to one side only.

Why trees: measurements are missing for good reasons, and lie on scales from millimetres to radians; trees take all
that as it is. Why small ones: a hundred videos are a hundred independent samples, and a few questions that can be
answered to one side only are what so few can bear. Measured on 64 people of the synthetic wild set, 16 of them held
out at a time (area under the generalised risk of labels beyond 15 mm, x 100; random order 11.5, spread in 3D alone
8.9): single steps 7.5, trees of four leaves 7.2; of 40 people of another set 13.5 and 13.4, and carried over from one
set to the other 12.9 and 12.7, 7.0 and 6.6. How many trees is chosen on units a fold's trees have not seen. Then a
logistic curve through the unseen units' log odds turns them into probabilities (Platt's scaling); it keeps the order
of labels even where units cannot tell that there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from hoiray.schema.calibration import ConfidenceModel, TreeTable
from hoiray.trust.confidence import Confidence
from hoiray.trust.features import FEATURE_NAMES, MONOTONE
from hoiray.trust.joint_features import JOINT_FEATURE_NAMES, JOINT_MONOTONE

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

NUM_FOLDS: Final = 5
NUM_TREES: Final = (10, 25, 50, 100, 200)
"""Numbers of trees of a label that are tried."""

LEARNING_RATE: Final = 0.08
L2_PENALTY: Final = 1.0
LEAST_SLOPE: Final = 0.05
"""Of the logistic curve: labels keep their order, and next to one confidence, where nothing was found to tell."""

SEED: Final = 0


@dataclass(frozen=True, eq=False)
class Learner:
    """What is learned from.

    Attributes:
        names: of F features.
        monotone: what more of each can say: 1 for, -1 against, 0 either.
        subsets: (F,) what trees may ask for, from the least, by name.
        num_trees: numbers of trees that are tried, growing.
        max_leaves, min_leaf_rows: of a tree.
        feature_share: of the features, that a split may choose from, by lot: no measurement takes all the credit.
        is_frugal: take the least that is as good as the best, by its own scatter over units; else the best.
    """

    names: tuple[str, ...]
    monotone: tuple[int, ...]
    subsets: Mapping[str, Bools]
    num_trees: tuple[int, ...]
    max_leaves: int
    min_leaf_rows: int
    feature_share: float
    is_frugal: bool


def _one_sided(monotone: tuple[int, ...]) -> Bools:
    return np.array([direction != 0 for direction in monotone])


LABEL_LEARNER: Final = Learner(
    FEATURE_NAMES,
    MONOTONE,
    MappingProxyType({"one-sided": _one_sided(MONOTONE)}),
    NUM_TREES,
    max_leaves=4,
    min_leaf_rows=60,
    feature_share=0.5,
    is_frugal=False,
)
JOINT_LEARNER: Final = Learner(
    JOINT_FEATURE_NAMES,
    JOINT_MONOTONE,
    MappingProxyType(
        {
            "spread": np.array([name == "joint_spread_3d_m" for name in JOINT_FEATURE_NAMES]),
            "one-sided": _one_sided(JOINT_MONOTONE),
            "all": np.ones(len(JOINT_FEATURE_NAMES), dtype=np.bool_),
        }
    ),
    (10, 20, 40),
    max_leaves=8,
    min_leaf_rows=20,
    feature_share=1.0,
    is_frugal=True,
)
"""Fewer trees, for they are walked 21 times a label, and larger ones: joints are many."""

MAX_JOINT_ROWS: Final = 60_000
"""Joints that are fitted to, drawn by lot: those of a label are near copies in all but a few features."""

_LARGEST: Final = float(np.finfo(np.float64).max)
"""In place of infinity, which JSON has not: every known value goes left of it."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was fitted to N rows.

    Attributes:
        model: on all of them.
        unseen: (N,) calibrated probability of each row by trees that have not seen its unit.
        num_trees: that were chosen.
        subset: of those of the learner, that they ask for.
    """

    model: ConfidenceModel
    unseen: Floats
    num_trees: int
    subset: str


def fit_confidence(features: Floats, is_good: Bools, unit: Integers, learner: Learner = LABEL_LEARNER) -> Fitted:
    """Fit the probability that a label, or a joint, is good.

    Args:
        features: (N, F) of the learner's features, NaN where not known; N >= 1.
        is_good: (N,).
        unit: (N,) number of each row's unit; a fold holds whole units.
        learner: what is learned from.
    """
    fold_of_unit = np.random.default_rng(SEED).permutation(int(unit.max()) + 1) % NUM_FOLDS
    fold = fold_of_unit[unit]
    candidates = [(subset, count) for subset in learner.subsets for count in learner.num_trees]
    kept = learner.subsets.values()
    unseen = [_unseen_log_odds(np.where(asked, features, 0.0), is_good, fold, learner) for asked in kept]
    log_odds = np.concatenate(unseen)
    chosen = _choose(np.stack([_unit_losses(one, is_good, unit) for one in log_odds]), is_frugal=learner.is_frugal)
    subset, num_trees = candidates[chosen]
    slope, intercept = fit_curve(log_odds[chosen], is_good)
    base, trees = _fit_trees(np.where(learner.subsets[subset], features, 0.0), is_good, num_trees, learner)
    model = ConfidenceModel(features=learner.names, base=base, trees=trees, slope=slope, intercept=intercept)
    return Fitted(model, np.asarray(expit(slope * log_odds[chosen] + intercept)), num_trees, subset)


def fit_joint_confidence(features: Floats, is_good: Bools, unit: Integers) -> Fitted:
    """Fit the probability that a joint is near the truth.

    Args:
        features: (N, 21, F) of :data:`hoiray.trust.joint_features.JOINT_FEATURE_NAMES`.
        is_good: (N, 21).
        unit: (N,) number of each label's unit.

    Returns:
        The model; `unseen` is of the joints that were drawn by lot.
    """
    num_joints = is_good.shape[1]
    rows = np.sort(np.random.default_rng(SEED).permutation(is_good.size)[:MAX_JOINT_ROWS])
    _, number = np.unique(unit[rows // num_joints], return_inverse=True)
    flat = features.reshape(is_good.size, -1)[rows]
    return fit_confidence(flat, is_good.ravel()[rows], number.astype(np.int64), JOINT_LEARNER)


def fit_curve(log_odds: Floats, is_good: Bools) -> tuple[float, float]:
    """Fit slope and intercept of a logistic curve that rises (Platt 1999, with his targets short of 0 and 1)."""
    num_good = int(is_good.sum())
    high, low = (num_good + 1.0) / (num_good + 2.0), 1.0 / (len(is_good) - num_good + 2.0)
    target = np.where(is_good, high, low)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        at = parameters[0] * log_odds + parameters[1]
        off = expit(at) - target
        value = -(target * log_expit(at) + (1.0 - target) * log_expit(-at)).mean()
        return float(value), np.array([(off * log_odds).mean(), off.mean()])

    start = np.array([1.0, 0.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(LEAST_SLOPE, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def trees_of(classifier: "HistGradientBoostingClassifier") -> tuple[TreeTable, ...]:
    """Return a fitted classifier's trees as tables."""
    tables = []
    for (predictor,) in classifier._predictors:
        nodes = predictor.nodes
        is_leaf = nodes["is_leaf"].astype(np.bool_)
        tables.append(
            TreeTable(
                feature=tuple(np.where(is_leaf, -1, nodes["feature_idx"]).tolist()),
                threshold=tuple(np.minimum(np.where(is_leaf, 0.0, nodes["num_threshold"]), _LARGEST).tolist()),
                nan_goes_left=tuple((nodes["missing_go_to_left"].astype(np.bool_) & ~is_leaf).tolist()),
                left=tuple(np.where(is_leaf, 0, nodes["left"]).astype(int).tolist()),
                right=tuple(np.where(is_leaf, 0, nodes["right"]).astype(int).tolist()),
                value=tuple(np.where(is_leaf, nodes["value"], 0.0).tolist()),
            )
        )
    return tuple(tables)


def make_classifier(num_trees: int, learner: Learner = LABEL_LEARNER) -> "HistGradientBoostingClassifier":
    """Return the unfitted learner."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE,
        max_iter=num_trees,
        max_leaf_nodes=learner.max_leaves,
        min_samples_leaf=learner.min_leaf_rows,
        l2_regularization=L2_PENALTY,
        max_features=learner.feature_share,
        monotonic_cst=list(learner.monotone),
        early_stopping=False,
        random_state=SEED,
    )


def _fit_trees(
    features: Floats, is_good: Bools, num_trees: int, learner: Learner
) -> tuple[float, tuple[TreeTable, ...]]:
    if not num_trees or is_good.all() or not is_good.any():
        return _rate_log_odds(is_good), ()
    classifier = make_classifier(num_trees, learner).fit(_shown(features), is_good)
    return float(classifier._baseline_prediction.item()), trees_of(classifier)


def _unseen_log_odds(features: Floats, is_good: Bools, fold: Integers, learner: Learner) -> Floats:
    """(C, N) log odds of each row with each number of trees above none, from trees that have not seen its fold."""
    out = np.zeros((len(learner.num_trees), len(is_good)))
    for number in range(NUM_FOLDS):
        is_held = fold == number
        if not is_held.any():
            continue
        seen = is_good[~is_held]
        if not seen.size or seen.all() or not seen.any():
            out[:, is_held] = _rate_log_odds(seen)
            continue
        base, trees = _fit_trees(features[~is_held], seen, learner.num_trees[-1], learner)
        for place, count in enumerate(learner.num_trees):
            model = ConfidenceModel(features=learner.names, base=base, trees=trees[:count], slope=1.0, intercept=0.0)
            out[place, is_held] = Confidence(model).log_odds(features[is_held])
    return out


def _rate_log_odds(is_good: Bools) -> float:
    return float(logit((is_good.sum() + 0.5) / (len(is_good) + 1.0)))


def _unit_losses(log_odds: Floats, is_good: Bools, unit: Integers) -> Floats:
    """(U,) log loss of each unit, the mean over its rows."""
    loss = -np.where(is_good, log_expit(log_odds), log_expit(-log_odds))
    rows = np.bincount(unit)
    return np.asarray(np.bincount(unit, weights=loss)[rows > 0] / rows[rows > 0])


def _choose(losses: Floats, *, is_frugal: bool) -> int:
    """Choose among (C, U) losses, simplest first: the best, or the first that is within a standard error of it."""
    if not is_frugal:
        return int(losses.mean(axis=1).argmin())
    more = losses - losses[losses.mean(axis=1).argmin()]
    error = more.std(axis=1) / np.sqrt(losses.shape[1])
    return int((more.mean(axis=1) <= error).argmax())


def _shown(features: Floats) -> Floats:
    """Give columns that are nowhere known a value, lest the learner warns that it has nothing to bin."""
    shown = features.copy()
    shown[:, np.isnan(shown).all(axis=0)] = 0.0
    return shown
