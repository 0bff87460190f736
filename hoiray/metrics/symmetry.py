"""Rotational symmetries of objects, declared, and the finite set of transforms a metric minimises over.

A symmetry is a property of an object *in the coordinates of its model*; a table belongs to one set of models. The
same object is symmetric in one published protocol and not in another, therefore a protocol names its table.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from hoiray.errors import ContractError, describe
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.geometry.transforms import compose_transforms, make_transform
from hoiray.metrics.inputs import Floats

BOP_MAX_STEP_FRACTION = 0.01
"""BOP 2019: between two discretised rotations the farthest vertex moves at most 1 % of the diameter."""

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class SymmetryAxis:
    """A line an object may be turned about.

    Attributes:
        axis: direction in object coordinates, any length but zero.
        point_m: any point on the line, metres.
        num_turns: 2 for 180 degrees, 4 for quarter turns, ...; None for a body of revolution.
    """

    axis: Vector
    point_m: Vector = (0.0, 0.0, 0.0)
    num_turns: int | None = None

    def __post_init__(self) -> None:
        """Refuse a line without direction and a turn that is no symmetry."""
        length = math.hypot(*self.axis)
        if not (math.isfinite(length) and length > 0.0):
            raise ContractError(
                describe(what="symmetry axis", expected="a direction", found=f"{self.axis}", fix="Give e.g. (0, 0, 1).")
            )
        if self.num_turns is not None and self.num_turns < 2:
            raise ContractError(
                describe(
                    what="symmetry axis",
                    expected="num_turns of 2 or more, or None for a body of revolution",
                    found=f"{self.num_turns}",
                    fix="Leave an object without symmetry out of the table.",
                )
            )


@dataclass(frozen=True, slots=True)
class ObjectSymmetry:
    """The declared symmetry of one object.

    Attributes:
        discrete: axes of finite order; their turns are composed with each other (a box has two of order 2).
        continuous: axes of revolution; as in the BOP toolkit, each of them is composed with the discrete part, but not
            with the other continuous ones (declare one axis for a bottle; a ball is not supported).
    """

    discrete: tuple[SymmetryAxis, ...] = ()
    continuous: tuple[SymmetryAxis, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an axis in the wrong list."""
        if any(axis.num_turns is None for axis in self.discrete) or any(axis.num_turns for axis in self.continuous):
            raise ContractError(
                describe(
                    what="object symmetry",
                    expected="num_turns on every discrete axis and on no continuous one",
                    found=f"{self}",
                    fix="Move the axis to the other list.",
                )
            )


NO_SYMMETRY = ObjectSymmetry()

HALF_TURN_ABOUT_Z = ObjectSymmetry(discrete=(SymmetryAxis(axis=(0.0, 0.0, 1.0), num_turns=2),))

HO3D_HALF_TURN_SYMMETRIES: Mapping[str, ObjectSymmetry] = MappingProxyType(
    {
        "006_mustard_bottle": HALF_TURN_ABOUT_Z,
        "010_potted_meat_can": HALF_TURN_ABOUT_Z,
        "021_bleach_cleanser": HALF_TURN_ABOUT_Z,
    }
)
"""Keypoint Transformer (Hampali et al., CVPR 2022) on HO-3D: {identity, 180 degrees about the model's z axis}."""


def symmetry_transforms(symmetry: ObjectSymmetry, *, max_step_fraction: float = BOP_MAX_STEP_FRACTION) -> Floats:
    """List the rigid transforms that leave an object unchanged; the identity is the first.

    A turn by ``a`` moves the farthest vertex of an object of diameter D, at most D/2 from the axis, along an arc of
    a * D / 2. So ``ceil(pi / max_step_fraction)`` equal steps move it by at most ``max_step_fraction * D`` (315 steps
    for the 1 % of the BOP challenge; Hodan et al., BOP Challenge 2020 on 6D Object Localization).

    Args:
        symmetry: the declared symmetry.
        max_step_fraction: discretisation of the continuous axes, in diameters, in (0, 1].

    Returns:
        (S, 4, 4), S >= 1. The step 0 of a continuous axis, left out by older releases of the BOP toolkit, is included.

    Raises:
        ContractError: a step that is not in (0, 1].
    """
    if not 0.0 < max_step_fraction <= 1.0:
        raise ContractError(
            describe(
                what="symmetry step",
                expected="a fraction of the diameter in (0, 1]",
                found=f"{max_step_fraction}",
                fix="Use BOP_MAX_STEP_FRACTION.",
            )
        )
    transforms = np.eye(4)[None]
    for axis in symmetry.discrete:
        assert axis.num_turns is not None  # ObjectSymmetry refuses anything else
        transforms = _compose(_turns(axis, axis.num_turns), transforms)
    if not symmetry.continuous:
        return transforms
    num_steps = math.ceil(math.pi / max_step_fraction)
    return np.concatenate([_compose(_turns(axis, num_steps), transforms) for axis in symmetry.continuous])


def _turns(axis: SymmetryAxis, num_turns: int) -> Floats:
    """Return the (num_turns, 4, 4) rotations by multiples of 2 pi / num_turns about a line."""
    angles_rad = 2.0 * np.pi / num_turns * np.arange(num_turns)
    R = axis_angle_to_matrix(angles_rad[:, None] * (np.asarray(axis.axis) / math.hypot(*axis.axis)))
    point = np.asarray(axis.point_m, dtype=np.float64)
    return np.asarray(make_transform(R, point - R @ point), dtype=np.float64)


def _compose(after: Floats, before: Floats) -> Floats:
    """Return all products of (A, 4, 4) and (B, 4, 4) as (A * B, 4, 4), ``after[0] @ before[0]`` first."""
    return np.asarray(compose_transforms(after[:, None], before[None, :]), dtype=np.float64).reshape(-1, 4, 4)
