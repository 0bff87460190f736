"""Simulate a labelling at any size: `python jobs/simulate.py --out out/scale`.

A small world is labelled for real, larger ones are predicted from it and checked, and clusters are extrapolated to.
"""

from pathlib import Path
from typing import Annotated

import typer

from hoiray.benchmarks.simulate import run
from hoiray.errors import HoirayError

CLUSTERS = Path(__file__).with_suffix(".yaml")


def main(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the JSON, Markdown and SVG report.")] = Path("out/scale"),
    shards: Annotated[
        str, typer.Option(help="Shards of the real runs, about; the first gives the constants.")
    ] = "100,300,1000",
    clusters: Annotated[Path, typer.Option(help="The clusters (.yaml).")] = CLUSTERS,
    control: Annotated[
        Path, typer.Option(help="Report of the control benchmark (.json), for the driver's time a shard.")
    ] = Path("results/control.json"),
    seed: Annotated[int, typer.Option(help="Of worlds and losses.", min=0)] = 0,
) -> None:
    """Label simulated worlds for real, check the model against them, and extrapolate to clusters."""
    try:
        sizes = [int(word) for word in shards.split(",")]
        typer.echo(run(out, sizes=sizes, clusters=clusters, control=control, seed=seed))
    except HoirayError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    typer.run(main)
