"""How measurements are shown to people: in words, in degrees and millimetres, beside their limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.filters.rules import BOUND_WORDS, Bound, Limit, Rules
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.tables import LABELS

TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "box_iou": "Mesh fills its box (IoU)",
        "reprojection_frobenius_box_sides": "3D joints off the 2D joints",
        "reprojection_mean_box_sides": "3D joints off the 2D joints, mean",
        "reprojection_max_box_sides": "3D joints off the 2D joints, worst joint",
        "min_bone_length_ratio": "Shortest bone over the palm",
        "max_joint_angle_rad": "Largest bend of a joint",
        "spread_2d_box_sides": "Views disagree in 2D",
        "spread_3d_m": "Views disagree in 3D",
        "spread_rotation_rad": "Views disagree in rotation",
        "crop_change": "Change of the image since the frame before",
        "motion_2d_frobenius_box_sides": "Motion in the image since the frame before",
        "motion_2d_mean_box_sides": "Motion in the image, mean over joints",
        "motion_2d_max_box_sides": "Motion in the image, fastest joint",
        "motion_pose_geodesic_mean_square": "Change of the pose (angles)",
        "motion_pose_matrix_mean_square": "Change of the pose (matrices)",
        "motion_pose_axis_angle_mean_square": "Change of the pose (axis-angle)",
        "motion_pose_axis_angle_l2": "Change of the pose (axis-angle, norm)",
        "held_sample_score": "Pose held while the image moves",
        "shape_deviation_sigma": "Shape unlike its track's",
        "shape_sigma": "Spread of the shape in the track",
        "confidence": "Calibrated confidence",
    }
)
"""Every measurement, and the confidence made of all of them, in words."""

DEGREES: Final = "\u00b0"

_SHOWN_UNITS: Final[Mapping[str, tuple[str, float, int]]] = MappingProxyType(
    {
        "m": ("mm", 1000.0, 1),
        "rad": (DEGREES, 180.0 / math.pi, 1),
        "rad^2": ("rad\u00b2", 1.0, 4),
        "box sides": ("box sides", 1.0, 3),
        "1": ("", 1.0, 3),
    }
)
"""Unit of a column to the unit shown, the factor, and decimals."""


_UNIT_OF: Final[Mapping[str, str]] = MappingProxyType({"shape_deviation_sigma": "\u03c3"})


@dataclass(frozen=True, slots=True)
class Measure:
    """A measurement as it is shown.

    Attributes:
        name: of its column.
        title: in words.
        unit: shown; empty for a pure number.
        factor: from the column's unit to the shown one.
        decimals: shown.
        is_drawn: over time, too.
        limit: in the shown unit; None where it is not judged.
        bound: which side of the limit passes; None without limit.
        reason: the reason of a row that fails; None without limit.
    """

    name: str
    title: str
    unit: str
    factor: float
    decimals: int
    is_drawn: bool = False
    limit: float | None = None
    bound: Bound | None = None
    reason: str | None = None

    def shown(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return values in the shown unit."""
        return np.asarray(values, dtype=np.float64) * self.factor

    def text(self, value: float) -> str:
        """Write one value in the shown unit."""
        if not math.isfinite(value):
            return "not measured"
        number = f"{value:.{self.decimals}f}".replace("-", "\u2212")
        return number if not self.unit else f"{number}{'' if self.unit == DEGREES else ' '}{self.unit}"

    def short_text(self) -> str:
        """Write the limit's number without idle zeros: `40 mm`."""
        if self.limit is None:
            return ""
        number = f"{self.limit:.4g}"
        return number if not self.unit else f"{number}{'' if self.unit == DEGREES else ' '}{self.unit}"

    def limit_text(self) -> str:
        """Write the limit: `at most 40 mm`."""
        if self.limit is None or self.bound is None:
            return "no limit"
        return f"{BOUND_WORDS[self.bound]} {self.short_text()}"


FIRST_LOOK: Final = (
    "box_iou", "reprojection_frobenius_box_sides", "spread_3d_m", "motion_2d_frobenius_box_sides",
    "motion_pose_geodesic_mean_square",
)  # fmt: skip
"""What is drawn over time where no measurement has a limit of its own."""


def measures_of(rules: Rules | None, *, has_confidence: bool) -> tuple[Measure, ...]:
    """Return every measurement, those with a limit first; without rules none has one.

    Args:
        rules: the limits; None where they are not known.
        has_confidence: there is a calibrated confidence, which is shown before all others.
    """
    limits: dict[str, Limit] = {} if rules is None else {limit.measurement: limit for limit in rules.limits}
    names = [name for name in MEASUREMENT_NAMES if name in limits]
    names += [name for name in MEASUREMENT_NAMES if name not in limits]
    measures = [_measure(name, limits.get(name), is_drawn=name in (limits or FIRST_LOOK)) for name in names]
    return (_confidence(rules), *measures) if has_confidence else tuple(measures)


def _confidence(rules: Rules | None) -> Measure:
    whole = Measure("confidence", TITLES["confidence"], "", 1.0, 3, is_drawn=True)
    if rules is None or rules.confidence is None:
        return whole
    limit = float(np.float32(rules.confidence.min_confidence))
    return replace(whole, limit=limit, bound="min", reason="confidence")


def _measure(name: str, limit: Limit | None, *, is_drawn: bool) -> Measure:
    unit, factor, decimals = _SHOWN_UNITS[LABELS[name].unit]
    whole = Measure(name, TITLES[name], _UNIT_OF.get(name, unit), factor, decimals, is_drawn)
    if limit is None:
        return whole
    # compared as the verdict compares: in float32
    value = float(np.float32(limit.value)) * factor
    return replace(whole, limit=value, bound=limit.bound, reason=limit.filter.reason)
