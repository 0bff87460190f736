"""Write recordings as DexYCB: 640 x 480 images of up to eight cameras, labels as NumPy archives, PCA poses.

A recording is a sequence of its person, its cameras are the serials in the published order. DexYCB's own split S0 takes
every fifth sequence of *every* person, so it shares people between training and test by design; the world's split by
person is in the truth beside it.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from hoiray.datasets.formats import dexycb as facts
from hoiray.errors import ContractError, describe
from hoiray.geometry.cameras import project_points
from hoiray.hand.load import mirror_hand_arrays
from hoiray.io.encode import encode_jpeg, encode_npz, encode_png
from hoiray.io.store import Store
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers.ho3d import write_object_models
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
    truth_model,
)

YCB_IDS: Final = {name: number for number, name in facts.YCB_CLASSES.items()}


class DexYcbWriter:
    """One recording in DexYCB's layout."""

    def __init__(self, store: Store, recording: Recording, slot: Slot) -> None:
        """Begin.

        Raises:
            ContractError: another image size, too many cameras or people, or an object that is none of YCB's 21.
        """
        require_image_size(recording, "DexYCB", facts.IMAGE_SIZE_WH)
        _check_counts(recording, slot)
        self._store, self._slot, self._recording = store, slot, recording
        self._subject = facts.SUBJECTS[slot.subject_index]
        self._sequence = f"{self._subject.partition('-')[0]}_{slot.recording_index:06d}"
        self._serials = {camera.camera_id: facts.SERIALS[i] for i, camera in enumerate(recording.cameras)}
        self._target = next(hand for hand in recording.hands if hand.is_target)
        names = [target.name for target in recording.objects]
        grasped = next((index for index, target in enumerate(recording.objects) if target.is_target), 0)
        self._meta = {
            "num_frames": recording.num_frames,
            "ycb_ids": [YCB_IDS[name] for name in names],
            "ycb_grasp_ind": grasped,
            "mano_sides": ["right" if self._target.is_right else "left"],
            "mano_calib": [f"{self._subject}_{'right' if self._target.is_right else 'left'}"],
            "serials": list(self._serials.values()),
        }

    def add(self, shot: Shot) -> Placement:
        """Write image, depth and labels of a frame."""
        folder = f"{self._subject}/{self._sequence}/{self._serials[shot.view.camera_id]}"
        frame = shot.view.frame_index
        self._store.write(
            facts.image_key(folder, frame), encode_jpeg(shot.pixels.image, quality=self._slot.jpeg_quality)
        )
        self._store.write(facts.depth_key(folder, frame), encode_png(encode_depth_mm(shot.pixels.depth_m)))
        self._store.write(facts.labels_key(folder, frame), encode_npz(make_labels(shot)))
        return Placement(f"{folder}/{frame:06d}")

    def close(self) -> Part:
        """Write the meta; return what the calibration needs."""
        self._store.write(facts.meta_key(self._subject, self._sequence), _yaml(self._meta))
        betas = next(s.betas for s in self._recording.subjects if s.subject_id == self._target.subject_id)
        return {
            "calibration": self._meta["mano_calib"][0],  # type: ignore[index]  # a list of one, see above
            "betas": [float(beta) for beta in betas],
            "intrinsics": {self._serials[camera.camera_id]: camera.K.tolist() for camera in self._recording.cameras},
            "objects": [target.name for target in self._recording.objects],
        }


def make_labels(shot: Shot) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `labels_*.npz`; a hand that cannot be seen is "none": zeros and -1."""
    seg = np.zeros(shot.pixels.labels.shape, dtype=np.uint8)
    for index, target in enumerate(shot.objects):
        seg[shot.object_mask(index)] = YCB_IDS[target.view.name]
    poses = [target.view.T_cam_obj[:3] for target in shot.objects]
    labels: dict[str, NDArray[Any]] = {
        "seg": seg,
        "pose_y": np.stack(poses).astype(np.float32) if poses else np.zeros((0, 3, 4), np.float32),
        "pose_m": facts.join_pose(None),
        "joint_3d": np.full((1, 21, 3), facts.NO_JOINT, dtype=np.float32),
        "joint_2d": np.full((1, 21, 2), facts.NO_JOINT, dtype=np.float32),
    }
    index = shot.target_hand_index
    mask = shot.hand_mask(index)
    if not mask.any():
        return labels
    seg[mask] = facts.HAND_LABEL
    hand = shot.hands[index]
    joints = hand.joints_3d(facts.TIP_SET)
    mano = hand.view.mano
    arrays = truth_model().arrays if hand.view.is_right else mirror_hand_arrays(truth_model().arrays)
    pca = facts.pose_to_pca(mano.hand_pose, arrays.hands_mean, arrays.hands_components)
    labels["pose_m"] = facts.join_pose(facts.HandPose(mano.global_orient, pca, mano.transl))
    labels["joint_3d"] = joints[None].astype(np.float32)
    labels["joint_2d"] = project_points(joints, shot.view.K)[None].astype(np.float32)
    return labels


def encode_depth_mm(depth_m: FloatArray) -> NDArray[np.uint16]:
    """Return depth (H, W) in counts of the 16-bit image; 0 where there is none or it is too far."""
    counts = np.where(np.isfinite(depth_m), depth_m, 0.0) * facts.DEPTH_PER_M
    return np.rint(np.where(counts < np.iinfo(np.uint16).max, counts, 0.0)).astype(np.uint16)


def _check_counts(recording: Recording, slot: Slot) -> None:
    if len(recording.cameras) > len(facts.SERIALS):
        expected, found = f"at most {len(facts.SERIALS)} cameras", str(len(recording.cameras))
        refuse_recording(recording, "DexYCB", expected=expected, found=found, fix="Leave cameras out.")
    if slot.subject_index >= len(facts.SUBJECTS):
        expected, found = f"at most {len(facts.SUBJECTS)} people", f"number {slot.subject_index + 1}"
        refuse_recording(recording, "DexYCB", expected=expected, found=found, fix="Make a smaller set.")
    unknown = [target.name for target in recording.objects if target.name not in YCB_IDS]
    if unknown or not recording.objects:
        found = ", ".join(unknown) or "no object"
        refuse_recording(recording, "DexYCB", expected="objects of YCB", found=found, fix="Use the lab domain.")


def _yaml(content: object) -> bytes:
    return yaml.safe_dump(content, sort_keys=True, default_flow_style=None, width=120).encode("utf-8")


def _finish(store: Store, parts: Sequence[Part]) -> None:
    calibrations: dict[str, list[float]] = {}
    cameras: dict[str, list[list[float]]] = {}
    for part in parts:
        calibrations[part["calibration"]] = part["betas"]
        for serial, K in part["intrinsics"].items():
            if cameras.setdefault(serial, K) != K:
                what, fix = f"camera {serial} of DexYCB", "The format has one calibration a camera: use the lab domain."
                raise ContractError(describe(what=what, expected=f"K = {cameras[serial]}", found=f"{K}", fix=fix))
    for calibration, betas in calibrations.items():
        store.write(facts.mano_key(calibration), _yaml({"betas": betas}))
    for serial, K in cameras.items():
        colour = {"fx": K[0][0], "fy": K[1][1], "ppx": K[0][2], "ppy": K[1][2]}
        store.write(facts.intrinsics_key(serial), _yaml({"color": colour, "depth": colour}))
    write_object_models(store, [name for part in parts for name in part["objects"]])


def _begin(store: Store, recording: Recording, slot: Slot) -> RecordingWriter:
    return DexYcbWriter(store, recording, slot)


DEXYCB: Final = Format("dexycb", "DexYCB: 640 x 480 JPEG, depth, NumPy labels with PCA poses", _begin, _finish)
