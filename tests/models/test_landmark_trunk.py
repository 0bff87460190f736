from pathlib import Path

import numpy as np
import pytest
import torch
from landmark_files import needs_landmarks, network_file
from network_batches import make_batch, open_hand, tiny_config
from torch import nn

from hoiray.config.network import BackboneConfig
from hoiray.errors import ContractError, InputError
from hoiray.io.tflite import Graph, Operator, read_graph
from hoiray.models.backbone import Backbone
from hoiray.models.checkpoint import pack_checkpoint, unpack_checkpoint
from hoiray.models.landmark_trunk import MAPS, NETWORK, LandmarkTrunk, trunk_state
from hoiray.models.network import HandObjectNetwork
from hoiray.predictors.landmarks.graph_network import GraphNetwork

LANDMARK = {"kind": "landmark", "image_normalisation": "none", "pyramid_channels": 16}


def trunk(seed: int = 0) -> LandmarkTrunk:
    torch.manual_seed(seed)
    return LandmarkTrunk().eval()


def graph_of(made: LandmarkTrunk) -> Graph:
    """A file's convolutions as the format keeps them: kernels before channels, one after another."""
    constants, operators = {}, []
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            number = 3 * len(operators)
            kernel = module.weight.detach().numpy()
            is_depthwise = module.groups > 1
            constants[number + 1] = kernel.transpose((1, 2, 3, 0) if is_depthwise else (0, 2, 3, 1))
            assert module.bias is not None
            constants[number + 2] = module.bias.detach().numpy()
            name = "depthwise_conv_2d" if is_depthwise else "conv_2d"
            operators.append(Operator(name, (number, number + 1, number + 2), (number + 3,), {}))
    return Graph(tuple(operators), constants, {}, (0,), ())


def test_maps_lie_at_the_four_strides() -> None:
    made = trunk()
    maps = made(torch.zeros(2, 3, 64, 64))
    assert [tuple(one.shape[1:]) for one in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (1152, 2, 2)]
    assert made.channels == (24, 40, 112, 1152)


def test_the_convolutions_of_a_file_come_back_in_their_order() -> None:
    made = trunk(seed=3)
    state = trunk_state(graph_of(made), source="file")
    assert list(state) == list(made.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in made.state_dict().items())


def test_another_networks_file_is_refused() -> None:
    graph = graph_of(trunk())
    shorter = Graph(graph.operators[:-1], graph.constants, {}, (0,), ())
    with pytest.raises(ContractError, match=r"palm\.tflite: expected the 47 convolutions of hand_landmark_full"):
        trunk_state(shorter, source="palm.tflite")


def test_a_backbone_without_the_fetched_file_names_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"hand_landmark_full\.tflite.*hoiray assets fetch landmarks"):
        Backbone(BackboneConfig(**LANDMARK))
    assert Backbone(BackboneConfig(**LANDMARK), loads_weights=False).channels == 16


def test_a_checkpoint_needs_the_fetched_file_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights = tmp_path / "trunk.pth"
    torch.save(trunk(seed=5).state_dict(), weights)
    config = tiny_config().model_copy(update={"backbone": BackboneConfig(**LANDMARK, weights_uri=str(weights))})
    network = HandObjectNetwork(config, open_hand()).eval()
    packed = pack_checkpoint(network)
    weights.unlink()
    again, _ = unpack_checkpoint(packed, open_hand(), source="model.safetensors")
    inputs = make_batch(config).inputs
    with torch.no_grad():
        assert torch.equal(network(inputs).joints_3d_m, again(inputs).joints_3d_m)


@needs_landmarks
def test_away_from_the_border_it_sees_what_the_published_network_sees_of_a_shifted_picture() -> None:
    """TensorFlow's cells look one cell further at every halving: in all 3 px at stride 4, 7 at 8, 15 at 16.

    At stride 32 the border is seen everywhere in a picture of this size; its layers are held against the file's above.
    """
    graph = read_graph(network_file(NETWORK))
    backbone = Backbone(BackboneConfig(**LANDMARK)).eval()
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 24, 24), dtype=np.float32))
    images = nn.functional.interpolate(coarse, (384, 384), mode="bicubic").clamp(0, 1)
    ends = _ends_of_blocks(graph)
    with torch.inference_mode():
        published = GraphNetwork(graph).run(images)
        for level, (number, border) in enumerate(zip(ends, (6, 6, 11), strict=False)):
            shift = 4 * 2**level - 1
            shifted = nn.functional.pad(images, (0, shift, 0, shift), mode="replicate")[..., shift:, shift:]
            ours = backbone.trunk(shifted)[level]
            theirs = published[number]
            inside = (..., slice(border, -border - 1), slice(border, -border - 1))
            assert ours.shape == theirs.shape
            torch.testing.assert_close(ours[inside], theirs[inside], atol=2e-3, rtol=1e-3)


def _ends_of_blocks(graph: Graph) -> list[int]:
    """The tensors at the ends of the trunk's maps: those that the next block widens, and the one that is averaged."""
    widened = [one.inputs[0] for one in graph.operators if one.name == "conv_2d" and _widens(graph, one)]
    # block 0 widens nothing, so block k is widened k - 1 steps after block 1
    ends = [widened[block] for block in MAPS]
    return [*ends, next(one.inputs[0] for one in graph.operators if one.name == "mean")]


def _widens(graph: Graph, operator: Operator) -> bool:
    count, rows, _, inputs = graph.constants[operator.inputs[1]].shape
    return rows == 1 and count > inputs
