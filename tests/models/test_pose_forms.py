from typing import Literal

import pytest
import torch
from network_batches import open_hand

from hoiray.config.network import HandDecoderConfig
from hoiray.geometry.rotations_torch import axis_angle_to_matrix
from hoiray.models.pose_forms import PoseForm

Kind = Literal["axis_angle", "six_d", "pca"]


@pytest.mark.parametrize(("kind", "count"), [("axis_angle", 48), ("six_d", 96), ("pca", 26)])
def test_every_form_says_rotations(kind: Kind, count: int) -> None:
    form = PoseForm(HandDecoderConfig(rotation=kind, num_pca=20), open_hand())
    assert form.num_outputs == count
    rotations = form(torch.randn(3, count))
    assert rotations.shape == (3, 16, 3, 3)
    identity = torch.eye(3).expand(3, 16, 3, 3)
    torch.testing.assert_close(rotations @ rotations.transpose(-1, -2), identity, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(3, 16))


@pytest.mark.parametrize("kind", ["axis_angle", "six_d"])
def test_zeros_are_the_pose_that_was_asked_for(kind: Kind) -> None:
    mean = torch.cat([torch.zeros(3), open_hand().hands_mean]).reshape(16, 3)
    for initial, expected in (("flat", torch.zeros(16, 3)), ("mean", mean)):
        config = HandDecoderConfig(rotation=kind, initial_pose=initial)  # type: ignore[arg-type]
        form = PoseForm(config, open_hand())
        said = form(torch.zeros(1, form.num_outputs))[0]
        torch.testing.assert_close(said, axis_angle_to_matrix(expected), atol=1e-6, rtol=0.0)


def test_pose_space_is_the_hand_models_own() -> None:
    form = PoseForm(HandDecoderConfig(rotation="pca", num_pca=45, initial_pose="mean"), open_hand())
    pose = torch.randn(2, 45) * 0.3
    raw = torch.cat([torch.zeros(2, 6), open_hand().pose_to_pca(open_hand().remove_hand_mean(pose), 45)], dim=1)
    expected = axis_angle_to_matrix(pose.reshape(2, 15, 3))
    torch.testing.assert_close(form(raw)[:, 1:], expected, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(form(raw)[:, 0], torch.eye(3).expand(2, 3, 3))


def test_half_precision_in_is_full_precision_out() -> None:
    form = PoseForm(HandDecoderConfig(rotation="six_d"), open_hand())
    assert form(torch.randn(1, 96).half()).dtype == torch.float32
