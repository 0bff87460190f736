"""Several views of every hand, predicted, undone and averaged; and how far the views disagreed (paper, section 5.1).

Any :class:`~hoiray.predictors.protocol.Predictor` is ensembled the same way: it undoes the views itself, so that here
all members speak of the same frame. What is averaged is what supervises a student: rotations by their chordal mean
(averaging axis-angles is 49 degrees off near half a turn), betas and 2D joints by their arithmetic mean. 3D joints are
computed anew from mean rotations and mean betas, since the mean of turned fingers is a shorter finger.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hoiray.config.what import Ensemble
from hoiray.datasets.augment import Views, draw_views, plain_views
from hoiray.errors import ContractError, describe
from hoiray.geometry.rotations import chordal_mean, geodesic_distance
from hoiray.predictors.protocol import BoolArray, FloatArray, HandPredictions, HandRequest, Predictor

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

NO_CONSENSUS: Final = "no_consensus"
"""The members' rotations have no mean: two of them are half a turn apart, say."""

NO_OBJECT_CONSENSUS: Final = "no_object_consensus"

COST_OF_LOG_ODDS: Final = 0.01
"""Of a side, in the unit of consistency: so that a frame says at most what odds of e^10 say
(:data:`hoiray.filters.sides.MAX_LEAD`)."""

_KEY_BYTES: Final = 8


@dataclass(frozen=True, eq=False)
class Fused:
    """The ensemble's answer, one row per hand of the request.

    Attributes:
        mean: the average of the members that answered; a hand none of them answered carries the first one's reason.
        num_members: (B,) int16, members that answered.
        spread_joints_2d_px: (B, 21) root mean square distance of the members to their mean; NaN with fewer than two.
        spread_joints_3d_m: (B, 21) the same about the wrist.
        spread_rotation_rad: (B,) root mean square angle of the members' 16 rotations to their means.
        rotation_consensus: (B,) least consensus of the 16 rotations, 0 to 1.
    """

    mean: HandPredictions
    num_members: npt.NDArray[np.int16]
    spread_joints_2d_px: FloatArray
    spread_joints_3d_m: FloatArray
    spread_rotation_rad: FloatArray
    rotation_consensus: FloatArray


def draw_ensemble_views(ensemble: Ensemble, keys: Sequence[str]) -> Views:
    """Draw the views of every hand: V of each, hand by hand, the first of which changes nothing.

    Args:
        ensemble: ranges, number of views and seed.
        keys: (B,) name of each hand: the same key has the same views in any batch, on any machine, in any rerun.
    """
    count, num_views = len(keys), ensemble.num_views
    numbers = [int.from_bytes(hashlib.blake2b(key.encode(), digest_size=_KEY_BYTES).digest(), "big") for key in keys]
    varied = draw_views(
        ensemble,
        seed=ensemble.seed,
        epochs=list(range(1, num_views)) * count,
        indices=[number for number in numbers for _ in range(num_views - 1)],
    )
    plain = plain_views(count)

    def interleave(first: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[Any]:
        tail = first.shape[1:]
        both = [first[:, None], others.reshape(count, num_views - 1, *tail)]
        return np.concatenate(both, axis=1).reshape(count * num_views, *tail)

    interleaved = {f.name: interleave(getattr(plain, f.name), getattr(varied, f.name)) for f in fields(Views)}
    return Views(**interleaved)


def predict_ensemble(
    predictor: Predictor,
    request: HandRequest,
    keys: Sequence[str],
    ensemble: Ensemble,
    *,
    rows_per_call: int | None = None,
) -> Fused:
    """Predict every view of every hand and fuse them.

    Args:
        predictor: anything that predicts.
        request: B hands without views.
        keys: (B,) see :func:`draw_ensemble_views`.
        ensemble: how many views, and which.
        rows_per_call: views of one call at most; None: all at once. The answers do not depend on it, beyond rounding.

    Raises:
        ContractError: the keys do not fit the request, or the predictor breaks its contract.
    """
    if len(keys) != len(request):
        what = "keys of the ensemble"
        raise ContractError(
            describe(what=what, expected=f"{len(request)}, one a hand", found=str(len(keys)), fix="Pass one a hand.")
        )
    viewed = request.with_views(draw_ensemble_views(ensemble, keys)) if ensemble.num_views > 1 else request
    step = len(viewed) if rows_per_call is None else rows_per_call
    parts = []
    for first in range(0, len(viewed), step):
        part = viewed.rows(slice(first, first + step))
        answer = predictor.predict(part)
        require_rows(answer, len(part), predictor.name)
        parts.append(answer)
    return fuse(concatenate_predictions(parts), ensemble.num_views, hand=predictor.hand, is_right=request.is_right)


def require_rows(answer: HandPredictions, count: int, name: str) -> None:
    """Refuse an answer of another length than its request.

    Raises:
        ContractError: names the predictor.
    """
    if len(answer) != count:
        found = f"{len(answer)} rows"
        fix = "A predictor answers every row of a request, failed ones with NaN and a reason."
        what = f"answer of predictor {name}"
        raise ContractError(describe(what=what, expected=f"{count} rows", found=found, fix=fix))


def concatenate_predictions(parts: Sequence[HandPredictions]) -> HandPredictions:
    """Put answers one after another.

    Raises:
        ContractError: there is none, or one part knows what another does not.
    """
    if not parts:
        raise ContractError(
            describe(what="predictions to put together", expected="one part or more", found="none", fix="Pass some.")
        )

    def joined(name: str) -> FloatArray | None:
        values = [getattr(part, name) for part in parts]
        absent = [value is None for value in values]
        if all(absent):
            return None
        if any(absent):
            found = "a field that some parts have and others lack"
            fix = "A predictor must answer every request in the same fields."
            raise ContractError(describe(what=name, expected="all parts alike", found=found, fix=fix))
        return np.concatenate(values)

    arrays = {f.name: joined(f.name) for f in fields(HandPredictions) if not f.name.endswith("failures")}
    return HandPredictions(
        **arrays,  # type: ignore[arg-type]  # joints are never None in a part
        failures=tuple(reason for part in parts for reason in part.failures),
        object_failures=tuple(reason for part in parts for reason in part.object_failures),
    )


def fuse(members: HandPredictions, num_views: int, *, hand: "HandModel | None", is_right: BoolArray) -> Fused:
    """Average V members a hand and measure how far they disagree.

    Args:
        members: B * V rows, hand by hand.
        num_views: V.
        hand: model of the parameters, for the joints of the mean; None: joints are averaged themselves.
        is_right: (B,) side of each hand.

    Raises:
        ContractError: the rows are no multiple of V.
    """
    count, remainder = divmod(len(members), num_views)
    if remainder or count != len(is_right):
        found = f"{len(members)} rows, {len(is_right)} hands"
        raise ContractError(
            describe(what="members", expected=f"{num_views} a hand", found=found, fix="Pass the rows hand by hand.")
        )
    by_hand = _by_hand(members, count, num_views)
    answered: BoolArray = np.asarray(np.isfinite(by_hand["joints_3d_m"]).all(axis=(2, 3)))
    num_members = answered.sum(axis=1).astype(np.int16)
    rotations, consensus, spread_rotation = _mean_rotations(by_hand.get("rotations"), answered)
    failures = _failures(members.failures, num_views, num_members, consensus)
    failed = np.array([reason is not None for reason in failures], dtype=np.bool_)
    mean = {name: _mean(values, answered) for name, values in by_hand.items() if name in _AVERAGED}
    if rotations is not None and hand is not None:
        mean["joints_3d_m"] = _joints_of(hand, rotations, mean["betas"], is_right)
    poses, object_failures = _mean_poses(by_hand.get("T_cam_obj"), members.object_failures, num_views)
    if poses is not None:
        mean["T_cam_obj"] = poses
    if rotations is not None:
        mean["rotations"] = rotations
    for name, values in mean.items():
        if name not in _OF_OBJECT:
            values[failed] = np.nan
    several: BoolArray = np.asarray(num_members >= 2)
    return Fused(
        HandPredictions(**mean, failures=failures, object_failures=object_failures),
        num_members,
        _spread(by_hand["joints_2d_px"], answered, several),
        _spread(by_hand["joints_3d_m"], answered, several),
        np.where(several, spread_rotation, np.nan),
        np.where(several, consensus, np.nan),
    )


_AVERAGED: Final = frozenset(
    {"joints_3d_m", "joints_2d_px", "betas", "joint_confidence", "side_logit", "control_points_2d_px"}
)
_OF_OBJECT: Final = frozenset({"T_cam_obj", "control_points_2d_px"})


def _by_hand(members: HandPredictions, count: int, num_views: int) -> dict[str, FloatArray]:
    """Return every array there is as (B, V, ...)."""
    named = {f.name: getattr(members, f.name) for f in fields(members) if not f.name.endswith("failures")}
    return {
        name: np.asarray(values, np.float64).reshape(count, num_views, *values.shape[1:])
        for name, values in named.items()
        if values is not None
    }


def _mean(values: FloatArray, answered: BoolArray) -> FloatArray:
    """Average (B, V, ...) over the members that answered and are finite; NaN where there is none."""
    trailing = tuple(range(2, values.ndim))
    used = answered & np.isfinite(values).all(axis=trailing)
    shape = (*used.shape, *(1,) * len(trailing))
    total = np.where(used.reshape(shape), values, 0.0).sum(axis=1)
    number = used.sum(axis=1).reshape(-1, *(1,) * len(trailing))
    mean: FloatArray = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return mean


def _spread(values: FloatArray, answered: BoolArray, several: BoolArray) -> FloatArray:
    """Return (B, 21) root mean square distances of joints (B, V, 21, D) to their mean; NaN with fewer than two."""
    centred = values - _mean(values, answered)[:, None]
    squared = np.where(answered[..., None], (centred**2).sum(axis=-1), 0.0).sum(axis=1)
    number = np.maximum(answered.sum(axis=1), 1)[:, None]
    return np.where(several[:, None], np.sqrt(squared / number), np.nan)


def _mean_rotations(
    rotations: FloatArray | None, answered: BoolArray
) -> tuple[FloatArray | None, FloatArray, FloatArray]:
    """Return mean rotations (B, 16, 3, 3), their least consensus (B,) and the members' rms angle to them (B,)."""
    if rotations is None:
        unknown = np.full(len(answered), np.nan)
        return None, unknown, unknown
    used = np.where(answered[:, :, None, None, None], rotations, np.nan)
    mean = chordal_mean(used, axis=1)
    angles = geodesic_distance(used, np.broadcast_to(mean.rotation[:, None], used.shape))
    squared = np.where(answered[:, :, None], angles**2, 0.0).sum(axis=(1, 2))
    number = np.maximum(answered.sum(axis=1), 1) * rotations.shape[2]
    return mean.rotation, mean.consensus.min(axis=1), np.sqrt(squared / number)


def _failures(
    of_members: tuple[str | None, ...], num_views: int, num_members: npt.NDArray[np.int16], consensus: FloatArray
) -> tuple[str | None, ...]:
    reasons: list[str | None] = []
    for row, number in enumerate(num_members):
        if number == 0:
            own = of_members[row * num_views : (row + 1) * num_views]
            reasons.append(next(reason for reason in own if reason is not None))
        else:
            reasons.append(NO_CONSENSUS if consensus[row] == 0.0 else None)
    return tuple(reasons)


def _joints_of(hand: "HandModel", rotations: FloatArray, betas: FloatArray, is_right: BoolArray) -> FloatArray:
    """Return the joints (B, 21, 3) of the mean hands about their wrists; NaN stays NaN."""
    import torch

    with torch.inference_mode():
        turns, shapes = (torch.from_numpy(values).to(hand.dtype) for values in (rotations, betas))
        side = torch.from_numpy(np.array(is_right))
        device = hand.faces(is_right=True).device
        turns, shapes, side = (tensor.to(device) for tensor in (turns, shapes, side))
        joints = hand.joints_only_from_matrices(turns[:, 0], turns[:, 1:], shapes, is_right=side)
        about_wrist: FloatArray = np.asarray((joints - joints[:, :1]).double().cpu().numpy())
    return about_wrist


def _mean_poses(
    poses: FloatArray | None, failures: tuple[str | None, ...], num_views: int
) -> tuple[FloatArray | None, tuple[str | None, ...]]:
    """Average object poses (B, V, 4, 4) over the members that have one."""
    if poses is None:
        return None, ()
    solved: BoolArray = np.asarray(np.isfinite(poses).all(axis=(2, 3)))
    used = np.where(solved[:, :, None, None], poses, np.nan)
    mean = chordal_mean(used[..., :3, :3], axis=1)
    fused = np.full((len(poses), 4, 4), np.nan)
    reasons: list[str | None] = []
    for row, number in enumerate(solved.sum(axis=1)):
        if number == 0:
            own = failures[row * num_views : (row + 1) * num_views]
            reasons.append(next(reason for reason in own if reason is not None))
        elif mean.consensus[row] == 0.0:
            reasons.append(NO_OBJECT_CONSENSUS)
        else:
            fused[row] = np.eye(4)
            fused[row, :3, :3] = mean.rotation[row]
            fused[row, :3, 3] = used[row, solved[row], :3, 3].mean(axis=0)
            reasons.append(None)
    return fused, tuple(reasons)


def side_cost(fused: Fused, residual_box_sides: FloatArray) -> FloatArray:
    """Measure what tells against an answer about a hand's side: of two hypotheses the lower one is to be believed.

    A predictor that has learnt to tell sides is asked. Of any other, consistency is measured: a network of right hands
    sees a left one mirrored under the hypothesis "left", as it was trained; under the other one its views disagree and
    its 3D does not project onto its 2D.

    Args:
        fused: the ensemble under one hypothesis.
        residual_box_sides: (B,) reprojection of it; NaN where unsolved.

    Returns:
        (B,) a hundredth of the log odds against the side, or spread of the rotations in rad plus residual; infinite
        without an answer or a camera.
    """
    failed = np.array([reason is not None for reason in fused.mean.failures])
    if fused.mean.side_logit is not None:
        cost = np.where(np.isfinite(residual_box_sides), -COST_OF_LOG_ODDS * fused.mean.side_logit, np.inf)
    else:
        spread = np.nan_to_num(fused.spread_rotation_rad, nan=0.0)
        cost = np.where(np.isfinite(residual_box_sides), residual_box_sides, np.inf) + spread
    return np.asarray(np.where(failed, np.inf, cost))
