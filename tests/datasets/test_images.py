from pathlib import Path

import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.images import ImageFolder
from hoiray.errors import ContractError, InputError


def test_images_of_a_folder_are_one_recording_in_the_order_of_their_names(tmp_path: Path) -> None:
    for key in ("b/2.png", "b/1.png", "a.JPG", "b/c/9.jpeg"):
        files.put_image(tmp_path / key, files.picture(32, 24))
    (tmp_path / "b/notes.txt").write_text("")
    dataset = ImageFolder.open(str(tmp_path))
    samples = [dataset.sample(i) for i in range(len(dataset))]
    assert [one.image_key for one in samples] == ["a.JPG", "b/1.png", "b/2.png", "b/c/9.jpeg"]
    assert [one.recording_id for one in samples] == [".", "b", "b", "b/c"]
    assert [one.frame_index for one in samples] == [0, 0, 1, 0]
    np.testing.assert_array_equal(dataset.image(samples[1]), files.picture(32, 24))
    assert (dataset.name, dataset.split, dataset.masks(samples[0])) == ("images", "all", None)
    assert dataset.object_model("x") is None


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    files.put_image(tmp_path / "a.jpg", files.picture(32, 24))
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-2])
    dataset = ImageFolder.open(str(tmp_path))
    with pytest.raises(InputError, match=r"a\.jpg: expected a complete PNG or JPEG image, found a JPEG cut off"):
        dataset.image(dataset.sample(0))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="found none"):
        ImageFolder.open(str(tmp_path))
