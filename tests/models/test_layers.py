import torch
from torch import nn

from hoiray.models.layers import BasicBlock, Bottleneck, activation_layer, conv_norm_act, set_momentum


def test_the_leaky_activation_lets_a_hundredth_through() -> None:
    assert activation_layer("leaky_relu")(torch.tensor([-1.0, 2.0])).tolist() == [-0.009999999776482582, 2.0]
    assert activation_layer("relu")(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]


def test_blocks_keep_or_halve_the_map_and_leave_their_input_alone() -> None:
    features = torch.randn(2, 4, 8, 8)
    before = features.clone()
    assert Bottleneck(4, 6, "relu")(features).shape == (2, 6, 8, 8)
    assert BasicBlock(4, 6, "relu", stride=2)(features).shape == (2, 6, 4, 4)
    assert conv_norm_act(4, 6, 5, "relu", stride=2)(features).shape == (2, 6, 4, 4)
    assert torch.equal(features, before)


def test_a_silent_block_is_its_shortcut() -> None:
    bottleneck, block = Bottleneck(4, 4, "relu"), BasicBlock(4, 4, "relu")
    for module in (bottleneck.layers, block.second):
        for weight in module.parameters():
            nn.init.zeros_(weight)
    features = torch.randn(2, 4, 8, 8)
    assert torch.equal(bottleneck(features), features)
    assert torch.equal(block(features), features.relu())


def test_momentum_reaches_every_batch_norm() -> None:
    block = Bottleneck(4, 4, "relu")
    set_momentum(block, 0.3)
    assert {layer.momentum for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)} == {0.3}
