"""The contact sheet of a hand model: does it look, bend and vary like a hand?

Rows are ways of looking (back, palm, left hand, joints) and shapes (size, length and thickness of the fingers); columns
are poses. The scale is the same in every cell, so that sizes can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch

from hoiray.geometry.cameras import project_points
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.hand.anatomy import AnatomicalAxes, anatomical_axes
from hoiray.hand.joints import FINGER_JOINTS
from hoiray.hand.model import HandModel
from hoiray.hand.poses import named_pose, pose_from_angles, random_angles
from hoiray.hand.sides import mirror_axis_angle
from hoiray.render.light import Light, sky_ambient
from hoiray.render.occlusion import ambient_visibility
from hoiray.render.overlay import Image, draw_joints
from hoiray.render.shade import Material, Mesh, RenderTarget, decode_srgb, encode_srgb, render, vertex_normals
from hoiray.render.sheet import SheetStyle, make_sheet

FloatArray = npt.NDArray[np.float64]

_POSES: Final = ("flat", "mean", "fist", "power grasp", "pinch", "point", "spread", "tripod", "hook", "thumb up")
_NUM_RANDOM_POSES: Final = 2
_SEED: Final = 7
_NUM_BETAS: Final = 10
_SHAPES: Final[Mapping[str, tuple[int, float]]] = MappingProxyType(
    {
        "beta 0 = +2.5": (0, 2.5),
        "beta 0 = -2.5": (0, -2.5),
        "beta 1 = +2.5": (1, 2.5),
        "beta 1 = -2.5": (1, -2.5),
    }
)

# Rows are the camera's right, down and forward in the hand's rest frame (fingers -x, back of the hand +y, thumb of a
# right hand +z): fingers point up in the image.
_BACK_VIEW: Final = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_PALM_VIEW: Final = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
# Seen a little from the side and from the finger tips: fingers that bend towards the eye keep their length.
_YAW_DEG, _PITCH_DEG = 16.0, 14.0
_DISTANCE_M = 0.9
# The height of a cell in metres: the flat hand at beta 0 = +2.5 measures 0.24 m with its stump. Cells are upright.
_CELL_HEIGHT_M = 0.275
_CELL_ASPECT = 0.78
_SUPERSAMPLE = 3
_SKY_DIRECTIONS = 24

# sRGB: the back of the hand, and how palm, knuckles and tips differ from it (palms hold little melanin,
# tips much blood).
_SKIN_SRGB = (0.86, 0.66, 0.55)
_PALM_SRGB = (0.93, 0.74, 0.66)
_BLOOD_SRGB = (0.87, 0.56, 0.48)
_TIP_RADIUS_M, _KNUCKLE_RADIUS_M = 0.013, 0.009
_SKIN = Material(specular=0.028, shininess=14, scatter=(0.38, 0.17, 0.12))
_PAPER_SRGB = (0.975, 0.972, 0.965)
_CUT_SRGB = (0.80, 0.52, 0.45)
_SHADOW_STRENGTH = 0.22
_KEY_DIRECTION = (-0.50, -0.62, -0.60)
_KEY_COLOUR = (0.80, 0.76, 0.70)
_SKY_COLOUR, _GROUND_COLOUR = (0.60, 0.63, 0.68), (0.40, 0.355, 0.33)


@dataclass(frozen=True, slots=True, eq=False)
class _PosedHand:
    """A hand in the model's rest frame, metres, and how much sky each vertex sees there: the same from every side."""

    vertices: FloatArray
    joints: FloatArray
    faces: npt.NDArray[np.int64]
    visibility: npt.NDArray[np.float32]
    is_right: bool


def hand_contact_sheet(model: HandModel, *, cell_px: int = 192) -> Image:
    """Render poses by shapes, from both sides, right and left, with joints and tips.

    Args:
        model: of either pose convention.
        cell_px: height of a cell.

    Returns:
        (H, W, 3) uint8 RGB page. The same model gives the same bytes.

    Raises:
        ContractError: the model's anatomical axes cannot be told.
    """
    poses = _poses(model)
    mean_shape = np.zeros(_NUM_BETAS)
    albedo = _skin_albedo(_posed(model, np.zeros(45), mean_shape, is_right=True))
    rows: dict[str, list[Image]] = {"back": [], "palm": [], "left, palm": [], "joints, tips": []}
    for pose in poses.values():
        right = _posed(model, pose, mean_shape, is_right=True)
        left = _posed(model, pose, mean_shape, is_right=False)
        rows["back"].append(_cell(right, albedo, _BACK_VIEW, cell_px))
        rows["palm"].append(_cell(right, albedo, _PALM_VIEW, cell_px))
        rows["left, palm"].append(_cell(left, albedo, _PALM_VIEW, cell_px))
        rows["joints, tips"].append(_with_joints(rows["palm"][-1], right, _PALM_VIEW, cell_px))
    for row, (name, betas) in enumerate(_shapes().items()):
        view = (_BACK_VIEW, _PALM_VIEW)[row % 2]
        hands = [_posed(model, pose, betas, is_right=True) for pose in poses.values()]
        rows[name] = [_cell(hand, albedo, view, cell_px) for hand in hands]
    return make_sheet(
        list(rows.values()),
        title="hoiray hand model",
        subtitle=f"{model.arrays.v_template.shape[0]} vertices, {len(model.arrays.faces)} faces, 21 joints; one scale "
        f"throughout; tips: {model.tip_set}",
        column_headers=list(poses),
        row_headers=list(rows),
        style=SheetStyle(paper=_as_bytes(_PAPER_SRGB), gap_px=0, header_px=max(7.0, cell_px / 22)),
    )


def _poses(model: HandModel) -> dict[str, FloatArray]:
    """Return absolute poses of a right hand by the headers of their columns."""
    axes: AnatomicalAxes = anatomical_axes(model.arrays)
    mean = np.asarray(model.arrays.hands_mean, np.float64)
    if not model.arrays.is_right:
        mean = mirror_axis_angle(mean)
    poses = {name: mean if name == "mean" else named_pose(name, axes) for name in _POSES}
    rng = np.random.default_rng(_SEED)
    for number in range(_NUM_RANDOM_POSES):
        poses[f"random {number + 1}"] = pose_from_angles(random_angles(rng), axes)
    return poses


def _shapes() -> dict[str, FloatArray]:
    shapes = {name: value * np.eye(_NUM_BETAS)[beta] for name, (beta, value) in _SHAPES.items()}
    # beta 0 is nine tenths of all variance and has two rows of its own: here the others shall be seen
    drawn = np.random.default_rng(_SEED).normal(0.0, 1.5, _NUM_BETAS)
    drawn[0] = 0.0
    shapes["random shape"] = drawn
    return shapes


def _posed(model: HandModel, absolute_pose: FloatArray, betas: FloatArray, *, is_right: bool) -> _PosedHand:
    side = torch.tensor(is_right)
    pose = torch.tensor(absolute_pose if is_right else mirror_axis_angle(absolute_pose), dtype=model.dtype)
    if not model.flat_hand_mean:
        pose = model.remove_hand_mean(pose, is_right=side)
    with torch.no_grad():
        zeros = torch.zeros(3, dtype=model.dtype)
        hand = model(zeros, pose, torch.tensor(betas, dtype=model.dtype), is_right=side)
    vertices, faces = hand.vertices.double().numpy(), model.faces(is_right=is_right).numpy()
    visibility = ambient_visibility(vertices, faces, vertex_normals(vertices, faces), num_directions=_SKY_DIRECTIONS)
    return _PosedHand(vertices, hand.joints.double().numpy(), faces, visibility, is_right)


def _skin_albedo(rest: _PosedHand) -> FloatArray:
    """Colour the vertices: palm lighter than back, knuckles and tips redder; (V, 3) linear RGB.

    Args:
        rest: the flat hand, whose palm faces -y.
    """
    back, palm, blood = (decode_srgb(np.array(colour)) for colour in (_SKIN_SRGB, _PALM_SRGB, _BLOOD_SRGB))
    normals = vertex_normals(rest.vertices, rest.faces)
    palmar = np.clip(0.5 - 1.2 * normals[:, 1], 0, 1)[:, None]
    distance_m = np.linalg.norm(rest.vertices[:, None] - rest.joints[None], axis=2)
    tips = [joints[3] for joints in FINGER_JOINTS.values()]
    knuckles = [joint for joints in FINGER_JOINTS.values() for joint in joints[:3]]
    tip = np.exp(-((distance_m[:, tips].min(axis=1) / _TIP_RADIUS_M) ** 2))
    knuckle = np.exp(-((distance_m[:, knuckles].min(axis=1) / _KNUCKLE_RADIUS_M) ** 2)) * np.clip(normals[:, 1], 0, 1)
    red = np.clip(0.5 * tip + 0.8 * knuckle, 0, 1)[:, None]
    return np.asarray((back * (1 - palmar) + palm * palmar) * (1 - red) + blood * red)


def _cell(hand: _PosedHand, albedo: FloatArray, view: FloatArray, cell_px: int) -> Image:
    """Render one hand, centred, with a soft shadow on the paper."""
    R, shift, K, size = _camera(hand, view, cell_px)
    vertices_cam = hand.vertices @ R.T + shift
    skin = Mesh(vertices_cam, hand.faces, albedo, visibility=hand.visibility, material=_SKIN)
    key = np.array(_KEY_DIRECTION) / np.linalg.norm(_KEY_DIRECTION)
    up = np.array([0.0, -1.0, 0.0])
    light = Light(key, np.array(_KEY_COLOUR), sky_ambient(up, np.array(_SKY_COLOUR), np.array(_GROUND_COLOUR)), 128)
    black = RenderTarget(K, size, _SUPERSAMPLE, background=np.zeros(3))
    drawn = render([skin, _stump(vertices_cam, hand.faces)], light, black)
    fall_px = size[0] // 32
    shade = cv2.GaussianBlur(np.roll(drawn.coverage, (fall_px, fall_px // 2), axis=(0, 1)), (0, 0), size[0] / 32)
    behind = decode_srgb(np.array(_PAPER_SRGB)) * (1 - _SHADOW_STRENGTH * shade[..., None])
    return encode_srgb(drawn.linear + behind * (1 - drawn.coverage[..., None]))


def _with_joints(picture: Image, hand: _PosedHand, view: FloatArray, cell_px: int) -> Image:
    """Draw the skeleton over a cell, whose hand steps back."""
    R, shift, K, _ = _camera(hand, view, cell_px)
    washed = np.asarray(np.rint(picture * 0.55 + np.array(_as_bytes(_PAPER_SRGB)) * 0.45), np.uint8)
    joints_2d_px = project_points(hand.joints @ R.T + shift, K)
    return draw_joints(washed, joints_2d_px, radius_px=cell_px / 70, thickness_px=2)


def _camera(
    hand: _PosedHand, view: FloatArray, cell_px: int
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[int, int]]:
    """Return rotation and translation from the hand's frame to the camera's, the intrinsics, and (height, width)."""
    turn = axis_angle_to_matrix([0.0, np.radians(_YAW_DEG), 0.0]) @ axis_angle_to_matrix(
        [np.radians(_PITCH_DEG), 0.0, 0.0]
    )
    # a left hand is seen by the mirrored eye, so that its picture is the mirror image
    mirror = np.diag([1.0 if hand.is_right else -1.0, 1.0, 1.0])
    R = mirror @ turn @ view @ mirror
    turned = hand.vertices @ R.T
    shift = np.array([0.0, 0.0, _DISTANCE_M]) - (turned.min(axis=0) + turned.max(axis=0)) / 2
    focal_px = cell_px * _DISTANCE_M / _CELL_HEIGHT_M
    height, width = cell_px, round(cell_px * _CELL_ASPECT)
    K = np.array([[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return R, shift, K, (height, width)


def _stump(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> Mesh:
    """Close the open wrist with a fan of its own vertices, so that its rim stays sharp."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    rim = edges[first[count == 1]]
    points = np.concatenate([vertices[rim[:, 0]], vertices[rim[:, 1]], vertices[rim].mean(axis=(0, 1))[None]])
    num = len(rim)
    fan = np.stack([np.arange(num) + num, np.arange(num), np.full(num, 2 * num)], axis=1)
    return Mesh(points, fan, decode_srgb(np.array(_CUT_SRGB)), material=Material(specular=0.0))


def _as_bytes(srgb: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in srgb)
    return red, green, blue
