"""The joint network of hand and object: images and boxes in, poses out (paper, section 4)."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from hoiray.config.network import NetworkConfig
from hoiray.errors import ContractError, describe
from hoiray.geometry.control_points import NUM_CONTROL_POINTS
from hoiray.hand.joints import WRIST
from hoiray.hand.model import HandModel
from hoiray.models.backbone import Backbone
from hoiray.models.batch import NetworkInput
from hoiray.models.hand_decoder import DecodedHand, HandDecoder
from hoiray.models.layers import set_momentum
from hoiray.models.object_decoder import Proposals, object_decoder
from hoiray.models.reasoning import ContextualReasoning, Reasoned
from hoiray.models.roi import Regions, crop_regions, intersection_boxes


@dataclass(frozen=True)
class NetworkOutput:
    """What the network says; float32 whatever it computes in, camera axes of the crop, OpenCV.

    Attributes:
        heatmaps: (B, 21, R, R) of the joints over the hand box, sum 1.
        heatmap_logits: (B, 21, R, R), whose softmax they are.
        joints_2d_unit: (B, 21, 2) in the unit square of the given (expanded) hand box.
        depths_box: (B, 21) behind the wrist in sides of the hand box; None where the network does not predict them.
        rotations: (B, 16, 3, 3) of the wrist and of MANO's 15 joints, as in
            :class:`~hoiray.models.batch.HandTargets`.
        betas: (B, 10).
        joints_3d_m: (B, 21, 3) relative to the wrist, of the hand model in that pose.
        vertices_m: (B, 778, 3) relative to the wrist; None unless asked for.
        side_logits: (B,) log odds that the hand is a right one, and no mirrored left one; None where not predicted.
        object_points_unit: (B, P, 21, 2) proposals, of every cell row by row or one in all, in the unit square of the
            object box; NaN for samples whose object was left out.
        object_confidence_logits: (B, P, 21), sigmoid gives the confidence; NaN likewise.
        object_heatmap_logits: (B, 21, R, R) of the control points; NaN likewise, None where the head has none.
        hand_attention, object_attention: (B, heads, R * R, R * R) from a region's cells to those of the intersection;
            None unless asked for, and where that region does not attend.
    """

    heatmaps: Tensor
    heatmap_logits: Tensor
    joints_2d_unit: Tensor
    depths_box: Tensor | None
    rotations: Tensor
    betas: Tensor
    joints_3d_m: Tensor
    vertices_m: Tensor | None
    side_logits: Tensor | None
    object_points_unit: Tensor
    object_confidence_logits: Tensor
    object_heatmap_logits: Tensor | None = None
    hand_attention: Tensor | None = None
    object_attention: Tensor | None = None

    @property
    def object_confidences(self) -> Tensor:
        """(B, P, 21) in [0, 1]; NaN for samples whose object was left out."""
        return self.object_confidence_logits.sigmoid()

    def rows(self, rows: slice) -> "NetworkOutput":
        """Return some of the samples."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value[rows] for name, value in values.items() if value is not None})


class HandObjectNetwork(nn.Module):
    """Backbone, regions, contextual reasoning, two decoders, hand model.

    Attributes:
        config: what it was built from.
        hand: the hand model; its arrays are no weights and are not saved with them.
    """

    def __init__(self, config: NetworkConfig, hand: HandModel, *, loads_weights: bool = True) -> None:
        """Build a network of random weights (or of `config.backbone.weights_uri`, underneath).

        Args:
            config: see :func:`hoiray.config.network.network_preset`.
            hand: float32; rotations are absolute, so its `flat_hand_mean` plays no part.
            loads_weights: read `config.backbone.weights_uri`; False where a checkpoint brings all weights.

        Raises:
            ContractError: the hand model is not float32, or pre-trained weights do not fit.
            ConfigError: the weights file is not there.
        """
        super().__init__()
        if hand.dtype != torch.float32:
            fix = "Load the hand model without a dtype."
            found = str(hand.dtype)
            raise ContractError(describe(what="hand model of the network", expected="float32", found=found, fix=fix))
        self.config = config
        self.hand = hand
        self.backbone = Backbone(config.backbone, loads_weights=loads_weights)
        width, queries = self.backbone.channels, config.reasoning.queries
        asks = {"hand": queries in {"hand", "hand_object"}, "object": queries in {"object", "hand_object"}}
        self.hand_reasoning = ContextualReasoning(width, config.reasoning) if asks["hand"] else None
        self.object_reasoning = ContextualReasoning(width, config.reasoning) if asks["object"] else None
        self.hand_decoder = HandDecoder(width, config, hand)
        self.object_decoder = object_decoder(width, config)
        set_momentum(self, config.batch_norm_momentum)
        self.to(memory_format=torch.channels_last)

    def forward(
        self,
        inputs: NetworkInput,
        *,
        object_rows: Tensor | None = None,
        wants_vertices: bool = False,
        wants_attention: bool = False,
    ) -> NetworkOutput:
        """Predict hands and objects.

        Args:
            inputs: B crops and their boxes.
            object_rows: (B,) bool, samples whose object is looked at: in training those that are supervised, so that
                the others leave no trace in the object branch, neither in its gradients nor in its running statistics;
                None: all.
            wants_vertices: pose the whole mesh, not only the joints.
            wants_attention: return who looked where.

        Raises:
            ContractError: the images are not of the configured size.
        """
        self._check(inputs)
        regions = self._regions(inputs)
        looked = self._hand_features(regions, wants_attention)
        sizes_px = inputs.hand_boxes_xyxy[:, 2:] - inputs.hand_boxes_xyxy[:, :2]
        decoded: DecodedHand = self.hand_decoder(looked.features, sizes_px)
        joints, vertices = self._posed(decoded, wants_vertices)
        proposals, object_attention = self._objects(regions, object_rows, wants_attention)
        return NetworkOutput(
            heatmaps=decoded.heatmaps,
            heatmap_logits=decoded.heatmap_logits,
            joints_2d_unit=decoded.joints_2d_unit,
            depths_box=decoded.depths_box,
            rotations=decoded.rotations,
            betas=decoded.betas,
            joints_3d_m=joints,
            vertices_m=vertices,
            side_logits=decoded.side_logits,
            object_points_unit=proposals.points_unit,
            object_confidence_logits=proposals.confidence_logits,
            object_heatmap_logits=proposals.heatmap_logits,
            hand_attention=looked.attention,
            object_attention=object_attention,
        )

    def _check(self, inputs: NetworkInput) -> None:
        side = self.config.input_px
        if tuple(inputs.images.shape[1:]) != (side, side, 3):
            fix = f"Cut crops of {side} px, the input_px of preset {self.config.preset!r}."
            found = str(tuple(inputs.images.shape))
            raise ContractError(describe(what="images", expected=f"(B, {side}, {side}, 3)", found=found, fix=fix))

    def _regions(self, inputs: NetworkInput) -> Regions:
        features = self.backbone(inputs.images)
        common, meets = intersection_boxes(inputs.hand_boxes_xyxy, inputs.object_boxes_xyxy)
        boxes = [inputs.hand_boxes_xyxy, inputs.object_boxes_xyxy]
        if self.hand_reasoning is not None or self.object_reasoning is not None:
            boxes.append(common)
        first_cell_px = self.backbone.first_cell_px
        cut = [crop_regions(features, box, self.config.regions, first_cell_px=first_cell_px) for box in boxes]
        return Regions(cut[0], cut[1], cut[-1], meets)

    def _hand_features(self, regions: Regions, wants_attention: bool) -> Reasoned:
        if self.hand_reasoning is None:
            return Reasoned(regions.hand, None)
        looked: Reasoned = self.hand_reasoning(
            regions.hand, regions.intersection, regions.meets, wants_map=wants_attention
        )
        return looked

    def _posed(self, decoded: DecodedHand, wants_vertices: bool) -> tuple[Tensor, Tensor | None]:
        """Return joints and vertices about the wrist; in float32, for half precision loses 0.1 mm."""
        wrist, fingers, betas = decoded.rotations[:, 0], decoded.rotations[:, 1:], decoded.betas
        with torch.autocast(betas.device.type, enabled=False):
            if not wants_vertices:
                joints = self.hand.joints_only_from_matrices(wrist, fingers, betas)
                return joints - joints[:, WRIST : WRIST + 1], None
            posed = self.hand.from_matrices(wrist, fingers, betas)
        root = posed.joints[:, WRIST : WRIST + 1]
        return posed.joints - root, posed.vertices - root

    def _objects(self, regions: Regions, rows: Tensor | None, wants_attention: bool) -> tuple[Proposals, Tensor | None]:
        if rows is None or bool(rows.all()):
            return self._decode_objects(regions, wants_attention)
        if not bool(rows.any()):
            return self._no_objects(regions), None
        chosen = Regions(regions.hand[rows], regions.obj[rows], regions.intersection[rows], regions.meets[rows])
        proposals, attention = self._decode_objects(chosen, wants_attention)
        points, logits, heatmaps = proposals
        spread = Proposals(
            _spread(points, rows), _spread(logits, rows), None if heatmaps is None else _spread(heatmaps, rows)
        )
        return spread, None if attention is None else _spread(attention, rows)

    def _decode_objects(self, regions: Regions, wants_attention: bool) -> tuple[Proposals, Tensor | None]:
        features, attention = regions.obj, None
        if self.object_reasoning is not None:
            features, attention = self.object_reasoning(
                regions.obj, regions.intersection, regions.meets, wants_map=wants_attention
            )
        proposals: Proposals = self.object_decoder(features)
        return proposals, attention

    def _no_objects(self, regions: Regions) -> Proposals:
        """Return NaN for every sample, tied to the branch's weights by gradients of exactly zero.

        Workers that train together must all have a gradient for every weight, also one whose batch shows no object.
        """
        shape = (len(regions.obj), self.config.num_proposals, NUM_CONTROL_POINTS)
        nothing = regions.obj.new_full((*shape, 2), torch.nan, dtype=torch.float32)
        heatmaps = None
        if self.config.obj.head == "heatmaps":
            heatmaps = nothing.new_full((len(nothing), NUM_CONTROL_POINTS, *regions.obj.shape[2:]), torch.nan)
        if not (self.training and torch.is_grad_enabled()):
            return Proposals(nothing, nothing[..., 0].clone(), heatmaps)
        branch = [self.object_decoder, *([self.object_reasoning] if self.object_reasoning is not None else [])]
        zero = sum(weight.flatten()[0] * 0.0 for module in branch for weight in module.parameters())
        return Proposals(nothing + zero, nothing[..., 0] + zero, None if heatmaps is None else heatmaps + zero)


def _spread(values: Tensor, rows: Tensor) -> Tensor:
    """Put values (N, ...) back to their rows (B,) among NaN."""
    out = values.new_full((len(rows), *values.shape[1:]), torch.nan)
    out[rows] = values
    return out
