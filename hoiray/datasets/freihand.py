"""Reader of FreiHAND v2, as published; the facts of the format are in :mod:`hoiray.datasets.formats.freihand`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.conventions import Conventions
from hoiray.datasets.formats import freihand as facts
from hoiray.datasets.image_files import read_levels, read_rgb
from hoiray.datasets.intrinsics import require_intrinsics
from hoiray.datasets.json_files import read_numbers
from hoiray.datasets.opening import check_opened, require_count, require_split
from hoiray.datasets.pickles import finite_array
from hoiray.datasets.sample import FloatArray, HandAnnotation, ManoParameters, Masks, ObjectModel, Sample
from hoiray.errors import ContractError, describe
from hoiray.hand.joints import reorder, tip_vertices
from hoiray.hand.load import HandArrays
from hoiray.io.store import Store

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

Kind = Literal["K", "scale", "xyz", "verts", "mano"]

CONVENTIONS: Final = Conventions(
    joint_order=facts.JOINT_ORDER,
    axes="opencv",
    orientation_axes="opencv",
    flat_hand_mean=facts.FLAT_HAND_MEAN,
    tip_set=facts.TIP_SET,
    joints_are_regressed=True,
    mano_transl_is_stored=False,
)
MAX_SCALE_ERROR_M: Final = 0.002

_SHAPES: Final[dict[Kind, tuple[int, ...]]] = {
    "K": (3, 3),
    "scale": (),
    "xyz": (21, 3),
    "verts": (778, 3),
    "mano": (facts.MANO_LENGTH,),
}


@dataclass(frozen=True, eq=False)
class FreiHandDataset:
    """An opened FreiHAND split. A training photograph gives four samples, one per background.

    Attributes:
        store: the root.
        split: `training` or `evaluation`.
        labels: arrays with one entry per *photograph*, by kind; those of the split's files that are there.
        variants: the backgrounds whose images are there.
        hand: the model the labels were made with, or None: then there are no MANO parameters, since the stored pose
            is relative to that model's mean.
    """

    store: Store
    split: facts.Split
    labels: Mapping[str, FloatArray]
    variants: tuple[str, ...]
    hand: HandArrays | None

    @classmethod
    def open(
        cls,
        uri: str,
        split: facts.Split = "training",
        *,
        hand: HandArrays | None = None,
        with_vertices: bool = True,
        check: bool = True,
    ) -> "FreiHandDataset":
        """Open and check a split.

        Args:
            uri: the folder that holds `training_K.json`, local or on S3.
            split: `training` or `evaluation`.
            hand: see the class.
            with_vertices: read `*_verts.json` (304 MB in memory for the training split).
            check: False leaves the checks out.

        Raises:
            ContractError: counts differ, or the labels break their conventions.
            InputError: a file is missing.
        """
        require_split(split, facts.SPLITS, name="FreiHAND")
        store = Store.open(uri)
        wanted: list[Kind] = ["K", "scale", "xyz", *(("verts",) if with_vertices else ())]
        if split == "training":
            wanted.append("mano")
        # the evaluation labels were published later than its images
        kinds = [kind for kind in wanted if split == "training" or store.exists(facts.labels_key(split, kind))]
        labels: dict[str, FloatArray] = {
            kind: read_numbers(
                store, facts.labels_key(split, kind), _SHAPES[kind], dtype=np.float32 if kind == "verts" else np.float64
            )
            for kind in dict.fromkeys(["K", *kinds])
        }
        for kind, values in labels.items():
            what, source = store.url(f"{split}_{kind}.json"), facts.labels_key(split, "K")
            require_count(len(values), len(labels["K"]), what=what, expected_from=source)
        _check_scale(labels, name=f"FreiHAND ({split}) at {store.uri}")
        dataset = cls(store, split, labels, _variants(store, split, len(labels["K"])), hand)
        if check:
            check_opened(dataset, store, CONVENTIONS, hand=hand, image_size_wh=facts.IMAGE_SIZE_WH)
        return dataset

    @property
    def name(self) -> str:
        """`freihand`."""
        return "freihand"

    @property
    def num_photos(self) -> int:
        """Photographs, each with one set of labels."""
        return len(self.labels["K"])

    def __len__(self) -> int:
        """Images: photographs times variants."""
        return self.num_photos * len(self.variants)

    def sample(self, index: int) -> Sample:
        """Return the labels of an image.

        The photograph is the recording: its variants are the same hand before other backgrounds, and a split that
        tore them apart would leak. FreiHAND tells neither subject nor sequence.

        Raises:
            InputError: a number of it is not finite, or K is none.
        """
        variant_index, photo_index = divmod(index, self.num_photos)
        name = f"{self.store.uri}, {self.split} entry {photo_index}"
        entry: dict[str, FloatArray] = {kind: values[photo_index] for kind, values in self.labels.items()}
        K = finite_array(entry, "K", (3, 3), name=name)
        joints = finite_array(entry, "xyz", (21, 3), name=name) if "xyz" in entry else None
        vertices = finite_array(entry, "verts", (778, 3), name=name) if "verts" in entry else None
        mano = None
        if joints is not None and "mano" in entry and self._model is not None:
            mano = _placed_mano(self._model, finite_array(entry, "mano", (facts.MANO_LENGTH,), name=name), joints)
        hands: tuple[HandAnnotation, ...] = ()
        if joints is not None:
            tips = facts.TIP_SET
            hands = (HandAnnotation(is_right=True, mano=mano, joints_3d=joints, vertices=vertices, tip_set=tips),)
        return Sample(
            sample_id=f"{index:08d}",
            recording_id=f"{self.split}-{photo_index:08d}",
            subject_id=None,
            camera_id=self.variants[variant_index],
            frame_index=0,
            image_key=facts.image_key(self.split, index),
            K=require_intrinsics(K, facts.IMAGE_SIZE_WH, name=name),
            hands=hands,
        )

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Read the image, (224, 224, 3).

        Raises:
            InputError: it is missing, truncated or of another size.
        """
        return read_rgb(self.store, sample.image_key, size_wh=facts.IMAGE_SIZE_WH)

    def masks(self, sample: Sample) -> Masks | None:
        """Read the hand's mask; it is stored once and fits every variant. The evaluation split has none."""
        key = facts.mask_key(int(sample.sample_id) % self.num_photos)
        if self.split != "training" or not self.store.exists(key):
            return None
        return Masks(hand=read_levels(self.store, key, size_wh=facts.IMAGE_SIZE_WH) >= facts.MASK_MIN_LEVEL)

    def object_model(self, name: str) -> ObjectModel | None:  # noqa: ARG002 - the protocol's signature
        """FreiHAND has no objects."""
        return None

    @cached_property
    def _model(self) -> "HandModel | None":
        """The layer that finds translations; float64, absolute poses."""
        import torch

        from hoiray.hand.model import HandModel

        if self.hand is None:
            return None
        return HandModel(self.hand, flat_hand_mean=True, tip_set=facts.TIP_SET, dtype=torch.float64)


def _placed_mano(model: "HandModel", vector: FloatArray, joints: FloatArray) -> ManoParameters:
    """Make the pose absolute, and find the translation: the file has only a weak-perspective one."""
    import torch

    parts = facts.split_mano(vector)
    pose = facts.pose_from_file(parts.relative_pose, model.arrays.hands_mean)
    with torch.no_grad():
        posed = model(*(torch.tensor(part) for part in (parts.global_orient, pose, parts.betas)))
    tips = tip_vertices(facts.TIP_SET, is_right=True)
    unplaced = facts.joints_from_vertices(posed.vertices.numpy(), model.arrays.J_regressor, tips)
    transl = (joints - reorder(unplaced, "mano", "simple")).mean(axis=0)
    return ManoParameters(global_orient=parts.global_orient, hand_pose=pose, betas=parts.betas, transl=transl)


def _check_scale(labels: Mapping[str, FloatArray], *, name: str) -> None:
    """Compare the scale with the bone it is the length of: the two files are of the same release or they are not."""
    if "scale" not in labels or "xyz" not in labels:
        return
    first, second = facts.SCALE_BONE
    bones = np.linalg.norm(labels["xyz"][:, first] - labels["xyz"][:, second], axis=-1)
    error = float(np.nanmedian(np.abs(bones - labels["scale"])))
    if error > MAX_SCALE_ERROR_M:
        expected = f"scale to be the length of bone {first}-{second} of xyz within {MAX_SCALE_ERROR_M} m"
        fix = "Looks like another unit, joint order or release of one of the two files."
        raise ContractError(describe(what=name, expected=expected, found=f"a median of {error:.4g} m off", fix=fix))


def _variants(store: Store, split: facts.Split, num_photos: int) -> tuple[str, ...]:
    """Tell which backgrounds were unpacked: those whose last image is there."""
    if split == "evaluation":
        return facts.VARIANTS[:1]
    present = [
        store.exists(facts.image_key(split, num_photos * (position + 1) - 1)) for position in range(len(facts.VARIANTS))
    ]
    count = present.index(False) if False in present else len(present)
    return facts.VARIANTS[: max(count, 1)]
