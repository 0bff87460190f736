from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.datasets.leaks import check_leaks, identify, refuse_leaks
from hoiray.datasets.sample import Masks, ObjectModel, Sample
from hoiray.errors import ContractError, InputError


def _picture(seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC), np.uint8)


@dataclass
class Frames:
    """A data set in memory."""

    pictures: dict[str, NDArray[np.uint8] | None]
    name: str = "ho3d_v2"
    split: str = "train"
    subjects: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pictures)

    def sample(self, index: int) -> Sample:
        key = list(self.pictures)[index]
        recording = key.split("/")[0]
        return Sample(key, recording, self.subjects.get(recording), None, index, key, None)

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        picture = self.pictures[sample.image_key]
        if picture is None:
            raise InputError(f"{sample.image_key}: unreadable")
        return picture

    def masks(self, sample: Sample) -> Masks | None:
        return None

    def object_model(self, name: str) -> ObjectModel | None:
        return None

    def samples(self) -> list[Sample]:
        return [self.sample(index) for index in range(len(self))]


def test_independent_sets_are_clean_and_say_what_was_compared() -> None:
    first = Frames({f"A/{i}": _picture(i) for i in range(20)}, subjects={"A": "Ann"})
    second = Frames({f"B/{i}": _picture(100 + i) for i in range(30)}, split="test", subjects={"B": "Bob"})
    report = check_leaks(identify(first, first.samples()), identify(second, second.samples()))
    assert report.is_clean
    assert "20 frames of ho3d_v2/train with 30 of ho3d_v2/test" in report.describe()
    refuse_leaks(report)


def test_a_shared_subject_a_shared_recording_and_a_copied_frame_are_each_named() -> None:
    first = Frames({f"A/{i}": _picture(i) for i in range(9)}, subjects={"A": "Ann"})
    copied = cv2.resize(_picture(4), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    second = Frames({"A/77": _picture(300), "B/0": np.asarray(copied)}, name="ho3d_v3", subjects={"B": "Ann"})
    report = check_leaks(identify(first, first.samples()), identify(second, second.samples()))
    assert report.shared_subjects == ("ho3d/Ann",)
    assert report.shared_recordings == ("ho3d/A",)
    assert [(pair.first_id, pair.second_id) for pair in report.examples] == [("A/4", "B/0")]
    with pytest.raises(ContractError, match="A/4 ~ B/0"):
        refuse_leaks(report)


def test_the_same_subject_name_in_another_data_set_is_another_person() -> None:
    first = Frames({"A/0": _picture(0)}, name="fpha", subjects={"A": "Subject_1"})
    second = Frames({"A/0": _picture(1)}, name="dexycb", subjects={"A": "Subject_1"})
    assert check_leaks(identify(first, first.samples()), identify(second, second.samples())).is_clean


def test_black_frames_are_no_evidence_and_are_counted() -> None:
    black = np.zeros((60, 80, 3), np.uint8)
    first = Frames({"A/0": black, "A/1": None, "A/2": _picture(0)})
    second = Frames({"B/0": black})
    report = check_leaks(identify(first, first.samples()), identify(second, second.samples()))
    assert report.is_clean
    assert report.num_without_hash == (2, 1)
    assert report.num_compared == (1, 0)
