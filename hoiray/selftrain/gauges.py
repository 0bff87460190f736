"""What happened to the labels between two rounds, told from the stored rows alone.

A student that is worse than it looks agrees with its teacher's labels, mistakes included: it finds its labels smoother
and its boxes fuller, accepts more, and is no better on anything else. The gauges show the signs: how many labels came
and went (churn), how far labels moved that were trained on beside those that were not (a student that only recites
moves the former much less), whether more is accepted, and whether what is accepted became less diverse. None of them
proves anything by itself; the audit does. They say where to look when it shows no gain.

Rows are laid side by side by video, frame and hand; both rounds must have labelled the same boxes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.errors import ContractError, describe
from hoiray.geometry.rotations import axis_angle_to_matrix, mirror_axis_angle
from hoiray.hand.joints import WRIST
from hoiray.io.json_values import nan_to_none
from hoiray.metrics.pose import root_aligned_mpjpe_m
from hoiray.metrics.summary import MM_PER_M
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

KEY: Final = ("video_id", "frame_index", "hand_index")

RECITES_BELOW: Final = 0.5
"""Labels that were trained on move less than half as far as the others: the student has learnt them by heart, or they
were right. Only the audit can tell which."""

POSE_NUMBERS: Final = 45


@dataclass(frozen=True)
class Diversity:
    """How different poses are from each other.

    Attributes:
        num_rows: poses.
        spread_deg: root of the mean squared distance of a finger joint's angles to their mean, in degrees.
        effective_dimensions: of the 45 numbers of the pose: exponential of the entropy of the principal components'
            shares; 1 where all poses lie on a line.
        orientation_spread: 0 where all hands look the same way, 1 where they look everywhere: 1 - |mean R| / sqrt(3).
    """

    num_rows: int
    spread_deg: float
    effective_dimensions: float
    orientation_spread: float


@dataclass
class PoseMoments:
    """Sums from which the diversity of any number of poses follows; memory does not grow with them."""

    count: int = 0
    total: Floats = field(default_factory=lambda: np.zeros(POSE_NUMBERS))
    products: Floats = field(default_factory=lambda: np.zeros((POSE_NUMBERS, POSE_NUMBERS)))
    rotations: Floats = field(default_factory=lambda: np.zeros((3, 3)))

    def add(self, hand_pose: Floats, global_orient: Floats) -> None:
        """Add poses.

        Args:
            hand_pose: (N, 45) axis-angle, radians; left hands' as those of the mirrored right hand.
            global_orient: (N, 3) axis-angle, radians.
        """
        self.count += len(hand_pose)
        self.total += hand_pose.sum(axis=0)
        self.products += hand_pose.T @ hand_pose
        self.rotations += axis_angle_to_matrix(global_orient).sum(axis=0)

    def diversity(self) -> Diversity:
        """Measure what was added; NaN of fewer than two poses."""
        if self.count < 2:
            return Diversity(self.count, float("nan"), float("nan"), float("nan"))
        mean = self.total / self.count
        covariance = self.products / self.count - np.outer(mean, mean)
        variances = np.clip(np.linalg.eigvalsh(covariance), 0.0, None)
        whole = float(variances.sum())
        spread = np.rad2deg(np.sqrt(whole * 3 / POSE_NUMBERS))
        shares = variances[variances > 0.0] / whole if whole else np.ones(1)
        dimensions = float(np.exp(-(shares * np.log(shares)).sum()))
        concentration = float(np.linalg.norm(self.rotations / self.count)) / np.sqrt(3.0)
        return Diversity(self.count, float(spread), dimensions, float(1.0 - concentration))


@dataclass(frozen=True)
class Movement:
    """How far labels moved from one round to the next, means over rows.

    Attributes:
        num_rows: rows with an answer in both rounds.
        joints_3d_mm: of the 21 joints about the wrist.
        joints_2d_box_sides: of the 2D joints, in sides of the hand box.
    """

    num_rows: int
    joints_3d_mm: float
    joints_2d_box_sides: float


@dataclass(frozen=True)
class Gauges:
    """The signs between two rounds.

    Attributes:
        num_rows: hands labelled in both rounds.
        num_accepted_before, num_accepted: accepted in the round before and in this one.
        num_kept: accepted in both.
        churn: share of the labels accepted in either round that are not in both; NaN where there is none.
        acceptance_before, acceptance: accepted over all.
        moved_accepted, moved_refused: movement of the rows the round before accepted, which the student was trained
            on, and of those it refused.
        recital: ratio of the two movements in 3D; small where the student repeats its labels.
        diversity_before, diversity: of the accepted poses of each round.
        diversity_of_all: of every answered pose of this round.
    """

    num_rows: int
    num_accepted_before: int
    num_accepted: int
    num_kept: int
    churn: float
    acceptance_before: float
    acceptance: float
    moved_accepted: Movement
    moved_refused: Movement
    recital: float
    diversity_before: Diversity
    diversity: Diversity
    diversity_of_all: Diversity

    def warnings(self) -> list[str]:
        """Say in words which signs are there."""
        found = []
        if self.acceptance > self.acceptance_before:
            more = self.acceptance / self.acceptance_before if self.acceptance_before else float("inf")
            found.append(f"the student accepts {more:.2f} times as many of the same hands as its teacher did")
        if self.recital < RECITES_BELOW:
            found.append(
                f"labels that were trained on moved {self.recital:.2f} times as far as the others: the student repeats"
                " them, right or wrong"
            )
        if self.diversity.effective_dimensions < 0.8 * self.diversity_before.effective_dimensions:
            found.append("accepted poses became less diverse")
        return found

    def document(self) -> dict[str, Any]:
        """As JSON takes it; NaN becomes null."""
        return dict(nan_to_none(asdict(self)))


@dataclass
class _Moves:
    """Sums of movements."""

    count: int = 0
    joints_3d_mm: float = 0.0
    joints_2d: float = 0.0

    def add(self, off_3d_mm: Floats, off_2d: Floats) -> None:
        self.count += len(off_3d_mm)
        self.joints_3d_mm += float(off_3d_mm.sum())
        self.joints_2d += float(off_2d.sum())

    def movement(self) -> Movement:
        def mean(total: float) -> float:
            return total / self.count if self.count else float("nan")

        return Movement(self.count, mean(self.joints_3d_mm), mean(self.joints_2d))


def compare_rounds(pairs: Iterable[tuple[pa.Table, pa.Table]]) -> Gauges:
    """Compare the labels of two rounds.

    Args:
        pairs: tables of schema ``labels`` of the same part of the videos, before and after. One pair is in memory.

    Raises:
        ContractError: the rounds have no hand in common.
    """
    counts = dict.fromkeys(("rows", "before", "after", "kept"), 0)
    moves = {True: _Moves(), False: _Moves()}
    poses = {"before": PoseMoments(), "after": PoseMoments(), "all": PoseMoments()}
    for before, after in pairs:
        _add_pair(*_side_by_side(before, after), counts, moves, poses)
    if not counts["rows"]:
        fix = "Label the same videos and boxes in every round."
        raise ContractError(
            describe(what="labels of two rounds", expected="hands in both", found="none in common", fix=fix)
        )
    accepted, refused = moves[True].movement(), moves[False].movement()
    either = counts["before"] + counts["after"] - counts["kept"]
    return Gauges(
        num_rows=counts["rows"],
        num_accepted_before=counts["before"],
        num_accepted=counts["after"],
        num_kept=counts["kept"],
        churn=1.0 - counts["kept"] / either if either else float("nan"),
        acceptance_before=counts["before"] / counts["rows"],
        acceptance=counts["after"] / counts["rows"],
        moved_accepted=accepted,
        moved_refused=refused,
        recital=accepted.joints_3d_mm / refused.joints_3d_mm if refused.joints_3d_mm else float("nan"),
        diversity_before=poses["before"].diversity(),
        diversity=poses["after"].diversity(),
        diversity_of_all=poses["all"].diversity(),
    )


def _side_by_side(before: pa.Table, after: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Keep the rows both have, in one order."""
    places = [
        {key: row for row, key in enumerate(zip(*(table[name].to_pylist() for name in KEY), strict=True))}
        for table in (before, after)
    ]
    shared = sorted(places[0].keys() & places[1].keys())
    first, second = (pa.array([place[key] for key in shared], pa.int64()) for place in places)
    return before.take(first), after.take(second)


def _add_pair(
    before: pa.Table,
    after: pa.Table,
    counts: dict[str, int],
    moves: Mapping[bool, _Moves],
    poses: Mapping[str, PoseMoments],
) -> None:
    if not before.num_rows:
        return
    was_accepted = np.asarray(before["accepted"].to_numpy(zero_copy_only=False), dtype=bool)
    is_accepted = np.asarray(after["accepted"].to_numpy(zero_copy_only=False), dtype=bool)
    counts["rows"] += len(is_accepted)
    counts["before"] += int(was_accepted.sum())
    counts["after"] += int(is_accepted.sum())
    counts["kept"] += int((was_accepted & is_accepted).sum())
    off_3d_mm, off_2d = _moved(before, after)
    is_known = np.isfinite(off_3d_mm) & np.isfinite(off_2d)
    for is_of_accepted, sums in moves.items():
        chosen = is_known & (was_accepted == is_of_accepted)
        sums.add(off_3d_mm[chosen], off_2d[chosen])
    before_poses, after_poses = _right_hand_poses(before), _right_hand_poses(after)
    everything = np.ones_like(is_accepted)
    for found, name, chosen in (
        (before_poses, "before", was_accepted), (after_poses, "after", is_accepted), (after_poses, "all", everything)
    ):  # fmt: skip
        pose, orient = found
        kept = chosen & np.isfinite(pose).all(axis=1) & np.isfinite(orient).all(axis=1)
        poses[name].add(pose[kept], orient[kept])


def _moved(before: pa.Table, after: pa.Table) -> tuple[Floats, Floats]:
    """Return (N,) distances in mm about the wrist and in box sides; NaN where a round has no answer."""
    joints = [unpack_column(table, LABELS["joints_3d"]).astype(np.float64) for table in (before, after)]
    pixels = [unpack_column(table, LABELS["joints_2d"]).astype(np.float64) for table in (before, after)]
    box = unpack_column(before, LABELS["bbox_xyxy"]).astype(np.float64).reshape(-1, 2, 2)
    side_px = np.maximum(np.ptp(box, axis=1).max(axis=1), 1.0)
    off_3d = root_aligned_mpjpe_m(joints[0], joints[1], root_index=WRIST) * MM_PER_M
    off_2d = np.linalg.norm(pixels[0] - pixels[1], axis=-1).mean(axis=-1) / side_px
    return np.asarray(off_3d), np.asarray(off_2d)


def _right_hand_poses(table: pa.Table) -> tuple[Floats, Floats]:
    """Return (N, 45) and (N, 3); a left hand's are those of the right hand in the mirror."""
    is_right = np.asarray(table["is_right"].to_numpy(zero_copy_only=False), dtype=bool)
    found = []
    for name in ("hand_pose", "global_orient"):
        values = unpack_column(table, LABELS[name]).astype(np.float64).reshape(len(is_right), -1, 3)
        values[~is_right] = mirror_axis_angle(values[~is_right])
        found.append(values.reshape(len(is_right), -1))
    return found[0], found[1]
