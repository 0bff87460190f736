"""Write recordings as HO-3D v2 or v3, and as the preprocessed labels that circulate for v2.

Cameras of a recording are sister sequences (`Synkqzwbt00030` to `Synkqzwbt00034`), whose letters name the person.
Recordings of the train split go to `train/`, all others to `evaluation/`, whose metas hold the wrist only. As in the
published set, the folders hold frames that are in no list: those whose hand cannot be seen, and a few that were "not
annotated" (their `objRot` is None).
The segmentation lies at `<split>/<sequence>/seg/0000.png`: full size, hand blue, object red.
"""

import hashlib
import math
import string
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.formats import ho3d as facts
from hoiray.datasets.formats import ho3d_processed as processed
from hoiray.errors import ContractError, describe
from hoiray.geometry.cameras import project_points
from hoiray.geometry.transforms import mano_opengl_to_opencv, points_opencv_to_opengl, transform_points
from hoiray.io.encode import encode_jpeg, encode_json, encode_obj, encode_pickle, encode_png, encode_points
from hoiray.io.store import Store
from hoiray.synthetic.objects import ObjectMesh, build_object
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers.shot import (
    FloatArray,
    Format,
    Part,
    Placement,
    RecordingWriter,
    Shot,
    Slot,
    box_of_points,
    refuse_recording,
    require_image_size,
    require_right_target,
)
from hoiray.synthetic.writers.truth import posed_targets

UNANNOTATED_SHARE: Final = 0.04
"""Share of the instants left without annotation. HO-3D does not publish its own; a few per cent test a reader."""

MIN_FRAMES_WITH_GAPS: Final = 5
"""Shorter recordings keep all their annotations."""

NUM_BOX_CORNERS: Final = 8
JSON_DECIMALS: Final = 7
"""Of metres: a tenth of a micrometre."""


class Ho3dWriter:
    """One recording in the layout of HO-3D v2 or v3."""

    def __init__(self, store: Store, recording: Recording, slot: Slot, version: str) -> None:
        """Begin.

        Raises:
            ContractError: the recording cannot be told in this format: image size, left target hand, cameras.
        """
        _check_recording(recording)
        self._store, self._slot, self._version = store, slot, version
        self._recording_id = recording.recording_id
        self._split: facts.Split = "train" if slot.split == "train" else "evaluation"
        self._unannotated = unannotated_frames(slot, recording.num_frames)
        self._lines: list[str] = []
        self._objects: set[str] = set()

    def add(self, shot: Shot) -> Placement:
        """Write image, depth, segmentation and meta of a frame."""
        sequence, frame = sequence_of(self._slot, shot), f"{shot.view.frame_index:04d}"
        hand_index, object_index = shot.target_hand_index, require_object(shot)
        image_key = facts.image_key(self._version, self._split, sequence, frame)
        self._store.write(image_key, self._image(shot.pixels.image))
        depth = encode_png(facts.encode_depth(shot.pixels.depth_m))
        self._store.write(facts.depth_key(self._split, sequence, frame), depth)
        masks = facts.encode_segmentation(shot.hand_mask(hand_index), shot.object_mask(object_index))
        segmentation_key = facts.SEGMENTATION_KEYS[0].format(split=self._split, sequence=sequence, frame=frame)
        self._store.write(segmentation_key, encode_png(masks))
        is_annotated = is_annotated_frame(shot, self._unannotated)
        meta = make_meta(shot, self._split, is_annotated=is_annotated)
        self._store.write(facts.meta_key(self._split, sequence, frame), encode_pickle(meta))
        self._objects.add(shot.objects[object_index].view.name)
        if not is_annotated:
            return Placement(None)
        self._lines.append(facts.sample_line(sequence, shot.view.frame_index))
        return Placement(self._lines[-1])

    def _image(self, pixels: NDArray[np.uint8]) -> bytes:
        is_lossless = facts.VERSIONS[self._version].image_suffix == "png"
        return encode_png(pixels) if is_lossless else encode_jpeg(pixels, quality=self._slot.jpeg_quality)

    def close(self) -> Part:
        """Return the lines of the list."""
        return {
            "recording_id": self._recording_id,
            "split": self._split,
            "lines": self._lines,
            "objects": sorted(self._objects),
        }


class Ho3dProcessedWriter:
    """One recording as preprocessed labels, with the images they need."""

    def __init__(self, store: Store, recording: Recording, slot: Slot) -> None:
        """Begin; see :class:`Ho3dWriter`."""
        _check_recording(recording)
        self._store, self._slot = store, slot
        self._recording_id = recording.recording_id
        self._unannotated = unannotated_frames(slot, recording.num_frames)
        self._lines: list[str] = []
        self._control_points: list[list[list[float]]] = []
        self._objects: set[str] = set()

    def add(self, shot: Shot) -> Placement:
        """Write image and object mask of a frame; the format has no evaluation split and no unlisted frames."""
        if self._slot.split != "train" or not is_annotated_frame(shot, self._unannotated):
            return Placement(None)
        sequence, frame = sequence_of(self._slot, shot), f"{shot.view.frame_index:04d}"
        target = shot.objects[require_object(shot)]
        image_key = facts.image_key("ho3d_v2", "train", sequence, frame)
        self._store.write(image_key, encode_png(shot.pixels.image))
        mask = shot.object_mask(require_object(shot)).astype(np.uint8) * 255
        self._store.write(processed.mask_key(sequence, frame), encode_png(mask))
        points = transform_points(target.view.T_cam_obj, target.mesh.control_points)
        self._control_points.append(project_points(points, shot.view.K).round(4).tolist())
        self._objects.add(target.view.name)
        self._lines.append(facts.sample_line(sequence, shot.view.frame_index))
        return Placement(self._lines[-1])

    def close(self) -> Part:
        """Return the lines and what the truth table does not hold: the projected control points."""
        return {
            "recording_id": self._recording_id,
            "lines": self._lines,
            "control_points": self._control_points,
            "objects": sorted(self._objects),
        }


def make_meta(shot: Shot, split: facts.Split, *, is_annotated: bool) -> dict[str, object]:
    """Return the meta of a frame in the file's axes and order.

    Args:
        shot: the frame.
        split: evaluation metas hold the wrist and a box in place of the hand.
        is_annotated: False gives a meta as unannotated frames have: camera and object name, the rest None.
    """
    hand, target = shot.hands[shot.target_hand_index], shot.objects[require_object(shot)]
    joints = facts.joints_to_file(hand.joints_3d(facts.TIP_SET))
    corners = target.mesh.control_points[:NUM_BOX_CORNERS]
    meta: dict[str, object] = {"camMat": shot.view.K, "objName": target.view.name}
    labels: dict[str, object] = {
        "handJoints3D": joints if split == "train" else joints[0],
        **facts.object_pose_to_file(target.view.T_cam_obj),
        "objCorners3D": points_opencv_to_opengl(transform_points(target.view.T_cam_obj, corners)),
        "objCorners3DRest": corners,
    }
    if split == "train":
        # the wrist of the posed hand is J0 + transl in any axes
        rest_root = hand.chain_joints[0] - hand.view.mano.transl
        labels |= facts.mano_to_file(hand.view.mano, rest_root)
    elif is_annotated:
        labels["handBoundingBox"] = box_of_points(project_points(hand.vertices, shot.view.K), shot.view.image_size)
    return meta | (labels if is_annotated else dict.fromkeys(labels))


def is_annotated_frame(shot: Shot, unannotated: frozenset[int]) -> bool:
    """Tell whether a frame is in the lists: it was annotated, and something of the hand is seen."""
    is_seen = bool(shot.hand_mask(shot.target_hand_index).any())
    return shot.view.frame_index not in unannotated and is_seen


def unannotated_frames(slot: Slot, num_frames: int) -> frozenset[int]:
    """Choose the instants without annotation; all cameras miss the same ones, as one fit makes all their labels."""
    if num_frames < MIN_FRAMES_WITH_GAPS:
        return frozenset()
    count = math.ceil(UNANNOTATED_SHARE * num_frames)
    return frozenset(slot.rng("unannotated").choice(num_frames, size=count, replace=False).tolist())


def sequence_of(slot: Slot, shot: Shot) -> str:
    """Name a camera's sequence: letters of the person as HO-3D does, the recording, and the camera as last digit."""
    person = synthetic_family(shot.hands[shot.target_hand_index].view.subject_id)
    return f"{person}{slot.recording_index:04d}{shot.view.camera_id}"


def synthetic_family(subject_id: str) -> str:
    """Return letters for a person that none of the published sets has, as :data:`facts.SYNTHETIC_FAMILY` says.

    Six letters of a digest, so that people of other seeds and domains have other names (one chance in 3e8 a pair).
    """
    number = int.from_bytes(hashlib.sha256(subject_id.encode()).digest()[:8], "little")
    letters = string.ascii_lowercase
    return "Syn" + "".join(letters[number // len(letters) ** place % len(letters)] for place in range(6))


def require_object(shot: Shot) -> int:
    """Return the index of the target object.

    Raises:
        ContractError: there is none.
    """
    index = shot.target_object_index
    if index is None:
        what, fix = f"recording {shot.view.recording_id}", "Write it as FreiHAND, which has no objects."
        raise ContractError(describe(what=what, expected="a target object", found="none", fix=fix))
    return index


def _check_recording(recording: Recording) -> None:
    require_image_size(recording, "HO-3D", facts.IMAGE_SIZE_WH)
    require_right_target(recording, "HO-3D")
    camera_ids = [camera.camera_id for camera in recording.cameras]
    if not set(camera_ids) <= set("0123456789"):
        found, fix = ", ".join(camera_ids), "The last digit of a sequence's name is its camera."
        refuse_recording(recording, "HO-3D", expected="cameras 0 to 9", found=found, fix=fix)


# --- lists of the whole set -------------------------------------------------------------------------------------------


def write_object_models(store: Store, names: Sequence[str]) -> None:
    """Write points and mesh of objects to `models/`, as the YCB models are unpacked beside HO-3D and DexYCB."""
    for name in sorted(set(names)):
        mesh: ObjectMesh = build_object(name)
        store.write(facts.object_points_key(name), encode_points(mesh.points))
        store.write(facts.object_mesh_key(name), encode_obj(mesh.vertices, mesh.faces))


def json_array(values: FloatArray) -> Iterator[bytes]:
    """Yield the JSON text of each entry of (N, ...), rounded to a tenth of a micrometre."""
    for entry in values:
        # adding zero turns -0.0 into 0.0
        yield encode_json((np.round(entry, JSON_DECIMALS) + 0.0).tolist()).rstrip()


def join_json_list(entries: Sequence[bytes]) -> bytes:
    """Join texts of entries to a JSON list, one entry a line."""
    return b"[\n" + b",\n".join(entries) + b"\n]\n"


def _finish(store: Store, parts: Sequence[Part]) -> None:
    for split in facts.SPLITS:
        lines = [line for part in parts if part["split"] == split for line in part["lines"]]
        store.write(facts.list_key(split), "".join(f"{line}\n" for line in lines).encode())
    joints: list[bytes] = []
    vertices: list[bytes] = []
    for part in parts:
        if part["split"] == "evaluation" and part["lines"]:
            posed = posed_targets(store, part["recording_id"])
            joints += json_array(facts.joints_to_file(posed.joints_3d(facts.TIP_SET)))
            vertices += json_array(points_opencv_to_opengl(posed.vertices))
    store.write(facts.EVALUATION_JOINTS_KEY, join_json_list(joints))
    store.write(facts.EVALUATION_VERTICES_KEY, join_json_list(vertices))
    write_object_models(store, [name for part in parts for name in part["objects"]])


def _finish_processed(store: Store, parts: Sequence[Part]) -> None:
    lists: dict[str, list[bytes]] = {processed.K_KEY: [], processed.JOINTS_KEY: [], processed.MANO_KEY: []}
    lines = [line for part in parts for line in part["lines"]]
    store.write(processed.LIST_KEY, "".join(f"{line}\n" for line in lines).encode())
    for part in parts:
        if not part["lines"]:
            continue
        posed = posed_targets(store, part["recording_id"])
        lists[processed.K_KEY] += json_array(posed.K)
        lists[processed.JOINTS_KEY] += json_array(posed.joints_3d(processed.TIP_SET))
        orient, _ = mano_opengl_to_opencv(posed.global_orient, np.zeros((len(posed.K), 3)), np.zeros(3))
        lists[processed.MANO_KEY] += json_array(np.concatenate([orient, posed.hand_pose, posed.betas], axis=1))
    for key, entries in lists.items():
        store.write(key, join_json_list(entries))
    points = [encode_json(entry).rstrip() for part in parts for entry in part["control_points"]]
    store.write(processed.CONTROL_POINTS_KEY, join_json_list(points))
    write_object_models(store, [name for part in parts for name in part["objects"]])


def _begin_v2(store: Store, recording: Recording, slot: Slot) -> RecordingWriter:
    return Ho3dWriter(store, recording, slot, "ho3d_v2")


def _begin_v3(store: Store, recording: Recording, slot: Slot) -> RecordingWriter:
    return Ho3dWriter(store, recording, slot, "ho3d_v3")


HO3D_V2: Final = Format("ho3d_v2", "HO-3D v2: PNG images, OpenGL metas, packed depth, seg/", _begin_v2, _finish)
HO3D_V3: Final = Format("ho3d_v3", "HO-3D v3: JPEG images, OpenGL metas, packed depth, seg/", _begin_v3, _finish)
HO3D_PROCESSED: Final = Format(
    "ho3d_processed", "ho3d-process: JSON labels of HO-3D v2's train split", Ho3dProcessedWriter, _finish_processed
)
