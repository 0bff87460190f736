"""The few layers every part of the network is built of."""

from typing import Final, Literal

from torch import Tensor, nn

Activation = Literal["relu", "leaky_relu"]

LEAKY_SLOPE: Final = 0.01
"""Of the released code's backbone, hourglass and encoder (torch's own default)."""


def activation_layer(name: Activation) -> nn.Module:
    """Return the activation of that name, in place: every use here follows a layer that does not need its output."""
    return nn.ReLU(inplace=True) if name == "relu" else nn.LeakyReLU(LEAKY_SLOPE, inplace=True)


def conv_norm(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return an odd convolution, padded to keep the picture's middle, and its batch norm."""
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def conv_norm_act(inputs: int, outputs: int, size: int, act: Activation, *, stride: int = 1) -> nn.Sequential:
    """Return :func:`conv_norm` and an activation."""
    return nn.Sequential(*conv_norm(inputs, outputs, size, stride=stride), activation_layer(act))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016), the cheaper block where channels are few."""

    def __init__(self, inputs: int, outputs: int, act: Activation, *, stride: int = 1) -> None:
        """Make a block that may halve the map (stride 2).

        Args:
            inputs: channels in.
            outputs: channels out.
            act: activation.
            stride: 1 or 2.
        """
        super().__init__()
        self.first = conv_norm_act(inputs, outputs, 3, act, stride=stride)
        self.second = conv_norm(outputs, outputs, 3)
        changes = stride != 1 or inputs != outputs
        self.shortcut = conv_norm(inputs, outputs, 1, stride=stride) if changes else nn.Identity()
        self.act = activation_layer(act)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, outputs, H / stride, W / stride)."""
        out: Tensor = self.act(self.second(self.first(features)) + self.shortcut(features))
        return out


class Bottleneck(nn.Module):
    """The hourglass's residual block (Newell et al. 2016): norm and activation first, half the width inside."""

    def __init__(self, inputs: int, outputs: int, act: Activation) -> None:
        """Make a block that keeps the map's size.

        Args:
            inputs: channels in.
            outputs: channels out.
            act: activation.
        """
        super().__init__()
        inner = max(outputs // 2, 1)
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(inputs), activation_layer(act), nn.Conv2d(inputs, inner, 1, bias=False)),
            *(nn.BatchNorm2d(inner), activation_layer(act), nn.Conv2d(inner, inner, 3, padding=1, bias=False)),
            *(nn.BatchNorm2d(inner), activation_layer(act), nn.Conv2d(inner, outputs, 1)),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, outputs, H, W)."""
        out: Tensor = self.layers(features) + self.shortcut(features)
        return out


def set_momentum(module: nn.Module, momentum: float) -> None:
    """Set the weight of the newest batch in the running statistics of every batch norm."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = momentum
