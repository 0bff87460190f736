from dataclasses import replace

import memory_dataset as memory
import numpy as np
import pytest

from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_scan import (
    NO_HAND_STAGE,
    USE_STAGE,
    refuse_too_many_dead,
    scan_entries,
    source_labels,
)
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.sample import DeadLetter
from hoiray.errors import ContractError

SPEC = CropSpec(64)


def damaged() -> memory.MemoryDataset:
    """Four images: one without a hand, one with a hand beside the image, two good ones."""
    dataset = memory.make_dataset()
    hand = dataset.samples[2].hands[0]
    assert hand.joints_3d is not None
    dataset.samples[1] = replace(dataset.samples[1], hands=())
    beside = replace(hand, joints_3d=hand.joints_3d + np.array([3.0, 0, 0]))
    dataset.samples[2] = replace(dataset.samples[2], hands=(beside,))
    return dataset


def test_every_entry_becomes_a_record_or_a_dead_letter() -> None:
    source = AnnotatedSource(damaged())
    hands, dead = scan_entries(source, range(len(source)), SPEC, needs_joints=True)
    assert [hand.sample_id for hand in hands] == ["memory/train/0000", "memory/train/0003"]
    assert [int(hand.record["entry"]) for hand in hands] == [0, 3]
    assert [(letter.key, letter.stage) for letter in dead] == [
        ("memory/train/1", NO_HAND_STAGE),
        ("memory/train/0002", USE_STAGE),
    ]
    assert "in the image" in dead[1].reason


def test_sources_of_one_name_are_told_apart() -> None:
    sources = [AnnotatedSource(memory.make_dataset(1)) for _ in range(2)]
    assert source_labels(sources) == ["memory/train@0", "memory/train@1"]


def test_too_many_dead_letters_stop_and_images_without_hands_do_not() -> None:
    absent = [DeadLetter(str(i), NO_HAND_STAGE, "none") for i in range(9)]
    refuse_too_many_dead(absent, 10, 0.0, name="lab")
    broken = [DeadLetter("b7", USE_STAGE, "half a hand")]
    refuse_too_many_dead([*absent, *broken], 10, 0.1, name="lab")
    with pytest.raises(ContractError, match=r"lab.*1 of 10.*use hand: 1.*b7: half a hand"):
        refuse_too_many_dead([*absent, *broken], 10, 0.09, name="lab")
