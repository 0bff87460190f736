"""Published trunks under the feature pyramid: ResNet and EfficientNet-Lite0, as maps at strides 4, 8, 16 and 32."""

from typing import Final, Literal

from torch import Tensor, nn

from hoiray.models.layers import Activation, activation_layer, conv_norm

RESNET_CHANNELS: Final = {"resnet18": (64, 128, 256, 512), "resnet50": (256, 512, 1024, 2048)}

LITE0_STAGES: Final = (
    # kernel, stride, expansion, channels, blocks (Tan & Le 2019, Table 1; Lite has no squeeze and ReLU6)
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
LITE0_MAPS: Final = (1, 2, 4, 6)
"""Stages whose output is the last of its stride."""

LITE0_EPSILON: Final = 1e-3
"""Of batch norm, as the published weights were trained with (TensorFlow's)."""


class ResNetTrunk(nn.Module):
    """torchvision's ResNet without its classifier; names of its weights as torchvision's files have them."""

    def __init__(self, kind: Literal["resnet18", "resnet50"], act: Activation) -> None:
        """Make a trunk of random weights.

        Args:
            kind: depth.
            act: leaky_relu replaces every ReLU, as in the released code.
        """
        super().__init__()
        from torchvision.models import resnet18, resnet50

        net = {"resnet18": resnet18, "resnet50": resnet50}[kind](weights=None)
        self.conv1, self.bn1, self.maxpool = net.conv1, net.bn1, net.maxpool
        self.relu = activation_layer(act)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        for module in self.modules():
            if hasattr(module, "relu"):
                module.relu = activation_layer(act)
        self.channels: tuple[int, ...] = RESNET_CHANNELS[kind]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 4, 8, 16, 32."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = layer(features)
            maps.append(features)
        return maps


class ShortcutBlock(nn.Module):
    """Layers beside a shortcut where sizes allow.

    Attributes:
        layers: of the block.
        has_shortcut: whether what goes in is added to what comes out.
    """

    layers: nn.Sequential
    has_shortcut: bool

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, outputs, H / stride, W / stride)."""
        out: Tensor = self.layers(features)
        return out + features if self.has_shortcut else out


class MobileBlock(ShortcutBlock):
    """Widen, look at each channel by itself, narrow; beside a shortcut where sizes allow (MBConv without squeeze)."""

    def __init__(self, inputs: int, outputs: int, *, size: int, stride: int, expansion: int) -> None:
        """Make a block.

        Args:
            inputs: channels in.
            outputs: channels out.
            size: of the kernel.
            stride: 1 or 2.
            expansion: inner channels over inputs.
        """
        super().__init__()
        inner = inputs * expansion
        widen = [*conv_norm(inputs, inner, 1), nn.ReLU6(inplace=True)] if expansion > 1 else []
        look = [*conv_norm(inner, inner, size, stride=stride, groups=inner), nn.ReLU6(inplace=True)]
        self.layers = nn.Sequential(*widen, *look, *conv_norm(inner, outputs, 1))
        self.has_shortcut = stride == 1 and inputs == outputs


class EfficientNetLite0Trunk(nn.Module):
    """EfficientNet-Lite0 without its head.

    Padding is symmetric, as everywhere here; TensorFlow pads the far side more. Away from the border that is the same
    network on a shifted picture, so published weights fit.
    """

    def __init__(self) -> None:
        """Make a trunk of random weights."""
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(3, 32, 3, stride=2), nn.ReLU6(inplace=True))
        stages, inputs = [], 32
        for size, stride, expansion, outputs, count in LITE0_STAGES:
            blocks = []
            for index in range(count):
                step = stride if index == 0 else 1
                blocks.append(MobileBlock(inputs, outputs, size=size, stride=step, expansion=expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.channels: tuple[int, ...] = tuple(LITE0_STAGES[stage][3] for stage in LITE0_MAPS)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = LITE0_EPSILON

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 4, 8, 16, 32."""
        features, maps = self.stem(images), []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if index in LITE0_MAPS:
                maps.append(features)
        return maps
