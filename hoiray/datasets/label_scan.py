"""Going through a source once: records of every usable hand, dead letters of everything else."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_records import Records, measure_record
from hoiray.datasets.label_source import LabelledHand, Source
from hoiray.datasets.sample import DeadLetter
from hoiray.errors import ContractError, InputError, describe

NO_HAND_STAGE: Final = "find hand"
"""An image without a labelled hand is left out and counted, but is no damage: videos show hands come and go."""

USE_STAGE: Final = "use hand"

_NUM_TOLD: Final = 3


@dataclass(frozen=True, eq=False)
class ScannedHand:
    """A usable hand: its record, its id among all of its source's name, and the name of its object where it has one."""

    record: Records
    sample_id: str
    object_name: str | None


def source_labels(sources: Sequence[Source]) -> list[str]:
    """Return a name for each source, different from all others, for sample ids and messages."""
    names = [source.name for source in sources]
    return [
        name if names.count(name) == 1 else f"{name}@{names[:position].count(name)}"
        for position, name in enumerate(names)
    ]


def scan_entries(
    source: Source, entries: Iterable[int], spec: CropSpec, *, needs_joints: bool
) -> tuple[list[ScannedHand], list[DeadLetter]]:
    """Read the labels of entries.

    Args:
        source: whose.
        entries: in the order of the samples.
        spec: how the crop is placed.
        needs_joints: see :func:`hoiray.datasets.label_records.measure_record`.

    Returns:
        The usable hands in order, and one dead letter for every entry or hand that cannot be used.
    """
    hands: list[ScannedHand] = []
    dead: list[DeadLetter] = []
    for entry in entries:
        found = source.hands(entry)
        if isinstance(found, DeadLetter):
            dead.append(DeadLetter(f"{source.name}/{entry}", found.stage, found.reason))
            continue
        if not found:
            reason = describe(
                what=f"{source.name}, image {entry}",
                expected="a labelled hand",
                found="none",
                fix="Nothing has to be done: it is left out.",
            )
            dead.append(DeadLetter(f"{source.name}/{entry}", NO_HAND_STAGE, reason))
        for hand_index, labelled in enumerate(found):
            sample_id = f"{source.name}/{labelled.sample_id}"
            try:
                record = measure_record(labelled, source.image_size_wh(entry), spec, needs_joints=needs_joints)
            except InputError as error:
                dead.append(DeadLetter(sample_id, USE_STAGE, str(error)))
                continue
            record["entry"], record["hand_index"] = entry, hand_index
            hands.append(ScannedHand(record, sample_id, _object_name(labelled)))
    return hands, dead


def _object_name(labelled: LabelledHand) -> str | None:
    return None if labelled.obj is None else labelled.obj.name


def refuse_too_many_dead(dead: Sequence[DeadLetter], num_entries: int, max_dead_fraction: float, *, name: str) -> None:
    """Stop where so many samples are unusable that the rest is not the set that was asked for.

    Raises:
        ContractError: more than the limit, or nothing is left; the message tells the stages and the first reasons.
    """
    damaged = [letter for letter in dead if letter.stage != NO_HAND_STAGE]
    if len(damaged) <= max_dead_fraction * num_entries:
        return
    stages = ", ".join(f"{stage}: {count}" for stage, count in Counter(one.stage for one in damaged).most_common())
    reasons = "; ".join(f"{letter.key}: {letter.reason}" for letter in damaged[:_NUM_TOLD])
    raise ContractError(
        describe(
            what=name,
            expected=f"at most {max_dead_fraction:.1%} unusable samples",
            found=f"{len(damaged)} of {num_entries} ({stages}), first {reasons}",
            fix="Repair the data set, leave these samples out, or raise max_dead_fraction.",
        )
    )
