"""The facts of FreiHAND v2 (Zimmermann et al., ICCV 2019): names, counts, layouts.

Layout below the root::

    training/rgb/00000000.jpg ... 00130239.jpg      four backgrounds of each of 32 560 photographs
    training/mask/00000000.jpg ... 00032559.jpg     the first variant only
    evaluation/rgb/00000000.jpg ... 00003959.jpg
    {training,evaluation}_{K,scale,xyz,verts}.json, training_mano.json

The JSON lists have one entry per photograph, not per image. OpenCV axes, metres, simple joint order, right hands.
The pose is stored **relative to MANO's mean** (`flat_hand_mean=False`).
Source: the `freihand` toolkit of the authors.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from hoiray.datasets.sample import FloatArray
from hoiray.hand.joints import JointOrder

Split = Literal["training", "evaluation"]
SPLITS: Final[tuple[Split, ...]] = ("training", "evaluation")

NUM_TRAINING: Final = 32_560
NUM_EVALUATION: Final = 3_960
VARIANTS: Final = ("gs", "hom", "sample", "auto")
"""Backgrounds, in the order of the image numbers: green screen; then replaced and harmonised in three ways."""

IMAGE_SIZE_WH: Final = (224, 224)
JOINT_ORDER: Final[JointOrder] = "simple"
TIP_SET: Final = "freihand"
FLAT_HAND_MEAN: Final = False
MANO_LENGTH: Final = 61
SCALE_BONE: Final = (9, 10)
"""`scale` is the length of this bone (middle finger's first phalanx), metres."""

ROOT_JOINT: Final = 9
"""The joint `uv_root` and `scale` of the MANO vector place: the middle finger's base."""

UV_ROOT: Final = slice(58, 60)
"""Where `uv_root` stands in the MANO vector."""

MASK_MIN_LEVEL: Final = 128


def image_key(split: Split, image_index: int) -> str:
    """The image of a number: `photograph + 32560 * variant` for training."""
    return f"{split}/rgb/{image_index:08d}.jpg"


def mask_key(photo_index: int) -> str:
    """The hand mask of a training photograph; it fits all four variants."""
    return f"training/mask/{photo_index:08d}.jpg"


def labels_key(split: Split, kind: Literal["K", "scale", "xyz", "verts", "mano"]) -> str:
    """A JSON file with one entry per photograph."""
    return f"{split}_{kind}.json"


def photo_and_variant(image_index: int, num_photos: int = NUM_TRAINING) -> tuple[int, str]:
    """Split a training image's number into its photograph and its variant."""
    variant, photo_index = divmod(image_index, num_photos)
    return photo_index, VARIANTS[variant]


@dataclass(frozen=True, eq=False)
class ManoVector:
    """The 61 numbers of `training_mano.json`.

    Attributes:
        global_orient: (3,) axis-angle; camera-aligned only approximately (it was fitted by weak perspective).
        relative_pose: (45,) axis-angle minus the model's mean pose.
        betas: (10,).
        uv_root_px: (2,) image of the root joint.
        scale_px_per_m: focal length over depth of the root joint.
    """

    global_orient: FloatArray
    relative_pose: FloatArray
    betas: FloatArray
    uv_root_px: FloatArray
    scale_px_per_m: float


def split_mano(vector: FloatArray) -> ManoVector:
    """Name the parts of a (61,) vector."""
    return ManoVector(vector[:3], vector[3:48], vector[48:58], vector[UV_ROOT], float(vector[60]))


def join_mano(parts: ManoVector) -> FloatArray:
    """Undo :func:`split_mano`."""
    tail = np.append(parts.uv_root_px, parts.scale_px_per_m)
    return np.concatenate([parts.global_orient, parts.relative_pose, parts.betas, tail])


def root_to_file(root_3d: FloatArray, K: FloatArray) -> tuple[FloatArray, float]:
    """Return `uv_root` (2,) px and `scale` (px per m) of the root joint (3,) metres."""
    scale = float(K[0, 0] / root_3d[2])
    return np.asarray(K[:2, 2] + scale * root_3d[:2]), scale


def root_from_file(uv_root_px: FloatArray, scale_px_per_m: float, K: FloatArray) -> FloatArray:
    """Return the root joint (3,) metres; undoes :func:`root_to_file`."""
    return np.append(uv_root_px - K[:2, 2], K[0, 0]) / scale_px_per_m


def pose_to_file(absolute_pose: FloatArray, hands_mean: FloatArray) -> FloatArray:
    """Take the mean pose (45,) of the hand model off an absolute pose (..., 45)."""
    return np.asarray(absolute_pose - hands_mean)


def pose_from_file(relative_pose: FloatArray, hands_mean: FloatArray) -> FloatArray:
    """Add the mean pose (45,) of the hand model to a stored pose (..., 45)."""
    return np.asarray(relative_pose + hands_mean)


def joints_from_vertices(
    vertices: FloatArray, J_regressor: npt.NDArray[np.floating[Any]], tips: tuple[int, ...]
) -> FloatArray:
    """Return the 21 joints as FreiHAND defines them: MANO's regressor on the *posed* vertices, then five tips.

    They differ by millimetres from the joints the kinematic chain gives.

    Args:
        vertices: (..., 778, 3) metres.
        J_regressor: (16, 778).
        tips: the vertices of :data:`TIP_SET`.

    Returns:
        (..., 21, 3) in **MANO** order; reorder to `simple`.
    """
    return np.concatenate([J_regressor @ vertices, vertices[..., list(tips), :]], axis=-2)
