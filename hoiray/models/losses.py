"""What the network is taught by: every term named, weighted, and averaged over the samples that know its truth.

As in the released code, terms are means over elements (the paper prints sums), lengths in metres, 2D in unit squares of
boxes. The paper's weights are the code's over 1000; those of its mesh losses are not printed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from hoiray.config.network import LossConfig
from hoiray.errors import ContractError, describe
from hoiray.hand.joints import WRIST
from hoiray.hand.model import HandModel
from hoiray.models.batch import Batch, HandTargets, NetworkInput, ObjectTargets
from hoiray.models.heatmaps import gaussians
from hoiray.models.network import HandObjectNetwork, NetworkOutput

TOTAL: Final = "total"
"""Name of the weighted sum; all others are unweighted terms."""

HAND_ANNOTATED: Final = "hand_annotated"
HAND_PSEUDO: Final = "hand_pseudo"
PSEUDO_SHARE: Final = "pseudo_share"
"""Names of what is told of annotated samples and pseudo labels apart; nothing is minimised by them."""

MIN_SPREAD: Final = 1e-9
"""Smallest sum of squares (m^2) of true joints about their middle for which a weak-perspective scale is solved."""

MIRRORED_SHARE: Final = 0.25
"""Of a batch's crops, seen a second time as a mirror shows them, where the network learns to tell sides."""

Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _TrueHand:
    """Truth in the form the losses compare: joints and vertices of the parameters where there are any.

    Recomputed, so that one set of finger tips holds whatever data set a sample comes from; where a data set knows
    joints only, they are its own.
    """

    joints_3d_m: Tensor
    vertices_m: Tensor | None


def compute_losses(
    output: NetworkOutput,
    batch: Batch,
    config: LossConfig,
    hand: HandModel,
    mirrored_side_logits: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compare a network's output with the truth.

    A hand's term whose weight is zero is not computed and not returned; the object's always are, for workers that train
    together need a gradient for every weight of its branch, be it zero.

    A sample counts `batch.weights` times in every term it has the truth for. Samples without (`has_mano` False for
    rotations, betas and vertices, `is_supervised` False for the object) add neither loss nor gradient.

    Args:
        output: of the network, with vertices if they have a weight.
        batch: the same samples.
        config: terms, distances, weights.
        hand: the network's hand model, for the joints and vertices of the true parameters.
        mirrored_side_logits: (M,) of the first M samples, mirrored; None: sides are not learnt.

    Returns:
        Unweighted terms by name, scalars, and :data:`TOTAL`, their weighted sum. Where the batch tells kinds apart,
        also the parts of :func:`_hand_by_kind`.

    Raises:
        ContractError: the vertices have a weight, but the output has none; likewise the depths.
    """
    with torch.autocast(output.betas.device.type, enabled=False):
        terms = _hand_terms(output, batch, config, hand) | _object_terms(output, batch.obj, config)
        if mirrored_side_logits is not None and config.weights.side > 0.0:
            terms["side"] = _side_error(output, mirrored_side_logits)
        known = {"rotations": batch.hand.has_mano, "object": batch.obj.is_supervised}
        means = {
            name: _mean(values, batch.weights, known.get(_KNOWN_BY.get(name, "")), config)
            for name, values in terms.items()
        }
        total = torch.stack([getattr(config.weights, name) * mean for name, mean in means.items()]).sum()
        kinds = {} if batch.is_pseudo is None else _hand_by_kind(terms, known, batch.is_pseudo, config)
    return {TOTAL: total, **means, **kinds}


@torch.no_grad()
def _hand_by_kind(
    terms: Mapping[str, Tensor], known: Mapping[str, Tensor], is_pseudo: Tensor, config: LossConfig
) -> dict[str, Tensor]:
    """Return the hand's weighted losses of annotated samples and of pseudo labels, each over the size of the batch.

    Over the share of the kind, :data:`PSEUDO_SHARE`, they are means; a batch of one kind has a mean of that one only.
    The samples' own weights are left out, so that the two can be compared.
    """
    hand = torch.zeros(len(is_pseudo), device=is_pseudo.device)
    for name, values in terms.items():
        knows = known.get(_KNOWN_BY.get(name, ""))
        if not name.startswith("object_"):
            kept = values if knows is None else torch.where(knows, values, torch.zeros_like(values))
            hand += getattr(config.weights, name) * kept
    pseudo = is_pseudo.to(hand.dtype)
    return {
        HAND_ANNOTATED: (hand * (1.0 - pseudo)).mean(),
        HAND_PSEUDO: (hand * pseudo).mean(),
        PSEUDO_SHARE: pseudo.mean(),
    }


_KNOWN_BY: Final = {
    "pose": "rotations",
    "shape": "rotations",
    "vertices": "rotations",
    "object_heatmaps": "object",
    "object_location": "object",
    "object_confidence": "object",
}
"""Which truth a term needs; the others need joints alone, which every sample has."""


class TrainedNetwork(nn.Module):
    """A network that answers a batch with its losses: what a training step and a data-parallel wrapper want.

    Attributes:
        network: the network itself.
    """

    def __init__(self, network: HandObjectNetwork) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return :func:`compute_losses` of a batch; only supervised objects are looked at."""
        config = self.network.config.losses
        num_mirrored = self._num_mirrored(len(batch))
        looks_at = batch.obj.is_supervised
        output = self.network(
            with_mirrored(batch.inputs, num_mirrored),
            object_rows=torch.cat([looks_at, looks_at.new_zeros(num_mirrored)]),
            wants_vertices=config.weights.vertices > 0.0,
        )
        own, mirrored = output.rows(slice(len(batch))), output.side_logits
        mirrored = mirrored[len(batch) :] if mirrored is not None and num_mirrored else None
        return compute_losses(own, batch, config, self.network.hand, mirrored)

    def _num_mirrored(self, batch_size: int) -> int:
        learns = self.network.config.hand.predicts_side and self.network.config.losses.weights.side > 0.0
        return math.ceil(MIRRORED_SHARE * batch_size) if learns and self.training else 0


def with_mirrored(inputs: NetworkInput, number: int) -> NetworkInput:
    """Append the first crops as a mirror shows them: hands of the other side."""
    if number == 0:
        return inputs
    size = inputs.images.shape[2]

    def appended(boxes: Tensor) -> Tensor:
        left, top, right, bottom = boxes[:number].unbind(dim=1)
        return torch.cat([boxes, torch.stack([size - 1 - right, top, size - 1 - left, bottom], dim=1)])

    images = torch.cat([inputs.images, inputs.images[:number].flip(2)])
    return NetworkInput(images, appended(inputs.hand_boxes_xyxy), appended(inputs.object_boxes_xyxy))


def depths_in_box_sides(joints_3d_m: Tensor, joints_2d_unit: Tensor, box_sizes_px: Tensor) -> Tensor:
    """Return joints' depths behind the wrist in the unit of the picture: sides of the hand box.

    Metres are turned into px by the weak-perspective scale that takes the 3D joints to the 2D ones (least squares), and
    px into sides of the box (root of its area). So x, y and depth of a hand have one unit, which a picture shows.

    Args:
        joints_3d_m: (B, 21, 3) relative to the wrist.
        joints_2d_unit: (B, 21, 2) in the unit square of the box.
        box_sizes_px: (B, 2) width and height.
    """
    sides = box_sizes_px.prod(dim=1).sqrt()
    in_sides = joints_2d_unit * (box_sizes_px / sides[:, None])[:, None]
    flat, seen = (points - points.mean(dim=1, keepdim=True) for points in (joints_3d_m[..., :2], in_sides))
    scale = (flat * seen).sum(dim=(1, 2)) / flat.square().sum(dim=(1, 2)).clamp_min(MIN_SPREAD)
    return joints_3d_m[..., 2] * scale[:, None]


def _hand_terms(output: NetworkOutput, batch: Batch, config: LossConfig, hand: HandModel) -> dict[str, Tensor]:
    """Return (B,) values of every hand term that has a weight."""
    target, weights = batch.hand, config.weights
    distance = _squared if config.hand_distance == "squared" else _absolute
    truth = _true_hand(target, hand, wants_vertices=weights.vertices > 0.0)
    terms: dict[str, Tensor] = {}
    if weights.joints_3d > 0.0:
        terms["joints_3d"] = _per_sample(distance(output.joints_3d_m, truth.joints_3d_m))
    if truth.vertices_m is not None:
        vertices = _required(output.vertices_m, "vertices", "Ask the network for them (wants_vertices).")
        terms["vertices"] = _per_sample(distance(vertices, truth.vertices_m))
    if weights.pose > 0.0:
        terms["pose"] = _per_sample(_squared(output.rotations, target.rotations))
    if weights.shape > 0.0:
        terms["shape"] = _per_sample(_squared(output.betas, target.betas))
    if weights.joints_2d > 0.0 and config.joints_2d != "heatmaps":
        terms["joints_2d"] = _per_sample(distance(output.joints_2d_unit, target.joints_2d_unit))
    if weights.heatmaps > 0.0 and config.joints_2d != "coordinates":
        terms["heatmaps"] = _heatmap_error(output, target, config)
    if weights.depth > 0.0:
        depths = _required(output.depths_box, "depth", "Set hand.predicts_depth, or the weight to 0.")
        boxes = batch.inputs.hand_boxes_xyxy
        true_depths = depths_in_box_sides(truth.joints_3d_m, target.joints_2d_unit, boxes[:, 2:] - boxes[:, :2])
        terms["depth"] = _per_sample(_absolute(depths, true_depths))
    return terms


@torch.no_grad()
def _true_hand(target: HandTargets, hand: HandModel, *, wants_vertices: bool) -> _TrueHand:
    wrist, fingers = target.rotations[:, 0], target.rotations[:, 1:]
    vertices = None
    if wants_vertices:
        posed = hand.from_matrices(wrist, fingers, target.betas)
        joints, vertices = posed.joints, posed.vertices - posed.joints[:, WRIST : WRIST + 1]
    else:
        joints = hand.joints_only_from_matrices(wrist, fingers, target.betas)
    joints = joints - joints[:, WRIST : WRIST + 1]
    return _TrueHand(torch.where(target.has_mano[:, None, None], joints, target.joints_3d_m), vertices)


def _heatmap_error(output: NetworkOutput, target: HandTargets, config: LossConfig) -> Tensor:
    """Return (B,) errors summed over cells, averaged over joints."""
    if config.heatmap_distance == "squared":
        true = gaussians(target.joints_2d_unit, output.heatmaps.shape[-1], config.heatmap_sigma_cells)
        return _squared(output.heatmaps, true).sum(dim=(2, 3)).mean(dim=1)
    return _cross_entropy(output.heatmap_logits, target.joints_2d_unit, config)


def _cross_entropy(logits: Tensor, points_unit: Tensor, config: LossConfig) -> Tensor:
    """Return (B,) cross-entropies of heatmaps (B, J, R, R) with Gaussians at points (B, J, 2), averaged over J."""
    true = gaussians(points_unit, logits.shape[-1], config.heatmap_sigma_cells)
    log_probabilities = torch.log_softmax(logits.flatten(2), dim=-1)
    return -(true.flatten(2) * log_probabilities).sum(dim=2).mean(dim=1)


def _side_error(output: NetworkOutput, mirrored_logits: Tensor) -> Tensor:
    """Return (B,) cross-entropies of the side; the mirrored crops, of the first samples, weigh as much."""
    logits = _required(output.side_logits, "side", "Set hand.predicts_side, or the weight to 0.")
    errors = softplus(-logits)
    number = len(mirrored_logits)
    mirrored = torch.cat([softplus(mirrored_logits), mirrored_logits.new_zeros(len(errors) - number)])
    return 0.5 * (errors + mirrored * (len(errors) / number))


def _object_terms(output: NetworkOutput, target: ObjectTargets, config: LossConfig) -> dict[str, Tensor]:
    """Return (B,) values of the object's terms; exactly zero, with zero gradient, where it is not supervised."""
    rows = target.is_supervised
    points, logits = output.object_points_unit[rows], output.object_confidence_logits[rows]
    errors = points - target.control_points_unit[rows, None]
    distances = torch.linalg.vector_norm(errors.detach(), dim=-1)
    true_confidences = torch.exp(-config.confidence_decay * distances)
    location = errors.abs().sum(dim=-1)
    if config.object_area == "mask_cells":
        shown = target.masks[rows].flatten(1)[..., None].to(errors.dtype)
        location, true_confidences = location * shown, true_confidences * shown
    between = _squared if config.confidence_distance == "squared" else _absolute
    confidence = between(logits.sigmoid(), true_confidences)
    zeros = errors.new_zeros(len(rows))
    terms = {"object_location": location, "object_confidence": confidence}
    if output.object_heatmap_logits is not None:
        maps = output.object_heatmap_logits[rows]
        terms["object_heatmaps"] = _cross_entropy(maps, target.control_points_unit[rows], config)[:, None]
    return {name: zeros.index_put((rows,), _per_sample(values)) for name, values in terms.items()}


def _mean(values: Tensor, weights: Tensor, known: Tensor | None, config: LossConfig) -> Tensor:
    """Average (B,) values over the samples, those without truth left out (:attr:`LossConfig.unsupervised`)."""
    if known is None:
        return (values * weights).mean()
    kept = torch.where(known, values, torch.zeros_like(values)) * weights
    if config.unsupervised == "batch":
        return kept.mean()
    return kept.sum() / known.sum().clamp_min(1)


def _squared(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square()


def _absolute(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs()


def _per_sample(values: Tensor) -> Tensor:
    """Mean of (B, ...) over all but the first axis; also of no samples."""
    return values.flatten(1).mean(dim=1)


def _required(values: Tensor | None, name: str, fix: str) -> Tensor:
    if values is None:
        raise ContractError(describe(what=f"loss {name}", expected="an output", found="none", fix=fix))
    return values
