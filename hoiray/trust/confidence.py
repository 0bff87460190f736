"""Confidence of labels from the numbers of a limits file: trees and a logistic curve, evaluated here.

No pickle is loaded and no library's model is needed: a tree is a table, and a kernel walks it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit

from hoiray.errors import ConfigError, describe
from hoiray.filters.compiled import compiled, kernel_inputs
from hoiray.schema.calibration import Calibration, ConfidenceModel
from hoiray.trust.features import FEATURE_NAMES, features_of, is_answered
from hoiray.trust.joint_features import JOINT_FEATURE_NAMES, joint_features_of

Floats = npt.NDArray[np.float64]


@compiled
def _add_trees(  # noqa: PLR0917 - numba compiles positional arguments only
    total: Any,  # noqa: ANN401 - numba's arrays
    features: Any,  # noqa: ANN401
    roots: Any,  # noqa: ANN401
    feature: Any,  # noqa: ANN401
    threshold: Any,  # noqa: ANN401
    nan_left: Any,  # noqa: ANN401
    left: Any,  # noqa: ANN401
    right: Any,  # noqa: ANN401
    value: Any,  # noqa: ANN401
) -> None:
    """Add every tree's leaf to the rows' totals, tree after tree, as the library that fits them does."""
    for row in range(features.shape[0]):
        for tree in range(roots.shape[0]):
            node = roots[tree]
            while feature[node] >= 0:
                x = features[row, feature[node]]
                goes_left = nan_left[node] if np.isnan(x) else x <= threshold[node]
                node = roots[tree] + (left[node] if goes_left else right[node])
            total[row] += value[node]


@dataclass(frozen=True)
class Confidence:
    """A model of confidence that can be asked.

    Attributes:
        model: its numbers.
    """

    model: ConfidenceModel

    @cached_property
    def _nodes(self) -> tuple[npt.NDArray[Any], ...]:
        """All trees' nodes one after the other, and where each tree begins."""
        trees = self.model.trees
        sizes = [len(tree.feature) for tree in trees]
        roots = np.cumsum([0, *sizes])[: len(trees)].astype(np.int64)
        types: dict[str, Any] = {
            "feature": np.int64, "threshold": np.float64, "nan_goes_left": np.bool_, "left": np.int64,
            "right": np.int64, "value": np.float64,
        }  # fmt: skip
        columns: list[npt.NDArray[Any]] = [
            np.array([item for tree in trees for item in getattr(tree, name)], dtype=kind)
            for name, kind in types.items()
        ]
        return (roots, *columns)

    def log_odds(self, features: Floats) -> Floats:
        """(N,) what the trees say of (N, F) features, before it is calibrated."""
        total = np.full(len(features), self.model.base)
        if self.model.trees:
            inputs = kernel_inputs(np.asarray(features, dtype=np.float64), *self._nodes)
            _add_trees(total, *inputs)
        return total

    def probability(self, features: Floats) -> Floats:
        """(N,) calibrated probability that a label is good."""
        return np.asarray(expit(self.model.slope * self.log_odds(features) + self.model.intercept))


@dataclass(frozen=True)
class ConfidenceRule:
    """The acceptance rule of a limits file, as a verdict wants it (:class:`hoiray.filters.rules.ScoresLabels`).

    Attributes:
        model: of confidence.
        min_confidence: labels below it are refused.
        joints: model of the confidence of single joints; None where none was calibrated.
    """

    model: ConfidenceModel
    min_confidence: float
    joints: ConfidenceModel | None = None

    @classmethod
    def of_calibration(cls, calibration: Calibration, source: str) -> "ConfidenceRule":
        """Take the rule from a limits file.

        Raises:
            ConfigError: it asks for features that this version does not know.
        """
        unknown = sorted(set(calibration.confidence.features) - set(FEATURE_NAMES))
        if unknown:
            fix = "Take the version that wrote it, or calibrate anew: hoiray calibrate."
            expected, found = f"features of {', '.join(FEATURE_NAMES)}", ", ".join(unknown)
            raise ConfigError(describe(what=f"limits file {source}", expected=expected, found=found, fix=fix))
        joints = None if calibration.joints is None else calibration.joints.model
        if joints is not None:
            _require_features(joints, JOINT_FEATURE_NAMES, f"limits file {source}, joints")
        return cls(calibration.confidence, calibration.min_confidence, joints)

    def confidence_of(self, labels: pa.Table) -> npt.NDArray[np.float32]:
        """(N,) confidence of rows judged without limits; NaN where there is no prediction."""
        probability = Confidence(self.model).probability(features_of(labels, self.model.features))
        return np.where(is_answered(labels), probability, np.nan).astype(np.float32)

    def confidence_by_joint_of(self, labels: pa.Table) -> npt.NDArray[np.float32] | None:
        """(N, 21) confidence of joints, NaN where there is no prediction; None where none was calibrated."""
        if self.joints is None:
            return None
        features = joint_features_of(labels)
        probability = Confidence(self.joints).probability(features.reshape(-1, features.shape[-1]))
        by_joint = probability.reshape(features.shape[:2])
        return np.where(is_answered(labels)[:, None], by_joint, np.nan).astype(np.float32)


def _require_features(model: ConfidenceModel, names: tuple[str, ...], what: str) -> None:
    if model.features == names:
        return
    unknown = sorted(set(model.features) ^ set(names)) or ["in another order"]
    fix = "Calibrate anew with this version: hoiray calibrate."
    expected = f"the {len(names)} features of hoiray's own"
    found = f"{len(model.features)}; differing: {', '.join(unknown)}"
    raise ConfigError(describe(what=what, expected=expected, found=found, fix=fix))
