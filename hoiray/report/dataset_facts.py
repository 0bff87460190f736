"""Counting what is in a data set, as it is and not as its paper says."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hoiray.datasets.sample import DeadLetter, HandAnnotation, Sample


@dataclass(frozen=True)
class DatasetFacts:
    """Counts over the samples that were read.

    Attributes:
        num_samples: read without an error.
        num_recordings: groups of sister cameras count once.
        subjects: persons by name, as far as the data set tells.
        hands: by side: right, left, unknown.
        hands_with: how many hands carry each kind of annotation.
        objects: annotated objects by name.
        objects_with_pose: how many objects have a pose.
        samples_without_hand: nothing is annotated, which does not say that no hand is there.
        dead_letters: what could not be read, with the reason.
    """

    num_samples: int
    num_recordings: int
    subjects: tuple[str, ...]
    hands: dict[str, int]
    hands_with: dict[str, int]
    objects: dict[str, int]
    objects_with_pose: int
    samples_without_hand: int
    dead_letters: tuple[DeadLetter, ...] = field(default=())


HAND_ANNOTATIONS = ("mano", "joints_3d", "wrist_3d", "joints_2d_px", "vertices", "bbox_xyxy")


def collect_facts(entries: Iterable[Sample | DeadLetter]) -> DatasetFacts:
    """Count in one pass; memory grows with recordings and dead letters, not with samples."""
    recordings: set[str] = set()
    subjects: set[str] = set()
    hands, hands_with, objects = Counter[str](), Counter[str](), Counter[str]()
    num_samples = without_hand = with_pose = 0
    dead: list[DeadLetter] = []
    for entry in entries:
        if isinstance(entry, DeadLetter):
            dead.append(entry)
            continue
        num_samples += 1
        recordings.add(entry.recording_id)
        if entry.subject_id is not None:
            subjects.add(entry.subject_id)
        without_hand += not entry.hands
        for hand in entry.hands:
            hands[side_of(hand)] += 1
            hands_with.update(kind for kind in HAND_ANNOTATIONS if getattr(hand, kind) is not None)
        objects.update(annotated.name for annotated in entry.objects)
        with_pose += sum(annotated.T_cam_obj is not None for annotated in entry.objects)
    return DatasetFacts(
        num_samples=num_samples,
        num_recordings=len(recordings),
        subjects=tuple(sorted(subjects)),
        hands={side: hands[side] for side in ("right", "left", "unknown")},
        hands_with={kind: hands_with[kind] for kind in HAND_ANNOTATIONS},
        objects=dict(sorted(objects.items())),
        objects_with_pose=with_pose,
        samples_without_hand=without_hand,
        dead_letters=tuple(dead),
    )


def side_of(hand: HandAnnotation) -> str:
    """`right`, `left` or `unknown`."""
    return "unknown" if hand.is_right is None else "right" if hand.is_right else "left"
