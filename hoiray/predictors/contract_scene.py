"""Four rendered hands with their truth, on which a predictor's contract is checked: no file, no network needed."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.geometry.boxes import from_points
from hoiray.geometry.cameras import project_points
from hoiray.geometry.rotations import axis_angle_to_matrix, mirror_rotation
from hoiray.hand.anatomy import anatomical_axes
from hoiray.hand.model import HandModel
from hoiray.hand.poses import named_pose
from hoiray.predictors.protocol import HandRequest
from hoiray.render.light import Light, sky_ambient
from hoiray.render.overlay import blend
from hoiray.render.shade import Mesh, RenderTarget, render

SIZE_WH: Final = (400, 320)
"""Not square: an answer with x and y mixed up shows."""

POSES: Final = (("relaxed", True, 0.0), ("spread", False, -0.6), ("flat", True, 0.9), ("power grasp", False, 0.3))
"""Pose, side, and turn in the image (rad) of each hand."""

FloatArray = npt.NDArray[np.floating]

_K: Final = np.array([[650.0, 0, 200.0], [0, 650.0, 160.0], [0, 0, 1.0]])
_DISTANCE_M: Final = 0.6
_SKIN: Final = np.array([0.62, 0.36, 0.26])
_BACKGROUND: Final = (70, 90, 110)
_FACING: Final = axis_angle_to_matrix(np.array([0.0, 0.0, np.pi / 2])) @ axis_angle_to_matrix(
    np.array([-np.pi / 2, 0.0, 0.0])
)
"""Shows the back of the model's flat hand, fingers up."""


@dataclass(frozen=True, eq=False)
class ContractScene:
    """The hands and what is true of them.

    Attributes:
        request: one hand a frame, right and left ones.
        joints_2d_px: (B, 21, 2) simple order.
        joints_3d_m: (B, 21, 3) about the wrist, camera axes.
    """

    request: HandRequest
    joints_2d_px: FloatArray
    joints_3d_m: FloatArray


def make_scene() -> ContractScene:
    """Render the hands of the open hand model."""
    model = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    drawn = [_draw(model, *hand) for hand in POSES]
    frames, boxes, pixels, joints = (np.stack(parts) for parts in zip(*drawn, strict=True))
    sides = [is_right for _, is_right, _ in POSES]
    request = HandRequest.make(frames, range(len(POSES)), boxes, sides, K=_K)
    return ContractScene(request, pixels, joints)


def _draw(
    model: HandModel, pose: str, is_right: bool, turn_rad: float
) -> tuple[npt.NDArray[np.uint8], FloatArray, FloatArray, FloatArray]:
    """Return frame, hand box, image points and joints of one hand."""
    import torch

    fingers = axis_angle_to_matrix(named_pose(pose, anatomical_axes(model.arrays)).reshape(15, 3))
    wrist: FloatArray = _FACING
    if not is_right:
        wrist, fingers = mirror_rotation(wrist), mirror_rotation(fingers)
    wrist = axis_angle_to_matrix(np.array([0.0, 0.0, turn_rad])) @ wrist
    turn, bends = (torch.from_numpy(np.ascontiguousarray(part)).to(model.dtype) for part in (wrist, fingers))
    with torch.no_grad():
        posed = model.from_matrices(turn, bends, torch.zeros(10, dtype=model.dtype), is_right=is_right)
    joints, vertices = (part.double().numpy() for part in (posed.joints, posed.vertices))
    place = np.array([0.0, 0.0, _DISTANCE_M]) - joints.mean(axis=0)
    image = _rendered(vertices + place, model.faces(is_right=is_right).numpy())
    box = from_points(project_points(vertices + place, _K))
    return image, np.asarray(box, np.float64), project_points(joints + place, _K), joints - joints[:1]


def _rendered(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Shade a hand of skin before a plain ground."""
    ambient = sky_ambient(np.array([0.0, -1.0, 0.0]), np.full(3, 0.5), np.full(3, 0.3))
    key = np.array([-0.4, -0.7, -0.6])
    light = Light(key / np.linalg.norm(key), np.full(3, 0.8), ambient, 0)
    size_hw = (SIZE_WH[1], SIZE_WH[0])
    drawn = render([Mesh(vertices, faces, albedo=_SKIN)], light, RenderTarget(_K, size_hw, 2, background=np.zeros(3)))
    ground = np.broadcast_to(np.array(_BACKGROUND, np.uint8), (*size_hw, 3)).copy()
    return np.asarray(blend(ground, drawn.image, (drawn.coverage > 0).astype(np.float32)), np.uint8)
