import numpy as np

from hoiray.hand.model import HandModel
from hoiray.predictors.meshes import mesh_about_wrist


def test_meshes_are_about_their_wrists_and_mirrored_for_left_hands() -> None:
    hand = HandModel.load(None, flat_hand_mean=True, tip_set="ho3d")
    rotations, betas = np.tile(np.eye(3), (3, 16, 1, 1)), np.zeros((3, 10))
    betas[2] = np.nan
    vertices, root = mesh_about_wrist(hand, rotations, betas, np.array([True, False, True]))
    assert vertices.shape == (3, 778, 3)
    assert np.abs(vertices[0] * [-1.0, 1.0, 1.0] - vertices[1]).max() < 1e-6
    assert np.isfinite(root[:2]).all()
    assert np.isnan(vertices[2]).all()
