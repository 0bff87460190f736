"""The facts of FPHA (First-Person Hand Action, Garcia-Hernando et al., CVPR 2018): names, calibration, orders, units.

Layout below the root::

    Video_files/Subject_1/put_salt/1/{color/color_0000.jpeg, depth/depth_0000.png}
    Hand_pose_annotation_v1/Subject_1/put_salt/1/skeleton.txt      lines "t x1 y1 z1 ... x21 y21 z21": world, mm
    Object_6D_pose_annotation_v1/.../object_pose.txt               lines "t M11 M21 M31 M41 M12 ...": by columns, mm
    Object_models/juice_bottle_model/juice_bottle_model.ply        metres
    Subjects_info/Subject_1_info.txt                               three header lines, then "action repetition length"
    data_split_action_recognition.txt

A frame is named by the first column of its line. Lines are not counted: frames are missing in between.
Joints are the positions of magnetic sensors, not of a hand model. Source: the `hand_pose_action` toolkit.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from hoiray.datasets.sample import FloatArray
from hoiray.geometry.transforms import compose_transforms, transform_points
from hoiray.hand.joints import JointOrder, reorder

Split = Literal["train", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "test")

IMAGE_SIZE_WH: Final = (1920, 1080)
JOINT_ORDER: Final[JointOrder] = "fpha"
TIP_SET: Final = None
"""The tips are sensors on the nails; no vertex set of a mesh is meant."""

MM_PER_M: Final = 1000.0

K_COLOUR: Final = ((1395.749023, 0.0, 935.732544), (0.0, 1395.749268, 540.681030), (0.0, 0.0, 1.0))
"""Intrinsics of the colour camera, px, for 1920 x 1080."""

T_CAM_WORLD_MM: Final = (
    (0.999988496304, -0.00468848412856, 0.000982563360594, 25.7),
    (0.00469115935266, 0.999985218048, -0.00273845880292, 1.22),
    (-0.000969709653873, 0.00274303671904, 0.99999576807, 3.902),
    (0.0, 0.0, 0.0, 1.0),
)
"""Colour camera from "world" (the depth camera); the last column in millimetres."""

K_DEPTH: Final = ((475.065948, 0.0, 315.944855), (0.0, 475.065857, 245.287079), (0.0, 0.0, 1.0))
"""Intrinsics of the depth camera, px, from the `hand_pose_action` toolkit's README; its axes are "world"."""

DEPTH_SIZE_WH: Final = (640, 480)

SPLIT_KEY: Final = "data_split_action_recognition.txt"
VIDEO_FOLDER: Final = "Video_files"
HAND_FOLDERS: Final = ("Hand_pose_annotation_v1", "Hand_pose_annotation_v1_1")
OBJECT_FOLDERS: Final = ("Object_6D_pose_annotation_v1", "Object_6D_pose_annotation_v1_1")
"""Names of two releases of the same annotations."""

NUM_SEQUENCES: Final[Mapping[Split, int]] = MappingProxyType({"train": 600, "test": 575})
"""Lines of the published split."""

IGNORED_SEQUENCES: Final = frozenset(
    {
        ("Subject_5", "use_flash", "6"),
        ("Subject_2", "close_milk", "4"),
        ("Subject_2", "put_tea_bag", "2"),
        ("Subject_4", "flip_sponge", "2"),
    }
)
"""Sequences published code leaves out: annotations without a video, or wrong ones."""

_SPLIT_HEADING = re.compile(r"(Training|Test)\s+(\d+)")
_SPLIT_LINE = re.compile(r"(Subject_\d+)/([^/\s]+)/(\S+)\s+(\d+)")


@dataclass(frozen=True)
class Sequence:
    """One recording: who, which action, which repetition (`Subject_1/put_salt/1`)."""

    subject: str
    action: str
    repetition: str

    @property
    def name(self) -> str:
        """The folder below every tree."""
        return f"{self.subject}/{self.action}/{self.repetition}"

    @property
    def object_name(self) -> str:
        """The object an action names: `juice_bottle` of `pour_juice_bottle`."""
        return self.action.partition("_")[2]


def image_key(sequence: Sequence, frame_number: int) -> str:
    """The colour image of a frame."""
    return f"{VIDEO_FOLDER}/{sequence.name}/color/color_{frame_number:04d}.jpeg"


def depth_key(sequence: Sequence, frame_number: int) -> str:
    """The depth image of a frame, 640 x 480, 16 bit, millimetres."""
    return f"{VIDEO_FOLDER}/{sequence.name}/depth/depth_{frame_number:04d}.png"


def skeleton_key(sequence: Sequence, folder: str = HAND_FOLDERS[0]) -> str:
    """The hand joints of a sequence."""
    return f"{folder}/{sequence.name}/skeleton.txt"


def object_pose_key(sequence: Sequence, folder: str = OBJECT_FOLDERS[0]) -> str:
    """The object poses of a sequence; only some sequences have them."""
    return f"{folder}/{sequence.name}/object_pose.txt"


def object_model_keys(name: str) -> tuple[str, ...]:
    """Where the mesh of an object may lie: one release calls the juice bottle's folder `juice_model`."""
    names = (name, name.partition("_")[0]) if "_" in name else (name,)
    return tuple(f"Object_models/{n}_model/{n}_model.ply" for n in names)


def parse_split(text: str) -> dict[Split, tuple[Sequence, ...]]:
    """Read `data_split_action_recognition.txt`.

    `Training 600` begins the training part and `Test 575` the other; the lines between are
    `Subject_1/put_salt/1 <class>`.

    Raises:
        ValueError: a line of no known form (a misspelt heading would put the test sequences into training), a sequence
            that is listed twice, or another number of them than the heading says; with line and content.
    """
    found: dict[Split, list[Sequence]] = {"train": [], "test": []}
    promised: dict[Split, int] = {}
    split: Split | None = None
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        heading, match = _SPLIT_HEADING.fullmatch(line), _SPLIT_LINE.fullmatch(line)
        if heading is not None:
            split = "train" if heading.group(1) == "Training" else "test"
            if split in promised:
                raise ValueError(f"line {number}: a second {heading.group(1)!r}")
            promised[split] = int(heading.group(2))
        elif match is not None and split is not None:
            found[split].append(Sequence(*match.groups()[:3]))
        elif line:
            raise ValueError(f"line {number}: {line[:60]!r}")
    listed = [sequence for sequences in found.values() for sequence in sequences]
    for sequence, times in Counter(listed).items():
        if times > 1:
            raise ValueError(f"{sequence.name} {times} times")
    for part in SPLITS:
        if promised.get(part) != len(found[part]):
            raise ValueError(f"{len(found[part])} {part} sequences where its heading says {promised.get(part)}")
    return {name: tuple(sequences) for name, sequences in found.items()}


def write_split(sequences: Mapping[Split, tuple[Sequence, ...]], class_of_action: Mapping[str, int]) -> str:
    """Write what :func:`parse_split` reads."""
    lines = []
    for part, title in ((sequences["train"], "Training"), (sequences["test"], "Test")):
        lines += [f"{title} {len(part)}", *(f"{s.name} {class_of_action[s.action]}" for s in part)]
    return "\n".join(lines) + "\n"


# --- conversions -----------------------------------------------------------------------------------------------------


def intrinsics() -> FloatArray:
    """Return the colour camera's K (3, 3)."""
    return np.array(K_COLOUR)


def T_cam_world() -> FloatArray:
    """Return the colour camera's pose (4, 4), metres."""
    transform = np.array(T_CAM_WORLD_MM)
    transform[:3, 3] /= MM_PER_M
    return transform


def T_world_cam() -> FloatArray:
    """Return the inverse of :func:`T_cam_world`; a general one, since the published rotation is one only to 1e-6."""
    return np.asarray(np.linalg.inv(T_cam_world()))


def joints_to_file(joints_3d: FloatArray) -> FloatArray:
    """Take joints (..., 21, 3) of the camera (m, simple order) to a skeleton's (..., 63): world, mm, FPHA order."""
    world = transform_points(T_world_cam(), joints_3d) * MM_PER_M
    return reorder(world, "simple", JOINT_ORDER).reshape(*joints_3d.shape[:-2], 63)


def joints_from_file(row: FloatArray) -> FloatArray:
    """Undo :func:`joints_to_file`: numbers (..., 63) of a skeleton to joints (..., 21, 3) of the camera."""
    world = row.reshape(*row.shape[:-1], 21, 3) / MM_PER_M
    return reorder(transform_points(T_cam_world(), world), JOINT_ORDER, "simple")


def object_pose_to_file(T_cam_obj: FloatArray) -> FloatArray:
    """Take a pose (4, 4) of the camera (m) to the file's 16 numbers: world, mm, column by column."""
    T_world_obj = compose_transforms(T_world_cam(), T_cam_obj)
    T_world_obj[:3, 3] *= MM_PER_M
    return T_world_obj.ravel(order="F")


def object_pose_from_file(numbers: FloatArray) -> FloatArray:
    """Undo :func:`object_pose_to_file`; the mesh is in metres, so only the translation is scaled."""
    T_world_obj = numbers.reshape(4, 4, order="F").copy()
    T_world_obj[:3, 3] /= MM_PER_M
    return compose_transforms(T_cam_world(), T_world_obj)
