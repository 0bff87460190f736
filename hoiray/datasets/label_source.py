"""Where training samples come from: one small protocol for annotated data sets and for accepted labels alike."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.iterate import iterate, spread_indices
from hoiray.datasets.sample import (
    AnnotatedDataset,
    DeadLetter,
    FloatArray,
    HandAnnotation,
    ObjectAnnotation,
    Sample,
)
from hoiray.errors import ConfigError, InputError, describe
from hoiray.geometry.cameras import project_points
from hoiray.geometry.control_points import control_points
from hoiray.geometry.transforms import transform_points
from hoiray.hand.joints import MIDDLE_MCP

LabelKind: TypeAlias = Literal["annotated", "pseudo"]
"""Who says so: people or instruments, or a teacher."""

NUM_PROBED: Final = 16
"""Samples whose annotations are hashed into a set's identity, first and last among them."""

NUM_PROBED_IMAGES: Final = 4
"""Images whose pixels are hashed, so that a set that was drawn anew with the same labels has other crops."""

NUM_REMEMBERED: Final = 8
"""Annotations kept, for the image and the mask that are read next: a file of HO-3D takes longer to unpickle than an
image takes to warp. One for each thread that builds a cache would do."""


@dataclass(frozen=True, eq=False)
class LabelledHand:
    """One hand of one image as its source tells of it: not mirrored, px of the full image, OpenCV camera axes.

    Attributes:
        sample_id: unique within the source.
        K: (3, 3) px, or None where the camera is not known: then the hand's `joints_2d_px` must be there.
        hand: as in `hoiray.datasets.sample`.
        obj: the object of this hand, or None.
        control_points_px: (21, 2) of that object, or None where they are not known.
        is_object_supervised: may the object's losses see this sample (mask B of the paper's Eq. 8)?
        weight: factor on the sample's losses.
        kind: of a pseudo label, joints in 3D are known about the wrist (whose place is `hand.wrist_3d`, if known), and
            `joints_2d_px` are its own; of an annotated hand with K the 2D joints are the image of the 3D ones.
    """

    sample_id: str
    K: FloatArray | None
    hand: HandAnnotation
    obj: ObjectAnnotation | None
    control_points_px: FloatArray | None
    is_object_supervised: bool
    weight: float
    kind: LabelKind = "annotated"


class Source(Protocol):
    """Images with labelled hands. Entries are images; an entry has any number of hands."""

    @property
    def name(self) -> str:
        """For messages and sample ids, for example `ho3d_v2/train`."""

    def __len__(self) -> int:
        """Number of entries."""

    def identity(self) -> str:
        """Return a digest of what it holds, the same wherever its files lie."""

    def pixel_digest(self) -> str:
        """Return a digest of what its images show, or of their versions; cheap, so perhaps of a few of them."""

    def hands(self, entry: int) -> tuple[LabelledHand, ...] | DeadLetter:
        """Return the labelled hands of an entry, none where it has none; a dead letter where it cannot be read."""

    def factors(self, entries: NDArray[np.int64], hand_indices: NDArray[np.int64]) -> FloatArray:
        """Return factors (N,) on the weights of hands, by entry and number within it; 0 leaves a hand out."""

    def image_size_wh(self, entry: int) -> tuple[int, int]:
        """Width and height of an entry's image in px."""

    def image(self, entry: int) -> NDArray[np.uint8]:
        """Read an entry's image, (H, W, 3) RGB.

        Raises:
            InputError: it is missing or damaged.
        """

    def images(self, entries: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8] | InputError]]:
        """Read many images, in the order asked for: each with its entry, or with what is wrong with it.

        Args:
            entries: growing.
        """

    def object_mask(self, entry: int, object_name: str) -> NDArray[np.bool_] | None:
        """Read which pixels (H, W) show an object, or None where the source does not tell.

        Raises:
            InputError: it is missing or damaged.
        """


@dataclass(frozen=True)
class AnnotatedSource:
    """Samples of an annotated data set.

    Attributes:
        dataset: an opened data set.
        indices: which of its samples, for instance a part of a split; None for all.
        weight: factor on the losses of every sample.
    """

    dataset: AnnotatedDataset
    indices: Sequence[int] | None = None
    weight: float = 1.0
    _control_points_m: dict[str, FloatArray | None] = field(default_factory=dict, repr=False, compare=False)
    _recent: dict[int, Sample] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse indices the data set has not.

        Raises:
            ConfigError: an index is out of range or occurs twice.
        """
        if self.indices is None:
            return
        chosen, length = np.asarray(self.indices, dtype=np.int64), len(self.dataset)
        outside = chosen[(chosen < 0) | (chosen >= length)]
        found = f"{len(outside)} others, for instance {outside[0]}" if len(outside) else "one of them twice"
        if len(outside) or len(np.unique(chosen)) < len(chosen):
            expected = f"different indices from 0 to {length - 1}"
            fix = "Split the data set that is opened, with hoiray.datasets.splits."
            raise ConfigError(describe(what=f"samples of {self.name}", expected=expected, found=found, fix=fix))

    @property
    def name(self) -> str:
        """Data set and split."""
        return f"{self.dataset.name}/{self.dataset.split}"

    def __len__(self) -> int:
        """Number of images."""
        return len(self.dataset) if self.indices is None else len(self.indices)

    def index_of(self, entry: int) -> int:
        """The data set's own index of an entry."""
        return entry if self.indices is None else int(self.indices[entry])

    def identity(self) -> str:
        """Digest name, count, indices, weight, and what the annotations of a few spread samples say.

        Damage or repair of a single sample between the probed ones is not seen.
        """
        digest = hashlib.sha256(json.dumps([self.name, len(self.dataset), float(self.weight)]).encode())
        if self.indices is not None:
            digest.update(np.asarray(self.indices, dtype="<i8").tobytes())
        for entry in spread_indices(len(self), NUM_PROBED):
            sample = self._sample(entry)
            digest.update(_digest_of(sample) if isinstance(sample, Sample) else sample.stage.encode())
        return digest.hexdigest()

    def pixel_digest(self) -> str:
        """Digest a few spread images."""
        digest = hashlib.sha256()
        for entry in spread_indices(len(self), NUM_PROBED_IMAGES):
            try:
                digest.update(self.image(entry).tobytes())
            except InputError:
                digest.update(b"unreadable")
        return digest.hexdigest()

    def factors(self, entries: NDArray[np.int64], hand_indices: NDArray[np.int64]) -> FloatArray:  # noqa: ARG002 - the protocol's
        """Every hand counts as its label says."""
        return np.ones(len(entries))

    def hands(self, entry: int) -> tuple[LabelledHand, ...] | DeadLetter:
        """Read an entry's annotation; one that cannot be a hand's is a dead letter too."""
        sample = self._sample(entry)
        if isinstance(sample, DeadLetter):
            return sample
        several = len(sample.hands) > 1
        return tuple(
            self._labelled(sample, hand, f"{sample.sample_id}#{number}" if several else sample.sample_id)
            for number, hand in enumerate(sample.hands)
        )

    def annotation(self, entry: int) -> Sample:
        """Read an entry's annotation unless it was read just now, for its labels or its image."""
        sample = self._recent.get(entry)
        if sample is None:
            sample = self.dataset.sample(self.index_of(entry))
            self._remember(entry, sample)
        return sample

    def image_size_wh(self, entry: int) -> tuple[int, int]:  # noqa: ARG002 - the protocol's signature
        """The size every image of this data set has: that of the first one that can be read."""
        return self._image_size_wh

    def image(self, entry: int) -> NDArray[np.uint8]:
        """Read an entry's image, (H, W, 3) RGB.

        Raises:
            InputError: it is missing or damaged.
        """
        return self.dataset.image(self.annotation(entry))

    def images(self, entries: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8] | InputError]]:
        """Read images one by one."""
        for entry in entries:
            try:
                yield entry, self.image(entry)
            except InputError as error:
                yield entry, error

    def object_mask(self, entry: int, object_name: str) -> NDArray[np.bool_] | None:
        """Read which pixels (H, W) show an object, or None where the data set does not tell.

        Raises:
            InputError: it is damaged.
        """
        masks = self.dataset.masks(self.annotation(entry))
        return None if masks is None else masks.objects.get(object_name)

    @cached_property
    def _image_size_wh(self) -> tuple[int, int]:
        reason = "no sample"
        for entry in range(len(self)):
            try:
                height, width = self.image(entry).shape[:2]
            except InputError as error:
                reason = str(error)
                continue
            return width, height
        fix = "Restore the images."
        raise InputError(
            describe(what=f"images of {self.name}", expected="one that can be read", found=reason, fix=fix)
        )

    def _sample(self, entry: int) -> Sample | DeadLetter:
        found = next(iterate(self.dataset, [self.index_of(entry)]))
        if isinstance(found, Sample):
            self._remember(entry, found)
        return found

    def _remember(self, entry: int, sample: Sample) -> None:
        self._recent[entry] = sample
        for oldest in list(self._recent)[:-NUM_REMEMBERED]:
            self._recent.pop(oldest, None)

    def _labelled(self, sample: Sample, hand: HandAnnotation, sample_id: str) -> LabelledHand:
        obj = nearest_object(hand, sample.objects)
        points = None if obj is None else self._projected_control_points(obj, sample.K)
        return LabelledHand(sample_id, sample.K, hand, obj, points, points is not None, self.weight)

    def _projected_control_points(self, obj: ObjectAnnotation, K: FloatArray | None) -> FloatArray | None:
        """Project the model's control points; where there is no model or pose, take those the data set stores."""
        model_points = self._model_points(obj.name)
        if model_points is None or obj.T_cam_obj is None or K is None:
            return obj.control_points_2d_px
        projected = project_points(transform_points(obj.T_cam_obj, model_points), K)
        return projected if np.all(np.isfinite(projected)) else None

    def _model_points(self, object_name: str) -> FloatArray | None:
        if object_name not in self._control_points_m:
            model = self.dataset.object_model(object_name)
            self._control_points_m[object_name] = None if model is None else control_points(model.points)
        return self._control_points_m[object_name]


def nearest_object(hand: HandAnnotation, objects: Sequence[ObjectAnnotation]) -> ObjectAnnotation | None:
    """Choose the object a hand is with: of several, the one whose origin is nearest to the middle knuckle.

    Where poses or joints are missing there is no distance, and the first object is as good as any.
    """
    if len(objects) < 2 or hand.joints_3d is None:
        return objects[0] if objects else None
    knuckle = hand.joints_3d[MIDDLE_MCP]
    distances = [
        np.inf if item.T_cam_obj is None else float(np.linalg.norm(item.T_cam_obj[:3, 3] - knuckle)) for item in objects
    ]
    return objects[int(np.argmin(distances))]


def _digest_of(sample: Sample) -> bytes:
    """Digest what makes the labels of a sample, to the micrometre and microradian, so that rounding does not show."""
    digest = hashlib.sha256(sample.sample_id.encode())
    for hand in sample.hands:
        digest.update(repr((hand.is_right, hand.tip_set)).encode())
        mano = hand.mano
        parameters = () if mano is None else (mano.global_orient, mano.hand_pose, mano.betas, mano.transl)
        for values in (hand.joints_3d, hand.joints_2d_px, hand.bbox_xyxy, *parameters):
            digest.update(_rounded(values))
    for item in sample.objects:
        digest.update(item.name.encode())
        for values in (item.T_cam_obj, item.control_points_2d_px, item.bbox_xyxy):
            digest.update(_rounded(values))
    digest.update(_rounded(sample.K))
    return digest.digest()


def _rounded(values: FloatArray | None) -> bytes:
    return b"none" if values is None else (np.round(values.astype("<f8"), 6) + 0.0).tobytes()
