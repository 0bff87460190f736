"""hoiray's own network behind the predictors' protocol.

Crops are cut as in training (:mod:`hoiray.datasets.crop_plan`), left hands seen in the mirror; whatever was done to the
picture is undone in the answer. The object's pose comes from its control points (:mod:`hoiray.models.pnp`) where a
camera and the object's model are given.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.augment import Views
from hoiray.datasets.colour import blur, change_colours
from hoiray.datasets.crop_pixels import Interpolation
from hoiray.datasets.crop_plan import CropSpec
from hoiray.geometry.crops import from_unit_box
from hoiray.geometry.rotations import mirror_rotation, rotation_z
from hoiray.hand.sides import mirror_points
from hoiray.predictors.object_pose import Proposed, solve_objects
from hoiray.predictors.protocol import BoolArray, FloatArray, HandPredictions, HandRequest
from hoiray.predictors.request_crops import Crops, plan_crops, points_to_frame
from hoiray.predictors.warp import cut_crops, cut_crops_with_opencv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hoiray.hand.model import HandModel
    from hoiray.models.network import HandObjectNetwork, NetworkOutput
    from hoiray.models.precision import Precision

OUTSIDE: Final = "hand_outside_image"
NOT_FINITE: Final = "not_finite"
"""The network answered with NaN or infinity: weights of a training that broke."""

MAX_CROPS: Final = 64
"""Crops that go through the network at once."""


@dataclass(frozen=True, eq=False)
class Attention:
    """Where the queries of B crops looked, for pictures.

    Attributes:
        crops: the crops it is about.
        images: (B, S, S, 3) uint8 what the network saw.
        maps: (B, heads, R * R, R * R) from the cells of the query region to those of the intersection, row by row.
        query: whose region the queries are: `object` or `hand`.
    """

    crops: Crops
    images: npt.NDArray[np.uint8]
    maps: FloatArray
    query: str


@dataclass(frozen=True, eq=False)
class NetworkPredictor:
    """A trained network.

    Attributes:
        network: in evaluation mode, on its device.
        spec: of its crops.
        digest: of weights and configuration.
        name: for tables.
        interpolation: of its crops.
        precision: of its forward pass; None: float32.
        max_crops: that go through at once.
    """

    network: "HandObjectNetwork"
    spec: CropSpec
    digest: str
    name: str
    interpolation: Interpolation = "linear"
    precision: "Precision | None" = None
    max_crops: int = MAX_CROPS

    @property
    def hand(self) -> "HandModel":
        """The model its parameters are of."""
        return self.network.hand

    @property
    def tip_set(self) -> str:
        """Whose vertices its finger tips are."""
        return self.network.hand.tip_set

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(next(self.network.parameters()).device)

    def predict(self, request: HandRequest) -> HandPredictions:
        """Answer every hand of a request; see the protocol."""
        return self._answer(request, wants_attention=False)[0]

    def predict_with_attention(self, request: HandRequest) -> tuple[HandPredictions, Attention | None]:
        """Answer, and say where the queries looked; None where the network attends to nothing."""
        return self._answer(request, wants_attention=True)

    def _answer(self, request: HandRequest, *, wants_attention: bool) -> tuple[HandPredictions, Attention | None]:
        crops = plan_crops(request, self.spec)
        outputs, images = [], []
        for start in range(0, len(request), self.max_crops):
            rows = slice(start, start + self.max_crops)
            pixels = self._pixels(request, crops, rows)
            outputs.append(self._forward(pixels, crops, rows, wants_attention=wants_attention))
            if wants_attention:
                images.append(pixels.cpu().numpy())
        answer = self._in_frame(request, crops, _joined(outputs))
        attention = _attention_of(crops, np.concatenate(images), outputs) if wants_attention else None
        return answer, attention

    def _pixels(self, request: HandRequest, crops: Crops, rows: slice) -> "Tensor":
        """Cut crops (b, S, S, 3) uint8: by OpenCV on a CPU, in one batched warp on an accelerator."""
        import torch

        index, A, mirrored = request.frame_index[rows], crops.A[rows], crops.is_mirrored[rows]
        views = _rows_of(crops.views, rows)
        if self.device == "cpu":
            size, how = self.spec.size_px, self.interpolation
            cut = cut_crops_with_opencv(request.frames, index, A, size, is_mirrored=mirrored, interpolation=how)
            changed = [
                change_colours(blur(crop, float(views.blur_px[row])), views, row) for row, crop in enumerate(cut)
            ]
            return torch.from_numpy(np.stack(changed) if changed else cut)
        from hoiray.predictors.device_colour import change_crops

        frames = torch.as_tensor(request.frames, device=self.device)
        crops_of_device = cut_crops(
            frames,
            torch.as_tensor(index, device=self.device),
            torch.as_tensor(A, device=self.device),
            self.spec.size_px,
            is_mirrored=torch.as_tensor(mirrored, device=self.device),
            interpolation=self.interpolation,
        )
        return change_crops(crops_of_device, views).round().clamp(0, 255).to(torch.uint8)

    def _forward(self, pixels: "Tensor", crops: Crops, rows: slice, *, wants_attention: bool) -> "NetworkOutput":
        import torch

        from hoiray.models.batch import NetworkInput

        def boxes_of(values: FloatArray) -> "Tensor":
            # a hand outside the image still needs a box for RoIAlign; its answer is thrown away
            kept = np.where(np.isfinite(values), values, np.array([0.0, 0.0, 1.0, 1.0]))
            return torch.as_tensor(kept, dtype=torch.float32, device=self.device)

        inputs = NetworkInput(
            pixels.to(self.device), boxes_of(crops.hand_boxes_xyxy[rows]), boxes_of(crops.object_boxes_xyxy[rows])
        )
        looks_at = torch.as_tensor(crops.has_object[rows] & crops.is_inside[rows], device=self.device)
        precision = nullcontext() if self.precision is None else self.precision.autocast()
        with torch.inference_mode(), precision:
            output: NetworkOutput = self.network(inputs, object_rows=looks_at, wants_attention=wants_attention)
        return output

    def _in_frame(self, request: HandRequest, crops: Crops, output: "_Arrays") -> HandPredictions:
        """Undo crop, turn and mirror."""
        width = request.image_size_wh[0]
        joints_crop = from_unit_box(output.joints_2d_unit, crops.hand_boxes_xyxy, expand=1.0)
        joints_2d = points_to_frame(joints_crop, crops, width)
        back = rotation_z(-crops.rotations_rad)
        rotations = output.rotations.copy()
        rotations[:, 0] = back @ rotations[:, 0]
        joints_3d = output.joints_3d_m @ np.swapaxes(back, -1, -2)
        is_left = crops.is_mirrored
        rotations = np.where(is_left[:, None, None, None], mirror_rotation(rotations), rotations)
        joints_3d = np.where(is_left[:, None, None], mirror_points(joints_3d), joints_3d)
        failures = _failures(crops, rotations, output.betas, joints_3d, joints_2d)
        is_failed = np.array([failure is not None for failure in failures])
        hand_parts = (_without(part, is_failed) for part in (joints_3d, joints_2d, rotations, output.betas))
        points_3d, points_2d, turns, betas = hand_parts
        side_logit = None if output.side_logits is None else _without(output.side_logits, is_failed)
        answer = HandPredictions(
            points_3d, points_2d, rotations=turns, betas=betas, side_logit=side_logit, failures=failures
        )
        return self._with_objects(answer, request, crops, output)

    def _with_objects(
        self, answer: HandPredictions, request: HandRequest, crops: Crops, output: "_Arrays"
    ) -> HandPredictions:
        proposals = Proposed(output.object_points_unit, output.object_confidences)
        solved = solve_objects(proposals, request, crops, self.network.config.pnp, spec=self.spec)
        return replace(
            answer,
            T_cam_obj=solved.T_cam_obj,
            control_points_2d_px=solved.control_points_2d_px,
            object_failures=solved.failures,
        )


@dataclass(frozen=True, eq=False)
class _Arrays:
    """The network's answer on the host, float64."""

    joints_2d_unit: FloatArray
    rotations: FloatArray
    betas: FloatArray
    joints_3d_m: FloatArray
    object_points_unit: FloatArray
    object_confidences: FloatArray
    side_logits: FloatArray | None


def _joined(outputs: "Sequence[NetworkOutput]") -> _Arrays:
    def joined(name: str) -> FloatArray:
        parts = [getattr(output, name).float().cpu().numpy() for output in outputs]
        return np.concatenate(parts).astype(np.float64)

    tells_side = outputs[0].side_logits is not None
    always = {name: joined(name) for name in _Arrays.__dataclass_fields__ if name != "side_logits"}
    return _Arrays(**always, side_logits=joined("side_logits") if tells_side else None)


def _attention_of(crops: Crops, images: npt.NDArray[np.uint8], outputs: "Sequence[NetworkOutput]") -> Attention | None:
    for query in ("object", "hand"):
        maps = [getattr(output, f"{query}_attention") for output in outputs]
        known = [part for part in maps if part is not None]
        if known:
            filled = [
                known[0].new_full((len(output.betas), *known[0].shape[1:]), np.nan) if part is None else part
                for part, output in zip(maps, outputs, strict=True)
            ]
            return Attention(crops, images, np.concatenate([part.float().cpu().numpy() for part in filled]), query)
    return None


def _failures(crops: Crops, *values: FloatArray) -> tuple[str | None, ...]:
    is_finite = np.ones(len(crops.A), dtype=np.bool_)
    for part in values:
        is_finite &= np.isfinite(part).all(axis=tuple(range(1, part.ndim)))
    rows = zip(crops.is_inside.tolist(), is_finite.tolist(), strict=True)
    return tuple(None if inside and finite else OUTSIDE if not inside else NOT_FINITE for inside, finite in rows)


def _without(values: FloatArray, is_failed: BoolArray) -> FloatArray:
    return np.where(is_failed.reshape(-1, *(1,) * (values.ndim - 1)), np.nan, values)


def _rows_of(views: Views, rows: slice) -> Views:
    return Views(*(getattr(views, name)[rows] for name in Views.__dataclass_fields__))
