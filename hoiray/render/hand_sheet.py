"""The contact sheet of a hand model: does it look, bend and vary like a hand?

Rows are ways of looking (back, palm, left hand, joints) and shapes (five directions of the shape space, each both ways
and seen from one side); columns are poses. The scale is the same in every cell, so that sizes can be compared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch

from hoiray.errors import ContractError, describe
from hoiray.geometry.cameras import project_points
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.hand.anatomy import AnatomicalAxes, anatomical_axes
from hoiray.hand.joints import FINGER_JOINTS
from hoiray.hand.load import OPEN_HAND_LICENCE, HandArrays
from hoiray.hand.model import HandModel
from hoiray.hand.poses import named_pose, pose_from_angles, random_angles
from hoiray.hand.sides import mirror_axis_angle
from hoiray.render.light import Light, sky_ambient
from hoiray.render.occlusion import ambient_visibility
from hoiray.render.overlay import Image, draw_joints, text_width
from hoiray.render.shade import Material, Mesh, RenderTarget, decode_srgb, encode_srgb, render, vertex_normals
from hoiray.render.sheet import SheetStyle, make_sheet

FloatArray = npt.NDArray[np.float64]

_POSES: Final = ("flat", "mean", "fist", "power grasp", "pinch", "point", "spread", "tripod", "hook", "thumb up")
_NUM_RANDOM_POSES: Final = 2
# Chosen by eye from the eight of 400 seeds whose two poses lie farthest from every named one and from each other (here
# 19.5, 17.9 and 22.0 mm RMS over the open hand's 21 joints): a claw, and fingers bent one after the other.
_POSE_SEED: Final = 344
_SHAPE_SEED: Final = 7
_NUM_BETAS: Final = 10
_NUM_SHOWN_BETAS: Final = 5
_SHOWN_BETA: Final = 2.5

# Rows are the camera's right, down and forward in the hand's rest frame (fingers -x, back of the hand +y, thumb of a
# right hand +z): fingers point up in the image.
_BACK_VIEW: Final = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_PALM_VIEW: Final = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
# Seen a little from the side and from the finger tips: fingers that bend towards the eye keep their length.
_YAW_DEG, _PITCH_DEG = 16.0, 14.0
_DISTANCE_M = 0.9
_MARGIN = 0.04  # of a cell, free on each side of the largest hand: room for its shadow
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


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """Hands in all poses, seen from one side."""

    name: str
    hands: list[_PosedHand]
    view: FloatArray
    with_joints: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    """What every cell of a page shares: (height, width) and focal length in px; so the scale is one."""

    size_px: tuple[int, int]
    focal_px: float

    @property
    def height_m(self) -> float:
        """The height that a cell shows."""
        return self.size_px[0] * _DISTANCE_M / self.focal_px


def hand_contact_sheet(model: HandModel, *, cell_px: int = 192) -> Image:
    """Render poses by shapes, from both sides, right and left, with joints and tips.

    Args:
        model: of either pose convention.
        cell_px: height of a cell; its width follows the widest hand. Headers of columns that would run into each
            other are left out (below about 80 px).

    Returns:
        (H, W, 3) uint8 RGB page, titled with the model and its licence. The same model gives the same bytes.

    Raises:
        ContractError: the model's anatomical axes cannot be told, or a posed hand is no hand's size.
    """
    poses = _poses(model)
    rows = _rows(model, list(poses.values()))
    frame = _fitting_frame(((hand, row.view) for row in rows for hand in row.hands), cell_px)
    albedo = _skin_albedo(_posed(model, np.zeros(45), np.zeros(_NUM_BETAS), is_right=True))
    pictures: dict[str, list[Image]] = {}
    for row in rows:
        cells = [_cell(hand, albedo, row.view, frame) for hand in row.hands]
        if row.with_joints:
            cells = [_with_joints(*pair, row.view, frame) for pair in zip(cells, row.hands, strict=True)]
        pictures[row.name] = cells
    return _page(model, pictures, list(poses), frame)


def _rows(model: HandModel, poses: Sequence[FloatArray]) -> list[_Row]:
    mean_shape = np.zeros(_NUM_BETAS)
    right, left = ([_posed(model, pose, mean_shape, is_right=side) for pose in poses] for side in (True, False))
    rows = [
        _Row("back", right, _BACK_VIEW),
        _Row("palm", right, _PALM_VIEW),
        _Row("left, palm", left, _PALM_VIEW),
        _Row("joints, tips", right, _PALM_VIEW, with_joints=True),
    ]
    for number, (name, betas) in enumerate(_shapes().items()):
        hands = [_posed(model, pose, betas, is_right=True) for pose in poses]
        rows.append(_Row(name, hands, _view_of_shape(number)))
    return rows


def _view_of_shape(number: int) -> FloatArray:
    """Return the side from which a shape is seen: the same for both ways of a direction, so that they compare."""
    return (_BACK_VIEW, _PALM_VIEW)[number // 2 % 2]


def _page(model: HandModel, rows: dict[str, list[Image]], pose_names: list[str], frame: _Frame) -> Image:
    cell_height, cell_width = frame.size_px
    style = SheetStyle(paper=_as_bytes(_PAPER_SRGB), gap_px=0, header_px=max(7.0, cell_height / 22))
    arrays, licence = model.arrays, model.arrays.licence
    facts = [
        f"licence: {licence.name}{'' if licence.allows_commercial_use else ', no commercial use'}",
        f"one scale throughout: a cell is {frame.height_m * 1000:.0f} mm high",
        f"{arrays.v_template.shape[0]} vertices, {len(arrays.faces)} faces, 21 joints; tips: {model.tip_set}",
    ]
    width_px = len(pose_names) * cell_width
    widest = max(text_width(name, style.header_px, bold=True) for name in pose_names)
    return make_sheet(
        list(rows.values()),
        title=_cut(f"Hand model: {_name(arrays)}", style.title_px, width_px, bold=True),
        subtitle=_cut("; ".join(facts), style.header_px, width_px),
        column_headers=pose_names if widest + style.header_px <= cell_width else (),
        row_headers=list(rows),
        style=style,
    )


def _name(arrays: HandArrays) -> str:
    if arrays.licence == OPEN_HAND_LICENCE:
        return "hoiray's open hand"
    return Path(arrays.source).name.encode("ascii", "replace").decode("ascii")


def _cut(text: str, size_px: float, width_px: int, *, bold: bool = False) -> str:
    """Cut a line that is wider than the page."""
    end, shown = len(text), text
    while end and text_width(shown, size_px, bold=bold) > width_px:
        end -= 1
        shown = f"{text[:end]}..."
    return shown


def _poses(model: HandModel) -> dict[str, FloatArray]:
    """Return absolute poses of a right hand by the headers of their columns."""
    axes: AnatomicalAxes = anatomical_axes(model.arrays)
    mean = np.asarray(model.arrays.hands_mean, np.float64)
    if not model.arrays.is_right:
        mean = mirror_axis_angle(mean)
    poses = {name: mean if name == "mean" else named_pose(name, axes) for name in _POSES}
    rng = np.random.default_rng(_POSE_SEED)
    for number in range(_NUM_RANDOM_POSES):
        poses[f"random {number + 1}"] = pose_from_angles(random_angles(rng), axes)
    return poses


def _shapes() -> dict[str, FloatArray]:
    shapes = {
        f"beta {beta} = {value:+}": value * np.eye(_NUM_BETAS)[beta]
        for beta in range(_NUM_SHOWN_BETAS)
        for value in (_SHOWN_BETA, -_SHOWN_BETA)
    }
    # beta 0 is nine tenths of all variance and has two rows of its own: here the others shall be seen
    drawn = np.random.default_rng(_SHAPE_SEED).normal(0.0, 1.5, _NUM_BETAS)
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
    extent_m = float(np.ptp(vertices, axis=0).max())
    if not extent_m < _DISTANCE_M:  # NaN is no hand either, and a larger one reaches behind the camera
        expected, found = f"a posed hand of less than {_DISTANCE_M} m", f"one of {extent_m:.3g} m"
        fix = "Its pose or shape directions are wrong: use an unchanged file."
        raise ContractError(describe(what="hand model", expected=expected, found=found, fix=fix))
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


def _cell(hand: _PosedHand, albedo: FloatArray, view: FloatArray, frame: _Frame) -> Image:
    """Render one hand, centred, with a soft shadow on the paper."""
    R, shift = _place(hand, view)
    K, size = _intrinsics(frame), frame.size_px
    vertices_cam = hand.vertices @ R.T + shift
    skin = Mesh(vertices_cam, hand.faces, albedo, visibility=hand.visibility, material=_SKIN)
    key = np.array(_KEY_DIRECTION) / np.linalg.norm(_KEY_DIRECTION)
    up = np.array([0.0, -1.0, 0.0])
    light = Light(key, np.array(_KEY_COLOUR), sky_ambient(up, np.array(_SKY_COLOUR), np.array(_GROUND_COLOUR)), 128)
    black = RenderTarget(K, size, _SUPERSAMPLE, background=np.zeros(3))
    drawn = render([skin, *_stump(vertices_cam, hand.faces)], light, black)
    fall_px = size[0] // 32
    fallen = np.pad(drawn.coverage, ((fall_px, 0), (fall_px // 2, 0)))[: size[0], : size[1]]
    shade = cv2.GaussianBlur(fallen, (0, 0), size[0] / 32, borderType=cv2.BORDER_CONSTANT)
    behind = decode_srgb(np.array(_PAPER_SRGB)) * (1 - _SHADOW_STRENGTH * shade[..., None])
    return encode_srgb(drawn.linear + behind * (1 - drawn.coverage[..., None]))


def _with_joints(picture: Image, hand: _PosedHand, view: FloatArray, frame: _Frame) -> Image:
    """Draw the skeleton over a cell, whose hand steps back."""
    R, shift = _place(hand, view)
    washed = np.asarray(np.rint(picture * 0.55 + np.array(_as_bytes(_PAPER_SRGB)) * 0.45), np.uint8)
    joints_2d_px = project_points(hand.joints @ R.T + shift, _intrinsics(frame))
    return draw_joints(
        washed, joints_2d_px, radius_px=frame.size_px[0] / 70, thickness_px=max(1, frame.size_px[0] // 80)
    )


def _fitting_frame(seen: Iterable[tuple[_PosedHand, FloatArray]], cell_px: int) -> _Frame:
    """Return the frame into which every hand fits, the largest with little to spare."""
    reach = np.zeros(2)
    for hand, view in seen:
        R, shift = _place(hand, view)
        vertices_cam = hand.vertices @ R.T + shift
        reach = np.maximum(reach, np.abs(vertices_cam[:, :2] / vertices_cam[:, 2:]).max(axis=0))
    tan_x, tan_y = reach / (1 - 2 * _MARGIN)
    return _Frame((cell_px, int(np.ceil(cell_px * tan_x / tan_y))), cell_px / (2 * float(tan_y)))


def _intrinsics(frame: _Frame) -> FloatArray:
    height, width = frame.size_px
    return np.array([[frame.focal_px, 0.0, (width - 1) / 2], [0.0, frame.focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]])


def _place(hand: _PosedHand, view: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return rotation and translation (metres) from the hand's frame to the camera's."""
    turn = axis_angle_to_matrix([0.0, np.radians(_YAW_DEG), 0.0]) @ axis_angle_to_matrix(
        [np.radians(_PITCH_DEG), 0.0, 0.0]
    )
    # a left hand is seen by the mirrored eye, so that its picture is the mirror image
    mirror = np.diag([1.0 if hand.is_right else -1.0, 1.0, 1.0])
    R = mirror @ turn @ view @ mirror
    turned = hand.vertices @ R.T
    shift = np.array([0.0, 0.0, _DISTANCE_M]) - (turned.min(axis=0) + turned.max(axis=0)) / 2
    return R, shift


def _stump(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> list[Mesh]:
    """Close the open wrist with a fan of its own vertices, so that its rim stays sharp; empty for a closed mesh."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    rim = edges[first[count == 1]]
    if not len(rim):
        return []
    points = np.concatenate([vertices[rim[:, 0]], vertices[rim[:, 1]], vertices[rim].mean(axis=(0, 1))[None]])
    num = len(rim)
    fan = np.stack([np.arange(num) + num, np.arange(num), np.full(num, 2 * num)], axis=1)
    return [Mesh(points, fan, decode_srgb(np.array(_CUT_SRGB)), material=Material(specular=0.0))]


def _as_bytes(srgb: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in srgb)
    return red, green, blue
