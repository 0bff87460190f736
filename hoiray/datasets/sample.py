"""What every data set reader returns: one camera's view of one instant, in one set of conventions.

OpenCV camera axes, metres, pixels with centres at integers; 21 joints in the simple order (wrist, thumb, index,
middle, ring, pinky, base to tip); MANO parameters as raw axis-angle (`flat_hand_mean=True`), full pose, no PCA.
What a data set does not tell is None, never a number.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class ManoParameters:
    """MANO parameters of one hand, in camera axes, for the model of that hand's own side.

    Attributes:
        global_orient: (3,) axis-angle, radians.
        hand_pose: (45,) axis-angle of the 15 finger joints in MANO order, radians; zero is the flat hand.
        betas: (10,) shape.
        transl: (3,) metres; the wrist is at `transl + J0(betas)`, not at `transl`.
    """

    global_orient: FloatArray
    hand_pose: FloatArray
    betas: FloatArray
    transl: FloatArray


@dataclass(frozen=True, eq=False)
class HandAnnotation:
    """One annotated hand of one image.

    Attributes:
        is_right: side, or None where the data set does not tell.
        mano: parameters, or None.
        joints_3d: (21, 3) metres, camera axes, or None.
        wrist_3d: (3,) metres, where a data set gives the wrist only (HO-3D's evaluation split).
        joints_2d_px: (21, 2) or None.
        vertices: (778, 3) metres, camera axes, where the data set stores them.
        bbox_xyxy: (4,) px, the box as annotated, or None.
        tip_set: name of the fingertip vertices the data set's joints use, or None without joints.
    """

    is_right: bool | None
    mano: ManoParameters | None = None
    joints_3d: FloatArray | None = None
    wrist_3d: FloatArray | None = None
    joints_2d_px: FloatArray | None = None
    vertices: FloatArray | None = None
    bbox_xyxy: FloatArray | None = None
    tip_set: str | None = None


@dataclass(frozen=True, eq=False)
class ObjectAnnotation:
    """One annotated object of one image.

    Attributes:
        name: the data set's own name of the object (`006_mustard_bottle`, `juice_bottle`, `0001`).
        T_cam_obj: (4, 4) object coordinates to camera coordinates, metres, or None.
        control_points_2d_px: (21, 2) projected control points in the published order, or None.
        bbox_xyxy: (4,) px, or None.
    """

    name: str
    T_cam_obj: FloatArray | None = None
    control_points_2d_px: FloatArray | None = None
    bbox_xyxy: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One image and what is known of it.

    Attributes:
        sample_id: unique within the data set; the data set's own key where it has one (`ABF10/0042`).
        recording_id: what was recorded at once; sister cameras share it, and a split never cuts it.
        subject_id: the person, or None where the data set does not tell.
        camera_id: the view within the recording, or None.
        frame_index: 0-based instant within the recording.
        image_key: where the image lies, relative to the data set's root (for video: the video's key).
        K: (3, 3) px, or None.
        hands: annotated hands; empty means "no hand is annotated", not "no hand is there".
        objects: annotated objects.
    """

    sample_id: str
    recording_id: str
    subject_id: str | None
    camera_id: str | None
    frame_index: int
    image_key: str
    K: FloatArray | None
    hands: tuple[HandAnnotation, ...] = ()
    objects: tuple[ObjectAnnotation, ...] = ()


@dataclass(frozen=True)
class DeadLetter:
    """An input that could not be used: which, at which stage, why."""

    key: str
    stage: str
    reason: str


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """An object as its data set ships it, metres, in its own axes.

    Attributes:
        name: as in `ObjectAnnotation`.
        points: (P, 3) the evaluation points (`points.xyz`, or the mesh's vertices).
        vertices, faces: (V, 3) and (F, 3) where a mesh is there, else None.
    """

    name: str
    points: FloatArray
    vertices: FloatArray | None = None
    faces: NDArray[np.integer] | None = None


@dataclass(frozen=True, eq=False)
class DepthView:
    """What a depth camera saw at a sample's instant.

    Attributes:
        depth_m: (H, W) metres along its own z, NaN where it saw nothing.
        K: (3, 3) px, its own.
        T_depth_cam: (4, 4) the sample's camera coordinates to its own.
    """

    depth_m: NDArray[np.floating]
    K: FloatArray
    T_depth_cam: FloatArray


class AnnotatedDataset(Protocol):
    """A data set that has been opened: its layout, counts, axes, units and joint order were checked."""

    @property
    def name(self) -> str:
        """For example `ho3d_v2`."""

    @property
    def split(self) -> str:
        """For example `train` or `evaluation`."""

    def __len__(self) -> int:
        """Number of samples."""

    def sample(self, index: int) -> Sample:
        """Read one sample's annotation.

        Raises:
            InputError: its files are missing, truncated or hold impossible values; the message names the file.
        """

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Read a sample's image, (H, W, 3) RGB.

        Raises:
            InputError: the image is missing or cannot be decoded whole.
        """

    def masks(self, sample: Sample) -> "Masks | None":
        """The segmentation, where the data set has one."""

    def object_model(self, name: str) -> ObjectModel | None:
        """The object's points and mesh, where the data set ships them."""


@dataclass(frozen=True, eq=False)
class Masks:
    """Visible pixels, (H, W) bool each; None where the data set does not tell."""

    hand: NDArray[np.bool_] | None = None
    objects: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
