import dataclasses
from pathlib import Path

import dataset_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.datasets.images import ImageFolder
from hoiray.datasets.iterate import iterate, spread_indices
from hoiray.datasets.sample import DeadLetter, HandAnnotation, Sample
from hoiray.errors import InputError


class Flaky(ImageFolder):
    def sample(self, index: int) -> Sample:
        if index == 1:
            raise InputError("b.png: expected a meta, found none.")
        return super().sample(index)


@pytest.fixture
def flaky(tmp_path: Path) -> Flaky:
    for name in "abc":
        files.put_image(tmp_path / f"{name}.png", files.picture(8, 8))
    opened = ImageFolder.open(str(tmp_path))
    return Flaky(opened.store, opened.keys, opened.places)


def test_a_sample_that_fails_becomes_a_dead_letter_in_its_place(flaky: Flaky) -> None:
    first, letter, last = iterate(flaky)
    assert isinstance(first, Sample)
    assert isinstance(last, Sample)
    assert letter == DeadLetter("images/all/1", "read annotation", "b.png: expected a meta, found none.")


class OneInMillimetres(ImageFolder):
    def sample(self, index: int) -> Sample:
        joints = files.hands(1, tip_set="ho3d").joints[0] * (1000.0 if index == 1 else 1.0)
        return dataclasses.replace(super().sample(index), hands=(HandAnnotation(is_right=True, joints_3d=joints),))


def test_an_impossible_hand_becomes_a_dead_letter_that_names_file_and_number(flaky: Flaky) -> None:
    opened = OneInMillimetres(flaky.store, flaky.keys, flaky.places)
    first, letter, last = iterate(opened)
    assert isinstance(first, Sample)
    assert isinstance(last, Sample)
    assert isinstance(letter, DeadLetter)
    assert (letter.key, letter.stage) == ("images/all/1", "check annotation")
    joints = opened.sample(1).hands[0].joints_3d
    assert joints is not None
    palm = float(np.linalg.norm(joints[9] - joints[0]))
    assert f"b.png), hand: expected a palm of 0.04 to 0.2 m, found one of {palm:.4g} m" in letter.reason
    assert "looks like millimetres" in letter.reason


def test_a_check_of_the_whole_set_sees_impossible_samples_too(flaky: Flaky) -> None:
    opened = OneInMillimetres(flaky.store, flaky.keys, flaky.places)
    assert all(isinstance(one, Sample) for one in iterate(opened, only_plausible=False))


def test_indices_are_followed(flaky: Flaky) -> None:
    assert [one.sample_id for one in iterate(flaky, [2, 0]) if isinstance(one, Sample)] == ["c.png", "a.png"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 500), st.integers(1, 30))
def test_spread_indices_are_spread(length: int, count: int) -> None:
    indices = spread_indices(length, count)
    assert len(indices) == min(length, count)
    assert indices == sorted(set(indices))
    assert all(0 <= index < length for index in indices)
    if count > 1 and length > 1:
        assert (indices[0], indices[-1]) == (0, length - 1)
