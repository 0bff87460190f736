"""Write recordings as FPHA: colour and depth images, joints and object poses in the depth camera's axes, millimetres.

A recording becomes `Subject_<n>/<action>/<repetition>`; the action names the object (`pour_juice_bottle`), so that the
object of the poses is known. Frames whose hand cannot be seen, and a few others, have an image but no line in
`skeleton.txt`: a line's first number is its frame, its place in the file is not.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.formats import fpha as facts
from hoiray.geometry.transforms import invert_transform, transform_points
from hoiray.io.encode import encode_jpeg, encode_ply, encode_png
from hoiray.io.store import Store
from hoiray.render.raster import concatenate_meshes, rasterise
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers.shot import (
    FloatArray,
    Format,
    Part,
    Placement,
    RecordingWriter,
    Shot,
    Slot,
    refuse_recording,
    require_image_size,
    require_right_target,
    truth_model,
)

JOINT_TIP_SET: Final = "smplx"
"""Vertices near the nails, where FPHA's sensors sit."""

ACTION_VERBS: Final = {"juice_bottle": "pour", "liquid_soap": "pour", "milk": "open", "salt": "put"}
"""One published action for each object that has a pose."""

OTHER_VERB: Final = "use"

MISSING_SHARE: Final = 0.03
"""Share of frames without a line; the published files have such holes too."""

MIN_FRAMES_WITH_HOLES: Final = 8
MAX_INTRINSICS_ERROR_PX: Final = 1e-6


class FphaWriter:
    """One recording in FPHA's layout; its first camera only, as the set has one."""

    def __init__(self, store: Store, recording: Recording, slot: Slot) -> None:
        """Begin.

        Raises:
            ContractError: another image size or K, a left target hand, or no target object.
        """
        require_image_size(recording, "FPHA", facts.IMAGE_SIZE_WH)
        require_right_target(recording, "FPHA")
        camera = recording.cameras[0]
        if np.abs(camera.K - facts.intrinsics()).max() > MAX_INTRINSICS_ERROR_PX:
            expected, found = "the published K, as the format stores none", f"{camera.K.tolist()}"
            refuse_recording(recording, "FPHA", expected=expected, found=found, fix="Use the ego domain.")
        name = next((target.name for target in recording.objects if target.is_target), None)
        if name is None:
            fix = "Use the ego domain: an action of FPHA names its object."
            refuse_recording(recording, "FPHA", expected="a target object", found="none", fix=fix)
        self._store, self._camera_id, self._object_name = store, camera.camera_id, str(name)
        self._split = "train" if slot.split == "train" else "test"
        subject, repetition = f"Subject_{slot.subject_index + 1}", str(slot.recording_index + 1)
        self._sequence = facts.Sequence(subject, action_of(self._object_name), repetition)
        self._quality, self._num_frames = slot.jpeg_quality, recording.num_frames
        self._missing = missing_frames(slot, recording.num_frames)
        self._joints: list[str] = []
        self._poses: list[str] = []

    def add(self, shot: Shot) -> Placement:
        """Write the images of a frame and note its lines."""
        if shot.view.camera_id != self._camera_id:
            return Placement(None)
        number = shot.view.frame_index
        self._store.write(
            facts.image_key(self._sequence, number), encode_jpeg(shot.pixels.image, quality=self._quality)
        )
        self._store.write(facts.depth_key(self._sequence, number), encode_png(depth_image(shot)))
        hand_index, object_index = shot.target_hand_index, shot.target_object_index
        if number in self._missing or object_index is None or not shot.hand_mask(hand_index).any():
            return Placement(None)
        joints = facts.joints_to_file(shot.hands[hand_index].joints_3d(JOINT_TIP_SET))
        pose = facts.object_pose_to_file(shot.objects[object_index].view.T_cam_obj)
        # rotations need more digits than millimetres: 1e-8 of a radian is nothing at an arm's length
        self._joints.append(" ".join([f"{number:04d}", *(f"{value:.4f}" for value in joints)]))
        self._poses.append(" ".join([f"{number:04d}", *(f"{value:.8f}" for value in pose)]))
        return Placement(f"{self._sequence.name}/{number:04d}")

    def close(self) -> Part:
        """Write both files of lines; return what the lists need."""
        for key, lines in (
            (facts.skeleton_key(self._sequence), self._joints),
            (facts.object_pose_key(self._sequence), self._poses),
        ):
            self._store.write(key, "".join(f"{line}\n" for line in lines).encode("ascii"))
        return {
            "split": self._split,
            "sequence": [self._sequence.subject, self._sequence.action, self._sequence.repetition],
            "num_frames": self._num_frames,
            "object": self._object_name,
        }


def action_of(object_name: str) -> str:
    """Name the action, so that what follows its first underscore is the object."""
    return f"{ACTION_VERBS.get(object_name, OTHER_VERB)}_{object_name}"


def missing_frames(slot: Slot, num_frames: int) -> frozenset[int]:
    """Choose the frames without annotation."""
    if num_frames < MIN_FRAMES_WITH_HOLES:
        return frozenset()
    count = math.ceil(MISSING_SHARE * num_frames)
    return frozenset(slot.rng("missing").choice(num_frames, size=count, replace=False).tolist())


def depth_image(shot: Shot) -> NDArray[np.uint16]:
    """Return what the depth camera sees of hands and objects, (480, 640) millimetres, 0 where nothing.

    The depth camera stands some 26 mm beside the colour camera, so its image is rasterised anew. Rooms and tables are
    not in it, as if they were out of range.
    """
    T_depth_cam: FloatArray = invert_transform(facts.T_cam_world())
    parts = [(hand.vertices, truth_model().faces(is_right=hand.view.is_right).numpy()) for hand in shot.hands]
    parts += [(transform_points(t.view.T_cam_obj, t.mesh.vertices), t.mesh.faces) for t in shot.objects]
    vertices, faces, _ = concatenate_meshes(parts)
    width, height = facts.DEPTH_SIZE_WH
    fragments = rasterise(transform_points(T_depth_cam, vertices), faces, np.array(facts.K_DEPTH), (height, width))
    depth_mm = np.where(fragments.covered, fragments.depth_m * facts.MM_PER_M, 0.0)
    return np.rint(np.minimum(depth_mm, np.iinfo(np.uint16).max)).astype(np.uint16)


def _finish(store: Store, parts: Sequence[Part]) -> None:
    sequences = {
        split: [facts.Sequence(*p["sequence"]) for p in parts if p["split"] == split] for split in facts.SPLITS
    }
    actions = sorted({sequence.action for found in sequences.values() for sequence in found})
    classes = {action: index for index, action in enumerate(actions)}
    split_text = facts.write_split({split: tuple(found) for split, found in sequences.items()}, classes)
    store.write(facts.SPLIT_KEY, split_text.encode("ascii"))
    for name in sorted({part["object"] for part in parts}):
        mesh = build_object(name)
        store.write(facts.object_model_keys(name)[0], encode_ply(mesh.vertices, mesh.faces))
    for subject in sorted({part["sequence"][0] for part in parts}):
        rows = [(p["sequence"][1], p["sequence"][2], p["num_frames"]) for p in parts if p["sequence"][0] == subject]
        lines = [f"{subject}", "action repetition frames", "-" * 24, *(" ".join(map(str, row)) for row in rows)]
        store.write(f"Subjects_info/{subject}_info.txt", "".join(f"{line}\n" for line in lines).encode("ascii"))


def _begin(store: Store, recording: Recording, slot: Slot) -> RecordingWriter:
    return FphaWriter(store, recording, slot)


FPHA: Final = Format("fpha", "FPHA: 1920 x 1080 JPEG, depth, skeletons and object poses as text", _begin, _finish)
