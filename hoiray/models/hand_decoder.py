"""From the hand's features to 2D joints, rotations and shape (paper, section 4.2 and appendix A)."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from hoiray.config.network import HandDecoderConfig, NetworkConfig
from hoiray.hand.joints import NUM_JOINTS, WRIST
from hoiray.hand.load import NUM_BETAS
from hoiray.hand.model import HandModel
from hoiray.models.heatmaps import expected_points, normalised, pooled
from hoiray.models.layers import Bottleneck, activation_layer, conv_norm_act
from hoiray.models.palm import Palm, in_palm_frame, palm_of
from hoiray.models.pose_forms import NUM_ROTATIONS, PoseForm

QUIET_START: Final = 0.01
"""Factor on the last layer's random weights where the untrained network shall say a given pose."""


@dataclass(frozen=True)
class DecodedHand:
    """What the decoder says of a hand.

    Attributes:
        heatmaps: (B, 21, R, R) of sum 1.
        heatmap_logits: (B, 21, R, R) before the softmax, temperature included.
        joints_2d_unit: (B, 21, 2) in the unit square of the hand box.
        depths_box: (B, 21) behind the wrist, in sides of the hand box, see
            :func:`hoiray.models.losses.depths_in_box_sides`; None where not predicted.
        rotations: (B, 16, 3, 3) float32.
        betas: (B, 10) float32.
        side_logits: (B,) float32 log odds that the hand is of the model's side, and no mirrored one; None where not
            predicted.
    """

    heatmaps: Tensor
    heatmap_logits: Tensor
    joints_2d_unit: Tensor
    depths_box: Tensor | None
    rotations: Tensor
    betas: Tensor
    side_logits: Tensor | None


class Hourglass(nn.Module):
    """Halve, look, enlarge, add: the recursion of Newell et al. 2016."""

    def __init__(self, depth: int, channels: int, config: HandDecoderConfig) -> None:
        """Make `depth` levels.

        Args:
            depth: halvings.
            channels: width of every level.
            config: blocks at each place, activation.
        """
        super().__init__()
        self.beside, self.before, self.after = (_blocks(channels, config) for _ in range(3))
        self.inner: nn.Module = Hourglass(depth - 1, channels, config) if depth > 1 else _blocks(channels, config)

    def forward(self, features: Tensor) -> Tensor:
        """Keep (B, C, R, R), R divisible by 2^depth."""
        coarse = self.after(self.inner(self.before(max_pool2d(features, 2))))
        enlarged = interpolate(coarse, size=(features.shape[-2], features.shape[-1]), mode="nearest")
        out: Tensor = self.beside(features) + enlarged
        return out


class JointLocator(nn.Module):
    """An hourglass and one heatmap a joint, or a control point of an object."""

    def __init__(self, channels: int, config: HandDecoderConfig, *, num_points: int = NUM_JOINTS) -> None:
        """Make the network.

        Args:
            channels: of the region's features.
            config: see there.
            num_points: J, heatmaps.
        """
        super().__init__()
        width = config.hourglass_channels
        self.enter = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()
        self.hourglass = Hourglass(config.hourglass_depth, width, config)
        self.leave = nn.Sequential(_blocks(width, config), conv_norm_act(width, width, 1, config.activation))
        self.logits = nn.Conv2d(width, num_points, 1)
        self.temperature = nn.Parameter(torch.ones(num_points)) if config.temperature == "learned" else None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features (B, width, R, R) and the logits (B, J, R, R), float32."""
        features = self.leave(self.hourglass(self.enter(features)))
        logits = self.logits(features).float()
        return features, logits if self.temperature is None else logits * self.temperature[:, None, None]


class PoseEncoder(nn.Module):
    """Features and heatmaps, halved stage by stage to a few cells, as one vector."""

    def __init__(self, cells: int, config: HandDecoderConfig) -> None:
        """Make one stage for each of `config.encoder_widths`.

        Args:
            cells: R.
            config: see there.
        """
        super().__init__()
        width = config.hourglass_channels
        self.of_features = nn.Conv2d(width, width, 1)
        self.of_heatmaps = nn.Conv2d(NUM_JOINTS, width, 1)
        stages = []
        for outputs in config.encoder_widths:
            blocks = [Bottleneck(width, outputs, config.activation)]
            blocks += [Bottleneck(outputs, outputs, config.activation) for _ in range(config.encoder_blocks - 1)]
            stages.append(nn.Sequential(*blocks, nn.MaxPool2d(2)))
            width = outputs
        self.stages = nn.Sequential(*stages)
        self.num_features = width * (cells // 2 ** len(stages)) ** 2

    def forward(self, features: Tensor, heatmaps: Tensor) -> Tensor:
        """Return (B, num_features)."""
        merged = self.of_features(features) + self.of_heatmaps(heatmaps.to(features.dtype))
        out: Tensor = self.stages(merged).flatten(1)
        return out


class JointCues(nn.Module):
    """What can be said of each joint from where its heatmap lies, for the regressor: options beyond the paper.

    Attributes:
        num_features: numbers it adds to the regressor's vector.
    """

    def __init__(self, config: HandDecoderConfig) -> None:
        """Make the layers that `config` asks for."""
        super().__init__()
        self.has_palm = config.palm_frame
        width = config.hourglass_channels
        self.reduce = nn.Linear(width, config.joint_features)
        self.depth = nn.Parameter(torch.randn(NUM_JOINTS, width) * QUIET_START) if config.predicts_depth else None
        num_coordinates = 3 if config.predicts_depth else 2
        self.num_features = NUM_JOINTS * (config.joint_features + num_coordinates + 3 * config.palm_frame)
        self.num_features += 10 * config.palm_frame

    def forward(
        self, features: Tensor, heatmaps: Tensor, joints_2d_unit: Tensor, box_shapes: Tensor
    ) -> tuple[Tensor, Tensor | None, Palm | None]:
        """Gather what is seen at the joints.

        Args:
            features: (B, C, R, R).
            heatmaps: (B, 21, R, R).
            joints_2d_unit: (B, 21, 2).
            box_shapes: (B, 2) width and height of the hand box over the root of its area.

        Returns:
            The vector (B, num_features), the depths (B, 21) and the palm; the last two None where not asked for.
        """
        seen = pooled(features, heatmaps)
        cues = self.reduce(seen).flatten(1).float()
        with torch.autocast(seen.device.type, enabled=False):
            geometry, depths, palm = self._geometry(seen.float(), joints_2d_unit, box_shapes)
        return torch.cat([cues, geometry], dim=1), depths, palm

    def _geometry(
        self, seen: Tensor, joints_2d_unit: Tensor, box_shapes: Tensor
    ) -> tuple[Tensor, Tensor | None, Palm | None]:
        isotropic = (joints_2d_unit - 0.5) * box_shapes[:, None]
        depths = None
        if self.depth is not None:
            depths = (seen * self.depth).sum(dim=-1)
            depths = depths - depths[:, WRIST : WRIST + 1]
            isotropic = torch.cat([isotropic, depths[..., None]], dim=-1)
        if not self.has_palm:
            return isotropic.flatten(1), depths, None
        palm = palm_of(isotropic)
        own = in_palm_frame(isotropic, palm)
        parts = [isotropic.flatten(1), own.flatten(1), palm.R_cam_palm.flatten(1), palm.length[:, None]]
        return torch.cat(parts, dim=1), depths, palm


class HandDecoder(nn.Module):
    """Locate the joints, then regress the pose."""

    def __init__(self, channels: int, config: NetworkConfig, hand: HandModel) -> None:
        """Make the decoder.

        Args:
            channels: of the region's features.
            config: of the network.
            hand: whose poses are predicted.
        """
        super().__init__()
        own = config.hand
        self.locator = JointLocator(channels, own)
        self.encoder = PoseEncoder(config.regions.cells, own)
        self.cues = JointCues(own) if own.joint_features else None
        self.form = PoseForm(own, hand)
        width = self.encoder.num_features + (self.cues.num_features if self.cues else 0)
        layers: list[nn.Module] = []
        for outputs in own.hidden_widths:
            layers += [nn.Linear(width, outputs), activation_layer(own.activation)]
            width = outputs
        self.hidden = nn.Sequential(*layers)
        self.pose = nn.Linear(width, self.form.num_outputs)
        self.shape = nn.Linear(width, NUM_BETAS)
        self.side = nn.Linear(width, 1) if own.predicts_side else None
        if own.initial_pose != "none":
            for layer in (self.pose, self.shape):
                nn.init.normal_(layer.weight, std=QUIET_START * width**-0.5)
                nn.init.zeros_(layer.bias)
        R_rest_palm = palm_of(_rest_joints(hand)).R_cam_palm[0]
        self.register_buffer("_R_palm_rest", R_rest_palm.T.contiguous(), persistent=False)

    _R_palm_rest: Tensor

    def forward(self, features: Tensor, box_sizes_px: Tensor) -> DecodedHand:
        """Decode hands.

        Args:
            features: (B, C, R, R) of the hands' boxes.
            box_sizes_px: (B, 2) width and height of those boxes.
        """
        features, logits = self.locator(features)
        heatmaps = normalised(logits)
        joints_2d_unit = expected_points(heatmaps)
        vector = self.encoder(features, heatmaps)
        depths, palm = None, None
        if self.cues is not None:
            shapes = box_sizes_px.float() / box_sizes_px.float().prod(dim=1, keepdim=True).sqrt()
            cues, depths, palm = self.cues(features, heatmaps, joints_2d_unit, shapes)
            vector = torch.cat([vector, cues.to(vector.dtype)], dim=1)
        hidden = self.hidden(vector)
        raw_pose, betas = self.pose(hidden), self.shape(hidden).float()
        with torch.autocast(raw_pose.device.type, enabled=False):
            rotations = self._rotations(raw_pose, palm)
        side_logits = None if self.side is None else self.side(hidden).float()[:, 0]
        return DecodedHand(heatmaps, logits, joints_2d_unit, depths, rotations, betas, side_logits)

    def _rotations(self, raw_pose: Tensor, palm: Palm | None) -> Tensor:
        rotations: Tensor = self.form(raw_pose)
        if palm is None:
            return rotations
        wrist = palm.R_cam_palm.float() @ self._R_palm_rest @ rotations[:, 0]
        return torch.cat([wrist[:, None], rotations[:, 1:]], dim=1)


def _blocks(channels: int, config: HandDecoderConfig) -> nn.Sequential:
    return nn.Sequential(*(Bottleneck(channels, channels, config.activation) for _ in range(config.hourglass_blocks)))


def _rest_joints(hand: HandModel) -> Tensor:
    """Return the (1, 21, 3) joints of the model's flat hand at rest."""
    turns = torch.eye(3, dtype=hand.dtype, device=hand.hands_mean.device).expand(1, NUM_ROTATIONS, 3, 3)
    betas = hand.hands_mean.new_zeros(1, NUM_BETAS)
    return hand.joints_only_from_matrices(turns[:, 0], turns[:, 1:], betas).float()
