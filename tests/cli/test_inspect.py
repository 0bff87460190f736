from pathlib import Path

import cv2
import numpy as np
import pytest

from hoiray.cli.inspect import inspect_dataset
from hoiray.errors import ConfigError, ContractError


def _inspect(folder: Path, out: Path | None = None, split: str | None = None) -> int:
    return inspect_dataset(
        str(folder), out=out, count=3, dataset_format=None, split=split, hand_model=None, max_samples=50
    )


def test_a_plain_folder_of_images_is_counted_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for index in range(5):
        image = np.random.default_rng(index).integers(0, 255, (60, 80, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
    assert _inspect(folder, tmp_path / "new" / "sheet.png") == 0
    assert "images / all" in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / "new" / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[0] > 3 * 200


def test_a_folder_that_is_no_data_set_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ContractError, match=r"ho3d: train\.txt or evaluation\.txt"):
        _inspect(tmp_path)


def test_a_truncated_image_is_a_dead_letter_that_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    for index in range(12):
        cv2.imwrite(str(folder / f"{index:02}.png"), image)
    whole = (folder / "07.png").read_bytes()
    (folder / "07.png").write_bytes(whole[: len(whole) // 2])
    assert _inspect(folder) == 1
    out = capsys.readouterr().out
    assert "07.png" in out
    assert "read image" in out


def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="a folder to write to"):
        _inspect(tmp_path / "no set", tmp_path / "file" / "x.png")
    with pytest.raises(ConfigError, match=r"ending in \.png"):
        _inspect(tmp_path / "no set", tmp_path / "x.gif")
