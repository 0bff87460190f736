"""Random views of a crop, drawn from (seed, epoch, sample index) and nothing else.

The same three numbers give the same view on any machine, with any number of workers, in any order, after any resume.
Every draw takes the same numbers from its generator whatever the ranges, so that a range set to zero changes no other
draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.config.what import Augmentation
from hoiray.geometry.arrays import FloatArray
from hoiray.geometry.crops import crop_affine

COLOUR_OPERATIONS: Final = ("brightness", "contrast", "saturation", "hue")

_NUM_UNIFORMS: Final = 9 + len(COLOUR_OPERATIONS)


@dataclass(frozen=True, eq=False)
class Views:
    """How B crops deviate from their base squares.

    Attributes:
        side_factors: (B,) on the square's side: above 1 shows more of the image, smaller.
        shifts_sides: (B, 2) of the centre, in sides of the base square, image axes.
        rotations_rad: (B,) turn of the content about the crop's centre; positive is clockwise on the screen.
        colour_factors: (B, 3) brightness, contrast, saturation; 1 changes nothing.
        hue_turns: (B,).
        blur_px: (B,) standard deviation, px of the crop.
        colour_order: (B, 4) indices into :data:`COLOUR_OPERATIONS`, first to last.
    """

    side_factors: FloatArray
    shifts_sides: FloatArray
    rotations_rad: FloatArray
    colour_factors: FloatArray
    hue_turns: FloatArray
    blur_px: FloatArray
    colour_order: NDArray[np.intp]

    def affines(self, centers_px: FloatArray, sides_px: FloatArray, *, out_size_px: int) -> FloatArray:
        """Return the affines (B, 3, 3) from image to crop of base squares (B, 2), (B,)."""
        centers = centers_px + self.shifts_sides * sides_px[:, None]
        return crop_affine(centers, sides_px * self.side_factors, self.rotations_rad, out_size_px=out_size_px)


def draw_views(augmentation: Augmentation, *, seed: int, epochs: Sequence[int], indices: Sequence[int]) -> Views:
    """Draw one view for each pair of epoch and sample index.

    Args:
        augmentation: the ranges.
        seed: of the run.
        epochs: (B,).
        indices: (B,) of the samples.
    """
    uniforms, normals = np.empty((len(indices), _NUM_UNIFORMS)), np.empty(len(indices))
    for row, (epoch, index) in enumerate(zip(epochs, indices, strict=True)):
        rng = np.random.default_rng((seed, int(epoch), int(index)))
        uniforms[row], normals[row] = rng.random(_NUM_UNIFORMS), rng.standard_normal()
    signed = 2.0 * uniforms - 1.0
    scale, colour = augmentation.max_scale_change, augmentation.max_colour_change
    deviation = signed[:, 0] * scale
    if augmentation.scale_distribution == "normal":
        deviation = np.clip(normals * scale, -scale, scale)
    return Views(
        side_factors=1.0 + deviation,
        shifts_sides=signed[:, 1:3] * augmentation.max_translation_box_sides,
        rotations_rad=signed[:, 3] * np.radians(augmentation.max_rotation_deg),
        colour_factors=1.0 + signed[:, 4:7] * colour,
        hue_turns=signed[:, 7] * augmentation.max_hue_change,
        blur_px=uniforms[:, 8] * augmentation.max_blur_px,
        colour_order=np.argsort(uniforms[:, 9:], axis=1),
    )


def plain_views(count: int) -> Views:
    """Return `count` views that change nothing: the crops of an evaluation."""
    return Views(
        side_factors=np.ones(count),
        shifts_sides=np.zeros((count, 2)),
        rotations_rad=np.zeros(count),
        colour_factors=np.ones((count, 3)),
        hue_turns=np.zeros(count),
        blur_px=np.zeros(count),
        colour_order=np.tile(np.arange(len(COLOUR_OPERATIONS)), (count, 1)),
    )


def reach_sides(augmentation: Augmentation) -> float:
    """Return the side of the upright square, in base sides, that holds every crop these ranges can draw."""
    angle = min(np.radians(augmentation.max_rotation_deg), np.pi / 4)
    turned = (1.0 + augmentation.max_scale_change) * (np.cos(angle) + np.sin(angle))
    return float(turned + 2.0 * augmentation.max_translation_box_sides)
