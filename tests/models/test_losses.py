import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from network_batches import make_batch, make_network, open_hand, rows_of, tiny_config
from torch import Tensor

from hoiray.config.network import LossConfig, NetworkLossWeights, network_preset
from hoiray.errors import ContractError
from hoiray.geometry.rotations_torch import axis_angle_to_matrix
from hoiray.models.batch import Batch
from hoiray.models.heatmaps import gaussians
from hoiray.models.losses import (
    HAND_ANNOTATED,
    HAND_PSEUDO,
    PSEUDO_SHARE,
    TOTAL,
    TrainedNetwork,
    compute_losses,
    depths_in_box_sides,
    with_mirrored,
)
from hoiray.models.network import NetworkOutput

CELLS = 4
NOTHING = dict.fromkeys(NetworkLossWeights.model_fields, 0.0)
Name = str


def only(name: Name, weight: float = 1.0, **changes: Any) -> LossConfig:
    """One term alone."""
    return LossConfig(weights=NetworkLossWeights(**(NOTHING | {name: weight})), **changes)


def truth(size: int = 2) -> Batch:
    """A batch on a grid of 4 x 4 cells."""
    config = tiny_config(
        regions=tiny_config().regions.model_copy(update={"cells": CELLS}),
        hand=tiny_config().hand.model_copy(update={"hourglass_depth": 1}),
    )
    return make_batch(config, size=size)


def perfect(batch: Batch) -> NetworkOutput:
    """An output that is the truth; its heatmaps are flat and its object says the cells' truth with full trust."""
    size = len(batch)
    posed = open_hand().from_matrices(batch.hand.rotations[:, 0], batch.hand.rotations[:, 1:], batch.hand.betas)
    boxes = batch.inputs.hand_boxes_xyxy
    joints = posed.joints - posed.joints[:, :1]
    logits = torch.zeros(size, 21, CELLS, CELLS)
    return NetworkOutput(
        heatmaps=torch.softmax(logits.flatten(2), dim=-1).reshape(logits.shape),
        heatmap_logits=logits,
        joints_2d_unit=batch.hand.joints_2d_unit.clone(),
        depths_box=depths_in_box_sides(joints, batch.hand.joints_2d_unit, boxes[:, 2:] - boxes[:, :2]),
        rotations=batch.hand.rotations.clone(),
        betas=batch.hand.betas.clone(),
        joints_3d_m=joints,
        vertices_m=posed.vertices - posed.joints[:, :1],
        side_logits=torch.full((size,), 100.0),
        object_points_unit=batch.obj.control_points_unit[:, None].expand(size, CELLS**2, 21, 2).clone(),
        object_confidence_logits=torch.full((size, CELLS**2, 21), 100.0),
    )


def loss(output: NetworkOutput, batch: Batch, config: LossConfig) -> dict[str, float]:
    return {name: value.item() for name, value in compute_losses(output, batch, config, open_hand()).items()}


def test_the_truth_costs_nothing() -> None:
    batch = truth()
    weights = NetworkLossWeights(heatmaps=0.0, depth=1.0)
    losses = loss(perfect(batch), batch, LossConfig(joints_2d="coordinates", weights=weights))
    assert set(losses) == {
        TOTAL,
        *("joints_3d", "vertices", "pose", "shape", "joints_2d", "depth", "object_location", "object_confidence"),
    }
    assert losses == pytest.approx(dict.fromkeys(losses, 0.0), abs=1e-8)


# --- every term by hand ----------------------------------------------------------------------------------------------


def test_joints_are_mean_squares_in_metres() -> None:
    """One coordinate of one joint of one of two hands 3 cm off: 0.03^2 / (2 * 21 * 3)."""
    batch = truth()
    output = perfect(batch)
    output.joints_3d_m[1, 4, 2] += 0.03
    losses = loss(output, batch, only("joints_3d", weight=1e4))
    assert losses["joints_3d"] == pytest.approx(0.03**2 / 126, rel=1e-4)
    assert losses[TOTAL] == pytest.approx(1e4 * 0.03**2 / 126, rel=1e-4)
    absolute = loss(output, batch, only("joints_3d", hand_distance="absolute"))
    assert absolute["joints_3d"] == pytest.approx(0.03 / 126, rel=1e-3)


def test_vertices_are_mean_squares_in_metres() -> None:
    batch = truth()
    output = perfect(batch)
    assert output.vertices_m is not None
    output.vertices_m[0] += torch.tensor([0.01, -0.02, 0.0])
    assert loss(output, batch, only("vertices"))["vertices"] == pytest.approx((1e-4 + 4e-4) / 3 / 2, rel=1e-4)


def test_the_pose_is_compared_as_matrices() -> None:
    """Half a turn of one joint about z changes two entries of nine by 2: (4 + 4) / (2 * 16 * 9)."""
    batch = truth()
    output = perfect(batch)
    half_turn = axis_angle_to_matrix(torch.tensor([0.0, 0.0, math.pi]))
    output.rotations[0, 5] = half_turn
    at_rest = batch.hand.rotations.clone()
    at_rest[0, 5] = torch.eye(3)
    batch = replace(batch, hand=replace(batch.hand, rotations=at_rest))
    assert loss(output, batch, only("pose"))["pose"] == pytest.approx(8.0 / 288, rel=1e-5)


def test_the_shape_is_a_mean_square_of_ten() -> None:
    batch = truth()
    output = perfect(batch)
    output.betas[0, 3] += 2.0
    assert loss(output, batch, only("shape"))["shape"] == pytest.approx(4.0 / 20)


def test_coordinates_are_mean_squares_in_the_unit_square() -> None:
    batch = truth()
    output = perfect(batch)
    output.joints_2d_unit[0, 7] += torch.tensor([0.3, -0.1])
    losses = loss(output, batch, only("joints_2d", joints_2d="coordinates"))
    assert losses["joints_2d"] == pytest.approx((0.09 + 0.01) / 84, rel=1e-5)


def test_heatmaps_are_squares_summed_over_cells() -> None:
    """Against Gaussians made cell by cell."""
    batch = truth()
    output = perfect(batch)
    total = 0.0
    for row in range(2):
        for x, y in batch.hand.joints_2d_unit[row].numpy():
            cells = np.array(
                [
                    [math.exp(-0.5 * ((c + 0.5 - 4 * x) ** 2 + (r + 0.5 - 4 * y) ** 2) / 0.8**2) for c in range(CELLS)]
                    for r in range(CELLS)
                ]
            )
            total += float(((cells / cells.sum() - 1 / 16) ** 2).sum())
    losses = loss(output, batch, only("heatmaps", heatmap_sigma_cells=0.8))
    assert losses["heatmaps"] == pytest.approx(total / 42, rel=1e-4)


def test_a_flat_heatmaps_cross_entropy_is_the_logarithm_of_its_cells() -> None:
    batch = truth()
    losses = loss(perfect(batch), batch, only("heatmaps", heatmap_distance="cross_entropy"))
    assert losses["heatmaps"] == pytest.approx(math.log(16), rel=1e-5)


def test_depths_are_mean_absolutes() -> None:
    batch = truth()
    output = perfect(batch)
    assert output.depths_box is not None
    output.depths_box[1, 3] -= 0.5
    assert loss(output, batch, only("depth"))["depth"] == pytest.approx(0.5 / 42, rel=1e-4)


def test_locations_are_absolutes_of_x_plus_y() -> None:
    """One proposal of 2 x 16 x 21 off by (0.1, -0.3)."""
    batch = truth()
    output = perfect(batch)
    output.object_points_unit[0, 6, 2] += torch.tensor([0.1, -0.3])
    losses = loss(output, batch, only("object_location", object_area="all_cells"))
    assert losses["object_location"] == pytest.approx(0.4 / (2 * 16 * 21), rel=1e-4)


def test_a_flat_control_point_heatmaps_cross_entropy_counts_supervised_objects_only() -> None:
    batch = truth()
    flat = torch.zeros(2, 21, CELLS, CELLS)
    output = replace(perfect(batch), object_heatmap_logits=flat)
    config = only("object_heatmaps", unsupervised="supervised")
    assert loss(output, batch, config)["object_heatmaps"] == pytest.approx(math.log(16), rel=1e-5)
    batch = replace(batch, obj=replace(batch.obj, is_supervised=torch.tensor([True, False])))
    flat[1] = torch.randn_like(flat[1])
    assert loss(output, batch, config)["object_heatmaps"] == pytest.approx(math.log(16), rel=1e-5)


def test_a_control_points_heatmap_is_right_where_it_has_its_mass() -> None:
    batch = truth()
    good = gaussians(batch.obj.control_points_unit, CELLS, 1.0).clamp_min(1e-30).log()
    for logits, is_better in ((good, True), (good.flip(-1), False)):
        output = replace(perfect(batch), object_heatmap_logits=logits)
        entropy = -(good.exp() * good).sum(dim=(2, 3)).mean().item()
        value = loss(output, batch, only("object_heatmaps"))["object_heatmaps"]
        assert (value == pytest.approx(entropy, rel=1e-4)) is is_better


def test_outside_the_mask_no_location_is_wrong_and_no_proposal_is_right() -> None:
    """Released code: background zeros dilute the mean; the true confidence there is zero."""
    batch = truth()
    masks = torch.zeros(2, CELLS, CELLS, dtype=torch.bool)
    masks[0, 1, 2] = True  # cell 6
    batch = replace(batch, obj=replace(batch.obj, masks=masks))
    output = perfect(batch)
    output.object_points_unit[0, 6, 2, 0] += 0.1
    output.object_points_unit[0, 7, 2, 0] += 9.0
    location = loss(output, batch, only("object_location", object_area="mask_cells"))["object_location"]
    assert location == pytest.approx(0.1 / (2 * 16 * 21), rel=1e-4)
    config = only("object_confidence", object_area="mask_cells", confidence_distance="absolute")
    trusting = loss(output, batch, config)["object_confidence"]  # says 1 everywhere
    expected = (31 * 21 + (1 - math.exp(-0.1))) / (32 * 21)
    assert trusting == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("distance", "power"), [("squared", 2), ("absolute", 1)])
@pytest.mark.parametrize("decay", [1.0, 8.0])
def test_the_true_confidence_falls_with_the_distance(distance: str, power: int, decay: float) -> None:
    batch = truth()
    output = perfect(batch)
    output.object_points_unit[1, 3, 9] += torch.tensor([0.3, 0.4])
    logits = output.object_confidence_logits.clone()
    logits[1, 3, 9] = 0.0  # says 0.5
    output = replace(output, object_confidence_logits=logits)
    config = only("object_confidence", confidence_distance=distance, confidence_decay=decay)
    expected = abs(0.5 - math.exp(-decay * 0.5)) ** power / (2 * 16 * 21)
    assert loss(output, batch, config)["object_confidence"] == pytest.approx(expected, rel=1e-4)


def test_the_true_confidence_is_no_way_to_lower_the_loss() -> None:
    """It is computed from the proposals, but they must not be moved by it."""
    batch = truth()
    output = perfect(batch)
    points = (output.object_points_unit + 0.1).requires_grad_()
    losses = compute_losses(replace(output, object_points_unit=points), batch, only("object_confidence"), open_hand())
    losses[TOTAL].backward()
    assert losses[TOTAL].item() > 0.0
    assert points.grad is not None
    assert (points.grad == 0.0).all()


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    config = network_preset("released").losses
    network, batch = make_network(tiny_config(losses=config)), make_batch(tiny_config())
    losses = TrainedNetwork(network)(batch)
    weights = config.weights.model_dump()
    parts = sum(weights[name] * value for name, value in losses.items() if name != TOTAL)
    torch.testing.assert_close(losses[TOTAL], parts)
    terms = {"vertices", "joints_3d", "pose", "shape", "joints_2d", "object_location", "object_confidence"}
    assert set(losses) == {TOTAL, *terms}


def test_the_paper_supervises_heatmaps_and_no_coordinates() -> None:
    network, batch = make_network(tiny_config(losses=network_preset("paper").losses)), make_batch(tiny_config())
    losses = TrainedNetwork(network)(batch)
    assert "heatmaps" in losses
    assert "joints_2d" not in losses


# --- who is compared with what ---------------------------------------------------------------------------------------


def test_the_true_joints_are_those_of_the_parameters_where_there_are_any() -> None:
    """One set of finger tips, whatever set a data set has; where it knows joints only, they are its own."""
    batch = truth()
    output = perfect(batch)
    others = batch.hand.joints_3d_m + 0.05
    hand = replace(batch.hand, joints_3d_m=others, has_mano=torch.tensor([True, False]))
    batch = replace(batch, hand=hand)
    expected = float((output.joints_3d_m[1] - others[1]).square().mean()) / 2
    assert loss(output, batch, only("joints_3d"))["joints_3d"] == pytest.approx(expected, rel=1e-4)


def gradients(output: NetworkOutput, batch: Batch, config: LossConfig) -> dict[str, Tensor]:
    names = ("rotations", "betas", "joints_3d_m", "vertices_m", "joints_2d_unit", "depths_box", "heatmap_logits")
    names += ("object_points_unit", "object_confidence_logits")
    leaves = {name: (getattr(output, name).detach() + 0.01).requires_grad_() for name in names}
    with torch.no_grad():
        leaves["object_confidence_logits"] -= 99.0  # the sigmoid of 100 has no gradient
    compute_losses(replace(output, **leaves), batch, config, open_hand())[TOTAL].backward()
    return {name: leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for name, leaf in leaves.items()}


EVERYTHING = LossConfig(
    joints_2d="both",
    heatmap_distance="cross_entropy",
    weights=NetworkLossWeights(depth=1.0, heatmaps=1.0),
)


@pytest.mark.parametrize("unsupervised", ["batch", "supervised"])
def test_joints_alone_teach_joints_and_nothing_else(unsupervised: str) -> None:
    batch = truth()
    hand = replace(batch.hand, has_mano=torch.tensor([True, False]))
    config = EVERYTHING.model_copy(update={"unsupervised": unsupervised})
    found = gradients(perfect(batch), replace(batch, hand=hand), config)
    for name in ("rotations", "betas", "vertices_m"):
        assert (found[name][0] != 0.0).any(), name
        assert (found[name][1] == 0.0).all(), name
    for name in ("joints_3d_m", "joints_2d_unit", "depths_box", "heatmap_logits"):
        assert (found[name][1] != 0.0).any(), name


@pytest.mark.parametrize("area", ["all_cells", "mask_cells"])
def test_an_unsupervised_object_teaches_nothing_even_where_it_is_no_number(area: str) -> None:
    batch = truth()
    obj = replace(batch.obj, is_supervised=torch.tensor([False, True]))
    output = perfect(batch)
    output.object_points_unit[0], output.object_confidence_logits[0] = torch.nan, torch.nan
    found = gradients(output, replace(batch, obj=obj), EVERYTHING.model_copy(update={"object_area": area}))
    for name in ("object_points_unit", "object_confidence_logits"):
        assert (found[name][0] == 0.0).all(), name
        assert (found[name][1] != 0.0).any(), name
    assert (found["rotations"][0] != 0.0).any()


@pytest.mark.parametrize(("unsupervised", "divisor"), [("batch", 4), ("supervised", 1)])
def test_a_term_is_averaged_over_the_batch_or_over_who_knows_its_truth(unsupervised: str, divisor: int) -> None:
    """Four samples, one with parameters and object: its error alone, or a quarter of it (released code: x B / sum)."""
    batch = truth(size=4)
    one = torch.tensor([False, False, True, False])
    batch = replace(batch, hand=replace(batch.hand, has_mano=one), obj=replace(batch.obj, is_supervised=one))
    output = perfect(batch)
    output.betas[:, 0] += 1.0
    output.object_points_unit[:, :, :, 0] += 0.2
    for name, alone in (("shape", 0.1), ("object_location", 0.2)):
        value = loss(output, batch, only(name, unsupervised=unsupervised))[name]
        assert value == pytest.approx(alone / divisor, rel=1e-4), name


@pytest.mark.parametrize("unsupervised", ["batch", "supervised"])
def test_a_term_nobody_knows_the_truth_of_is_zero(unsupervised: str) -> None:
    batch = truth()
    nobody = torch.zeros(2, dtype=torch.bool)
    batch = replace(batch, hand=replace(batch.hand, has_mano=nobody), obj=replace(batch.obj, is_supervised=nobody))
    output = perfect(batch)
    output.betas[:] += 1.0
    losses = loss(output, batch, EVERYTHING.model_copy(update={"unsupervised": unsupervised}))
    assert [losses[name] for name in ("shape", "pose", "object_location", "object_confidence")] == [0.0] * 4
    assert math.isfinite(losses[TOTAL])


def test_a_samples_weight_multiplies_all_its_losses() -> None:
    batch = truth()
    output = perfect(batch)
    output.betas[0] += 1.0
    output.joints_2d_unit[0] += 0.1
    output.object_points_unit[0] += 0.1
    config = LossConfig(joints_2d="coordinates")
    before = loss(output, batch, config)
    after = loss(output, replace(batch, weights=torch.tensor([0.25, 1.0])), config)
    for name in ("shape", "joints_2d", "object_location"):
        assert after[name] == pytest.approx(0.25 * before[name], rel=1e-3), name


def test_a_batch_is_the_mean_of_its_halves() -> None:
    """So that workers may share one, where terms are averaged over the batch."""
    config = tiny_config(losses=EVERYTHING)
    network = make_network(config).eval()
    batch = make_batch(config, size=4)
    batch = replace(batch, obj=replace(batch.obj, is_supervised=torch.tensor([True, True, True, False])))
    with torch.no_grad():
        whole = TrainedNetwork(network)(batch)
        halves = [TrainedNetwork(network)(rows_of(batch, rows)) for rows in ([0, 1], [2, 3])]
    for name, value in whole.items():
        mean = 0.5 * (halves[0][name] + halves[1][name])
        torch.testing.assert_close(value, mean, atol=1e-5, rtol=1e-4, msg=name)


def test_a_weight_without_its_output_is_refused() -> None:
    batch = truth()
    output = replace(perfect(batch), vertices_m=None, depths_box=None)
    with pytest.raises(ContractError, match="wants_vertices"):
        compute_losses(output, batch, only("vertices"), open_hand())
    with pytest.raises(ContractError, match="predicts_depth"):
        compute_losses(output, batch, only("depth"), open_hand())


# --- depths in the unit of the picture -------------------------------------------------------------------------------


def test_depths_have_the_unit_of_the_picture() -> None:
    """Seen by an orthographic camera of 500 px/m, 5 cm behind the wrist are 25 px: a quarter of a box of 100 px."""
    rng = torch.Generator().manual_seed(0)
    joints = torch.randn(2, 21, 3, generator=rng) * 0.04
    joints = joints - joints[:, :1]
    sizes = torch.tensor([[80.0, 125.0], [100.0, 100.0]])
    unit = (joints[..., :2] * 500.0 + 40.0) / sizes[:, None]
    depths = depths_in_box_sides(joints, unit, sizes)
    torch.testing.assert_close(depths, joints[..., 2] * 5.0, atol=1e-5, rtol=1e-4)


def test_a_hand_seen_as_one_point_has_finite_depths() -> None:
    zeros = torch.zeros(1, 21, 3)
    assert torch.isfinite(depths_in_box_sides(zeros, zeros[..., :2], torch.tensor([[10.0, 10.0]]))).all()


def test_the_hand_is_told_of_annotated_and_pseudo_labels_apart() -> None:
    config = tiny_config()
    batch, network = make_batch(config, size=4), TrainedNetwork(make_network(config))
    network.eval()
    told = network(replace(batch, is_pseudo=torch.tensor([True, False, False, True])))
    silent = network(batch)
    assert torch.equal(told[TOTAL], silent[TOTAL])
    assert set(told) - set(silent) == {HAND_ANNOTATED, HAND_PSEUDO, PSEUDO_SHARE}
    assert float(told[PSEUDO_SHARE]) == 0.5
    weights = config.losses.weights
    hand = sum(
        getattr(weights, name) * value
        for name, value in silent.items()
        if name != TOTAL and not name.startswith("object_")
    )
    torch.testing.assert_close(told[HAND_ANNOTATED] + told[HAND_PSEUDO], hand)
    assert not told[HAND_PSEUDO].requires_grad
    for rows, name in (([1, 2], HAND_ANNOTATED), ([0, 3], HAND_PSEUDO)):
        alone = network(replace(rows_of(batch, rows), is_pseudo=torch.zeros(2, dtype=torch.bool)))
        torch.testing.assert_close(alone[HAND_ANNOTATED], 2.0 * told[name])


def test_sides_weigh_as_they_are_and_mirrored_alike() -> None:
    batch = truth(4)
    sure, unsure = perfect(batch), replace(perfect(batch), side_logits=torch.zeros(4))
    config = only("side")

    def side(output: NetworkOutput, mirrored: Tensor) -> float:
        return compute_losses(output, batch, config, open_hand(), mirrored)["side"].item()

    assert side(sure, torch.tensor([-100.0])) == pytest.approx(0.0, abs=1e-6)
    assert side(unsure, torch.zeros(1)) == pytest.approx(math.log(2.0))
    assert side(sure, torch.zeros(1)) == side(unsure, torch.tensor([-100.0])) == pytest.approx(0.5 * math.log(2.0))
    assert side(sure, torch.tensor([100.0])) == pytest.approx(50.0)
    assert "side" not in compute_losses(sure, batch, config, open_hand())


def test_crops_are_mirrored_with_their_boxes() -> None:
    inputs = truth(3).inputs
    both = with_mirrored(inputs, 2)
    assert torch.equal(both.images[:3], inputs.images)
    assert torch.equal(both.images[3:].flip(2), inputs.images[:2])
    size = inputs.images.shape[2]
    for name in ("hand_boxes_xyxy", "object_boxes_xyxy"):
        before, after = getattr(inputs, name), getattr(both, name)
        assert torch.equal(after[:3], before)
        there = after[3:]
        back = torch.stack([size - 1 - there[:, 2], there[:, 1], size - 1 - there[:, 0], there[:, 3]], dim=1)
        torch.testing.assert_close(back, before[:2])
    assert with_mirrored(inputs, 0) is inputs


def test_only_a_network_that_tells_sides_sees_mirrored_crops_and_only_in_training() -> None:
    hand = tiny_config().hand.model_copy(update={"predicts_side": True})
    weights = tiny_config().losses.weights.model_copy(update={"side": 1.0})
    tells = tiny_config(hand=hand, losses=tiny_config().losses.model_copy(update={"weights": weights}))
    for config, is_training, learns in ((tells, True, True), (tells, False, False), (tiny_config(), True, False)):
        trained = TrainedNetwork(make_network(config)).train(is_training)
        seen: list[int] = []
        trained.network.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(len(given[0].images)))
        losses = trained(make_batch(config, size=4))
        assert ("side" in losses) is learns
        assert seen == [5 if learns else 4]
