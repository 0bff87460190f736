"""The meshes of predicted hands, for what is measured of them: how far they reach, and where their wrists rest."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

FloatArray = npt.NDArray[np.floating]


def mesh_about_wrist(
    hand: "HandModel", rotations: FloatArray, betas: FloatArray, is_right: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Pose the hand model.

    Args:
        hand: the model of the parameters.
        rotations: (B, 16, 3, 3), the wrist's first; NaN stays NaN.
        betas: (B, 10).
        is_right: (B,).

    Returns:
        Vertices (B, 778, 3) about the wrist and the unposed wrist (B, 3), float64 m.
    """
    import torch

    device = hand.faces(is_right=True).device
    with torch.inference_mode():
        turns, shapes = (torch.from_numpy(values).to(hand.dtype).to(device) for values in (rotations, betas))
        side = torch.from_numpy(np.array(is_right)).to(device)
        posed = hand.from_matrices(turns[:, 0], turns[:, 1:], shapes, is_right=side)
        vertices = posed.vertices - posed.joints[:, :1]
        root = hand.rest_root(shapes, is_right=side)
        return vertices.double().cpu().numpy(), root.double().cpu().numpy()
