from collections import Counter

import numpy as np
import pytest

from hoiray.benchmarks.simulate_world import (
    FAULTS,
    LONGEST,
    SHARES,
    SHORTEST,
    World,
    coded_frames,
    number_of,
    read_codes,
)


def test_a_world_follows_from_its_seed() -> None:
    worlds = [World(seed, 50) for seed in (1, 1, 2)]
    lengths = [[world.length(number) for number in range(50)] for world in worlds]
    assert lengths[0] == lengths[1] != lengths[2]
    assert [it.video_id for it in worlds[0].listing()] == [f"{number:010d}.mp4" for number in range(50)]


def test_lengths_have_a_long_tail_within_bounds() -> None:
    world = World(0, 4000)
    lengths = np.array([world.length(number) for number in range(4000)])
    assert lengths.min() >= SHORTEST
    assert lengths.max() <= LONGEST
    # the longest hundredth of the videos holds far more than a hundredth of the frames
    assert np.sort(lengths)[-40:].sum() > 0.1 * lengths.sum()


def test_faults_are_as_frequent_as_they_are_said_to_be() -> None:
    world = World(0, 4000)
    counts = Counter(world.fault(number) for number in range(4000))
    for fault, share in zip(FAULTS, SHARES, strict=True):
        assert counts[fault] / 4000 == pytest.approx(share, abs=0.02)


def test_frames_carry_the_number_of_their_video_and_their_own() -> None:
    for number in (0, 7, 10**7 - 1, 2**33):
        index = np.array([0, 5, LONGEST], dtype=np.int32)
        videos, frames = read_codes(coded_frames(number, index))
        assert videos.tolist() == [number] * 3
        assert frames.tolist() == index.tolist()
    assert number_of("0000000012.mp4") == 12


def test_verdicts_are_those_of_the_planted_faults() -> None:
    world = World(0, 4000)
    by_fault = {world.fault(number): number for number in range(200)}
    assert set(by_fault) == set(FAULTS)
    for fault, number in by_fault.items():
        verdict, length = world.verdict(number), world.length(number)
        accepted = {"none": length - 1, "jump": length - 3}.get(fault, 0)
        rows = 0 if fault in {"no_hand", "unreadable"} else length
        assert (verdict.num_rows, verdict.num_accepted, verdict.is_dead) == (rows, accepted, fault == "unreadable")
