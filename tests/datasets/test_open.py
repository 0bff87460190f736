from pathlib import Path

import dataset_files as files
import pytest

from hoiray.datasets.images import ImageFolder
from hoiray.datasets.open import FORMATS, NEVER_FOUND, detect_format, open_dataset
from hoiray.errors import ConfigError, ContractError, InputError

MARKS = {
    "ho3d_processed": ["train.txt", "train_joint.json", "train_mano.json", "train/ABF10/rgb/0000.png"],
    "ho3d": ["evaluation.txt", "evaluation/SM1/rgb/0000.png"],
    "freihand": ["evaluation_K.json", "evaluation/rgb/00000000.jpg"],
    "fpha": ["data_split_action_recognition.txt", "Video_files/x.jpeg"],
    "dexycb": ["calibration/intrinsics/x.yml", "20200813-subject-02/a/meta.yml", "models/x/points.xyz"],
    "something": ["20bn-something-something-v2/1.webm"],
    "videos": ["a/b.mp4", "a/thumbnail.jpg"],
    "images": ["a/b.jpg"],
}


@pytest.mark.parametrize("name", MARKS)
def test_each_format_is_told_by_its_files(tmp_path: Path, name: str) -> None:
    for key in MARKS[name]:
        files.put(tmp_path / key, b"")
    assert detect_format(str(tmp_path)) == name


def test_every_format_has_its_marks() -> None:
    assert [*MARKS, *NEVER_FOUND] == list(FORMATS)


def test_an_unknown_folder_is_told_what_was_looked_for(tmp_path: Path) -> None:
    files.put(tmp_path / "train.txt", "")
    with pytest.raises(ContractError) as refused:
        open_dataset(str(tmp_path))
    for name, candidate in FORMATS.items():
        assert (candidate.looked_for in str(refused.value)) == (name not in NEVER_FOUND)


def test_a_typo_is_answered_with_the_nearest_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'freihand'"):
        open_dataset(str(tmp_path), "freihands")


def test_the_first_split_that_is_there_is_opened(tmp_path: Path) -> None:
    for key in MARKS["ho3d"]:
        files.put(tmp_path / key, b"")
    with pytest.raises(ContractError, match=r"evaluation\.txt"):
        open_dataset(str(tmp_path))
    with pytest.raises(InputError, match=r"train\.txt"):
        open_dataset(str(tmp_path), split="train")


def test_a_named_format_is_not_looked_for(tmp_path: Path) -> None:
    files.put(tmp_path / "a.mp4", b"")
    files.put_image(tmp_path / "a.png", files.picture(8, 8))
    dataset = open_dataset(str(tmp_path), "images")
    assert isinstance(dataset, ImageFolder)
    assert len(dataset) == 1


def test_a_folder_of_data_sets_is_not_taken_for_a_folder_of_images(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "train").mkdir(parents=True)
        (tmp_path / name / "train.txt").write_text("A10/0000\n")
        (tmp_path / name / "train" / "0000.png").write_bytes(b"")
    with pytest.raises(ContractError, match=r"a folder of data sets: one \(ho3d\), two \(ho3d\)"):
        detect_format(str(tmp_path))
