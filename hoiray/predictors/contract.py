"""What every predictor promises, as checks its author can run: `hoiray plugin check NAME`, or from pytest.

::

    from hoiray.predictors.contract import require_contract

    def test_my_predictor_keeps_its_contract() -> None:
        require_contract(make(checkpoint_uri=None, hand_path=None, device="cpu"))

The checks look at conventions (:mod:`hoiray.predictors.protocol`), not at accuracy: their limits are so wide that a
poor network passes, and so narrow that pixels of a crop, millimetres, another order of the joints or an unturned view
do not. They run on four rendered hands. A predictor that sees no hand in any of them can only be checked in part, and
is told so.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import draw_views
from hoiray.errors import ContractError, HoirayError, describe
from hoiray.geometry import boxes
from hoiray.geometry.cameras import solve_weak_perspective
from hoiray.geometry.rotations import is_rotation
from hoiray.hand.joints import BONES, FINGERS, JOINT_NAMES, MIDDLE_MCP, TIP_SETS, WRIST, reorder
from hoiray.hand.sides import mirror_boxes_xyxy, mirror_points_2d
from hoiray.predictors.contract_scene import ContractScene, make_scene
from hoiray.predictors.protocol import HandPredictions, HandRequest, Predictor

FloatArray = npt.NDArray[np.floating]
Outcome = Literal["passed", "failed", "skipped"]

HAND_LENGTH_M: Final = (0.04, 0.2)
"""From wrist to middle knuckle: people have 0.07 to 0.11."""

MAX_CENTRE_OFFSET: Final = 0.6
"""From the middle of the joints to that of the box, in box sides."""

MAX_PROJECTION_OFFSET: Final = 0.25
"""Mean distance of the joints' best weak-perspective image to the 2D joints, in box sides."""

MAX_VIEW_OFFSET: Final = 0.3
"""Mean distance of the joints of one view to those of another, in box sides."""

MAX_MIRROR_OFFSET: Final = 0.3
MAX_PARAMETER_OFFSET_M: Final = 2e-3
COMPANY_TOLERANCE_PX: Final = 0.5
"""Rounding of a network on another batch, with room for half precision."""

MIN_SHORTER: Final = 0.97
"""Another order is believed where its skeleton is shorter than this part of the one that was given."""

MIN_NARROWER: Final = 0.93
"""Other neighbours are believed where the way across the hand is shorter than this part."""


@dataclass(frozen=True)
class CheckResult:
    """What became of a check.

    Attributes:
        name: key of :data:`CHECKS`.
        outcome: skipped where the predictor's answers leave nothing to check.
        message: what was expected and found; empty where it passed.
    """

    name: str
    outcome: Outcome
    message: str = ""


class _Skip(Exception):  # noqa: N818 - no error: there is nothing to check
    """A check does not apply."""


class Trial:
    """A predictor on the scene; its plain answer is asked for once."""

    def __init__(self, predictor: Predictor, scene: ContractScene) -> None:
        """Ask nothing yet."""
        self.predictor, self.scene = predictor, scene

    @property
    def request(self) -> HandRequest:
        """The scene's request."""
        return self.scene.request

    @cached_property
    def answer(self) -> HandPredictions:
        """The plain answer."""
        return self.predictor.predict(self.request)

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """(B,) rows with an answer; skips the check where there is none."""
        rows = np.array([failure is None for failure in self.answer.failures], np.bool_)
        if not rows.any():
            raise _Skip(f"no hand was answered: {', '.join(sorted({str(it) for it in self.answer.failures}))}")
        return rows

    @property
    def box_sides_px(self) -> FloatArray:
        """(B,) root of the area of each box."""
        return np.sqrt(boxes.area(self.request.hand_boxes_xyxy))


def check_predictor(predictor: Predictor, scene: ContractScene | None = None) -> list[CheckResult]:
    """Run every check; what a predictor raises becomes a result, too.

    Args:
        predictor: anything that claims to be one.
        scene: hands to ask about; None renders them.
    """
    trial = Trial(predictor, make_scene() if scene is None else scene)
    return [_run(name, check, trial) for name, check in CHECKS.items()]


def require_contract(predictor: Predictor) -> None:
    """Run every check, for a test.

    Raises:
        ContractError: names every check that failed, and why.
    """
    failed = [result for result in check_predictor(predictor) if result.outcome == "failed"]
    if failed:
        raise ContractError("\n".join(f"{result.name}: {result.message}" for result in failed))


def _run(name: str, check: Callable[[Trial], None], trial: Trial) -> CheckResult:
    try:
        check(trial)
    except _Skip as reason:
        return CheckResult(name, "skipped", str(reason))
    except HoirayError as error:
        return CheckResult(name, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and its author wants to read it
        return CheckResult(name, "failed", f"raised {type(error).__name__}: {error}")
    return CheckResult(name, "passed")


def _identity(trial: Trial) -> None:
    """It has a name, a digest, and names its finger tips; its hand model has the same."""
    predictor = trial.predictor
    if not isinstance(predictor, Predictor):
        raise _broken("predictor", "name, digest, tip_set, hand and predict", f"a {type(predictor).__name__}")
    if not predictor.name or not predictor.digest:
        raise _broken("name and digest", "two texts", f"{predictor.name!r} and {predictor.digest!r}")
    if predictor.tip_set not in TIP_SETS:
        raise _broken("tip_set", f"one of {', '.join(TIP_SETS)}", repr(predictor.tip_set))
    if predictor.hand is not None and predictor.hand.tip_set != predictor.tip_set:
        raise _broken("tip_set", f"that of its hand, {predictor.hand.tip_set!r}", repr(predictor.tip_set))


def _shapes(trial: Trial) -> None:
    """One row a hand, in every array; a wrong shape is named when the answer is made."""
    if not isinstance(trial.answer, HandPredictions):
        raise _broken("answer", "HandPredictions", type(trial.answer).__name__)
    if len(trial.answer) != len(trial.request):
        raise _broken("answer", f"{len(trial.request)} rows, one a hand", f"{len(trial.answer)}")


def _finite(trial: Trial) -> None:
    """NaN stands where a reason does, in all arrays of the hand alike."""
    answer = trial.answer
    for name in ("joints_3d_m", "joints_2d_px", "rotations", "betas", "joint_confidence", "side_logit"):
        values = getattr(answer, name)
        for row, failure in enumerate(answer.failures if values is not None else ()):
            if np.isfinite(values[row]).all() != (failure is None):
                raise _broken(f"{name}, row {row}", "NaN exactly where failures has a reason", f"{failure!r}")


def _unchanged_input(trial: Trial) -> None:
    """The request is as it was; neither pixels nor boxes are written to."""
    names = ("frames", "frame_index", "hand_boxes_xyxy", "is_right", "object_boxes_xyxy", "K", "control_points_m")
    copies: dict[str, Any] = {name: np.array(getattr(trial.request, name)) for name in names}
    asked = replace(trial.request, **copies)
    trial.predictor.predict(asked)
    for name in names:
        if not np.array_equal(copies[name], getattr(trial.request, name), equal_nan=name not in ("frames", "is_right")):
            raise _broken(f"request.{name}", "the array as it was handed over", "other numbers after predict")


def _repeatable(trial: Trial) -> None:
    """The same question has the same answer."""
    again = trial.predictor.predict(trial.request)
    for name in ("joints_3d_m", "joints_2d_px"):
        if not np.array_equal(getattr(again, name), getattr(trial.answer, name), equal_nan=True):
            raise _broken(name, "the same numbers for the same request", "others the second time")


def _company(trial: Trial) -> None:
    """A hand's answer does not depend on the hands it is asked with, beyond rounding."""
    order = np.arange(len(trial.request))[::-1].copy()
    turned = trial.predictor.predict(trial.request.rows(order))
    alone = trial.predictor.predict(trial.request.rows(order[:1]))
    for found, rows in ((turned, order), (alone, order[:1])):
        expected = trial.answer.joints_2d_px[rows]
        off = np.nan_to_num(np.abs(found.joints_2d_px - expected), nan=0.0).max()
        if off > COMPANY_TOLERANCE_PX or np.isnan(found.joints_2d_px).any() != np.isnan(expected).any():
            found_ = f"{off:.2f} px away in another order or alone"
            raise _broken("joints_2d_px", "the same hand whatever else is asked", found_)


def _wrist_and_metres(trial: Trial) -> None:
    """3D joints are relative to the wrist, in metres."""
    joints = trial.answer.joints_3d_m[trial.answered]
    if np.abs(joints[:, WRIST]).max() > 1e-4:
        raise _broken("joints_3d_m", "joints relative to the wrist", f"a wrist at {joints[0, WRIST].tolist()}")
    lengths = np.linalg.norm(joints[:, MIDDLE_MCP], axis=-1)
    if not ((lengths > HAND_LENGTH_M[0]) & (lengths < HAND_LENGTH_M[1])).all():
        expected = f"metres: wrist to middle knuckle of {HAND_LENGTH_M[0]} to {HAND_LENGTH_M[1]}"
        raise _broken("joints_3d_m", expected, f"{lengths.max():.4g}")


def _joint_order(trial: Trial) -> None:
    """Joints are in the simple order: no other order of them makes a shorter skeleton."""
    for name, joints in (("joints_3d_m", trial.answer.joints_3d_m), ("joints_2d_px", trial.answer.joints_2d_px)):
        shown = joints[trial.answered]
        given = _skeleton_length(shown)
        for order in JOINT_NAMES:
            if order != "simple" and _skeleton_length(reorder(shown, order, "simple")) < MIN_SHORTER * given:
                found = f"an order whose bones cross; in the order {order!r} they do not"
                raise _broken(name, "the simple order (hoiray.hand.joints)", found)
        _require_neighbours(name, shown)


def _require_neighbours(name: str, joints: FloatArray) -> None:
    """Refuse fingers that are not beside their neighbours, such as MANO's pinky before the ring finger."""
    fingers = joints[:, 1:].reshape(len(joints), len(FINGERS), 4, -1)
    given = _way_across(fingers)
    for order in itertools.permutations(range(len(FINGERS))):
        # read from the pinky to the thumb a hand has the same neighbours
        if order[0] < order[-1] and _way_across(fingers[:, list(order)]) < MIN_NARROWER * given:
            told = ", ".join(FINGERS[index] for index in order)
            raise _broken(name, f"fingers in the order {', '.join(FINGERS)}", f"neighbours as in {told}")


def _skeleton_length(joints: FloatArray) -> float:
    """Sum of all bones over hands, those of a hand in its own size."""
    parents, children = (list(ends) for ends in zip(*BONES, strict=True))
    bones = np.linalg.norm(joints[:, children] - joints[:, parents], axis=-1).sum(axis=1)
    size = np.linalg.norm(joints - joints.mean(axis=1, keepdims=True), axis=(1, 2))
    return float((bones / size).sum())


def _way_across(fingers: FloatArray) -> float:
    """Length of the way from finger to finger (N, 5, 4, D), along their first two joints."""
    return float(np.linalg.norm(np.diff(fingers[:, :, :2], axis=1), axis=-1).sum())


def _full_frame_pixels(trial: Trial) -> None:
    """2D joints are pixels of the full frame: about where the box is."""
    rows = trial.answered
    middle = trial.answer.joints_2d_px[rows].mean(axis=1)
    centres, _ = boxes.to_center_size(trial.request.hand_boxes_xyxy[rows])
    off = np.linalg.norm(middle - centres, axis=-1) / trial.box_sides_px[rows]
    if off.max() > MAX_CENTRE_OFFSET:
        found = f"joints whose middle is {off.max():.1f} box sides from the box's"
        raise _broken("joints_2d_px", "pixels of the full frame", found)


def _projection(trial: Trial) -> None:
    """3D joints look like the 2D joints: OpenCV axes, the hand's own side, no view or mirror left in."""
    rows = trial.answered
    points, pixels = trial.answer.joints_3d_m[rows], trial.answer.joints_2d_px[rows]
    camera = solve_weak_perspective(points, pixels)
    off = np.linalg.norm(camera.project(points) - pixels, axis=-1).mean(axis=1) / trial.box_sides_px[rows]
    if not camera.is_solved.all() or not (off < MAX_PROJECTION_OFFSET).all():
        found = f"an image of them {np.nanmax(off):.2f} box sides away, or mirrored"
        raise _broken("joints_3d_m", "3D in camera axes (x right, y down) that projects onto joints_2d_px", found)


def _parameters(trial: Trial) -> None:
    """Rotations are rotations, and with betas they give the 3D joints of the hand's own side."""
    answer, hand, rows = trial.answer, trial.predictor.hand, trial.answered
    if answer.rotations is None or answer.betas is None or hand is None:
        raise _Skip("joints only: it answers no parameters of a hand model")
    rotations = answer.rotations[rows]
    if not is_rotation(rotations, 1e-3).all():
        raise _broken("rotations", "rotation matrices", "matrices that stretch or mirror")
    import torch

    device = hand.faces(is_right=True).device
    turns, betas = (torch.as_tensor(part, dtype=hand.dtype, device=device) for part in (rotations, answer.betas[rows]))
    side = torch.as_tensor(np.array(trial.request.is_right)[rows], device=device)
    with torch.inference_mode():
        joints = hand.joints_only_from_matrices(turns[:, 0], turns[:, 1:], betas, is_right=side).cpu().numpy()
    off = np.linalg.norm(joints - joints[:, :1] - answer.joints_3d_m[rows], axis=-1).max()
    if off > MAX_PARAMETER_OFFSET_M:
        found = f"joints {1e3 * off:.0f} mm away from the model's"
        raise _broken("rotations and betas", "parameters (absolute, own side) that give joints_3d_m", found)


def _views_undone(trial: Trial) -> None:
    """Turned, moved and scaled crops are undone; a predictor that cannot vary its crops refuses such a request."""
    count = len(trial.request)
    views = draw_views(Augmentation(max_rotation_deg=60.0), seed=7, epochs=[1] * count, indices=list(range(count)))
    try:
        varied = trial.predictor.predict(replace(trial.request, views=views))
    except ContractError as error:
        raise _Skip(f"it refuses views, so it cannot be ensembled: {error}") from error
    rows = trial.answered & np.array([failure is None for failure in varied.failures], np.bool_)
    if not rows.any():
        raise _Skip("no hand was answered with and without views")
    off = np.linalg.norm(varied.joints_2d_px - trial.answer.joints_2d_px, axis=-1).mean(axis=1) / trial.box_sides_px
    if off[rows].max() > MAX_VIEW_OFFSET:
        found = f"joints {off[rows].max():.2f} box sides from those without"
        raise _broken("joints_2d_px of varied views", "all views undone", found)


def _mirrored(trial: Trial) -> None:
    """The mirrored picture of the other side has the mirrored answer."""
    request = trial.request
    width = request.image_size_wh[0]
    flipped = replace(
        request,
        frames=np.ascontiguousarray(request.frames[:, :, ::-1]),
        hand_boxes_xyxy=mirror_boxes_xyxy(np.asarray(request.hand_boxes_xyxy, np.float64), width),
        is_right=~np.asarray(request.is_right),
    )
    other = trial.predictor.predict(flipped)
    rows = trial.answered & np.array([failure is None for failure in other.failures], np.bool_)
    if not rows.any():
        raise _Skip("no hand was answered in both pictures")
    back = mirror_points_2d(np.asarray(other.joints_2d_px, np.float64), width)
    off = np.linalg.norm(back - trial.answer.joints_2d_px, axis=-1).mean(axis=1) / trial.box_sides_px
    if off[rows].max() > MAX_MIRROR_OFFSET:
        found = f"joints {off[rows].max():.2f} box sides from them"
        raise _broken("joints_2d_px of the mirrored picture", "the mirrored joints", found)


CHECKS: Final = MappingProxyType(
    {
        "identity": _identity,
        "shapes": _shapes,
        "finite": _finite,
        "unchanged_input": _unchanged_input,
        "repeatable": _repeatable,
        "company": _company,
        "wrist_and_metres": _wrist_and_metres,
        "joint_order": _joint_order,
        "full_frame_pixels": _full_frame_pixels,
        "projection": _projection,
        "parameters": _parameters,
        "views_undone": _views_undone,
        "mirrored": _mirrored,
    }
)
"""Every check by its name; the docstrings say what is promised."""


def _broken(what: str, expected: str, found: str) -> ContractError:
    fix = "See hoiray.predictors.protocol for the conventions."
    return ContractError(describe(what=what, expected=expected, found=found, fix=fix))
