"""Reader of DexYCB, as published; the facts of the format are in :mod:`hoiray.datasets.formats.dexycb`."""

import bisect
import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from hoiray.datasets.conventions import Conventions
from hoiray.datasets.formats import dexycb as facts
from hoiray.datasets.image_files import read_levels, read_rgb
from hoiray.datasets.intrinsics import require_intrinsics
from hoiray.datasets.meshes import read_object_model
from hoiray.datasets.opening import check_opened, require_split
from hoiray.datasets.pickles import finite_array, require_keys
from hoiray.datasets.rest_wrist import of_side
from hoiray.datasets.sample import (
    FloatArray,
    HandAnnotation,
    ManoParameters,
    Masks,
    ObjectAnnotation,
    ObjectModel,
    Sample,
)
from hoiray.errors import ContractError, InputError, describe
from hoiray.geometry.rotations import is_rotation
from hoiray.hand.load import HandArrays
from hoiray.io.store import Store

CONVENTIONS: Final = Conventions(
    joint_order=facts.JOINT_ORDER,
    axes="opencv",
    orientation_axes="opencv",
    flat_hand_mean=facts.FLAT_HAND_MEAN,
    tip_set=facts.TIP_SET,
)
_ROTATION_TOLERANCE: Final = 1e-3
"""Labels are float32."""

_FIX: Final = "Restore the file from the published archive."


@dataclass(frozen=True)
class Recording:
    """One sequence of one person, filmed by several cameras.

    Attributes:
        subject, sequence: its folders.
        serials: cameras that filmed it; a folder that is missing shows when a frame of it is read.
        num_frames: of each camera.
        object_names: of `pose_y`'s rows.
        grasped: which of them is grasped.
        is_right: side of the hand.
        mano_calib: whose shape the hand has.
    """

    subject: str
    sequence: str
    serials: tuple[str, ...]
    num_frames: int
    object_names: tuple[str, ...]
    grasped: int
    is_right: bool
    mano_calib: str

    @property
    def folder(self) -> str:
        """Subject and sequence."""
        return f"{self.subject}/{self.sequence}"


@dataclass(frozen=True, eq=False)
class DexYcbDataset:
    """An opened DexYCB split (S0), frame by frame of every camera.

    Attributes:
        store: the root.
        split: `train`, `val` or `test`.
        recordings: of the split.
        ends: cumulative number of samples.
        intrinsics: by camera.
        betas: by calibration.
        hands: the model of each side (True: right) the labels were made with, or None: then there are no MANO
            parameters, since the stored pose is PCA coefficients of that model.
    """

    store: Store
    split: facts.Split
    recordings: tuple[Recording, ...]
    ends: tuple[int, ...]
    intrinsics: Mapping[str, FloatArray]
    betas: Mapping[str, FloatArray]
    hands: Mapping[bool, HandArrays] | None

    @classmethod
    def open(
        cls,
        uri: str,
        split: facts.Split = "train",
        *,
        hand: HandArrays | None = None,
        left_hand: HandArrays | None = None,
        check: bool = True,
    ) -> "DexYcbDataset":
        """Open and check a split.

        Args:
            uri: the folder that holds `calibration` and the subjects, local or on S3.
            split: of S0.
            hand: the right hand's model; see the class.
            left_hand: the left hand's; None mirrors the right one.
            check: False leaves the checks out.

        Raises:
            ContractError: no recording of the split, a meta or calibration that is none, or broken conventions.
            InputError: a file is missing.
        """
        require_split(split, facts.SPLITS, name="DexYCB")
        store = Store.open(uri)
        recordings = tuple(_recordings(store, split))
        serials = sorted({serial for recording in recordings for serial in recording.serials})
        calibrations = sorted({recording.mano_calib for recording in recordings})
        hands = None
        if hand is not None:
            hands = {True: of_side(hand, is_right=True), False: of_side(left_hand or hand, is_right=False)}
        dataset = cls(
            store=store,
            split=split,
            recordings=recordings,
            ends=tuple(np.cumsum([len(one.serials) * one.num_frames for one in recordings]).tolist()),
            intrinsics={serial: _read_intrinsics(store, serial) for serial in serials},
            betas={calibration: _read_betas(store, calibration) for calibration in calibrations},
            hands=hands,
        )
        if check:
            _refuse_more_frames(store, recordings)
            model = None if hands is None else hands[True]
            check_opened(dataset, store, CONVENTIONS, hand=model, image_size_wh=facts.IMAGE_SIZE_WH)
        return dataset

    @property
    def name(self) -> str:
        """`dexycb`."""
        return "dexycb"

    def __len__(self) -> int:
        """Frames of all cameras, with and without a hand."""
        return self.ends[-1] if self.ends else 0

    def sample(self, index: int) -> Sample:
        """Read the labels of a frame.

        Raises:
            InputError: the file is missing, damaged or lacks a key, or a number is not finite.
        """
        recording, serial, frame = self._locate(index)
        folder = f"{recording.folder}/{serial}"
        key = facts.labels_key(folder, frame)
        name = self.store.url(key)
        labels = read_labels(self.store, key)
        hand = self._hand(recording, labels, name)
        return Sample(
            sample_id=f"{folder}/{frame:06d}",
            recording_id=recording.folder,
            subject_id=recording.subject,
            camera_id=serial,
            frame_index=frame,
            image_key=facts.image_key(folder, frame),
            K=self.intrinsics[serial],
            hands=() if hand is None else (hand,),
            objects=_objects(recording, labels, name),
        )

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Read the colour image, (480, 640, 3).

        Raises:
            InputError: it is missing, truncated or of another size.
        """
        return read_rgb(self.store, sample.image_key, size_wh=facts.IMAGE_SIZE_WH)

    def depth_m(self, sample: Sample) -> NDArray[np.float32]:
        """Read the depth in the colour camera, (480, 640) metres, NaN where there is none.

        Raises:
            InputError: it is missing, truncated or of another size.
        """
        folder, _, frame = sample.sample_id.rpartition("/")
        levels = read_levels(self.store, facts.depth_key(folder, int(frame)), size_wh=facts.IMAGE_SIZE_WH)
        return np.where(levels == 0, np.nan, levels / facts.DEPTH_PER_M).astype(np.float32)

    def masks(self, sample: Sample) -> Masks | None:
        """Read the segmentation out of the labels.

        Raises:
            InputError: the labels are missing or damaged.
        """
        folder, _, frame = sample.sample_id.rpartition("/")
        key = facts.labels_key(folder, int(frame))
        labels = read_labels(self.store, key)
        seg = np.asarray(labels["seg"])
        width, height = facts.IMAGE_SIZE_WH
        if seg.shape != (height, width):
            expected, found = f"shape {(height, width)}", f"shape {seg.shape}"
            raise InputError(describe(what=f"{self.store.url(key)}, 'seg'", expected=expected, found=found, fix=_FIX))
        id_of_name = {name: number for number, name in facts.YCB_CLASSES.items()}
        objects = {one.name: seg == id_of_name[one.name] for one in sample.objects}
        return Masks(hand=seg == facts.HAND_LABEL, objects=objects)

    def object_model(self, name: str) -> ObjectModel | None:
        """Read a YCB model."""
        keys = (facts.object_mesh_key(name),)
        return read_object_model(self.store, name, points_key=facts.object_points_key(name), mesh_keys=keys)

    def _locate(self, index: int) -> tuple[Recording, str, int]:
        position = bisect.bisect_right(self.ends, index)
        recording = self.recordings[position]
        within = index - (self.ends[position] - len(recording.serials) * recording.num_frames)
        camera, frame = divmod(within, recording.num_frames)
        return recording, recording.serials[camera], frame

    def _hand(self, recording: Recording, labels: Mapping[str, Any], name: str) -> HandAnnotation | None:
        pose = facts.split_pose(finite_array(labels, "pose_m", (51,), name=name))
        joints = _present(finite_array(labels, "joint_3d", (21, 3), name=name))
        pixels = _present(finite_array(labels, "joint_2d", (21, 2), name=name))
        if pose is None and joints is None:
            return None
        mano = None
        if pose is not None and self.hands is not None:
            arrays = self.hands[recording.is_right]
            mano = ManoParameters(
                global_orient=pose.global_orient,
                hand_pose=facts.pose_from_pca(pose.pca, arrays.hands_mean, arrays.hands_components),
                betas=self.betas[recording.mano_calib],
                transl=pose.transl,
            )
        return HandAnnotation(
            is_right=recording.is_right,
            mano=mano,
            joints_3d=joints,
            joints_2d_px=pixels,
            tip_set=None if joints is None else facts.TIP_SET,
        )


def read_labels(store: Store, key: str) -> Mapping[str, NDArray[Any]]:
    """Read a `labels_*.npz`; nothing in it is unpickled.

    Raises:
        InputError: it is missing, damaged, or lacks a key.
    """
    data, name = store.read(key), store.url(key)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            labels = {entry: archive[entry] for entry in archive.files}
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        found = f"one NumPy cannot read ({type(error).__name__}: {error})"
        raise InputError(describe(what=name, expected="a complete .npz of arrays", found=found, fix=_FIX)) from error
    require_keys(labels, facts.LABEL_KEYS, name=name)
    return labels


def _present(values: FloatArray) -> FloatArray | None:
    """Turn joints of which one has the format's -1 in every coordinate ("none") into None."""
    return None if np.any(np.all(values == facts.NO_JOINT, axis=-1)) else values


def _objects(recording: Recording, labels: Mapping[str, Any], name: str) -> tuple[ObjectAnnotation, ...]:
    poses = finite_array(labels, "pose_y", (len(recording.object_names), 3, 4), name=name)
    annotations = []
    for object_name, pose in zip(recording.object_names, poses, strict=True):
        if not np.any(pose):
            continue  # all zeros: this object is not annotated in this frame
        if not is_rotation(pose[:, :3], _ROTATION_TOLERANCE):
            what = f"{name}, 'pose_y' of {object_name}"
            raise InputError(describe(what=what, expected="a rotation", found="another matrix", fix=_FIX))
        annotations.append(ObjectAnnotation(object_name, np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])))
    return tuple(annotations)


def _recordings(store: Store, split: facts.Split) -> list[Recording]:
    present = set(store.list_folders())
    known = [subject for subject in facts.SUBJECTS if subject in present]
    if not known:
        found = f"only {', '.join(sorted(present)) or 'nothing'}"
        expected = f"folders such as {facts.SUBJECTS[0]}"
        raise ContractError(describe(what=f"DexYCB at {store.uri}", expected=expected, found=found, fix=_FIX))
    chosen = []
    for subject in known:
        subject_index = facts.SUBJECTS.index(subject)
        for sequence_index, sequence in enumerate(store.list_folders(subject)):
            if facts.split_of(subject_index, sequence_index) == split:
                chosen.append(_read_recording(store, subject, sequence))
    return chosen


def _read_recording(store: Store, subject: str, sequence: str) -> Recording:
    key = facts.meta_key(subject, sequence)
    meta = _read_yaml(store, key)
    name = store.url(key)
    missing = [entry for entry in facts.META_KEYS if entry not in meta and entry != "serials"]
    if missing:
        expected = f"the keys {', '.join(facts.META_KEYS)}"
        raise ContractError(describe(what=name, expected=expected, found=f"no {', '.join(missing)}", fix=_FIX))
    sides, ids = meta["mano_sides"], _whole_numbers(meta["ycb_ids"])
    _require_entry(name, meta, "num_frames", "a count of 1 or more", _is_whole(meta["num_frames"], first=1))
    are_known = bool(ids) and len(set(ids)) == len(ids) and all(number in facts.YCB_CLASSES for number in ids)
    _require_entry(name, meta, "ycb_ids", "different object ids from 1 to 21", are_known)
    is_one_of_them = _is_whole(meta["ycb_grasp_ind"], first=0) and meta["ycb_grasp_ind"] < len(ids)
    _require_entry(name, meta, "ycb_grasp_ind", f"a place in ycb_ids {ids}", is_one_of_them)
    _require_entry(name, meta, "mano_sides", "one side", sides in (["right"], ["left"]))
    calibrations = meta["mano_calib"]
    is_one_name = isinstance(calibrations, list) and len(calibrations) == 1 and isinstance(calibrations[0], str)
    _require_entry(name, meta, "mano_calib", "the name of one calibration", is_one_name)
    return Recording(
        subject=subject,
        sequence=sequence,
        serials=_serials(store, f"{subject}/{sequence}", meta, name),
        num_frames=meta["num_frames"],
        object_names=tuple(facts.YCB_CLASSES[number] for number in ids),
        grasped=meta["ycb_grasp_ind"],
        is_right=sides == ["right"],
        mano_calib=calibrations[0],
    )


def _serials(store: Store, folder: str, meta: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the cameras a meta names; of a meta without them, those whose folders are there."""
    if "serials" not in meta:
        folders = set(store.list_folders(folder))
        return tuple(serial for serial in facts.SERIALS if serial in folders)
    # a serial without quotes is a number to YAML
    told = meta["serials"]
    serials = {str(serial) for serial in told} if isinstance(told, list) else set[str]()
    are_known = isinstance(told, list) and len(serials) == len(told) > 0 and serials <= set(facts.SERIALS)
    _require_entry(name, meta, "serials", f"cameras among {', '.join(facts.SERIALS)}", are_known)
    return tuple(serial for serial in facts.SERIALS if serial in serials)


def _require_entry(name: str, meta: Mapping[str, Any], entry: str, expected: str, is_right: bool) -> None:
    if not is_right:
        what = f"{name}, {entry!r}"
        raise ContractError(describe(what=what, expected=expected, found=f"{meta[entry]!r:.80}", fix=_FIX))


def _is_whole(value: object, *, first: int) -> bool:
    # True is an int to Python
    return isinstance(value, int) and not isinstance(value, bool) and value >= first


def _whole_numbers(value: object) -> list[int]:
    """Return a list of whole numbers, or nothing where it is none."""
    return value if isinstance(value, list) and all(_is_whole(number, first=0) for number in value) else []


def _refuse_more_frames(store: Store, recordings: Iterable[Recording]) -> None:
    """Refuse a meta that tells fewer frames than are there; frames that are missing are told one by one when read."""
    for one in recordings:
        for serial in one.serials[:1]:
            beyond = facts.labels_key(f"{one.folder}/{serial}", one.num_frames)
            if store.exists(beyond):
                what = f"{store.url(facts.meta_key(one.subject, one.sequence))}, 'num_frames'"
                expected, found = "the number of frames", f"{one.num_frames}, though {beyond} is there"
                raise ContractError(describe(what=what, expected=expected, found=found, fix=_FIX))


def _read_yaml(store: Store, key: str) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast, 1000 metas
    try:
        loaded = yaml.load(store.read(key), Loader=loader)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        found = f"one that cannot be read ({error})"
        raise ContractError(describe(what=store.url(key), expected="a YAML file", found=found, fix=_FIX)) from error
    if not isinstance(loaded, dict):
        found = f"a {type(loaded).__name__}"
        raise ContractError(describe(what=store.url(key), expected="named values", found=found, fix=_FIX))
    return loaded


def _read_intrinsics(store: Store, serial: str) -> FloatArray:
    key = facts.intrinsics_key(serial)
    colour = _read_yaml(store, key).get("color")
    try:
        fx, fy, cx, cy = (float(colour[entry]) for entry in ("fx", "fy", "ppx", "ppy"))  # type: ignore[index]  # None raises
    except (TypeError, KeyError, ValueError) as error:
        expected, found = "color: {fx, fy, ppx, ppy}", f"{colour}"
        raise ContractError(describe(what=store.url(key), expected=expected, found=found, fix=_FIX)) from error
    K = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    try:
        return require_intrinsics(K, facts.IMAGE_SIZE_WH, name=store.url(key))
    except InputError as error:
        # one camera's calibration spoils an eighth of the set: that is no dead letter
        raise ContractError(str(error)) from error


def _read_betas(store: Store, mano_calib: str) -> FloatArray:
    key = facts.mano_key(mano_calib)
    try:
        return finite_array(_read_yaml(store, key), "betas", (10,), name=store.url(key))
    except InputError as error:
        raise ContractError(str(error)) from error
