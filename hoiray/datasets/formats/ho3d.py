"""The facts of HO-3D v2 and v3 (Hampali et al., CVPR 2020): names, axes, orders, units.

Layout below the root, the same for both versions but for the image's suffix::

    train.txt, evaluation.txt                       lines "ABF10/0042"
    train/ABF10/{rgb/0042.png, depth/0042.png, meta/0042.pkl}
    evaluation/SM1/{rgb, depth, meta}
    evaluation_xyz.json, evaluation_verts.json      the evaluation labels, public since November 2024

Metas are Python 2 pickles in **OpenGL** camera axes (x right, y up, z backward), metres, joints in MANO order, poses
absolute axis-angle (`flat_hand_mean=True`). `handTrans` is MANO's translation, not the wrist.
Source: the `ho3d` toolkit of the authors and HOnnotate, which made the labels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from hoiray.datasets.sample import FloatArray, ManoParameters
from hoiray.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from hoiray.geometry.transforms import (
    make_transform,
    mano_opengl_to_opencv,
    points_opencv_to_opengl,
    points_opengl_to_opencv,
    transform_opencv_to_opengl,
    transform_opengl_to_opencv,
)
from hoiray.hand.joints import JointOrder, reorder

Split = Literal["train", "evaluation"]
SPLITS: Final[tuple[Split, ...]] = ("train", "evaluation")

IMAGE_SIZE_WH: Final = (640, 480)
JOINT_ORDER: Final[JointOrder] = "mano"
TIP_SET: Final = "ho3d"
FLAT_HAND_MEAN: Final = True

DEPTH_SCALE_M: Final = 0.00012498664727900177
"""Metres per count of the 16-bit depth, from the toolkit's `decode_depth_img`."""

NO_DEPTH: Final = 0
"""The count of a pixel without depth."""

EVALUATION_JOINTS_KEY: Final = "evaluation_xyz.json"
EVALUATION_VERTICES_KEY: Final = "evaluation_verts.json"
"""N x 21 x 3 and N x 778 x 3 in the order of evaluation.txt: absolute, metres, OpenGL axes, joints in MANO order."""

COMMON_META_KEYS: Final = ("camMat", "handJoints3D", "objName", "objRot", "objTrans")
TRAIN_META_KEYS: Final = (*COMMON_META_KEYS, "handPose", "handTrans", "handBeta")
EVALUATION_META_KEYS: Final = (*COMMON_META_KEYS, "handBoundingBox")
OPTIONAL_META_KEYS: Final = ("objLabel", "objCorners3D", "objCorners3DRest", "handVertContact", "handVertDist")
"""Keys the published metas also have; hoiray does not need them."""

SEGMENTATION_KEYS: Final = (
    "{split}/{sequence}/seg/{frame}.png",
    "{split}/{sequence}/seg/{frame}.jpg",
    "{split}/{sequence}/segr/{frame}.png",
    "{split}/{sequence}/segr/{frame}.jpg",
)
"""The segmentation is a separate download that users unpack differently; the first place that exists is read."""

SEGMENTATION_HAND_CHANNEL: Final = 2
SEGMENTATION_OBJECT_CHANNEL: Final = 0
"""Channels of the segmentation image read as RGB: the hand is painted blue, the object red, as public code reads it."""

SEGMENTATION_MIN_LEVEL: Final = 128
"""A pixel belongs to a class where its channel is above half: JPEG rings around the edges of 0 and 255."""


@dataclass(frozen=True)
class Version:
    """What differs between the two releases.

    Attributes:
        name: as `AnnotatedDataset.name`.
        image_suffix: of the colour images.
        num_train, num_evaluation: published lines of the lists.
    """

    name: str
    image_suffix: str
    num_train: int
    num_evaluation: int


VERSIONS: Final[Mapping[str, Version]] = MappingProxyType(
    {
        "ho3d_v2": Version("ho3d_v2", "png", num_train=66_034, num_evaluation=11_524),
        "ho3d_v3": Version("ho3d_v3", "jpg", num_train=83_325, num_evaluation=20_137),
    }
)

SUBJECT_OF_FAMILY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ABF": "A", "AP": "A", "BB": "B", "GPMF": "G", "GSF": "G", "MC": "M", "MDF": "M", "MPM": "M", "ND": "N",
        "SB": "S", "SM": "S", "SMu": "S", "SS": "S", "ShSu": "Sh", "SiBF": "Si", "SiS": "Si",
    }
)  # fmt: skip
"""Person by the letters of a v2 sequence. The names are person + object (`SMu` mug, `SM` mustard, `MC` cracker box),
which is read off the objects in the metas, not documented: letters not in this table give no subject."""

_SEQUENCE = re.compile(r"([A-Za-z]+)(\d*)(\d)")

SYNTHETIC_FAMILY: Final = re.compile(r"Syn[a-z]{6}")
"""Letters of the sequences that the synthetic writer makes, one person each; none of the published sets has them."""
_FRAME_LINE = re.compile(r"([^/\s]+)/(\d{4,})")


def list_key(split: Split) -> str:
    """The file that lists a split's samples; the folders hold frames that are in no list."""
    return f"{split}.txt"


def image_key(version: str, split: Split, sequence: str, frame: str) -> str:
    """The colour image of a frame; `frame` has four digits."""
    return f"{split}/{sequence}/rgb/{frame}.{VERSIONS[version].image_suffix}"


def depth_key(split: Split, sequence: str, frame: str) -> str:
    """The packed depth of a frame."""
    return f"{split}/{sequence}/depth/{frame}.png"


def meta_key(split: Split, sequence: str, frame: str) -> str:
    """The annotation of a frame."""
    return f"{split}/{sequence}/meta/{frame}.pkl"


def sample_line(sequence: str, frame_index: int) -> str:
    """A line of the list, `ABF10/0042`; also the sample's id."""
    return f"{sequence}/{frame_index:04d}"


def parse_sample_line(line: str) -> tuple[str, str] | None:
    """Split a line of the list into sequence and four-digit frame; None where it is no such line."""
    match = _FRAME_LINE.fullmatch(line.strip())
    return None if match is None else (match.group(1), match.group(2))


def recording_of_sequence(sequence: str) -> tuple[str, str | None]:
    """Return the recording and the camera of a sequence: `ABF10` to `ABF14` are five cameras of recording `ABF1`.

    The last digit is taken off whatever the name, so `MC1` and `MC2` count as one recording too: whether they were
    filmed at once is not documented, and a split that keeps them together cannot leak.
    A name without a digit at its end is its own recording with no known camera.
    """
    match = _SEQUENCE.fullmatch(sequence)
    return (sequence, None) if match is None else (match.group(1) + match.group(2), match.group(3))


def subject_of_sequence(sequence: str) -> str | None:
    """Return the person of a sequence, or None where the name does not tell.

    See :data:`SUBJECT_OF_FAMILY`; letters of :data:`SYNTHETIC_FAMILY` are a person by themselves.
    """
    match = _SEQUENCE.fullmatch(sequence)
    if match is None:
        return None
    family = match.group(1)
    return family if SYNTHETIC_FAMILY.fullmatch(family) else SUBJECT_OF_FAMILY.get(family)


def object_points_key(name: str) -> str:
    """The 2621 evaluation points of a YCB object: text lines `x y z`, metres."""
    return f"models/{name}/points.xyz"


def object_mesh_key(name: str) -> str:
    """The mesh of a YCB object, metres."""
    return f"models/{name}/textured_simple.obj"


# --- conversions -----------------------------------------------------------------------------------------------------


def encode_depth(depth_m: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Pack depths into an RGB image: low byte in red, high byte in green.

    Args:
        depth_m: (H, W) metres; not finite, not positive or beyond 8.19 m becomes "no depth".

    Returns:
        (H, W, 3) uint8.
    """
    counts = np.asarray(depth_m, dtype=np.float64) / DEPTH_SCALE_M
    is_known = (counts > 0) & (counts < 65535.5)  # neither NaN nor infinity is
    packed = np.rint(np.where(is_known, counts, NO_DEPTH)).astype("<u2", order="C")
    image = np.zeros((*packed.shape, 3), dtype=np.uint8)
    image[..., :2] = packed[..., None].view(np.uint8)
    return image


def decode_depth(image_rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Unpack a depth image (H, W, 3) to metres (H, W); NaN where there is no depth.

    The bytes are widened first: in NumPy 2 `uint8 * 256` raises, in NumPy 1 it wrapped to zero.
    """
    wide = image_rgb.astype(np.uint16)
    counts = wide[..., 0] + (wide[..., 1] << 8)
    return np.where(counts == NO_DEPTH, np.nan, counts * DEPTH_SCALE_M).astype(np.float32)


def encode_segmentation(hand: npt.NDArray[np.bool_], target: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Paint masks (H, W) of hand and object into an RGB image (H, W, 3) of 0 and 255."""
    image = np.zeros((*hand.shape, 3), dtype=np.uint8)
    image[..., SEGMENTATION_HAND_CHANNEL][hand] = 255
    image[..., SEGMENTATION_OBJECT_CHANNEL][target] = 255
    return image


def decode_segmentation(
    image_rgb: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Read the masks (H, W) of hand and object from an RGB segmentation image."""
    level = image_rgb >= SEGMENTATION_MIN_LEVEL
    return level[..., SEGMENTATION_HAND_CHANNEL], level[..., SEGMENTATION_OBJECT_CHANNEL]


def joints_to_file(joints_3d: FloatArray) -> FloatArray:
    """Take joints (..., 21, 3) from simple order and OpenCV axes to the file's MANO order and OpenGL axes."""
    return reorder(points_opencv_to_opengl(joints_3d), "simple", JOINT_ORDER)


def joints_from_file(joints_3d: FloatArray) -> FloatArray:
    """Take joints (..., 21, 3) from the file's MANO order and OpenGL axes to simple order and OpenCV axes."""
    return reorder(points_opengl_to_opencv(joints_3d), JOINT_ORDER, "simple")


def mano_to_file(mano: ManoParameters, rest_root_joint: FloatArray) -> dict[str, FloatArray]:
    """Return the meta entries `handPose` (48,), `handTrans` (3,) and `handBeta` (10,).

    Args:
        mano: OpenCV camera axes.
        rest_root_joint: (3,) wrist of the unposed hand of these betas; see `geometry.transforms.transform_mano`.
    """
    orient, transl = mano_opengl_to_opencv(mano.global_orient, mano.transl, rest_root_joint)
    return {
        "handPose": np.concatenate([orient, mano.hand_pose]),
        "handTrans": transl,
        "handBeta": np.array(mano.betas),
    }


def mano_from_file(
    hand_pose: FloatArray, hand_trans: FloatArray, hand_beta: FloatArray, rest_root_joint: FloatArray
) -> ManoParameters:
    """Undo :func:`mano_to_file`: parameters (48,), (3,), (10,) of the file in OpenCV camera axes."""
    orient, transl = mano_opengl_to_opencv(hand_pose[:3], hand_trans, rest_root_joint)
    return ManoParameters(global_orient=orient, hand_pose=hand_pose[3:], betas=hand_beta, transl=transl)


def object_pose_to_file(T_cam_obj: FloatArray) -> dict[str, FloatArray]:
    """Return the meta entries `objRot` (3, 1) axis-angle and `objTrans` (3,) of an OpenCV pose (4, 4)."""
    T_gl_obj = transform_opencv_to_opengl(T_cam_obj)
    return {"objRot": matrix_to_axis_angle(T_gl_obj[:3, :3])[:, None], "objTrans": T_gl_obj[:3, 3].copy()}


def object_pose_from_file(obj_rot: FloatArray, obj_trans: FloatArray) -> FloatArray:
    """Return the OpenCV pose (4, 4) of `objRot` (3,) or (3, 1) and `objTrans` (3,)."""
    T_gl_obj = make_transform(axis_angle_to_matrix(np.ravel(obj_rot)), np.ravel(obj_trans))
    return transform_opengl_to_opencv(T_gl_obj)
