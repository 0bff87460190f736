"""Guards: hard limits beside confidence, for faults that confidence never met.

Confidence is learnt from a teacher's ordinary mistakes. A label that is wrong in a way the calibration never saw, such
as a hand of the wrong size, can look like any other to it. A guard refuses a label for one stored measurement that lies
where right labels do not; what was not measured is within it.

Guards are fixed before the proof: by hand, or by what **right labels of the fitting units** measure. The proof is of
other units and of the whole rule, "confidence at its limit or above, and within all guards", so it holds whatever the
guards are: in :mod:`hoiray.trust.guarantee` a label beyond a guard is one that no limit on confidence accepts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from hoiray.filters.rules import Bound, Limit, filter_of
from hoiray.filters.verdict import fails
from hoiray.schema.calibration import CalibrationGuards, GuardLimit
from hoiray.trust.features import FEATURE_NAMES

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

KEPT_SHARE: Final = 0.97
"""Of the right labels of the fitting units, those that loose guards let pass."""

LOOSE: Final = (
    "box_iou",
    "reprojection_frobenius_box_sides",
    "min_bone_length_ratio",
    "max_joint_angle_rad",
    "motion_2d_frobenius_box_sides",
    "motion_pose_geodesic_mean_square",
    "held_sample_score",
    "palm_length_m",
)
"""What loose guards limit: one reading of every filter that sees a fault of geometry or motion, and the hand's size, to
either side. Views that disagree are the business of confidence."""

_NUM_HALVINGS: Final = 30

Chosen = Literal["none", "loose", "paper", "file"]


@dataclass(frozen=True)
class GuardChoice:
    """Which guards are wished for.

    Attributes:
        chosen: none, loose (set by right labels), or limits that were given: the paper's, or those of a file.
        limits: the given ones.
        kept_share: of loose ones, see :data:`KEPT_SHARE`.
    """

    chosen: Chosen = "none"
    limits: tuple[Limit, ...] = ()
    kept_share: float = KEPT_SHARE

    def fixed(self, features: Floats, is_good: Bools) -> tuple[Limit, ...]:
        """Fix the guards.

        Args:
            features: (N, F) of labels of the fitting units.
            is_good: (N,).
        """
        return loose_guards(features[is_good], self.kept_share) if self.chosen == "loose" else self.limits

    def stored(self, limits: Sequence[Limit]) -> CalibrationGuards | None:
        """Return fixed guards as a limits file keeps them; None without any."""
        if self.chosen == "none" or not limits:
            return None
        return CalibrationGuards(
            chosen=self.chosen,
            kept_share=self.kept_share if self.chosen == "loose" else None,
            limits=tuple(GuardLimit(measurement=one.measurement, bound=one.bound, limit=one.value) for one in limits),
        )


NO_GUARDS: Final = GuardChoice()


def limits_of(guards: CalibrationGuards | None) -> tuple[Limit, ...]:
    """Return the guards of a limits file.

    Raises:
        ConfigError: it limits what is no filter, or on its wrong side.
    """
    return () if guards is None else tuple(Limit(one.measurement, one.limit, one.bound) for one in guards.limits)


def loose_guards(right: Floats, kept_share: float = KEPT_SHARE) -> tuple[Limit, ...]:
    """Set guards as tight as so many of the right labels allow, all of them at the same quantile.

    Args:
        right: (N, F) features of right labels, NaN where not known.
        kept_share: of them, that pass all guards together.

    Returns:
        Limits at values that right labels have; none on what is nowhere known.
    """
    known = {name: values[~np.isnan(values)] for name in LOOSE for values in (right[:, FEATURE_NAMES.index(name)],)}
    low, high = 0.0, 1.0 - kept_share
    if guards_pass(right, _at_quantile(known, high)).mean() >= kept_share:
        return _at_quantile(known, high)
    for _ in range(_NUM_HALVINGS):
        middle = 0.5 * (low + high)
        keeps = guards_pass(right, _at_quantile(known, middle)).mean() >= kept_share
        low, high = (middle, high) if keeps else (low, middle)
    return _at_quantile(known, low)


def guards_pass(features: Floats, limits: Sequence[Limit]) -> Bools:
    """(N,) whether labels lie within all guards."""
    inside = np.ones(len(features), dtype=np.bool_)
    for limit in limits:
        inside &= ~guard_fails(features, limit)
    return inside


def guard_fails(features: Floats, limit: Limit) -> Bools:
    """(N,) whether labels lie beyond a guard, compared as a verdict compares."""
    return fails(features[:, FEATURE_NAMES.index(limit.measurement)].astype(np.float32), limit)


def _at_quantile(known: dict[str, Floats], share: float) -> tuple[Limit, ...]:
    """Limit each side of a measurement such that this share of its known values, or a little less, lies beyond."""
    limits = []
    for name, values in known.items():
        one = filter_of(name)
        bounds: tuple[Bound, ...] = ("min", "max") if one.is_two_sided else (one.bound,)
        for bound in bounds if values.size else ():
            # a value that a right label has, which passes
            sign = 1.0 if bound == "min" else -1.0
            value = sign * float(np.quantile(sign * values, share, method="lower"))
            limits.append(Limit(name, value, bound))
    return tuple(limits)
