"""Which square of an image the network sees, and the boxes inside it.

As in the paper's released code (Semi-Hand-Object): the boxes of hand and object, each expanded by 1.5, are fused,
clipped to the image, and squared about the centre with the longer side. Training and evaluation differ only in where
the hand's box comes from (joints or annotation) and in the augmentation, which is :mod:`hoiray.datasets.augment`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hoiray.errors import ConfigError, describe
from hoiray.geometry import boxes
from hoiray.geometry.arrays import FloatArray, as_floats
from hoiray.geometry.crops import apply_affine


@dataclass(frozen=True)
class CropSpec:
    """What a network wants to be shown; the defaults are the paper's and its released code's.

    Attributes:
        size_px: side of the crop.
        roi_cells: cells a side of the object's RoI grid, for the mask.
        hand_box_factor: on the hand's box before it becomes the hand's RoI and the unit of its 2D joints.
        object_box_factor: on the object's box; 1 is the tight box.
        context_factor: on both boxes before they are fused to the crop.
        clip_to_image: cut the fused box at the image's edges before it is squared, so that a hand at the edge is shown
            larger, with less of nothing around it. The square itself may still leave the image: black is seen there.
        integer_centers: round centres of crop and hand box towards zero, as the released code does.
    """

    size_px: int
    roi_cells: int = 32
    hand_box_factor: float = 1.1
    object_box_factor: float = 1.0
    context_factor: float = 1.5
    clip_to_image: bool = True
    integer_centers: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers no crop can have.

        Raises:
            ConfigError: a size or factor is not positive, or the context does not hold the hand's expanded box.
        """
        wrong = [name for name in ("size_px", "roi_cells") if getattr(self, name) < 1]
        factors = ("hand_box_factor", "object_box_factor", "context_factor")
        wrong += [name for name in factors if not 0.0 < getattr(self, name) < np.inf]
        if wrong:
            found = ", ".join(f"{name} {getattr(self, name)}" for name in wrong)
            raise ConfigError(describe(what="crop", expected="numbers above 0", found=found, fix="Correct them."))


@dataclass(frozen=True, eq=False)
class BaseCrops:
    """Squares of images, before any augmentation.

    Attributes:
        centers_px: (..., 2) in the image.
        sides_px: (...,); NaN where the boxes lie outside the image or one that must be there is not.
    """

    centers_px: FloatArray
    sides_px: FloatArray


def base_crops(
    hand_boxes_xyxy: npt.ArrayLike, object_boxes_xyxy: npt.ArrayLike, image_sizes_wh: npt.ArrayLike, spec: CropSpec
) -> BaseCrops:
    """Place the square around hand and object.

    Args:
        hand_boxes_xyxy: (..., 4) tight boxes, px of the image.
        object_boxes_xyxy: (..., 4); NaN where there is no object: then the hand alone decides.
        image_sizes_wh: (..., 2).
        spec: which variant.
    """
    hand = boxes.expand(hand_boxes_xyxy, spec.context_factor)
    thing = boxes.expand(object_boxes_xyxy, spec.context_factor)
    fused = boxes.union(hand, np.where(np.isfinite(thing), thing, hand))
    if spec.clip_to_image:
        fused = _clip(fused, image_sizes_wh)
    centers, sizes = boxes.to_center_size(fused)
    if spec.integer_centers:
        centers = np.trunc(centers)
    sides = sizes.max(axis=-1)
    return BaseCrops(centers, np.where(sides > 0.0, sides, np.nan))


def _clip(boxes_xyxy: FloatArray, image_sizes_wh: npt.ArrayLike) -> FloatArray:
    """Cut boxes (..., 4) at the edges of images of several sizes (..., 2); inverted, so absent, outside them."""
    limits = as_floats(image_sizes_wh, (2,), "image_sizes_wh") - 0.5
    return np.concatenate([np.maximum(boxes_xyxy[..., :2], -0.5), np.minimum(boxes_xyxy[..., 2:], limits)], axis=-1)


def hand_boxes(tight_xyxy: npt.ArrayLike, spec: CropSpec) -> FloatArray:
    """Expand tight hand boxes (..., 4) to what the network is given; px of the crop in and out."""
    expanded = boxes.expand(tight_xyxy, spec.hand_box_factor)
    if not spec.integer_centers:
        return expanded
    centers, sizes = boxes.to_center_size(expanded)
    return boxes.from_center_size(np.trunc(centers), sizes)


def object_boxes(tight_xyxy: npt.ArrayLike, hand_boxes_xyxy: npt.ArrayLike, spec: CropSpec) -> FloatArray:
    """Expand tight object boxes (..., 4); the hand's box where there is none, since RoIAlign needs one."""
    expanded = boxes.expand(tight_xyxy, spec.object_box_factor)
    return np.where(boxes.is_valid(expanded)[..., None], expanded, as_floats(hand_boxes_xyxy, (4,), "hand_boxes"))


def turned_box(boxes_xyxy: npt.ArrayLike, A: npt.ArrayLike, rotation_rad: npt.ArrayLike) -> FloatArray:
    """Take boxes of which nothing but the box is known through crop affines.

    The corners of a turned box would need a box up to twice as large in area, though what is in it does not grow. Hands
    and things are rounder than their boxes: the new box is that of the turned ellipse inside the old one. Unturned it
    is the old box, exactly.

    Args:
        boxes_xyxy: (..., 4) px of the image.
        A: (..., 3, 3) from :func:`hoiray.geometry.crops.crop_affine`.
        rotation_rad: (...,) the turn in A.

    Returns:
        (..., 4) px of the crop; NaN for absent boxes.
    """
    centers, sizes = boxes.to_center_size(boxes_xyxy)
    affine, angle = as_floats(A, (3, 3), "A"), as_floats(rotation_rad, (), "rotation_rad")
    scale = np.hypot(affine[..., 0, 0], affine[..., 1, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    width, height = sizes[..., 0], sizes[..., 1]
    turned = np.stack([np.hypot(width * cos, height * sin), np.hypot(width * sin, height * cos)], axis=-1)
    return boxes.from_center_size(apply_affine(affine, centers[..., None, :])[..., 0, :], turned * scale[..., None])


def cell_centers_px(boxes_xyxy: npt.ArrayLike, num_cells: int) -> FloatArray:
    """Return the centres (..., num_cells ** 2, 2) of a grid on boxes (..., 4), row by row, in the boxes' px."""
    box = as_floats(boxes_xyxy, (4,), "boxes_xyxy")
    steps = (np.arange(num_cells) + 0.5) / num_cells
    unit = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return np.asarray(box[..., None, :2] + unit * (box[..., None, 2:] - box[..., None, :2]))
