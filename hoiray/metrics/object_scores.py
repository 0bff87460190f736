"""Object accuracy under a named protocol.

"ADD-0.1D" is printed by papers that differ in the error (ADD, ADD-S or MSSD), in the diameter (box diagonal or true
one), in the symmetric objects and in the objects averaged. A number without those four choices cannot be compared, so
they are one value here, with a name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from hoiray.errors import ConfigError, ContractError, describe
from hoiray.metrics.inputs import AnyFloats, Floats
from hoiray.metrics.object_model import aabb_diagonal_m, true_diameter_m
from hoiray.metrics.object_pose import add_m, add_s_m, is_within, mssd_m
from hoiray.metrics.summary import Summary, mean_distance, mean_rate
from hoiray.metrics.symmetry import HO3D_HALF_TURN_SYMMETRIES, NO_SYMMETRY, ObjectSymmetry, symmetry_transforms

PoseErrorName = Literal["add", "add_s", "mssd"]
DiameterName = Literal["aabb_diagonal", "true_diameter"]

HO3D_SCORED_OBJECTS = ("021_bleach_cleanser", "006_mustard_bottle", "010_potted_meat_can")
"""The evaluation objects of HO-3D v2 that also occur in training; 019_pitcher_base, a third of the frames, does not."""

AUC_LIMIT_M = 0.1
"""Where the accuracy-threshold curve of PoseCNN ends (Xiang et al., RSS 2018), the same for every object."""


@dataclass(frozen=True, slots=True)
class ObjectProtocol:
    """How object accuracy is counted.

    Attributes:
        name: what a report prints beside the number.
        error: error of all objects that are not in ``add_s_objects``.
        diameter: what the limit is a fraction of.
        diameter_fraction: a pose is correct if its error is at most this fraction of the diameter.
        averaged_objects: objects whose accuracies are averaged, unweighted; None averages all that were evaluated.
            Other objects are scored and shown, but do not enter the average.
        add_s_objects: objects scored with ADD-S whatever ``error`` says.
        symmetries: used by MSSD only; an object that is not listed has none.
        source: where the protocol is published.
    """

    name: str
    error: PoseErrorName
    diameter: DiameterName
    diameter_fraction: float = 0.1
    averaged_objects: tuple[str, ...] | None = None
    add_s_objects: frozenset[str] = frozenset()
    symmetries: Mapping[str, ObjectSymmetry] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse a limit that no pose or every pose would meet."""
        if not 0.0 < self.diameter_fraction < 1.0:
            raise ConfigError(
                describe(
                    what=f"object protocol {self.name}, diameter_fraction",
                    expected="a fraction in (0, 1)",
                    found=f"{self.diameter_fraction}",
                    fix="The field uses 0.1.",
                )
            )

    def error_of(self, object_name: str) -> PoseErrorName:
        """Return the error this protocol scores an object with."""
        return "add_s" if object_name in self.add_s_objects else self.error


OBJECT_PROTOCOLS: Mapping[str, ObjectProtocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            ObjectProtocol(
                name="ho3d-add-aabb",
                error="add",
                diameter="aabb_diagonal",
                averaged_objects=HO3D_SCORED_OBJECTS,
                source="Liu et al., CVPR 2021 (Semi-Hand-Object), the released evaluation",
            ),
            ObjectProtocol(
                name="ho3d-add-true-diameter",
                error="add",
                diameter="true_diameter",
                averaged_objects=HO3D_SCORED_OBJECTS,
                source="the same objects with the diameter of Hinterstoisser et al., ACCV 2012",
            ),
            ObjectProtocol(
                name="ho3d-mssd-half-turn",
                error="mssd",
                diameter="true_diameter",
                averaged_objects=HO3D_SCORED_OBJECTS,
                symmetries=dict(HO3D_HALF_TURN_SYMMETRIES),  # a mapping proxy could not be pickled
                source="error and symmetries of Hampali et al., CVPR 2022 (Keypoint Transformer)",
            ),
            ObjectProtocol(
                name="dexycb-add-symmetric-add-s",
                error="add",
                diameter="aabb_diagonal",
                add_s_objects=frozenset({"024_bowl", "036_wood_block", "052_extra_large_clamp", "061_foam_brick"}),
                source="Lin et al., CVPR 2023 (HFL-Net) on DexYCB; PoseCNN's 051_large_clamp is not listed",
            ),
            ObjectProtocol(
                name="add-s-aabb",
                error="add_s",
                diameter="aabb_diagonal",
                source="ADD-S for every object, Qi et al., CVPR 2024 (HOISDF), which uses root-relative translations",
            ),
        )
    }
)
"""Published ways to count, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectFrames:
    """All evaluated frames of one object.

    Attributes:
        points_m: (P, 3) model points, object coordinates, metres.
        T_predicted: (N, 4, 4) object to camera; NaN where the pose could not be estimated.
        T_truth: (N, 4, 4) object to camera.
    """

    points_m: AnyFloats
    T_predicted: AnyFloats
    T_truth: AnyFloats


@dataclass(frozen=True, slots=True, eq=False)
class ObjectScore:
    """The result for one object.

    Attributes:
        error_name: which error was used.
        diameter_m: the diameter the limit is a fraction of.
        limit_m: largest correct error.
        error_m: (N,) metres, NaN where the estimate failed.
        is_correct: (N,), False where the estimate failed.
    """

    error_name: PoseErrorName
    diameter_m: float
    limit_m: float
    error_m: Floats
    is_correct: npt.NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """Fraction of **all** frames with a correct pose."""
        return float(self.is_correct.mean())

    def mean_error_m(self) -> Summary:
        """Average the error over the frames with an estimate, and count the others."""
        return mean_distance(self.error_m)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectScores:
    """The result for all objects under one protocol; per-frame values are kept in ``per_object``."""

    protocol: ObjectProtocol
    per_object: Mapping[str, ObjectScore]

    @property
    def averaged_objects(self) -> tuple[str, ...]:
        """The objects that enter :attr:`mean_accuracy`."""
        return self.protocol.averaged_objects or tuple(self.per_object)

    @property
    def mean_accuracy(self) -> float:
        """Unweighted mean over objects: an object with 890 frames counts as much as one with 3430."""
        return float(np.mean([self.per_object[name].accuracy for name in self.averaged_objects]))


def object_scores(frames: Mapping[str, ObjectFrames], protocol: ObjectProtocol) -> ObjectScores:
    """Score the poses of several objects.

    Args:
        frames: object name -> its frames; a failed estimate is a NaN pose, not a missing row.
        protocol: one of :data:`OBJECT_PROTOCOLS`, or a variant by ``dataclasses.replace``.

    Returns:
        Errors and verdicts of every frame, accuracies, and their unweighted mean.

    Raises:
        ContractError: no objects, an object without frames, or an object of the protocol's average that is not given.
    """
    absent = sorted(set(protocol.averaged_objects or ()) - set(frames))
    if absent or not frames:
        raise ContractError(
            describe(
                what=f"object scores under {protocol.name}",
                expected=f"frames of {', '.join(protocol.averaged_objects or ('one object or more',))}",
                found=f"frames of {', '.join(sorted(frames)) or 'no object'}",
                fix="Add the objects, or name the averaged ones with dataclasses.replace: a mean over others differs.",
            )
        )
    return ObjectScores(protocol, {name: _score(name, frames[name], protocol) for name in frames})


def accuracy_auc_per_frame(error_m: AnyFloats) -> Floats:
    """Measure each frame's contribution to the area under the accuracy-threshold curve (Xiang et al., RSS 2018).

    The curve is the fraction of frames with an error of at most the threshold, from 0 to :data:`AUC_LIMIT_M`. It is a
    step function, so that its area is exactly the mean of ``max(0, 1 - error / limit)``. The published script joins its
    steps by the upper corners instead, which gives up to one frame's share more.

    Args:
        error_m: (N,) metres, NaN where the estimate failed.

    Returns:
        (N,) values of [0, 1], 0 where the estimate failed.
    """
    errors = np.asarray(error_m, dtype=np.float64)
    areas: Floats = np.clip(1.0 - errors / AUC_LIMIT_M, 0.0, 1.0)
    return np.where(np.isnan(areas), 0.0, areas)


def official_object_table(scores: ObjectScores) -> str:
    """Write accuracies in per cent, one object a line, then the average, under the name of the protocol."""
    lines = [f"{scores.protocol.name} (at most {scores.protocol.diameter_fraction:g} x {scores.protocol.diameter})"]
    for name, score in scores.per_object.items():
        failed = mean_rate(np.where(np.isnan(score.error_m), np.nan, score.is_correct)).num_missing
        suffix = "" if name in scores.averaged_objects else ", not averaged"
        lines.append(
            f"{name}: {100.0 * score.accuracy:.1f} % of {score.error_m.size} frames"
            f" ({score.error_name}, limit {1000.0 * score.limit_m:.1f} mm, {failed} without estimate{suffix})"
        )
    lines.append(f"mean over objects: {100.0 * scores.mean_accuracy:.1f} %")
    return "\n".join(lines) + "\n"


def _score(name: str, frames: ObjectFrames, protocol: ObjectProtocol) -> ObjectScore:
    if not len(frames.T_truth):
        raise ContractError(
            describe(
                what=f"object {name}",
                expected="one frame or more",
                found="none",
                fix="Leave an object that was not seen out of the mapping.",
            )
        )
    error_name = protocol.error_of(name)
    match error_name:
        case "add":
            error_m = add_m(frames.points_m, frames.T_predicted, frames.T_truth)
        case "add_s":
            error_m = add_s_m(frames.points_m, frames.T_predicted, frames.T_truth)
        case "mssd":
            symmetries = symmetry_transforms(protocol.symmetries.get(name, NO_SYMMETRY))
            error_m = mssd_m(frames.points_m, frames.T_predicted, frames.T_truth, symmetries)
    diameter = aabb_diagonal_m if protocol.diameter == "aabb_diagonal" else true_diameter_m
    diameter_m = diameter(frames.points_m)
    limit_m = protocol.diameter_fraction * diameter_m
    return ObjectScore(error_name, diameter_m, limit_m, error_m, is_within(error_m, limit_m))
