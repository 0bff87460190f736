"""Fitting the hand model to 21 image points, with weak hints of depth, pose and shape.

What a landmark network sees well are points in the image; its depth is a guess. The fit asks for the hand of the model
whose weak-perspective image has these points, that bends within anatomy's limits, and that follows the guess of depth
and what hands commonly do where the points leave a choice. What remains, the distance between the points and the
fitted hand, is a measurement of the label: it is large for what is no hand, and for a left hand taken for a right one.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry.alignment import align_similarity
from hoiray.geometry.cameras import solve_weak_perspective
from hoiray.geometry.rotations import axis_angle_to_matrix, mirror_rotation
from hoiray.hand.anatomy import ARTICULATED_NAMES, anatomical_axes
from hoiray.hand.joints import (
    MANO_ROTATION_NAMES,
    NUM_JOINTS,
    NUM_MANO_JOINTS,
    SIMPLE_NAMES,
    TIP_JOINTS,
    tip_vertices,
)
from hoiray.hand.sides import mirror_points
from hoiray.predictors.fit_kernel import (
    ANGLES,
    BETAS,
    DEPTH,
    NUM_ANGLES,
    NUM_BETAS,
    NUM_UNKNOWNS,
    SCALE,
    SHIFT,
    fit_hand,
    pose_hand,
)
from hoiray.predictors.fit_prior import PosePrior, pose_prior

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

PALM_JOINTS: Final = tuple(
    SIMPLE_NAMES.index(name) for name in ("wrist", "index_mcp", "middle_mcp", "ring_mcp", "pinky_mcp")
)
"""Joints that keep their place to each other in any pose: the first guess of the wrist's turn is made with them."""

_MANO_ROWS: Final = [MANO_ROTATION_NAMES.index(name) for name in ARTICULATED_NAMES]


@dataclass(frozen=True)
class FitSettings:
    """How much each hint counts.

    The defaults were chosen on synthetic truth, and on how far the points of real hands remain from the fitted one.
    Median PA-MPJPE of 997 rendered hands of 40 recordings that the landmark network answers: 9.8 mm, 9.2 of those whose
    side is right; with points of 4.5 mm 9.4 and 9.0, but the points of five real clips then remain more than 4 % of the
    box away in the median, instead of 3.8. Depths of 50 mm tell sides less well. Gestures with noise of 3 mm in the
    image: 2.6 mm.

    Attributes:
        image_sigma_m: standard deviation of the image points, in m at the hand.
        depth_sigma_m: of the depths.
        shape_sigma: of every beta.
        warm_steps: of fitting to the 3D points, which brings the pose near.
        steps: of fitting to the image points, at most.
    """

    image_sigma_m: float = 0.00375
    depth_sigma_m: float = 0.025
    shape_sigma: float = 1.0
    warm_steps: int = 8
    steps: int = 20


class FittedHands(NamedTuple):
    """B fitted hands; NaN where a hand could not be fitted.

    Attributes:
        rotations: (B, 16, 3, 3) wrist and MANO's joints, absolute, of the hand's own side.
        betas: (B, 10).
        joints_3d_m: (B, 21, 3) about the wrist, camera axes.
        projected_px: (B, 21, 2) the weak-perspective image of these joints.
        residual_px: (B,) root mean square distance of that image to the points.
        angles_rad: (B, 45) flexion, abduction and twist, joint by joint.
    """

    rotations: FloatArray
    betas: FloatArray
    joints_3d_m: FloatArray
    projected_px: FloatArray
    residual_px: FloatArray
    angles_rad: FloatArray


@dataclass(frozen=True, eq=False)
class FitModel:
    """A right hand as the fit needs it: 21 joints and how they move. Tips follow their last bone rigidly.

    Attributes:
        rest_m: (21, 3) of the mean hand, simple order.
        shape_m: (21, 3, 10) change with each beta.
        frames: (15, 3, 3) anatomical axes as columns: flexion, abduction, twist.
        prior: limits and common poses.
    """

    rest_m: FloatArray
    shape_m: FloatArray
    frames: FloatArray
    prior: PosePrior

    @classmethod
    def of(cls, hand: "HandModel") -> "FitModel":
        """Take the joints, their blend shapes and their axes out of a model."""
        arrays = hand.arrays
        tips = list(tip_vertices(hand.tip_set, is_right=True))
        rest, shape = np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3, NUM_BETAS))
        places = [SIMPLE_NAMES.index(name) for name in MANO_ROTATION_NAMES]
        rest[places] = arrays.J_regressor @ arrays.v_template
        shape[places] = np.einsum("jv,vdk->jdk", arrays.J_regressor, arrays.shapedirs)
        rest[list(TIP_JOINTS)], shape[list(TIP_JOINTS)] = arrays.v_template[tips], arrays.shapedirs[tips]
        axes = anatomical_axes(arrays)
        frames = np.stack([axes.flexion, axes.abduction, axes.twist], axis=-1)
        return cls(rest, shape, frames, pose_prior())


def fit_hands(
    model: FitModel,
    joints_2d_px: npt.ArrayLike,
    joints_3d_m: npt.ArrayLike,
    is_right: npt.ArrayLike,
    settings: FitSettings | None = None,
    *,
    joint_weights: npt.ArrayLike | None = None,
    num_threads: int = 1,
) -> FittedHands:
    """Fit hands one by one: the answer to one does not depend on the others.

    Args:
        model: of right hands; left ones are fitted in the mirror.
        joints_2d_px: (B, 21, 2) simple order; NaN where there is no hand.
        joints_3d_m: (B, 21, 3) a guess in camera axes, metres, wherever its origin is.
        is_right: (B,) the side that is taken for granted.
        settings: how much each hint counts.
        joint_weights: (21,) on the points of each joint; None: all count alike.
        num_threads: that fit at the same time.

    Raises:
        ContractError: a shape is wrong.
    """
    image, guess = np.asarray(joints_2d_px, np.float64), np.asarray(joints_3d_m, np.float64)
    right = np.asarray(is_right, np.bool_)
    count = len(right)
    if image.shape != (count, NUM_JOINTS, 2) or guess.shape != (count, NUM_JOINTS, 3):
        expected, found = f"({count}, 21, 2) and ({count}, 21, 3)", f"{image.shape} and {guess.shape}"
        fix = "Pass all 21 joints of every hand, simple order."
        raise ContractError(describe(what="points to fit", expected=expected, found=found, fix=fix))
    used = settings or FitSettings()
    weights = np.ones(NUM_JOINTS) if joint_weights is None else np.asarray(joint_weights, np.float64)
    result = _empty(count)

    def fit(row: int) -> None:
        seen = _Seen(image[row], guess[row], is_right=bool(right[row]))
        if seen.is_usable:
            _write(_fitted(model, seen, used, weights), seen, result, row)

    if num_threads <= 1:
        for row in range(count):
            fit(row)
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            list(pool.map(fit, range(count)))
    return result


def _empty(count: int) -> FittedHands:
    shapes = ((NUM_MANO_JOINTS, 3, 3), (NUM_BETAS,), (NUM_JOINTS, 3), (NUM_JOINTS, 2), (), (NUM_ANGLES,))
    return FittedHands(*(np.full((count, *shape), np.nan) for shape in shapes))


class _Seen:
    """What is to be fitted, as a right hand: a left one is mirrored about the image's column 0."""

    def __init__(self, image_px: FloatArray, guess_m: FloatArray, *, is_right: bool) -> None:
        sign = 1.0 if is_right else -1.0
        self.image_px, self.is_right = image_px, is_right
        self.points_px, self.around_m = image_px * [sign, 1.0], guess_m * [sign, 1.0, 1.0]

    @property
    def is_usable(self) -> bool:
        """Whether there are points, and not all in one place."""
        parts = (self.points_px, self.around_m[:, :2])
        return all(np.isfinite(self.around_m).all() and np.isfinite(part).all() and np.ptp(part) > 0 for part in parts)

    @property
    def unit_px_per_m(self) -> float:
        """About how many px a metre has: of the best camera, else of the two spreads."""
        of_image, of_guess = (
            float(np.linalg.norm(values - values.mean(axis=0))) for values in (self.points_px, self.around_m[:, :2])
        )
        solved = float(solve_weak_perspective(self.around_m, self.points_px).scale_px_per_m)
        # a guess that is turned far off has a camera of hardly any scale
        return solved if np.isfinite(solved) and solved > 0.5 * of_image / of_guess else of_image / of_guess


class _Fitted(NamedTuple):
    """A right hand where the fit ended: turn of the wrist, unknowns, joints about the wrist, image in px."""

    turn: FloatArray
    unknowns: FloatArray
    frames: FloatArray
    points_m: FloatArray
    projected_px: FloatArray


def _fitted(model: FitModel, seen: _Seen, settings: FitSettings, joint_weights: FloatArray) -> _Fitted:
    """Fit to the guess in 3D first, then to the image from where the first ended, twice."""
    unit, about = seen.unit_px_per_m, seen.around_m - seen.around_m[0]
    turn, unknowns = _start(model, about)
    of_image, of_depth = joint_weights / settings.image_sigma_m, joint_weights / settings.depth_sigma_m
    depth, image = np.ascontiguousarray(about[:, 2]), seen.points_px / unit

    def fit(target: FloatArray, depth_weights: FloatArray, steps: int) -> None:
        weights = np.stack([of_image, depth_weights], axis=1)
        fit_hand(
            model.rest_m, model.shape_m, model.frames, model.prior.low, model.prior.high, target, depth, weights,
            model.prior.mean, model.prior.precision, settings.shape_sigma**-2, steps, turn, unknowns,
        )  # fmt: skip

    fit(np.ascontiguousarray(about[:, :2]), of_image, settings.warm_steps)
    _place(_posed(model, turn, unknowns), unknowns, image)
    fit(image, of_depth, settings.steps)
    # how many px a metre has was told by the guess, which is far off for fists; now the fitted hand tells it
    scale = float(np.exp(unknowns[SCALE]))
    unit, image = unit * scale, image / scale
    unknowns[SHIFT:DEPTH] /= scale
    unknowns[SCALE] = 0.0
    fit(image, of_depth, settings.steps)
    points = _posed(model, turn, unknowns)
    projected = (np.exp(unknowns[SCALE]) * points[:, :2] + unknowns[SHIFT:DEPTH]) * unit
    return _Fitted(turn, unknowns, model.frames, points, projected)


def _start(model: FitModel, about_m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the first turn of the wrist and unknowns: the common pose, its palm laid on the guess."""
    palm = list(PALM_JOINTS)
    laid = align_similarity(model.rest_m[palm], about_m[palm], allow_reflection=False)
    unknowns = np.zeros(NUM_UNKNOWNS)
    unknowns[ANGLES:BETAS] = model.prior.mean
    return np.ascontiguousarray(laid.rotation, dtype=np.float64), unknowns


def _place(points_m: FloatArray, unknowns: FloatArray, image: FloatArray) -> None:
    """Set scale and shift to the best for the joints as they are; the scale of the guess where there is none."""
    scale = float(solve_weak_perspective(points_m, image).scale_px_per_m)
    scale = scale if np.isfinite(scale) and scale > 0.2 else 1.0
    unknowns[SCALE] = np.log(scale)
    unknowns[SHIFT:DEPTH] = (image - scale * points_m[:, :2]).mean(axis=0)


def _posed(model: FitModel, turn: FloatArray, unknowns: FloatArray) -> FloatArray:
    """Return the joints (21, 3) about the wrist."""
    points, turns = np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3, 3))
    axes, by_shape = np.empty((NUM_ANGLES, 3)), np.empty((NUM_JOINTS, 3, NUM_BETAS))
    pose_hand(model.rest_m, model.shape_m, model.frames, turn, unknowns, points, turns, axes, by_shape)
    return points


def _write(fitted: _Fitted, seen: _Seen, result: FittedHands, row: int) -> None:
    """Write a row, of the hand's own side."""
    angles = fitted.unknowns[ANGLES:BETAS]
    rotations = np.empty((NUM_MANO_JOINTS, 3, 3))
    rotations[0] = fitted.turn
    rotations[_MANO_ROWS] = rotations_of_angles(angles, fitted.frames)
    points, image = fitted.points_m, fitted.projected_px
    if not seen.is_right:
        points, image = mirror_points(points), image * [-1.0, 1.0]
        rotations = np.asarray(mirror_rotation(rotations), np.float64)
    result.rotations[row], result.betas[row] = rotations, fitted.unknowns[BETAS:SCALE]
    result.joints_3d_m[row], result.projected_px[row] = points, image
    result.residual_px[row] = np.sqrt(((image - seen.image_px) ** 2).sum(axis=1).mean())
    result.angles_rad[row] = angles


def rotations_of_angles(angles_rad: npt.ArrayLike, frames: FloatArray) -> FloatArray:
    """Return the rotations (..., 15, 3, 3) that anatomical angles (..., 45) stand for, order of ARTICULATED_JOINTS."""
    angles = np.asarray(angles_rad, np.float64).reshape(*np.shape(angles_rad)[:-1], len(ARTICULATED_NAMES), 3)
    turned = [axis_angle_to_matrix(frames[..., axis] * angles[..., axis, None]) for axis in range(3)]
    return np.asarray(turned[0] @ turned[1] @ turned[2])
