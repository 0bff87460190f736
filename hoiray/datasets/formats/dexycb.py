"""The facts of DexYCB (Chao et al., CVPR 2021): names, splits, layouts.

Layout below the root::

    20200709-subject-01/20200709_141754/836212060125/{color_000000.jpg, aligned_depth_to_color_000000.png,
                                                      labels_000000.npz}
    20200709-subject-01/20200709_141754/meta.yml
    calibration/intrinsics/836212060125_640x480.yml, calibration/mano_<id>/mano.yml
    models/002_master_chef_can/{textured_simple.obj, points.xyz}

OpenCV axes, metres, simple joint order, left and right hands. The pose is 45 **PCA coefficients** around MANO's mean
(`flat_hand_mean=False`). All-zero `pose_m` and joints of -1 mean "no hand". Source: the `dex-ycb-toolkit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from hoiray.datasets.sample import FloatArray
from hoiray.hand.joints import JointOrder

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")

IMAGE_SIZE_WH: Final = (640, 480)
JOINT_ORDER: Final[JointOrder] = "simple"
TIP_SET: Final = "manopth"
FLAT_HAND_MEAN: Final = False
NUM_PCA: Final = 45
NO_JOINT: Final = -1.0
HAND_LABEL: Final = 255
DEPTH_PER_M: Final = 1000
LABEL_KEYS: Final = ("seg", "pose_y", "pose_m", "joint_3d", "joint_2d")
META_KEYS: Final = ("num_frames", "ycb_ids", "ycb_grasp_ind", "mano_sides", "mano_calib", "serials")

SUBJECTS: Final = (
    "20200709-subject-01",
    "20200813-subject-02",
    "20200820-subject-03",
    "20200903-subject-04",
    "20200908-subject-05",
    "20200918-subject-06",
    "20200928-subject-07",
    "20201002-subject-08",
    "20201015-subject-09",
    "20201022-subject-10",
)
SERIALS: Final = (
    "836212060125",
    "839512060362",
    "840412060917",
    "841412060263",
    "932122060857",
    "932122060861",
    "932122061900",
    "932122062010",
)
YCB_CLASSES: Final[Mapping[int, str]] = MappingProxyType(
    dict(
        enumerate(
            (
                "002_master_chef_can", "003_cracker_box", "004_sugar_box", "005_tomato_soup_can", "006_mustard_bottle",
                "007_tuna_fish_can", "008_pudding_box", "009_gelatin_box", "010_potted_meat_can", "011_banana",
                "019_pitcher_base", "021_bleach_cleanser", "024_bowl", "025_mug", "035_power_drill", "036_wood_block",
                "037_scissors", "040_large_marker", "051_large_clamp", "052_extra_large_clamp", "061_foam_brick",
            ),
            start=1,
        )
    )
)  # fmt: skip
"""Object names by the ids of `ycb_ids` and of the segmentation."""

NUM_VAL_SUBJECTS: Final = 2
HELD_OUT_STRIDE: Final = 5
"""Split S0: of each subject's sequences every fifth (the 5th, 10th, ...) is held out; of the held-out ones those of
the first two subjects are validation, those of the others test."""

NUM_FRAMES_S0_TRAIN: Final = 465_504


def split_of(subject_index: int, sequence_index: int) -> Split:
    """Return the S0 split of a sequence: both indices 0-based, of the sorted folders."""
    if sequence_index % HELD_OUT_STRIDE != HELD_OUT_STRIDE - 1:
        return "train"
    return "val" if subject_index < NUM_VAL_SUBJECTS else "test"


def image_key(folder: str, frame_index: int) -> str:
    """The colour image; `folder` is subject/sequence/serial."""
    return f"{folder}/color_{frame_index:06d}.jpg"


def depth_key(folder: str, frame_index: int) -> str:
    """The depth image, 16 bit, millimetres, in the colour camera."""
    return f"{folder}/aligned_depth_to_color_{frame_index:06d}.png"


def labels_key(folder: str, frame_index: int) -> str:
    """The annotation."""
    return f"{folder}/labels_{frame_index:06d}.npz"


def meta_key(subject: str, sequence: str) -> str:
    """What a sequence holds."""
    return f"{subject}/{sequence}/meta.yml"


def intrinsics_key(serial: str) -> str:
    """The calibration of a camera: `color: {fx, fy, ppx, ppy}`."""
    return f"calibration/intrinsics/{serial}_640x480.yml"


def mano_key(mano_calib: str) -> str:
    """The shape of a hand: `betas: [10 numbers]`."""
    return f"calibration/mano_{mano_calib}/mano.yml"


def object_mesh_key(name: str) -> str:
    """The mesh of an object, metres."""
    return f"models/{name}/textured_simple.obj"


def object_points_key(name: str) -> str:
    """The evaluation points of an object, metres."""
    return f"models/{name}/points.xyz"


# --- conversions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class HandPose:
    """The 51 numbers of `pose_m`.

    Attributes:
        global_orient: (3,) axis-angle.
        pca: (45,) coefficients around the mean pose.
        transl: (3,) metres; as MANO's, not the wrist.
    """

    global_orient: FloatArray
    pca: FloatArray
    transl: FloatArray


def split_pose(pose_m: npt.NDArray[np.floating[Any]]) -> HandPose | None:
    """Name the parts of a (1, 51) or (51,) row; None where it says "no hand" (all zeros)."""
    row = np.ravel(pose_m).astype(np.float64)
    return HandPose(row[:3], row[3:48], row[48:]) if np.any(row) else None


def join_pose(pose: HandPose | None) -> npt.NDArray[np.float32]:
    """Undo :func:`split_pose`; (1, 51)."""
    row = np.zeros(51) if pose is None else np.concatenate([pose.global_orient, pose.pca, pose.transl])
    return row[None].astype(np.float32)


def pose_from_pca(pca: FloatArray, hands_mean: FloatArray, hands_components: FloatArray) -> FloatArray:
    """Return the absolute pose (..., 45) of coefficients (..., 45); mean and components of the hand's own side."""
    return np.asarray(pca @ hands_components + hands_mean)


def pose_to_pca(absolute_pose: FloatArray, hands_mean: FloatArray, hands_components: FloatArray) -> FloatArray:
    """Undo :func:`pose_from_pca`; with all 45 components nothing is lost."""
    return np.asarray((absolute_pose - hands_mean) @ np.linalg.pinv(hands_components))
