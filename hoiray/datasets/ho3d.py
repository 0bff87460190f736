"""Reader of HO-3D v2 and v3, as published; the facts of the format are in :mod:`hoiray.datasets.formats.ho3d`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.conventions import Conventions
from hoiray.datasets.formats import ho3d as facts
from hoiray.datasets.image_files import read_rgb
from hoiray.datasets.intrinsics import require_intrinsics
from hoiray.datasets.json_files import read_numbers
from hoiray.datasets.meshes import read_object_model
from hoiray.datasets.opening import check_opened, require_count, require_split
from hoiray.datasets.pickles import finite_array, read_meta, require_keys
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
from hoiray.geometry.transforms import points_opengl_to_opencv
from hoiray.hand.load import HandArrays
from hoiray.io.store import Store

CONVENTIONS: Final = Conventions(
    joint_order=facts.JOINT_ORDER,
    axes="opengl",
    orientation_axes="opengl",
    flat_hand_mean=facts.FLAT_HAND_MEAN,
    tip_set=facts.TIP_SET,
)

MAX_EVALUATION_WRIST_ERROR_M: Final = 0.01
"""The evaluation metas hold the wrist, `evaluation_xyz.json` the joints of the same frames: they agree to rounding."""

MAX_REST_WRIST_M: Final = 0.2
"""The wrist minus `handTrans` is the rest wrist: 0.094 to 0.097 m from the origin over 2000 random shapes of the open
hand. Hands are filmed from further away than this, so that a translation near zero does not pass for one that fits."""


@dataclass(frozen=True, eq=False)
class Ho3dDataset:
    """An opened HO-3D split. Only frames of the published list are samples; the folders hold unannotated ones too.

    Attributes:
        store: the root.
        version: v2 or v3.
        split: `train` or `evaluation`.
        frames: (sequence, four-digit frame) of each sample.
        evaluation_joints: (N, 21, 3) simple order, OpenCV axes, where `evaluation_xyz.json` is there.
        evaluation_vertices: (N, 778, 3) OpenCV axes, float32, where `evaluation_verts.json` is there.
    """

    store: Store
    version: facts.Version
    split: facts.Split
    frames: tuple[tuple[str, str], ...]
    evaluation_joints: FloatArray | None = None
    evaluation_vertices: FloatArray | None = None

    @classmethod
    def open(
        cls,
        uri: str,
        split: facts.Split = "train",
        *,
        version: str | None = None,
        hand: HandArrays | None = None,
        with_vertices: bool = True,
        check: bool = True,
    ) -> "Ho3dDataset":
        """Open and check a split.

        Args:
            uri: the folder that holds `train.txt`, local or on S3.
            split: which list.
            version: `ho3d_v2` or `ho3d_v3`; None finds out by the suffix of the images.
            hand: the model the labels were made with (MANO), for finer checks.
            with_vertices: read `evaluation_verts.json` where it is there (188 MB in memory for v3).
            check: False leaves the checks out, for a worker that opens what its driver has checked.

        Raises:
            ContractError: the files are not an HO-3D of this split, or break its conventions.
            InputError: the list is missing.
        """
        require_split(split, facts.SPLITS, name="HO-3D")
        store = Store.open(uri)
        frames = read_frame_list(store, facts.list_key(split))
        if not frames:
            fix = "Use the published list."
            what, expected = store.url(facts.list_key(split)), "lines such as ABF10/0042"
            raise ContractError(describe(what=what, expected=expected, found="none", fix=fix))
        found = _version_of(store, split, frames) if version is None else facts.VERSIONS[version]
        joints, vertices = None, None
        if split == "evaluation":
            joints, vertices = _evaluation_labels(store, len(frames), with_vertices)
        dataset = cls(store, found, split, frames, joints, vertices)
        if check:
            check_opened(dataset, store, CONVENTIONS, hand=hand, image_size_wh=facts.IMAGE_SIZE_WH)
        return dataset

    @property
    def name(self) -> str:
        """`ho3d_v2` or `ho3d_v3`."""
        return self.version.name

    def __len__(self) -> int:
        """Lines of the list."""
        return len(self.frames)

    def sample(self, index: int) -> Sample:
        """Read the meta of a listed frame.

        Raises:
            InputError: it is missing, damaged, lacks a key, holds a number that is not finite, a reversed box or
                millimetres, or names an object without a pose, which marks frames that were never annotated; or the
                frame's entry of the evaluation labels is not finite or another hand's.
        """
        sequence, frame = self.frames[index]
        key = facts.meta_key(self.split, sequence, frame)
        name = self.store.url(key)
        meta = read_meta(self.store, key)
        require_keys(meta, facts.TRAIN_META_KEYS if self.split == "train" else facts.EVALUATION_META_KEYS, name=name)
        recording_id, camera_id = facts.recording_of_sequence(sequence)
        K = require_intrinsics(finite_array(meta, "camMat", (3, 3), name=name), facts.IMAGE_SIZE_WH, name=name)
        is_train = self.split == "train"
        return Sample(
            sample_id=f"{sequence}/{frame}",
            recording_id=recording_id,
            subject_id=facts.subject_of_sequence(sequence),
            camera_id=camera_id,
            frame_index=int(frame),
            image_key=facts.image_key(self.version.name, self.split, sequence, frame),
            K=K,
            hands=(_train_hand(meta, name) if is_train else self._evaluation_hand(meta, name, index),),
            objects=_objects(meta, name),
        )

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Read the colour image, (480, 640, 3).

        Raises:
            InputError: it is missing, truncated or of another size.
        """
        return read_rgb(self.store, sample.image_key, size_wh=facts.IMAGE_SIZE_WH)

    def depth_m(self, sample: Sample) -> NDArray[np.float32]:
        """Read the depth, (480, 640) metres, NaN where the sensor saw none.

        Raises:
            InputError: it is missing, truncated or of another size.
        """
        sequence, frame = sample.sample_id.split("/")
        key = facts.depth_key(self.split, sequence, frame)
        return facts.decode_depth(read_rgb(self.store, key, size_wh=facts.IMAGE_SIZE_WH))

    def masks(self, sample: Sample) -> Masks | None:
        """Read the segmentation, a separate download, where it was unpacked; half-size ones are doubled."""
        sequence, frame = sample.sample_id.split("/")
        found = read_segmentation(self.store, self.split, sequence, frame)
        return None if found is None else Masks(hand=found[0], objects={one.name: found[1] for one in sample.objects})

    def object_model(self, name: str) -> ObjectModel | None:
        """Read the YCB model, where `models/` lies below the same root."""
        keys = (facts.object_mesh_key(name),)
        return read_object_model(self.store, name, points_key=facts.object_points_key(name), mesh_keys=keys)

    def _evaluation_hand(self, meta: Mapping[str, Any], name: str, index: int) -> HandAnnotation:
        # a copy of the evaluation labels inside the metas is possible since they are public
        shape = (21, 3) if _is_of_shape(meta["handJoints3D"], (21, 3)) else (3,)
        wrist = points_opengl_to_opencv(finite_array(meta, "handJoints3D", shape, name=name).reshape(-1, 3)[0])
        joints = self._evaluation_entry(self.evaluation_joints, facts.EVALUATION_JOINTS_KEY, index)
        vertices = self._evaluation_entry(self.evaluation_vertices, facts.EVALUATION_VERTICES_KEY, index)
        if joints is not None:
            _require_same_wrist(joints[0], wrist, index, name)
        return HandAnnotation(
            is_right=True,
            joints_3d=joints,
            wrist_3d=wrist,
            vertices=vertices,
            bbox_xyxy=_box(meta, name),
            tip_set=None if joints is None else facts.TIP_SET,
        )

    def _evaluation_entry(self, labels: FloatArray | None, key: str, index: int) -> FloatArray | None:
        """Return a frame's entry of a label file, or raise an InputError that names both."""
        if labels is None or np.all(np.isfinite(labels[index])):
            return None if labels is None else labels[index]
        what = f"{self.store.url(key)}, entry {index}"
        found = f"{np.count_nonzero(~np.isfinite(labels[index]))} that are NaN or infinite"
        fix = "Leave this sample out or restore the evaluation labels."
        raise InputError(describe(what=what, expected="finite numbers", found=found, fix=fix))


def read_frame_list(store: Store, key: str) -> tuple[tuple[str, str], ...]:
    """Read the (sequence, four-digit frame) pairs of a list such as `train.txt`.

    Raises:
        InputError: the file is missing.
        ContractError: a line is no `SEQ/0000`, or occurs twice.
    """
    frames: list[tuple[str, str]] = []
    for number, line in enumerate(store.read(key).decode("utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        parsed = facts.parse_sample_line(line)
        if parsed is None:
            what = f"{store.url(key)}, line {number}"
            fix = "Use the published list."
            raise ContractError(describe(what=what, expected="SEQUENCE/0000", found=repr(line), fix=fix))
        frames.append(parsed)
    if len(set(frames)) != len(frames):
        twice = next(frame for frame in frames if frames.count(frame) > 1)
        found = f"{'/'.join(twice)} more than once"
        fix = "Use the published list."
        raise ContractError(describe(what=store.url(key), expected="each frame once", found=found, fix=fix))
    return tuple(frames)


def read_segmentation(
    store: Store, split: facts.Split, sequence: str, frame: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Read the masks (480, 640) of hand and object, from the first of the places they are unpacked to.

    Returns:
        None where there are none.

    Raises:
        InputError: the file is truncated, or neither of the image's size nor of half of it.
    """
    places = [p.format(split=split, sequence=sequence, frame=frame) for p in facts.SEGMENTATION_KEYS]
    key = next((place for place in places if store.exists(place)), None)
    if key is None:
        return None
    image = read_rgb(store, key)
    width, height = facts.IMAGE_SIZE_WH
    factor = height // image.shape[0]
    if factor not in (1, 2) or image.shape[:2] != (height // factor, width // factor):
        expected, found = f"{width} x {height} px or half of it", f"{image.shape[1]} x {image.shape[0]} px"
        raise InputError(describe(what=store.url(key), expected=expected, found=found, fix="Use the published maps."))
    return facts.decode_segmentation(np.kron(image, np.ones((factor, factor, 1), dtype=np.uint8)))


def _version_of(store: Store, split: facts.Split, frames: tuple[tuple[str, str], ...]) -> facts.Version:
    for sequence, frame in frames[:3]:
        for version in facts.VERSIONS.values():
            if store.exists(facts.image_key(version.name, split, sequence, frame)):
                return version
    looked_for = " or ".join(facts.image_key(name, split, *frames[0]) for name in facts.VERSIONS)
    fix = "Unpack the images, or name the version."
    what = f"HO-3D at {store.uri}"
    raise ContractError(describe(what=what, expected=f"images such as {looked_for}", found="neither", fix=fix))


def _evaluation_labels(
    store: Store, num_frames: int, with_vertices: bool
) -> tuple[FloatArray | None, FloatArray | None]:
    joints, vertices = None, None
    if store.exists(facts.EVALUATION_JOINTS_KEY):
        stored = read_numbers(store, facts.EVALUATION_JOINTS_KEY, (21, 3))
        what = store.url(facts.EVALUATION_JOINTS_KEY)
        require_count(len(stored), num_frames, what=what, expected_from="evaluation.txt")
        joints = facts.joints_from_file(stored)
    if with_vertices and store.exists(facts.EVALUATION_VERTICES_KEY):
        stored = read_numbers(store, facts.EVALUATION_VERTICES_KEY, (778, 3), dtype=np.float32)
        what = store.url(facts.EVALUATION_VERTICES_KEY)
        require_count(len(stored), num_frames, what=what, expected_from="evaluation.txt")
        vertices = points_opengl_to_opencv(stored)
    return joints, vertices


def _train_hand(meta: Mapping[str, Any], name: str) -> HandAnnotation:
    stored = finite_array(meta, "handJoints3D", (21, 3), name=name)
    transl = finite_array(meta, "handTrans", (3,), name=name)
    _require_translation_in_metres(stored[0], transl, name)
    # The wrist is handTrans + J0(betas), so the labels themselves tell J0, whatever model is at hand.
    mano: ManoParameters = facts.mano_from_file(
        finite_array(meta, "handPose", (48,), name=name),
        transl,
        finite_array(meta, "handBeta", (10,), name=name),
        stored[0] - transl,
    )
    return HandAnnotation(is_right=True, mano=mano, joints_3d=facts.joints_from_file(stored), tip_set=facts.TIP_SET)


def _objects(meta: Mapping[str, Any], name: str) -> tuple[ObjectAnnotation, ...]:
    """Return the object; none where the meta has neither a pose nor a name, as `hoiray export` writes bare hands.

    The published metas of frames that were never annotated have no pose either, but name their object.
    """
    if meta["objName"] is None and meta["objRot"] is None and meta["objTrans"] is None:
        return ()
    return (_object(meta, name),)


def _object(meta: Mapping[str, Any], name: str) -> ObjectAnnotation:
    if meta["objRot"] is None or meta["objTrans"] is None:
        found, fix = "None: a frame that was never annotated", "Use the published list, which leaves such frames out."
        raise InputError(describe(what=f"{name}, 'objRot'", expected="an object pose", found=found, fix=fix))
    if not isinstance(meta["objName"], str):
        found = f"a {type(meta['objName']).__name__}"
        fix = "Restore the file."
        raise InputError(describe(what=f"{name}, 'objName'", expected="a name", found=found, fix=fix))
    pose = facts.object_pose_from_file(
        finite_array(meta, "objRot", (3,), name=name), finite_array(meta, "objTrans", (3,), name=name)
    )
    return ObjectAnnotation(name=meta["objName"], T_cam_obj=pose)


def _is_of_shape(value: object, shape: tuple[int, ...]) -> bool:
    try:
        return bool(np.asarray(value).shape == shape)
    except ValueError:  # rows of different lengths have none
        return False


def _box(meta: Mapping[str, Any], name: str) -> FloatArray:
    box = finite_array(meta, "handBoundingBox", (4,), name=name)
    if box[2] <= box[0] or box[3] <= box[1]:
        fix = "Leave this sample out or restore the file."
        what, expected = f"{name}, 'handBoundingBox'", "x_min, y_min, x_max, y_max, each minimum below its maximum"
        raise InputError(describe(what=what, expected=expected, found=str(box.tolist()), fix=fix))
    return box


def _require_same_wrist(labelled: FloatArray, in_meta: FloatArray, index: int, name: str) -> None:
    """Compare a wrist (3,) of the evaluation labels with that of the frame's meta, and name a thousandfold one."""
    error_m = float(np.linalg.norm(labelled - in_meta))
    if error_m <= MAX_EVALUATION_WRIST_ERROR_M:
        return
    fix = "The two files are of different frames, axes, units or joint orders."
    if np.linalg.norm(labelled / 1000 - in_meta) <= MAX_EVALUATION_WRIST_ERROR_M:
        fix = f"{facts.EVALUATION_JOINTS_KEY} looks like millimetres: use the published file, in metres."
    elif np.linalg.norm(labelled - in_meta / 1000) <= MAX_EVALUATION_WRIST_ERROR_M:
        fix = "The meta's 'handJoints3D' looks like millimetres: use the published file, in metres."
    expected = f"the wrist of entry {index} of {facts.EVALUATION_JOINTS_KEY}"
    raise InputError(describe(what=name, expected=expected, found=f"one {error_m:.3f} m from it", fix=fix))


def _require_translation_in_metres(wrist: FloatArray, transl: FloatArray, name: str) -> None:
    """Refuse a `handTrans` (3,) that fits its wrist (3,) only a thousand times smaller or larger.

    Any other translation that does not fit is left to the checks of the whole set, which know what else it may be.
    """
    if np.linalg.norm(wrist - transl) <= MAX_REST_WRIST_M:
        return
    for factor, unit in ((1e-3, "millimetres"), (1e3, "kilometres")):
        if np.linalg.norm(wrist - transl * factor) <= MAX_REST_WRIST_M:
            expected = f"metres, within {MAX_REST_WRIST_M} m of the wrist of 'handJoints3D'"
            found = f"{np.linalg.norm(transl):.4g} from the camera"
            fix = f"This looks like {unit}: use the published file."
            raise InputError(describe(what=f"{name}, 'handTrans'", expected=expected, found=found, fix=fix))
