"""Reader of `ho3d-process`, the preprocessed HO-3D v2 training labels; see `formats.ho3d_processed`."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.conventions import Conventions
from hoiray.datasets.formats import ho3d as ho3d_facts
from hoiray.datasets.formats import ho3d_processed as facts
from hoiray.datasets.ho3d import read_frame_list, read_segmentation
from hoiray.datasets.image_files import read_levels, read_rgb
from hoiray.datasets.intrinsics import require_intrinsics
from hoiray.datasets.json_files import read_numbers
from hoiray.datasets.list_order import list_shift
from hoiray.datasets.meshes import read_object_model
from hoiray.datasets.opening import check_opened, require_count, require_split
from hoiray.datasets.pickles import finite_array
from hoiray.datasets.rest_wrist import of_side, rest_wrist
from hoiray.datasets.sample import (
    FloatArray,
    HandAnnotation,
    ManoParameters,
    Masks,
    ObjectAnnotation,
    ObjectModel,
    Sample,
)
from hoiray.errors import ContractError, describe
from hoiray.geometry.control_points import NUM_CONTROL_POINTS
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.geometry.transforms import mano_opengl_to_opencv, points_opengl_to_opencv
from hoiray.hand.joints import JOINT_NAMES
from hoiray.hand.load import HandArrays
from hoiray.io.store import Store

SPLITS: Final = ("train",)

UNNAMED_OBJECT: Final = "unnamed"
"""These files do not tell which object it is."""

_KNUCKLES: Final = tuple(JOINT_NAMES["simple"].index(f"{finger}_mcp") for finger in ("index", "middle", "pinky"))
_KNUCKLES_MANO: Final = tuple(JOINT_NAMES["mano"].index(JOINT_NAMES["simple"][joint]) for joint in _KNUCKLES)

CONVENTIONS: Final = Conventions(
    joint_order=facts.JOINT_ORDER,
    axes="opencv",
    orientation_axes="opengl",
    flat_hand_mean=facts.FLAT_HAND_MEAN,
    tip_set=facts.TIP_SET,
    mano_transl_is_stored=False,
)


@dataclass(frozen=True, eq=False)
class Ho3dProcessedDataset:
    """Opened preprocessed labels, with the images of an HO-3D v2.

    Attributes:
        store: the labels' root.
        images: the root of the HO-3D v2 that holds `train/ABF10/rgb/0042.png`.
        frames: (sequence, four-digit frame) of each sample.
        labels: arrays with one entry per frame, by the name of their file.
        hand: the model the labels were made with, or None: then there are no MANO parameters, since the files hold no
            translation and the rest wrist is needed to find it from the joints.
    """

    store: Store
    images: Store
    frames: tuple[tuple[str, str], ...]
    labels: dict[str, FloatArray]
    hand: HandArrays | None

    @classmethod
    def open(
        cls,
        uri: str,
        split: str = "train",
        *,
        images: str | None = None,
        hand: HandArrays | None = None,
        check: bool = True,
    ) -> "Ho3dProcessedDataset":
        """Open and check the labels.

        Args:
            uri: the folder that holds `train_joint.json`.
            split: only `train` exists.
            images: the HO-3D v2 root; None where it is the same folder.
            hand: see the class.
            check: False leaves the checks out.

        Raises:
            ContractError: counts differ, or the labels break their conventions.
            InputError: a file is missing.
        """
        require_split(split, SPLITS, name="ho3d-process")
        store = Store.open(uri)
        image_store = store if images is None else Store.open(images)
        frames = read_frame_list(store, facts.LIST_KEY)
        shapes = {
            facts.K_KEY: (3, 3),
            facts.JOINTS_KEY: (21, 3),
            facts.MANO_KEY: (58,),
            facts.CONTROL_POINTS_KEY: (NUM_CONTROL_POINTS, 2),
        }
        labels = {key: read_numbers(store, key, shape) for key, shape in shapes.items()}
        for key, values in labels.items():
            require_count(len(values), len(frames), what=store.url(key), expected_from=facts.LIST_KEY)
        right = None if hand is None else of_side(hand, is_right=True)
        _check_entry_order(labels, right, store)
        dataset = cls(store, image_store, frames, labels, right)
        if check:
            check_opened(dataset, image_store, CONVENTIONS, hand=hand, image_size_wh=ho3d_facts.IMAGE_SIZE_WH)
        return dataset

    @property
    def name(self) -> str:
        """`ho3d_processed`."""
        return "ho3d_processed"

    @property
    def split(self) -> str:
        """`train`."""
        return "train"

    def __len__(self) -> int:
        """Lines of the list."""
        return len(self.frames)

    def sample(self, index: int) -> Sample:
        """Return a frame's labels.

        Raises:
            InputError: one of its numbers is not finite, or K is none.
        """
        sequence, frame = self.frames[index]
        name = f"{self.store.uri}, entry {index} ({sequence}/{frame})"
        entry = {key: values[index] for key, values in self.labels.items()}
        K = require_intrinsics(
            finite_array(entry, facts.K_KEY, (3, 3), name=name), ho3d_facts.IMAGE_SIZE_WH, name=f"{name}, {facts.K_KEY}"
        )
        joints = finite_array(entry, facts.JOINTS_KEY, (21, 3), name=name)
        mano = self._mano(finite_array(entry, facts.MANO_KEY, (58,), name=name), joints[0])
        recording_id, camera_id = ho3d_facts.recording_of_sequence(sequence)
        points = finite_array(entry, facts.CONTROL_POINTS_KEY, (NUM_CONTROL_POINTS, 2), name=name)
        return Sample(
            sample_id=f"{sequence}/{frame}",
            recording_id=recording_id,
            subject_id=ho3d_facts.subject_of_sequence(sequence),
            camera_id=camera_id,
            frame_index=int(frame),
            image_key=ho3d_facts.image_key("ho3d_v2", "train", sequence, frame),
            K=K,
            hands=(HandAnnotation(is_right=True, mano=mano, joints_3d=joints, tip_set=facts.TIP_SET),),
            objects=(ObjectAnnotation(name=UNNAMED_OBJECT, control_points_2d_px=points),),
        )

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Read the colour image, (480, 640, 3).

        Raises:
            InputError: it is missing, truncated or of another size.
        """
        return read_rgb(self.images, sample.image_key, size_wh=ho3d_facts.IMAGE_SIZE_WH)

    def masks(self, sample: Sample) -> Masks | None:
        """Read the object's mask, where it is there; the hand's is not among these files but may be beside the images.

        Raises:
            InputError: one of them is truncated or of another size.
        """
        sequence, frame = sample.sample_id.split("/")
        key = facts.mask_key(sequence, frame)
        objects: dict[str, NDArray[np.bool_]] = {}
        if self.store.exists(key):
            levels = read_levels(self.store, key, size_wh=ho3d_facts.IMAGE_SIZE_WH)
            objects[UNNAMED_OBJECT] = levels >= facts.MASK_MIN_LEVEL
        segmentation = read_segmentation(self.images, "train", sequence, frame)
        if segmentation is None and not objects:
            return None
        return Masks(hand=None if segmentation is None else segmentation[0], objects=objects)

    def object_model(self, name: str) -> ObjectModel | None:
        """Read a YCB model by its name, where `models/` lies below the images' root."""
        keys = (ho3d_facts.object_mesh_key(name),)
        return read_object_model(self.images, name, points_key=ho3d_facts.object_points_key(name), mesh_keys=keys)

    def _mano(self, vector: FloatArray, wrist: FloatArray) -> ManoParameters | None:
        if self.hand is None:
            return None
        betas = vector[48:]
        root = rest_wrist(self.hand, betas)
        # only the orientation is of the file: its translation in OpenCV axes follows from the wrist
        orient, _ = mano_opengl_to_opencv(vector[:3], np.zeros(3), root)
        return ManoParameters(global_orient=orient, hand_pose=vector[3:48], betas=betas, transl=wrist - root)


def _check_entry_order(labels: dict[str, FloatArray], hand: HandArrays | None, store: Store) -> None:
    """Refuse lists of joints and of poses that moved against each other: knuckles turn with the hand as one piece."""
    if hand is None:
        return
    vectors, joints = labels[facts.MANO_KEY], labels[facts.JOINTS_KEY]
    regressor = hand.J_regressor[list(_KNUCKLES_MANO)] - hand.J_regressor[0]
    shapes = np.einsum("kv,vdb->kdb", regressor, hand.shapedirs)
    at_rest = regressor @ hand.v_template + np.einsum("kdb,nb->nkd", shapes, vectors[:, 48:])
    turned = np.einsum("nij,nkj->nki", axis_angle_to_matrix(vectors[:, :3]), at_rest)
    told = points_opengl_to_opencv(turned).reshape(len(vectors), -1)
    stored = (joints[:, list(_KNUCKLES)] - joints[:, :1]).reshape(len(joints), -1)
    shift = list_shift(told, stored)
    if shift:
        number = f"{abs(shift)} file{'' if abs(shift) == 1 else 's'}"
        expected, found = f"entries in the order of {facts.JOINTS_KEY}", f"entries that look shifted by {number}"
        fix = "Restore both files from the same release."
        raise ContractError(describe(what=store.url(facts.MANO_KEY), expected=expected, found=found, fix=fix))
