"""Which measurement is held against which limit: the filters as a table, and the paper's limits as rules.

A new filter is a function that measures and one line in :data:`FILTERS`; a limit on it then works in calibrated limits
files at once, and in a run file with a field of :class:`hoiray.config.what.PaperLimits` and a line in
:func:`paper_rules`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError, describe
from hoiray.schema.vocabularies import REJECT_REASONS

Bound: TypeAlias = Literal["min", "max", "below"]
"""min: passes at the limit or above; max: at the limit or below; below: below it only."""

BOUND_WORDS: Final[Mapping[Bound, str]] = MappingProxyType({"min": "at least", "max": "at most", "below": "below"})
"""As said before a limit."""

Family: TypeAlias = Literal["spatial", "pair", "shape"]
"""spatial: of one frame; pair: of a frame and its neighbour in the track; shape: of a frame and its whole track."""


@dataclass(frozen=True)
class Filter:
    """How a measurement is judged.

    Attributes:
        reason: word of :data:`REJECT_REASONS` for a row that fails.
        bound: on which side of the limit a row passes.
        family: what is compared; families are judged in this order.
        degree: a limit on motion is per frame, and over a gap of g frames is g ** degree as large: 1 for distances and
            angles, 2 for their squares, 0 for what is no motion.
        is_two_sided: too little of it is as bad as too much: there may be a limit on either side.
    """

    reason: str
    bound: Bound
    family: Family
    degree: int = 0
    is_two_sided: bool = False


FILTERS: Final[Mapping[str, Filter]] = MappingProxyType(
    {
        "box_iou": Filter("box_iou", "min", "spatial"),
        "reprojection_frobenius_box_sides": Filter("reprojection", "max", "spatial"),
        "reprojection_mean_box_sides": Filter("reprojection", "max", "spatial"),
        "reprojection_max_box_sides": Filter("reprojection", "max", "spatial"),
        "min_bone_length_ratio": Filter("bone_length", "min", "spatial"),
        "max_joint_angle_rad": Filter("joint_angle", "max", "spatial"),
        "spread_2d_box_sides": Filter("spread_2d", "max", "spatial"),
        "spread_3d_m": Filter("spread_3d", "max", "spatial"),
        "spread_rotation_rad": Filter("spread_rotation", "max", "spatial"),
        "motion_2d_frobenius_box_sides": Filter("motion_2d", "max", "pair", degree=1),
        "motion_2d_mean_box_sides": Filter("motion_2d", "max", "pair", degree=1),
        "motion_2d_max_box_sides": Filter("motion_2d", "max", "pair", degree=1),
        "motion_pose_geodesic_mean_square": Filter("motion_pose", "max", "pair", degree=2),
        "motion_pose_matrix_mean_square": Filter("motion_pose", "max", "pair", degree=2),
        "motion_pose_axis_angle_mean_square": Filter("motion_pose", "max", "pair", degree=2),
        "motion_pose_axis_angle_l2": Filter("motion_pose", "max", "pair", degree=1),
        "held_sample_score": Filter("held_sample", "max", "pair"),
        "shape_deviation_sigma": Filter("shape_deviation", "max", "shape"),
    }
)
"""Every filter by the measurement it judges."""

GUARDED_ONLY: Final[Mapping[str, Filter]] = MappingProxyType(
    {"palm_length_m": Filter("hand_size", "max", "spatial", is_two_sided=True)}
)
"""Filters of what is no column (:mod:`hoiray.filters.derived`): limits on it are guards."""


def filter_of(measurement: str) -> Filter:
    """Return the filter of a measurement, stored or derived."""
    return FILTERS.get(measurement) or GUARDED_ONLY[measurement]


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        measurement: key of :data:`FILTERS`, or of :data:`GUARDED_ONLY`.
        value: in the unit of the measurement's column. It is rounded to float32, as the measurement is, before the two
            are compared: a measurement that equals its limit passes (or, with ``below``, fails).
        bound: which side passes; the filter's own, or ``below`` in place of ``max``; either of a two-sided filter.
    """

    measurement: str
    value: float
    bound: Bound

    def __post_init__(self) -> None:
        """Refuse a limit on what is no filter, on its wrong side, or that is no number.

        Raises:
            ConfigError: names the limit.
        """
        what = f"limit on {self.measurement!r}"
        if self.measurement not in FILTERS and self.measurement not in GUARDED_ONLY:
            expected, found = f"a measurement that is judged ({', '.join(FILTERS)})", repr(self.measurement)
            fix = "Leave it out: it is stored, but no verdict is made of it."
            raise ConfigError(describe(what=what, expected=expected, found=found, fix=fix))
        if (self.bound == "min") != (self.filter.bound == "min") and not self.filter.is_two_sided:
            fix = "Turn the bound round: the other side of this measurement is the bad one."
            raise ConfigError(describe(what=what, expected=self.filter.bound, found=self.bound, fix=fix))
        if not math.isfinite(self.value):
            fix = "Leave the limit out (null) where nothing is to be judged."
            raise ConfigError(describe(what=what, expected="a finite number", found=str(self.value), fix=fix))

    @property
    def filter(self) -> Filter:
        """The filter it is a limit of."""
        return filter_of(self.measurement)

    @property
    def name(self) -> str:
        """What it is called among the limits of a verdict: the measurement, with its side where that has two."""
        if not self.filter.is_two_sided:
            return self.measurement
        return f"{self.measurement} {BOUND_WORDS[self.bound]}"


class ScoresLabels(Protocol):
    """A calibrated rule: confidence of labels that were judged by everything else, and the least that is accepted."""

    @property
    def min_confidence(self) -> float:
        """Labels below it are refused."""

    def confidence_of(self, labels: pa.Table) -> npt.NDArray[np.float32]:
        """(N,) confidence of rows of schema ``labels``; NaN where it is not known."""

    def confidence_by_joint_of(self, labels: pa.Table) -> npt.NDArray[np.float32] | None:
        """(N, 21) of their joints, rows of NaN where it is not known; None where none was calibrated."""


@dataclass(frozen=True)
class Rules:
    """All that a verdict depends on, besides the stored numbers.

    Attributes:
        limits: at most one a measurement, or one on either side of it where its filter has two; several readings of one
            filter may be limited at once.
        max_predecessor_gap_frames: frame numbers the frames of a pair may be apart.
        allows_successor: may a row without predecessor pass on the pair with its successor?
        neighbour_must_pass_spatial: does the pair's other frame have to pass the spatial limits?
        confidence: judges by all measurements together, behind the limits; None without a calibration.
        limits_are_guards: limits only refuse what was measured and lies beyond them, row by row: nothing stands against
            a row whose neighbour or measurement is missing, and shape is compared with the whole track, as it was for
            the labels that confidence was calibrated on.
    """

    limits: tuple[Limit, ...]
    max_predecessor_gap_frames: int = 1
    allows_successor: bool = False
    neighbour_must_pass_spatial: bool = True
    confidence: ScoresLabels | None = None
    limits_are_guards: bool = False

    def __post_init__(self) -> None:
        """Refuse two limits on one side of a measurement, and limits on what only guards can see.

        Raises:
            ConfigError: names it.
        """
        names = [limit.measurement for limit in self.limits]
        guarded = sorted(set(names) & set(GUARDED_ONLY))
        if guarded and not self.limits_are_guards:
            fix = "Leave it out: only guards, beside a calibrated confidence, are taken of what is no column."
            expected = "limits on stored measurements"
            raise ConfigError(describe(what="limits", expected=expected, found=", ".join(guarded), fix=fix))
        sides = [(limit.measurement, limit.bound == "min") for limit in self.limits]
        repeated = sorted({name for name, is_least in sides if sides.count((name, is_least)) > 1})
        if repeated:
            found, fix = f"{', '.join(repeated)} more than once", "Keep the stricter one."
            raise ConfigError(describe(what="limits", expected="one a measurement", found=found, fix=fix))

    def of(self, family: Family) -> tuple[Limit, ...]:
        """Return the limits of one family."""
        return tuple(limit for limit in self.limits if limit.filter.family == family)


REASON_INDEX: Final[Mapping[str, int]] = MappingProxyType({word: i for i, word in enumerate(REJECT_REASONS)})
"""Place of each reason in the order in which a row lists them."""


def paper_rules(limits: PaperLimits) -> Rules:
    """Translate a run's limits: null ones are left out, readings chosen, degrees become radians."""
    values = {
        "box_iou": limits.min_box_iou,
        f"reprojection_{limits.reprojection_reading}_box_sides": limits.max_reprojection_box_sides,
        "min_bone_length_ratio": limits.min_bone_length_ratio,
        "max_joint_angle_rad": _radians(limits.max_joint_angle_deg),
        f"motion_2d_{limits.motion_2d_reading}_box_sides": limits.max_motion_2d_box_sides,
        f"motion_pose_{limits.motion_pose_reading}": limits.max_motion_pose,
        "shape_deviation_sigma": limits.max_shape_deviation_sigma,
        "spread_2d_box_sides": limits.max_spread_2d_box_sides,
        "spread_3d_m": limits.max_spread_3d_m,
        "spread_rotation_rad": _radians(limits.max_spread_rotation_deg),
        "held_sample_score": limits.max_held_sample_score,
    }
    # the paper's range of a joint's angle is half open: 90 degrees do not pass
    bounds: dict[str, Bound] = {"max_joint_angle_rad": "below"}
    return Rules(
        limits=tuple(
            Limit(name, value, bounds.get(name, FILTERS[name].bound))
            for name, value in values.items()
            if value is not None
        ),
        max_predecessor_gap_frames=limits.max_predecessor_gap_frames,
        allows_successor=limits.predecessor_rule == "backward_or_forward",
        neighbour_must_pass_spatial=limits.predecessor_must_pass_spatial,
    )


def _radians(degrees: float | None) -> float | None:
    return None if degrees is None else math.radians(degrees)
