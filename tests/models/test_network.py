import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from network_batches import make_batch, make_network, open_hand, rows_of, tiny_config
from torch import Tensor, nn

from hoiray.config.network import (
    NetworkConfig,
    NetworkLossWeights,
    ObjectDecoderConfig,
    ReasoningConfig,
    network_preset,
)
from hoiray.errors import ContractError
from hoiray.hand.model import HandModel
from hoiray.models.heatmaps import expected_points, normalised
from hoiray.models.losses import TrainedNetwork
from hoiray.models.network import HandObjectNetwork, NetworkOutput


def reasoning(queries: str) -> NetworkConfig:
    return tiny_config(reasoning=ReasoningConfig(queries=queries))  # type: ignore[arg-type]


def test_the_network_says_everything_it_promises() -> None:
    config = reasoning("hand_object")
    network, batch = make_network(config).eval(), make_batch(config)
    output = network(batch.inputs, wants_vertices=True, wants_attention=True)
    cells = config.num_cells
    shapes = {name: None if value is None else tuple(value.shape) for name, value in vars(output).items()}
    assert shapes == {
        "heatmaps": (3, 21, 8, 8),
        "heatmap_logits": (3, 21, 8, 8),
        "joints_2d_unit": (3, 21, 2),
        "depths_box": (3, 21),
        "rotations": (3, 16, 3, 3),
        "betas": (3, 10),
        "joints_3d_m": (3, 21, 3),
        "vertices_m": (3, 778, 3),
        "side_logits": None,
        "object_points_unit": (3, cells, 21, 2),
        "object_confidence_logits": (3, cells, 21),
        "object_heatmap_logits": None,
        "hand_attention": (3, 1, cells, cells),
        "object_attention": (3, 1, cells, cells),
    }
    assert all(torch.isfinite(value).all() for value in vars(output).values() if value is not None)
    assert ((output.object_confidences > 0.0) & (output.object_confidences < 1.0)).all()


def heatmap_config(**changes: Any) -> NetworkConfig:
    return tiny_config(obj=ObjectDecoderConfig(head="heatmaps"), **changes)


def test_with_heatmaps_each_control_point_has_one_proposal_their_mean() -> None:
    config = heatmap_config()
    network, batch = make_network(config).eval(), make_batch(config)
    output = network(batch.inputs)
    assert config.num_proposals == 1
    assert output.object_points_unit.shape == (3, 1, 21, 2)
    assert output.object_confidence_logits.shape == (3, 1, 21)
    torch.testing.assert_close(
        output.object_points_unit[:, 0], expected_points(normalised(output.object_heatmap_logits))
    )


def test_joints_and_vertices_are_the_hand_models_about_the_wrist() -> None:
    config = tiny_config()
    network, batch = make_network(config).eval(), make_batch(config)
    with torch.no_grad():
        output = network(batch.inputs, wants_vertices=True)
    hand = open_hand().from_matrices(output.rotations[:, 0], output.rotations[:, 1:], output.betas)
    wrist = hand.joints[:, :1]
    torch.testing.assert_close(output.joints_3d_m, hand.joints - wrist, atol=1e-6, rtol=0.0)
    torch.testing.assert_close(output.vertices_m, hand.vertices - wrist, atol=1e-6, rtol=0.0)
    with torch.no_grad():
        fast = network(batch.inputs)
    assert fast.vertices_m is None
    torch.testing.assert_close(fast.joints_3d_m, output.joints_3d_m, atol=1e-6, rtol=0.0)


def test_images_of_another_size_are_refused() -> None:
    batch = make_batch(tiny_config())
    wrong = replace(batch.inputs, images=batch.inputs.images[:, :16, :16])
    with pytest.raises(ContractError, match="input_px"):
        make_network()(wrong)


def test_a_hand_model_of_another_precision_is_refused() -> None:
    double = HandModel.load(flat_hand_mean=True, tip_set="ho3d", dtype=torch.float64)
    with pytest.raises(ContractError, match="float32"):
        HandObjectNetwork(tiny_config(), double)


def test_a_samples_answer_does_not_depend_on_its_neighbours() -> None:
    config = tiny_config()
    network, batch = make_network(config).eval(), make_batch(config)
    with torch.no_grad():
        together, alone = network(batch.inputs), network(rows_of(batch, [1]).inputs)
    for name in ("rotations", "joints_2d_unit", "object_points_unit"):
        torch.testing.assert_close(getattr(together, name)[1:2], getattr(alone, name), atol=1e-5, rtol=1e-4)


# --- contextual reasoning: who hears of what -------------------------------------------------------------------------


def hears_of_the_other(queries: str) -> tuple[bool, bool]:
    """Whether the hand's answer depends on the object's box, and the object's on the hand's."""
    config = reasoning(queries)
    network, batch = make_network(config).eval(), make_batch(config)
    shifted = torch.tensor([2.0, 1.0, -2.0, -3.0])
    with torch.no_grad():
        base = network(batch.inputs)
        other_object = network(replace(batch.inputs, object_boxes_xyxy=batch.inputs.object_boxes_xyxy + shifted))
        other_hand = network(replace(batch.inputs, hand_boxes_xyxy=batch.inputs.hand_boxes_xyxy + shifted))
    hand = not torch.equal(base.joints_2d_unit, other_object.joints_2d_unit)
    return hand, not torch.equal(base.object_points_unit, other_hand.object_points_unit)


@pytest.mark.parametrize(
    ("queries", "hand", "obj"),
    [("none", False, False), ("hand", True, False), ("object", False, True), ("hand_object", True, True)],
)
def test_who_attends_is_who_hears_of_the_other(queries: str, hand: bool, obj: bool) -> None:
    assert hears_of_the_other(queries) == (hand, obj)


def test_attention_is_given_for_who_attends_only() -> None:
    for queries, has_hand, has_object in (("none", False, False), ("hand", True, False), ("object", False, True)):
        network = make_network(reasoning(queries)).eval()
        output = network(make_batch(reasoning(queries)).inputs, wants_attention=True)
        assert (output.hand_attention is not None, output.object_attention is not None) == (has_hand, has_object)


# --- mask B: samples whose object is not supervised leave no trace in the object branch ------------------------------


def object_branch(network: HandObjectNetwork) -> nn.Module:
    assert network.object_reasoning is not None
    return nn.ModuleList([network.object_decoder, network.object_reasoning])


def trained_once(batch: object, config: NetworkConfig) -> HandObjectNetwork:
    """One backward pass. The trunk's batch norms see every sample by right, so they are held still."""
    network = make_network(config).train()
    network.backbone.eval()
    TrainedNetwork(network)(batch)["total"].backward()
    return network


def test_unsupervised_samples_leave_no_trace_in_the_object_branch() -> None:
    config = tiny_config()
    batch = make_batch(config, size=5)
    kept = torch.tensor([True, False, True, False, True])
    masked = replace(batch, obj=replace(batch.obj, is_supervised=kept))
    with_others, without = (trained_once(b, config) for b in (masked, rows_of(batch, [0, 2, 4])))
    first, second = object_branch(with_others), object_branch(without)
    for (name, buffer), other in zip(first.named_buffers(), second.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, atol=1e-6, rtol=1e-5, msg=name)
    for (name, weight), other_weight in zip(first.named_parameters(), second.parameters(), strict=True):
        assert weight.grad is not None
        assert other_weight.grad is not None
        torch.testing.assert_close(weight.grad, other_weight.grad, atol=1e-4, rtol=1e-4, msg=name)
    # had they been let in, both would differ
    unmasked = object_branch(trained_once(batch, config))
    assert not torch.allclose(dict(unmasked.named_buffers())["0.shared.1.running_mean"], next(iter(first.buffers())))


@pytest.mark.parametrize("config", [tiny_config(), heatmap_config()], ids=["single", "heatmaps"])
def test_a_batch_without_any_object_trains_the_hand_and_gives_the_object_zero_gradients(
    config: NetworkConfig,
) -> None:
    batch = make_batch(config)
    nothing = torch.zeros(3, dtype=torch.bool)
    network = make_network(config).train()
    before = copy.deepcopy(list(network.object_decoder.buffers()))
    losses = TrainedNetwork(network)(replace(batch, obj=replace(batch.obj, is_supervised=nothing)))
    losses["total"].backward()
    assert losses["object_location"].item() == losses["object_confidence"].item() == 0.0
    assert torch.isfinite(losses["total"])
    assert all(torch.equal(old, new) for old, new in zip(before, network.object_decoder.buffers(), strict=True))
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        is_object = name.startswith(("object_decoder", "object_reasoning"))
        assert not is_object or (weight.grad == 0.0).all(), name
    assert network.backbone.trunk.stem[0][0].weight.grad.abs().sum() > 0.0


@pytest.mark.parametrize("config", [tiny_config(), heatmap_config()], ids=["single", "heatmaps"])
def test_left_out_objects_are_absent_not_invented(config: NetworkConfig) -> None:
    network, batch = make_network(config).eval(), make_batch(config)
    rows = torch.tensor([True, False, True])
    with torch.no_grad():
        output, whole = network(batch.inputs, object_rows=rows), network(batch.inputs)
        none = network(batch.inputs, object_rows=torch.zeros(3, dtype=torch.bool))
    assert torch.isnan(output.object_points_unit[1]).all()
    assert torch.isnan(none.object_confidences).all()
    torch.testing.assert_close(output.object_points_unit[[0, 2]], whole.object_points_unit[[0, 2]])
    torch.testing.assert_close(output.rotations, whole.rotations)


# --- gradients, precision, presets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("queries", ["none", "hand", "object", "hand_object"])
def test_every_weight_has_a_gradient_in_every_step(queries: str) -> None:
    """Data-parallel training hangs on a weight without one."""
    for config in (reasoning(queries), heatmap_config(reasoning=ReasoningConfig(queries=queries))):  # type: ignore[arg-type]
        network = make_network(config).train()
        TrainedNetwork(network)(make_batch(config))["total"].backward()
        assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_what_says_whether_to_trust_a_point_does_not_move_it() -> None:
    weights = NetworkLossWeights(**dict.fromkeys(NetworkLossWeights.model_fields, 0.0) | {"object_confidence": 1.0})
    losses = tiny_config().losses.model_copy(update={"weights": weights})
    config = heatmap_config(losses=losses)
    network = make_network(config).train()
    TrainedNetwork(network)(make_batch(config))["total"].backward()
    moved = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert moved == {"object_decoder.trust", "object_decoder.trust_bias"}


def test_half_precision_outside_is_full_precision_in_what_is_said() -> None:
    config = tiny_config()
    network, batch = make_network(config).train(), make_batch(config)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output: NetworkOutput = network(batch.inputs, wants_vertices=True)
        losses = TrainedNetwork(network)(batch)
    said = {n: v for n, v in vars(output).items() if isinstance(v, Tensor)}
    assert {name: value.dtype for name, value in said.items()} == dict.fromkeys(said, torch.float32)
    assert {value.dtype for value in losses.values()} == {torch.float32}
    losses["total"].backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in network.parameters())


def test_weights_are_all_a_network_saves() -> None:
    names = make_network().state_dict().keys()
    assert not [name for name in names if name.startswith("hand.") or "_mean" in name.replace("running_mean", "")]


def test_nano_steps_forward_and_back_and_stays_small() -> None:
    config = network_preset("nano")
    network = make_network(config).train()
    assert sum(weight.numel() for weight in network.parameters()) < 1_300_000
    losses = TrainedNetwork(network)(make_batch(config, size=2))
    losses["total"].backward()
    assert torch.isfinite(losses["total"])


def test_small_and_released_run_too() -> None:
    for name in ("small", "released"):
        config = network_preset(name, input_px=128)
        network = make_network(config).eval()
        with torch.no_grad():
            output = network(make_batch(config, size=1).inputs)
        assert torch.isfinite(output.object_points_unit).all()


# --- preset `paper` against Table 6 of the paper ---------------------------------------------------------------------

TABLE_6 = {
    "0 input image": (512, 512, 3),
    "1 ResNet-50-FPN (P2)": (128, 128, 256),
    "1 hand RoIAlign": (32, 32, 256),
    "1 object RoIAlign": (32, 32, 256),
    "2 enhanced object feature": (32, 32, 256),
    "3 hourglass module": (32, 32, 21),
    "3 4 residual blocks": (2, 2, 512),
    "3 flatten": (2048,),
    "3 3 FC layers": (58,),
    "4 4 shared 2D convolutions": (32, 32, 256),
    "4 2D convolutions of localization": (32, 32, 42),
    "4 2D convolutions of confidence": (32, 32, 21),
}

PARAMETERS = {
    # ResNet-50 without classifier; P2 of the pyramid: 1x1 from 256, 512, 1024, 2048 and one 3x3, all with biases
    "1 ResNet-50-FPN (P2)": 23_508_032 + (256 + 512 + 1024 + 2048) * 256 + 4 * 256 + (9 * 256 + 1) * 256,
    # query, key, value; layer norm; MLP of 4 x 256
    "2 enhanced object feature": 3 * (256 + 1) * 256 + 2 * 256 + (256 + 1) * 1024 + (1024 + 1) * 256,
    # 2048 -> 1024 -> 512 -> 48 + 10
    "3 3 FC layers": (2048 + 1) * 1024 + (1024 + 1) * 512 + (512 + 1) * 58,
    "4 4 shared 2D convolutions": 4 * (9 * 256 * 256 + 2 * 256),
    "4 2D convolutions of localization": 9 * 256 * 256 + 2 * 256 + (9 * 256 + 1) * 42,
    "4 2D convolutions of confidence": 9 * 256 * 256 + 2 * 256 + (9 * 256 + 1) * 21,
}


def watched(network: HandObjectNetwork) -> dict[str, tuple[nn.Module, ...]]:
    """The modules behind each line of the table; the last one's output is the line's."""
    hand, obj = network.hand_decoder, network.object_decoder
    assert network.object_reasoning is not None
    return {
        "1 ResNet-50-FPN (P2)": (network.backbone,),
        "2 enhanced object feature": (network.object_reasoning,),
        "3 hourglass module": (hand.locator,),
        "3 4 residual blocks": (hand.encoder.of_features, hand.encoder.of_heatmaps, hand.encoder.stages),
        "3 flatten": (hand.encoder,),
        "3 3 FC layers": (hand.hidden, hand.pose, hand.shape),
        "4 4 shared 2D convolutions": (obj.shared,),
        "4 2D convolutions of localization": (obj.location,),
        "4 2D convolutions of confidence": (obj.confidence,),
    }


def test_the_preset_paper_is_table_6_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    config = network_preset("paper")
    network = make_network(config).eval()
    batch = make_batch(config, size=1)
    shapes: dict[str, tuple[int, ...]] = {"0 input image": tuple(batch.inputs.images.shape[1:])}
    lines = watched(network)

    def remember(name: str, output: object) -> None:
        value = output[-1] if isinstance(output, tuple) and name == "3 hourglass module" else output
        value = value[0] if isinstance(value, tuple) else value
        assert isinstance(value, Tensor)
        shape = tuple(value.shape[1:])
        shapes[name] = (*shape[1:], shape[0]) if len(shape) == 3 else shape

    for name, modules in lines.items():
        modules[-1].register_forward_hook(lambda _module, _args, output, name=name: remember(name, output))
    network.hand_decoder.register_forward_pre_hook(lambda _, args: remember("1 hand RoIAlign", args[0]))
    network.object_reasoning.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _, args: remember("1 object RoIAlign", args[0])
    )
    with torch.no_grad():
        network(batch.inputs)
    outputs = network.hand_decoder.form.num_outputs + shapes["3 3 FC layers"][0]
    shapes["3 3 FC layers"] = (outputs,)
    counts = {name: sum(w.numel() for m in modules for w in m.parameters()) for name, modules in lines.items()}
    for name in TABLE_6:
        count = f"{counts[name]:>12,}" if name in counts and name != "3 flatten" else ""
        print(f"{name:36} {' x '.join(map(str, shapes[name])):>16} {count}")
    print(f"{'all':36} {'':>16} {sum(w.numel() for w in network.parameters()):>12,}")
    assert shapes == TABLE_6
    assert {name: counts[name] for name in PARAMETERS} == PARAMETERS
    assert "3 flatten" in capsys.readouterr().out
