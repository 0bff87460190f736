"""`hoiray inspect`: what is in a data set, in numbers and in pictures."""

from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from hoiray.datasets.formats.truth import TRUTH_FOLDER
from hoiray.datasets.iterate import iterate, spread_indices
from hoiray.datasets.open import open_dataset
from hoiray.datasets.reading import read_through
from hoiray.datasets.sample import AnnotatedDataset
from hoiray.errors import ConfigError, describe
from hoiray.hand.load import HandArrays, load_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.io.store import Store
from hoiray.report.contact_sheet import draw_contact_sheet
from hoiray.report.dataset_facts import DatasetFacts, collect_facts

MAX_SHOWN_DEAD_LETTERS = 5


def inspect_dataset(
    uri: str,
    *,
    out: Path | None,
    count: int,
    dataset_format: str | None,
    split: str | None,
    hand_model: Path | None,
    max_samples: int,
    labels_only: bool = False,
) -> int:
    """Open, check, count and draw a data set; return the exit status (1 where there were dead letters).

    Every file of the samples looked at is read, unless `labels_only`: then images, masks, depth and models are not.

    Raises:
        ConfigError: no such format, or the picture cannot be written.
        ContractError: the files are not what they say they are.
    """
    if out is not None:
        _require_png(out)
    arrays = hand_of_labels(uri, hand_model)
    dataset = open_dataset(uri, dataset_format, split, arrays)
    indices = spread_indices(len(dataset), max_samples)
    entries = iterate(dataset, indices)
    facts = collect_facts(entries if labels_only else read_through(dataset, entries))
    _print_facts(dataset, uri, facts, len(indices))
    if out is not None:
        model = None if arrays is None else HandModel(arrays, flat_hand_mean=True, tip_set="smplx")
        if model is None and facts.hands_with["mano"] + facts.hands_with["vertices"]:
            typer.echo(
                "hands are drawn without their meshes: name the labels' hand model (--hand-model MANO_RIGHT.pkl)"
            )
        _write_sheet(dataset, model, out, count)
    return 1 if facts.dead_letters else 0


def _require_png(out: Path) -> None:
    """Refuse a picture that could not be written, before anything is read."""
    if out.suffix.lower() != ".png":
        found = repr(out.suffix)
        raise ConfigError(
            describe(what=f"--out {out}", expected="a name ending in .png", found=found, fix="Rename it.")
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "Choose another."
        what = f"--out {out}"
        raise ConfigError(describe(what=what, expected="a folder to write to", found=str(error), fix=fix)) from error


def hand_of_labels(uri: str, hand_model: Path | None) -> HandArrays | None:
    """The hand model a set's labels were made with, as far as known: the user's, or ours for sets of our making."""
    is_synthetic = any(True for _ in Store.open(uri).list(TRUTH_FOLDER, recursive=False))
    return load_hand_arrays(hand_model) if hand_model is not None or is_synthetic else None


def _print_facts(dataset: AnnotatedDataset, uri: str, facts: DatasetFacts, num_looked_at: int) -> None:
    table = Table(title=f"{dataset.name} / {dataset.split}   {uri}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    part = "" if num_looked_at == len(dataset) else f" ({num_looked_at} looked at, spread evenly)"
    table.add_row("samples", f"{len(dataset)}{part}")
    table.add_row("recordings", str(facts.num_recordings))
    table.add_row("subjects", _listed(facts.subjects) if facts.subjects else "the data set does not tell")
    table.add_row("hands", ", ".join(f"{number} {side}" for side, number in facts.hands.items()))
    table.add_row("hands with", ", ".join(f"{kind} {number}" for kind, number in facts.hands_with.items() if number))
    table.add_row("samples without a hand", str(facts.samples_without_hand))
    objects = ", ".join(f"{name} {number}" for name, number in list(facts.objects.items())[:12])
    table.add_row("objects", f"{objects}{', ...' if len(facts.objects) > 12 else ''}" or "none")
    table.add_row("objects with a pose", str(facts.objects_with_pose))
    table.add_row("dead letters", str(len(facts.dead_letters)))
    Console().print(table)
    for letter in facts.dead_letters[:MAX_SHOWN_DEAD_LETTERS]:
        typer.echo(f"  dead: {letter.key} ({letter.stage}): {letter.reason}")
    if len(facts.dead_letters) > MAX_SHOWN_DEAD_LETTERS:
        typer.echo(f"  ... and {len(facts.dead_letters) - MAX_SHOWN_DEAD_LETTERS} more")


def _listed(names: tuple[str, ...], limit: int = 12) -> str:
    return f"{len(names)}: {', '.join(names[:limit])}{', ...' if len(names) > limit else ''}"


def _write_sheet(dataset: AnnotatedDataset, hand: HandModel | None, out: Path, count: int) -> None:
    import cv2

    entries = list(iterate(dataset, spread_indices(len(dataset), count)))
    sheet = draw_contact_sheet(dataset, entries, hand)
    if not cv2.imwrite(str(out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        fix = "Name another place."
        raise ConfigError(describe(what=f"--out {out}", expected="a place to write", found="a refusal", fix=fix))
    typer.echo(f"contact sheet: {out} ({sheet.shape[1]} x {sheet.shape[0]} px)")
