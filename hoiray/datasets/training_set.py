"""All samples of a training or evaluation: usable hands of several sources, each the same at every reading."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hoiray.config.fingerprint import fingerprint
from hoiray.config.what import Augmentation
from hoiray.datasets.augment import Views, draw_views, plain_views
from hoiray.datasets.colour import blur, change_colours
from hoiray.datasets.crop_cache import CacheOptions, CropCache, forget_unread, open_crop_cache
from hoiray.datasets.crop_images import FullImages, JoinedImages, SampleImages, images_of
from hoiray.datasets.crop_pixels import cut_crop
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.crop_targets import CropTargets, cell_places, crop_targets, shown_cells
from hoiray.datasets.label_records import Records, concatenate_records
from hoiray.datasets.label_scan import refuse_too_many_dead, scan_entries, source_labels
from hoiray.datasets.label_source import Source
from hoiray.datasets.sample import DeadLetter, FloatArray
from hoiray.datasets.training_sample import TrainingSample
from hoiray.errors import ConfigError, ContractError, describe


class Origin(NamedTuple):
    """Where a sample comes from: source, entry of that source, hand of that entry."""

    source: Source
    entry: int
    hand_index: int


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Usable hands of several sources. Made by :meth:`open`.

    Attributes:
        sources: where they come from.
        spec: how crops are cut.
        augmentation: the ranges of :meth:`sample`; :meth:`evaluation_sample` has none.
        seed: of the augmentation.
        records: (N,) labels, read-only.
        sample_ids, object_names: of each sample.
        images: where the pixels come from.
        dead_letters: every image or hand that was left out, with its reason.
    """

    sources: tuple[Source, ...]
    spec: CropSpec
    augmentation: Augmentation
    seed: int
    records: Records
    sample_ids: tuple[str, ...]
    object_names: tuple[str | None, ...]
    images: SampleImages
    dead_letters: tuple[DeadLetter, ...]

    @classmethod
    def open(
        cls,
        sources: Sequence[Source],
        spec: CropSpec,
        augmentation: Augmentation | None = None,
        *,
        seed: int = 0,
        needs_joints: bool = True,
        max_dead_fraction: float = 0.05,
        cache: CacheOptions | None = None,
        on_part: Callable[[int, int], None] | None = None,
    ) -> "TrainingSet":
        """Read the labels of every entry.

        Without a cache images are decoded when a sample is asked for, and one that is damaged shows then. With a cache
        every image is decoded once, here, unless that was done before; a damaged one is a dead letter.

        Args:
            sources: in the order of the samples.
            spec: how crops are cut.
            augmentation: None for the paper's ranges.
            seed: of the augmentation.
            needs_joints: False also takes hands of which only a box is known, for predictions; their targets are NaN.
            max_dead_fraction: of the entries of each source; images without a hand do not count.
            cache: see `hoiray.datasets.crop_cache`; None works without one. Each source has its own.
            on_part: told (parts done, parts) while a cache is built.

        Raises:
            ConfigError: there is no usable hand.
            ContractError: too many samples of a source cannot be used, or a cache is damaged.
        """
        ranges = augmentation or Augmentation()
        parts = [
            _read_source(source, label, spec, ranges, needs_joints=needs_joints, cache=cache, on_part=on_part)
            for source, label in zip(sources, source_labels(sources), strict=True)
        ]
        for part in parts:
            part.refuse_too_many_dead(max_dead_fraction)
        return _joined(tuple(sources), parts, spec, ranges, seed)

    def __post_init__(self) -> None:
        """Refuse a set without samples.

        Raises:
            ConfigError: there is none.
        """
        if len(self.records) == 0:
            found = f"none in {_name_of(self.sources)} ({len(self.dead_letters)} left out)"
            fix = "Name data sets with labelled hands."
            raise ConfigError(describe(what="training set", expected="a usable hand", found=found, fix=fix))

    def __len__(self) -> int:
        """Number of usable hands."""
        return len(self.records)

    def sample(self, index: int, *, epoch: int) -> TrainingSample:
        """Return a sample as it is seen in an epoch: the same three of seed, epoch and index give the same bits.

        Raises:
            InputError: its image is missing or damaged.
        """
        return self.samples([index], epochs=[epoch])[0]

    def samples(self, indices: Sequence[int], *, epochs: Sequence[int]) -> list[TrainingSample]:
        """Return many samples at once, faster, and the same bit for bit as one by one.

        Args:
            indices: of the samples.
            epochs: one for each, since a sample may be seen more than once in an epoch of unequal sets.

        Raises:
            InputError: an image is missing or damaged.
        """
        views = draw_views(self.augmentation, seed=self.seed, epochs=epochs, indices=indices)
        records = self.records[np.asarray(indices, dtype=np.int64)]
        A = views.affines(records["crop_center_px"], records["crop_side_px"], out_size_px=self.spec.size_px)
        return self._cut(indices, records, A, views, takes_annotated_box=False)

    def evaluation_sample(self, index: int) -> TrainingSample:
        """Return a sample without augmentation; see :meth:`evaluation_samples`."""
        return self.evaluation_samples([index])[0]

    def evaluation_samples(self, indices: Sequence[int]) -> list[TrainingSample]:
        """Return samples without augmentation, their crop and hand box from the annotated box where there is one.

        Raises:
            InputError: an image is missing or damaged.
        """
        records = self.records[np.asarray(indices, dtype=np.int64)]
        views = plain_views(len(records))
        centers, sides = records["evaluation_center_px"], records["evaluation_side_px"]
        A = views.affines(centers, sides, out_size_px=self.spec.size_px)
        return self._cut(indices, records, A, views, takes_annotated_box=True)

    def origin(self, index: int) -> Origin:
        """Return where a sample comes from."""
        record = self.records[index]
        return Origin(self.sources[record["source"]], int(record["entry"]), int(record["hand_index"]))

    @property
    def num_pseudo(self) -> int:
        """Samples whose label is a teacher's."""
        return int(np.count_nonzero(self.records["is_pseudo"]))

    @property
    def num_objects_supervised(self) -> int:
        """Samples whose object is supervised; without a cache, before it is known whether each has a mask."""
        return int(np.count_nonzero(self.records["is_object_supervised"]))

    def source_indices(self) -> NDArray[np.int64]:
        """Return the position (N,) of each sample's source, for a sampler that mixes sources."""
        return self.records["source"].astype(np.int64)

    def dead_counts(self) -> Mapping[str, int]:
        """Count what was left out, by the stage at which it showed."""
        return dict(Counter(letter.stage for letter in self.dead_letters))

    def fingerprint(self) -> str:
        """Digest what decides a sample: sources, spec, augmentation and seed; the same wherever the files lie."""
        facts: dict[str, object] = {
            "sources": [source.identity() for source in self.sources],
            "spec": asdict(self.spec),
            "augmentation": fingerprint(self.augmentation),
            "seed": self.seed,
            "num_samples": len(self),
        }
        pseudo = self.records[self.records["is_pseudo"]]
        if len(pseudo):
            # which of the labels are trained on, and how much they count, is not the source's
            chosen = np.ascontiguousarray(pseudo[["source", "entry", "hand_index", "weight"]])
            facts["labels"] = hashlib.sha256(chosen.tobytes()).hexdigest()
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _cut(
        self, indices: Sequence[int], records: Records, A: FloatArray, views: Views, *, takes_annotated_box: bool
    ) -> list[TrainingSample]:
        targets = crop_targets(records, A, views.rotations_rad, self.spec, takes_annotated_box=takes_annotated_box)
        places = cell_places(A, targets.object_boxes_xyxy, self.spec.roi_cells)
        cuts = _Cuts(tuple(int(index) for index in indices), records, A, views, targets, places)
        return [self._assembled(cuts, row) for row in range(len(cuts.indices))]

    def _assembled(self, cuts: "_Cuts", row: int) -> TrainingSample:
        record, targets = cuts.records[row], cuts.targets
        cells, num_cells = self._object_cells(cuts, row), self.spec.roi_cells
        points = np.zeros((21, 2)) if cells is None else targets.control_points_unit[row]
        return TrainingSample(
            sample_id=self.sample_ids[cuts.indices[row]],
            image=self._pixels(cuts, row),
            hand_box_xyxy=targets.hand_boxes_xyxy[row].astype(np.float32),
            object_box_xyxy=targets.object_boxes_xyxy[row].astype(np.float32),
            rotations=targets.rotations[row].astype(np.float32),
            betas=record["betas"].copy(),
            joints_3d_m=targets.joints_3d_m[row].astype(np.float32),
            joints_2d_unit=targets.joints_2d_unit[row].astype(np.float32),
            has_mano=bool(record["has_mano"]),
            has_joints=bool(record["has_joints"]),
            is_object_supervised=cells is not None,
            control_points_unit=points.astype(np.float32),
            object_cells=np.zeros((num_cells, num_cells), dtype=np.bool_) if cells is None else cells,
            weight=float(record["weight"]),
            K=targets.K[row],
            A_crop_image=cuts.A[row],
            rotation_rad=float(cuts.views.rotations_rad[row]),
            wrist_3d_m=targets.wrist_3d_m[row],
            T_cam_obj=targets.T_cam_obj[row],
            is_mirrored=bool(record["is_mirrored"]),
            is_pseudo=bool(record["is_pseudo"]),
        )

    def _pixels(self, cuts: "_Cuts", row: int) -> NDArray[np.uint8]:
        stored = self.images.image(cuts.indices[row])
        crop = cut_crop(
            stored.pixels, cuts.A[row] @ stored.A_image_stored, self.spec.size_px, self.augmentation.interpolation
        )
        return change_colours(blur(crop, float(cuts.views.blur_px[row])), cuts.views, row)

    def _object_cells(self, cuts: "_Cuts", row: int) -> NDArray[np.bool_] | None:
        """Return the object's cells, None where the object is not supervised."""
        if not cuts.records[row]["is_object_supervised"]:
            return None
        part = self.images.object_mask(cuts.indices[row])
        return None if part is None else shown_cells(part.mask, part.corner_xy, cuts.cell_places[row])


@dataclass(frozen=True, eq=False)
class _Cuts:
    """What is known of a batch of crops before their pixels are read; everything has B rows."""

    indices: tuple[int, ...]
    records: Records
    A: FloatArray
    views: Views
    targets: CropTargets
    cell_places: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Part:
    """What one source gives; `sample_ids` are those of `images` under a name that no other source has."""

    source: Source
    images: FullImages | CropCache
    sample_ids: tuple[str, ...]
    dead: tuple[DeadLetter, ...]

    def refuse_too_many_dead(self, max_fraction: float) -> None:
        """Stop where too little can be used; what was damaged is looked at again next time.

        Raises:
            ContractError: it is too little.
        """
        try:
            refuse_too_many_dead(self.dead, len(self.source), max_fraction, name=self.source.name)
        except ContractError:
            if isinstance(self.images, CropCache):
                forget_unread(self.images)
            raise


def _read_source(
    source: Source,
    label: str,
    spec: CropSpec,
    ranges: Augmentation,
    *,
    needs_joints: bool,
    cache: CacheOptions | None,
    on_part: Callable[[int, int], None] | None,
) -> _Part:
    """Read one source's labels, and its images where there is a cache; `label` tells it from others of its name."""
    images: FullImages | CropCache
    if cache is None:
        hands, letters = scan_entries(source, range(len(source)), spec, needs_joints=needs_joints)
        images, dead = images_of(source, hands), tuple(letters)
    else:
        images = open_crop_cache(source, spec, ranges, cache, needs_joints=needs_joints, on_part=on_part)
        dead = images.dead_letters
    return _Part(source, images, _renamed(images.sample_ids, source, label), dead)


def _renamed(sample_ids: Sequence[str], source: Source, label: str) -> tuple[str, ...]:
    if label == source.name:
        return tuple(sample_ids)
    return tuple(label + sample_id.removeprefix(source.name) for sample_id in sample_ids)


def _joined(
    sources: tuple[Source, ...], parts: Sequence[_Part], spec: CropSpec, ranges: Augmentation, seed: int
) -> TrainingSet:
    """Lay the samples of all sources behind each other, without those that count for nothing."""
    records, part_of, row_of = [], [], []
    for position, part in enumerate(parts):
        own = part.images.records.copy()
        own["source"] = position
        factors = part.source.factors(own["entry"], own["hand_index"].astype(np.int64))
        own["weight"] *= factors.astype(np.float32)
        kept = np.flatnonzero(factors != 0.0)
        records.append(own[kept])
        part_of.append(np.full(len(kept), position, dtype=np.int64))
        row_of.append(kept.astype(np.int64))
    places = JoinedImages(
        tuple(part.images for part in parts),
        np.concatenate([*part_of, np.zeros(0, np.int64)]),
        np.concatenate([*row_of, np.zeros(0, np.int64)]),
    )
    rows = list(zip(places.part_of.tolist(), places.row_of.tolist(), strict=True))
    return TrainingSet(
        sources,
        spec,
        ranges,
        seed,
        concatenate_records(records),
        tuple(parts[part].sample_ids[row] for part, row in rows),
        tuple(parts[part].images.object_names[row] for part, row in rows),
        places,
        tuple(letter for part in parts for letter in part.dead),
    )


def _name_of(sources: Sequence[Source]) -> str:
    return ", ".join(source.name for source in sources) or "no data set"
