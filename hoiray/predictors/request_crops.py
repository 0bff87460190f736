"""Where the crops of a request lie, as training and evaluation place theirs, and the way back to the frame."""

from dataclasses import dataclass

import numpy as np

from hoiray.datasets.augment import Views, plain_views
from hoiray.datasets.crop_plan import CropSpec, base_crops, hand_boxes, object_boxes, turned_box
from hoiray.geometry.boxes import is_valid
from hoiray.geometry.crops import apply_affine, invert_affine
from hoiray.hand.sides import mirror_points_2d
from hoiray.predictors.protocol import BoolArray, FloatArray, HandRequest, mirror_rows


@dataclass(frozen=True, eq=False)
class Crops:
    """B crops of a request, as the network sees them: mirrored where the hand is a left one.

    Attributes:
        A: (B, 3, 3) px of the (mirrored) frame to px of the crop.
        rotations_rad: (B,) the turn in A.
        is_mirrored: (B,).
        hand_boxes_xyxy, object_boxes_xyxy: (B, 4) px of the crop, expanded; the object's is the hand's where none is.
        has_object: (B,).
        is_inside: (B,) False where the hand's box lies outside the image: no crop can be cut.
        views: how the crops deviate from their base squares.
    """

    A: FloatArray
    rotations_rad: FloatArray
    is_mirrored: BoolArray
    hand_boxes_xyxy: FloatArray
    object_boxes_xyxy: FloatArray
    has_object: BoolArray
    is_inside: BoolArray
    views: Views


def plan_crops(request: HandRequest, spec: CropSpec) -> Crops:
    """Place the crops of a request as training and evaluation place theirs."""
    is_mirrored = ~np.asarray(request.is_right)
    hands, things = mirror_rows(request, is_mirrored)
    views = plain_views(len(request)) if request.views is None else request.views
    base = base_crops(hands, things, np.array(request.image_size_wh), spec)
    is_inside = np.isfinite(base.sides_px)
    centers = np.where(is_inside[:, None], base.centers_px, 0.0)
    A = views.affines(centers, np.where(is_inside, base.sides_px, 1.0), out_size_px=spec.size_px)
    hand_xyxy = hand_boxes(turned_box(hands, A, views.rotations_rad), spec)
    object_xyxy = object_boxes(turned_box(things, A, views.rotations_rad), hand_xyxy, spec)
    return Crops(
        A, views.rotations_rad, is_mirrored, hand_xyxy, object_xyxy, np.asarray(is_valid(things)), is_inside, views
    )


def points_to_frame(points_crop_px: FloatArray, crops: Crops, image_width_px: int) -> FloatArray:
    """Take points (B, N, 2) of the crops back to the unmirrored frame, px."""
    seen = apply_affine(invert_affine(crops.A), points_crop_px)
    mirrored = mirror_points_2d(np.asarray(seen, dtype=np.float64), image_width_px)
    return np.where(crops.is_mirrored[:, None, None], mirrored, seen)
