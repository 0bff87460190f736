"""`hoiray hand`: a contact sheet of the hand model."""

from pathlib import Path

import typer

from hoiray.errors import ConfigError, describe


def draw_hand(*, out: Path, model_path: Path | None, cell_px: int) -> None:
    """Render the sheet to `out` and say what to do next.

    Raises:
        ConfigError: `out` is not a .png or its folder cannot be made.
        ContractError: the hand model cannot be loaded.
    """
    if out.suffix.lower() != ".png":
        raise ConfigError(
            describe(
                what=f"--out {out}", expected="a path that ends in .png", found=repr(out.suffix), fix="Name a .png."
            )
        )
    import cv2  # after the cheap checks

    from hoiray.hand.model import HandModel
    from hoiray.render.hand_sheet import hand_contact_sheet

    model = HandModel.load(model_path, flat_hand_mean=True, tip_set="smplx")
    sheet = hand_contact_sheet(model, cell_px=cell_px)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        written = cv2.imwrite(str(out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    except OSError as error:
        raise ConfigError(
            describe(
                what=f"--out {out}", expected="a folder that can be written", found=str(error), fix="Choose another."
            )
        ) from error
    if not written:
        raise ConfigError(
            describe(
                what=f"--out {out}", expected="a path that can be written", found="a refusal", fix="Choose another."
            )
        )
    typer.echo(f"hand: {out} ({sheet.shape[1]} x {sheet.shape[0]} px). Look at it; then check a run file of your own:")
    typer.echo("  hoiray config check jobs/label.yaml --cluster cluster/laptop.yaml")
