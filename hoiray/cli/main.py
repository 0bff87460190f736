"""The `hoiray` command. Each command imports what it needs when it runs, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hoiray import __version__
from hoiray.errors import ConfigError, HoirayError

EXIT_WRONG_REQUEST = 2
"""Exit status when the request itself is wrong (as the shell's own commands use it)."""
EXIT_FAILED = 1

app = typer.Typer(
    name="hoiray",
    help="Pseudo-labels for 3D hand-object pose: measured, judged, and trusted for a reason.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(
    help="Check and show run files (what to do) and cluster files (where).", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(config_app, name="config")

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one field of either file, e.g. ensemble.num_views=4."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hoiray {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Pseudo-labels for 3D hand-object pose: measured, judged, and trusted for a reason."""


@app.command()
def doctor(
    hand_model: Annotated[
        Path | None, typer.Option(help="Your hand model (MANO_RIGHT.pkl or .npz); default: hoiray's open hand.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="A cluster to reach, e.g. ray://head:10001; default: start a small one here.")
    ] = None,
    s3: Annotated[str | None, typer.Option(help="A bucket or prefix to try, e.g. s3://bucket/prefix.")] = None,
    timeout_s: Annotated[float, typer.Option(help="Time for each check that can hang.", min=1)] = 60.0,
) -> None:
    """Look at this machine: versions, cores, memory, GPUs, Ray, S3, codecs, hand model."""
    from hoiray.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(hand_model=hand_model, ray_address=ray_address, s3_uri=s3, timeout_s=timeout_s))


@app.command()
def hand(
    out: Annotated[Path, typer.Option(help="The picture to write (.png).")] = Path("hand.png"),
    model: Annotated[
        Path | None, typer.Option(help="Your hand model (MANO_RIGHT.pkl or .npz); default: hoiray's open hand.")
    ] = None,
    cell_px: Annotated[int, typer.Option(help="Side of one cell in pixels.", min=48, max=512)] = 160,
) -> None:
    """Draw the hand model: poses by shapes, both sides, joints and tips overlaid."""
    from hoiray.cli.hand import draw_hand

    draw_hand(out=out, model_path=model, cell_px=cell_px)


@app.command()
def synth(
    domain: Annotated[str, typer.Argument(help="lab, wild, ego or studio.")],
    out: Annotated[str, typer.Option(help="Where to: an empty folder, or s3://bucket/prefix.")],
    size: Annotated[str, typer.Option(help="tiny, small or medium.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", min=0)] = 0,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="May be repeated; default: the domain's own format.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Recordings made at once; more than one starts Ray.", min=1)] = 1,
    resume: Annotated[bool, typer.Option(help="Continue a run that was stopped.")] = False,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster to use.")] = None,
) -> None:
    """Make a synthetic data set with perfect truth, in a real data set's format."""
    from hoiray.cli.synth import run_synth

    run_synth(
        domain=domain,
        out=out,
        size=size,
        seed=seed,
        formats=formats or [],
        workers=workers,
        resume=resume,
        ray_address=ray_address,
    )


@app.command("inspect")
def inspect_command(
    dataset: Annotated[str, typer.Argument(help="Root of a data set, local or s3://.")],
    out: Annotated[Path | None, typer.Option(help="Contact sheet to write (.png).")] = Path("inspect.png"),
    count: Annotated[int, typer.Option(help="Samples on the sheet, spread over the set.", min=1, max=100)] = 8,
    dataset_format: Annotated[
        str | None, typer.Option("--format", help="ho3d, freihand, fpha, ...; default: told by the files.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="The format's own name of a split; default: its first.")] = None,
    hand_model: Annotated[
        Path | None, typer.Option(help="The hand model the labels were made with; default: hoiray's open hand.")
    ] = None,
    max_samples: Annotated[
        int, typer.Option(help="Samples to read for the counts, spread over the set.", min=1)
    ] = 2000,
    labels_only: Annotated[bool, typer.Option(help="Do not read images, masks, depth and models.")] = False,
) -> None:
    """Check a data set, count what is in it, and draw its annotations over its images."""
    from hoiray.cli.inspect import inspect_dataset

    status = inspect_dataset(
        dataset,
        out=out,
        count=count,
        dataset_format=dataset_format,
        split=split,
        hand_model=hand_model,
        max_samples=max_samples,
        labels_only=labels_only,
    )
    raise typer.Exit(status)


@config_app.command("check")
def config_check(
    run: Annotated[Path, typer.Argument(help="Run file: what to do.")],
    cluster: Annotated[Path | None, typer.Option(help="Cluster file: where to do it.")] = None,
    overrides: Overrides = None,
) -> None:
    """Validate a run file (and a cluster file) and print the run's fingerprint."""
    from hoiray.cli.config import check

    raise typer.Exit(check(run, cluster, overrides or []))


@config_app.command("show")
def config_show(
    file: Annotated[Path, typer.Argument(help="Run file or cluster file.")],
    overrides: Overrides = None,
) -> None:
    """Print the whole resolved configuration of a run file or a cluster file as YAML."""
    from hoiray.cli.config import show

    show(file, overrides or [])


def main() -> None:
    """Run the command line; a HoirayError becomes one message and an exit status, never a traceback."""
    try:
        app()
    except HoirayError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_WRONG_REQUEST if isinstance(error, ConfigError) else EXIT_FAILED)
