"""`hoiray hand`: a contact sheet of the hand model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hoiray.cli.runnable import runnable
from hoiray.errors import ConfigError, ContractError, describe

if TYPE_CHECKING:
    from hoiray.render.overlay import Image

NEXT_STEP = ("config", "check", "jobs/label.yaml", "--cluster", "cluster/laptop.yaml")


def draw_hand(*, out: Path, model_path: Path | None, cell_px: int) -> None:
    """Render the sheet to `out` and say what to do next.

    Raises:
        ConfigError: `out` is not a .png or cannot be written; nothing has been rendered.
        ContractError: the hand model cannot be loaded or drawn; the message names its file.
    """
    if out.suffix.lower() != ".png":
        raise ConfigError(
            describe(
                what=f"--out {out}", expected="a path that ends in .png", found=repr(out.suffix), fix="Name a .png."
            )
        )
    with _errors_named(out):
        _try_to_write(out)
    sheet = _sheet(model_path, cell_px)
    with _errors_named(out):
        out.write_bytes(_png(sheet))
    step = runnable(*NEXT_STEP)
    typer.echo(f"hand: {out} ({sheet.shape[1]} x {sheet.shape[0]} px). Look at it; then check a run file: {step}")


@contextmanager
def _errors_named(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found, fix = f"{error.strerror} ({error.filename})", "Choose another place."
        raise ConfigError(
            describe(what=f"--out {out}", expected="a file that can be written", found=found, fix=fix)
        ) from error


def _try_to_write(out: Path) -> None:
    """Open the file as it will be opened, before seconds of rendering; what is there already stays as it is."""
    out.parent.mkdir(parents=True, exist_ok=True)
    was_there = out.exists()
    with out.open("ab"):
        pass
    if not was_there:
        out.unlink()


def _sheet(model_path: Path | None, cell_px: int) -> "Image":
    from hoiray.hand.model import HandModel
    from hoiray.render.hand_sheet import hand_contact_sheet

    model = HandModel.load(model_path, flat_hand_mean=True, tip_set="smplx")
    try:
        return hand_contact_sheet(model, cell_px=cell_px)
    except ContractError as error:
        if model.arrays.source in str(error):
            raise
        raise ContractError(f"{model.arrays.source}: cannot be drawn: {error}") from error


def _png(sheet: "Image") -> bytes:
    import cv2  # after the cheap checks

    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return bytes(data)
