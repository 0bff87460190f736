"""Reader of FreiHAND v2, as published; the facts of the format are in :mod:`hoiray.datasets.formats.freihand`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.annotation_checks import NUM_CHECKED, PALM_RANGE_M
from hoiray.datasets.conventions import Conventions
from hoiray.datasets.formats import freihand as facts
from hoiray.datasets.image_files import read_levels, read_rgb
from hoiray.datasets.intrinsics import require_intrinsics
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.json_files import read_numbers
from hoiray.datasets.list_order import list_shift
from hoiray.datasets.opening import check_opened, require_count, require_split
from hoiray.datasets.sample import FloatArray, HandAnnotation, ManoParameters, Masks, ObjectModel, Sample
from hoiray.errors import ContractError, InputError, describe
from hoiray.geometry.cameras import project_points
from hoiray.hand.joints import TIP_JOINTS, palm_length, reorder, tip_vertices
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

SAME_UNIT_RATIO: Final = (0.5, 2.0)
"""Spread of a hand's vertices over that of its joints, in one unit: 0.99 to 1.09 over 2000 random poses."""

NUM_PROBED_IMAGES: Final = 3
"""Images of a variant, the first and the last among them, that are asked for before the folder is listed."""

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
        variants: the backgrounds of which any image is there; one that is missing shows when it is read.
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
            ContractError: counts differ, or the labels break their conventions or are of different units.
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
        _check_counts(labels, store, split)
        _check_entry_order(labels, store, split)
        _check_scale(labels, name=f"FreiHAND ({split}) at {store.uri}")
        _check_vertex_unit(labels, name=store.url(facts.labels_key(split, "verts")))
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
            InputError: a number of it is not finite, or K is none; the message names the file and the entry.
        """
        variant_index, photo_index = divmod(index, self.num_photos)
        variant = self.variants[variant_index]
        image_index = facts.VARIANTS.index(variant) * self.num_photos + photo_index
        entry = {kind: self._finite_entry(kind, photo_index) for kind in _SHAPES if kind in self.labels}
        joints, vertices = entry.get("xyz"), entry.get("verts")
        mano = None
        if joints is not None and "mano" in entry and self._model is not None:
            mano = _placed_mano(self._model, entry["mano"], joints)
        hands: tuple[HandAnnotation, ...] = ()
        if joints is not None:
            tips = facts.TIP_SET
            hands = (HandAnnotation(is_right=True, mano=mano, joints_3d=joints, vertices=vertices, tip_set=tips),)
        return Sample(
            sample_id=f"{image_index:08d}",
            recording_id=f"{self.split}-{photo_index:08d}",
            subject_id=None,
            camera_id=variant,
            frame_index=0,
            image_key=facts.image_key(self.split, image_index),
            K=require_intrinsics(entry["K"], facts.IMAGE_SIZE_WH, name=self._entry_name("K", photo_index)),
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

    def _entry_name(self, kind: Kind, photo_index: int) -> str:
        return f"{self.store.url(facts.labels_key(self.split, kind))}, entry {photo_index}"

    def _finite_entry(self, kind: Kind, photo_index: int) -> FloatArray:
        """Return a photograph's numbers of one file, float64, or raise an InputError that names both."""
        values = np.asarray(self.labels[kind][photo_index], dtype=np.float64)
        num_bad = int(np.count_nonzero(~np.isfinite(values)))
        if num_bad:
            what, found = self._entry_name(kind, photo_index), f"{num_bad} that are NaN or infinite"
            fix = "Leave this sample out or restore the file."
            raise InputError(describe(what=what, expected="finite numbers", found=found, fix=fix))
        return values

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


def _check_counts(labels: Mapping[str, FloatArray], store: Store, split: facts.Split) -> None:
    """Refuse the file whose length differs from that of most; K is believed where two lengths are as frequent."""
    lengths = {kind: len(values) for kind, values in labels.items()}
    times = Counter(lengths.values())
    usual = max(times, key=lambda length: (times[length], length == lengths["K"]))
    source = next(kind for kind in lengths if lengths[kind] == usual)
    for kind, length in lengths.items():
        require_count(length, usual, what=store.url(f"{split}_{kind}.json"), expected_from=f"{split}_{source}.json")


def _check_entry_order(labels: Mapping[str, FloatArray], store: Store, split: facts.Split) -> None:
    """Refuse a file whose entries moved against those of the others, by what the same photographs' entries share."""
    pairs = _shared_facts(labels)
    shifts = {kind: shift for kind, pair in pairs.items() if (shift := list_shift(*pair))}
    moved, shift = next(iter(shifts.items()), ("", 0))
    if len(shifts) > 1 and len(shifts) == len(pairs):
        moved, shift = "xyz", -shift
    if not moved and "mano" in pairs:
        moved, shift = "K", list_shift(*_cameras(labels))
    if shift == 0:
        return
    others = ", ".join(f"{split}_{kind}.json" for kind in ("xyz", *pairs) if kind != moved)
    number = f"{abs(shift)} file{'' if abs(shift) == 1 else 's'}"
    expected, found = f"entries in the order of {others}", f"entries that look shifted by {number}"
    fix = "Restore the file from the same release as the others."
    raise ContractError(describe(what=store.url(f"{split}_{moved}.json"), expected=expected, found=found, fix=fix))


def _shared_facts(labels: Mapping[str, FloatArray]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return by kind what a file says of each photograph and what xyz says of the same, (N, D) each."""
    pairs: dict[str, tuple[FloatArray, FloatArray]] = {}
    if "xyz" not in labels:
        return pairs
    xyz = labels["xyz"]
    if "scale" in labels:
        bones = np.linalg.norm(xyz[:, facts.SCALE_BONE[0]] - xyz[:, facts.SCALE_BONE[1]], axis=-1)
        pairs["scale"] = (labels["scale"][:, None], bones[:, None])
    if "verts" in labels:
        vertices = labels["verts"][:, list(tip_vertices(facts.TIP_SET, is_right=True))]
        pairs["verts"] = (vertices.reshape(len(xyz), -1), xyz[:, list(TIP_JOINTS)].reshape(len(xyz), -1))
    if "mano" in labels:
        with np.errstate(divide="ignore", invalid="ignore"):  # entries that are none are refused when they are read
            roots_px = project_points(xyz[:, facts.ROOT_JOINT], labels["K"])
        pairs["mano"] = (labels["mano"][:, facts.UV_ROOT], roots_px)
    return pairs


def _cameras(labels: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return focal length and principal point (N, 3) as K says, and as they follow from xyz and the MANO vectors."""
    K, root, mano = labels["K"], labels["xyz"][:, facts.ROOT_JOINT], labels["mano"]
    scale = mano[:, facts.UV_ROOT.stop, None]
    told = np.concatenate([scale * root[:, 2:], mano[:, facts.UV_ROOT] - scale * root[:, :2]], axis=1)
    return np.stack([K[:, 0, 0], K[:, 0, 2], K[:, 1, 2]], axis=1), told


def _check_scale(labels: Mapping[str, FloatArray], *, name: str) -> None:
    """Compare the scale with the bone it is the length of: the two files are of the same release or they are not."""
    if "scale" not in labels or "xyz" not in labels:
        return
    first, second = facts.SCALE_BONE
    bones = np.linalg.norm(labels["xyz"][:, first] - labels["xyz"][:, second], axis=-1)
    is_finite = np.isfinite(bones) & np.isfinite(labels["scale"])
    if not np.any(is_finite):  # each of them is refused when it is read
        return
    bones, scales = bones[is_finite], labels["scale"][is_finite]
    error = float(np.median(np.abs(bones - scales)))
    if error > MAX_SCALE_ERROR_M:
        expected = f"scale to be the length of bone {first}-{second} of xyz within {MAX_SCALE_ERROR_M} m"
        fix = "Looks like another joint order or release of one of the two files."
        if np.median(np.abs(bones - scales / 1000)) <= MAX_SCALE_ERROR_M:
            fix = "The scale looks like millimetres: use the published file."
        elif np.median(np.abs(bones / 1000 - scales)) <= MAX_SCALE_ERROR_M:
            fix = "The joints (xyz) look like millimetres: use the published file."
        raise ContractError(describe(what=name, expected=expected, found=f"a median of {error:.4g} m off", fix=fix))


def _check_vertex_unit(labels: Mapping[str, FloatArray], *, name: str) -> None:
    """Compare the spread of vertices with that of their joints, where the joints are a hand in metres."""
    if "verts" not in labels or "xyz" not in labels:
        return
    checked = spread_indices(len(labels["xyz"]), NUM_CHECKED)
    joints, vertices = labels["xyz"][checked], labels["verts"][checked].astype(np.float64)
    is_finite = np.isfinite(joints).all(axis=(1, 2)) & np.isfinite(vertices).all(axis=(1, 2))
    if not np.any(is_finite):  # each of them is refused when it is read
        return
    joints, vertices = joints[is_finite], vertices[is_finite]
    palm = float(np.median(palm_length(joints)))
    if not PALM_RANGE_M[0] <= palm <= PALM_RANGE_M[1]:  # then the joints are what is wrong, and named so
        return
    ratio = float(np.median(_spread(vertices) / _spread(joints)))
    for factor, unit in ((1e-3, "millimetres"), (1e3, "kilometres")):
        if SAME_UNIT_RATIO[0] <= ratio * factor <= SAME_UNIT_RATIO[1]:
            found = f"hands {ratio:.4g} times as wide as their joints"
            fix = f"This looks like {unit}: use the published file."
            raise ContractError(describe(what=name, expected="vertices in metres, as xyz is", found=found, fix=fix))


def _spread(points: FloatArray) -> FloatArray:
    """Return the root mean square distance (N,) of points (N, P, 3) from their centre."""
    return np.asarray(np.sqrt(points.var(axis=1).sum(axis=-1)))


def _variants(store: Store, split: facts.Split, num_photos: int) -> tuple[str, ...]:
    """Tell which backgrounds were unpacked: those of which any image is there; the first where none is.

    A complete set is told by a few of its images; the folder, of 130 240 files, is listed only where those are not
    there, since each worker that opens the set would list it.
    """
    if split == "evaluation" or num_photos == 0:
        return facts.VARIANTS[:1]
    starts = range(0, num_photos * len(facts.VARIANTS), num_photos)
    probes = spread_indices(num_photos, NUM_PROBED_IMAGES)
    present = {
        position
        for position, start in enumerate(starts)
        if any(store.exists(facts.image_key(split, start + photo)) for photo in probes)
    }
    if len(present) < len(facts.VARIANTS):
        folder, _, _ = facts.image_key(split, 0).rpartition("/")
        names = (key.rpartition("/")[2].removesuffix(".jpg") for key in store.list(folder, recursive=False))
        present |= {int(name) // num_photos for name in names if name.isdecimal()}
    return tuple(name for position, name in enumerate(facts.VARIANTS) if position in present) or facts.VARIANTS[:1]
