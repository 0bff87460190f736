"""Do stored joints and stored hand parameters describe the same hand? Measured with the hand model itself.

The joints have passed :mod:`hoiray.datasets.annotation_checks` by then: they are in metres, in front of the camera, in
the right order and of the right side. What is left are the conventions of the parameters: the mean pose, the side, the
axes of the global orientation, the translation, and the vertices that stand for finger tips.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hoiray.datasets.conventions import Conventions, Problem
from hoiray.datasets.sample import FloatArray, HandAnnotation, ManoParameters
from hoiray.errors import ContractError, describe
from hoiray.geometry.alignment import align_similarity
from hoiray.geometry.rotations import geodesic_distance, matrix_to_axis_angle
from hoiray.hand.joints import NUM_JOINTS, TIP_JOINTS, TIP_SETS, permutation, tip_vertices
from hoiray.hand.load import HandArrays
from hoiray.hand.sides import mirror_axis_angle, mirror_points

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

MAX_POSE_RESIDUAL_M: Final = 0.005
"""Rms distance of the 16 chain joints from the model's after rigid alignment. Labels made with the model at hand agree
to rounding; a mean pose too many or too few gave 10 mm or more for each of 200 hands, the other side's hand 26 mm."""

MAX_ORIENTATION_ERROR_RAD: Final = float(np.deg2rad(30.0))
"""Labels agree to rounding, FreiHAND's weak-perspective fits to some degrees; wrong axes are 180 degrees off."""

MAX_WRIST_ERROR_M: Final = 0.01
MAX_TIP_ERROR_M: Final = 0.002
"""Of the worst finger. Any two published sets differ by 3 to 8 mm in one of the fingers, a label from its own set by
rounding."""

_CHAIN_JOINTS: Final = tuple(joint for joint in range(NUM_JOINTS) if joint not in TIP_JOINTS)


class PosedHands(NamedTuple):
    """Joints (N, 21, 3) of the kinematic chain and the tips, simple order, and vertices (N, 778, 3); metres."""

    joints: FloatArray
    vertices: FloatArray


def parameter_problem(
    hands: Sequence[HandAnnotation], conventions: Conventions, arrays: HandArrays | None
) -> Problem | None:
    """Compare stored joints with those the stored parameters give.

    Args:
        hands: with joints and parameters both.
        conventions: what the format declares.
        arrays: the model the labels were made with; None checks the orientation only, with the packaged hand.
    """
    model = _model(arrays)
    stored = np.stack([stored_joints(hand) for hand in hands])[:, _CHAIN_JOINTS]
    if arrays is not None:
        problem = _pose_problem(model, hands, stored, conventions)
        if problem is not None:
            return problem
    posed = _chain_joints(model, pose_hands(model, hands), conventions)
    problem = _orientation_problem(stored, posed, conventions)
    if problem is not None or arrays is None or not conventions.mano_transl_is_stored:
        return problem
    return _translation_problem(hands, stored, posed)


def rigid_residual_m(source: FloatArray, target: FloatArray) -> FloatArray:
    """Return the rms distance (N,) of points (N, P, 3) after turning and shifting, not scaling, them on the target."""
    turned = source @ np.swapaxes(align_similarity(source, target, allow_reflection=False).rotation, -1, -2)
    offset = (turned - turned.mean(axis=-2, keepdims=True)) - (target - target.mean(axis=-2, keepdims=True))
    return np.asarray(np.sqrt(np.mean(np.sum(offset**2, axis=-1), axis=-1)))


def pose_hands(
    model: "HandModel", hands: Sequence[HandAnnotation], *, added_pose: FloatArray | float = 0.0, mirrored: bool = False
) -> PosedHands:
    """Return what annotated parameters give.

    Args:
        model: float64, absolute poses.
        hands: with parameters.
        added_pose: (45,) of a right hand, added to every pose.
        mirrored: take every hand as one of the other side.
    """
    import torch

    rights = [bool(hand.is_right is not False) != mirrored for hand in hands]
    extra = np.broadcast_to(np.asarray(added_pose, dtype=np.float64), (45,))
    poses = [
        _mano(hand).hand_pose + (extra if right else mirror_axis_angle(extra.copy()))
        for hand, right in zip(hands, rights, strict=True)
    ]
    parts = (
        [_mano(hand).global_orient for hand in hands],
        poses,
        [_mano(hand).betas for hand in hands],
        [_mano(hand).transl for hand in hands],
    )
    with torch.no_grad():
        output = model(
            *(torch.tensor(np.stack(part), dtype=torch.float64) for part in parts), is_right=torch.tensor(rights)
        )
    return PosedHands(np.asarray(output.joints.numpy()), np.asarray(output.vertices.numpy()))


def _chain_joints(model: "HandModel", posed: PosedHands, conventions: Conventions) -> FloatArray:
    """Return the 16 joints (N, 16, 3) that are no tips, as the format defines them."""
    if not conventions.joints_are_regressed:
        return posed.joints[:, _CHAIN_JOINTS]
    in_mano_order = model.arrays.J_regressor @ posed.vertices
    return in_mano_order[:, permutation("mano", "simple")[list(_CHAIN_JOINTS)]]


def _pose_problem(
    model: "HandModel", hands: Sequence[HandAnnotation], stored: FloatArray, conventions: Conventions
) -> Problem | None:
    def chain(*, added_pose: FloatArray | float = 0.0, mirrored: bool = False) -> FloatArray:
        return _chain_joints(model, pose_hands(model, hands, added_pose=added_pose, mirrored=mirrored), conventions)

    def residual(joints: FloatArray) -> float:
        return float(np.median(rigid_residual_m(joints, stored)))

    declared = residual(chain())
    if declared <= MAX_POSE_RESIDUAL_M:
        return None
    mean = model.arrays.hands_mean
    other_side = chain(mirrored=True)
    alternatives = (
        ("poses relative to the mean (flat_hand_mean=False)", chain(added_pose=mean))
        if conventions.flat_hand_mean
        else ("absolute poses (flat_hand_mean=True)", chain(added_pose=-mean)),
        ("hands of the other side", other_side),
        ("poses of the mirrored hand", mirror_points(other_side)),
    )
    residuals = {title: residual(joints) for title, joints in alternatives}
    best = min(residuals, key=residuals.__getitem__)
    is_named = residuals[best] <= MAX_POSE_RESIDUAL_M or residuals[best] < 0.5 * declared
    expected = f"flat_hand_mean={conventions.flat_hand_mean} and joints within {MAX_POSE_RESIDUAL_M * 1e3:.0f} mm"
    measured = f"{declared * 1e3:.1f} mm between stored joints and those of the parameters"
    if is_named:
        return Problem("hand pose", expected, measured, f"{best}, which leaves {residuals[best] * 1e3:.1f} mm")
    other = f"labels made with another hand model than {model.arrays.source}"
    return Problem("hand pose", expected, measured, other)


def _orientation_problem(stored: FloatArray, posed: FloatArray, conventions: Conventions) -> Problem | None:
    turn = align_similarity(posed, stored, allow_reflection=False).rotation
    angles = geodesic_distance(turn, np.eye(3))
    angle = float(np.median(angles))
    if angle <= MAX_ORIENTATION_ERROR_RAD:
        return None
    axis = np.abs(matrix_to_axis_angle(turn)) / np.maximum(angles, 1e-9)[:, None]
    declared = "OpenCV" if conventions.orientation_axes == "opencv" else "OpenGL"
    is_flip = angle > np.pi - MAX_ORIENTATION_ERROR_RAD and float(np.median(axis[:, 0])) > np.cos(np.pi / 6)
    other = "OpenGL" if conventions.orientation_axes == "opencv" else "OpenCV"
    looks_like = f"an orientation in {other} axes" if is_flip else "an orientation in another frame than the joints"
    measured = f"a median turn of {np.rad2deg(angle):.0f} degrees between stored joints and those of the parameters"
    return Problem("global orientation", f"{declared} axes", measured, looks_like)


def _translation_problem(hands: Sequence[HandAnnotation], stored: FloatArray, posed: FloatArray) -> Problem | None:
    error = float(np.median(np.linalg.norm(posed[:, 0] - stored[:, 0], axis=-1)))
    if error <= MAX_WRIST_ERROR_M:
        return None
    transl = np.stack([_mano(hand).transl for hand in hands])
    to_wrist = float(np.median(np.linalg.norm(transl - stored[:, 0], axis=-1)))
    if to_wrist <= MAX_WRIST_ERROR_M / 2:
        looks_like = "the wrist itself"
    else:
        looks_like = "a translation of another hand model, or one whose rest joint was not rotated along"
    expected = "MANO's translation: the wrist minus the rest wrist"
    return Problem("translation", expected, f"a wrist off by {error * 1e3:.1f} mm", looks_like)


def tip_problem(hands: Sequence[HandAnnotation], conventions: Conventions, arrays: HandArrays | None) -> Problem | None:
    """Find which published vertices the tips are: of stored vertices, else of the model the labels were made with.

    Nothing can be said where there are neither, or where the format's tips are no vertices.
    """
    if conventions.tip_set is None:
        return None
    pairs = [(hand, hand.vertices) for hand in hands if hand.vertices is not None]
    if not pairs and arrays is not None:
        posed = [hand for hand in hands if hand.mano is not None]
        pairs = list(zip(posed, pose_hands(_model(arrays), posed).vertices, strict=True)) if posed else []
    if not pairs:
        return None
    errors = {}
    for name in TIP_SETS:
        offsets = [
            stored_joints(hand)[list(TIP_JOINTS)]
            - vertices[list(tip_vertices(name, is_right=hand.is_right is not False))]
            for hand, vertices in pairs
        ]
        errors[name] = float(np.max(np.median(np.linalg.norm(offsets, axis=-1), axis=0)))
    if errors[conventions.tip_set] <= MAX_TIP_ERROR_M:
        return None
    best = min(errors, key=errors.__getitem__)
    looks_like = f"the tip vertices {best!r} ({errors[best] * 1e3:.1f} mm)"
    if errors[best] > MAX_TIP_ERROR_M:
        looks_like = f"no published tip vertices; the nearest are {best!r} ({errors[best] * 1e3:.1f} mm)"
    expected = f"the tip vertices {conventions.tip_set!r} within {MAX_TIP_ERROR_M * 1e3:.0f} mm"
    measured = f"a tip {errors[conventions.tip_set] * 1e3:.1f} mm off"
    return Problem("finger tips", expected, measured, looks_like)


def hand_mesh(hand: HandAnnotation, arrays: HandArrays | None) -> FloatArray | None:
    """Return a hand's vertices (778, 3), as stored or as its parameters give them; None where neither tells.

    Args:
        hand: as a reader returns it.
        arrays: the model the labels were made with; None where it is not known.
    """
    if hand.vertices is not None or hand.mano is None or arrays is None:
        return hand.vertices
    return np.asarray(pose_hands(_model_of(arrays), [hand]).vertices[0])


def stored_joints(hand: HandAnnotation) -> FloatArray:
    """Return the joints (21, 3) of a hand that has them.

    Raises:
        ContractError: it has none.
    """
    if hand.joints_3d is None:
        raise ContractError(describe(what="a checked hand", expected="3D joints", found="none", fix="Leave it out."))
    return hand.joints_3d


def _mano(hand: HandAnnotation) -> ManoParameters:
    if hand.mano is None:
        raise ContractError(describe(what="a checked hand", expected="parameters", found="none", fix="Leave it out."))
    return hand.mano


def _model(arrays: HandArrays | None) -> "HandModel":
    return _packaged_model() if arrays is None else _model_of(arrays)


@functools.lru_cache(maxsize=1)
def _packaged_model() -> "HandModel":
    from hoiray.hand.load import load_hand_arrays

    return _model_of(load_hand_arrays())


@functools.lru_cache(maxsize=4)
def _model_of(arrays: HandArrays) -> "HandModel":
    """Return the layer of a model: float64, absolute poses; its tips are not used."""
    import torch

    from hoiray.hand.model import HandModel

    return HandModel(arrays, flat_hand_mean=True, tip_set="ho3d", dtype=torch.float64)
