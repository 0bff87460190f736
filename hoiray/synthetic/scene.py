"""What is true in the synthetic world, free of pixels: people, objects, cameras, and where everything is.

World axes: x right, y up, z towards the first camera; metres, seconds, radians. Camera axes are OpenCV's.
A `Recording` is filmed by one or several synchronised cameras; the truth of one camera at one instant is a `View`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.sample import ManoParameters

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Subject:
    """A person: shape of the hands and look of the skin."""

    subject_id: str
    betas: FloatArray
    """(10,) of the right hand; the left hand is its mirror image."""
    skin_tone_index: int
    appearance_seed: int


@dataclass(frozen=True, eq=False)
class HandTrack:
    """One hand through a recording, in world axes.

    Attributes:
        is_right: side.
        subject_id: whose hand.
        is_target: False for a distractor (second hand at rest, another person's hand).
        global_orient: (T, 3), hand_pose: (T, 45), transl: (T, 3) as in `ManoParameters`, world axes.
        forearm: (T, 3) axis-angle of the forearm relative to the hand (it has no MANO parameter).
        contact: (T,) bool, the hand holds the object.
    """

    is_right: bool
    subject_id: str
    is_target: bool
    global_orient: FloatArray
    hand_pose: FloatArray
    transl: FloatArray
    forearm: FloatArray
    contact: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ObjectTrack:
    """One object through a recording: name of its model and `T_world_obj` (T, 4, 4)."""

    name: str
    is_target: bool
    T_world_obj: FloatArray


@dataclass(frozen=True, eq=False)
class CameraTrack:
    """One camera: intrinsics and where it is.

    Attributes:
        camera_id: within the recording, `0`, `1`, ...
        K: (3, 3) px.
        image_size: (height, width) px.
        T_cam_world: (T, 4, 4).
    """

    camera_id: str
    K: FloatArray
    image_size: tuple[int, int]
    T_cam_world: FloatArray


@dataclass(frozen=True, eq=False)
class Appearance:
    """How a recording looks; every random detail follows from the seed."""

    seed: int
    environment: str
    """Name of the packaged light and background."""
    exposure: float
    textures: dict[str, int]
    """Object name to texture seed."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Everything that happened, once; `subjects` holds every person whose hand appears."""

    recording_id: str
    domain: str
    fps: float
    num_frames: int
    subjects: tuple[Subject, ...]
    hands: tuple[HandTrack, ...]
    objects: tuple[ObjectTrack, ...]
    cameras: tuple[CameraTrack, ...]
    appearance: Appearance
    contact_statistics: dict[str, float]
    """Penetration and distance while holding, metres: see the data set card."""


@dataclass(frozen=True, eq=False)
class HandView:
    """One hand as one camera sees it at one instant (camera axes)."""

    is_right: bool
    subject_id: str
    is_target: bool
    mano: ManoParameters
    forearm: FloatArray
    holds_object: bool


@dataclass(frozen=True, eq=False)
class ObjectView:
    """One object as one camera sees it at one instant."""

    name: str
    is_target: bool
    T_cam_obj: FloatArray


@dataclass(frozen=True, eq=False)
class View:
    """The truth of one camera at one instant, in OpenCV camera axes."""

    recording_id: str
    camera_id: str
    frame_index: int
    time_s: float
    K: FloatArray
    image_size: tuple[int, int]
    T_cam_world: FloatArray
    hands: tuple[HandView, ...]
    objects: tuple[ObjectView, ...]


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """Pixels of one view.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8; 0 background, 1 + i the i-th hand of the view, 1 + num_hands + j its j-th object. As in
            HO-3D they are drawn from the 778-vertex hands and the objects alone: forearm and sleeve neither have a
            label nor hide one, though they hide the surface in the image and in the depth.
        depth_m: (H, W) float32, infinite where nothing was hit (background).
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
