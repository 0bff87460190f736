"""Object pose scores of an evaluation, under every protocol asked for, one row a hand with an object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.sample import AnnotatedDataset, FloatArray
from hoiray.errors import ConfigError, describe
from hoiray.evaluation.truth import Truths
from hoiray.metrics.object_model import aabb_diagonal_m, true_diameter_m
from hoiray.metrics.object_scores import (
    OBJECT_PROTOCOLS,
    ObjectFrames,
    ObjectProtocol,
    ObjectScore,
    accuracy_auc_per_frame,
    object_scores,
)
from hoiray.metrics.summary import MM_PER_M
from hoiray.metrics.symmetry import ObjectSymmetry

Floats = npt.NDArray[np.float64]

DEFAULT_PROTOCOLS: Final = ("ho3d-add-aabb", "ho3d-add-true-diameter", "ho3d-mssd-half-turn", "add-s-aabb")
"""Both diameters, with and without symmetry: a single number would hide which one it is."""


@dataclass(frozen=True, eq=False)
class ObjectResult:
    """What one protocol says.

    Attributes:
        protocol: with the objects and symmetries it was used with.
        per_object: by name.
        error_mm: (N,) one row a hand; NaN where the estimate failed or there is no object to compare with.
        is_correct: (N,) 1 or 0; NaN where there is no object to compare with.
        auc: (N,) each hand's share of the area under the accuracy-threshold curve, 0 where the estimate failed; NaN
            where there is no object to compare with.
    """

    protocol: ObjectProtocol
    per_object: Mapping[str, ObjectScore]
    error_mm: Floats
    is_correct: Floats
    auc: Floats

    @property
    def averaged_objects(self) -> tuple[str, ...]:
        """The objects that enter the mean."""
        return self.protocol.averaged_objects or tuple(self.per_object)


@dataclass(frozen=True, eq=False)
class ScoredObjects:
    """All protocols, and what they were computed from.

    Attributes:
        results: one a protocol.
        names: (N,) each hand's object, empty where none is scored.
        diameters_m: object to (box diagonal, true diameter).
        without_model: objects that are annotated but have no model points in the data set: they cannot be scored.
    """

    results: tuple[ObjectResult, ...]
    names: tuple[str, ...]
    diameters_m: Mapping[str, tuple[float, float]]
    without_model: tuple[str, ...]


def find_protocols(
    names: Sequence[str], objects: Sequence[str], symmetries: Mapping[str, ObjectSymmetry]
) -> tuple[ObjectProtocol, ...]:
    """Return protocols by name, made fit for a set of objects.

    A protocol that averages objects this set has not is used with all objects of the set, under a name that says so. A
    protocol with symmetries takes the declared ones of the set's objects, where there are any.

    Args:
        names: keys of `hoiray.metrics.object_scores.OBJECT_PROTOCOLS`.
        objects: of the set.
        symmetries: declared by the set, by object; empty where it declares none.

    Raises:
        ConfigError: a name is unknown.
    """
    fitted = []
    for name in names:
        if name not in OBJECT_PROTOCOLS:
            expected = f"one of {', '.join(OBJECT_PROTOCOLS)}"
            fix = "Choose a protocol by its name."
            raise ConfigError(describe(what="--protocol", expected=expected, found=repr(name), fix=fix))
        protocol = OBJECT_PROTOCOLS[name]
        if protocol.averaged_objects and not set(protocol.averaged_objects) <= set(objects):
            title = f"{name}, over all objects of this set"
            protocol = replace(protocol, name=title, averaged_objects=None)
        if protocol.error == "mssd" and symmetries:
            title = protocol.name.replace("half-turn", "declared-symmetries")
            protocol = replace(protocol, name=title, symmetries=dict(symmetries))
        fitted.append(protocol)
    return tuple(fitted)


def score_objects(
    T_predicted: FloatArray | None,
    truths: Truths,
    dataset: AnnotatedDataset,
    protocol_names: Sequence[str],
    symmetries: Mapping[str, ObjectSymmetry],
) -> ScoredObjects | None:
    """Score predicted object poses.

    Args:
        T_predicted: (N, 4, 4), NaN where the estimate failed, one row a hand; None: the predictor knows no objects.
        truths: the hands with their objects.
        dataset: read for the objects' models.
        protocol_names: see :func:`find_protocols`.
        symmetries: see :func:`find_protocols`.

    Returns:
        None where there is nothing to score: no predictions, or no object with a pose and a model.
    """
    if T_predicted is None:
        return None
    T_truth = np.stack([hand.T_cam_obj for hand in truths.hands])
    has_pose = np.isfinite(T_truth).all(axis=(1, 2))
    annotated = sorted({hand.object_name for hand in truths.hands if hand.object_name is not None})
    models = {name: dataset.object_model(name) for name in annotated}
    points = {name: model.points for name, model in models.items() if model is not None}
    names = tuple(
        hand.object_name if known and hand.object_name in points else ""
        for hand, known in zip(truths.hands, np.atleast_1d(has_pose), strict=True)
    )
    frames = {
        name: ObjectFrames(points[name], np.asarray(T_predicted)[rows], T_truth[rows])
        for name in points
        if (rows := np.flatnonzero(np.array(names) == name)).size
    }
    if not frames:
        return None
    protocols = find_protocols(protocol_names, tuple(frames), symmetries)
    results = tuple(_result(frames, protocol, names) for protocol in protocols)
    diameters = {name: (aabb_diagonal_m(points[name]), true_diameter_m(points[name])) for name in frames}
    return ScoredObjects(results, names, diameters, tuple(name for name in annotated if name not in points))


def _result(frames: Mapping[str, ObjectFrames], protocol: ObjectProtocol, names: Sequence[str]) -> ObjectResult:
    scores = object_scores(frames, protocol)
    error_mm, is_correct, auc = (np.full(len(names), np.nan) for _ in range(3))
    for name, score in scores.per_object.items():
        rows = np.flatnonzero(np.array(names) == name)
        error_mm[rows], is_correct[rows] = score.error_m * MM_PER_M, score.is_correct
        auc[rows] = accuracy_auc_per_frame(score.error_m)
    return ObjectResult(protocol, scores.per_object, error_mm, is_correct, auc)
