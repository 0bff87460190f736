"""Rendered hands for the landmark networks, which were trained on photographs and read these as well."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hoiray.geometry.boxes import from_points
from hoiray.geometry.cameras import project_points
from hoiray.geometry.rotations import axis_angle_to_matrix, mirror_rotation
from hoiray.hand.anatomy import anatomical_axes
from hoiray.hand.model import HandModel
from hoiray.hand.poses import named_pose
from hoiray.report.contact_sheet import Drawable, overlay_meshes

SIZE_PX = 480
SKIN = (224, 172, 145)
BACKGROUND = (70, 90, 110)
K = np.array([[900.0, 0, SIZE_PX / 2], [0, 900.0, SIZE_PX / 2], [0, 0, 1]])
DISTANCE_M = 0.6

# a right hand of the model at rest points along -x, its back up: this shows its back, fingers up
_FACING = axis_angle_to_matrix(np.array([0.0, 0.0, np.pi / 2])) @ axis_angle_to_matrix(np.array([-np.pi / 2, 0.0, 0.0]))


@dataclass(frozen=True, eq=False)
class RenderedHand:
    """A picture of one hand and its truth."""

    image: npt.NDArray[np.uint8]
    joints_2d_px: npt.NDArray[np.float64]
    joints_3d_m: npt.NDArray[np.float64]
    bbox_xyxy: npt.NDArray[np.float64]
    is_right: bool


def rendered_hand(
    *, is_right: bool = True, turn_rad: float = 0.0, pose: str = "relaxed", shift_m: tuple[float, float] = (0.0, 0.0)
) -> RenderedHand:
    """Show the back of a hand, its fingers up, turned clockwise on the screen."""
    model = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    fingers = axis_angle_to_matrix(named_pose(pose, anatomical_axes(model.arrays)).reshape(15, 3))
    wrist = _FACING
    if not is_right:
        wrist, fingers = mirror_rotation(wrist), mirror_rotation(fingers)
    wrist = axis_angle_to_matrix(np.array([0.0, 0.0, turn_rad])) @ wrist
    turns = (torch.from_numpy(np.ascontiguousarray(part)).float() for part in (wrist, fingers))
    with torch.no_grad():
        posed = model.from_matrices(*turns, torch.zeros(10), is_right=is_right)
    joints, vertices = (part.double().numpy() for part in (posed.joints, posed.vertices))
    place = np.array([*shift_m, DISTANCE_M]) - joints.mean(axis=0)
    image = np.broadcast_to(np.array(BACKGROUND, np.uint8), (SIZE_PX, SIZE_PX, 3)).copy()
    mesh = Drawable(vertices + place, model.faces(is_right=is_right).numpy(), SKIN)
    drawn = overlay_meshes(image, [mesh], K)[0]
    box = from_points(project_points(vertices + place, K))
    return RenderedHand(drawn, project_points(joints + place, K), joints - joints[:1], box, is_right)
