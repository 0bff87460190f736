"""The forms in which a network says 16 rotations, and what the untrained network says in each."""

from typing import Final, Literal

import torch
from torch import Tensor, nn

from hoiray.config.network import HandDecoderConfig
from hoiray.geometry.rotations_torch import axis_angle_to_matrix, matrix_to_6d, sixd_to_matrix
from hoiray.hand.model import HandModel

NUM_ROTATIONS: Final = 16


class PoseForm(nn.Module):
    """Turn a network's last numbers into rotation matrices.

    Attributes:
        num_outputs: numbers the network must give.
    """

    def __init__(self, config: HandDecoderConfig, hand: HandModel) -> None:
        """Make the form `config.rotation`, about the pose `config.initial_pose`.

        Args:
            config: form, starting pose, components.
            hand: whose mean pose and pose space are meant.
        """
        super().__init__()
        self.kind: Literal["axis_angle", "six_d", "pca"] = config.rotation
        mean = hand.hands_mean.detach().float().clone()
        fingers = mean if config.initial_pose == "mean" else torch.zeros_like(mean)
        axis_angle = torch.cat([torch.zeros(3), fingers]).reshape(NUM_ROTATIONS, 3)
        sixd = matrix_to_6d(axis_angle_to_matrix(axis_angle))
        match self.kind:
            case "axis_angle":
                start = axis_angle.flatten()
            case "six_d":
                start = sixd.flatten()
            case "pca":
                # zero coefficients are the mean pose, whatever was asked for: this form is about the mean
                start = torch.cat([sixd[0], torch.zeros(config.num_pca)])
        if config.initial_pose == "none":
            start = torch.zeros_like(start)
        self.num_outputs = len(start)
        self.num_pca = config.num_pca
        components = hand.hands_components.detach().float()[: config.num_pca].clone()
        self.register_buffer("_start", start, persistent=False)
        self.register_buffer("_mean", mean, persistent=False)
        self.register_buffer("_components", components, persistent=False)

    _start: Tensor
    _mean: Tensor
    _components: Tensor

    def forward(self, raw: Tensor) -> Tensor:
        """Return (B, 16, 3, 3), float32, of raw (B, num_outputs)."""
        values = raw.float() + self._start
        match self.kind:
            case "axis_angle":
                return axis_angle_to_matrix(values.reshape(-1, NUM_ROTATIONS, 3))
            case "six_d":
                return sixd_to_matrix(values.reshape(-1, NUM_ROTATIONS, 6))
            case "pca":
                fingers = self._mean + values[:, 6:] @ self._components
                wrist = sixd_to_matrix(values[:, :6])
                return torch.cat([wrist[:, None], axis_angle_to_matrix(fingers.reshape(-1, 15, 3))], dim=1)
