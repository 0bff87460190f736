from pathlib import Path

import cv2
import numpy as np
import pytest

from hoiray.cli.config import check
from hoiray.cli.hand import NEXT_STEP, draw_hand
from hoiray.cli.runnable import runnable
from hoiray.errors import ConfigError, ContractError
from hoiray.hand.load import packaged_hand_path

ROOT = Path(__file__).parents[2]


def test_the_sheet_is_a_picture_with_a_hand_in_every_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "hand.png"
    draw_hand(out=out, model_path=None, cell_px=64)
    image = cv2.imread(str(out))
    assert image is not None
    assert min(image.shape[:2]) > 4 * 64
    assert image.std() > 10  # not a blank sheet
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "config check" in said
    assert said.strip().endswith(runnable(*NEXT_STEP))


def test_the_next_step_names_files_that_are_there() -> None:
    run, cluster = NEXT_STEP[2], NEXT_STEP[4]
    assert check(ROOT / run, ROOT / cluster, []) == 0


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


@pytest.mark.parametrize(
    ("name", "reason"),
    [("folder.png", "Is a directory"), (f"{'a' * 300}.png", "File name too long"), ("file/x.png", "File exists")],
)
def test_a_place_that_cannot_be_written_is_refused_with_the_reason_before_anything_is_drawn(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    missing_model = tmp_path / "MANO_RIGHT.pkl"  # would be refused, had the work begun
    with pytest.raises(ConfigError, match=f"expected a file that can be written, found {reason}"):
        draw_hand(out=tmp_path / name, model_path=missing_model, cell_px=64)


def test_a_failed_run_neither_harms_nor_leaves_a_picture(tmp_path: Path) -> None:
    old, new = tmp_path / "old.png", tmp_path / "new.png"
    old.write_bytes(b"picture")
    for out in (old, new):
        with pytest.raises(ContractError):
            draw_hand(out=out, model_path=tmp_path / "no.npz", cell_px=64)
    assert old.read_bytes() == b"picture"
    assert not new.exists()


def test_a_model_that_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    arrays = dict(np.load(packaged_hand_path(), allow_pickle=False))
    arrays["posedirs"] = np.full_like(arrays["posedirs"], 0.9)  # each within bounds, together metres
    path = tmp_path / "huge.npz"
    np.savez(path, **arrays)
    with pytest.raises(ContractError, match=r"huge\.npz: cannot be drawn: hand model: expected a posed hand"):
        draw_hand(out=tmp_path / "hand.png", model_path=path, cell_px=48)
