"""What is true of the hands of an evaluation: annotations of many samples as arrays, one row a hand."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.label_source import AnnotatedSource, LabelledHand
from hoiray.datasets.sample import AnnotatedDataset, DeadLetter, FloatArray, HandAnnotation, Sample
from hoiray.errors import ContractError, InputError, describe
from hoiray.evaluation.difficulty import viewpoint_deg, visible_fraction
from hoiray.geometry import boxes
from hoiray.geometry.cameras import project_points
from hoiray.hand.joints import NUM_JOINTS, WRIST

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

Floats = npt.NDArray[np.float64]

NO_TRUTH_STAGE: Final = "find truth"
"""A hand without 3D joints cannot be scored: it is left out of every number and counted in the header."""

ANNOTATED_BOX: Final = "annotated"
JOINTS_BOX: Final = "true joints"

_BLOCK: Final = 256
"""Hands whose meshes are made at once: 16 times as fast as one by one."""


@dataclass(frozen=True, eq=False)
class HandTruth:
    """One annotated hand.

    Attributes:
        dataset_index, hand_index: where it comes from.
        sample_id, recording_id, subject_id: as in `hoiray.datasets.sample`.
        is_right: side.
        joints_3d: (21, 3) metres, camera axes, simple order.
        vertices: (778, 3), or None where the set has no mesh and no parameters of a model that is at hand.
        joints_2d_px: (21, 2); NaN where the camera is not known.
        hand_box_xyxy: (4,) tight, px; box_source says where it comes from.
        box_source: :data:`ANNOTATED_BOX` or :data:`JOINTS_BOX`.
        K: (3, 3); NaN where not known.
        object_name: of the object the hand is with, or None.
        object_box_xyxy: (4,); NaN where there is none.
        T_cam_obj: (4, 4); NaN where not known.
        visible_fraction: of the hand's silhouette; NaN where no mask tells.
        viewpoint_deg: 0 the palm is seen, 90 the hand's edge, 180 its back.
    """

    dataset_index: int
    hand_index: int
    sample_id: str
    recording_id: str
    subject_id: str | None
    is_right: bool
    joints_3d: Floats
    vertices: Floats | None
    joints_2d_px: Floats
    hand_box_xyxy: Floats
    box_source: str
    K: Floats
    object_name: str | None
    object_box_xyxy: Floats
    T_cam_obj: Floats
    visible_fraction: float
    viewpoint_deg: float


@dataclass(frozen=True, eq=False)
class Truths:
    """N annotated hands, and what could not be used.

    Attributes:
        hands: in the order of the data set.
        tip_set: whose vertices the joints' finger tips are.
        joints_are_regressed: see `hoiray.datasets.conventions.Conventions`.
        dead_letters: samples that could not be read and hands without truth.
    """

    hands: tuple[HandTruth, ...]
    tip_set: str
    joints_are_regressed: bool
    dead_letters: tuple[DeadLetter, ...]

    def __len__(self) -> int:
        return len(self.hands)

    def joints_3d(self) -> Floats:
        """(N, 21, 3)."""
        return np.stack([hand.joints_3d for hand in self.hands])

    def vertices(self) -> Floats | None:
        """(N, 778, 3), or None unless every hand has them."""
        found = [hand.vertices for hand in self.hands if hand.vertices is not None]
        return np.stack(found) if len(found) == len(self.hands) else None

    def is_right(self) -> npt.NDArray[np.bool_]:
        """(N,)."""
        return np.array([hand.is_right for hand in self.hands])

    def box_sides_px(self) -> Floats:
        """(N,) longer side of each hand's box."""
        sizes = [hand.hand_box_xyxy[2:] - hand.hand_box_xyxy[:2] for hand in self.hands]
        return np.asarray(np.stack(sizes).max(axis=1))


def collect_truths(
    dataset: AnnotatedDataset,
    indices: Iterable[int],
    hand: "HandModel | None",
    *,
    uses_annotated_boxes: bool,
    reads_masks: bool,
) -> Truths:
    """Read the truth of some samples of a data set.

    Args:
        dataset: opened.
        indices: which samples.
        hand: the model the labels were made with, absolute poses; None: meshes only where the set stores them.
        uses_annotated_boxes: False always takes the box of the true joints.
        reads_masks: measure how much of each hand is visible, where the set has masks.

    Raises:
        ContractError: no hand at all can be scored, or the hands' tips are of different sets.
    """
    reader = _TruthReader(dataset, hand, uses_annotated_boxes, reads_masks)
    kept: list[HandTruth] = []
    dead: list[DeadLetter] = []
    tips: set[str] = set()
    for block in _blocks(_found_hands(dataset, indices)):
        for found, made in zip(block, reader.truths(block), strict=True):
            if isinstance(made, DeadLetter):
                dead.append(made)
            else:
                kept.append(made)
                assert isinstance(found, _FoundHand)
                tips.add(found.labelled.hand.tip_set or "none")
    if not kept or len(tips) > 1:
        _refuse(dataset, kept, dead, tips)
    return Truths(tuple(kept), tips.pop(), dataset.name == "freihand", tuple(dead))


@dataclass(frozen=True, eq=False)
class _FoundHand:
    """A hand of a sample that has 3D joints and a side.

    Attributes:
        index, number: of the sample in its set, of the hand in its sample.
        sample, labelled: what is annotated.
    """

    index: int
    number: int
    sample: Sample
    labelled: LabelledHand


def _found_hands(dataset: AnnotatedDataset, indices: Iterable[int]) -> Iterator[_FoundHand | DeadLetter]:
    source = AnnotatedSource(dataset)
    for index in indices:
        labelled = source.hands(index)
        if isinstance(labelled, DeadLetter):
            yield labelled
            continue
        for number, one in enumerate(labelled):
            if one.hand.joints_3d is None or one.hand.is_right is None:
                yield DeadLetter(one.sample_id, NO_TRUTH_STAGE, "no 3D joints, or a hand of unknown side")
            else:
                yield _FoundHand(index, number, source.annotation(index), one)


def _blocks(found: Iterator[_FoundHand | DeadLetter]) -> Iterator[list[_FoundHand | DeadLetter]]:
    while block := list(islice(found, _BLOCK)):
        yield block


@dataclass(frozen=True, eq=False)
class _TruthReader:
    """Reads truths of hands; attributes as the arguments of :func:`collect_truths`."""

    dataset: AnnotatedDataset
    model: "HandModel | None"
    uses_annotated_boxes: bool
    reads_masks: bool

    def truths(self, found: Sequence[_FoundHand | DeadLetter]) -> Iterator[HandTruth | DeadLetter]:
        """Give the truth of each, or why there is none."""
        hands = [one for one in found if isinstance(one, _FoundHand)]
        meshes = iter(_meshes([one.labelled.hand for one in hands], self.model))
        for one in found:
            yield one if isinstance(one, DeadLetter) else self._truth(one, next(meshes))

    def _truth(self, found: _FoundHand, vertices: Floats | None) -> HandTruth | DeadLetter:
        sample, labelled = found.sample, found.labelled
        hand = labelled.hand
        assert hand.joints_3d is not None
        is_right = hand.is_right is not False
        joints_2d = _joints_2d(hand, labelled.K)
        box, box_source = _hand_box(hand, joints_2d, self.uses_annotated_boxes)
        if not boxes.is_valid(box):
            return DeadLetter(labelled.sample_id, NO_TRUTH_STAGE, "no box, and no camera to project the joints with")
        try:
            fraction = self._visible_fraction(sample, labelled, vertices)
        except InputError as error:
            return DeadLetter(labelled.sample_id, "read masks", str(error))
        obj, points = labelled.obj, labelled.control_points_px
        object_box = None if obj is None else (boxes.from_points(points) if points is not None else obj.bbox_xyxy)
        return HandTruth(
            dataset_index=found.index,
            hand_index=found.number,
            sample_id=labelled.sample_id,
            recording_id=sample.recording_id,
            subject_id=sample.subject_id,
            is_right=is_right,
            joints_3d=np.asarray(hand.joints_3d, dtype=np.float64),
            vertices=vertices,
            joints_2d_px=joints_2d,
            hand_box_xyxy=box,
            box_source=box_source,
            K=_known(labelled.K, (3, 3)),
            object_name=None if obj is None else obj.name,
            object_box_xyxy=_known(object_box, (4,)),
            T_cam_obj=_known(None if obj is None else obj.T_cam_obj, (4, 4)),
            visible_fraction=fraction,
            viewpoint_deg=viewpoint_deg(np.asarray(hand.joints_3d), is_right=is_right),
        )

    def _visible_fraction(self, sample: Sample, labelled: LabelledHand, vertices: Floats | None) -> float:
        if not self.reads_masks or vertices is None or labelled.K is None:
            return float("nan")
        masks = self.dataset.masks(sample)
        if masks is None or masks.hand is None:
            return float("nan")
        is_right = labelled.hand.is_right is not False
        return visible_fraction(masks.hand, vertices, labelled.K, is_right=is_right)


def _known(values: FloatArray | None, shape: tuple[int, ...]) -> Floats:
    return np.full(shape, np.nan) if values is None else np.asarray(values, dtype=np.float64)


def _joints_2d(hand: HandAnnotation, K: FloatArray | None) -> Floats:
    if hand.joints_3d is not None and K is not None:
        return np.asarray(project_points(hand.joints_3d, K), dtype=np.float64)
    stored = hand.joints_2d_px
    return np.full((NUM_JOINTS, 2), np.nan) if stored is None else np.asarray(stored, dtype=np.float64)


def _hand_box(hand: HandAnnotation, joints_2d: Floats, uses_annotated: bool) -> tuple[Floats, str]:
    if uses_annotated and hand.bbox_xyxy is not None:
        return np.asarray(hand.bbox_xyxy, dtype=np.float64), ANNOTATED_BOX
    return np.asarray(boxes.from_points(joints_2d), dtype=np.float64), JOINTS_BOX


def _meshes(hands: Sequence[HandAnnotation], model: "HandModel | None") -> list[Floats | None]:
    """Return each hand's stored mesh, or that of its parameters, moved so that its wrist is the annotated one."""
    import torch

    meshes = [None if hand.vertices is None else np.asarray(hand.vertices, dtype=np.float64) for hand in hands]
    rows = [row for row, hand in enumerate(hands) if meshes[row] is None and hand.mano is not None]
    if not rows or model is None:
        return meshes
    parameters = [hands[row].mano for row in rows]
    values = [np.stack([getattr(one, name) for one in parameters]) for name in ("global_orient", "hand_pose", "betas")]
    tensors = [torch.as_tensor(value, dtype=model.dtype) for value in values]
    with torch.no_grad():
        posed = model(*tensors, is_right=torch.tensor([hands[row].is_right is not False for row in rows]))
    root_relative = (posed.vertices - posed.joints[:, WRIST : WRIST + 1]).numpy().astype(np.float64)
    for row, mesh in zip(rows, root_relative, strict=True):
        joints = hands[row].joints_3d
        assert joints is not None
        meshes[row] = mesh + joints[WRIST]
    return meshes


def _refuse(dataset: AnnotatedDataset, kept: Sequence[HandTruth], dead: Sequence[DeadLetter], tips: set[str]) -> None:
    what = f"{dataset.name} / {dataset.split}"
    if kept:
        fix = "Evaluate each part of the set by itself."
        raise ContractError(describe(what=what, expected="tips of one set", found=", ".join(sorted(tips)), fix=fix))
    first = f"; the first: {dead[0].reason}" if dead else ""
    fix = "Name a split with annotated 3D joints; HO-3D's evaluation labels are evaluation_xyz.json."
    found = f"none; {len(dead)} left out{first}"
    raise ContractError(describe(what=what, expected="hands with 3D joints", found=found, fix=fix))
