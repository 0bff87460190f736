"""What a format declares about its files, and what a check says where the files look otherwise."""

from dataclasses import dataclass
from typing import Literal

from hoiray.errors import ContractError, describe
from hoiray.hand.joints import JointOrder

Axes = Literal["opencv", "opengl"]


@dataclass(frozen=True)
class Conventions:
    """What a format declares about its files, before conversion.

    Attributes:
        joint_order: of 3D joints.
        axes: of 3D joints, camera frame.
        orientation_axes: of MANO's global orientation.
        flat_hand_mean: whether the stored pose is absolute (True) or relative to the mean; None without poses.
        tip_set: whose vertices the tips are; None where they are none.
        unit: of 3D joints.
        joints_are_regressed: the chain's joints are MANO's regressor applied to the *posed* vertices (FreiHAND), not
            the joints of the kinematic chain. In closed hands the two differ by 10 mm.
        mano_transl_is_stored: False where the reader itself derives the translation from the joints.
    """

    joint_order: JointOrder
    axes: Axes
    orientation_axes: Axes
    flat_hand_mean: bool | None
    tip_set: str | None
    unit: Literal["metres", "millimetres"] = "metres"
    joints_are_regressed: bool = False
    mano_transl_is_stored: bool = True


@dataclass(frozen=True)
class Problem:
    """What a check found.

    Attributes:
        subject: what was measured: `units`, `axes`, `joint order`, ...
        expected: what the format declares, with the limit.
        measured: the number, with its unit.
        looks_like: what the files look like instead.
    """

    subject: str
    expected: str
    measured: str
    looks_like: str

    def __str__(self) -> str:
        return f"{self.subject}: expected {self.expected}, found {self.measured}: looks like {self.looks_like}"


def refuse(problem: Problem | None, *, name: str) -> None:
    """Raise where there is a problem.

    Args:
        problem: what a check returned.
        name: the data set, with its place.

    Raises:
        ContractError: there is one.
    """
    if problem is not None:
        found = f"{problem.measured}: looks like {problem.looks_like}"
        fix = "Nothing was read: check which release, format and convention the files are of."
        raise ContractError(
            describe(what=f"{name}, {problem.subject}", expected=problem.expected, found=found, fix=fix)
        )
