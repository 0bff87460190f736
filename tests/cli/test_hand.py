from pathlib import Path

import cv2
import pytest

from hoiray.cli.hand import draw_hand
from hoiray.errors import ConfigError, ContractError


def test_the_sheet_is_a_picture_with_a_hand_in_every_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "hand.png"
    draw_hand(out=out, model_path=None, cell_px=64)
    image = cv2.imread(str(out))
    assert image is not None
    assert min(image.shape[:2]) > 4 * 64
    assert image.std() > 10  # not a blank sheet
    assert "config check" in capsys.readouterr().out


def test_another_file_type_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.png"):
        draw_hand(out=tmp_path / "hand.gif", model_path=None, cell_px=64)


def test_a_missing_hand_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"MANO_RIGHT\.pkl"):
        draw_hand(out=tmp_path / "hand.png", model_path=tmp_path / "MANO_RIGHT.pkl", cell_px=64)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"file/hand\.png"):
        draw_hand(out=tmp_path / "file" / "hand.png", model_path=None, cell_px=64)
