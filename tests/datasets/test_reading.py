from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.reading import read_through
from hoiray.datasets.sample import DeadLetter, Masks, ObjectAnnotation, ObjectModel, Sample
from hoiray.errors import InputError


@dataclass
class Files:
    """A data set in memory in which some files are broken."""

    broken: set[str]
    read: list[str] = field(default_factory=list)
    name: str = "memory"
    split: str = "train"

    def __len__(self) -> int:
        return 3

    def sample(self, index: int) -> Sample:
        objects = (ObjectAnnotation("mug" if index else "can"),)
        return Sample(str(index), "r", None, None, index, f"{index}.png", None, (), objects)

    def _open(self, name: str) -> None:
        self.read.append(name)
        if name in self.broken:
            raise InputError(f"{name}: expected a whole file, found half of one. Restore it.")

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        self._open(f"{sample.sample_id}.png")
        return np.zeros((2, 2, 3), np.uint8)

    def masks(self, sample: Sample) -> Masks | None:
        self._open(f"{sample.sample_id}-mask.png")
        return None

    def depth_m(self, sample: Sample) -> NDArray[np.float32]:
        self._open(f"{sample.sample_id}-depth.png")
        return np.zeros((2, 2), np.float32)

    def object_model(self, name: str) -> ObjectModel | None:
        self._open(f"{name}.obj")
        return None


def _through(broken: set[str]) -> tuple[list[Sample | DeadLetter], Files]:
    files = Files(broken)
    return list(read_through(files, [files.sample(index) for index in range(3)])), files


def test_a_whole_set_passes_unchanged_and_every_file_was_read() -> None:
    entries, files = _through(set())
    assert [entry.sample_id for entry in entries if isinstance(entry, Sample)] == ["0", "1", "2"]
    assert files.read.count("mug.obj") == 1
    assert {"0.png", "1-mask.png", "2-depth.png", "can.obj"} <= set(files.read)


def test_each_broken_file_is_named_once_in_its_samples_place() -> None:
    for name, stage in (("1.png", "image"), ("1-mask.png", "masks"), ("1-depth.png", "depth")):
        entries, _ = _through({name})
        letter = entries[1]
        assert isinstance(letter, DeadLetter)
        assert (letter.key, letter.stage) == ("1", f"read {stage}")
        assert name in letter.reason
        assert len(entries) == 3


def test_a_broken_model_is_told_once_and_its_samples_live() -> None:
    entries, _ = _through({"mug.obj"})
    letters = [entry for entry in entries if isinstance(entry, DeadLetter)]
    assert [letter.key for letter in letters] == ["mug"]
    assert len(entries) == 4


def test_what_was_dead_stays_dead() -> None:
    letter = DeadLetter("k", "read annotation", "k.pkl: truncated")
    assert list(read_through(Files(set()), [letter])) == [letter]
