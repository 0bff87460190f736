from pathlib import Path

import dataset_files as files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.datasets.images import ImageFolder
from hoiray.datasets.iterate import iterate, spread_indices
from hoiray.datasets.sample import DeadLetter, Sample
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
